"""The study finds the effects that the synthetic measurement was made with, and says so."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from analysis.document import Heading, Picture, Table, to_markdown
from analysis.faults import MeasurementError
from analysis.unpredictability.command import add_options, run
from analysis.unpredictability.design import SHUFFLED, UNCHANGED
from analysis.unpredictability.page import blocks, findings
from analysis.unpredictability.study import repeated, study
from tests.analysis.unpredictability.conftest import ENGINE_S, RESIDUAL_S
from tests.analysis.unpredictability.synthetic_session import SERVICE_MS, Stub


@pytest.fixture(scope="session")
def results(measured: tuple[Path, Stub]) -> dict[str, Any]:
    found = study(measured[0], draws=20)
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def test_the_engine_and_the_repetition_are_found_again(results: dict[str, Any]) -> None:
    found = results["alone"]["components"]["latency"]
    assert found["residual"]["variance"] == pytest.approx(RESIDUAL_S**2, rel=0.3)
    assert found["engine"]["variance"] == pytest.approx(ENGINE_S**2 / 2, rel=0.3)
    assert found["engine"]["share"] > 0.85
    mean_s = 0.5 + ENGINE_S / 2
    assert results["alone"]["floor_cv"] == pytest.approx(RESIDUAL_S / mean_s, rel=0.15)


def test_the_slower_engine_is_told(results: dict[str, Any]) -> None:
    engines = results["engines"]
    assert engines["longer"] == pytest.approx(ENGINE_S / 0.5, rel=0.1)
    assert engines["low"] < ENGINE_S / 0.5 < engines["high"]


def test_the_place_in_the_trace_is_found_to_be_the_cause_under_load(
    results: dict[str, Any],
) -> None:
    found = results["loaded"]["components"]["latency"]
    assert found["place"]["share"] > 0.9
    assert found["residual"]["variance"] == pytest.approx(0.05**2, rel=0.4)
    assert results["loaded"]["floor_beforehand_cv"] >= results["loaded"]["floor_cv"]


def test_the_engines_part_of_the_latency_is_told_apart(results: dict[str, Any]) -> None:
    parts = results["alone_parts"]
    assert parts["service"]["mean_s"] == pytest.approx(SERVICE_MS / 1000)
    assert parts["service"]["repeated_s"] == pytest.approx(0.0, abs=1e-9)
    assert parts["around it"]["repeated_s"] == pytest.approx(RESIDUAL_S, rel=0.2)


def test_repeated_figures_have_the_chi_square_interval() -> None:
    found = repeated([0.9, 1.0, 1.1])
    assert found["cv"] == pytest.approx(0.1)
    assert found["cv_low"] == pytest.approx(0.1 * (2 / 7.3778) ** 0.5, rel=1e-4)
    assert found["cv_high"] == pytest.approx(0.1 * (2 / 0.050636) ** 0.5, rel=1e-4)
    with pytest.raises(ValueError, match="measured once"):
        repeated([1.0])


def test_a_measurement_that_did_not_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="came to its end"):
        study(tmp_path)


def test_the_page_comes_from_the_document_alone(results: dict[str, Any]) -> None:
    page = blocks(results)
    assert isinstance(page[0], Heading)
    assert page[0].level == 1
    tables = [block for block in page if isinstance(block, Table)]
    assert len(tables) == 4
    assert len([block for block in page if isinstance(block, Picture)]) == 1
    text = to_markdown(page)
    share = 100 * results["alone"]["components"]["latency"]["engine"]["share"]
    assert f"| which engine | 2 | {share:.1f} % |" in text
    for sentence in findings(results):
        assert sentence in text
    assert "The time was up" not in text
    assert "The time was up after 3 of 6" in to_markdown(blocks(results | {"blocks": 3}))


def test_the_replays_of_both_orders_are_summed_up(results: dict[str, Any]) -> None:
    for order in (UNCHANGED, SHUFFLED):
        assert results["runs"][order]["mean"]["n"] == 6
        assert results["runs"][order]["mean"]["mean_s"] == pytest.approx(1.25, abs=0.1)


def test_the_command_computes_again_and_writes_page_figure_and_document(
    measured: tuple[Path, Stub],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("analysis.unpredictability.command.study", partial(study, draws=5))
    parser = argparse.ArgumentParser()
    add_options(parser)
    out = tmp_path / "out"
    assert run(parser.parse_args(["--again", str(measured[0]), "--out", str(out)])) == 0
    for suffix in (".json", ".md"):
        assert out.with_suffix(suffix).exists()
    assert (tmp_path / "unpredictability.svg").exists()
    assert "no model can predict" in capsys.readouterr().out
