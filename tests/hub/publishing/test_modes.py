"""Who may read what was written, as the umask says; and how much memory was taken, on every system."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from published import export
from published_models import save_dit

from ddgs_hub.core.machine import peak_memory
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.difficulty import train_scorer
from ddgs_hub.recipe import ScorerTraining
from ddgs_hub.stages.score import score_source
from ddgs_hub.stages.score_request import ScoreRequest

TRAINING = ScorerTraining(model="test_resnet", model_args={}, image_size=16, folds=2, epochs=1, batch_size=30)


@pytest.fixture(params=[0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_all_that_is_written_has_the_mode_of_the_umask(umask: int, digits_folder: Path, tmp_path: Path) -> None:
    rows = read_rows(digits_folder).select(range(200))
    train_scorer(rows, tmp_path / "scorer", TRAINING)
    save_dit(tmp_path / "dit", 1)
    write_rows(rows, tmp_path / "rows")
    export(tmp_path)
    modes = {path.relative_to(tmp_path): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    files = {path: mode for path, mode in modes.items() if (tmp_path / path).is_file()}
    assert {"model.safetensors", "adapter.safetensors", "diffusion_pytorch_model.safetensors"} < {p.name for p in files}
    assert {".parquet", ".md", ".json"} < {path.suffix for path in files}
    assert {path: mode for path, mode in files.items() if mode != 0o666 & ~umask} == {}
    assert {mode for path, mode in modes.items() if path not in files} == {0o777 & ~umask}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_peak_of_memory_is_in_bytes() -> None:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024
    assert peak_memory() == pytest.approx(peak, rel=0.05)


def test_the_peak_of_memory_on_macos_which_counts_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = peak_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert counted == pytest.approx(peak_memory() * 1024, rel=0.05)


def test_windows_which_does_not_say_the_peak_of_memory(
    digits_folder: Path, timm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(read_rows(digits_folder).select(range(4)), tmp_path / "rows")
    monkeypatch.setitem(sys.modules, "resource", None)  # what cannot be imported
    assert peak_memory() is None
    result = score_source(ScoreRequest(source=str(tmp_path / "rows"), scorer=str(timm_folder)), tmp_path / "scored")
    assert result.values["peak_memory"] is None
    assert re.fullmatch(r"\d+ images/s", result.text.splitlines()[-1])
