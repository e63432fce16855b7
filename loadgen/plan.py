"""The whole run, made before its first request: when each request goes out and what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from loadgen import arrivals
from loadgen.config import ConfigError, RunConfig
from loadgen.prompts import prompt_order, read_prompts

# A million requests is hours of load and about half a gigabyte of plan: more is a typing error.
REQUESTS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Request i goes out at ``schedule.times_s[i]`` with ``prompt(i)`` and ``picture_seed(i)``."""

    config: RunConfig
    schedule: arrivals.Arrivals
    prompts: tuple[str, ...]
    order: list[int]

    def __len__(self) -> int:
        return len(self.schedule)

    def prompt(self, index: int) -> str:
        """The prompt of request ``index``."""
        return self.prompts[self.order[index]]

    def picture_seed(self, index: int) -> int:
        """The picture seed of request ``index``."""
        return self.config.seed + index

    def body(self, index: int) -> bytes:
        """The JSON body of request ``index``, in the OpenAI images form."""
        config = self.config
        fields: dict[str, object | None] = {
            "model": config.model,
            "prompt": self.prompt(index),
            "n": 1,
            "quality": config.quality,
            "response_format": "b64_json",
            "output_format": "png",
            "seed": self.picture_seed(index),
            "steps": config.steps,
            "deadline_s": config.deadline_s,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(given).encode("utf-8")


def make_plan(config: RunConfig) -> Plan:
    """Schedule, prompts and their order. Raises ConfigError with one sentence."""
    expected = (config.rate_per_s or 0.0) * (config.duration_s or 0.0)
    if expected > REQUESTS_MAX:
        raise ConfigError(
            f"--rate times --duration is {expected:.0f} requests, "
            f"more than {REQUESTS_MAX}: lower one of them."
        )
    try:
        kind = config.arrivals
        bursty, diurnal = kind == "bursty", kind == "diurnal"
        schedule = arrivals.make(
            kind,
            rate_per_s=config.rate_per_s,
            duration_s=config.duration_s,
            seed=config.seed,
            burst=arrivals.Burst(config.burst_factor, config.burst_share, config.mean_burst_s)
            if bursty
            else None,
            day=arrivals.Day(period_s=config.day_s) if diurnal else None,
            times_file=Path(config.times_file) if config.times_file else None,
        )
        prompts = read_prompts(Path(config.prompts))
    except OSError as error:
        raise ConfigError(f"cannot read {config.times_file} ({error.strerror}).") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not len(schedule):
        raise ConfigError("no request falls into this run: raise --rate or --duration.")
    order = prompt_order(len(prompts), len(schedule), config.seed)
    return Plan(config, schedule, prompts, order)
