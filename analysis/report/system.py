"""What is measured, and the question: written from the configuration that the experiments use."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from analysis.document import Block, Bullets, Heading, Paragraph, Table
from analysis.report.telling import listed
from analysis.server_config import ServerSettings


def blocks(settings: ServerSettings, source: str) -> list[Block]:
    """The section; `source` is the configuration's path as it is told."""
    return [
        Heading("The system and the question", 1),
        Paragraph(
            "The server makes pictures from texts with diffusion models. A picture takes a number of"
            " denoising steps; fewer steps take less time and give a picture of lower quality."
            " Requests wait in one queue, in the dispatcher. An engine runs up to a batch of jobs"
            " together and takes new ones in at every step. When the queue grows, a controller"
            " lowers the rung: fewer steps, or a smaller model. In the mode `in_flight` jobs that"
            " already run are re-planned to end earlier; in the mode `at_start` the rung binds when"
            " a job starts."
        ),
        Paragraph(
            "The question has two halves. Before deployment: what will users wait, in the mean and"
            " at high percentiles, and how much quality will it cost, at loads below and above the"
            " capacity of full service? Afterwards: was that so, and if not, why? The first is"
            " answered by queueing models and a simulator, the second by measurements on the real"
            " server with true Poisson load."
        ),
        *_configuration(settings, source),
        Bullets(
            (
                "Null hypothesis of each comparison with a model: the measured figure is one that"
                " the model's own runs of this length give by chance.",
                "Null hypothesis of each improvement: the controlled server's figure equals the"
                " static server's under the same arrivals.",
                "Null hypothesis of each factor: execution time does not depend on it.",
            )
        ),
    ]


def _configuration(settings: ServerSettings, source: str) -> list[Block]:
    pools = listed(
        f"{pool.replicas} engine{'s' if pool.replicas > 1 else ''} (pool {pool.name}) with batches"
        f" of up to {pool.max_batch}, {pool.threads} thread{'s' if pool.threads > 1 else ''} on"
        f" {pool.device}"
        for pool in settings.pools
    )
    return [
        Heading("The server under test", 2),
        Paragraph(
            f"Configuration `{source}`: {pools}; pictures of {settings.width} by {settings.height};"
            f" at most {settings.max_waiting:,} jobs wait. {_controller(settings)} Experiments"
            " change the controller and the bound on waiting jobs only, and say so."
        ),
        Table(
            ("rung", "variant", "sold as", "re-planned in flight", "steps", "score"),
            tuple(
                (
                    str(number),
                    rung.variant,
                    rung.quality,
                    "yes" if rung.replannable else "no",
                    str(rung.steps),
                    "" if rung.score is None else f"{rung.score:.4f}",
                )
                for number, rung in enumerate(settings.ladder.rungs)
            ),
            text_columns=4,
            caption="The ladder, best rung first. Full service is the first rung",
        ),
    ]


def _controller(settings: ServerSettings) -> str:
    controller = settings.controller
    name = type(controller).__name__
    if not is_dataclass(controller):
        return f"Its controller is {name}."
    values = []
    for one in fields(controller):
        value = getattr(controller, one.name)
        if isinstance(value, int | float | str | tuple) and not isinstance(value, bool):
            values.append(f"{one.name} {value}")
    return f"Its controller is {name}" + (f" ({', '.join(values)})." if values else ".")
