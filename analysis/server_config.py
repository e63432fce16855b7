"""The server's YAML file as the models need it, and its forms for experiments.

`serve` checks the whole file when it starts; only what is read here is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from policies.building import hold_s_of, policy_from
from policies.controllers import Controller
from policies.dispatcher import RATE_WINDOW_S
from policies.exits import ExitRules
from policies.nouns import Ladder
from policies.policy import Policy

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_CONFIG = ROOT / "serve" / "configs" / "default.yaml"
EMBEDDED_WEIGHTS = ROOT / "pipelines" / "embedded" / "weights"
EMBEDDED, HUB = "embedded:", "hub:"
UNBOUNDED = 1_000_000
"""The static server's bound on waiting jobs: none in practice, so that its queue can be seen."""

NOT_STATIC = ("tenant_max", "refuse_hopeless", "routing", "price_max")
"""Keys of the dispatcher's section that refuse jobs or may choose a lower rung for them."""

SECONDS_PER_HOUR = 3600.0

Mode: TypeAlias = Literal["static", "configured", "at_start", "in_flight"]
"""A form of a configuration: see `write_modes`."""


class ConfigError(ValueError):
    """A configuration that an experiment cannot use; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Like engines. `price_per_s` is what a second of one costs, in any one currency."""

    name: str
    variants: tuple[str, ...]
    replicas: int
    max_batch: int
    threads: int
    device: str
    price_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What one server was told to do. `sources`, `dtypes`, `samplers` are by variant.

    `controlled`: whether its controller ever changes the rung, which then stands for `hold_s` at
    least. Rates of arrival are taken over `rate_window_s`; `seed` is for what is drawn at random.
    """

    policy: Policy
    controlled: bool
    hold_s: float
    rate_window_s: float
    seed: int
    pools: tuple[Pool, ...]
    sources: Mapping[str, str]
    dtypes: Mapping[str, str]
    samplers: Mapping[str, str]
    width: int
    height: int
    content: Mapping[str, Any] = field(repr=False)

    @property
    def ladder(self) -> Ladder:
        """The policy's ladder."""
        return self.policy.ladder

    @property
    def controller(self) -> Controller:
        """The policy's controller."""
        return self.policy.controller

    @property
    def rules(self) -> ExitRules:
        """What a lower rung does to running jobs."""
        return self.policy.exits

    @property
    def max_waiting(self) -> int:
        """How many jobs may wait."""
        return self.policy.admission.max_waiting

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
        return _settings(content, path.parent)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ConfigError(
            f"{path} is no server configuration ({error!r}); `python -m serve --config {path}`"
            " says what is wrong with it"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _settings(content: Mapping[str, Any], folder: Path) -> ServerSettings:
    controller = content["controller"]
    dispatcher = content.get("dispatcher") or {}
    width, height = content["model"]["sizes"][0].split("x")
    variants = content["variants"]

    if any(pool.get("autoscaling") for pool in content["engines"]):
        raise ValueError(
            "engines: the models need a fixed number of engines; replace autoscaling by replicas"
        )

    def text_of(name: str) -> str:
        return (folder / Path(name).expanduser()).read_text(encoding="utf-8")

    return ServerSettings(
        policy=policy_from(content, text_of),
        controlled=controller["kind"] != "static",
        hold_s=hold_s_of(controller),
        rate_window_s=float(dispatcher.get("rate_window_s", RATE_WINDOW_S)),
        seed=int(dispatcher.get("seed", 0)),
        pools=tuple(
            Pool(
                p["name"],
                tuple(p["variants"]),
                int(p.get("replicas", 1)),
                int(p.get("max_batch", 8)),
                int(p.get("threads", 1)),
                str(p.get("device", "cpu")),
                float(p.get("price_per_hour") or 0.0) / SECONDS_PER_HOUR,
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


def write_variants(path: Path, folder: Path) -> tuple[Path, Path]:
    """Write static.yaml and controlled.yaml, the configuration as it stands, into `folder`.

    As `write_modes`. ConfigError if the configuration has no controller that could be switched off.
    """
    contents = _in_modes(path, ("static", "configured"))
    return (
        _write(folder / "static.yaml", contents["static"]),
        _write(folder / "controlled.yaml", contents["configured"]),
    )


def write_modes(path: Path, folder: Path, modes: Sequence[Mode]) -> dict[Mode, Path]:
    """Write the configuration into `folder` as it is in each mode, and give the files by mode.

    They are named after their modes and keep working from there. `configured` is the configuration
    as it stands; in `at_start` and `in_flight` the controller applies a lower rung in that way.
    `static` differs in two sections: the controller (always the first rung) and the dispatcher,
    which refuses nobody, else refusals would hide the growth of the queue that is to be shown, and
    chooses no rung either. ConfigError for any other mode of a configuration that has a static
    controller.
    """
    contents = _in_modes(path, modes)
    return {mode: _write(folder / f"{mode}.yaml", one) for mode, one in contents.items()}


def _write(target: Path, content: Mapping[str, Any]) -> Path:
    target.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
    return target


def _in_modes(path: Path, modes: Sequence[Mode]) -> dict[Mode, dict[str, Any]]:
    """The configuration in each mode, every path in it absolute."""
    settings = read_settings(path)
    if not settings.controlled and any(mode != "static" for mode in modes):
        raise ConfigError(
            f"{path} has a static controller, so there is nothing to compare; name a configuration"
            " with another kind"
        )
    base = path.resolve().parent
    sources = {name: _absolute(source, base) for name, source in settings.sources.items()}
    content = dict(settings.content)
    content["variants"] = {
        name: {**one, "source": sources[name]} for name, one in content["variants"].items()
    }
    content["engines"] = [_with_absolute(pool, "costs", base) for pool in content["engines"]]
    content["controller"] = _with_absolute(content["controller"], "table", base)
    return {mode: _in_mode(content, mode) for mode in modes}


def _in_mode(content: Mapping[str, Any], mode: Mode) -> dict[str, Any]:
    if mode == "configured":
        return dict(content)
    if mode == "static":
        dispatcher = content.get("dispatcher") or {}
        kept = {name: value for name, value in dispatcher.items() if name not in NOT_STATIC}
        return {
            **content,
            "controller": {"kind": "static", "rung": 0},
            "dispatcher": {**kept, "max_waiting": UNBOUNDED},
        }
    # `finish_from` belongs to a way to apply a rung that is neither of these.
    kept = {name: value for name, value in content["controller"].items() if name != "finish_from"}
    return {**content, "controller": {**kept, "apply": mode}}


def _absolute(source: str, base: Path) -> str:
    if source.startswith((EMBEDDED, HUB)):
        return source
    return _absolute_path(source, base)


def _with_absolute(section: Mapping[str, Any], key: str, base: Path) -> dict[str, Any]:
    """The section, with the path under this key, if there is one, made absolute."""
    if section.get(key) is None:
        return dict(section)
    return {**section, key: _absolute_path(section[key], base)}


def _absolute_path(path: str, base: Path) -> str:
    return str((base / Path(path).expanduser()).resolve())


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
                f"the profile has one {what} for all engines, and the configuration has"
                f" {', '.join(str(v) for v in sorted(values, key=str))}; give all the same"
            )
    if "auto" in devices:
        raise ConfigError(
            "the profile needs to know the engines' device; write cpu or cuda, not auto"
        )
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
