"""Where networks lie must not show in the pictures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.execution import Execution
from pipelines.jobs import Picture
from pipelines.loading import LoadError, Variant, load_variant
from pipelines.placement import check_dtype, execution_device, networks, place
from tests.pipelines.test_execution import model_inputs

needs_card = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device: there is nowhere to offload from"
)


def picture(variant: Variant) -> tuple[torch.Tensor, Picture]:
    """One encoding, one model call and one decoding: what every network says."""
    with torch.inference_mode():
        tokens = torch.cat([text.tokens for text in variant.encoder.encode(["a red circle", ""])])
        inputs, timesteps, _, added = model_inputs(variant, 2)
        outputs = variant.denoiser(inputs, timesteps, tokens.to(variant.device), added)
        decoded = variant.decoder.decode(outputs[:1].float())[0]
    assert decoded is not None
    return outputs, decoded


@pytest.mark.parametrize("family", ["v_prediction", "xl"])
@pytest.mark.parametrize("offload", ["model", "layers"])
def test_offloaded_networks_say_the_same_again_and_again(
    folders: dict[str, Path], family: str, offload: Any
) -> None:
    plain = load_variant("full", folders[family])
    offloaded = load_variant("full", folders[family], offload=offload)
    assert (offloaded.offload, offloaded.device) == (offload, torch.device("cpu"))
    expected = picture(plain)
    for _ in range(2):
        outputs, pixels = picture(offloaded)
        torch.testing.assert_close(outputs, expected[0], rtol=0, atol=0)
        assert np.array_equal(pixels, expected[1])


def test_layers_are_kept_away_from_the_device_between_calls(folders: dict[str, Path]) -> None:
    variant = load_variant("full", folders["xl"], offload="layers")
    picture(variant)
    assert len(networks(variant.pipeline)) == 4
    for network in networks(variant.pipeline):
        assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


class Network(torch.nn.Linear):
    """Notes where it is sent instead of going there."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.at = "cpu"

    def to(self, *args: Any, **_: Any) -> Network:
        self.at = str(args[0])
        return self


def test_of_offloaded_models_only_the_one_that_runs_is_on_the_device() -> None:
    # Step batching goes to and fro, which a chain that only sends away its predecessor does not
    # follow: after a decoding and another step it would have two networks on the device.
    pipeline = SimpleNamespace(text_encoder=Network(), unet=Network(), vae=Network())
    place(pipeline, torch.device("cuda:0"), "model")
    assert [network.at for network in vars(pipeline).values()] == ["cpu", "cpu", "cpu"]
    for name in ("text_encoder", "unet", "unet", "vae", "unet", "text_encoder", "vae"):
        network = getattr(pipeline, name)
        network._hf_hook.pre_forward(network)
        present = [key for key, other in vars(pipeline).items() if other.at == "cuda:0"]
        assert present == [name]


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"device 'nowhere' is not usable: .*[^.]\.$"):
        execution_device("nowhere")
    assert execution_device("cpu") == torch.device("cpu")


def test_bfloat16_is_refused_where_the_card_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "T4")
    with pytest.raises(ValueError, match=r"T4 has no bfloat16 .*capability 7\.5.*use float16"):
        check_dtype(torch.bfloat16, torch.device("cuda:0"))
    check_dtype(torch.float16, torch.device("cuda:0"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs_on_a_processor_and_stays_near(
    folders: dict[str, Path], dtype: str
) -> None:
    half, single = (
        load_variant("full", folders["v_prediction"], dtype=name) for name in (dtype, "float32")
    )
    given = model_inputs(half, 2)
    outputs = half.denoiser(*given).float()
    expected = single.denoiser(given[0].float(), given[1], given[2].float())
    assert (outputs - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"offload": "disk"}, "offload must be none, model, layers, not 'disk'"),
        (
            {"offload": "layers", "quantisation": "int8_weights"},
            "'layers' does not move quantised layers; use offload 'model'",
        ),
        (
            {"offload": "model", "execution": Execution(compile="inductor")},
            "compiled graphs do not follow",
        ),
    ],
)
def test_offloads_that_cannot_be_are_refused(
    folders: dict[str, Path], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        load_variant("full", folders["v_prediction"], **options)


@needs_card
@pytest.mark.parametrize("offload", ["none", "model", "layers"])
def test_on_a_card_every_placement_gives_the_same_picture(
    folders: dict[str, Path], offload: Any
) -> None:
    plain = load_variant("full", folders["xl"])
    variant = load_variant("full", folders["xl"], device="cuda", offload=offload)
    assert variant.device == torch.device("cuda:0")
    for _ in range(2):
        outputs, pixels = picture(variant)
        expected = picture(plain)
        torch.testing.assert_close(outputs.cpu(), expected[0], rtol=1e-2, atol=1e-2)
        assert np.abs(pixels.astype(int) - expected[1]).max() <= 3


def test_a_model_that_does_not_fit_says_what_to_do(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr("pipelines.loading.place", refuse)
    with pytest.raises(LoadError, match="does not fit into the memory of cpu; set offload"):
        load_variant("full", folders["v_prediction"])
