"""The embedded model's networks, all of them plain diffusers and transformers classes at small sizes."""

from __future__ import annotations

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipelines.embedded.scenes import PICTURE_PX

LATENT_CHANNELS = 12
LATENT_PX = PICTURE_PX // 8
TEXT_WIDTH = 128
NOISE_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.016,  # a little noisier than Stable Diffusion's 0.012: the background's colour must not leak into step one
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
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
    """DPM-Solver++ 2M: of the samplers tried, the one whose pictures suffer least from fewer steps."""
    return DPMSolverMultistepScheduler(**NOISE_SCHEDULE)


def turbo_sampler() -> LCMScheduler:
    """The consistency sampler of the distilled variant: its timesteps are the ones that it was distilled at."""
    return LCMScheduler(
        num_train_timesteps=NOISE_SCHEDULE["num_train_timesteps"],
        beta_schedule=NOISE_SCHEDULE["beta_schedule"],
        beta_start=NOISE_SCHEDULE["beta_start"],
        beta_end=NOISE_SCHEDULE["beta_end"],
        prediction_type=NOISE_SCHEDULE["prediction_type"],
        original_inference_steps=50,
    )
