"""The stage that trains networks on several sets: what a set holds decides its schedule."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from threads import one_thread

from ddgs_hub.core.rows import read_rows
from ddgs_hub.recipe import Recipe, load_recipe
from ddgs_hub.stages.compare import evaluate_methods


@pytest.fixture
def recipe() -> Recipe:
    """The digits' at IPC 20, with networks that take a moment."""
    protocol = dataclasses.replace(
        load_recipe("digits").evaluate, width=4, epochs_scale=0.002, evaluations=1, repeats=1
    )
    return dataclasses.replace(load_recipe("digits", ["sample.ipc=20"]), evaluate=protocol)


def of_each_class(folder: Path, count: int) -> list[int]:
    labels = np.array(read_rows(folder, names=["label"])["label"])
    return [row for label in range(10) for row in np.flatnonzero(labels == label)[:count].tolist()]


def test_a_set_is_trained_and_announced_by_its_own_images_per_class(
    recipe: Recipe, digits_folder: Path, tmp_path: Path
) -> None:
    original = read_rows(digits_folder)
    sets = {
        "ten": original.select(of_each_class(digits_folder, 10)),
        "one": original.select(of_each_class(digits_folder, 1)),
        "full": original,
    }
    with one_thread():
        evaluate_methods(recipe, sets, read_rows(digits_folder, "validation").select(range(20)), tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert {name: (result["ipc"], result["epochs"]) for name, result in results.items()} == {
        "ten": (10, 4),
        "one": (1, 6),
        "full": (146, 2),
    }
