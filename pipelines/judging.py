"""The pictures that a load run was served, judged against their prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.embedded.judge import Judge
from pipelines.embedded.scenes import PICTURE_PX
from pipelines.quality import Accuracy, accuracy, judged

QUALITY_FILE = "quality.json"


@dataclass(frozen=True, slots=True)
class _Served:
    prompt: str
    rung: str
    picture: Path


def judge_run(run: Path, judge: Judge) -> dict[str, Any]:
    """Judge the saved pictures of one run of the load generator and keep the figures beside them as quality.json.

    The figures: `pictures`, `all_right` (share), `attributes` (share each), and `by_rung` with the same for every rung served,
    named variant@steps by what was really run. Raises ValueError if the run kept no pictures.
    """
    served = _served(run)
    pictures = np.stack([_read(one.picture) for one in served])
    scenes = judged(judge, pictures)

    def figures(chosen: Sequence[int]) -> Accuracy:
        return accuracy(
            [served[index].prompt for index in chosen], [scenes[index] for index in chosen]
        )

    everything = figures(range(len(served)))
    rungs = sorted({one.rung for one in served})
    by_rung = {
        rung: figures([index for index, one in enumerate(served) if one.rung == rung])
        for rung in rungs
    }
    result = {
        "pictures": everything.pictures,
        "all_right": everything.all_right,
        "attributes": dict(everything.attributes),
        "by_rung": {
            rung: {"pictures": one.pictures, "all_right": one.all_right}
            for rung, one in by_rung.items()
        },
    }
    (run / QUALITY_FILE).write_text(json.dumps(result, indent=1) + "\n")
    return result


def _served(run: Path) -> list[_Served]:
    records = run / "requests.jsonl"
    if not records.exists():
        raise ValueError(
            f"{run} holds no requests.jsonl; name a folder that `python -m loadgen run --out` wrote."
        )
    served = []
    for line in records.read_text().splitlines():
        record = json.loads(line)
        if record["image"] is not None:
            facts = record["serving"]
            rung = f"{facts['variant']}@{facts['steps_run']}"
            served.append(_Served(record["prompt"], rung, run / "pictures" / record["image"]))
    if not served:
        raise ValueError(f"{run} holds no pictures; run the load with --save-pictures.")
    return served


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        if picture.size != (PICTURE_PX, PICTURE_PX):
            raise ValueError(
                f"{path} is {picture.width} x {picture.height}; the judge reads pictures of the embedded "
                f"model, {PICTURE_PX} x {PICTURE_PX}."
            )
        return np.asarray(picture.convert("RGB"))
