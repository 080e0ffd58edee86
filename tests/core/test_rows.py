"""Rows on disk: whole or not at all, with the bytes and the features that they had."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value, load_dataset
from PIL import Image as PILImage

from ddgs_hub.core import rows as rows_module
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import (
    checked_labels,
    class_names,
    parquet_path,
    read_rows,
    read_selected,
    require_columns,
    row_files,
    undecoded,
    write_rows,
)

FEATURES = Features(image=Image(), label=ClassLabel(names=["zero", "one"]), wnid=Value("string"))


def encoded(seed: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def make_rows(count: int = 4) -> Dataset:
    columns = {
        "image": [{"bytes": encoded(k, "JPEG"), "path": None} for k in range(count)],
        "label": [k % 2 for k in range(count)],
        "wnid": [None if k == 1 else f"row {k}" for k in range(count)],
    }
    return Dataset.from_dict(columns, features=FEATURES)


def image_bytes(rows: Dataset) -> list[bytes]:
    return [row["image"]["bytes"] for row in undecoded(rows)]


def labelled(labels: list[int | None]) -> Dataset:
    """Rows whose labels nothing has checked, as another program's Parquet can hold them."""
    features = Features(label=ClassLabel(names=["zero", "one"]))
    return Dataset(pa.table({"label": pa.array(labels, pa.int64())}, schema=features.arrow_schema))


class TestWriteAndRead:
    def test_round_trip_keeps_bytes_and_features(self, tmp_path: Path) -> None:
        rows = make_rows()
        write_rows(rows, tmp_path)
        again = read_rows(tmp_path)
        assert again.features == FEATURES
        assert image_bytes(again) == [encoded(k, "JPEG") for k in range(4)]
        assert again["label"][:] == [0, 1, 0, 1]
        assert again["wnid"][:] == ["row 0", None, "row 2", "row 3"]

    def test_a_file_that_a_row_names_is_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encoded(7))
        images = [{"bytes": encoded(0), "path": "b.png"}, {"bytes": None, "path": str(tmp_path / "a.png")}]
        rows = Dataset.from_dict({"image": images}, features=Features(image=Image()))
        with pytest.raises(InputError, match="row 1 of the rows to write has no bytes of an image"):
            write_rows(rows, tmp_path / "rows")
        write_rows(rows.select([0]), tmp_path / "rows")
        assert undecoded(read_rows(tmp_path / "rows"))[0]["image"] == {"bytes": encoded(0), "path": None}

    def test_load_dataset_finds_features_without_a_card(self, tmp_path: Path) -> None:
        write_rows(make_rows(), tmp_path / "rows")
        stock = load_dataset(str(tmp_path / "rows"), split="train", cache_dir=str(tmp_path / "cache"))
        assert stock.features == FEATURES
        assert stock[2]["image"].size == (4, 6)

    def test_splits_are_apart_and_shards_in_order(self, tmp_path: Path) -> None:
        write_rows(make_rows().select([0]), tmp_path, "validation")
        (tmp_path / "data").mkdir(exist_ok=True)
        table = make_rows().with_format("arrow")[:]
        for k, part in enumerate((table.slice(0, 3), table.slice(3))):
            pq.write_table(part, tmp_path / "data" / f"train-0000{k}-of-00002.parquet")
        assert read_rows(tmp_path)["wnid"][:] == ["row 0", None, "row 2", "row 3"]
        assert len(read_rows(tmp_path, "validation")) == 1

    def test_no_such_split(self, tmp_path: Path) -> None:
        write_rows(make_rows(), tmp_path)
        with pytest.raises(InputError, match="has no split 'test': there is no data/test-"):
            read_rows(tmp_path, "test")

    def test_damaged_file(self, tmp_path: Path) -> None:
        path = parquet_path(tmp_path)
        path.parent.mkdir()
        path.write_bytes(b"PAR1 and then something else")
        with pytest.raises(InputError, match="cannot read split 'train' of"):
            read_rows(tmp_path)

    def test_files_of_other_columns(self, tmp_path: Path) -> None:
        write_rows(make_rows(), tmp_path)
        path = parquet_path(tmp_path)
        pq.write_table(pq.read_table(path).drop_columns("image"), path.with_name("train-00001-of-00002.parquet"))
        path.rename(path.with_name("train-00000-of-00002.parquet"))
        with pytest.raises(
            InputError, match=r"train-00001-of-00002.parquet has other columns or classes than train-00000"
        ):
            read_rows(tmp_path)

    def test_a_split_whose_name_goes_on_is_another(self, tmp_path: Path) -> None:
        write_rows(make_rows(), tmp_path)
        write_rows(make_rows().select([0]), tmp_path, "train-noisy")
        assert len(read_rows(tmp_path)) == 4
        assert len(read_rows(tmp_path, "train-noisy")) == 1
        for split in ("t*n", "[t]rain", "../data/train", "**"):
            with pytest.raises(InputError, match="has no split"):
                read_rows(tmp_path, split)

    @pytest.mark.parametrize(
        "names", [["00001-of-00003"], ["00000-of-00001", "00001-of-00002"], ["00000-of-00002", "00000-of-00001"]]
    )
    def test_files_of_which_some_are_missing_or_of_another_writing(self, tmp_path: Path, names: list[str]) -> None:
        write_rows(make_rows(), tmp_path)
        whole = parquet_path(tmp_path).read_bytes()
        parquet_path(tmp_path).unlink()
        for name in names:
            (tmp_path / "data" / f"train-{name}.parquet").write_bytes(whole)
        with pytest.raises(InputError, match=r"split 'train' of .* is not whole"):
            read_rows(tmp_path)


class TestChecks:
    def test_missing_column_is_named(self) -> None:
        with pytest.raises(InputError, match="the pool has no column 'difficulty': it has image, label, wnid"):
            require_columns(make_rows(), "image", "difficulty", where="the pool")

    def test_class_names(self) -> None:
        assert class_names(make_rows()) == ["zero", "one"]

    def test_class_names_need_a_class_label(self) -> None:
        with pytest.raises(InputError, match=r"column 'label' is Value.* not a ClassLabel"):
            class_names(Dataset.from_dict({"label": [0, 1]}))

    def test_labels(self) -> None:
        labels = checked_labels(make_rows())
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, [0, 1, 0, 1])

    @pytest.mark.parametrize("bad", [-1, 2, None])
    def test_label_outside_the_classes(self, bad: int | None) -> None:
        with pytest.raises(InputError, match=rf"row 2 of the pool has label {bad}, outside its 2 classes"):
            checked_labels(labelled([0, 1, bad]), "the pool")

    def test_no_rows(self) -> None:
        with pytest.raises(InputError, match="there are no rows in the dataset"):
            checked_labels(labelled([]))


def test_large_rows_are_written_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "ROWS_PER_GROUP", 2)
    monkeypatch.setattr(rows_module, "SHARD_BYTES", 1)
    rows = Dataset.from_dict({"label": [0, 1, 0, 1, 1]}, Features(label=ClassLabel(names=["a", "b"])))
    write_rows(rows, tmp_path)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        f"train-0000{k}-of-00003.parquet" for k in range(3)
    ]
    assert read_rows(tmp_path)["label"][:] == [0, 1, 0, 1, 1]
    write_rows(rows.select([]), tmp_path / "empty")
    assert [path.name for path in (tmp_path / "empty/data").iterdir()] == ["train-00000-of-00001.parquet"]
    assert len(read_rows(tmp_path / "empty")) == 0


def test_selected_rows_come_in_the_order_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "SHARD_BYTES", 40_000)  # several files
    images = [{"bytes": bytes([k % 256]) * 100, "path": None} for k in range(900)]
    features = Features(image=Image(), label=ClassLabel(names=["a", "b"]), seed=Value("int64"))
    columns = {"image": images, "label": [k % 2 for k in range(900)], "seed": list(range(900))}
    write_rows(Dataset.from_dict(columns, features=features), tmp_path)
    assert len(row_files(tmp_path)) > 1
    indices = np.array([700, 3, 255, 256, 899, 0])
    rows = read_selected(tmp_path, indices)
    assert rows["seed"] == indices.tolist()
    assert [row["image"]["bytes"] for row in undecoded(rows)] == [images[k]["bytes"] for k in indices]
    assert read_selected(tmp_path, indices, names=["seed"]).column_names == ["seed"]
    assert len(read_selected(tmp_path, indices[:0])) == 0
