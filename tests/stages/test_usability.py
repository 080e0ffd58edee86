"""Whether a pool is usable: by difficulties, by the images of a class, and what is said of one that is not."""

import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from pictures import saved

from ddgs_hub.core.made import Made
from ddgs_hub.core.rows import write_rows
from ddgs_hub.stages.usability import check_in, check_pool, likeness, with_check

NAMES = ["cat", "dog"]


def scored(difficulty: list[float], labels: list[int] | None = None) -> Dataset:
    labels = labels or [k % 2 for k in range(len(difficulty))]
    features = Features(label=ClassLabel(names=NAMES), difficulty=Value("float32"))
    return Dataset.from_dict({"label": labels, "difficulty": difficulty}, features=features)


ORIGINAL = scored([0.0, 0.2, 0.4, 0.2])


def test_pool_like_the_original_is_usable():
    check = check_pool(scored([0.1, 0.2, 0.3, 0.2]), ORIGINAL, 2)
    assert check.usable
    assert check.text == ""
    assert (check.mean_difficulty, check.recognised) == (pytest.approx(0.2), 1.0)


def test_pool_nearer_to_guessing_than_to_the_original_is_not():
    check = check_pool(scored([0.4, 0.4, 0.4, 0.45]), ORIGINAL, 2)
    [finding] = check.findings
    assert (finding.what, finding.limit) == ("mean difficulty", pytest.approx(0.35))  # half-way from 0.2 to 1 − 1/2
    assert "the mean difficulty is 0.41, that of the original images 0.20" in check.text
    assert "model.pretraining.steps" in check.text
    assert check.text.startswith("WARNING")


def test_pool_without_hard_images_is_not():
    hard = scored([0.5, 0.5, 0.3, 0.5])
    [finding] = check_pool(scored([0.0, 0.1, 0.0, 0.1]), hard, 2).findings
    assert "less guidance" in finding.advice


def test_class_with_fewer_recognised_images_than_ipc_is_named():
    check = check_pool(scored([0.1, 0.9, 0.1, 0.2]), scored([0.3, 0.9, 0.3, 0.3]), 2)
    [finding] = check.findings
    assert (finding.what, finding.value, finding.limit) == ("too few recognised", 1, 2)
    assert "1 of 2 classes have fewer than 2 images (the IPC) of difficulty under 0.5: dog 1" in finding.text
    assert "pool.size" in finding.advice


def test_scorer_that_does_not_know_the_originals_is_what_to_change_first():
    unknown = scored([0.6, 0.7, 0.6, 0.7])
    [finding] = check_pool(unknown, unknown, 2).findings
    assert finding.advice.startswith("the scorer recognises only 0% of the original images: train it longer (score.")


def test_pool_of_another_generator_is_not_told_of_a_recipe():
    for pool, original in (([0.9] * 4, ORIGINAL), ([0.0] * 4, scored([0.3, 0.4] * 2)), ([0.1, 0.9] * 2, ORIGINAL)):
        findings = check_pool(scored(pool), original, 2, ours=False).findings
        assert findings
        assert not any("pool." in finding.advice or "pretraining" in finding.advice for finding in findings)


def test_images_that_are_alike_are_said_to_be(tmp_path):
    random = np.random.default_rng(0)
    varied = random.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    alike = np.clip(varied[:1].astype(int) + random.integers(-4, 5, (8, 8, 8, 3)), 0, 255).astype(np.uint8)
    for name, images in (("original", varied), ("pool", alike)):
        rows = Dataset.from_dict(
            {
                "image": [{"bytes": saved(image, "PNG"), "path": None} for image in images],
                "label": [k % 2 for k in range(8)],
            }
        )
        write_rows(rows.cast_column("label", ClassLabel(names=NAMES)), tmp_path / name)
    share = likeness(tmp_path / "pool", tmp_path / "original")
    assert 0 < share < 0.1
    assert likeness(tmp_path / "original", tmp_path / "original") == 1
    [finding] = check_pool(ORIGINAL, ORIGINAL, 2, share).findings
    assert finding.what == "images alike"


def test_warning_is_a_value_that_can_be_read_again():
    check = check_pool(scored([0.9, 0.9, 0.9, 0.9]), ORIGINAL, 2)
    made = with_check(Made("4 images", {"images": 4}), check)
    assert made.text == f"4 images\n{check.text}"
    read = json.loads(made.to_json())
    assert check_in(read) == check
    assert (read["images"], read["pool_check"]["usable"]) == (4, False)
    assert check_in({}) is None
