"""Robust scores of sets: trained, and made of what single evaluations give."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from threads import one_thread

from ddgs_hub.baselines import random_selection
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.core.soft_labels import with_soft_labels
from ddgs_hub.evaluation.evaluate import evaluate
from ddgs_hub.evaluation.robust_scores import Accuracies
from ddgs_hub.recipe import Protocol, Recipe, load_recipe
from ddgs_hub.stages import evaluate_robust

SEED = 5
SHORT = {"width": 4, "epochs": 3, "evaluations": 2, "repeats": 3, "learning_rate": 0.05}


@pytest.fixture
def recipe() -> Recipe:
    protocol = dataclasses.replace(load_recipe("digits").evaluate, **SHORT)
    return dataclasses.replace(load_recipe("digits"), evaluate=protocol, seed=SEED)


@pytest.fixture
def place(digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `original`, real digits with soft labels and 40 to validate, and `set`, 2 of each class."""
    rows = read_rows(digits_folder).select(range(300))
    labels = np.array(rows["label"])
    soft = with_soft_labels(
        rows,
        np.stack([labels, (labels + 1) % 10], axis=1).astype(np.int32),
        np.float16(np.random.default_rng(0).uniform(0.3, 0.5, (300, 2))),
    )
    write_rows(soft, tmp_path / "original")
    write_rows(read_rows(digits_folder, "validation").select(range(40)), tmp_path / "original", "validation")
    write_rows(soft.select(random_selection(labels, 2, 99)), tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def accuracy(rows: Dataset, validation: Dataset, protocol: Protocol, round_: int) -> float:
    """The last accuracy of one network, a fraction."""
    one = dataclasses.replace(protocol, repeats=1)
    return evaluate(rows, validation, one, seed=SEED + round_).last[0] / 100


def test_scores_are_those_of_single_evaluations(recipe: Recipe, place: Path) -> None:
    soft = dataclasses.replace(recipe.evaluate, labels="soft")
    arguments = (recipe, [soft], ["set"], ["original"])
    with one_thread():
        made = evaluate_robust(*arguments, original="original", output=place / "kept")
        original, rows, validation = read_rows("original"), read_rows("set"), read_rows("original", "validation")
        expected = []
        for k in range(3):
            random = original.select(random_selection(original["label"], 2, SEED + k))
            plain = soft.without_augmentation()
            expected.append(
                Accuracies(
                    full_hard=accuracy(original, validation, recipe.evaluate, k),
                    set_hard=accuracy(rows, validation, recipe.evaluate, k),
                    set_any=accuracy(rows, validation, soft, k),
                    random_any=accuracy(random, validation, soft, k),
                    set_plain=accuracy(rows, validation, plain, k),
                    random_plain=accuracy(random, validation, plain, k),
                )
            )
        (one,) = made.values["robust"]
        for name, values in one["last"].items():
            each = [getattr(accuracies, name) for accuracies in expected]
            assert values["rounds"] == pytest.approx([value() if callable(value) else value for value in each]), name
        assert (one["data"], one["labels"], one["ipc"], one["rounds"]) == ("set", "soft", 2, 3)
        assert one["best"]["set_any"]["mean"] >= one["last"]["set_any"]["mean"]
        assert json.loads((place / "kept" / "robust.json").read_text())["robust"] == [one]
        assert "| Label-Robust Score, LRS" in made.text
        files = sorted((place / "kept").iterdir())
        again = evaluate_robust(*arguments, original="original", output=place / "kept")  # nothing is trained twice
        assert again == made
        assert sorted((place / "kept").iterdir()) == files
        assert len(files) == 1 + 4 + 2 * 3
        # By hard labels the two accuracies of the set are one, and the full dataset's is what is said.
        (hard,) = evaluate_robust(
            recipe, [recipe.evaluate], ["set"], ["original"], original="original", full_accuracy=90
        ).values["robust"]
    assert hard["last"]["set_hard"] == hard["last"]["set_any"]
    assert hard["last"]["full_hard"]["rounds"] == [0.9] * 3
    assert hard["full_accuracy"] == "given"


def test_mistakes_are_said_before_a_network_is_trained(recipe: Recipe, place: Path) -> None:
    soft = dataclasses.replace(recipe.evaluate, labels="soft")
    few = dataclasses.replace(recipe.evaluate, repeats=2)
    with pytest.raises(InputError, match=r"evaluate\.repeats is 2, and robust scores are of 3 rounds at least"):
        evaluate_robust(recipe, [few], ["set"], ["original"], original="original")
    for accuracy, shown in ((float("nan"), "nan"), (0.92, "0.92"), (101.0, "101"), (-1.0, "-1")):
        with pytest.raises(
            InputError, match=f"the accuracy of the full dataset is {shown}: give percent, such as 92.3"
        ):
            evaluate_robust(
                recipe, [recipe.evaluate], ["set"], ["original"], original="original", full_accuracy=accuracy
            )
    write_rows(read_rows("set").remove_columns("soft_label_classes"), place / "bare")
    for sources, original in ((["bare"], "original"), (["set"], "bare")):
        with pytest.raises(InputError, match="there are no soft labels in bare"):
            evaluate_robust(recipe, [soft], sources, ["original"], original=original)
    with pytest.raises(InputError, match="has 2 images"), one_thread():
        evaluate_robust(recipe, [recipe.evaluate], ["original"], ["original"], original="set", full_accuracy=90)
