"""Whether the engine's memory stays flat over many short and different jobs."""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import track

from pipelines.benchmarks.comparison import Interval, trend
from pipelines.benchmarks.contestants import is_picture
from pipelines.benchmarks.report import Claim, Section, Table
from pipelines.engine import StepEngine
from pipelines.jobs import PARTIALS_MAX, PictureRequest, StepDone
from pipelines.loading import Variant, load_variant
from pipelines.samplers import SAMPLERS
from policies.nouns import Ladder, Rung, Service

JOBS = 2_000
EVERY = 50
SETTLED_AFTER = 200
"""Jobs before the first sample that counts: every size, sampler and cache has been used by then."""
EMBEDDINGS_KEPT = 64  # so that the cache is full long before that
FLAT_KB_PER_JOB = 1.0
"""A server that makes a million pictures a day may grow by a gigabyte, and is restarted weekly."""
PLACES = 8
RESIDENT = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class JobMix:
    """What the short jobs differ in; `prompts` gives a new text every time, sizes are in pixels."""

    variant: str
    prompts: Iterator[str]
    samplers: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    steps: int = 2

    def request(self, number: int, rng: random.Random) -> PictureRequest:
        """A random job; half are guided, a fifth have intermediate pictures or a negative prompt."""
        width, height = rng.choice(self.sizes)
        return PictureRequest(
            job_id=str(number),
            prompt=next(self.prompts),
            service=Service(self.variant, self.steps, 0),
            seed=number,
            width=width,
            height=height,
            negative_prompt=next(self.prompts) if rng.random() < 0.2 else "",
            guidance_scale=rng.choice((1.0, 2.5)),
            sampler=rng.choice(self.samplers),
            partials=rng.randint(1, PARTIALS_MAX) if rng.random() < 0.2 else 0,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """The process between two lots of jobs, with nothing in the engine.

    `resident_kb` is what the system counts, `peak_kb` the largest of that at any boundary since the
    sample before, `held_kb` what remains once the C library has given back the memory that it keeps
    for later; each None where the system does not tell. `tensor_bytes` counts storages once.
    """

    jobs: int
    resident_kb: float | None
    held_kb: float | None
    peak_kb: float | None
    tensors: int
    tensor_bytes: int


def own_samplers(variant: Variant) -> tuple[str, ...]:
    """The samplers that a client may ask of the variant by name."""
    return tuple(
        name for name, kind in SAMPLERS.items() if kind.fixed_schedule == variant.fixed_schedule
    )


def sample_jobs(
    variant: Variant, mix: JobMix, *, jobs: int, every: int, seed: int, shows_progress: bool = False
) -> list[Sample]:
    """Run `jobs` jobs in lots of `every`, a tenth of them cancelled, and look after each lot."""
    rng = random.Random(seed)
    ladder = Ladder((Rung(variant.name, mix.steps, "max"),))
    engine = StepEngine({variant.name: variant}, ladder, PLACES)
    _meet_every_shape(variant, mix)
    samples: list[Sample] = []
    for lot in track(range(jobs // every), "memory", transient=True, disable=not shows_progress):
        requests = [mix.request(lot * every + k, rng) for k in range(every)]
        doomed = {request.job_id: rng.randint(0, 1) for request in requests if rng.random() < 0.1}
        peak_kb = _run(engine, requests, doomed)
        _run(engine, [_last(variant, mix, lot)], {})
        tensors, tensor_bytes = live_tensors()
        as_it_is_kb = resident_kb()
        give_back_memory()
        samples.append(
            Sample((lot + 1) * every, as_it_is_kb, resident_kb(), peak_kb, tensors, tensor_bytes)
        )
    return samples


@torch.inference_mode()
def _meet_every_shape(variant: Variant, mix: JobMix) -> None:
    """Encode, step and decode every number of texts, rows and pictures once.

    torch keeps something for every shape that it has met, and which ones come when is chance.
    """
    text = variant.encoder.encode((None,))[0].tokens
    for rows in range(1, 2 * PLACES + 1):  # a guided job takes two
        variant.encoder.encode([next(mix.prompts) for _ in range(rows)])
        for width, height in mix.sizes:
            shape = (rows, *variant.latent_shape(width, height)[1:])
            latents = torch.zeros(shape, dtype=text.dtype, device=variant.device)
            timesteps = torch.zeros(rows, device=variant.device)
            variant.denoiser(latents, timesteps, text.expand(rows, -1, -1))
            if rows <= PLACES:
                variant.decoder.decode(latents)


def _last(variant: Variant, mix: JobMix, lot: int) -> PictureRequest:
    """The same job at the end of every lot: an engine may hold its last batch until the next."""
    side = variant.native_size
    service = Service(variant.name, mix.steps, 0)
    return PictureRequest(f"last of lot {lot}", "", service, 0, side, side, guidance_scale=1.0)


def _run(
    engine: StepEngine, requests: Sequence[PictureRequest], doomed: dict[str, int]
) -> float | None:
    """Run a lot to its end; `doomed` jobs are cancelled after that many steps. Returns peak kB."""
    peak_kb = resident_kb()
    for request in requests:
        engine.submit(request)
        if doomed.get(request.job_id) == 0:
            engine.cancel(request.job_id)
    while engine.has_work():
        for event in engine.step():
            is_picture(event)
            if isinstance(event, StepDone) and doomed.get(event.job_id) == event.steps_run:
                engine.cancel(event.job_id)
        now_kb = resident_kb()
        if now_kb is not None and peak_kb is not None:
            peak_kb = max(peak_kb, now_kb)
    return peak_kb


def resident_kb() -> float | None:
    """The process's resident set in kB (1,000 bytes); None where the system does not tell."""
    if not RESIDENT.exists():
        return None
    pages = int(RESIDENT.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1000


def give_back_memory() -> None:
    """Have the C library return what it keeps of freed memory, where it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def live_tensors() -> tuple[int, int]:
    """How many tensors Python knows of, and the bytes of their storages, each storage once."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in found
        if tensor.layout == torch.strided
    }
    return len(found), sum(storages.values())


def measure_memory(
    folder: Path, prompts: Iterator[str], *, jobs: int, seed: int, threads: int
) -> Section:
    """Memory over `jobs` short jobs of the model in `folder`."""
    torch.set_num_threads(threads)
    variant = load_variant("full", folder, embeddings_kept=EMBEDDINGS_KEPT)
    side = variant.native_size
    sizes = ((side, side), (side + side // 2, side))
    drawn = list(itertools.islice(prompts, 2 * jobs))  # now, so that they are no growth
    mix = JobMix("full", iter(drawn), own_samplers(variant), sizes)
    samples = sample_jobs(variant, mix, jobs=jobs, every=EVERY, seed=seed, shows_progress=True)
    settled = [sample for sample in samples if sample.jobs >= SETTLED_AFTER]
    told = ", ".join(f"{width}x{height}" for width, height in sizes)
    return Section(
        title=f"Memory over {jobs} jobs",
        text=(
            f"{jobs} jobs of {mix.steps} steps, {PLACES} at a time, of all samplers "
            f"({', '.join(mix.samplers)}) and sizes ({told}), half of them guided, a fifth with "
            "intermediate pictures, a fifth with a negative prompt of their own, a tenth cancelled; "
            f"every prompt new. Every shape was met once beforehand. Looked at after every {EVERY} "
            f"jobs, with the engine empty; what counts begins after {SETTLED_AFTER} jobs. Held is "
            "what remains resident once the C library has given back the memory that it keeps for "
            "later, which jumps by some MB with the order of sizes. The growth is the slope of a "
            "least squares line through the held memory, its interval widened for the samples' "
            "likeness to their neighbours."
        ),
        claims=_claims(settled),
        table=_table(samples[0], settled),
        measurements={"samples": [asdict(sample) for sample in samples]},
    )


def _claims(settled: Sequence[Sample]) -> tuple[Claim, ...]:
    counts = [float(sample.tensors) for sample in settled]
    numbers = [float(sample.jobs) for sample in settled]
    held = [sample.held_kb for sample in settled if sample.held_kb is not None]
    name, unit = "held memory: growth per job", "kB"
    if len(held) < len(settled):
        why = "this system does not tell a process's resident memory"
        growth = Claim(name, None, FLAT_KB_PER_JOB, True, unit=unit, note=why)
    else:
        line = trend(numbers, held)
        growth = Claim(name, line.slope, FLAT_KB_PER_JOB, True, line.interval, unit)
    spread = max(counts) - min(counts)
    everywhere = Interval(spread, spread)
    return growth, Claim("live tensors: most less fewest", spread, 0.0, True, everywhere)


def _table(first: Sample, settled: Sequence[Sample]) -> Table:
    def megabytes(kb: float | None) -> str:
        return "not told" if kb is None else f"{kb / 1000:.1f}"

    peaks = [sample.peak_kb for sample in settled if sample.peak_kb is not None]
    rows = [
        (
            str(sample.jobs),
            megabytes(sample.held_kb),
            megabytes(sample.resident_kb),
            str(sample.tensors),
            f"{sample.tensor_bytes / 1e6:.2f}",
        )
        for sample in (first, settled[0], settled[len(settled) // 2], settled[-1])
    ]
    rows.append(("peak at any boundary", "", megabytes(max(peaks) if peaks else None), "", ""))
    columns = ("jobs done", "held, MB", "resident, MB", "live tensors", "their storages, MB")
    return Table(columns, tuple(rows))
