"""`score` killed at random moments: it ends with the bytes of an unbroken run."""

import multiprocessing
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from ddgs_hub.difficulty.progress import KEY_BYTES
from ddgs_hub.rows import parquet_path
from ddgs_hub.stages import score_source

# Children of a server that has imported everything start at once.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["ddgs_hub.stages", "ddgs_hub.difficulty", "ddgs_hub.sampling"])
COUNT = 1437  # training images of the digits


def start(original: Path, scorer: Path, output: Path) -> BaseProcess:
    options = {"split": "train", "batch_size": 32}
    process = SERVER.Process(target=score_source, args=(str(original), str(scorer), output), kwargs=options)
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    process.join(timeout=60)
    assert process.exitcode == 0


def known(file: Path) -> int:
    """How many difficulties the progress file holds."""
    content = file.read_bytes()[KEY_BYTES:] if file.is_file() else b""
    return int((~np.isnan(np.frombuffer(content, dtype=np.float32))).sum())


@pytest.mark.parametrize("kind", ["one model", "cross-fitted"])
def test_killed_three_times_it_ends_with_the_same_bytes(kind, digits_folder, timm_folder, request, tmp_path):
    scorer = timm_folder if kind == "one model" else request.getfixturevalue("trained").folder
    finish(start(digits_folder, scorer, tmp_path / "unbroken"))
    progress = tmp_path / ".killed.scores"
    for moment in sorted(np.random.default_rng().integers(COUNT * 4 // 5, size=3).tolist()):
        before = known(progress)
        process = start(digits_folder, scorer, tmp_path / "killed")
        while process.is_alive() and known(progress) <= max(moment, before):
            time.sleep(0.001)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL  # it was still at work
        assert known(progress) > max(moment, before)
        assert not (tmp_path / "killed").exists()
    finish(start(digits_folder, scorer, tmp_path / "killed"))
    assert parquet_path(tmp_path / "killed").read_bytes() == parquet_path(tmp_path / "unbroken").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "unbroken"]
