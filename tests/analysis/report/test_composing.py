"""The report holds every study that has results, and names those that have none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.report import composing
from analysis.report.command import DEFAULT_DEMO, DEFAULT_RESULTS
from analysis.report.composing import compose
from analysis.report.numbering import Entry
from analysis.report.paper import Paper
from analysis.report.sections import STUDIES
from analysis.study import Study


@pytest.fixture(scope="module")
def committed() -> Paper:
    """Of the results that the project has."""
    return compose(DEFAULT_RESULTS, DEFAULT_DEMO)


@pytest.fixture
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models take seconds to ask, and say the same every time."""
    monkeypatch.setattr(composing, "_models", lambda: ([Heading("Queueing models", 1)], [], []))


def words(blocks: Sequence[Block | Entry]) -> str:
    """All texts."""
    told = []
    for one in blocks:
        block = one.block if isinstance(one, Entry) else one
        match block:
            case Heading(text) | Paragraph(text):
                told.append(text)
            case Bullets(items):
                told += items
            case Table():
                told += [block.caption, *block.head, *(cell for row in block.rows for cell in row)]
            case Picture():
                told.append(block.caption)
    return "\n".join(told)


def titles(paper: Paper) -> list[str]:
    return [
        entry.block.text
        for entry in paper.body
        if isinstance(entry.block, Heading) and entry.block.level == 1
    ]


def test_every_study_is_a_section_or_named_as_absent_but_for_one_with_a_longer_version(
    committed: Paper,
) -> None:
    told = words(committed.body)
    for study in STUDIES:
        path = study.path(DEFAULT_RESULTS, DEFAULT_DEMO)
        source = f"Source: `{path.relative_to(composing.ROOT)}`, made by `"
        if (DEFAULT_RESULTS / study.instead_of).is_file():
            assert source not in told
        elif path.exists():
            assert source in told
        else:
            assert study.command in told
            assert path.name in told


def test_sections_stand_in_order(committed: Paper) -> None:
    found = titles(committed)
    assert found[:4] == [
        "The system and the question",
        "Method",
        "Threats to validity",
        "Queueing models",
    ]
    assert found[-2:] == ["Limits and negative results", "How to reproduce"]
    assert len(found) == len(set(found))


def test_the_abstract_points_to_sections_that_exist(committed: Paper) -> None:
    told = words(committed.abstract)
    numbers = {entry.number for entry in committed.body}
    found = re.findall(r"\(Section (\d+)\)", told)
    assert found
    assert set(found) <= numbers


def test_no_file_of_this_machine_is_named(committed: Paper) -> None:
    told = words(committed.body) + "\n".join(committed.under)
    assert str(composing.ROOT) not in told
    assert not re.search(r"(?<![\w.>])/(home|root|tmp|work|usr)/", told)


def test_long_tables_are_cut_with_a_pointer(committed: Paper) -> None:
    tables = [one.block for one in committed.body if isinstance(one.block, Table)]
    assert max(len(one.rows) for one in tables) <= 40


@pytest.mark.usefixtures("without_models")
def test_without_any_results_all_studies_are_named_with_their_commands(tmp_path: Path) -> None:
    paper = compose(tmp_path, tmp_path)
    told = words(paper.body)
    for study in STUDIES:
        assert study.command in told
    assert paper.under == ("No results were there to report.",)


@pytest.mark.usefixtures("without_models")
def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "frontier.json").write_text(json.dumps({"made_by": {"commit": "x"}}))
    with pytest.raises(
        ValueError, match=r"frontier\.json does not hold .* `make frontier`"
    ) as told:
        compose(tmp_path, tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("without_models")
def test_a_demonstration_made_now_is_reported(written: tuple[Study, Path], tmp_path: Path) -> None:
    paper = compose(tmp_path, written[1].parent)
    told = words(paper.body)
    for verdict in written[0].verdicts:
        assert verdict.claim in told
        if not verdict.holds:
            assert f"{verdict.word.capitalize()}: {verdict.claim}" in told
    assert "Demonstration: overload without and with control" in titles(paper)


@pytest.mark.usefixtures("without_models")
def test_the_short_validation_gives_way_to_the_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DEFAULT_RESULTS / "simulator.json", tmp_path / "validation.json")
    shutil.copy(DEFAULT_RESULTS / "simulator.json", tmp_path / "validation_short.json")
    long, short = STUDIES[:2]
    for study in (long, short):  # what they write of the file is tested with them
        monkeypatch.setattr(
            type(study),
            "blocks",
            lambda self, results: [Heading(self.title, 1)],
        )
        monkeypatch.setattr(type(study), "findings", lambda self, results, blocks: [])
        monkeypatch.setattr(type(study), "shortfalls", lambda self, results: [])
    assert (long.file, short.instead_of) == ("validation.json", "validation.json")
    assert "Validation" in titles(compose(tmp_path, tmp_path))
    assert "Validation, short version" not in titles(compose(tmp_path, tmp_path))
    (tmp_path / "validation.json").unlink()
    assert "Validation, short version" in titles(compose(tmp_path, tmp_path))
