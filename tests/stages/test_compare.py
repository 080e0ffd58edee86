"""The stage that trains networks on several sets: what a set holds decides its schedule."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from builders import files_of, write_scorer
from hub_server import HubServer
from threads import one_thread

from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.recipe import Recipe, load_recipe
from ddgs_hub.stages.compare import evaluate_methods, make_baseline

SELECT = """
import sys
from pathlib import Path
from ddgs_hub.stages import make_baseline
original, output, revision = sys.argv[1:]
make_baseline(
    "k-center", Path(original), Path(output), ipc=3, scorer="acme/scorer", seed=0, revision=revision
)
"""


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


def test_a_baseline_takes_the_features_of_the_scorer_at_a_revision(
    digits_folder: Path, hub: HubServer, tmp_path: Path
) -> None:
    original = tmp_path / "original"
    write_rows(read_rows(digits_folder).select(of_each_class(digits_folder, 8)), original)
    scorers = [write_scorer(tmp_path / f"scorer{seed}", seed) for seed in (0, 1)]
    repository = hub.add_repository("model", "acme/scorer", files_of(scorers[0]))
    first = repository.find("main")
    others = {name: repository.store(content, lfs=False) for name, content in files_of(scorers[1]).items()}
    repository.commit("refs/heads/main", first, others, "other weights")
    selected = []
    for number, revision in enumerate((first, "main")):
        local, fetched = tmp_path / f"local{number}", tmp_path / f"fetched{number}"
        make_baseline("k-center", original, local, ipc=3, scorer=str(scorers[number]), seed=0)
        done = hub.run(SELECT, str(original), str(fetched), revision)
        assert done.returncode == 0, done.stderr
        selected += [read_rows(folder)["image"][:] for folder in (local, fetched)]
    assert selected[0] == selected[1] != selected[2] == selected[3]
