"""What a card's figures are held against, and how they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.benchmarks.architectures import LATENT_FACTOR, SD15, SDXL, Architecture, unet_flops
from pipelines.benchmarks.comparison import Summary, ratios, summarise
from pipelines.benchmarks.gpu_contestants import CONFIGURATIONS
from pipelines.benchmarks.report import Claim, Section, Table, claim_of, figure_text
from pipelines.benchmarks.rounds import Figures

SDXL_GOAL = 1.6  # pictures/s
SDXL_QUANTISED_GOAL = 2.3  # pictures/s; MLPerf's 8-bit TensorRT result is 2.40
SD15_FACTOR_GOAL = 2.0
OUTSIDE_GOAL = 0.05


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """All that was measured of one architecture at one size, a list per figure, one entry a round.

    The names of the figures: "matrix" (operations/s), and for every contestant "NAME step BATCH"
    (seconds), "NAME pictures/s", "NAME outside" (a share). `failed` tells what could not be
    measured, and why.
    """

    architecture: Architecture
    size: int
    native: bool
    figures: Figures
    failed: Mapping[str, str]

    @property
    def title(self) -> str:
        """Architecture and size."""
        return f"{self.architecture.title}, {self.size}x{self.size}"

    def pictures(self, *, quantised: bool) -> dict[str, list[float]]:
        """Pictures/s of every configuration of that kind that was measured."""
        found = {}
        for name, configuration in CONFIGURATIONS.items():
            values = self.figures.get(f"{name} pictures/s")
            if values and (configuration.quantisation != "none") == quantised:
                found[name] = values
        return found

    def peak_share(self, name: str, batch: int) -> Summary | None:
        """The UNet's operations in a step, over its time, over what matrix products reach."""
        steps, matrix = self.figures.get(f"{name} step {batch}"), self.figures.get("matrix")
        if steps is None or matrix is None:
            return None
        operations = unet_flops(self.architecture, 2 * batch, self.size, self.size)
        reached = [operations / seconds for seconds in steps]
        return summarise(ratios(reached, matrix))


def unmeasured_section(why: str) -> Section:
    """All goals, none of them measured."""
    text = (
        f"Nothing was measured: {why}. Not known, therefore: the time of a step against the batch "
        "size at 512x512 and 1024x1024, pictures/s at 20 Euler steps with guidance, the share of "
        "the card's matrix peak, and the time outside the networks, of SD 1.5 and SDXL in bf16, "
        "channels-last, as CUDA graphs, compiled, and quantised to int8 and float8."
    )
    return Section("Goals", text, claims_of([], 8, why))


def claims_of(measured: Sequence[SizeFigures], batch: int, why: str) -> tuple[Claim, ...]:
    """The goals; `why` says why what is not among `measured` is not."""
    at = {figures.architecture.name: figures for figures in measured if figures.native}
    xl, sd = at.get(SDXL.name), at.get(SD15.name)
    return (
        _pictures_claim(xl, SDXL, batch, SDXL_GOAL, why, quantised=False),
        _pictures_claim(xl, SDXL, batch, SDXL_QUANTISED_GOAL, why, quantised=True),
        _factor_claim(sd, batch, why),
        *(_outside_claim(at.get(one.name), one, batch, why) for one in (SD15, SDXL)),
    )


def _best(measured: Mapping[str, list[float]]) -> str:
    return max(measured, key=lambda name: summarise(measured[name]).median)


def _pictures_claim(
    figures: SizeFigures | None,
    architecture: Architecture,
    batch: int,
    goal: float,
    why: str,
    *,
    quantised: bool,
) -> Claim:
    kind = "quantised" if quantised else "bf16"
    what = f"{_native(architecture)}, {kind}, {batch} jobs at once"
    measured = figures.pictures(quantised=quantised) if figures else {}
    if not measured:
        return Claim(what, None, goal, False, unit="pictures/s", note=_reason(figures, why))
    best = _best(measured)
    return claim_of(
        f"{what} ({best})", summarise(measured[best]), goal, at_most=False, unit="pictures/s"
    )


def _factor_claim(figures: SizeFigures | None, batch: int, why: str) -> Claim:
    what = f"{_native(SD15)}, bf16, {batch} jobs at once: engine / library one after the other"
    measured = figures.pictures(quantised=False) if figures else {}
    serial = figures.figures.get("library serial pictures/s") if figures else None
    if not measured or serial is None:
        return Claim(what, None, SD15_FACTOR_GOAL, False, note=_reason(figures, why))
    best = _best(measured)
    factor = summarise(ratios(measured[best], serial))
    return claim_of(f"{what} ({best})", factor, SD15_FACTOR_GOAL, at_most=False)


def _outside_claim(
    figures: SizeFigures | None, architecture: Architecture, batch: int, why: str
) -> Claim:
    what = f"{_native(architecture)}, bf16, {batch} jobs at once: share outside the networks"
    measured = figures.pictures(quantised=False) if figures else {}
    outside = figures.figures.get(f"{_best(measured)} outside") if figures and measured else None
    if outside is None:
        return Claim(what, None, OUTSIDE_GOAL, True, note=_reason(figures, why))
    return claim_of(f"{what} ({_best(measured)})", summarise(outside), OUTSIDE_GOAL, at_most=True)


def _native(architecture: Architecture) -> str:
    side = architecture.unet["sample_size"] * LATENT_FACTOR
    return f"{architecture.title} {side}x{side}"


def _reason(figures: SizeFigures | None, why: str) -> str:
    return why if figures is None else "no configuration of that kind could be measured"


def section_of(figures: SizeFigures, batch: int) -> Section:
    """The table of one architecture at one size, and what could not be measured."""
    left_out = "".join(f" Not measured: {name}: {why}" for name, why in figures.failed.items())
    text = (
        "Steps run with guidance, so a batch of n calls the UNet with 2 n rows; their time is that "
        "of a whole step with the sampler's arithmetic, with nothing else going on. Pictures/s "
        "count from the texts to the pixels. The share of the peak is the UNet's operations over "
        f"the step's time (with {batch} jobs, else with the most that were measured), against a "
        "bf16 matrix product measured in the same round"
        f"{_peak_text(figures)}.{left_out}"
    )
    return Section(
        title=figures.title,
        text=text,
        table=_table(figures, batch),
        measurements={"figures": figures.figures, "failed": dict(figures.failed)},
    )


def _peak_text(figures: SizeFigures) -> str:
    matrix = figures.figures.get("matrix")
    return f": {figure_text(summarise(matrix), scale=1e-12)} TFLOP/s" if matrix else ""


def _table(figures: SizeFigures, batch: int) -> Table:
    given = figures.figures
    batches = sorted({int(name.rsplit(" ", 1)[1]) for name in given if " step " in name})
    names = [name for name in ("library", *CONFIGURATIONS) if _measured(figures, name)]
    columns = ["", *(f"step of {count}, ms" for count in batches), "share of the peak, %"]
    if figures.native:
        columns += ["pictures/s", "over the library's batch", "over its single calls", "outside, %"]
    rows = []
    for name in names:
        row = [name, *(_told(given.get(f"{name} step {count}"), 1000) for count in batches)]
        own = [count for count in batches if f"{name} step {count}" in given]
        share = figures.peak_share(name, batch if batch in own else own[-1]) if own else None
        row.append("" if share is None else figure_text(share, scale=100))
        if figures.native:
            row += _pictures_cells(figures, name)
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows))


def _pictures_cells(figures: SizeFigures, name: str) -> list[str]:
    given = figures.figures
    pictures = given.get(f"{name} pictures/s")
    cells = [_told(pictures)]
    for other in ("library pictures/s", "library serial pictures/s"):
        known = pictures and given.get(other)
        cells.append(_told(ratios(pictures, given[other])) if pictures and known else "")
    return [*cells, _told(given.get(f"{name} outside"), 100)]


def _measured(figures: SizeFigures, name: str) -> bool:
    return any(figure.startswith((f"{name} step", f"{name} pict")) for figure in figures.figures)


def _told(values: Sequence[float] | None, scale: float = 1.0) -> str:
    return figure_text(summarise(values), scale=scale) if values else ""
