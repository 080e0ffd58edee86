"""Folders are written whole or not at all."""

import os
from pathlib import Path

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.staging import refuse_unwritable, staged_folder


def fail_in_the_midst(target: Path, name: str) -> None:
    with staged_folder(target) as folder:
        (folder / name).write_text("new")
        raise RuntimeError("in the midst of it")


class TestStagedFolder:
    def test_takes_the_name_when_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "deep" / "rows"
        with staged_folder(target) as folder:
            (folder / "a.txt").write_text("new")
            assert not target.exists()
        assert [path.name for path in target.parent.iterdir()] == ["rows"]
        assert (target / "a.txt").read_text() == "new"

    def test_leaves_what_was_there_when_the_work_fails(self, tmp_path: Path) -> None:
        target = tmp_path / "rows"
        target.mkdir()
        (target / "a.txt").write_text("old")
        with pytest.raises(RuntimeError, match="in the midst"):
            fail_in_the_midst(target, "a.txt")
        assert [path.name for path in tmp_path.iterdir()] == ["rows"]
        assert (target / "a.txt").read_text() == "old"

    def test_replaces_the_whole_folder(self, tmp_path: Path) -> None:
        target = tmp_path / "rows"
        target.mkdir()
        (target / "stale.txt").write_text("old")
        with staged_folder(target) as folder:
            (folder / "a.txt").write_text("new")
        assert [path.name for path in target.iterdir()] == ["a.txt"]
        assert [path.name for path in tmp_path.iterdir()] == ["rows"]

    def test_clears_what_a_killed_process_began(self, tmp_path: Path) -> None:
        (tmp_path / ".rows.partial").mkdir()
        (tmp_path / ".rows.partial" / "half.parquet").write_text("half")
        with staged_folder(tmp_path / "rows") as folder:
            assert list(folder.iterdir()) == []
        assert [path.name for path in tmp_path.iterdir()] == ["rows"]

    def test_replaces_the_folder_behind_a_link_and_not_the_link(self, tmp_path: Path) -> None:
        (tmp_path / "disk" / "rows").mkdir(parents=True)
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "disk" / "rows")
        with staged_folder(link) as folder:
            (folder / "a.txt").write_text("new")
        assert link.is_symlink()
        assert (tmp_path / "disk" / "rows" / "a.txt").read_text() == "new"

    def test_refuses_a_file(self, tmp_path: Path) -> None:
        target = tmp_path / "notes.txt"
        target.write_text("precious")
        with pytest.raises(InputError, match=r"cannot write .*notes\.txt: it is a file; choose another --output"):
            staged_folder(target).__enter__()
        assert target.read_text() == "precious"
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_refuses_a_path_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(InputError, match=r"cannot write .*; choose another --output"):
            staged_folder(tmp_path / "file" / "rows").__enter__()


def test_a_pipe_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"cannot write .*pipe: it is a file"):
        refuse_unwritable(pipe)
    with pytest.raises(InputError, match="it is a file"), staged_folder(pipe):
        pass
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
