"""Stages that are killed at random moments, again and again, end in the bytes of an unbroken run."""

import multiprocessing
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages.finetune import make_dit
from ddgs_hub.stages.pool import make_pool
from ddgs_hub.stages.score import score_source
from ddgs_hub.stages.score_request import ScoreRequest

KILLS = 5
IMAGES = 240  # of the digits: enough for some checkpoints, batches and parts of each stage
SETTINGS = ["finetune.epochs=1", "finetune.save_every=2", "pool.num_steps=10", "pool.batch_size=4"]
# Children are forked from a process that has imported everything, so that little of a run is its start.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ddgs_hub.stages.run", "ddgs_hub.diffusion", "ddgs_hub.difficulty"])


def start(stage: Callable[..., object], arguments: tuple, settings: dict) -> multiprocessing.process.BaseProcess:
    process = CONTEXT.Process(target=stage, args=arguments, kwargs=settings)
    process.start()
    return process


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def original(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    for split in ("train", "validation"):
        write_rows(read_rows(digits_folder, split).select(range(IMAGES if split == "train" else 100)), folder, split)
    return folder


@pytest.fixture(scope="module")
def unbroken(original: Path, timm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of unbroken runs: `dit`, `pool` and `scored`."""
    folder, recipe = tmp_path_factory.mktemp("unbroken"), load_recipe("digits", SETTINGS)
    make_dit(recipe, original, "digits", folder / "dit")
    make_pool(recipe, "digits", folder / "pool", per_class=4)
    request = ScoreRequest(source=str(original), scorer=str(timm_folder), batch_size=16)
    score_source(request, folder / "scored")
    return folder


@pytest.mark.parametrize("name", ["dit", "pool", "scored"])
def test_kills_change_nothing(name, unbroken, original, timm_folder, tmp_path):
    recipe, output = load_recipe("digits", SETTINGS), tmp_path / name
    request = ScoreRequest(source=str(original), scorer=str(timm_folder), batch_size=16)
    stage, arguments, settings = {
        "dit": (make_dit, (recipe, original, "digits", output), {}),
        "pool": (make_pool, (recipe, "digits", output), {"per_class": 4}),
        "scored": (score_source, (request, output), {}),
    }[name]
    began = time.monotonic()
    whole = start(stage, arguments, settings)
    whole.join()
    seconds = time.monotonic() - began
    assert contents(output) == contents(unbroken / name)  # in a process of its own, the same

    moments, kills = random.Random(name), 0
    while kills < KILLS:
        shutil.rmtree(output, ignore_errors=True)  # it ended before the last kill: from the beginning
        process = start(stage, arguments, settings)
        process.join(moments.uniform(0, 0.6 * seconds))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
    last = start(stage, arguments, settings)
    last.join()
    assert last.exitcode == 0
    assert contents(output) == contents(unbroken / name)
    assert {path.name for path in tmp_path.iterdir()} <= {name, "latents"}
