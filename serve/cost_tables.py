"""The cost table that a pool names, checked to fit what the pool runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.costs import CostTable
from serve.sections import PoolSection, RungSection, VariantSection


def table_of(
    pool: PoolSection,
    path: Path,
    size: str,
    variants: Mapping[str, VariantSection],
    ladder: Sequence[RungSection],
) -> CostTable:
    """The table in `path` that was measured on what the pool runs, for pictures of WxH `size`.

    ValueError if there is none, or it does not answer all that policies ask about the pool.
    """
    dtypes = sorted({variants[name].dtype for name in pool.variants})
    if len(dtypes) > 1:
        raise ValueError(
            "a cost table is for one dtype, and the pool's variants have"
            f" {' and '.join(dtypes)}; put them into pools of their own"
        )
    if pool.device == "auto":
        raise ValueError(
            "a cost table is for one device, and the pool's is auto; set device to cpu or cuda"
        )
    width, height = (int(side) for side in size.split("x"))
    table = CostTable.load(
        path,
        width=width,
        height=height,
        dtype=dtypes[0],
        threads=pool.threads,
        device=pool.device,
    )
    for name in pool.variants:
        shares = [rung.guidance_share for rung in ladder if rung.variant == name]
        _check_reach(table, name, pool.max_batch, cut=min(shares) < 1)
        _check_guidance(table, name, variants[name].guidance_scale)
    return table


def _check_reach(table: CostTable, variant: str, max_batch: int, *, cut: bool) -> None:
    """Ask for the costs of the smallest and the largest batch; the table says what it lacks."""
    table.encode_s(variant)
    for batch in (1, max_batch):
        table.decode_s(variant, batch)
        table.step_s(variant, batch)
        if cut:
            table.step_s(variant, batch, 0)


def _check_guidance(table: CostTable, variant: str, scale: float | None) -> None:
    guided = table.variants[variant].rows_per_job > 1
    if scale is not None and guided != (scale > 1):
        raise ValueError(
            f"{variant!r} was measured {'with' if guided else 'without'} guidance, and its"
            f" guidance_scale is {scale:g}; profile again with --guidance {variant}={scale:g}"
        )
