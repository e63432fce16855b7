"""`python -m analysis predict`: what a queueing model says of the long run."""

from __future__ import annotations

import argparse
import json
import math
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.models.steady import Prediction

FIELDS = {
    "mean_wait": "mean_wait_s",
    "mean_response": "mean_response_s",
    "p50": "p50_s",
    "p95": "p95_s",
    "p99": "p99_s",
    "utilisation": "utilisation",
    "degraded_share": "degraded_share",
    "throughput": "throughput_per_s",
    "method": "method",
    "error_estimate": "error_estimate",
}
"""Names of the output, and those of the prediction's attributes."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--model", required=True, metavar="NAME", help="mm1, threshold, bulk, ...")
    parser.add_argument(
        "--params",
        required=True,
        metavar="JSON",
        help='an object, such as \'{"lam": 0.8, "mu": 1}\'',
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print the prediction. ValueError for what has to be changed, and for a load that cannot be
    served."""
    # The models' matrices are small: threads would wait for each other. Read when numpy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Loaded here, and there each model's own module: scipy takes a while.
    from analysis.models.catalogue import predict

    try:
        parameters = json.loads(options.params)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--params is not JSON: {error}") from error
    plain = as_plain(predict(options.model, parameters))
    if options.json:
        print(json.dumps(plain, allow_nan=False))
        return 0
    for name, value in plain.items():
        shown = "-" if value is None else value if isinstance(value, str) else f"{value:.6g}"
        print(f"{name:15} {shown}")
    return 0


def as_plain(prediction: Prediction) -> dict[str, float | str | None]:
    """The prediction by the names of the output; None for what the model does not say."""
    values = {name: getattr(prediction, attribute) for name, attribute in FIELDS.items()}
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }
