"""Scheduler settings that the samplers are held against the library's classes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]

BETAS = [0.0001 + 0.0199 * i / 999 for i in range(1000)]
SCHEDULES: Sequence[Settings] = (
    {},
    {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": BETAS},
    {"num_train_timesteps": 400, "beta_end": 0.03},
)
SIGMAS: Sequence[Settings] = (
    {},
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_beta_sigmas": True},
)
ENDS: Sequence[Settings] = ({}, {"final_sigmas_type": "sigma_min"})
RANGE: Settings = {"sigma_min": 0.05, "sigma_max": 30.0}
ZERO_SIGNAL: Settings = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}

CIRCUMSTANCES: Mapping[str, Settings] = {
    "steps_offset": {"timestep_spacing": "leading"},
    "sigma_min": {"use_karras_sigmas": True},
    "lower_order_final": {"final_sigmas_type": "sigma_min"},
    "euler_at_final": {"final_sigmas_type": "sigma_min"},
    "lambda_min_clipped": {"timestep_spacing": "linspace"},
}
"""What some settings need before they change anything."""

AXES: Mapping[str, Sequence[Sequence[Settings]]] = {
    "ddim": (
        SCHEDULES,
        ({}, {"set_alpha_to_one": True}),
        ({}, {"steps_offset": 0}),
        ({}, {"clip_sample": True, "clip_sample_range": 0.6}),
        ({}, ZERO_SIGNAL),
    ),
    "euler": (
        SCHEDULES,
        SIGMAS,
        ENDS,
        ({}, {"interpolation_type": "log_linear"}),
        ({}, {"steps_offset": 0}),
        ({}, RANGE),
        ({}, ZERO_SIGNAL),
    ),
    "euler_ancestral": (SCHEDULES, ({}, {"steps_offset": 0}), ({}, ZERO_SIGNAL)),
    "dpmpp_2m": (
        SCHEDULES,
        (*SIGMAS, {"use_lu_lambdas": True}),
        ENDS,
        ({}, {"solver_type": "heun"}, {"solver_order": 1}),
        ({}, {"lower_order_final": False}, {"euler_at_final": True}),
        ({}, {"lambda_min_clipped": -2.0}),
        ({}, {"steps_offset": 0}),
        ({}, ZERO_SIGNAL),
    ),
    "unipc": (
        SCHEDULES,
        SIGMAS,
        (*ENDS, {"final_sigmas_type": "sigma_min", "solver_type": "bh1"}),
        ({}, {"solver_order": 1}),
        ({}, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
        ({}, {"disable_corrector": [0, 1, 4]}),
        ({}, RANGE),
        ({}, {"steps_offset": 0}),
        ({}, ZERO_SIGNAL),
    ),
    "lcm": (
        SCHEDULES,
        ({}, {"clip_sample": True, "clip_sample_range": 0.6}),
        ({}, {"original_inference_steps": 100}),
        ({}, {"timestep_scaling": 0.01}),
        ({}, ZERO_SIGNAL),
    ),
}
"""Per sampler, what its settings can be; one of each axis makes a config."""

_LATENT_DIFFUSION: Settings = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
REAL: Mapping[str, Settings] = {
    "SD 1.5": _LATENT_DIFFUSION | {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0"},
    "SD 2.1": _LATENT_DIFFUSION
    | {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.8.0",
        "prediction_type": "v_prediction",
    },
    "SDXL": _LATENT_DIFFUSION
    | {
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": "0.19.0.dev0",
        "interpolation_type": "linear",
        "prediction_type": "epsilon",
        "sample_max_value": 1.0,
        "timestep_spacing": "leading",
        "use_karras_sigmas": False,
    },
    "SDXL-Turbo": _LATENT_DIFFUSION
    | {
        "_class_name": "EulerAncestralDiscreteScheduler",
        "_diffusers_version": "0.24.0.dev0",
        "interpolation_type": "linear",
        "prediction_type": "epsilon",
        "sample_max_value": 1.0,
        "timestep_spacing": "trailing",
    },
    "LCM": _LATENT_DIFFUSION
    | {
        "_class_name": "LCMScheduler",
        "_diffusers_version": "0.24.0",
        "clip_sample_range": 1.0,
        "dynamic_thresholding_ratio": 0.995,
        "interpolation_type": "linear",
        "original_inference_steps": 50,
        "prediction_type": "epsilon",
        "rescale_betas_zero_snr": False,
        "sample_max_value": 1.0,
        "thresholding": False,
        "timestep_scaling": 10.0,
        "timestep_spacing": "leading",
    },
}
"""scheduler_config.json of published models, as they are on the hub."""
