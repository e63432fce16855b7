"""Calling a UNet eagerly, compiled, and by recordings, which must all say the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.execution import Execution, RecordedCalls, check_execution
from pipelines.loading import LoadError, Variant, load_variant

NO_CARD = "needs a CUDA device: CUDA graphs and Triton run on nothing else"
INDUCTORS_IMPORT = "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="needs a C++ compiler: inductor writes C++ for a CPU",
)
compilers_warnings = pytest.mark.filterwarnings(
    # Of Dynamo and inductor about diffusers, torchao and the card; which ones depends on the card.
    "ignore::UserWarning",
    "ignore::DeprecationWarning",
)
needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CARD)


def model_inputs(
    variant: Variant, rows: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor] | None]:
    """Inputs, timesteps (all different), tokens and added conditions for `rows` rows."""
    generator = torch.Generator().manual_seed(seed)
    unet, device = variant.unet, variant.device

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, unet.dtype)

    added = None
    if variant.is_xl:
        sizes = torch.tensor([[16, 16, 0, 0, 16, 16]] * rows)
        added = {"text_embeds": normal(rows, 32), "time_ids": sizes.to(device, unet.dtype)}
    return (
        normal(*variant.latent_shape(16, 16)).expand(rows, -1, -1, -1) * normal(rows, 1, 1, 1),
        torch.linspace(900, 10, rows).to(device),
        normal(rows, 32, int(unet.config.cross_attention_dim)),
        added,
    )


def direct(variant: Variant, *given: Any) -> torch.Tensor:
    inputs, timesteps, tokens, added = given
    with torch.inference_mode():
        outputs: torch.Tensor = variant.unet(
            inputs, timesteps, encoder_hidden_states=tokens, added_cond_kwargs=added
        ).sample
    return outputs


@pytest.fixture(scope="session", params=["v_prediction", "xl"])
def variant(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Variant:
    return load_variant("full", folders[request.param])


def test_an_eager_call_is_the_models_own(variant: Variant) -> None:
    given = model_inputs(variant, 3)
    assert torch.equal(variant.denoiser(*given), direct(variant, *given))


def test_attention_is_fused(variant: Variant) -> None:
    kinds = {type(processor).__name__ for processor in variant.unet.attn_processors.values()}
    assert kinds == {"AttnProcessor2_0"}


def test_channels_last_changes_the_layout_and_not_the_outputs(
    folders: dict[str, Path], full: Variant
) -> None:
    laid_out = load_variant(
        "full", folders["v_prediction"], execution=Execution(channels_last=True)
    )
    for network in (laid_out.unet, laid_out.pipeline.vae):
        weights = [p for p in network.parameters() if p.dim() == 4 and min(p.shape[1:3]) > 1]
        assert weights
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    given = model_inputs(full, 2)
    torch.testing.assert_close(laid_out.denoiser(*given), full.denoiser(*given))


def test_any_number_of_rows_is_called_for_where_nothing_is_compiled() -> None:
    assert [Execution().rows_for(rows) for rows in (1, 3, 17)] == [1, 3, 17]


def test_compiled_models_are_called_with_powers_of_two_unless_told_otherwise() -> None:
    powers = Execution(compile="inductor")
    assert [powers.rows_for(rows) for rows in (1, 2, 3, 5, 8, 9)] == [1, 2, 4, 8, 8, 16]
    told = Execution(compile="cuda_graphs", row_buckets=(2, 6, 12))
    assert [told.rows_for(rows) for rows in (1, 2, 3, 7, 12)] == [2, 2, 6, 12, 12]


def test_more_rows_than_the_largest_bucket_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 6 rows in a call and 7 are wanted; add"):
        Execution(row_buckets=(2, 6)).rows_for(7)
    with pytest.raises(ValueError, match="at least 1 row"):
        Execution().rows_for(0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"compile": "tensorrt"}, "compile must be one of none, inductor, cuda_graphs"),
        ({"row_buckets": (0, 2)}, "at least 1"),
        ({"row_buckets": (4, 2)}, "must rise"),
        ({"row_buckets": (2, 2)}, "must rise"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Execution(**settings)


def test_cuda_graphs_are_refused_without_a_card(folders: dict[str, Path]) -> None:
    with pytest.raises(LoadError, match="'full': compile 'cuda_graphs' needs a CUDA device"):
        load_variant("full", folders["v_prediction"], execution=Execution(compile="cuda_graphs"))


def test_inductor_is_refused_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler; install g\+\+"):
        check_execution(Execution(compile="inductor"), torch.device("cpu"))


def replays(work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
    """A recording as CUDA makes it, without the card: the same work again, on the same memory."""
    outputs = work().clone()

    def repeat() -> None:
        outputs.copy_(work())

    return repeat, outputs


def test_recordings_are_made_once_a_shape_and_read_what_each_call_gives(variant: Variant) -> None:
    made: list[int] = []

    def record(work: Callable[[], torch.Tensor]) -> Any:
        made.append(1)
        return replays(work)

    recorded = RecordedCalls(variant.denoiser._call, record)
    for seed, rows in enumerate((2, 3, 2, 3)):
        given = model_inputs(variant, rows, seed)
        kept = [part.clone() for part in given[:3]]
        with torch.inference_mode():
            outputs = recorded(*given)
        assert torch.equal(outputs, direct(variant, *given))
        assert all(torch.equal(a, b) for a, b in zip(given[:3], kept, strict=True))
    assert len(made) == len(recorded) == 2


def test_a_recordings_outputs_last_until_the_next_call(full: Variant) -> None:
    recorded = RecordedCalls(full.denoiser._call, replays)
    with torch.inference_mode():
        first = recorded(*model_inputs(full, 2, seed=1))
        kept = first.clone()
        recorded(*model_inputs(full, 2, seed=2))
    assert not torch.equal(first, kept)


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings(INDUCTORS_IMPORT)
def test_a_compiled_model_says_what_the_eager_one_says(
    folders: dict[str, Path], full: Variant
) -> None:
    execution = Execution(compile="inductor")  # one shape: compiling takes most of a minute
    compiled = load_variant("full", folders["v_prediction"], execution=execution)
    for seed in (1, 2):
        given = model_inputs(full, 2, seed)
        torch.testing.assert_close(
            compiled.denoiser(*given), full.denoiser(*given), rtol=1e-4, atol=1e-5
        )


@needs_card
@compilers_warnings
@pytest.mark.parametrize("compile_", ["inductor", "cuda_graphs"])
@pytest.mark.parametrize("family", ["v_prediction", "xl"])
def test_on_a_card_every_execution_says_what_eager_says(
    folders: dict[str, Path], family: str, compile_: Any
) -> None:
    execution = Execution(compile=compile_, channels_last=True)
    eager = load_variant("full", folders[family], device="cuda")
    other = load_variant("full", folders[family], device="cuda", execution=execution)
    for rows in (2, 4, 2):
        given = model_inputs(eager, rows, seed=rows)
        torch.testing.assert_close(
            other.denoiser(*given), eager.denoiser(*given), rtol=1e-2, atol=1e-2
        )


@needs_card
@compilers_warnings
@pytest.mark.parametrize("compile_", ["none", "inductor", "cuda_graphs"])
def test_on_a_card_no_prepared_call_makes_the_host_wait(
    folders: dict[str, Path], compile_: Any
) -> None:
    variant = load_variant(
        "full", folders["xl"], device="cuda", execution=Execution(compile=compile_)
    )
    given = model_inputs(variant, 2)
    variant.denoiser(*given)
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        variant.denoiser(*given)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
