"""Blocks are measured whole, through the engine, in the design's order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.benchmarks.factorial import BLOCKS_MIN, Bench, Observation, measure_blocks
from pipelines.benchmarks.factorial_design import Cell, Design
from pipelines.engine import StepEngine
from tests.pipelines.benchmarks.tiny_workload import short_prompts
from tests.pipelines.tiny_pipelines import SIZE, save_pipeline

TINY = Design(
    steps=(2, 3),
    batch=(1, 2),
    size=((SIZE, SIZE),),
    variant=("full",),
    sampler=("dpmpp_2m",),
    threads=(1, 2),
    dtype=("float32",),
)


class FakeMachine:
    """Every cell takes as long as it is told to, on a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.now_s = 0.0
        self.seconds = seconds
        self.measured: list[Cell] = []

    def measure(self, cell: Cell) -> tuple[float, dict[str, float]]:
        self.now_s += self.seconds
        self.measured.append(cell)
        return self.seconds, {"step": self.seconds}

    def run(self, seconds_max: float) -> list[Observation]:
        return list(
            measure_blocks(
                TINY,
                self.measure,
                seed=1,
                seconds_max=seconds_max,
                clock=lambda: self.now_s,
            )
        )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_pipeline(folder / "full")
    save_pipeline(folder / "turbo", distilled=True)
    return folder


def test_cells_are_measured_in_the_order_of_the_blocks() -> None:
    machine = FakeMachine(1.0)
    seen = machine.run(24.0)
    blocks = TINY.blocks(seed=1)
    assert machine.measured == [cell for _ in range(3) for cell in next(blocks)]
    assert [one.cell for one in seen] == machine.measured
    assert [one.order for one in seen] == list(range(24))
    assert [one.block for one in seen] == [0] * 8 + [1] * 8 + [2] * 8


def test_no_block_is_begun_that_would_not_end_in_time() -> None:
    """Blocks of 8 s each: four end within 35 s, and a fifth would not."""
    assert len(FakeMachine(1.0).run(35.0)) == 4 * 8
    assert len(FakeMachine(1.0).run(40.0)) == 5 * 8


def test_two_blocks_are_measured_however_slow_the_machine_is() -> None:
    assert BLOCKS_MIN == 2
    assert len(FakeMachine(1.0).run(0.1)) == 2 * 8


def test_a_cell_is_timed_through_the_engine_with_its_own_settings(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(TINY, models, short_prompts())
    asked = []
    submit = StepEngine.submit

    def watched(engine: StepEngine, request):  # type: ignore[no-untyped-def]
        asked.append(request)
        submit(engine, request)

    monkeypatch.setattr(StepEngine, "submit", watched)
    cell = Cell(3, 2, (SIZE, SIZE), "full", "dpmpp_2m", 2, "float32")
    before = torch.get_num_threads()
    try:
        seconds, parts_s = bench.measure(cell)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    warm_up, timed = asked[:2], asked[2:]
    assert [one.service.steps for one in warm_up] == [2, 2]
    assert [one.service.steps for one in timed] == [3, 3]
    assert {(one.width, one.height, one.sampler) for one in asked} == {(SIZE, SIZE, "dpmpp_2m")}
    assert len({one.prompt for one in asked}) == 4  # no cache answers
    assert set(parts_s) == {"encode", "step", "decode", "rest"}
    assert 0 < parts_s["step"] < sum(parts_s.values()) <= seconds


def test_an_observation_is_a_line_of_plain_values() -> None:
    (seen, *_) = FakeMachine(0.25).run(1.0)
    line = seen.line()
    assert line["size"] == f"{SIZE}x{SIZE}"
    assert (line["seconds"], line["step_s"]) == (0.25, 0.25)
    assert {"block", "order", "steps", "batch", "threads", "unix_s", "load_average"} <= set(line)


def test_what_cannot_be_crossed_is_refused_before_anything_is_measured(models: Path) -> None:
    def refused(**levels: object) -> str:
        values = {name: getattr(TINY, name) for name in TINY.levels()} | levels
        with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is looked at below
            Bench(Design(**values), models, short_prompts())
        return str(error.value)

    assert "fixed schedule" in refused(variant=("turbo",))
    assert "multiples" in refused(size=((SIZE + 1, SIZE),))
    assert "unknown" in refused(sampler=("nothing",))
