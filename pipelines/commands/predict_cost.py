"""`python -m pipelines predict-cost` estimates the step time of a model that was never profiled."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands import Commands
from pipelines.commands.arguments import named, quieten_libraries, size

if TYPE_CHECKING:
    from pipelines.cost_features import ModelShape


def add_to(commands: Commands) -> None:
    """Declare `predict-cost`."""
    parser = commands.add_parser(
        "predict-cost", help="estimate the step time of a model from a cost study, without weights"
    )
    parser.set_defaults(command=run)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--variant",
        type=named("FOLDER"),
        metavar="NAME=FOLDER",
        help="a pipeline folder; its weights are not read",
    )
    model.add_argument("--unet-config", type=Path, metavar="FILE", help="a UNet's config.json")
    parser.add_argument("--study", type=Path, required=True, help="what `cost-study` wrote")
    parser.add_argument("--batch", type=int, required=True, help="jobs in the step")
    parser.add_argument("--size", type=size, required=True, metavar="WxH", help="pixels")
    parser.add_argument(
        "--no-guidance", action="store_true", help="one row a job, as for distilled variants"
    )
    parser.add_argument("--threads", type=int, help="of torch (default: the study's fewest)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", help="default: the study's")
    parser.add_argument(
        "--latent-factor", type=int, default=8, help="pixels per latent, for a bare config"
    )
    parser.add_argument("--tokens", type=int, default=77, help="of the text, for a bare config")


def run(options: argparse.Namespace) -> int:
    """Print the estimate with its interval. ValueError, one sentence, for input to be changed."""
    quieten_libraries()
    import torch

    from pipelines.cost_features import count_work
    from pipelines.cost_predictor import COVERED, learn
    from pipelines.cost_samples import CostStudy, Setting
    from pipelines.cost_study import measure_speed
    from pipelines.loading import DTYPES
    from pipelines.profiling import describe_machine

    study = CostStudy.load(options.study)
    shape, name = _model(options)
    if options.batch < 1:
        raise ValueError(f"--batch must be at least 1, got {options.batch}.")
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {options.threads}.")
    if options.dtype not in DTYPES:
        raise ValueError(f"--dtype must be one of {', '.join(DTYPES)}, got {options.dtype!r}.")
    threads = options.threads or min(setting.threads for setting in study.speeds)
    setting = Setting(threads, options.dtype)
    device = torch.device(options.device or study.device)
    rows = options.batch if options.no_guidance else 2 * options.batch
    height, width = shape.latent(*options.size)
    work = count_work(shape.config, (height, width), options.dtype, shape.tokens).at(rows)
    known = setting in study.speeds and describe_machine(device) == study.machine
    speed = study.speeds[setting] if known else measure_speed(device, setting)
    predictor = learn(study)
    estimate = predictor.estimate(
        work, speed, rows=rows, latents=height * width, known_setting=known
    )
    low, middle, high = (1000 * s for s in (estimate.low_s, estimate.seconds, estimate.high_s))
    pixels = "x".join(str(side) for side in options.size)
    print(
        f"{name}: one step of {options.batch} jobs ({rows} rows) at {pixels} in {setting} takes"
        f" {middle:.3g} ms, {COVERED:.0%} interval {low:.3g} to {high:.3g} ms"
    )
    gigaflop = (work.conv_flops + work.matmul_flops) / 1e9
    print(
        f"{gigaflop:.3g} GFLOP, {work.parameter_bytes / 1e6:.3g} MB of parameters,"
        f" {work.activation_bytes / 1e6:.3g} MB of activations, {work.calls:.0f} operator calls;"
        f" speeds {'from the study' if known else 'measured now'}; learnt from"
        f" {len(study.samples)} steps of {len(study.architectures)} architectures"
    )
    return 0


def _model(options: argparse.Namespace) -> tuple[ModelShape, str]:
    from pipelines.cost_features import ModelShape, read_config, read_shape

    if options.variant is not None:
        name, folder = options.variant
        return read_shape(Path(folder)), name
    config = read_config(options.unet_config)
    return ModelShape(config, options.latent_factor, options.tokens), str(options.unet_config)
