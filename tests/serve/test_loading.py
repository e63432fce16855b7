"""From a pool's configuration to a real engine with tiny weights."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from pipelines.samplers import SAMPLERS
from serve.config import Config, load_config
from serve.loading import ready_engine
from serve.sections import ConvergenceSection, EarlyExitSection, SamplerName


@pytest.fixture(scope="module")
def config(tiny_config: Path) -> Config:
    return load_config(tiny_config, environment={})


def test_a_pool_is_loaded_and_warmed_up(config: Config) -> None:
    engine, call_max_s = ready_engine(config, config.engines[0], "cpu")
    assert call_max_s >= config.engines[0].call_max_s
    assert set(engine.variants) == {"full", "turbo"}
    assert engine.variants["turbo"].fixed_schedule
    assert not engine.has_work()


def test_an_engine_knows_its_convergence_exit_and_its_exit_rules(config: Config) -> None:
    section = EarlyExitSection(convergence=ConvergenceSection(loss_budget=0.05))
    engine, _ = ready_engine(
        config.model_copy(update={"early_exit": section}), config.engines[0], "cpu"
    )
    assert engine.tuner is not None
    assert engine.tuner.settings.loss_budget == 0.05
    assert ready_engine(config, config.engines[0], "cpu")[0].tuner is None


def test_how_a_model_is_called_is_passed_on(config: Config) -> None:
    pool = config.engines[0].model_copy(
        update={"channels_last": True, "row_buckets": (2, 4), "offload": "layers"}
    )
    engine, _ = ready_engine(config, pool, "cpu")
    full = engine.variants["full"]
    assert (full.execution.channels_last, full.execution.row_buckets) == (True, (2, 4))
    assert full.offload == "layers"
    assert full.quantisation == "none"


def test_a_call_may_take_as_long_as_a_full_batch_of_the_largest_size_by_the_warm_up(
    config: Config,
) -> None:
    pool = config.engines[0].model_copy(update={"call_max_s": 1e-9, "call_max_factor": 20.0})
    _, once_s = ready_engine(config, pool, "cpu")
    assert 20 * pool.max_batch * 4 * 1e-4 < once_s < 60  # 32x32 has four times the pixels
    _, floor_s = ready_engine(config, pool.model_copy(update={"call_max_s": 1e6}), "cpu")
    assert floor_s == 1e6


def test_every_sampler_of_the_engine_can_be_named() -> None:
    assert set(get_args(SamplerName)) == set(SAMPLERS)
