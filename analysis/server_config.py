"""The server's YAML file as the models need it, and its two forms for the demonstration.

`serve` checks the whole file when it starts; only what is read here is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from policies import APPLIED, Controller, ExitRules, Hysteresis, Ladder, Rung, Static

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_CONFIG = ROOT / "serve" / "configs" / "default.yaml"
EMBEDDED_WEIGHTS = ROOT / "pipelines" / "embedded" / "weights"
EMBEDDED, HUB = "embedded:", "hub:"
UNBOUNDED = 1_000_000
"""The static server's bound on waiting jobs: none in practice, so that its queue can be seen."""


class ConfigError(ValueError):
    """A configuration that the demonstration cannot use; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Like engines."""

    name: str
    variants: tuple[str, ...]
    replicas: int
    max_batch: int
    threads: int
    device: str


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What one server was told to do. `sources`, `dtypes`, `samplers` are by variant."""

    ladder: Ladder
    controller: Controller
    controlled: bool
    rules: ExitRules
    hold_s: float
    max_waiting: int
    pools: tuple[Pool, ...]
    sources: Mapping[str, str]
    dtypes: Mapping[str, str]
    samplers: Mapping[str, str]
    width: int
    height: int
    content: Mapping[str, Any] = field(repr=False)

    @property
    def max_batch(self) -> int:
        """The largest batch of any engine."""
        return max(pool.max_batch for pool in self.pools)

    def batches_of_best(self) -> list[int]:
        """The batch limit of every engine that hosts the variant of full service."""
        best = self.ladder.best.variant
        return [p.max_batch for p in self.pools for _ in range(p.replicas) if best in p.variants]


def read_settings(path: Path) -> ServerSettings:
    """Read a server's configuration. ConfigError says what to change."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); name a server configuration with --config"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"{path} is not valid YAML; correct it or name another") from None
    try:
        return _settings(content)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ConfigError(
            f"{path} is no server configuration ({error!r}); `python -m serve --config {path}`"
            " says what is wrong with it"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _settings(content: Mapping[str, Any]) -> ServerSettings:
    controller = content["controller"]
    controlled = controller["kind"] != "static"
    width, height = content["model"]["sizes"][0].split("x")
    variants = content["variants"]
    ladder = Ladder(tuple(_rung(rung) for rung in content["ladder"]))
    return ServerSettings(
        ladder=ladder,
        controller=_controller(controller),
        controlled=controlled,
        rules=_exit_rules(controller, ladder),
        hold_s=float(controller.get("min_hold_s", 0.0)),
        max_waiting=int(content.get("dispatcher", {}).get("max_waiting", 64)),
        pools=tuple(
            Pool(
                p["name"],
                tuple(p["variants"]),
                int(p.get("replicas", 1)),
                int(p.get("max_batch", 8)),
                int(p.get("threads", 1)),
                str(p.get("device", "cpu")),
            )
            for p in content["engines"]
        ),
        sources={name: str(one["source"]) for name, one in variants.items()},
        dtypes={name: str(one.get("dtype", "float32")) for name, one in variants.items()},
        samplers={n: str(one["sampler"]) for n, one in variants.items() if one.get("sampler")},
        width=int(width),
        height=int(height),
        content=content,
    )


def _rung(section: Mapping[str, Any]) -> Rung:
    return Rung(
        section["variant"],
        section["steps"],
        section["quality"],
        section.get("replannable", True),
        float(section.get("guidance_share", 1.0)),
    )


def _exit_rules(controller: Mapping[str, Any], ladder: Ladder) -> ExitRules:
    way = controller.get("apply", "in_flight")
    if way not in APPLIED:
        raise ValueError(f"controller.apply must be one of {', '.join(APPLIED)}, not {way!r}")
    return ExitRules.applied(way, float(controller.get("finish_from", 0.8)), ladder)


def _controller(section: Mapping[str, Any]) -> Controller:
    if section["kind"] == "static":
        return Static(int(section.get("rung", 0)))
    if section["kind"] == "hysteresis":
        hold_s = float(section.get("min_hold_s", 0.0))
        return Hysteresis(tuple(section["enter"]), tuple(section["leave"]), hold_s)
    raise ValueError(f"controller kind {section['kind']!r} has no model here; use hysteresis")


def write_variants(path: Path, folder: Path) -> tuple[Path, Path]:
    """Write static.yaml and controlled.yaml into `folder`; both keep working from there.

    controlled.yaml is the configuration as it stands. static.yaml differs in two sections: the
    controller (always the first rung) and the bound on waiting jobs (none in practice, else
    refusals would hide the growth of the queue that is to be shown). ConfigError if the
    configuration has no controller that could be switched off.
    """
    settings = read_settings(path)
    if not settings.controlled:
        raise ConfigError(
            f"{path} has a static controller, so there is nothing to compare; name a configuration"
            " with a hysteresis controller"
        )
    base = path.resolve().parent
    sources = {name: _absolute(source, base) for name, source in settings.sources.items()}
    content = dict(settings.content)
    content["variants"] = {
        name: {**one, "source": sources[name]} for name, one in content["variants"].items()
    }
    static = {
        **content,
        "controller": {"kind": "static", "rung": 0},
        "dispatcher": {**content.get("dispatcher", {}), "max_waiting": UNBOUNDED},
    }
    written = []
    for name, one in (("static", static), ("controlled", content)):
        target = folder / f"{name}.yaml"
        target.write_text(yaml.safe_dump(one, sort_keys=False), encoding="utf-8")
        written.append(target)
    return written[0], written[1]


def _absolute(source: str, base: Path) -> str:
    if source.startswith((EMBEDDED, HUB)):
        return source
    return str((base / Path(source).expanduser()).resolve())


def weights_of(settings: ServerSettings, variant: str) -> str:
    """Where `python -m pipelines` finds a variant: a folder, or a hub id."""
    source = settings.sources[variant]
    if source.startswith(EMBEDDED):
        return str(EMBEDDED_WEIGHTS / source.removeprefix(EMBEDDED))
    return source.removeprefix(HUB)


def is_embedded(settings: ServerSettings) -> bool:
    """Whether all pictures come from the embedded model, which the judge can read."""
    return all(source.startswith(EMBEDDED) for source in settings.sources.values())


def profile_command(settings: ServerSettings, out: Path) -> list[str]:
    """Arguments of `python` that measure the cost table of this server. ConfigError if it cannot.

    Batches are powers of two up to the limit, and the limit itself; the table knows those between.
    """
    dtypes = set(settings.dtypes.values())
    threads = {pool.threads for pool in settings.pools}
    devices = {pool.device for pool in settings.pools}
    for what, values in (("dtype", dtypes), ("threads", threads), ("device", devices)):
        if len(values) > 1:
            raise ConfigError(
                f"the demo measures one {what} for all engines, and the configuration has"
                f" {', '.join(str(v) for v in sorted(values, key=str))}; give all the same"
            )
    if "auto" in devices:
        raise ConfigError("the demo needs to know the engines' device; write cpu or cuda, not auto")
    command = ["-m", "pipelines", "profile", "--out", str(out)]
    for name in settings.ladder.variants:
        command += ["--variant", f"{name}={weights_of(settings, name)}"]
    for name, sampler in settings.samplers.items():
        command += ["--sampler", f"{name}={sampler}"]
    largest = settings.max_batch
    batches = sorted({1 << k for k in range(largest.bit_length())} | {largest})
    command += ["--batches", ",".join(str(batch) for batch in batches)]
    command += ["--threads", str(threads.pop()), "--dtype", dtypes.pop()]
    command += ["--device", devices.pop()]
    return [*command, "--size", f"{settings.width}x{settings.height}"]
