"""Policies in the configuration file: what is built, and what is missing for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.admission import Admission
from policies.controllers import DeadlineAware, DecisionTable, QualityBudget
from policies.dispatcher import RATE_WINDOW_S
from policies.orders import Tiers
from policies.policy import Policy
from policies.routing import Cheapest, WithinBudget
from serve.config import CONFIGS, DEFAULT_CONFIG, Config, ConfigError, load_config, parse_config
from serve.policy_sections import DispatcherSection

ROOT = Path(__file__).resolve().parents[2]
COSTS = str(ROOT / "analysis" / "benchmarks" / "costs.json")
PARETO = ROOT / "analysis" / "benchmarks" / "quality" / "pareto.json"
HERE = Path("/somewhere/serve.yaml")
PRESSURE = {"enter": [2, 4], "leave": [0, 1]}
LADDER_LAST = 4


def parsed(path: Path = HERE, **sections: Any) -> Config:
    """The default configuration with keys of some sections replaced; the controller's all."""
    content: dict[str, Any] = yaml.safe_load(DEFAULT_CONFIG.read_text())
    content["controller"] = sections.pop("controller", content["controller"])
    content["engines"][0] |= sections.pop("pool", {})
    for name, changes in sections.items():
        content[name] = changes if isinstance(changes, list) else content[name] | changes
    return parse_config(content, path)


def fault(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(**sections)
    told = str(caught.value)
    assert told.startswith(f"{HERE}: ")
    assert "\n" not in told
    return told.removeprefix(f"{HERE}: ")


def test_what_the_sections_leave_out_is_what_the_policies_leave_out() -> None:
    section, bare = DispatcherSection(), parsed(dispatcher={})
    bounds = Admission(section.max_waiting, section.tenant_max, section.refuse_hopeless)
    assert bounds == Admission()
    assert section.rate_window_s == RATE_WINDOW_S
    policy = bare.build_policy()
    plain = Policy(policy.ladder, policy.controller)
    assert (policy.order, policy.routing) == (plain.order, plain.routing)
    assert bare.hold_s == 0.5


def test_the_example_for_deadlines_puts_all_of_it_together() -> None:
    config = load_config(CONFIGS / "deadline.yaml", environment={})
    policy = config.build_policy()
    assert policy.controller == DeadlineAware(LADDER_LAST, 2.0, 0.1, share=0.5, drain_s=1.0)
    assert policy.order == Tiers({"priority": 0.0, "default": 5.0, "flex": 30.0})
    assert policy.admission == Admission(64, 32, True)
    assert config.ladder == load_config(DEFAULT_CONFIG, environment={}).ladder
    assert config.costs()["main"].step_s("full", 1) > 0


def test_scores_that_ship_are_the_measured_ones() -> None:
    rungs = {one["name"]: one for one in json.loads(PARETO.read_text())["rungs"]}
    ladder = load_config(DEFAULT_CONFIG, environment={}).build_ladder()
    assert ladder.scores() == tuple(round(rungs[str(rung)]["ssim"], 4) for rung in ladder.rungs)


def test_routing_and_bounds_reach_the_policy() -> None:
    pool = {"costs": COSTS, "price_per_hour": 1.8}
    config = parsed(
        pool=pool,
        dispatcher={"routing": "within_budget", "price_max": 0.001, "tenant_max": 3, "seed": 5},
    )
    assert config.build_policy().routing == WithinBudget(0.001)
    assert config.build_policy().admission.tenant_max == 3
    assert config.engines[0].price_per_s == pytest.approx(0.0005)
    assert config.dispatcher.seed == 5
    assert parsed().engines[0].price_per_s == 0.0


@pytest.mark.parametrize(
    ("controller", "told"),
    [
        ({"kind": "hysteresis", "enter": [2, 4]}, "controller: kind hysteresis needs leave"),
        ({"kind": "threshold", **PRESSURE}, "controller: kind threshold takes enter; drop leave"),
        ({"kind": "threshold", "enter": [-1]}, "controller.enter.0: the value -1"),
        ({"kind": "deadline_aware", "target_s": 0}, "controller.target_s: the value 0"),
        ({"kind": "deadline_aware"}, "controller: kind deadline_aware needs target_s"),
        ({"kind": "quality_budget", "target_score": 2, **PRESSURE}, "controller.target_score"),
        ({"kind": "static", "rung": 5}, "controller: the controller can choose rung 5"),
    ],
)
def test_a_controller_s_keys_are_those_of_its_kind(controller: dict[str, Any], told: str) -> None:
    assert fault(controller=controller).startswith(told)


@pytest.mark.parametrize(
    "sections",
    [
        {"controller": {"kind": "deadline_aware", "target_s": 2.0}},
        {"controller": {"kind": "load_proportional", "target_s": 2.0}},
        {"controller": {"kind": "burst_ahead", "horizon_s": 2.0, **PRESSURE}},
        {"dispatcher": {"routing": "least_completion"}},
        {"dispatcher": {"routing": "best_quality"}},
        {"dispatcher": {"routing": "cheapest"}},
        {"dispatcher": {"routing": "within_budget", "price_max": 1.0}},
        {"dispatcher": {"refuse_hopeless": True}},
    ],
    ids=str,
)
def test_what_predicts_times_needs_the_costs_of_every_pool(sections: dict[str, Any]) -> None:
    told = fault(**sections)
    assert told.startswith("engines.0.costs: this key is missing, and ")
    pool = {"costs": COSTS, "price_per_hour": 0}
    assert parsed(pool=pool, **sections).build_policy().costs_needed_by() is not None


def test_autoscaling_needs_costs_and_sets_the_replicas_itself() -> None:
    pool: dict[str, Any] = {"autoscaling": {"max_replicas": 4, "target_wait_s": 1.0}}
    assert "drop replicas" in fault(pool=pool)
    whole = yaml.safe_load(DEFAULT_CONFIG.read_text())
    del whole["engines"][0]["replicas"]
    whole["engines"][0] |= pool
    with pytest.raises(ConfigError, match=r"engines\.0\.costs: .* autoscaling needs it"):
        parse_config(whole, HERE)
    whole["engines"][0]["costs"] = COSTS
    scaling = parse_config(whole, HERE).engines[0].autoscaling
    assert scaling is not None
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_wait_s) == (1, 4, 1.0)
    whole["engines"][0]["autoscaling"]["min_replicas"] = 5
    with pytest.raises(ConfigError, match="min_replicas 5 is above max_replicas 4"):
        parse_config(whole, HERE)


def test_costs_are_known_of_all_pools_or_of_none() -> None:
    whole = yaml.safe_load(DEFAULT_CONFIG.read_text())
    pool = whole["engines"][0] | {"costs": COSTS}
    whole["engines"] = [pool, pool | {"name": "other", "costs": None}]
    with pytest.raises(ConfigError, match=r"engines\.1\.costs: this key is missing"):
        parse_config(whole, HERE)
    whole["engines"][1]["costs"] = COSTS
    assert set(parse_config(whole, HERE).costs()) == {"main", "other"}


@pytest.mark.parametrize("routing", ["cheapest", "within_budget"])
def test_what_weighs_prices_needs_the_price_of_every_pool(routing: str) -> None:
    dispatcher = {"routing": routing} | ({"price_max": 1} if routing == "within_budget" else {})
    told = fault(dispatcher=dispatcher, pool={"costs": COSTS})
    assert told.startswith("engines.0.price_per_hour: this key is missing")
    free = parsed(dispatcher=dispatcher, pool={"costs": COSTS, "price_per_hour": 0})
    assert isinstance(free.build_policy().routing, Cheapest | WithinBudget)


def test_a_budget_of_quality_needs_scores() -> None:
    controller = {"kind": "quality_budget", "target_score": 0.98, **PRESSURE}
    assert isinstance(parsed(controller=controller).build_policy().controller, QualityBudget)
    bare = [
        {name: value for name, value in rung.items() if name != "score"}
        for rung in yaml.safe_load(DEFAULT_CONFIG.read_text())["ladder"]
    ]
    assert "controller: rung full@25 has no score" in fault(controller=controller, ladder=bare)


@pytest.mark.parametrize(
    ("dispatcher", "told"),
    [
        ({"price_max": 1.0}, "dispatcher: price_max belongs to routing: within_budget"),
        ({"routing": "within_budget"}, "dispatcher: routing within_budget needs price_max"),
        ({"tiers": {"flex": 5}}, "dispatcher: tiers belong to order: tiers"),
        ({"order": "tiers", "tiers": {"gold": 5}}, "dispatcher.tiers.gold: this key is unknown"),
        ({"order": "tiers", "tiers": {"flex": -5}}, "dispatcher.tiers.flex: the value -5"),
        ({"order": "lifo"}, "dispatcher.order: the value 'lifo'"),
        ({"routing": "telepathy"}, "dispatcher.routing: the value 'telepathy'"),
        ({"tenant_max": 0}, "dispatcher.tenant_max: the value 0"),
        ({"rate_window_s": 0}, "dispatcher.rate_window_s: the value 0"),
    ],
)
def test_a_dispatcher_that_cannot_be_is_refused(dispatcher: dict[str, Any], told: str) -> None:
    assert fault(dispatcher=dispatcher).startswith(told)


def test_the_decision_table_is_read_beside_the_file(tmp_path: Path) -> None:
    controller = {"kind": "cost_optimal", "table": "tables/thresholds.json"}
    with pytest.raises(
        ConfigError, match=r"controller: table .*thresholds\.json: it cannot be read"
    ):
        parsed(tmp_path / "serve.yaml", controller=controller)
    bands = [{"below_per_s": None, "rungs": [[0, 0, 1], [0, 1, 1]]}]
    table = {"version": 1, "kind": "table", "bands": bands}
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "thresholds.json").write_text(json.dumps(table))
    built = parsed(tmp_path / "serve.yaml", controller=controller).build_policy().controller
    assert isinstance(built, DecisionTable)
    assert built.deepest == 1


def test_a_table_of_more_rungs_than_the_ladder_has_is_refused(tmp_path: Path) -> None:
    bands = [{"below_per_s": None, "rungs": [[0, 5]] * 6}]
    table = {"version": 1, "kind": "table", "bands": bands}
    (tmp_path / "six.json").write_text(json.dumps(table))
    with pytest.raises(ConfigError, match=r"controller: .* rung 5, but the last rung"):
        parsed(tmp_path / "serve.yaml", controller={"kind": "cost_optimal", "table": "six.json"})
