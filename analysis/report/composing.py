"""The whole report from the folders of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from analysis.document import Block, Bullets, Heading, Paragraph
from analysis.provenance import ROOT, told
from analysis.report import closing, method, queueing_models, system, threats
from analysis.report.gathering import Made, Results, made, read_results, told_made, told_path
from analysis.report.numbering import Entry, contents, numbered
from analysis.report.paper import Paper
from analysis.report.sections import STUDIES, Study
from analysis.report.shortening import shortened
from analysis.server_config import DEFAULT_CONFIG, read_settings

TITLE = "Sluice: predicting and measuring image serving that exits early under load"
REFERENCE = ROOT / "tests" / "reference" / "queueing_cases.json"
TOLD = {"command", "commit", "machine", "versions", "started", "took_s", "load_average"}
MODELS_TITLE = "Queueing models"
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Gathered:
    """What the studies give, in their order."""

    sections: list[Block] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)
    """A section's title, and a sentence."""
    shortfalls: dict[str, list[str]] = field(default_factory=dict)
    absent: list[tuple[str, str, str]] = field(default_factory=list)
    made: dict[str, Made] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)


def compose(
    results: Path, demo: Path, on_progress: Callable[[str], None] = lambda what: None
) -> Paper:
    """Read what is there and write the report of it; the same files give the same paper.

    ValueError, one sentence, for a file that is damaged or from another version.
    """
    gathered = _Gathered()
    for study in STUDIES:
        on_progress(study.title)
        _add(gathered, study, study.path(results, demo), results)
    on_progress("asking the queueing models")
    models, models_found, models_missed = _models()
    shortfalls = {MODELS_TITLE: models_missed} | gathered.shortfalls
    body = numbered(
        [
            *system.blocks(read_settings(DEFAULT_CONFIG), told_path(DEFAULT_CONFIG)),
            *method.blocks(gathered.made),
            *threats.blocks(),
            *models,
            *gathered.sections,
            *closing.limits(shortfalls, gathered.absent),
            *closing.reproduction(gathered.made, gathered.commands),
        ]
    )
    findings = [(MODELS_TITLE, sentence) for sentence in models_found] + gathered.findings
    return Paper(
        title=TITLE,
        under=_under(gathered),
        abstract=_abstract(findings, body),
        body=tuple(body),
        dated=max((one.started for one in gathered.made.values() if one.started), default=UNDATED),
    )


def _add(gathered: _Gathered, study: Study, path: Path, results_folder: Path) -> None:
    results = read_results(path, study.command)
    name = told_path(path)
    if study.instead_of and (results_folder / study.instead_of).exists():
        return
    if results is None:
        gathered.absent.append((study.title, name, study.command))
        return
    try:
        how = made(results)
        blocks = study.blocks(results)
        findings = study.findings(results, blocks)
        shortfalls = study.shortfalls(results)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name} does not hold what its section needs ({type(error).__name__}: {error});"
            f" make it again with `{study.command}`, or remove it"
        ) from error
    page = told_path(path.parent / Path(study.page).name) if study.page else ""
    source = f"Source: `{name}`, {told_made(how, study.command)}." + (
        f" In full: `{page}`." if page else ""
    )
    title = next(block.text for block in blocks if isinstance(block, Heading))
    rest = [block for block in blocks[1:] if block != _own_source(results)]
    gathered.sections += [blocks[0], Paragraph(source), *shortened(rest, page)]
    gathered.findings += [(title, sentence) for sentence in findings]
    gathered.shortfalls.setdefault(title, []).extend(shortfalls)
    gathered.made[name] = how
    gathered.commands[name] = study.command


def _own_source(results: Results) -> Paragraph | None:
    """The paragraph by which a study's own page says what the source says here."""
    header = results.get("made_by", {})
    return Paragraph(told(header)) if header.keys() >= TOLD else None


def _models() -> tuple[list[Block], list[str], list[str]]:
    """The section on models, sentences for the abstract, and sentences for the limits."""
    reference = read_results(REFERENCE, "git checkout -- tests/reference")
    if reference is None:
        raise ValueError(f"{told_path(REFERENCE)} is missing; the models are held against it")
    return (
        queueing_models.blocks(reference, told_path(REFERENCE)),
        queueing_models.findings(reference),
        queueing_models.shortfalls(reference),
    )


def _under(gathered: _Gathered) -> tuple[str, ...]:
    starts = sorted(one.started for one in gathered.made.values() if one.started)
    if not starts:
        return ("No results were there to report.",)
    machines = sorted({one.machine for one in gathered.made.values() if one.machine})
    files, absent = len(gathered.made), len(gathered.absent)
    return (
        f"Measured from {starts[0]:%Y-%m-%d} to {starts[-1]:%Y-%m-%d} on {'; '.join(machines)}.",
        f"{files} results files are reported"
        + (f"; {absent} without results {_are(absent)} named at the end." if absent else "."),
        "Made by `python -m analysis report`: every figure comes from a results file, which its section"
        " names, or from asking the queueing models.",
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _abstract(findings: list[tuple[str, str]], body: list[Entry]) -> tuple[Block, ...]:
    numbers = {heading.text: entry.number for heading, entry in contents(body, deepest=1)}
    return (
        Paragraph(
            "Sluice serves text-to-image diffusion and spends fewer denoising steps on each picture"
            " while its queue is long. This report holds queueing models and a simulator against the"
            " running server under open-loop Poisson load, measures what control by the queue gains"
            " and costs, and says what does not hold. The main findings, with 95 % intervals:"
        ),
        Bullets(tuple(f"{sentence} (Section {numbers[title]})" for title, sentence in findings)),
    )
