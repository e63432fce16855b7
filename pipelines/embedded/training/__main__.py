"""`python -m pipelines.embedded.training`: train what is not trained yet, save the pipeline folders, measure, write the card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.schedulers import SchedulerMixin
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.embedded.captions import vocabulary
from pipelines.embedded.judge import Judge, load_judge
from pipelines.embedded.networks import default_sampler, turbo_sampler
from pipelines.embedded.tokenizer import build_tokenizer
from pipelines.embedded.training.card import write_card
from pipelines.embedded.training.denoiser import encode_pictures, train_full, train_small
from pipelines.embedded.training.distillation import distil
from pipelines.embedded.training.evaluation import contact_sheet, evaluate
from pipelines.embedded.training.language import train_text
from pipelines.embedded.training.loop import pick_device
from pipelines.embedded.training.perception import train_autoencoder, train_judge


def main() -> None:
    """Run all stages; each resumes from its checkpoint in the work folder, so a finished one costs seconds."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.embedded.training", description=__doc__
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("training"),
        help="folder for checkpoints (default: training)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent.parent / "weights",
        help="folder for the finished weights",
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument(
        "--only-evaluate",
        action="store_true",
        help="measure the saved weights again and rewrite the card",
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.only_evaluate:
        _train_all(options.work, options.out)
    torch.manual_seed(0)
    figures = evaluate(options.out, load_judge(options.out / "judge" / "model.safetensors"))
    (options.out / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n")
    contact_sheet(options.out, options.out / "contact_sheet.png")
    write_card(options.out)


def _train_all(work: Path, out: Path) -> None:
    device = pick_device()
    vae = train_autoencoder(work, device)
    _save_judge(train_judge(work, device), out / "judge")
    tokenizer = build_tokenizer(vocabulary(), work / "tokenizer")
    text = train_text(tokenizer, work, device)
    encoded = encode_pictures(vae, work, device)
    unet = train_full(tokenizer, text, encoded, work, device)
    _save_pipeline(out / "full", vae, text, tokenizer, unet, default_sampler())
    small = train_small(tokenizer, text, encoded, work, device)
    _save_pipeline(out / "small", vae, text, tokenizer, small, default_sampler())
    turbo = distil(unet, text, tokenizer, encoded, work, device)
    _save_pipeline(out / "turbo", vae, text, tokenizer, turbo, turbo_sampler())


def _save_judge(judge: Judge, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.half().cpu().contiguous() for name, value in judge.state_dict().items()},
        folder / "model.safetensors",
    )


def _save_pipeline(
    folder: Path,
    vae: AutoencoderKL,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    sampler: SchedulerMixin,
) -> None:
    """Save a plain Stable Diffusion folder, half precision on disk, that loads in single precision by default."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=sampler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to("cpu")
    states = [
        {name: value.clone() for name, value in module.state_dict().items()}
        for module in (vae, text, unet)
    ]
    pipeline.to(torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    config_file = (
        folder / "text_encoder" / "config.json"
    )  # transformers loads the dtype named here: single, as diffusers does
    config = json.loads(config_file.read_text()) | {"dtype": "float32"}
    config_file.write_text(json.dumps(config, indent=2) + "\n")
    pipeline.to(torch.float32)
    for module, state in zip(
        (vae, text, unet), states, strict=True
    ):  # halving loses bits that later stages would miss
        module.load_state_dict(state)
    pipeline.to(pick_device())


if __name__ == "__main__":
    main()
