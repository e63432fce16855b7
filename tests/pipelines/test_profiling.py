"""The cost table comes out of the engine's own steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.costs import CostTable
from pipelines.loading import Variant, load_variant
from pipelines.probes import StepRig, steady
from pipelines.profiling import (
    WARM_UP_ROUNDS,
    Cell,
    ProfileSettings,
    describe_commit,
    describe_machine,
    measure,
    profile,
    summarise,
)
from tests.pipelines.tiny_pipelines import SIZE


def test_a_profile_measures_every_variant_and_batch(
    full: Variant, turbo: Variant, tmp_path: Path
) -> None:
    settings = ProfileSettings(batches=(2, 1), repetitions=2, threads=(1,))
    (table,) = profile([full, turbo], settings, seed=4, command="how")
    assert set(table.variants) == {"full", "turbo"}
    for costs in table.variants.values():
        assert list(costs.step_s) == list(costs.decode_s) == [1, 2]
        assert all(0 < step.median_s < 5 for step in costs.step_s.values())
        assert costs.encode_s.repetitions == costs.step_s[1].repetitions == 2
    assert list(table.variants["full"].unguided_step_s) == [1, 2]
    assert table.variants["full"].rows_per_job == 2
    assert not table.variants["turbo"].unguided_step_s
    assert table.variants["turbo"].rows_per_job == 1
    assert (table.width, table.height, table.threads, table.dtype) == (SIZE, SIZE, 1, "float32")
    assert (table.device, table.seed, table.command) == ("cpu", 4, "how")
    assert table.versions["torch"] == torch.__version__
    table.save(tmp_path / "costs.json")
    assert CostTable.load(tmp_path / "costs.json") == table


def test_every_setting_gets_a_table_and_torch_its_threads_back(
    full: Variant, folders: dict[str, Path]
) -> None:
    half = load_variant("full", folders["v_prediction"], dtype="bfloat16")
    settings = ProfileSettings(
        batches=(1,), repetitions=1, threads=(2, 1), sizes=((SIZE, SIZE), (SIZE, 2 * SIZE))
    )
    before = torch.get_num_threads()
    tables = profile([full, half], settings)
    assert torch.get_num_threads() == before
    found = {(one.width, one.height, one.dtype, one.threads) for one in tables}
    wanted = {
        (SIZE, height, dtype, threads)
        for height in (SIZE, 2 * SIZE)
        for dtype in ("float32", "bfloat16")
        for threads in (1, 2)
    }
    assert found == wanted
    assert len(tables) == len(wanted)


def test_the_order_is_a_new_one_every_round_and_the_seed_says_which() -> None:
    def order(seed: int) -> list[str]:
        called: list[str] = []

        def probe(name: str) -> Callable[[], float]:
            def run() -> float:
                called.append(name)
                return 1.0

            return run

        probes = {Cell("float32", "v", name): probe(name) for name in "abcdef"}
        seconds = measure(probes, (torch.get_num_threads(),), 4, random.Random(seed))
        assert all(len(times) == 4 for of in seconds.values() for times in of.values())
        return ["".join(called[k : k + 6]) for k in range(0, len(called), 6)]

    rounds = order(1)
    assert all(sorted(once) == list("abcdef") for once in rounds)
    assert len(set(rounds)) == len(rounds) == WARM_UP_ROUNDS + 4
    assert rounds == order(1) != order(2)


def test_the_first_of_a_row_of_calls_does_not_count() -> None:
    times = iter([9.0, 3.0, 1.0, 2.0, 9.0, 5.0, 5.0, 4.0])
    probe = steady(lambda: next(times), calls=3)
    assert [probe(), probe()] == [2.0, 5.0]


@pytest.mark.parametrize(("guided", "rows"), [(True, 6), (False, 3)])
def test_a_step_without_guidance_has_one_row_a_job(
    full: Variant, monkeypatch: pytest.MonkeyPatch, guided: bool, rows: int
) -> None:
    counted = count_rows(full, monkeypatch)
    StepRig(full, 3, SIZE, SIZE, guided=guided).run()
    assert set(counted) == {rows}


def test_a_batch_that_memory_does_not_hold_is_not_measured_in_pieces(
    turbo: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if sample.shape[0] > 1:
            raise torch.OutOfMemoryError("the accelerator is full")
        return forward(sample, *args, **kwargs)

    forward = turbo.unet.forward
    monkeypatch.setattr(turbo.unet, "forward", short_of_memory)
    StepRig(turbo, 1, SIZE, SIZE).run()
    with pytest.raises(ValueError, match="cannot be measured"):
        StepRig(turbo, 2, SIZE, SIZE).run()


def count_rows(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every call of the model from now on."""
    rows: list[int] = []
    forward = variant.unet.forward

    def counted(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(sample.shape[0])
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(variant.unet, "forward", counted)
    return rows


def test_a_timed_step_always_steps_the_whole_batch_and_never_decodes(
    turbo: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = count_rows(turbo, monkeypatch)

    def decoded(*args: object, **kwargs: object) -> object:
        raise AssertionError("a timed step decoded a picture")

    monkeypatch.setattr(turbo.pipeline.vae, "decode", decoded)
    monkeypatch.setattr("pipelines.probes.STEPS_PER_FILL", 5)
    rig = StepRig(turbo, 3, SIZE, SIZE)
    times = [rig.run() for _ in range(11)]  # more than two fills
    assert min(times) > 0
    assert set(rows) == {3}


def test_the_encoder_is_measured_without_its_cache(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    encode_prompt = full.pipeline.encode_prompt

    def counted(batch: list[str], **options: object) -> object:
        texts.extend(batch)
        return encode_prompt(batch, **options)

    monkeypatch.setattr(full.pipeline, "encode_prompt", counted)
    profile([full], ProfileSettings(batches=(1,), repetitions=4))
    assert len({text for text in texts if text.startswith("a red circle ")}) == 4 + WARM_UP_ROUNDS


def test_a_variant_that_cannot_step_is_not_measured(
    turbo: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.probes.PROMPT", "red " * 40)
    with pytest.raises(ValueError, match="cannot be measured: The prompt takes"):
        StepRig(turbo, 1, SIZE, SIZE).run()


def test_percentiles_are_those_of_the_order_statistics() -> None:
    measured = summarise([float(value) for value in range(11)])
    assert (measured.p10_s, measured.median_s, measured.p90_s) == (1.0, 5.0, 9.0)
    assert measured.repetitions == 11
    assert summarise([2.0]).median_s == 2.0


def test_variants_that_cannot_share_a_table_are_refused(full: Variant) -> None:
    with pytest.raises(ValueError, match="each once in every number type"):
        profile([full, full], ProfileSettings())
    with pytest.raises(ValueError, match="at least one"):
        profile([], ProfileSettings())
    with pytest.raises(ValueError, match="multiples of 8"):
        profile([full], ProfileSettings(sizes=((20, 20),)))


@pytest.mark.parametrize("batches", [(), (0, 1)])
def test_settings_that_cannot_be_are_refused(batches: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 1 job"):
        ProfileSettings(batches=batches)


def test_the_machine_and_the_commit_have_names() -> None:
    assert "cores" in describe_machine(torch.device("cpu"))
    assert describe_commit()
