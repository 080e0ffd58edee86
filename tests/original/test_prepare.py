"""What `prepare` makes of a recipe's choices: a share for validation, and the columns that are image and label."""

from pathlib import Path
from typing import Any

import hub_datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Features, Image

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import parquet_path, read_rows, undecoded
from ddgs_hub.original import ColumnNames, open_source
from ddgs_hub.recipe import Recipe, changed_keys, parse_recipe, recipe_to_dict
from ddgs_hub.stages.original import make_original

SUPERCLASSES, CLASSES = ["fish", "trees"], ["cod", "oak", "elm"]


def recipe(source: Path, **data: Any) -> Recipe:
    return parse_recipe(
        {"name": "mine", "data": {"original": str(source), **data}, "hub": {"dataset": "mine", "pretty_name": "Mine"}}
    )


def write_cifar(folder: Path) -> Path:
    """Rows with two columns of images and two of classes, neither with a name that is ours."""
    features = Features(
        img=Image(), mask=Image(), coarse_label=ClassLabel(names=SUPERCLASSES), fine_label=ClassLabel(names=CLASSES)
    )
    columns = {
        "img": [{"bytes": f"img {k}".encode(), "path": None} for k in range(6)],
        "mask": [{"bytes": f"mask {k}".encode(), "path": None} for k in range(6)],
        "coarse_label": [0, 1, 1, 0, 1, 1],
        "fine_label": [0, 1, 2, 0, 1, 2],
    }
    path = parquet_path(folder)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns, schema=features.arrow_schema), path)
    return folder


def test_folders_of_classes_alone_with_a_share_for_validation(tmp_path: Path) -> None:
    for path in (f"{name}/{k}.png" for name in ("cat", "dog") for k in range(10)):
        file = tmp_path / "in" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
    made = make_original(recipe(tmp_path / "in", validation_share=0.2), tmp_path / "out")
    assert made.text == "16 training and 4 validation images of 2 classes"
    counts = {"train": 16, "validation": 4}
    assert made.values == {"output": str(tmp_path / "out"), "images": counts, "classes": 2}
    with pytest.raises(InputError, match=r"no split.*|it has images by class alone; data\.validation_share takes some"):
        make_original(recipe(tmp_path / "in"), tmp_path / "again")


def test_rows_with_a_training_split_alone_with_a_share_for_validation(tmp_path: Path) -> None:
    path = parquet_path(tmp_path / "in")
    path.parent.mkdir(parents=True)
    images = [f"image {k}".encode() for k in range(20)]
    path.write_bytes(hub_datasets.parquet(images, [k % 2 for k in range(20)], ClassLabel(names=["cat", "dog"])))
    make_original(recipe(tmp_path / "in", validation_share=0.3), tmp_path / "out")
    sides = [undecoded(read_rows(tmp_path / "out", split)) for split in ("train", "validation")]
    assert [len(side) for side in sides] == [14, 6]
    assert sorted(row["image"]["bytes"] for side in sides for row in side) == sorted(images)
    assert sorted(sides[1]["label"]) == [0, 0, 0, 1, 1, 1]
    for side in sides:
        assert [images[row] for row in side["source_index"]] == [row["image"]["bytes"] for row in side]


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan"), "half"])
def test_a_share_is_between_0_and_1(share: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.validation_share"):
        recipe(tmp_path, validation_share=share)


@pytest.mark.parametrize(
    ("label", "names", "labels"),
    [("fine_label", CLASSES, [0, 1, 2, 0, 1, 2]), ("coarse_label", SUPERCLASSES, [0, 1, 1, 0, 1, 1])],
)
def test_the_columns_of_a_recipe(label: str, names: list[str], labels: list[int], tmp_path: Path) -> None:
    chosen = recipe(write_cifar(tmp_path / "in"), image_column="img", label_column=label, validation_share=0.5)
    make_original(chosen, tmp_path / "out")
    rows = [row for split in ("train", "validation") for row in undecoded(read_rows(tmp_path / "out", split))]
    rows.sort(key=lambda row: row["source_index"])
    assert read_rows(tmp_path / "out").features["label"].names == names
    assert [row["label"] for row in rows] == labels
    assert [row["image"]["bytes"].decode() for row in rows] == [f"img {k}" for k in range(6)]


@pytest.mark.parametrize(
    ("column_names", "reason"),
    [
        (ColumnNames(), "has no column 'image': it has img, mask, coarse_label, fine_label"),
        (ColumnNames(image="img"), "has no column 'label'"),
        (ColumnNames(image="photo"), "has no column 'photo': it has img, mask, coarse_label, fine_label"),
        (ColumnNames(image="fine_label", label="fine_label"), "fine_label"),
    ],
)
def test_columns_that_are_not_clear(column_names: ColumnNames, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        open_source(str(write_cifar(tmp_path / "in")), "train", column_names=column_names)


def test_choices_that_are_not_made_change_no_recipe(tmp_path: Path) -> None:
    """Runs of an earlier version go on: their recipes lack these keys."""
    now = recipe_to_dict(recipe(tmp_path))
    then = {**now, "data": {key: value for key, value in now["data"].items() if value is not None}}
    assert changed_keys(then, now) == {}
