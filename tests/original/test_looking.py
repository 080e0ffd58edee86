"""A look at a source: classes, counts, sizes, splits, without reading more than that takes."""

import numpy as np
import pytest
from datasets import ClassLabel
from hub_datasets import IMAGES, LABELS, WOOF, answers_of, encoded, parquet

from ddgs_hub.core.errors import InputError, NoSplitError
from ddgs_hub.original import look_at, open_source

LOOK = """
import json, sys
from ddgs_hub.core.errors import InputError
from ddgs_hub.original import look_at

results = []
for argument in sys.argv[1:]:
    try:
        look = look_at(**json.loads(argument))
        results.append({
            "names": look.names, "counts": look.counts.tolist(), "whole": look.whole, "total": look.total,
            "validation": look.validation_split, "validation_rows": look.validation_rows, "wnids": look.wnids,
            "commit": look.pinned and look.pinned.commit, "size": look.size, "sides": look.sides.tolist(),
            "opened": len(look.sides),
        })
    except InputError as error:
        results.append({"error": str(error)})
print(json.dumps(results))
"""
look_on_hub = answers_of(LOOK)
PETS = [encoded(seed, size=20 + seed) for seed in range(6)]


def test_built_in_digits():
    look = look_at("digits")
    assert (len(look.names), look.counts.sum()) == (10, 1437)
    assert (look.validation_split, look.validation_rows) == ("validation", 360)
    assert (look.median_side, look.copies, look.unreadable) == (16, 0, [])
    assert np.bincount([label for label, _ in look.images]).tolist() == [51] * 10


def test_split_that_is_not_there_is_told_from_other_mistakes(tmp_path):
    with pytest.raises(NoSplitError):
        open_source("digits", "test")
    for name in ("train/cat", "val/cat", "dev/cat"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "0.jpg").write_bytes(PETS[0])
    with pytest.raises(InputError, match="may be the same split"):
        look_at(str(tmp_path))


def test_dataset_on_the_hub_at_its_commit(hub):
    classes = ClassLabel(names=["cat", "dog"])
    files = {
        "data/train-00000-of-00001.parquet": parquet(PETS, [0, 0, 0, 0, 1, 1], classes),
        "data/val-00000-of-00001.parquet": parquet(PETS[:2], [0, 1], classes),
    }
    repository = hub.add_repository("dataset", "acme/pets", files)
    found, woof, missing = look_on_hub(
        hub,
        {"source": "acme/pets"},
        {"source": "acme/pets", "subset": "imagewoof"},
        {"source": "acme/none"},
    )
    assert (found["names"], found["counts"], found["whole"], found["total"]) == (["cat", "dog"], [4, 2], True, 6)
    assert (found["validation"], found["validation_rows"]) == ("val", 2)
    assert found["commit"] == repository.find("main")
    assert found["sides"] == [20, 21, 22, 23, 24, 25]
    assert found["size"] >= sum(map(len, files.values()))
    assert "cannot find ImageWoof in the 2 classes" in woof["error"]
    assert "acme/none" in missing["error"]


def test_subset_counts_its_classes_alone(tmp_path):
    (tmp_path / "data").mkdir()
    file = parquet(IMAGES, LABELS, ClassLabel(num_classes=1000))
    (tmp_path / "data" / "train-00000-of-00001.parquet").write_bytes(file)
    look = look_at(str(tmp_path), subset="imagewoof")
    assert (look.names, look.counts.tolist()) == (list(WOOF.class_names), [2] * 10)
    assert look.wnids == list(WOOF.wnids)
    assert len(look.sides) == 20
