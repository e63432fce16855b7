"""Short and different jobs leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.benchmarks.engine_memory import (
    JobMix,
    Sample,
    live_tensors,
    measure_memory,
    own_samplers,
    sample_jobs,
)
from pipelines.loading import Variant, load_variant
from tests.pipelines.benchmarks.tiny_workload import short_prompts
from tests.pipelines.tiny_pipelines import SIZE


def run(variant: Variant, jobs: int) -> list[Sample]:
    sizes = ((SIZE, SIZE), (SIZE + SIZE // 2, SIZE))
    mix = JobMix("full", short_prompts(), own_samplers(variant), sizes)
    return sample_jobs(variant, mix, jobs=jobs, every=20, seed=3)


def test_a_tensor_more_is_seen_and_storages_count_once() -> None:
    before, bytes_before = live_tensors()
    kept = [torch.zeros(1000)]
    kept.append(kept[0][:10])
    after, bytes_after = live_tensors()
    assert after - before == 2
    assert bytes_after - bytes_before == 4000


def test_the_jobs_differ_in_all_that_is_told(full: Variant) -> None:
    assert "lcm" not in own_samplers(full)
    assert len(own_samplers(full)) >= 4
    samples = run(full, 60)
    assert [sample.jobs for sample in samples] == [20, 40, 60]
    assert all(sample.tensors > 0 and sample.tensor_bytes > 0 for sample in samples)


@pytest.mark.slow
def test_no_tensor_outlives_its_job(folders: dict[str, Path]) -> None:
    variant = load_variant("full", folders["v_prediction"], embeddings_kept=8)
    counts = [sample.tensors for sample in run(variant, 400)]
    assert len(set(counts[5:])) == 1, counts


@pytest.mark.slow
def test_the_section_says_whether_memory_is_flat(folders: dict[str, Path]) -> None:
    section = measure_memory(folders["v_prediction"], short_prompts(), jobs=500, seed=1, threads=1)
    assert len(section.measurements["samples"]) == 10
    growth, tensors = section.claims
    assert growth.unit == "kB"
    assert tensors.verdict == "holds"
