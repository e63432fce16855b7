"""The last sections: what does not hold or is not known, and how to make all of it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Table
from analysis.report.gathering import Made
from analysis.report.telling import HOLD

GENERAL = (
    "Everything was measured on one machine with the small model in the box. Seconds and pictures a"
    " second carry over to no other machine; shares, ratios and the errors of the models may.",
    "Speed on full-size models and on accelerators is told only where the section on the card has"
    " figures.",
    "Simulated comparisons of policies are as good as the simulator; where it was held against the"
    " running server, its errors are in the sections on validation and demonstration.",
    "Quality is judged for scenes of simple shapes. What fewer steps cost a large model has to be"
    " measured on that model (`python -m pipelines quality`).",
)


def limits(
    shortfalls: Mapping[str, Sequence[str]], absent: Sequence[tuple[str, str, str]]
) -> list[Block]:
    """`shortfalls` are sentences by the title of their study; `absent` are title, file, command."""
    found: list[Block] = [Heading("Limits and negative results", 1), Bullets(GENERAL)]
    if absent:
        found += [
            Heading("Not measured", 2),
            Table(
                ("study", "absent file", "command that makes it"),
                tuple((title, f"`{file}`", f"`{command}`") for title, file, command in absent),
                text_columns=3,
                caption="Studies without results",
            ),
        ]
    told = {title: sentences for title, sentences in shortfalls.items() if sentences}
    if told:
        found.append(Heading("What did not hold, was unsure or was missed", 2))
    for title, sentences in told.items():
        found += [Heading(title, 3), Bullets(tuple(sentences))]
    return found


def reproduction(made: Mapping[str, Made], commands: Mapping[str, str]) -> list[Block]:
    """Commands by results file, with the time that each took."""
    rows = []
    for path, one in made.items():
        took = "" if one.took_s is None else _duration(one.took_s)
        rows.append(
            (f"`{path}`", f"`{commands[path]}`", f"`{one.command}`" if one.command else "", took)
        )
    return [
        Heading("How to reproduce", 1),
        Paragraph(
            "Linux, Python 3.11 or 3.12 and make; no GPU and no model hub. The first target sets up"
            " its own environment. Live studies want the machine for themselves. The same seeds give"
            " the same arrivals, prompts, pictures' noise, orders and simulated figures; measured"
            " times differ by what the section on unpredictability and the intervals tell."
        ),
        Code(
            "git checkout COMMIT      # as told with the results file\n"
            "make validate            # one study; `make` lists all\n"
            "make report              # this report, from the files that are there"
        ),
        Table(
            ("results file", "target", "command as it was run", "took"),
            tuple(rows),
            text_columns=3,
            caption="Every result with the command that made it",
        ),
    ]


def _duration(seconds: float) -> str:
    return f"{seconds:,.0f}{HOLD}s" if seconds < 120 else f"{seconds / 60:,.0f}{HOLD}min"
