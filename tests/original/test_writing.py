"""Splits on disk: a share of one that validates, and images that are in both."""

from pathlib import Path

import pytest
from image_files import write

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, undecoded
from ddgs_hub.original import write_original


class TestValidationShare:
    PATHS = (*(f"{name}/{k:03d}.png" for name in "ab" for k in range(40)), "c/0.png", "c/1.png")

    def sides(self, source: Path, output: Path, share: float) -> tuple[list[str], list[str]]:
        counts = write_original(str(source), output, validation_share=share)
        images = {
            name: [row["image"]["bytes"].decode() for row in undecoded(read_rows(output, name))] for name in counts
        }
        assert counts == {name: len(files) for name, files in images.items()}
        assert sorted(path.name for path in (output / "data").iterdir()) == [
            "train-00000-of-00001.parquet",
            "validation-00000-of-00001.parquet",
        ]
        return images["train"], images["validation"]

    def test_it_is_stratified_and_decided_by_the_bytes(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", *self.PATHS)
        train, validation = self.sides(source, tmp_path / "out", 0.25)
        assert sorted(train + validation) == sorted(self.PATHS)
        assert [sum(path.startswith(name) for path in validation) for name in "abc"] == [10, 10, 1]
        for path in list(source.rglob("*.png")):  # other names, and another order
            path.rename(path.with_name(f"x{path.stem[::-1]}.png"))
        again = self.sides(source, tmp_path / "again", 0.25)
        assert (sorted(again[0]), sorted(again[1])) == (sorted(train), sorted(validation))
        assert set(validation) < set(self.sides(source, tmp_path / "more", 0.5)[1])

    def test_the_same_image_is_on_one_side(self, tmp_path: Path) -> None:
        copies = {f"b/copy-of-{path.replace('/', '-')}": path for path in self.PATHS if path.startswith("a")}
        source = write(
            tmp_path / "in", *self.PATHS, *copies, content={path: path_.encode() for path, path_ in copies.items()}
        )
        train, validation = self.sides(source, tmp_path / "out", 0.2)
        assert not set(train) & set(validation)
        assert len(train) + len(validation) == len(self.PATHS) + len(copies)

    @pytest.mark.parametrize("paths", [["a/0.png", "a/1.png", "b/0.png"], ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]])
    def test_a_class_that_has_too_few_images(self, paths: list[str], tmp_path: Path) -> None:
        same = {"b/0.png": b"the same", "b/1.png": b"the same"}
        source = write(tmp_path / "in", *paths, content=same)
        with pytest.raises(
            InputError, match=r"class 'b' of .* too few different images \(1\) .* none is left for training"
        ):
            write_original(str(source), tmp_path / "out", validation_share=0.5)

    def test_it_divides_rows_of_any_source(self, tmp_path: Path) -> None:
        write_original(str(write(tmp_path / "in", *self.PATHS)), tmp_path / "rows", splits={"train": "train"})
        folder = self.sides(tmp_path / "in", tmp_path / "out", 0.25)
        assert self.sides(tmp_path / "rows", tmp_path / "again", 0.25) == folder


def test_images_that_are_in_both_splits_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [f"{split}/{name}/{k}.png" for split in ("train", "val") for name in "ab" for k in range(3)]
    same = {"val/a/0.png": b"train/a/1.png", "val/b/2.png": b"train/a/1.png"}
    source = write(tmp_path / "in", *paths, content=same)
    assert write_original(str(source), tmp_path / "out") == {"train": 6, "validation": 6}
    assert f"2 images of {source} (validation) are training images, too" in caplog.text
