"""Where original datasets come from: the digits, folders in Hub layout, image folders, and subsets of 1,000 classes."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage
from sklearn.datasets import load_digits
from timm.data import ImageNetInfo

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import ROWS_PER_GROUP, parquet_path, read_rows, undecoded
from ddgs_hub.original import SUBSETS, Spool, load_rows, open_source, write_original
from ddgs_hub.original.digits import digits_split

WNIDS = ImageNetInfo("imagenet-1k").label_names()
WOOF = SUBSETS["imagewoof"]
COLUMNS = ["image", "label", "wnid", "source_index"]
TRAIN = {"train": "train"}
SPREAD = [index for pair in zip(WOOF.imagenet_indices, range(300, 310), strict=True) for index in pair]
LABELS = SPREAD + list(range(500, 760)) + SPREAD[::-1]  # of a source of 1,000 classes: more rows than are read at once
NO_IMAGE = b"these bytes are no image"


def encoded(seed: int, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def image_bytes(rows: Dataset) -> list[bytes]:
    return [row["image"]["bytes"] for row in undecoded(rows)]


def write_source(
    folder: Path, images: list[bytes], labels: list, label: object, split: str = "train", **more: Any
) -> Path:
    """A folder in Hub layout, written as another program would: nothing checks the values."""
    extra = {name: Value("string" if isinstance(values[0], str) else "int64") for name, values in more.items()}
    schema = Features(image=Image(), label=label, **extra).arrow_schema
    columns = {"image": [{"bytes": image, "path": None} for image in images], "label": labels, **more}
    path = parquet_path(folder, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), path)
    return folder


class TestDigits:
    def test_sizes(self) -> None:
        assert (len(digits_split("train")), len(digits_split("validation"))) == (1437, 360)

    def test_every_digit_is_in_one_split(self) -> None:
        both = [*digits_split("train")["source_index"], *digits_split("validation")["source_index"]]
        assert sorted(both) == list(range(1797))

    def test_the_split_is_fixed(self) -> None:
        # Written down: who trained a generator on one split must never validate it on another one's images.
        validation = np.array(digits_split("validation")["source_index"])
        np.testing.assert_array_equal(validation[:8], [21, 24, 28, 34, 35, 37, 39, 42])
        assert validation.sum() == 337_944

    def test_the_split_is_stratified(self) -> None:
        counts = {split: np.bincount(digits_split(split)["label"]) for split in ("train", "validation")}
        expected = (counts["train"] + counts["validation"]) * 360 / 1797
        assert np.abs(counts["validation"] - expected).max() < 1

    def test_images_are_the_real_ones_at_16_px(self) -> None:
        rows = digits_split("validation")
        images = [np.asarray(image) for image in rows["image"]]
        assert {(image.shape, image.dtype) for image in images} == {((16, 16), np.dtype(np.uint8))}
        small = load_digits().images[rows["source_index"]]
        halved = np.stack(images).reshape(-1, 8, 2, 8, 2).mean((2, 4))
        distance = np.linalg.norm(halved.reshape(360, 1, 64) - 16 * small.reshape(1, 360, 64), axis=2)
        np.testing.assert_array_equal(distance.argmin(1), np.arange(360))
        assert load_digits().target[rows["source_index"]].tolist() == rows["label"][:]

    def test_as_an_original_dataset(self, tmp_path: Path) -> None:
        assert write_original("digits", tmp_path) == {"train": 1437, "validation": 360}
        rows = read_rows(tmp_path)
        assert rows.column_names == COLUMNS
        assert rows["source_index"][:] == digits_split("train")["source_index"][:]
        assert image_bytes(rows) == image_bytes(digits_split("train"))
        assert set(rows["wnid"]) == {None}

    def test_no_other_split(self) -> None:
        with pytest.raises(InputError, match="the built-in digits have no split 'test'"):
            digits_split("test")


class TestHubLayout:
    def test_bytes_labels_and_row_numbers_are_the_sources(self, tmp_path: Path) -> None:
        count = ROWS_PER_GROUP + 5  # more than are read at once
        images, labels = [encoded(k) for k in range(count)], [k % 3 for k in range(count)]
        source = write_source(tmp_path / "in", images, labels, ClassLabel(names=["a", "b", "c"]))
        assert write_original(str(source), tmp_path / "out", splits=TRAIN) == {"train": count}
        rows = read_rows(tmp_path / "out")
        assert rows.column_names == COLUMNS
        assert rows.features["label"].names == ["a", "b", "c"]
        assert image_bytes(rows) == images
        assert rows["label"][:] == labels
        assert rows["source_index"][:] == list(range(count))

    def test_what_is_known_is_kept_and_the_rest_dropped(self, tmp_path: Path) -> None:
        more: dict[str, Any] = {"wnid": ["n01", "n02"], "source_index": [70, 90], "file_name": ["a.jpg", "b.jpg"]}
        label = ClassLabel(names=["a", "b"])
        source = write_source(tmp_path / "in", [encoded(0), encoded(1)], [0, 1], label, **more)
        write_original(str(source), tmp_path / "out", splits=TRAIN)
        rows = read_rows(tmp_path / "out")
        assert rows.column_names == COLUMNS
        assert (rows["wnid"][:], rows["source_index"][:]) == (["n01", "n02"], [70, 90])

    def test_splits_take_the_names_that_are_asked_for(self, tmp_path: Path) -> None:
        label = ClassLabel(names=["a"])
        source = write_source(tmp_path / "in", [encoded(0)], [0], label, "train")
        write_source(source, [encoded(1), encoded(2)], [0, 0], label, "test")
        splits = {"train": "train", "validation": "test"}
        assert write_original(str(source), tmp_path / "out", splits=splits) == {"train": 1, "validation": 2}
        assert image_bytes(read_rows(tmp_path / "out", "validation")) == [encoded(1), encoded(2)]

    def test_home_is_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        write_source(tmp_path / "in", [encoded(0)], [0], ClassLabel(names=["a"]))
        assert write_original("~/in", tmp_path / "out", splits=TRAIN) == {"train": 1}
        assert len(load_rows("~/in")) == 1

    def test_rewritten_rows_are_read_anew(self, tmp_path: Path) -> None:
        label = ClassLabel(names=["a"])
        source = write_source(tmp_path / "in", [encoded(0)], [0], label)
        (source / "README.md").write_text("---\nconfigs: [{config_name: default, data_files: data/*.parquet}]\n---\n")
        write_original(str(source), tmp_path / "out", splits=TRAIN)
        write_source(source, [encoded(1)], [0], label)
        write_original(str(source), tmp_path / "out", splits=TRAIN)
        assert image_bytes(read_rows(tmp_path / "out")) == [encoded(1)]


class TestImageFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Images in <split>/<class>/, in two formats."""
        for split, count in (("train", 3), ("validation", 1)):
            for k, name in enumerate(("cat", "dog")):
                (tmp_path / "in" / split / name).mkdir(parents=True)
                for i in range(count):
                    kind = ("JPEG", "PNG")[i % 2]
                    path = tmp_path / "in" / split / name / f"{i}.{kind.lower()}"
                    path.write_bytes(encoded(10 * k + i, kind))
        return tmp_path / "in"

    def test_classes_are_the_folders_and_bytes_the_files(self, folder: Path, tmp_path: Path) -> None:
        assert write_original(str(folder), tmp_path / "out") == {"train": 6, "validation": 2}
        rows = read_rows(tmp_path / "out")
        assert rows.column_names == COLUMNS
        assert rows.features["label"].names == ["cat", "dog"]
        files = {path.read_bytes(): path.parent.name for path in (folder / "train").rglob("*.*")}
        assert len(files) == 6
        names = [rows.features["label"].int2str(label) for label in rows["label"]]
        assert dict(zip(image_bytes(rows), names, strict=True)) == files
        assert rows["source_index"][:] == list(range(6))

    def test_stands_alone(self, folder: Path, tmp_path: Path) -> None:
        write_original(str(folder), tmp_path / "out", splits=TRAIN)
        for path in folder.rglob("*.*"):
            path.unlink()
        assert read_rows(tmp_path / "out")[0]["image"].size == (4, 6)

    def test_a_class_without_validation_images(self, folder: Path, tmp_path: Path) -> None:
        (folder / "validation" / "dog" / "0.jpeg").unlink()
        with pytest.raises(InputError, match=r"class 'dog' of .* \(validation\) has no image"):
            write_original(str(folder), tmp_path / "out")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        with pytest.raises(InputError, match="cannot open split 'train' of"):
            write_original(str(tmp_path / "in"), tmp_path / "out")


class TestSubset:
    """ImageWoof out of 1,000 classes: 300 rows, of which each class of ImageWoof has two."""

    @pytest.fixture
    def images(self) -> list[bytes]:
        """What is dropped is no image at all: decoding any of it would raise."""
        return [encoded(k) if index in WOOF.imagenet_indices else NO_IMAGE for k, index in enumerate(LABELS)]

    def check(self, source: Path, images: list[bytes], folder: Path) -> None:
        assert write_original(str(source), folder, splits=TRAIN, subset="imagewoof") == {"train": 20}
        rows = read_rows(folder)
        wanted = [row for row, index in enumerate(LABELS) if index in WOOF.imagenet_indices]
        assert rows["source_index"][:] == wanted
        assert image_bytes(rows) == [images[row] for row in wanted]
        assert rows.features["label"].names == list(WOOF.class_names)
        assert rows["label"][:] == [WOOF.imagenet_indices.index(LABELS[row]) for row in wanted]
        assert rows["wnid"][:] == [WNIDS[LABELS[row]] for row in wanted]

    def test_by_index(self, tmp_path: Path, images: list[bytes]) -> None:
        label = ClassLabel(num_classes=1000)
        self.check(write_source(tmp_path / "in", images, LABELS, label), images, tmp_path / "out")

    def test_by_a_column_of_wnids(self, tmp_path: Path, images: list[bytes]) -> None:
        # The labels say something else: a dataset may number its classes as it likes where it has wnids.
        label, wnids = ClassLabel(num_classes=1000), [WNIDS[index] for index in LABELS]
        source = write_source(tmp_path / "in", images, [(k + 1) % 1000 for k in LABELS], label, wnid=wnids)
        self.check(source, images, tmp_path / "out")

    def test_by_classes_that_are_named_by_wnid(self, tmp_path: Path, images: list[bytes]) -> None:
        label = ClassLabel(names=WNIDS[::-1])
        source = write_source(tmp_path / "in", images, [999 - index for index in LABELS], label)
        self.check(source, images, tmp_path / "out")

    def test_a_damaged_image_that_is_kept_keeps_its_bytes(self, tmp_path: Path, images: list[bytes]) -> None:
        images[0] = NO_IMAGE
        label = ClassLabel(num_classes=1000)
        self.check(write_source(tmp_path / "in", images, LABELS, label), images, tmp_path / "out")

    def test_a_source_that_has_other_classes(self, tmp_path: Path) -> None:
        source = write_source(tmp_path / "in", [encoded(0)], [0], ClassLabel(names=["a", "b"]))
        with pytest.raises(InputError, match=r"cannot find ImageWoof in the 2 classes of .* 'wnid'"):
            write_original(str(source), tmp_path / "out", splits=TRAIN, subset="imagewoof")

    def test_a_source_that_lacks_a_class(self, tmp_path: Path) -> None:
        label = ClassLabel(num_classes=1000)
        source = write_source(tmp_path / "in", [encoded(k) for k in range(9)], list(WOOF.imagenet_indices[:9]), label)
        with pytest.raises(InputError, match=r"class 'Old English sheepdog' of .* has no image"):
            write_original(str(source), tmp_path / "out", splits=TRAIN, subset="imagewoof")

    @pytest.mark.parametrize("subset", SUBSETS)
    @pytest.mark.parametrize("known", ["wnid", "index"])
    def test_out_of_one_real_image_of_every_class(
        self, tmp_path: Path, shared_data: Callable[[str], Path], subset: str, known: str
    ) -> None:
        source = shared_data("imagenet1k-sample")
        table = pq.read_table(parquet_path(source))
        if known == "index":
            source, path = tmp_path / "in", parquet_path(tmp_path / "in")
            path.parent.mkdir(parents=True)
            pq.write_table(table.drop_columns("wnid"), path)
        counts = write_original(str(source), tmp_path / "out", splits=TRAIN, subset=subset)
        rows, chosen = read_rows(tmp_path / "out"), SUBSETS[subset]
        assert counts == {"train": 10}
        by_label = sorted(zip(rows["label"], rows["source_index"], rows["wnid"], image_bytes(rows), strict=True))
        sources = [table.slice(row, 1).to_pylist()[0] for _, row, _, _ in by_label]
        assert tuple(row["label"] for row in sources) == chosen.imagenet_indices
        assert tuple(row["wnid"] for row in sources) == chosen.wnids == tuple(wnid for _, _, wnid, _ in by_label)
        assert [row["image"]["bytes"] for row in sources] == [image for _, _, _, image in by_label]


class TestBadSources:
    @pytest.mark.parametrize(
        ("values", "feature", "named"), [(["a", "b"], Value("string"), "string"), ([0, 1], Value("int64"), "int64")]
    )
    def test_labels_without_class_names(self, tmp_path: Path, values: list, feature: Value, named: str) -> None:
        source = write_source(tmp_path / "in", [encoded(0), encoded(1)], values, feature)
        with pytest.raises(InputError, match=rf"column 'label' of .* is Value\('{named}'\), not a ClassLabel: cast it"):
            write_original(str(source), tmp_path / "out")

    @pytest.mark.parametrize("bad", [-1, 2, None])
    def test_a_label_outside_the_classes(self, tmp_path: Path, bad: int | None) -> None:
        images = [encoded(0)] * (ROWS_PER_GROUP + 3)
        labels = [0, 1] * (ROWS_PER_GROUP // 2) + [0, bad, 1]
        source = write_source(tmp_path / "in", images, labels, ClassLabel(names=["a", "b"]))
        with pytest.raises(InputError, match=rf"row {ROWS_PER_GROUP + 1} of .* has label {bad}, outside its 2 classes"):
            write_original(str(source), tmp_path / "out", splits=TRAIN)

    def test_a_class_without_images(self, tmp_path: Path) -> None:
        source = write_source(tmp_path / "in", [encoded(0)], [1], ClassLabel(names=["a", "b"]))
        with pytest.raises(InputError, match=r"class 'a' of .* \(train\) has no image"):
            write_original(str(source), tmp_path / "out", splits=TRAIN)

    @pytest.mark.parametrize("column", ["image", "label"])
    def test_a_missing_column(self, tmp_path: Path, column: str) -> None:
        features = Features(image=Image(), label=ClassLabel(names=["a"]), other=Value("string"))
        columns = {"image": [{"bytes": encoded(0), "path": None}], "label": [0], "other": ["x"]}
        rows = Dataset.from_dict(columns, features=features).remove_columns(column)
        parquet_path(tmp_path / "in").parent.mkdir(parents=True)
        rows.to_parquet(parquet_path(tmp_path / "in"))
        with pytest.raises(InputError, match=f"has no column '{column}': it has .*other"):
            write_original(str(tmp_path / "in"), tmp_path / "out")

    def test_a_missing_split(self, tmp_path: Path) -> None:
        source = write_source(tmp_path / "in", [encoded(0)], [0], ClassLabel(names=["a"]))
        with pytest.raises(InputError, match="cannot open split 'validation' of"):
            write_original(str(source), tmp_path / "out")

    @pytest.mark.parametrize("read", [lambda source: open_source(source, "train"), load_rows], ids=["open", "load"])
    @pytest.mark.parametrize("source", ["./nowhere", "/no/where", "~/nowhere", "too/many/parts"])
    def test_no_such_folder(self, read: Callable, source: str) -> None:
        with pytest.raises(InputError, match=f"{source}"):
            read(source)


@pytest.mark.parametrize("kind", ["hub layout", "image folder"])
def test_a_stream_is_not_decoded(tmp_path: Path, kind: str) -> None:
    write_source(tmp_path / "hub layout", [NO_IMAGE] * 2, [0, 1], ClassLabel(names=["a", "b"]))
    for name in ("a", "b"):
        (tmp_path / "image folder" / "train" / name).mkdir(parents=True)
        (tmp_path / "image folder" / "train" / name / "0.jpg").write_bytes(NO_IMAGE)
    (batch,) = open_source(str(tmp_path / kind), "train").read()
    assert batch.table["label"].to_pylist() == [0, 1]
    assert [image["bytes"] for image in batch.table["image"].to_pylist()] == [NO_IMAGE] * 2


def test_load_rows_keeps_our_columns_and_says_which_it_leaves_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pa.table({"image": [encoded(0)], "label": [0], "wnid": ["n0"], "file_name": ["a.jpg"]})
    parquet_path(tmp_path).parent.mkdir()
    pq.write_table(table, parquet_path(tmp_path))
    assert load_rows(tmp_path).column_names == load_rows(tmp_path).column_names == ["image", "label", "wnid"]
    assert caplog.text.count("left out: file_name") == 1


def spooled(source: str, split: str, folder: Path, **more: str) -> Dataset:
    spool = Spool(source, split, folder, **more)
    spool.open()
    spool.fetch()
    return spool.rows()


class TestSpool:
    def test_a_folder_keeps_our_columns_and_every_byte(self, tmp_path: Path) -> None:
        images, labels = [encoded(seed) for seed in range(600)], [0, 1] * 300
        source = write_source(tmp_path / "in", images, labels, ClassLabel(names=["a", "b"]), wnid=["x"] * 600)
        rows = spooled(str(source), "train", tmp_path / "rows")
        assert rows.data.table.equals(read_rows(source).data.table)
        assert rows.features == read_rows(source).features
        assert image_bytes(rows) == images

    def test_a_stream_keeps_every_column_and_byte(self, tmp_path: Path) -> None:
        rows, expected = spooled("digits", "validation", tmp_path / "rows"), digits_split("validation")
        assert rows.features == expected.features
        assert undecoded(rows).to_list() == undecoded(expected).to_list()

    def test_a_subset_is_that_of_write_original(self, tmp_path: Path) -> None:
        images = [encoded(seed) for seed in range(len(LABELS))]
        source = write_source(tmp_path / "in", images, LABELS, ClassLabel(names=WNIDS))
        write_original(str(source), tmp_path / "out", splits=TRAIN, subset="imagewoof")
        rows = spooled(str(source), "train", tmp_path / "rows", subset="imagewoof")
        assert rows.data.table.equals(read_rows(tmp_path / "out").data.table)
        lacking = write_source(tmp_path / "few", [encoded(0)], WOOF.imagenet_indices[:1], ClassLabel(names=WNIDS))
        with pytest.raises(InputError, match="has no image"):
            spooled(str(lacking), "train", tmp_path / "rows", subset="imagewoof")
