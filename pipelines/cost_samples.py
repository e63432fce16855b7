"""Steps of many architectures, each with what it does and what the device can do: data to learn costs from.

Plain data, without torch: `pipelines.cost_study` measures it, `pipelines.cost_predictor` learns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipelines.costs import Measurement

FORMAT_VERSION = 1
_AGAIN = "measure one with `python -m pipelines cost-study`"


@dataclass(frozen=True, slots=True)
class Work:
    """One UNet call: floating-point operations, bytes read and written, operator calls.

    `matmul_flops` are those of linear layers and attention. `activation_bytes` are all tensors but
    the parameters, each time an operator reads or writes one; caches may spare some of it.
    """

    conv_flops: float
    matmul_flops: float
    parameter_bytes: float
    activation_bytes: float
    calls: float


@dataclass(frozen=True, slots=True)
class WorkByRows:
    """The work of a call by its rows: every count is a fixed part and a part for each row."""

    of_one: Work
    of_two: Work

    def at(self, rows: int) -> Work:
        """The work of a call with that many rows."""
        if rows < 1:
            raise ValueError(f"A model call has at least 1 row, not {rows}.")
        counts = {}
        for field in fields(Work):
            one, two = (getattr(work, field.name) for work in (self.of_one, self.of_two))
            counts[field.name] = one + (rows - 1) * (two - one)
        return Work(**counts)


@dataclass(frozen=True, slots=True)
class DeviceSpeed:
    """What a device reaches in one setting, measured by `pipelines.cost_features.speed_probes`.

    Rates of a matrix product and a 3x3 convolution of middling size in operations a second, of a
    large copy in bytes (read and written) a second, and seconds of a small operator call.
    """

    matmul_flops_per_s: float
    conv_flops_per_s: float
    bytes_per_s: float
    call_s: float

    def __post_init__(self) -> None:
        if not all(getattr(self, field.name) > 0 for field in fields(self)):
            raise ValueError(f"Speeds must be positive, got {self}.")


@dataclass(frozen=True, slots=True)
class Setting:
    """A way to use a device: torch's threads and the number type."""

    threads: int
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} with {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured step: `rows` of latents of that height and width through an architecture."""

    architecture: str
    rows: int
    height: int
    width: int
    setting: Setting
    work: Work
    step_s: Measurement


@dataclass(frozen=True, slots=True)
class CostStudy:
    """Everything measured in one run on one device, and what it takes to measure it again."""

    machine: str
    device: str
    commit: str
    versions: Mapping[str, str]
    command: str
    seed: int
    architectures: Mapping[str, Mapping[str, Any]]
    speeds: Mapping[Setting, DeviceSpeed]
    samples: Sequence[Sample]

    def __post_init__(self) -> None:
        missing = {sample.setting for sample in self.samples} - set(self.speeds)
        if missing:
            raise ValueError(f"no speeds for {', '.join(str(one) for one in missing)}")

    def save(self, path: Path, report: Mapping[str, Any]) -> None:
        """Write the study as JSON, a line for each sample, with a `report` on what was learnt."""
        header = {
            "version": FORMAT_VERSION,
            **{name: getattr(self, name) for name in _HEADER},
            "report": report,
            "speeds": [{**asdict(key), **asdict(one)} for key, one in self.speeds.items()],
            "architectures": self.architectures,
        }
        lines = ",\n  ".join(json.dumps(_flat(sample)) for sample in self.samples)
        text = json.dumps(header, indent=1).removesuffix("\n}")
        path.write_text(f'{text},\n "samples": [\n  {lines}\n ]\n}}\n', encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> CostStudy:
        """Read a study that `save` wrote; ValueError says what is wrong with the file."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise ValueError(f"Cost study {path}: {reason}; {_AGAIN}.") from error
        except ValueError as error:
            raise ValueError(f"Cost study {path} is not JSON ({error}); {_AGAIN}.") from error
        try:
            return _study_from(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"Cost study {path} is not usable: {error}; {_AGAIN}.") from error


_HEADER = ("machine", "device", "commit", "versions", "command", "seed")


def _flat(sample: Sample) -> dict[str, Any]:
    flat = asdict(sample)
    return flat | flat.pop("setting") | {"step_s": asdict(sample.step_s)}


def _study_from(document: dict[str, Any]) -> CostStudy:
    if document.get("version") != FORMAT_VERSION:
        found = document.get("version")
        raise ValueError(f"format version {found!r} where {FORMAT_VERSION} is expected")
    speeds = {}
    for one in document["speeds"]:
        values = dict(one)
        setting = Setting(values.pop("threads"), values.pop("dtype"))
        speeds[setting] = DeviceSpeed(**values)
    return CostStudy(
        **{name: document[name] for name in _HEADER},
        architectures=document["architectures"],
        speeds=speeds,
        samples=tuple(_sample_from(one) for one in document["samples"]),
    )


def _sample_from(flat: Mapping[str, Any]) -> Sample:
    values = dict(flat)
    return Sample(
        setting=Setting(values.pop("threads"), values.pop("dtype")),
        work=Work(**values.pop("work")),
        step_s=Measurement(**values.pop("step_s")),
        **values,
    )
