"""What goes over HTTP: the OpenAI Images API and this server's extensions to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipelines.jobs import EarlyExit
from policies.orders import DEFAULT_TIER

QualityIn = Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"]
OutputFormat = Literal["png", "jpeg", "webp"]

_RETIRED_QUALITIES = {"standard": "medium", "hd": "high"}
"""The labels of the retired DALL-E models, as the level that comes closest to each."""

MAX_SEED = 2**63 - 1
"""The largest seed that torch.Generator.manual_seed takes as a positive number."""

_NULL_MEANS_DEFAULT = (
    "n",
    "response_format",
    "output_format",
    "output_compression",
    "stream",
    "partial_images",
    "background",
    "guidance_rescale",
    "converge",
    "service_tier",
)


class GenerationRequest(BaseModel):
    """The body of `POST /v1/images/generations`.

    Unknown keys are refused, so that a misspelt wish is not silently ignored. `null` means the
    default, as in the official API. `background`, `moderation`, `style` and `safety_identifier` are
    taken so that existing clients work; they change nothing here. `user` is the tenant among whom
    a server shares, where it does. `service_tier` is the priority where there are tiers, and
    `objective` chooses engine and rung by latency, cost or quality instead of as the server usually
    does. `converge` lets a picture end before its last step once it no longer changes.
    Limits that depend on the configuration are checked by `serve.orders`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    prompt: str
    model: str | None = None
    n: Annotated[int, Field(ge=1, le=10)] = 1
    size: str | None = None
    quality: QualityIn | None = None
    response_format: Literal["b64_json", "url"] = "b64_json"
    output_format: OutputFormat = "png"
    output_compression: Annotated[int, Field(ge=0, le=100)] = 100
    stream: bool = False
    partial_images: Annotated[int, Field(ge=0, le=3)] = 0
    background: Literal["opaque", "auto", "transparent"] = "auto"
    moderation: Literal["low", "auto"] | None = None
    style: Literal["vivid", "natural"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=50)] | None = None
    guidance_rescale: Annotated[float, Field(ge=0, le=1)] = 0.0
    converge: bool = False
    negative_prompt: str | None = None
    deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    objective: Literal["latency", "cost", "quality"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {k: v for k, v in body.items() if v is not None or k not in _NULL_MEANS_DEFAULT}

    @field_validator("prompt")
    @classmethod
    def _prompt_says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("The prompt is empty; describe the picture to make.")
        return prompt

    @field_validator("response_format")
    @classmethod
    def _no_urls(cls, value: str) -> str:
        if value == "url":
            # A data: URL would pass here and then break in the client that tries to fetch it.
            raise ValueError(
                "This server keeps no pictures, so it cannot give a URL;"
                " use response_format 'b64_json'."
            )
        return value

    @field_validator("background")
    @classmethod
    def _opaque_only(cls, value: str) -> str:
        if value == "transparent":
            raise ValueError("Transparent backgrounds are not offered; use background 'opaque'.")
        return value

    @model_validator(mode="after")
    def _partials_need_a_stream(self) -> GenerationRequest:
        if self.partial_images and not self.stream:
            raise ValueError("partial_images needs stream true; set it, or leave it out.")
        return self

    @property
    def quality_floor(self) -> str:
        """The quality below which nothing may be delivered; "auto" accepts any rung."""
        asked = self.quality or "auto"
        return _RETIRED_QUALITIES.get(asked, asked)

    @property
    def tier(self) -> str:
        """The priority tier; "auto" is the default one."""
        return DEFAULT_TIER if self.service_tier == "auto" else self.service_tier

    @property
    def steps_are_fixed(self) -> bool:
        """Whether the client gets exactly its `steps`: it gave some, and no quality."""
        return self.steps is not None and self.quality is None


class ServingFacts(BaseModel):
    """What one picture was promised and what it got. Waits are in milliseconds.

    `guided_steps` of the `steps_run` ran with guidance. `early_exit` says why `steps_run` differs
    from `steps_planned`, or `variant` from the one that began: "replan", "finish" or "hand_over" for
    the load's sake, "converged" because the picture no longer changed, "none" where nothing did.
    """

    job_id: str
    tier: str
    variant: str
    sampler: str
    guidance_scale: float
    guidance_rescale: float
    seed: int
    steps_planned: int
    steps_run: int
    guided_steps: int
    early_exit: EarlyExit
    quality_admitted: str
    quality_delivered: str
    queue_ms: float
    service_ms: float
    total_ms: float


class InputTokens(BaseModel):
    """Input tokens by kind."""

    image_tokens: int = 0
    text_tokens: int


class Usage(BaseModel):
    """Tokens as the official client wants them: the prompt's; a picture here has none."""

    input_tokens: int
    input_tokens_details: InputTokens
    output_tokens: int = 0
    total_tokens: int

    @classmethod
    def of_prompt(cls, text_tokens: int) -> Usage:
        """The usage of a request whose prompts had so many tokens in all."""
        details = InputTokens(text_tokens=text_tokens)
        return cls(input_tokens=text_tokens, input_tokens_details=details, total_tokens=text_tokens)


class ImageData(BaseModel):
    """One picture of an answer."""

    b64_json: str
    serving: ServingFacts


class ImagesResponse(BaseModel):
    """The answer without streaming; `quality` is the lowest level delivered among `data`."""

    created: int
    background: Literal["opaque"] = "opaque"
    data: list[ImageData]
    output_format: OutputFormat
    quality: str
    size: str
    usage: Usage


class PartialImageEvent(BaseModel):
    """A picture on its way. `image_index` says which of the `n` pictures it belongs to."""

    type: Literal["image_generation.partial_image"] = "image_generation.partial_image"
    b64_json: str
    partial_image_index: int
    image_index: int
    created_at: int
    size: str
    quality: str
    background: Literal["opaque"] = "opaque"
    output_format: OutputFormat


class CompletedEvent(BaseModel):
    """A finished picture in a stream; one of these comes for each of the `n` pictures."""

    type: Literal["image_generation.completed"] = "image_generation.completed"
    b64_json: str
    image_index: int
    created_at: int
    size: str
    quality: str
    background: Literal["opaque"] = "opaque"
    output_format: OutputFormat
    usage: Usage
    serving: ServingFacts


class ModelCard(BaseModel):
    """One entry of `/v1/models`."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "sluice"


class ModelList(BaseModel):
    """The answer of `/v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
