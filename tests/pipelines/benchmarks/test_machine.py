"""What a run tells about its machine."""

from __future__ import annotations

import pytest
import torch

from pipelines.benchmarks.machine import Watch, describe_run, warnings


def test_a_quiet_machine_gives_no_warning() -> None:
    assert warnings(0.2, 0.01, 1.05) == ()
    assert warnings(None, None, None) == ()


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        ((3.0, 0.0, 1.0), "load average 3.00"),
        ((0.0, 0.4, 1.0), "40%"),
        ((0.0, 0.0, 1.5), "1.50 times"),
    ],
)
def test_each_sign_of_other_work_gives_a_sentence(
    seen: tuple[float, float, float], word: str
) -> None:
    (sentence,) = warnings(*seen)
    assert word in sentence


def test_the_header_tells_command_commit_hardware_versions_seed_threads_and_load() -> None:
    watch = Watch(threads=1)
    for _ in range(3):
        assert watch.look() > 0
    header = describe_run(["engine", "--out", "a b.json"], watch, seed=7, settings={"steps": 4})
    assert header["command"] == "python -m pipelines.benchmarks engine --out 'a b.json'"
    assert header["commit"]
    assert "cores" in header["hardware"]
    assert header["versions"]["torch"] == torch.__version__
    assert (header["seed"], header["threads"]) == (7, 1)
    assert header["settings"] == {"steps": 4}
    assert len(header["calibration_ms"]) == 3
    assert header["calibration_unevenness"] >= 1
    share = header["others_processor_share"]
    assert share is None or 0 <= share <= 1
