"""What a run is asked to do, checked before anything is sent.

The command line and the locustfile offer the same options (``add_options``). All values arrive as
text, because Locust's web page can only edit an empty field as text; ``config_from_options`` turns
them into numbers and answers bad ones with one sentence.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadgen import arrivals
from loadgen.prompts import DEFAULT_PROMPTS

# The words of the images API, old ones included; the server judges whether it offers them.
QUALITIES = ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")

# (flag, default, help); an empty default means "not given".
TEXT_OPTIONS: tuple[tuple[str, str, str], ...] = (
    ("--rate", "", "mean arrivals per second (not for replay)"),
    ("--duration", "", "seconds over which requests arrive"),
    ("--arrival-seed", "1", "seed of arrivals, order of prompts, and first picture seed"),
    ("--times", "", "file of arrival times for --arrivals replay, one number of seconds a line"),
    ("--burst-factor", "5", "bursty: rate inside a burst over the mean rate"),
    ("--burst-share", "0.1", "bursty: share of time spent in bursts"),
    ("--mean-burst-s", "5", "bursty: mean length of a burst in seconds"),
    ("--day-s", "", "diurnal: length of one day in seconds (default: the duration)"),
    ("--prompts", str(DEFAULT_PROMPTS), "text file of prompts, one a line"),
    ("--out", "", "folder for requests.jsonl and run.json"),
    ("--model", "", "model to ask for (default: the server's)"),
    ("--quality", "", f"quality floor to ask for: {', '.join(QUALITIES)}"),
    ("--steps", "", "steps to ask for"),
    ("--deadline-s", "", "deadline to ask for, in seconds"),
    ("--timeout-s", "300", "seconds after its scheduled instant at which a request is given up"),
)


class ConfigError(ValueError):
    """Bad input, told in one sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run. Plain values only, so that it can be sent to worker processes and written down."""

    url: str
    out: str
    arrivals: str
    rate_per_s: float | None
    duration_s: float | None
    seed: int
    times_file: str | None
    burst_factor: float
    burst_share: float
    mean_burst_s: float
    prompts: str
    save_pictures: bool
    model: str | None
    quality: str | None
    steps: int | None
    deadline_s: float | None
    timeout_s: float
    day_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that the command line and the locustfile share."""
    parser.add_argument(
        "--arrivals",
        default="poisson",
        choices=list(arrivals.KINDS),
        help="how requests arrive (default: poisson)",
    )
    for flag, default, text in TEXT_OPTIONS:
        shown = f"{text} (default: {default})" if default else text
        parser.add_argument(flag, default=default, help=shown.replace("%", "%%"))
    parser.add_argument(
        "--save-pictures", action="store_true", default=False, help="write pictures/<index>.png"
    )


def _text(options: argparse.Namespace, name: str) -> str | None:
    value = getattr(options, name, None)
    stripped = "" if value is None else str(value).strip()
    return stripped or None


def _number(options: argparse.Namespace, name: str, *, least: float = 0.0) -> float | None:
    """The option as a number above ``least``, or None when it was not given."""
    text = _text(options, name)
    if text is None:
        return None
    flag = "--" + name.replace("_", "-")
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{flag} must be a number, got {text!r}.") from None
    if not (math.isfinite(value) and value > least):
        raise ConfigError(f"{flag} must be above {least:g}, got {text}.")
    return value


def _whole(options: argparse.Namespace, name: str) -> int | None:
    value = _number(options, name, least=-1.0)
    if value is None:
        return None
    if value != int(value):
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} must be a whole number, got {value:g}.")
    return int(value)


def check_url(url: str | None) -> str:
    """The URL without a trailing slash. Raises ConfigError when it is none."""
    text = (url or "").strip().rstrip("/")
    parts = urlsplit(text)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"the server's URL must look like http://127.0.0.1:8000, got {url!r}.")
    return text


def _given(value: float | None, flag: str) -> float:
    if value is None:
        raise ConfigError(f"{flag} must not be empty.")
    return value


def config_from_options(options: argparse.Namespace, url: str | None, out: str) -> RunConfig:
    """Checks the options' values; ``out`` is used when no --out was given.

    Raises ConfigError. Schedule and prompts are checked where they are made (loadgen.plan).
    """
    quality = _text(options, "quality")
    if quality is not None and quality not in QUALITIES:
        raise ConfigError(f"--quality must be one of {', '.join(QUALITIES)}, got {quality!r}.")
    steps = _whole(options, "steps")
    if steps == 0:
        raise ConfigError("--steps must be at least 1, got 0.")
    kind = _text(options, "arrivals") or "poisson"
    rate_per_s = _number(options, "rate")
    duration_s = _number(options, "duration")
    if kind != "replay":
        _given(rate_per_s, "--rate")
        _given(duration_s, "--duration")
    return RunConfig(
        url=check_url(url),
        out=_text(options, "out") or out,
        arrivals=kind,
        rate_per_s=rate_per_s,
        duration_s=duration_s,
        seed=int(_given(_whole(options, "arrival_seed"), "--arrival-seed")),
        times_file=_text(options, "times"),
        burst_factor=_given(_number(options, "burst_factor"), "--burst-factor"),
        burst_share=_given(_number(options, "burst_share"), "--burst-share"),
        mean_burst_s=_given(_number(options, "mean_burst_s"), "--mean-burst-s"),
        prompts=_text(options, "prompts") or str(DEFAULT_PROMPTS),
        save_pictures=bool(getattr(options, "save_pictures", False)),
        model=_text(options, "model"),
        quality=quality,
        steps=steps,
        deadline_s=_number(options, "deadline_s"),
        timeout_s=_given(_number(options, "timeout_s"), "--timeout-s"),
        day_s=_number(options, "day_s"),
    )


def to_flags(config: RunConfig) -> list[str]:
    """The command-line flags that give this configuration again (without the URL)."""
    named: dict[str, object | None] = {
        "--arrivals": config.arrivals,
        "--rate": config.rate_per_s,
        "--duration": config.duration_s,
        "--arrival-seed": config.seed,
        "--times": config.times_file,
        "--burst-factor": config.burst_factor,
        "--burst-share": config.burst_share,
        "--mean-burst-s": config.mean_burst_s,
        "--day-s": config.day_s,
        "--prompts": config.prompts,
        "--out": config.out,
        "--model": config.model,
        "--quality": config.quality,
        "--steps": config.steps,
        "--deadline-s": config.deadline_s,
        "--timeout-s": config.timeout_s,
    }
    # One word each, so that a value that begins with a dash stays a value.
    flags = [f"{flag}={value}" for flag, value in named.items() if value is not None]
    return [*flags, "--save-pictures"] if config.save_pictures else flags


def check_out(out: str) -> Path:
    """The run's folder, made if need be. Raises ConfigError if it already holds a run."""
    folder = Path(out)
    if (folder / "run.json").exists() or (folder / "requests.jsonl").exists():
        raise ConfigError(f"{folder} already holds a run: name another folder with --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder} ({error.strerror}).") from error
    return folder
