"""The one configuration file: what it may say, and one clear sentence where it says otherwise."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from policies.controllers import Controller, Hysteresis, Static
from policies.nouns import Ladder, Rung

PORT_VARIABLE = "SLUICE_PORT"
"""Environment variable that overrides `server.port`."""

EMBEDDED_WEIGHTS = Path(__file__).resolve().parent.parent / "pipelines" / "embedded" / "weights"
CONFIGS = Path(__file__).resolve().parent / "configs"
DEFAULT_CONFIG = CONFIGS / "default.yaml"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Count = Annotated[int, Field(ge=1)]


class ConfigError(Exception):
    """A configuration that cannot be used; the message is one sentence for the user."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSection(_Section):
    """The model as clients see it. `sizes` are WxH in pixels; the first is the default."""

    id: str
    sizes: Annotated[tuple[str, ...], Field(min_length=1)]
    prompt_chars_max: Count = 1000
    steps_max: Count = 100
    created: Annotated[int, Field(ge=0)] = 1_763_596_800  # unix seconds, for /v1/models

    @field_validator("id")
    @classmethod
    def _id_is_a_name(cls, value: str) -> str:
        return _checked_name(value)

    @field_validator("sizes")
    @classmethod
    def _sizes_fit_the_autoencoder(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for size in value:
            match = _SIZE.fullmatch(size)
            if match is None:
                raise ValueError(f"{size!r} is not a size; write WIDTHxHEIGHT, such as 64x64")
            if any(int(side) % 8 for side in match.groups()):
                raise ValueError(f"both sides of {size!r} must be multiples of 8")
        return value


class VariantSection(_Section):
    """One loadable pipeline.

    `source` is a folder (relative to this file), `embedded:NAME` for the weights that come with
    the project, or `hub:OWNER/NAME`. `weights` picks among a folder's files, such as fp16.
    `sampler` and `guidance_scale` left out mean what the pipeline itself says.
    """

    source: str
    weights: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    sampler: Literal["ddim", "euler", "euler_ancestral", "dpmpp_2m", "lcm"] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=50)] | None = None
    steps_max: Count | None = None

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, value: str) -> str:
        kind, _, name = value.rpartition(":")
        if kind == "hub" and not _HUB_ID.fullmatch(name):
            raise ValueError(f"{name!r} is not a hub id; write hub:OWNER/NAME")
        return value


class RungSection(_Section):
    """One rung of the ladder; `replannable` is false for few-step distilled variants."""

    variant: str
    steps: Count
    quality: Literal["low", "medium", "high", "xhigh", "max"]
    replannable: bool = True


class ControllerSection(_Section):
    """How the current rung is chosen from the number of waiting jobs.

    static: always `rung`. hysteresis: rung i is entered at `enter[i-1]` waiting and left at
    `leave[i-1]`. `apply`: whether a change of rung re-plans the jobs that already run.
    """

    kind: Literal["static", "hysteresis"]
    rung: Annotated[int, Field(ge=0)] = 0
    enter: tuple[int, ...] = ()
    leave: tuple[int, ...] = ()
    min_hold_s: Annotated[float, Field(ge=0)] = 0.0
    apply: Literal["in_flight", "at_start"] = "in_flight"

    @model_validator(mode="after")
    def _keys_belong_to_the_kind(self) -> ControllerSection:
        if self.kind == "static" and (self.enter or self.leave or self.min_hold_s):
            raise ValueError("a static controller takes only rung; drop enter, leave, min_hold_s")
        if self.kind == "hysteresis" and self.rung:
            raise ValueError("a hysteresis controller starts at rung 0; drop the key rung")
        self.build()  # the policy checks its own thresholds
        return self

    def build(self) -> Controller:
        """The policy that this section describes; ValueError if its thresholds make none."""
        if self.kind == "static":
            return Static(self.rung)
        return Hysteresis(self.enter, self.leave, self.min_hold_s)


class DispatcherSection(_Section):
    """The one queue. `claim_s`: how long a granted place may stay unused before it is freed."""

    max_waiting: Count = 64
    claim_s: Annotated[float, Field(gt=0)] = 30.0


class PoolSection(_Section):
    """Like engines: each of `replicas` processes hosts all `variants` on one `device`.

    `threads` is the number of CPU threads that one engine computes with. `device` is cpu, cuda,
    or auto (cuda where there is one); on cuda each engine takes `gpus` of the machine's.
    """

    name: str
    variants: Annotated[tuple[str, ...], Field(min_length=1)]
    replicas: Count = 1
    max_batch: Annotated[int, Field(ge=1, le=256)] = 8
    threads: Count = 1
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    gpus: Annotated[float, Field(gt=0)] = 1.0

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, value: str) -> str:
        return _checked_name(value)


class ServerSection(_Section):
    """Where the server listens, and what it takes."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    body_bytes_max: Count = 1_000_000
    gateways: Count = 1


class Config(_Section):
    """The whole file."""

    model: ModelSection
    variants: Annotated[dict[str, VariantSection], Field(min_length=1)]
    ladder: Annotated[tuple[RungSection, ...], Field(min_length=1)]
    controller: ControllerSection
    dispatcher: DispatcherSection = DispatcherSection()
    engines: Annotated[tuple[PoolSection, ...], Field(min_length=1)]
    server: ServerSection = ServerSection()

    @field_validator("variants")
    @classmethod
    def _variants_have_names(cls, value: dict[str, VariantSection]) -> dict[str, VariantSection]:
        for name in value:
            _checked_name(name)
        return value

    @field_validator("ladder")
    @classmethod
    def _ladder_is_in_order(cls, value: tuple[RungSection, ...]) -> tuple[RungSection, ...]:
        _ladder_of(value)  # the policy checks its own order
        return value

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Config:
        ladder = self.build_ladder()
        for rung in ladder.rungs:
            if rung.variant not in self.variants:
                known = ", ".join(self.variants)
                raise ValueError(
                    f"ladder: rung {rung} names the variant {rung.variant!r}, which is not under"
                    f" variants ({known}); add it there or change the rung"
                )
            if rung.steps > self.steps_max(rung.variant):
                raise ValueError(
                    f"ladder: rung {rung} has more steps than steps_max"
                    f" ({self.steps_max(rung.variant)}); raise steps_max or lower the rung"
                )
        unused = [name for name in self.variants if name not in ladder.variants]
        if unused:
            raise ValueError(
                f"variants: {unused[0]!r} is on no rung of the ladder; add a rung or remove it"
            )
        mixed = {r.variant for r in ladder.rungs if not r.replannable}
        for rung in ladder.rungs:
            if rung.replannable and rung.variant in mixed:
                raise ValueError(
                    f"ladder: rung {rung} is replannable and another of {rung.variant!r} is not;"
                    " give all rungs of one variant the same"
                )
        self._check_pools()
        if self.controller.build().deepest > ladder.last:
            raise ValueError(
                f"controller: it reaches rung {self.controller.build().deepest}, but the ladder"
                f" ends at rung {ladder.last}; drop thresholds or add rungs"
            )
        return self

    def _check_pools(self) -> None:
        names = [pool.name for pool in self.engines]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"engines: two pools are named {twice!r}; rename one")
        hosted = {name for pool in self.engines for name in pool.variants}
        for name in sorted(hosted - set(self.variants)):
            raise ValueError(
                f"engines: a pool hosts {name!r}, which is not under variants; add it there"
                " or remove it from the pool"
            )
        for name in sorted(set(self.variants) - hosted):
            raise ValueError(f"engines: no pool hosts the variant {name!r}; add it to a pool")

    def build_ladder(self) -> Ladder:
        """The ladder as the policies know it."""
        return _ladder_of(self.ladder)

    def steps_max(self, variant: str) -> int:
        """The most steps that a client may ask of a variant."""
        own = self.variants[variant].steps_max
        return self.model.steps_max if own is None else own

    def has_fixed_schedule(self, variant: str) -> bool:
        """Whether a variant was distilled for few steps: none of its rungs can be re-planned."""
        return not any(rung.replannable for rung in self.ladder if rung.variant == variant)

    def model_ids(self) -> dict[str, str | None]:
        """Public model ids and the variant that each pins; the family's own id pins none."""
        pinned = {f"{self.model.id}/{name}": name for name in self.variants}
        return {self.model.id: None, **pinned}


def _ladder_of(rungs: tuple[RungSection, ...]) -> Ladder:
    return Ladder(tuple(Rung(r.variant, r.steps, r.quality, r.replannable) for r in rungs))


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name; use letters, digits, dots, dashes, underscores")
    return value


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"the key {key!r} is given twice (line {line}); remove one")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load_config(path: Path, *, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration file; sources come back as absolute paths.

    The port is taken from `SLUICE_PORT` if that is set.
    ConfigError with one sentence that names the file, the key and what to change.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{path}: the configuration cannot be read ({reason}); give --config an existing"
            " YAML file"
        ) from None
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" near line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}: this is not valid YAML{where}; correct it there") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the file must hold keys such as model, variants and ladder")
    return parse_config(_with_port(content, environment), path)


def parse_config(content: Mapping[str, Any], path: Path) -> Config:
    """Check what stood in a configuration file; `path` serves messages and relative sources."""
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_fault_sentence(error)}") from None
    variants = {
        name: variant.model_copy(update={"source": _resolved(variant.source, path.parent)})
        for name, variant in config.variants.items()
    }
    return config.model_copy(update={"variants": variants})


def _with_port(content: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    port = environment.get(PORT_VARIABLE)
    if not port:
        return content
    if not port.isascii() or not port.isdigit():
        raise ConfigError(f"{PORT_VARIABLE}: {port!r} is not a port; set a number, such as 8000")
    server = content.get("server") or {}
    if not isinstance(server, dict):
        return content  # the check of the whole file reports it
    return {**content, "server": {**server, "port": int(port)}}


def _resolved(source: str, folder: Path) -> str:
    if source.startswith("hub:"):
        return source
    if source.startswith("embedded:"):
        return str(EMBEDDED_WEIGHTS / source.removeprefix("embedded:"))
    return str((folder / Path(source).expanduser()).resolve())


def _fault_sentence(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{key}: this key is unknown; remove it or correct its spelling"
    if fault["type"] == "missing":
        return f"{key}: this key is missing; add it"
    if fault["type"] == "value_error":
        told = str(fault["ctx"]["error"])
        return f"{key}: {told}" if key else told
    told = str(fault["msg"]).removeprefix("Input ").rstrip(".")
    return f"{key}: the value {fault['input']!r} {told}; correct it"
