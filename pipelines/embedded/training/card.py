"""The model card, written from the figures in evaluation.json and the recipes in the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.embedded.scenes import COLOURS, HELD_OUT_SHARE, POSITIONS, SHAPES, SIZES
from pipelines.embedded.training.denoiser import FULL_RECIPE, PICTURES, SMALL_RECIPE
from pipelines.embedded.training.distillation import TURBO_RECIPE
from pipelines.embedded.training.language import TEXT_RECIPE
from pipelines.embedded.training.perception import AUTOENCODER_RECIPE, CROPS_RECIPE, JUDGE_RECIPE

_RECIPES = {
    "judge": JUDGE_RECIPE,
    "autoencoder, crops": CROPS_RECIPE,
    "autoencoder, pictures": AUTOENCODER_RECIPE,
    "text encoder": TEXT_RECIPE,
    "full": FULL_RECIPE,
    "small": SMALL_RECIPE,
    "turbo": TURBO_RECIPE,
}


def write_card(weights: Path) -> None:
    """Write MODEL_CARD.md beside the weights from `weights/evaluation.json`."""
    figures: dict[str, Any] = json.loads((weights / "evaluation.json").read_text())
    megabytes = sum(file.stat().st_size for file in weights.rglob("*.safetensors")) / 1e6
    sections = [
        "# The embedded model: coloured shapes at 64 x 64",
        "A family of small Stable Diffusion pipelines trained by this project alone, so that the serving system can be run, tested "
        "and measured anywhere. `make train` makes all of it from seeds; `python -m pipelines.embedded.training --only-evaluate` "
        "measures the committed weights again and rewrites this card.",
        "![drawn, reconstructed, full 25/15/10, small 15, turbo 4](contact_sheet.png)",
        "Rows: drawn pictures; the same through the autoencoder; then prompts never trained on by `full` at 25, 15 and 10 steps, "
        "`small` at 15, `turbo` at 4, with equal seeds.",
        _data_section(),
        _recipe_section(),
        _figures_section(figures, megabytes),
        "## What it is not good at\n"
        "Anything else than these shapes: words it does not know are spelled in bytes and change the picture at random; three or more "
        "objects, relations other than the five places, negation and counting were never trained. Two objects stand only opposite "
        "each other (left and right, top and bottom). FID and KID are taken on the judge's own features and compare with "
        "nothing outside this project. Negative prompts work only as far as guidance does.",
    ]
    (weights / "MODEL_CARD.md").write_text("\n\n".join(sections) + "\n")


def _data_section() -> str:
    return (
        "## Data\n"
        f"Drawn by `pipelines/embedded/drawing.py`: one or two of {len(SHAPES)} shapes ({', '.join(SHAPES)}) in {len(COLOURS)} colours "
        f"({', '.join(COLOURS)}), {len(SIZES)} sizes and {len(POSITIONS)} positions on a background of another colour, anti-aliased, "
        "with jitter in colour, size and place. Captions vary in wording and order, and now and then leave attributes unsaid. "
        f"{HELD_OUT_SHARE:.0%} of all scenes (by a hash of their meaning) are held out from every stage of training; all figures "
        "below are on captions and pictures of those."
    )


def _recipe_section() -> str:
    rows = [
        f"| {name} | {recipe.steps:,} | {recipe.batch} | {recipe.learning_rate:g} | {recipe.decay:g} | {recipe.seed} |"
        for name, recipe in _RECIPES.items()
    ]
    return "\n".join(
        [
            "## Recipe",
            "AdamW, warm-up and cosine decay, moving average of the weights, bfloat16 autocast. The autoencoder learns squared and "
            "absolute error, first on crops around shapes, then on whole pictures; the text encoder learns to tell the scene of a "
            f"caption and is then left as it is; `full` and `small` learn velocity on {PICTURES:,} encoded pictures, a tenth of the captions dropped; "
            "`turbo` is distilled from `full` by latent consistency at a fixed guidance scale.",
            "",
            "| stage | steps | batch | peak rate | average | seed |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


def _figures_section(figures: dict[str, Any], megabytes: float) -> str:
    def percent(share: float) -> str:
        return f"{100 * share:.1f}"

    judge, again = figures["judge_on_drawn"], figures["judge_on_reconstructed"]
    names = list(judge["attributes"])
    lines = [
        "## Figures",
        f"All weights together: {megabytes:.1f} MB. UNet parameters: "
        + ", ".join(
            f"`{name}` {count / 1e6:.2f} million" for name, count in figures["parameters"].items()
        )
        + ". One denoiser call for one job relative to `full`'s: "
        + ", ".join(
            f"`{name}` {percent(share)} %"
            for name, share in figures["step_time_relative_to_full"].items()
        )
        + ".",
        "",
        f"What the judge reads right, in percent of {judge['pictures']:,} held-out pictures "
        f"(autoencoder: {again['psnr_db']:.1f} dB PSNR):",
        "",
        f"| pictures | {' | '.join(names)} | all |",
        "| --- |" + " --- |" * (len(names) + 1),
        f"| drawn | {' | '.join(percent(judge['attributes'][name]) for name in names)} | {percent(judge['all_right'])} |",
        f"| reconstructed | {' | '.join(percent(again['attributes'][name]) for name in names)} | {percent(again['all_right'])} |",
        "",
        f"Prompt accuracy in percent, {figures['pictures_per_point']} unseen prompts a category, seeds from 0; FID and KID of both "
        "categories' pictures against drawings of the same kinds of scenes (other such drawings: FID "
        f"{figures['distances_of_drawings']['fid']:.0f}, KID {figures['distances_of_drawings']['kid']:.0f}):",
        "",
        "| variant | steps | one object: attributes | one object: all right | two objects: attributes | two objects: all right | FID | KID |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for point in figures["quality"]:
        one, two = point["single_object"], point["two_objects"]
        lines.append(
            f"| {point['variant']} | {point['steps']} | {percent(one['mean_attribute'])} | {percent(one['all_right'])} "
            f"| {percent(two['mean_attribute'])} | {percent(two['all_right'])} | {point['fid']:.0f} | {point['kid']:.0f} |"
        )
    return "\n".join(lines)
