"""The embedded model's networks, all of them plain diffusers and transformers classes at small sizes."""

from __future__ import annotations

from collections.abc import Mapping

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipelines.embedded.scenes import PICTURE_PX

LATENT_CHANNELS = 12
LATENT_PX = PICTURE_PX // 8
TEXT_WIDTH = 128
TIMESTEPS = 1000
DISTILLATION_STEPS = 50  # the grid of timesteps that `turbo` is distilled on and samples from
BETA_START = 0.00085
BETA_END = 0.016  # a little noisier than Stable Diffusion's 0.012: the background's colour must not leak into step one
NOISE_SCHEDULE: Mapping[str, object] = {
    "num_train_timesteps": TIMESTEPS,
    "beta_schedule": "scaled_linear",
    "beta_start": BETA_START,
    "beta_end": BETA_END,
    "prediction_type": "v_prediction",
}


def autoencoder() -> AutoencoderKL:
    """8-fold downsampling autoencoder: thin at full resolution, where its time goes."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=PICTURE_PX,
        mid_block_add_attention=False,
    )


def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A two-layer CLIP text model over the tokenizer's vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def full_unet() -> UNet2DConditionModel:
    """The reference denoiser: 3.2 million parameters on 8 x 8 latents, attention to the text at 4 x 4 and below."""
    return _unet(widths=(80, 104), text_at_coarse_level=True)


def small_unet() -> UNet2DConditionModel:
    """The cheaper denoiser: 1.05 million parameters, attention to the text in the middle block only."""
    return _unet(widths=(56, 64), text_at_coarse_level=False)


def _unet(*, widths: tuple[int, int], text_at_coarse_level: bool) -> UNet2DConditionModel:
    coarse = "CrossAttn" if text_at_coarse_level else ""
    down, up = ("DownBlock2D", f"{coarse}DownBlock2D"), (f"{coarse}UpBlock2D", "UpBlock2D")
    return UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=down,
        up_block_types=up,
        block_out_channels=widths,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def default_sampler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ 2M (Lu et al. 2022, arXiv 2211.01095), made for few steps."""
    sampler = DPMSolverMultistepScheduler(
        **NOISE_SCHEDULE, timestep_spacing="trailing", steps_offset=1
    )
    sampler.register_to_config(clip_sample=False)  # for DDIM made from this: latents are not pixels
    return sampler


def turbo_sampler() -> LCMScheduler:
    """The consistency sampler of the distilled variant: its timesteps are the ones that it was distilled at."""
    return LCMScheduler(**NOISE_SCHEDULE, original_inference_steps=DISTILLATION_STEPS)
