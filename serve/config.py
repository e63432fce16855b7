"""The one configuration file: what it may say, and one clear sentence where it says otherwise."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pipelines.costs import CostTable
from policies.building import exits_from, hold_s_of, ladder_from, policy_from, weighs_prices
from policies.exits import ExitRules
from policies.nouns import Ladder
from policies.policy import Policy
from serve.cost_tables import table_of
from serve.policy_sections import ControllerSection, DispatcherSection
from serve.sections import (
    EarlyExitSection,
    ModelSection,
    PoolSection,
    RungSection,
    Section,
    ServerSection,
    VariantSection,
    checked_name,
)

PORT_VARIABLE = "SLUICE_PORT"
"""Environment variable that overrides `server.port`."""

EMBEDDED_WEIGHTS = Path(__file__).resolve().parent.parent / "pipelines" / "embedded" / "weights"
CONFIGS = Path(__file__).resolve().parent / "configs"
DEFAULT_CONFIG = CONFIGS / "default.yaml"


class ConfigError(Exception):
    """A configuration that cannot be used; the message is one sentence for the user."""


class Config(Section):
    """The whole file."""

    model: ModelSection
    variants: Annotated[dict[str, VariantSection], Field(min_length=1)]
    ladder: Annotated[tuple[RungSection, ...], Field(min_length=1)]
    controller: ControllerSection
    dispatcher: DispatcherSection = DispatcherSection()
    early_exit: EarlyExitSection = EarlyExitSection()
    engines: Annotated[tuple[PoolSection, ...], Field(min_length=1)]
    server: ServerSection = ServerSection()

    @field_validator("variants")
    @classmethod
    def _variants_have_names(cls, value: dict[str, VariantSection]) -> dict[str, VariantSection]:
        for name in value:
            checked_name(name)
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
        self._check_rungs()
        self._check_pools()
        self._check_hand_over()
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
        for index, pool in enumerate(self.engines):
            self._check_rows(index, pool)
            self._check_quantised(index, pool)

    def _check_rows(self, index: int, pool: PoolSection) -> None:
        rows_each = 2 if any(self.may_be_guided(name) for name in pool.variants) else 1
        rows = rows_each * pool.max_batch
        if pool.row_buckets and pool.row_buckets[-1] < rows:
            raise ValueError(
                f"engines.{index}.row_buckets: a batch of {pool.max_batch} has up to {rows} rows,"
                f" and the largest bucket is {pool.row_buckets[-1]}; add {rows} or lower max_batch"
            )

    def _check_quantised(self, index: int, pool: PoolSection) -> None:
        for name in pool.variants:
            variant = self.variants[name]
            if variant.quantisation != "none" and pool.offload == "layers":
                raise ValueError(
                    f"engines.{index}.offload: layers cannot be moved once they are quantised, and"
                    f" {name!r} is; set offload to model or none, or its quantisation to none"
                )
            if variant.quantisation == "float8" and variant.dtype != "bfloat16":
                raise ValueError(
                    f"variants.{name}.dtype: float8 is multiplied up to bfloat16; set dtype to"
                    " bfloat16, or quantisation to int8 or int8_weights"
                )
            if variant.quantisation == "float8" and pool.device == "cpu":
                raise ValueError(
                    f"engines.{index}.device: {name!r} is quantised to float8, which needs a CUDA"
                    " device; set device to cuda, or its quantisation to int8 or int8_weights"
                )
            on_cuda = pool.device == "cuda"
            if variant.quantisation == "int8" and on_cuda and pool.compile != "inductor":
                raise ValueError(
                    f"engines.{index}.compile: {name!r} is quantised to int8, which on a CUDA"
                    " device needs compile inductor; set that, or use int8_weights"
                )

    def _check_rungs(self) -> None:
        for rung in self.build_ladder().rungs:
            if rung.replannable and self.variants[rung.variant].sampler == "lcm":
                raise ValueError(
                    f"ladder: rung {rung} runs the sampler lcm, whose schedule is fixed; set its"
                    " replannable to false, or give the variant another sampler"
                )
            if rung.guidance_share < 1 and not self.is_guided(rung.variant):
                raise ValueError(
                    f"ladder: rung {rung} cuts guidance that {rung.variant!r} does not have; drop"
                    " its guidance_share, or give the variant a guidance_scale above 1"
                )

    def _check_hand_over(self) -> None:
        if self.controller.apply != "hand_over":
            return
        if not any(len(self.takers(pool)) > 1 for pool in self.engines):
            raise ValueError(
                "controller.apply: hand_over needs an engine with two variants whose rungs are"
                " replannable, and there is none; put them into one pool, or apply in_flight"
            )

    def takers(self, pool: PoolSection) -> list[str]:
        """The variants of a pool that hand over to each other under `apply: hand_over`."""
        return [name for name in pool.variants if not self.has_fixed_schedule(name)]

    def exit_rules(self, pool: PoolSection) -> ExitRules:
        """What a lower rung does to the jobs that run in an engine of this pool."""
        rules = exits_from(_plain(self.controller), self.build_ladder())
        return rules.within(frozenset(pool.variants))

    def build_ladder(self) -> Ladder:
        """The ladder as the policies know it."""
        return _ladder_of(self.ladder)

    def build_policy(self) -> Policy:
        """All that the dispatcher goes by; reads the controller's table if it has one.

        ValueError, which begins with the key, if the policies cannot be built.
        """
        sections = {
            "ladder": [_plain(rung) for rung in self.ladder],
            "controller": _plain(self.controller),
            "dispatcher": _plain(self.dispatcher),
        }
        return policy_from(sections, _text_of)

    @property
    def hold_s(self) -> float:
        """How long the controller's rung stands at least, in seconds."""
        return hold_s_of(_plain(self.controller))

    def costs(self) -> dict[str, CostTable]:
        """The cost tables by pool name, read from the files; only pools that name one have one.

        ValueError, which begins with the key, if a table cannot be used or does not fit its pool.
        """
        tables = {}
        for index, pool in enumerate(self.engines):
            if pool.costs is None:
                continue
            path, size = Path(pool.costs), self.model.sizes[0]
            try:
                tables[pool.name] = table_of(pool, path, size, self.variants, self.ladder)
            except ValueError as error:
                sentence = str(error).rstrip(".")
                raise ValueError(f"engines.{index}.costs: {sentence}") from None
        return tables

    def lacks(self, *, prices: bool) -> str | None:
        """The key of the first cost table, or with `prices` also price, that is missing; None if
        all are there."""
        for index, pool in enumerate(self.engines):
            if pool.costs is None:
                return f"engines.{index}.costs"
            if prices and pool.price_per_hour is None:
                return f"engines.{index}.price_per_hour"
        return None

    def check_policy(self) -> None:
        """ValueError, which begins with the key, unless the policies can be built and know the
        scores, costs and prices that they go by."""
        policy = self.build_policy()
        self.costs()
        needing = policy.costs_needed_by()
        if needing is None and any(pool.autoscaling is not None for pool in self.engines):
            needing = "autoscaling"
        if needing is None and any(pool.costs is not None for pool in self.engines):
            needing = "the comparison with pools that have it"
        missing = self.lacks(prices=weighs_prices(policy.routing))
        if needing is not None and missing is not None:
            raise ValueError(f"{missing}: this key is missing, and {needing} needs it; add it")

    def steps_max(self, variant: str) -> int:
        """The most steps that a client may ask of a variant."""
        own = self.variants[variant].steps_max
        return self.model.steps_max if own is None else own

    def has_fixed_schedule(self, variant: str) -> bool:
        """Whether a variant was distilled for few steps: none of its rungs can be re-planned."""
        return not any(rung.replannable for rung in self.ladder if rung.variant == variant)

    def is_guided(self, variant: str) -> bool:
        """Whether a variant is guided unless a client says otherwise."""
        scale = self.variants[variant].guidance_scale
        return not self.has_fixed_schedule(variant) if scale is None else scale > 1

    def may_be_guided(self, variant: str) -> bool:
        """Whether a client may ask a variant for guidance: distilled ones may be without."""
        return not self.has_fixed_schedule(variant) or self.is_guided(variant)

    def model_ids(self) -> dict[str, str | None]:
        """Public model ids and the variant that each pins; the family's own id pins none."""
        pinned = {f"{self.model.id}/{name}": name for name in self.variants}
        return {self.model.id: None, **pinned}


def _ladder_of(rungs: tuple[RungSection, ...]) -> Ladder:
    return ladder_from([_plain(rung) for rung in rungs])


def _plain(section: Section) -> dict[str, Any]:
    """What the file says, without the defaults: the policies have their own."""
    return section.model_dump(exclude_unset=True)


def _text_of(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


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
    config = _with_absolute_paths(config, path.parent)
    try:
        config.check_policy()
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return config


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    variants = {
        name: variant.model_copy(update={"source": _resolved(variant.source, folder)})
        for name, variant in config.variants.items()
    }
    engines = tuple(
        pool
        if pool.costs is None
        else pool.model_copy(update={"costs": _absolute(pool.costs, folder)})
        for pool in config.engines
    )
    controller = config.controller
    if controller.table is not None:
        table = _absolute(controller.table, folder)
        controller = controller.model_copy(update={"table": table})
    changed = {"variants": variants, "engines": engines, "controller": controller}
    return config.model_copy(update=changed)


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
    return _absolute(source, folder)


def _absolute(path: str, folder: Path) -> str:
    return str((folder / Path(path).expanduser()).resolve())


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
