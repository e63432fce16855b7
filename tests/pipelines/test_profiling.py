"""The cost table comes out of the engine's own steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.costs import CostTable
from pipelines.loading import Variant, load_variant
from pipelines.profiling import (
    WARM_UP_ROUNDS,
    ProfileSettings,
    StepRig,
    describe_commit,
    describe_machine,
    profile,
    summarise,
)
from tests.pipelines.tiny_pipelines import SIZE


def test_a_profile_measures_every_variant_and_batch(
    full: Variant, turbo: Variant, tmp_path: Path
) -> None:
    settings = ProfileSettings(batches=(2, 1), repetitions=2, threads=1)
    table = profile({"full": full, "turbo": turbo}, settings)
    assert set(table.variants) == {"full", "turbo"}
    for costs in table.variants.values():
        assert list(costs.step_s) == list(costs.decode_s) == [1, 2]
        assert all(0 < step.median_s < 5 for step in costs.step_s.values())
        assert costs.encode_s.repetitions == costs.step_s[1].repetitions == 2
    assert (table.width, table.height, table.threads, table.dtype) == (SIZE, SIZE, 1, "float32")
    table.save(tmp_path / "costs.json")
    assert CostTable.load(tmp_path / "costs.json") == table


def test_a_timed_step_always_steps_the_whole_batch_and_never_decodes(
    turbo: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = turbo.unet.forward

    def counted(sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        rows.append(sample.shape[0])
        return forward(sample, *args, **kwargs)

    def decoded(*args: object, **kwargs: object) -> object:
        raise AssertionError("a timed step decoded a picture")

    monkeypatch.setattr(turbo.unet, "forward", counted)
    monkeypatch.setattr(turbo.pipeline.vae, "decode", decoded)
    monkeypatch.setattr("pipelines.profiling.STEPS_PER_FILL", 5)
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
    profile({"full": full}, ProfileSettings(batches=(1,), repetitions=4))
    assert len({text for text in texts if text.startswith("a red circle ")}) == 4 + WARM_UP_ROUNDS


def test_a_variant_that_cannot_step_is_not_measured(
    turbo: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.profiling.PROMPT", "red " * 40)
    with pytest.raises(ValueError, match="cannot be measured: The prompt takes"):
        StepRig(turbo, 1, SIZE, SIZE).run()


def test_percentiles_are_those_of_the_order_statistics() -> None:
    measured = summarise([float(value) for value in range(11)])
    assert (measured.p10_s, measured.median_s, measured.p90_s) == (1.0, 5.0, 9.0)
    assert measured.repetitions == 11
    assert summarise([2.0]).median_s == 2.0


def test_variants_of_two_number_types_are_refused(full: Variant, folders: dict[str, Path]) -> None:
    half = load_variant("half", folders["epsilon"], dtype="bfloat16")
    with pytest.raises(ValueError, match="one number type"):
        profile({"full": full, "half": half}, ProfileSettings())
    with pytest.raises(ValueError, match="at least one"):
        profile({}, ProfileSettings())


@pytest.mark.parametrize("batches", [(), (0, 1)])
def test_settings_that_cannot_be_are_refused(batches: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 1 job"):
        ProfileSettings(batches=batches)


def test_the_machine_and_the_commit_have_names() -> None:
    assert "cores" in describe_machine(torch.device("cpu"))
    assert describe_commit()
