"""Cost studies of made-up architectures whose steps follow a known law."""

from __future__ import annotations

import random
from collections.abc import Callable

from pipelines.cost_samples import CostStudy, DeviceSpeed, Sample, Setting, Work, WorkByRows
from pipelines.costs import Measurement

SPEEDS = {
    Setting(1, "float32"): DeviceSpeed(6e10, 8e10, 1e10, 5e-6),
    Setting(2, "float32"): DeviceSpeed(11e10, 14e10, 1.4e10, 6e-6),
    Setting(1, "bfloat16"): DeviceSpeed(16e10, 20e10, 0.9e10, 9e-6),
}
WEIGHTS = (1.5, 2.0, 0.5, 1.2, 4.0)
"""How many times slower than the probes each kind of work is."""


def roofline_s(work: Work, speed: DeviceSpeed) -> float:
    """The law: a weighted sum of what each kind of work would take."""
    convolutions, products, parameters, activations, calls = WEIGHTS
    return (
        convolutions * work.conv_flops / speed.conv_flops_per_s
        + products * work.matmul_flops / speed.matmul_flops_per_s
        + parameters * work.parameter_bytes / speed.bytes_per_s
        + activations * work.activation_bytes / speed.bytes_per_s
        + calls * work.calls * speed.call_s
    )


def random_work(draw: random.Random) -> WorkByRows:
    """A model of any width, depth and share of attention."""
    width, depth, attention = draw.uniform(20, 200), draw.uniform(80, 700), draw.uniform(0, 1)
    parameters = 4 * depth * width**2

    def at(rows: int) -> Work:
        return Work(
            conv_flops=rows * 100 * depth * width**2 * (1 - attention / 2),
            matmul_flops=rows * 60 * depth * width**2 * attention,
            parameter_bytes=parameters,
            activation_bytes=rows * 3e3 * depth * width**0.9,
            calls=depth,
        )

    return WorkByRows(at(1), at(2))


def study(
    law: Callable[[Work, DeviceSpeed], float] = roofline_s,
    *,
    noise: float = 0.03,
    architectures: int = 8,
    seed: int = 0,
) -> CostStudy:
    """Every architecture at five row counts, two sizes and three settings."""
    draw = random.Random(seed)
    samples = []
    for number in range(architectures):
        counted = random_work(draw)
        for side in (8, 16):
            for rows in (1, 2, 4, 8, 16):
                work = counted.at(rows * side**2 // 64)
                for setting, speed in SPEEDS.items():
                    step_s = law(work, speed) * draw.lognormvariate(0, noise)
                    samples.append(
                        Sample(
                            f"a{number}",
                            rows,
                            side,
                            side,
                            setting,
                            work,
                            Measurement(step_s, 0.98 * step_s, 1.05 * step_s, 5),
                        )
                    )
    names = sorted({sample.architecture for sample in samples})
    return CostStudy(
        machine="two small cores",
        device="cpu",
        commit="abc123",
        versions={"torch": "2"},
        command="python -m pipelines cost-study",
        seed=seed,
        architectures={name: {"block_out_channels": [32, 48]} for name in names},
        speeds=SPEEDS,
        samples=samples,
    )
