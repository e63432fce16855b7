"""The demonstration's report: one page that opens offline, and its figures as data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from analysis.explanations import NAMES, effects_of
from analysis.figures import (
    contact_sheet,
    latency_distributions,
    latency_over_time,
    waiting_over_time,
)
from analysis.study import (
    CONTROLLERS,
    REPLICATIONS,
    RESULTS_FILE,
    Comparison,
    Study,
    as_json,
    read_study,
)
from analysis.tables import HEADINGS, rows

REPORT_FILE = "report.html"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .2rem .5rem; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #111; } tr.first td { border-top: 1px solid #999; }
td:nth-child(2), td:nth-child(5) { text-align: left; }
.wide { overflow-x: auto; } svg, img { max-width: 100%; height: auto; }
li b { font-variant: small-caps; } pre { overflow-x: auto; background: #f3f3f3; padding: .6rem; }
figure { margin: 1rem 0; } figcaption { font-size: 13px; color: #333; }
"""


def write_report(
    folder: Path,
    on_progress: Callable[[str], None] = lambda what: None,
    replications: int = REPLICATIONS,
) -> tuple[Study, Path]:
    """Compute the study of a demo's folder; write results.json and report.html into it.

    ValueError, one sentence, if the folder holds no complete demo.
    """
    study = read_study(folder, replications, on_progress)
    on_progress("drawing the report")
    text = json.dumps(as_json(study), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULTS_FILE).write_text(text + "\n", encoding="utf-8")
    page = folder / REPORT_FILE
    page.write_text(render(study), encoding="utf-8")
    return study, page


def render(study: Study) -> str:
    """The whole page."""
    body = [
        "<h1>Sluice under overload, measured and predicted</h1>",
        _summary(study),
        "<h2>Verdicts</h2>",
        _verdicts(study),
        "<h2>Results</h2>",
        _table(study),
        _below_table(study),
        *_figures(study),
        "<h2>Quality by rung</h2>",
        _quality(study),
        "<h2>Where a prediction is off, and why</h2>",
        _deviations(study.comparisons),
        "<h2>Method</h2>",
        _method(study),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Sluice: report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _summary(study: Study) -> str:
    unloaded = study.unloaded["static"]
    best = study.settings["static"].ladder.best
    return _paragraph(
        f"On {study.costs.machine}, {best} makes {study.capacity_per_s:.2f} pictures a second with"
        f" full batches, and one request alone takes {unloaded.latency_s:.3f} s,"
        f" {1000 * unloaded.overhead_s:.1f} ms of it outside the engine. Four loads were sent, each"
        f" for {study.meta['seconds']:g} s, to a server that always gives full service and to one"
        " that gives less while its queue is long."
    )


def _verdicts(study: Study) -> str:
    return _list(
        f"<b>{escape(v.word)}</b>: {escape(v.claim)}: {escape(v.detail)}." for v in study.verdicts
    )


def _table(study: Study) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    lines = [f"<tr>{head}</tr>"]
    for row in rows(study.comparisons):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells)
        lines.append(f'<tr class="first">{cells}</tr>' if row.first else f"<tr>{cells}</tr>")
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _below_table(study: Study) -> str:
    lines = [
        "Latency counts from the scheduled instant of a request to its answer. In brackets behind"
        " a prediction: prediction over measurement, minus 1; behind an accuracy (share of pictures"
        " with every attribute of the prompt right, as the judge reads them): its 95 % interval."
        " Degraded: fewer steps than full service, or another variant."
    ]
    for c in study.comparisons:
        if c.found.queueing is None:
            lines.append(f"{c.run.name}: {c.found.queueing_method}.")
    lines += [str(problem) for problem in study.meta.get("problems", [])]
    return "".join(_paragraph(line) for line in lines)


def _figures(study: Study) -> list[str]:
    found = [
        "<h2>Latency over time, and the rung</h2>",
        _figure(
            latency_over_time(study),
            "Above: dots are served requests at the instant they were due, crosses requests without a"
            " picture. Below: the rung that the"
            " dispatcher's controller stood at, as the server told it once a second.",
        ),
        "<h2>Requests waiting</h2>",
        _figure(
            waiting_over_time(study),
            "Lines: counted from the stamps of the requests. Marks: the server's own count.",
        ),
        "<h2>Latency, measured and predicted</h2>",
        _figure(
            latency_distributions(study),
            "Grey: where 95 % of simulated runs of this length fall, by chance alone.",
        ),
    ]
    sheet = contact_sheet(study)
    if sheet is not None:
        picture = f'<img alt="pictures served, a line for each rung" src="{sheet}">'
        found += [
            "<h2>Pictures served</h2>",
            _figure(picture, "What clients got: the first pictures of each rung, by request."),
        ]
    return found


def _quality(study: Study) -> str:
    lines = []
    for c in study.comparisons:
        if c.run.quality is None:
            lines.append(f"{c.run.name}: not judged")
            continue
        attributes = ", ".join(
            f"{name} {100 * share:.1f} %" for name, share in c.run.quality.attributes.items()
        )
        rungs = ", ".join(
            f"{rung} {100 * right:.0f} % of {pictures}"
            for rung, (pictures, right) in c.run.quality.by_rung.items()
        )
        lines.append(f"{c.run.name}: {attributes}. All right by what was run: {rungs}")
    return _list(escape(line) for line in lines)


def _deviations(comparisons: Sequence[Comparison]) -> str:
    blocks = []
    for c in comparisons:
        told = [f"{one.headline} {one.detail}" for one in c.explanations]
        told = [*told, *c.notes] or ["Every latency figure is within 10 % of its prediction."]
        blocks.append(f"<h3>{escape(c.run.name)}</h3>" + _list(escape(note) for note in told))
        blocks.append(_paragraph(_swaps(c)))
    return "\n".join(blocks)


def _swaps(c: Comparison) -> str:
    told = []
    for name in ("mean_s", "p95_s"):
        effects = effects_of(c.found, name).items()
        parts = ", ".join(f"{cause} {1000 * effect:+.0f} ms" for cause, effect in effects)
        told.append(f"from the {c.model}'s {NAMES[name]} to the measured: {parts}")
    return f"One assumption swapped at a time, {'; '.join(told)}."


def _method(study: Study) -> str:
    meta = study.meta
    seeds = ", ".join(f"{seed} at {load} times capacity" for load, seed in meta["seeds"].items())
    steps = [
        f"Made {meta['began']} in {meta['took_s']:.0f} s on {meta['machine']}, commit"
        f" {meta['commit']}, configuration {meta['config']}.",
        "The two servers differ in their controller alone, and in that the static one bounds its"
        " queue nowhere, so that refusals do not hide its growth.",
        f"Requests arrive as a Poisson process, open loop, by seed ({seeds}): the same arrivals,"
        " prompts and picture seeds for both servers.",
        *(
            f"The {name} server answered {study.unloaded[name].requests} requests one at a time"
            " first: medians give the unloaded latency and the time outside the engine."
            for name in CONTROLLERS
        ),
        "A priori predictions know the cost table of this machine, the unloaded time outside the"
        " engine, the configuration and the rate; the simulator drives the same policy code as the"
        " server, over Poisson schedules of its own. Replays know besides when each request arrived,"
        " what the engines' work cost in the run, and how long its ways took.",
        "Causes are found by swapping one assumption at a time, in one order and in the reverse one;"
        " what a swap changes is the average, so all of them add up to the whole difference.",
        "Intervals of latencies are from a circular block bootstrap with blocks of four times the"
        " correlation length, of shares by Wilson, of differences of shares by Newcombe, of the"
        " queue's growth by Student over the increments of ten windows.",
    ]
    commands = "\n".join(meta["commands"])
    return _list(escape(step) for step in steps) + f"<pre>{escape(commands)}</pre>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(items: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items) + "\n</ul>"


def _figure(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"
