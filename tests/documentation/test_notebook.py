"""The notebook runs from top to bottom, without network, and shows its pictures."""

import os
import struct
from base64 import b64decode
from pathlib import Path

import nbformat
import pytest
from markdown_blocks import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "examples/ddgs_demo.ipynb"
TOY = (
    *("sample.ipc=5", "finetune.epochs=0.1", "pool.num_steps=3", "pool.size=2", "score.training.epochs=2"),
    *("score.training.folds=2", "evaluate.epochs=2", "evaluate.evaluations=1", "evaluate.repeats=1"),
    "evaluate.width=8",
)
NOBODY = "http://127.0.0.1:9"  # the port of `discard`: nothing listens there


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert NOTEBOOK.stat().st_size < 20_000
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.metadata.tags == ["install"]
    assert "pip install" in first.source


def test_it_runs_and_shows_pictures(notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, NOBODY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("DDGS_DEMO_SET", " ".join(TOY))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [b64decode(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    for picture in pictures:
        width, height = struct.unpack(">II", picture[16:24])
        assert width > 300
        assert height > 60
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "hub folder" in printed
    assert "wanted of each bin" in printed
    assert (tmp_path / "runs/digits/hub/digits-ddgs-ipc5").is_dir()
    nbformat.write(notebook, tmp_path / "carried-out.ipynb")
