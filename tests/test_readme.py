"""README's examples, run as they stand against the server and the model in the box."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.embedded.captions import read
from pipelines.embedded.judge import load_judge
from pipelines.quality import judged, score
from serve.config import DEFAULT_CONFIG
from tests.conftest import ROOT, LiveServer, start_server, stop_server

pytestmark = pytest.mark.ray

README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def example(kind: str) -> str:
    """The fenced block after the mark `<!-- test: kind -->`."""
    match = re.search(rf"<!-- test: {kind} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert match is not None
    assert ADDRESS in match.group(1)
    return match.group(1)


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The server as `make serve` starts it, on a free port."""
    server = start_server(DEFAULT_CONFIG, tmp_path_factory.mktemp("boxed") / "server.log")
    yield server
    stop_server(server.process)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ready_line_s_example_and_readme_s_curl_give_the_picture_asked_for(
    boxed: LiveServer, tmp_path: Path
) -> None:
    for command in (
        boxed.ready_line.split("try: ", 1)[1],
        example("shell").replace(ADDRESS, boxed.url),
    ):
        answer = json.loads(run(["bash", "-c", command], tmp_path))
        picture = Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"])))
        torch.set_num_threads(1)
        (seen,) = judged(load_judge(), np.array(picture.convert("RGB"))[None])
        right = score(read("a large red circle on the left, blue background"), seen)
        assert sum(right.values()) >= len(right) - 1, f"{right} of {seen}"
        assert answer["data"][0]["serving"]["steps_run"] == 25


def test_readme_s_client_gets_a_picture_and_its_facts(boxed: LiveServer, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example("python").replace(ADDRESS, boxed.url))
    printed = run([sys.executable, str(script)], tmp_path).split()
    assert printed[:3] == ["full", "25", "none"]
    assert float(printed[4]) > float(printed[3]) >= 0


def test_every_folder_and_file_that_readme_names_is_there() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
