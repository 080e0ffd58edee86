"""Images in folders by class: which folder is which split and class, what links lead to, and what is left out."""

import json
import logging
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset_builder
from hub_datasets import FILE
from hub_server import HubServer
from image_files import write

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import ROWS_PER_GROUP, read_rows, undecoded
from ddgs_hub.original import SourceRows, Spool, image_folders, open_source, write_original

KINDS = ("jpg", "JPEG", "png", "PNG", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "ico", "jp2", "tga")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
Contents = dict[str, list[str]]  # class → what is in its images, in the order of the rows


def found(rows: SourceRows) -> Contents:
    names = rows.features["label"].names
    contents: Contents = {name: [] for name in names}
    for batch in rows.read():
        for row in batch.table.to_pylist():
            assert row["image"]["path"] is None
            contents[names[row["label"]]].append(row["image"]["bytes"].decode())
    return contents


def opened(folder: Path, split: str = "train") -> Contents:
    return found(open_source(str(folder), split))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    image_folders._log_left_out.cache_clear()
    caplog.set_level(logging.WARNING, image_folders.LOG.name)
    return caplog


class TestOrder:
    def test_rows_and_labels_are_those_of_datasets(self, tmp_path: Path) -> None:
        classes = ("b", "a", "a b", "a-b", "Z", "\u00e4", "a.b", "10", "9")
        paths = [
            f"{split}/{name}/{file}"
            for split in ("train", "validation")
            for name in classes
            for file in ("2.png", "10.PNG", "1 x.jpg", "\u00fc.jpeg")
        ]
        source = write(tmp_path / "in", *paths)
        builder = load_dataset_builder("imagefolder", data_dir=str(source), cache_dir=str(tmp_path / "cache"))
        for split in ("train", "validation"):
            theirs = [Path(file).relative_to(source).as_posix() for file in builder.config.data_files[split]]
            rows = open_source(str(source), split)
            images = [row["image"]["bytes"].decode() for batch in rows.read() for row in batch.table.to_pylist()]
            assert images == theirs
            assert rows.features["label"].names == sorted(classes)

    def test_a_reading_goes_on_behind_any_batch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(image_folders, "BATCH_BYTES", 500)
        paths = [f"train/{name}/{k:04d}.png" for name in "ab" for k in range(ROWS_PER_GROUP)]
        rows = open_source(str(write(tmp_path / "in", *paths)), "train")
        batches = list(rows.read())
        assert len(batches) == 2 * ROWS_PER_GROUP / 32  # 16 are read at once, of 16 bytes each
        assert np.concatenate([batch.row_numbers for batch in batches]).tolist() == list(range(len(paths)))
        for batch in batches[:: len(batches) // 3]:
            behind = [row for later in rows.read(position=batch.position) for row in later.row_numbers.tolist()]
            assert behind == list(range(batch.row_numbers[-1] + 1, len(paths)))

    def test_images_that_are_not_wanted_are_not_opened(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", *(f"train/{name}/{k}.png" for name in "ab" for k in range(3)))
        rows = open_source(str(source), "train")
        for path in (source / "train" / "a").iterdir():
            path.unlink()
        batches = list(rows.read(row_filter=lambda keys, first: np.flatnonzero(keys["label"].to_numpy() == 1).tolist()))
        assert [batch.row_numbers.tolist() for batch in batches] == [[3, 4, 5]]
        assert [batch.row_numbers.tolist() for batch in rows.read(["label"])] == [[0, 1, 2, 3, 4, 5]]


class TestSplits:
    @pytest.mark.parametrize("name", ["train", "valid", "test", "dev", "validation"])
    def test_a_class_may_be_called_like_a_split(self, name: str, tmp_path: Path) -> None:
        source = write(
            tmp_path / "in",
            *(f"{split}/{c}/{k}.png" for split in ("train", "val") for c in (name, "zebra") for k in (0, 1)),
        )
        for split, folder in (("train", "train"), ("validation", "val")):
            assert opened(source, split) == {c: [f"{folder}/{c}/{k}.png" for k in (0, 1)] for c in (name, "zebra")}

    @pytest.mark.parametrize("folder", ["validation", "val", "valid", "dev", "Val", "VALIDATION"])
    @pytest.mark.parametrize("split", ["validation", "val"])
    def test_the_names_of_validation_stand_for_each_other(self, folder: str, split: str, tmp_path: Path) -> None:
        source = write(tmp_path / "in", "train/a/0.png", "test/a/1.png", f"{folder}/a/2.png")
        assert opened(source, split) == {"a": [f"{folder}/a/2.png"]}

    def test_the_name_that_is_asked_for_comes_first(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", "train/a/0.png", "val/a/1.png", "validation/a/2.png", "test/a/3.png")
        assert opened(source, "validation") == {"a": ["validation/a/2.png"]}
        assert opened(source, "val") == {"a": ["val/a/1.png"]}
        assert opened(source, "test") == {"a": ["test/a/3.png"]}

    @pytest.mark.parametrize(("split", "names"), [("validation", ("dev", "val")), ("train", ("Train", "train"))])
    def test_two_that_may_be_meant(self, split: str, names: tuple[str, str], tmp_path: Path) -> None:
        source = write(tmp_path / "in", *(f"{name}/a/0.png" for name in (*names, "train")))
        with pytest.raises(InputError, match=f"has the folders '{names[0]}' and '{names[1]}', which may be the same"):
            opened(source, split)

    @pytest.mark.parametrize(
        ("paths", "split", "there"),
        [
            (["train/a/0.png", "test/a/0.png"], "validation", "it has test, train$"),
            (["val/a/0.png"], "train", "it has val$"),
            (["training/a/0.png", "testing/a/0.png"], "train", "it has testing, training$"),
            (["a/0.png", "b/0.png"], "validation", "it has images by class alone; data.validation_share takes"),
            (["0.png"], "train", "it has no folders; give the one in which each class has a folder of its own$"),
        ],
    )  # fmt: skip
    def test_those_that_are_there_are_named_where_one_is_missing(
        self, paths: list[str], split: str, there: str, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match=f"cannot open split '{split}' of .*: {there}"):
            opened(write(tmp_path / "in", *paths), split)

    def test_folders_of_classes_alone_are_for_training(self, tmp_path: Path) -> None:
        assert opened(write(tmp_path / "in", "b/0.png", "a/0.png")) == {"a": ["a/0.png"], "b": ["b/0.png"]}


class TestClasses:
    @pytest.mark.parametrize(
        "name", ["a[1]", "*", "a?b", "{x}", "with space", "Löwe", "Lo\u0308we", "x" * 200, "a,b", "#1", "%20"]
    )
    def test_names_are_those_of_the_folders(self, name: str, tmp_path: Path) -> None:
        source = write(
            tmp_path / "in", f"train/{name}/{name[:99]}.png", "train/zz/0.png", f"val/{name}/0.png", "val/zz/0.png"
        )
        assert opened(source) == {name: [f"train/{name}/{name[:99]}.png"], "zz": ["train/zz/0.png"]}
        assert opened(source, "validation") == {name: [f"val/{name}/0.png"], "zz": ["val/zz/0.png"]}

    def test_both_forms_of_an_umlaut_are_one_class_in_two_splits(self, tmp_path: Path) -> None:
        name, other = "L\u00f6we", "Lo\u0308we"
        source = write(tmp_path / "in", f"train/{name}/0.png", f"val/{other}/0.png")
        assert opened(source, "validation") == {name: [f"val/{other}/0.png"]}

    @pytest.mark.parametrize("pair", [("Cat", "cat"), ("L\u00f6we", "Lo\u0308we")])
    def test_two_folders_of_one_name_are_not_merged(self, pair: tuple[str, str], tmp_path: Path) -> None:
        source = write(tmp_path / "in", *(f"train/{name}/0.png" for name in pair))
        if len(list((source / "train").iterdir())) < 2:
            pytest.skip("this file system takes them for one folder")
        with pytest.raises(InputError, match="one name for a class") as caught:
            opened(source)
        assert all(
            unicodedata.normalize("NFC", name) in unicodedata.normalize("NFC", str(caught.value)) for name in pair
        )

    def test_all_splits_have_the_classes_of_training(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", *(f"train/{name}/0.png" for name in "abc"), "val/b/0.png")
        assert opened(source, "validation") == {"a": [], "b": ["val/b/0.png"], "c": []}
        with pytest.raises(InputError, match=r"class 'a' of .*\(validation\) has no image"):
            write_original(str(source), tmp_path / "out")
        write(source, "val/d/0.png")
        with pytest.raises(InputError, match=r"class 'd' of .*\(validation\) has no training images"):
            opened(source, "validation")

    @pytest.mark.parametrize(
        ("paths", "names"),
        [
            (["train/images/a/0.png", "train/images/b/0.png"], "'images'"),
            (["160px/train/a/0.png", "320px/train/a/0.png", "320px/train/b/1.png"], "'160px' and '320px'"),
        ],
    )
    def test_folders_that_hold_the_classes_are_none(self, paths: list[str], names: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=f"has no image in {names} itself, only in folders inside"):
            opened(write(tmp_path / "in", *paths))

    def test_every_class_may_have_a_folder_of_images(self, tmp_path: Path) -> None:
        """As in Tiny ImageNet."""
        source = write(tmp_path / "in", "train/n01/images/0.png", "train/n02/images/0.png")
        assert opened(source) == {"n01": ["train/n01/images/0.png"], "n02": ["train/n02/images/0.png"]}


class TestLinks:
    def test_links_to_splits_and_classes(self, tmp_path: Path) -> None:
        write(tmp_path / "far", "pictures/a/0.png", "b/0.png")
        source = write(tmp_path / "in", "val/a/0.png", "val/b/0.png")
        (source / "train").symlink_to(tmp_path / "far" / "pictures")
        (tmp_path / "far" / "pictures" / "b").symlink_to(tmp_path / "far" / "b")
        assert opened(source) == {"a": ["pictures/a/0.png"], "b": ["b/0.png"]}

    def test_links_that_lead_back_do_not_hang(self, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
        source = write(tmp_path / "in", "train/a/0.png", "train/a/deep/1.png")
        for link, target in (("up", source), ("here", source / "train"), ("above", tmp_path), ("a/deep/again", source)):
            (source / "train" / link).symlink_to(target)
        (source / "train" / "self").symlink_to("self")
        assert opened(source) == {"a": ["train/a/0.png", "train/a/deep/1.png"]}
        assert "4 × links to folders" in said.text
        assert "1 × broken links" in said.text

    def test_links_to_files_lead_to_no_other_place(self, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
        """A dataset from elsewhere names the reader's own files; linked folders do not open the way to them."""
        write(tmp_path, "secret/key.png", "secret/key", "far/a/0.png", "far/more/1.png")
        source = write(tmp_path / "in", "store/2.png", "train/b/3.png")
        (source / "train" / "a").symlink_to(tmp_path / "far" / "a")
        (source / "train" / "open").symlink_to(tmp_path / "secret")
        for link, target in {
            "train/b/inside.png": source / "store" / "2.png",
            "train/b/outside.png": tmp_path / "secret" / "key.png",
            "train/b/other.png": tmp_path / "secret" / "key",
            "train/b/passwd.jpg": Path("/etc/passwd"),
        }.items():
            (source / link).symlink_to(target)
        (tmp_path / "far" / "a" / "beside.png").symlink_to(tmp_path / "far" / "a" / "0.png")
        (tmp_path / "far" / "a" / "elsewhere.png").symlink_to(tmp_path / "far" / "more" / "1.png")
        assert opened(source) == {
            "a": ["far/a/0.png", "far/a/0.png"],
            "b": ["train/b/3.png", "store/2.png"],
            "open": ["secret/key.png"],  # a folder that is linked whole was meant
        }
        assert "4 × links that lead elsewhere" in said.text

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
    def test_a_pipe_is_not_read(self, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
        source = write(tmp_path / "in", "train/a/0.png")
        os.mkfifo(source / "train" / "a" / "1.png")
        assert opened(source) == {"a": ["train/a/0.png"]}
        assert "1 × pipes, sockets or devices" in said.text


class TestLeftOut:
    def test_all_of_it_is_said_once_with_counts(self, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
        source = write(
            tmp_path / "in",
            *("train/a/0.png", "train/a/more/1.JPG", "train/a/more/2.webp", "train/b/0.tif"),
            *("train/loose.png", "train/a/x.txt", "train/b/y.txt", "train/a/Thumbs.db", "train/a/page.pdf"),
            *("train/metadata.csv", "train/b/metadata.parquet", "train/a/.DS_Store", "train/.cache/0.png"),
            *("train/__MACOSX/0.png", "train/words/only.txt", "train/a/README", "extra/0.png", "val/a/0.png"),
        )
        (source / "train" / "c").mkdir()
        assert opened(source) == {
            "a": ["train/a/0.png", "train/a/more/1.JPG", "train/a/more/2.webp"],
            "b": ["train/b/0.tif"],
        }
        opened(source)
        (record,) = said.records
        message = record.getMessage()
        assert message.startswith(
            f"of {source} (train): left out 3 × *.txt, 3 × hidden, 2 × folders without images, 1 × *.db, "
        )
        assert message.endswith(" other kinds; 2 images lie in folders inside those of their classes")

    @pytest.mark.parametrize("kind", KINDS)
    def test_formats_that_are_read(self, kind: str, tmp_path: Path) -> None:
        assert opened(write(tmp_path / "in", f"train/a/0.{kind}")) == {"a": [f"train/a/0.{kind}"]}

    @pytest.mark.parametrize("kind", ["eps", "ps", "pdf", "svg", "psd", "mpg", "wmf", "h5", "npy", "txt", "zip"])
    def test_formats_that_are_not(self, kind: str, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
        assert opened(write(tmp_path / "in", "train/a/0.png", f"train/a/1.{kind}")) == {"a": ["train/a/0.png"]}
        assert f"left out 1 × *.{kind}" in said.text

    def test_nothing_is_said_where_nothing_is_left_out(self, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
        opened(write(tmp_path / "in", "train/a/0.png", "val/a/0.png"))
        assert not said.records

    @pytest.mark.parametrize(
        ("paths", "there"),
        [
            (["train/0.png", "train/1.png"], "there are 2 × images in no folder of a class"),
            (["train/a/0.pdf", "train/a/1.txt"], r"there are 1 × \*\.pdf, 1 × \*\.txt, 1 × folders without images"),
            (["train/.a/0.png"], "there are 1 × hidden"),
        ],
    )
    def test_it_is_named_where_no_image_is_left(self, paths: list[str], there: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=rf"\(train\) has no images in folders by class; {there}"):
            opened(write(tmp_path / "in", *paths))

    def test_metadata_is_never_read(self, tmp_path: Path) -> None:
        table = b"file_name,label\n../../secret.png,1\n"
        source = write(tmp_path / "in", "train/a/0.png", "train/metadata.csv", content={"train/metadata.csv": table})
        write_original(str(source), tmp_path / "out", splits={"train": "train"})
        assert read_rows(tmp_path / "out").column_names == ["image", "label", "wnid", "source_index"]

    def test_a_pointer_of_git_lfs(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", "train/a/0.png", content={"train/a/0.png": POINTER})
        with pytest.raises(
            InputError, match=r"image 'train/a/0.png' of .* is a pointer of Git LFS .* run `git lfs pull`"
        ):
            opened(source)

    @pytest.mark.parametrize("read", [lambda source: open_source(source, "train"), read_rows], ids=["source", "rows"])
    def test_rows_that_are_pointers_of_git_lfs(self, read: Callable[[str], object], tmp_path: Path) -> None:
        source = write(tmp_path / "in", FILE, content={FILE: POINTER})
        with pytest.raises(InputError, match=r"train-00000-of-00001.parquet of .* is a pointer of Git LFS"):
            read(str(source))


def test_the_digits_beside_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "digits", "train/a/0.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"'digits' may be the built-in digits or the folder .* give \./digits"):
        open_source("digits", "train")
    assert found(open_source("./digits", "train")) == {"a": ["train/a/0.png"]}
    monkeypatch.chdir(tmp_path / "digits")
    assert open_source("digits", "train").features["label"].num_classes == 10


def test_a_spool_takes_a_folder_of_images(tmp_path: Path) -> None:
    spool = Spool(str(write(tmp_path / "in", "train/b/0.png", "train/a/1.png")), "train", tmp_path / "rows")
    spool.open()
    spool.fetch()
    assert [row["image"]["bytes"] for row in undecoded(spool.rows())] == [b"train/a/1.png", b"train/b/0.png"]
    assert spool.rows()["label"][:] == [0, 1]


def test_loose_images_of_a_repository_are_read_at_one_commit(hub: HubServer) -> None:
    paths = ["train/b [1]/ü.png", "train/b [1]/deep/1.png", "train/a/0.png", "val/a/2.png", "train/.hidden/3.png"]
    hub.add_user("alice", "hf_alice")
    hub.add_repository("dataset", "alice/loose", {path: path.encode() for path in paths})
    script = """
import json, sys
from ddgs_hub.core.hub_client import pin_dataset
from ddgs_hub.original.image_folders import open_image_folder
from ddgs_hub.original.file_tree import HubTree
pinned = pin_dataset("alice/loose")
rows = open_image_folder(HubTree(pinned), "train", "alice/loose (train)", pinned=pinned)
table = [row for batch in rows.read() for row in batch.table.to_pylist()]
print(json.dumps([rows.features["label"].names, [[row["label"], row["image"]["bytes"].decode()] for row in table]]))
"""
    done = hub.run(script)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["a", "b [1]"], [[0, paths[2]], [1, paths[1]], [1, paths[0]]]]
    assert "left out 1 × hidden; 1 images lie in folders inside" in done.stderr
    assert not hub.strays
