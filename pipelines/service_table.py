"""A cost table from what an engine did in service.

It holds means where a profile holds medians: a queue grows with the mean of its service times.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.cost_fit import Point, StepFit, fit_steps
from pipelines.costs import CostTable, Measurement, VariantCosts
from pipelines.service_costs import CostSums, RestKey, Sums

K = TypeVar("K", bound=Hashable)
Array = NDArray[np.float64]

CALLS_MIN = 20
"""A mean of fewer calls is left to the form that fits the others: one hiccup would rule it."""


def to_cost_table(
    sums: CostSums,
    *,
    size: tuple[int, int],
    max_batch: int,
    machine: str,
    commit: str,
    threads: int = 1,
    dtype: str = "float32",
    device: str = "cpu",
    command: str = "",
) -> CostTable:
    """The table of a window, for pictures of `size` and every batch up to `max_batch`.

    Where a profile has medians it holds means. `encode_s` is taking in one job, whether its text
    stood in the cache or not, as it was in this window. The rest of the boundaries is shared out by
    what they did (least squares): to their steps, to the jobs that came and to the pictures that
    left, so that the table's costs of all that was done add up to the time that it took. Batches
    seen less than `CALLS_MIN` times have the time of the form fitted to the others. A variant that
    was only handed jobs encodes like the others do; one that made no picture is left out.
    ValueError, one sentence, for a window that saw too little.
    """
    step_s, newcomer_s, picture_s = _shared_rest(sums.rest)
    variants = {}
    for name in dict.fromkeys(key[0] for key in sums.step):
        mine = {(k[3], k[4]): v for k, v in sums.step.items() if k[:3] == (name, *size)}
        decoded = {k[3]: v for k, v in sums.decode.items() if k[:3] == (name, *size)}
        if not (mine and decoded):
            continue
        encoded = [(k[1], one) for k, one in sums.encode.items() if k[0] == name]
        encoded = encoded or [(k[1], one) for k, one in sums.encode.items()]
        variants[name] = VariantCosts.measured(
            encode_s=_newcomer(encoded, newcomer_s),
            decode_s=_decodings(decoded, max_batch, picture_s),
            **_steps(name, mine, max_batch, step_s),
        )
    if not variants:
        raise ValueError("No picture of this size was made in this window; put load on the server.")
    return CostTable(
        machine=machine,
        threads=threads,
        dtype=dtype,
        commit=commit,
        width=size[0],
        height=size[1],
        variants=variants,
        device=device,
        command=command,
    )


def _newcomer(encoded: Sequence[tuple[int, Sums]], rest_s: float) -> Measurement:
    """One job's share of a call, so that the squares of a call count by its jobs."""
    jobs = sum(count * one.calls for count, one in encoded)
    seconds = sum(one.seconds for _, one in encoded)
    squares = sum(one.squares / count for count, one in encoded)
    return _later(Sums(jobs, seconds, squares).measurement(), rest_s)


def _decodings(
    decoded: Mapping[int, Sums], max_batch: int, rest_s: float
) -> dict[int, Measurement]:
    """Unseen batches lie on the line through the seen; one seen size alone gives the proportion."""
    trusted = _trusted(decoded)
    pictures = np.array(list(trusted), dtype=np.float64)
    weights = np.array([one.calls for one in trusted.values()], dtype=np.float64)
    means_s = np.array([one.mean_s for one in trusted.values()])
    columns = [pictures] if len(trusted) == 1 else [np.ones_like(pictures), pictures]
    line = _least_squares(np.column_stack(columns), means_s, weights)
    fixed_s, each_s = (0.0, line[0]) if len(trusted) == 1 else (line[0], line[1])
    found = {}
    for batch in range(1, max_batch + 1):
        known = trusted.get(batch)
        one = (
            Measurement.exactly(fixed_s + each_s * batch) if known is None else known.measurement()
        )
        found[batch] = _later(one, rest_s * batch)
    return found


def _steps(
    name: str, seen: Mapping[tuple[int, int], Sums], max_batch: int, rest_s: float
) -> dict[str, Any]:
    """`step_s`, `unguided_step_s` and `rows_per_job` for `VariantCosts.measured`."""
    guided = any(with_guidance for _, with_guidance in seen)
    mixed = any(with_guidance < jobs for jobs, with_guidance in seen)
    trusted = _trusted(seen)
    points = [
        Point(jobs + with_guidance, one.mean_s, one.measurement().error_s)
        for (jobs, with_guidance), one in trusted.items()
    ]
    fit = fit_steps(points) or _line(points)

    def by_batch(rows_per_job: int) -> dict[int, Measurement]:
        found = {}
        for batch in range(1, max_batch + 1):
            known = trusted.get((batch, (rows_per_job - 1) * batch))
            if known is not None:
                one = known.measurement()
            elif fit is not None:
                one = Measurement.exactly(fit.seconds(rows_per_job * batch))
            else:
                raise ValueError(
                    f"Variant {name!r} ran in one batch size only in this window, so what others"
                    " cost is unknown; put other loads on the server."
                )
            found[batch] = _later(one, rest_s)
        return found

    return {
        "step_s": by_batch(2 if guided else 1),
        "unguided_step_s": by_batch(1) if guided and mixed else {},
        "rows_per_job": 2 if guided else 1,
    }


def _trusted(seen: Mapping[K, Sums]) -> dict[K, Sums]:
    """Those seen often; if these are fewer than two, all."""
    often = {key: one for key, one in seen.items() if one.calls >= CALLS_MIN}
    return often if len(often) >= 2 else dict(seen)


def _line(points: Sequence[Point]) -> StepFit | None:
    """The line through two row counts, which no check can be made of; None through one."""
    if len({point.rows for point in points}) < 2:
        return None
    rows = np.array([point.rows for point in points], dtype=np.float64)
    seconds = np.array([point.median_s for point in points])
    line = _least_squares(np.column_stack([np.ones_like(rows), rows]), seconds, np.ones_like(rows))
    return StepFit("affine", float(line[0]), float(line[1]))


def _shared_rest(rest: Mapping[RestKey, Sums]) -> tuple[float, float, float]:
    """Seconds of the rest for each step call, each newcomer and each picture."""
    if not rest:
        return 0.0, 0.0, 0.0
    did = np.array(list(rest), dtype=np.float64)
    calls = np.array([one.calls for one in rest.values()], dtype=np.float64)
    means_s = np.array([one.mean_s for one in rest.values()])
    shares = _least_squares(did, means_s, calls)
    explained_s = float((calls * (did @ shares)).sum())
    if explained_s > 0:
        shares = shares * (float((calls * means_s).sum()) / explained_s)
    return float(shares[0]), float(shares[1]), float(shares[2])


def _least_squares(columns: Array, values: Array, weights: Array) -> Array:
    """Weighted, with no negative part: a column whose part would be negative is left out."""
    root = np.sqrt(weights)
    used = list(range(columns.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(columns[:, used] * root[:, None], values * root, rcond=None)
        if found.min(initial=0.0) >= 0:
            break
        used.pop(int(found.argmin()))
    parts = np.zeros(columns.shape[1])
    parts[used] = found
    return parts


def _later(one: Measurement, by_s: float) -> Measurement:
    return Measurement(one.median_s + by_s, one.p10_s + by_s, one.p90_s + by_s, one.repetitions)
