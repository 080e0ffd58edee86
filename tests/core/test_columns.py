"""Which columns of a foreign table are ours, by name and type."""

import pyarrow as pa
import pytest
from datasets import ClassLabel

from ddgs_hub.core.columns import choose_columns
from ddgs_hub.core.errors import InputError

IMAGES, OTHER_IMAGES = pa.field("photo", pa.binary()), pa.field("mask", pa.binary())
CLASSES = {"animal": ClassLabel(names=["cat", "dog"])}


def test_the_only_column_of_images_and_the_only_one_of_classes_are_ours() -> None:
    schema = pa.schema([IMAGES, ("animal", pa.int64()), ("note", pa.string())])
    columns = choose_columns(schema, "rows", CLASSES)
    assert columns.our_names == {"photo": "image", "animal": "label"}
    assert columns.features["label"] == CLASSES["animal"]
    assert columns.source_names(["label", "wnid"]) == ["animal"]


def test_of_two_columns_of_images_none_is_ours_unless_it_is_named() -> None:
    schema = pa.schema([IMAGES, OTHER_IMAGES])
    assert choose_columns(schema, "rows").our_names == {}
    assert choose_columns(schema, "rows", image="mask").our_names == {"mask": "image"}


def test_a_column_called_label_is_left_out_if_another_one_is_named() -> None:
    schema = pa.schema([("label", pa.int64()), ("animal", pa.int64()), ("difficulty", pa.float64())])
    columns = choose_columns(schema, "rows", CLASSES, label="animal")
    assert columns.our_names == {"animal": "label", "difficulty": "difficulty"}


def test_a_mapping_can_be_restricted_to_some_columns() -> None:
    schema = pa.schema([IMAGES, ("label", pa.int64()), ("difficulty", pa.float64())])
    columns = choose_columns(schema, "rows").restricted_to(["difficulty", "label", "wnid"])
    assert columns.our_names == {"label": "label", "difficulty": "difficulty"}
    assert list(columns.features) == ["label", "difficulty"]


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="column 'difficulty' of rows is string, where 'difficulty' belongs: rename"):
        choose_columns(pa.schema([("difficulty", pa.string())]), "rows")
