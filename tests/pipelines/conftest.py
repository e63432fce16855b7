"""Tiny pipelines, saved once a session and loaded the way real ones are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.loading import Variant, load_variant
from tests.pipelines.tiny_pipelines import save_pipeline, save_xl_pipeline

LIBRARY_BEHIND_NUMPY = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """diffusers turns tensors into arrays in the way that NumPy 2.4 deprecates; ours must not."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(LIBRARY_BEHIND_NUMPY))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pipeline folders: SD-like by what their models predict, a distilled one, and SDXL-like ones."""
    root = tmp_path_factory.mktemp("pipelines")
    return {
        "v_prediction": save_pipeline(root / "v"),
        "epsilon": save_pipeline(root / "epsilon", "epsilon"),
        "distilled": save_pipeline(root / "distilled", distilled=True),
        "xl": save_xl_pipeline(root / "xl"),
        "xl_v_prediction": save_xl_pipeline(root / "xl_v", "v_prediction"),
    }


@pytest.fixture(scope="session")
def full(folders: dict[str, Path]) -> Variant:
    return load_variant("full", folders["v_prediction"])


@pytest.fixture(scope="session")
def noise_predictor(folders: dict[str, Path]) -> Variant:
    return load_variant("full", folders["epsilon"])


@pytest.fixture(scope="session")
def turbo(folders: dict[str, Path]) -> Variant:
    return load_variant("turbo", folders["distilled"])
