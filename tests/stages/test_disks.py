"""Disks as they are: mount points, folders in somebody else's, full ones and read-only ones."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Features, Value
from PIL import Image as PILImage
from safetensors.torch import save_file

from ddgs_hub.cli import main as cli
from ddgs_hub.core import machine, staging
from ddgs_hub.core.checkpoints import Checkpoints
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.parts import Parts
from ddgs_hub.core.rows import parquet_path, read_rows, write_rows
from ddgs_hub.core.staging import hidden_sibling, locked_folder, shared_sibling, staged_folder
from ddgs_hub.evaluation.figures import scored as scored_figures
from ddgs_hub.original import spool

NOBODY = 65534
Mount = Callable[..., Path]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """`mount("name", "-t", "tmpfs", …)` mounts something on a new folder; the test is skipped where it may not."""
    mounted = []

    def mount(name: str, *how: str) -> Path:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *how, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this account may not mount: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in reversed(mounted):
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line; exit code, and what it printed on stdout and on stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ddgs-hub", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def tmpfs(size: str) -> tuple[str, ...]:
    return "-t", "tmpfs", "-o", f"size={size}", "tmpfs"


def enlarge(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=20m", str(place)], check=True)


def contents(folder: Path) -> dict[str, str]:
    """What shows in a folder: the files that are not hidden."""
    shown = (path for entry in folder.glob("[!.]*") for path in (entry, *entry.rglob("*")))
    return {str(path.relative_to(folder)): path.read_text() for path in shown if path.is_file()}


def as_nobody(work: Callable[[], None]) -> int:
    """The exit code of `work` by an account that may write nowhere but in what is its own."""
    if os.geteuid():
        work()
        return 0
    if (pid := os.fork()) == 0:
        try:
            os.setuid(NOBODY)
            work()
        except BaseException as error:
            print(error, file=sys.__stderr__)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Killed(BaseException):
    """What a test raises where a kill would end the process: nothing after it is carried out."""


def write_new(target: Path) -> None:
    with staged_folder(target) as folder:
        (folder / "data").mkdir()
        (folder / "data" / "rows.txt").write_text("new")
        (folder / "README.md").write_text("new")


NEW = {"data/rows.txt": "new", "README.md": "new"}
OLD = {"stale/rows.txt": "old", "README.md": "old"}


def write_old(target: Path) -> None:
    (target / "stale").mkdir(parents=True)
    for name in OLD:
        (target / name).write_text("old")


def fail_in_the_midst(target: Path, name: str) -> None:
    with staged_folder(target) as folder:
        (folder / name).write_text("new")
        raise RuntimeError("in the midst of it")


class TestMountPoint:
    def test_is_written_in_place(self, mount: Mount) -> None:
        target = mount("disk", *tmpfs("1m"))
        write_new(target)
        assert contents(target) == NEW
        assert {path.name for path in target.iterdir()} == {"data", "README.md"}
        assert [path.name for path in target.parent.iterdir()] == ["disk"]

    def test_of_the_same_disk_too(self, mount: Mount, tmp_path: Path) -> None:
        (tmp_path / "volume of mine").mkdir()
        target = mount("a mounted volume", "--bind", str(tmp_path / "volume of mine"))
        write_old(target)
        write_new(target)
        assert contents(tmp_path / "volume of mine") == NEW

    def test_nothing_half_written_shows(self, mount: Mount) -> None:
        target = mount("disk", *tmpfs("1m"))
        with staged_folder(target) as folder:
            (folder / "README.md").write_text("new")
            assert {path.name for path in target.iterdir()} == {".ddgs-hub", ".ddgs-hub.lock"}

    def test_is_left_as_it_was_where_the_work_fails(self, mount: Mount) -> None:
        target = mount("disk", *tmpfs("1m"))
        write_old(target)
        with pytest.raises(RuntimeError, match="in the midst"):
            fail_in_the_midst(target, "README.md")
        assert contents(target) == OLD

    @pytest.mark.parametrize("moves", range(5))
    def test_is_set_right_after_a_kill_between_any_two_moves(
        self, mount: Mount, monkeypatch: pytest.MonkeyPatch, moves: int
    ) -> None:
        target = mount("disk", *tmpfs("1m"))
        write_old(target)
        rename, left = Path.rename, iter(range(moves))

        def until_killed(path: Path, to: Path) -> Path:
            if next(left, None) is None:
                raise Killed
            return rename(path, to)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", until_killed)
            patch.setattr(staging, "_recover", lambda target: None)  # a killed process does nothing more
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            with pytest.raises(Killed):
                write_new(target)
        with locked_folder(target):
            pass
        assert contents(target) == (OLD if moves < 3 else NEW)  # two that are old, and then the new ones count
        write_new(target)
        assert {path.name for path in target.iterdir()} == {"data", "README.md"}

    def test_what_lasts_longer_is_kept_in_it(self, mount: Mount) -> None:
        target = mount("disk", *tmpfs("1m"))
        assert hidden_sibling(target, "parts") == target / ".ddgs-hub" / "parts"
        assert shared_sibling(target, "latents") == target / ".ddgs-hub" / "latents"
        (target / "below").mkdir()
        assert hidden_sibling(target / "below", "parts") == target / ".below.parts"
        assert shared_sibling(target / "below", "latents") == target / "latents"

    def test_is_an_output_of_a_command(self, mount: Mount, call: Call) -> None:
        target = mount("disk", *tmpfs("20m"))
        code, _, err = call("--quiet", "prepare", "--recipe", "digits", "--output", target)
        assert (code, err) == (0, "")
        assert len(read_rows(target, "validation")) == 360
        assert call("prepare", "--recipe", "digits", "--output", target)[0] == 2  # it is not empty any more


class TestFolderOfOursInThatOfSomebodyElse:
    def test_is_written_in_place(self) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as theirs:
            ours = Path(theirs, "ours")
            ours.mkdir()
            if not os.geteuid():
                os.chown(ours, NOBODY, NOBODY)
            os.chmod(theirs, 0o555)
            try:
                assert as_nobody(lambda: write_new(ours)) == 0
                assert contents(ours) == NEW
                assert as_nobody(lambda: write_new(ours)) == 0  # again, in the place of what is there
                assert {path.name for path in ours.iterdir()} == {"data", "README.md"}
            finally:
                os.chmod(theirs, 0o755)

    def test_beside_it_nothing_is_written(self) -> None:
        def refused() -> None:
            with pytest.raises(InputError, match=r"cannot write .*: no permission to write in .*; choose another"):
                write_new(Path(theirs, "new"))

        with tempfile.TemporaryDirectory(dir="/tmp") as theirs:
            os.chmod(theirs, 0o555)
            try:
                assert as_nobody(refused) == 0
            finally:
                os.chmod(theirs, 0o755)


TENSOR = torch.zeros(200_000)
TABLE = pa.table({"x": np.random.default_rng(0).random(100_000)})
WRITERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": lambda folder: Checkpoints(folder / "points", "key", {"a": torch.nn.Linear(400, 400)}).save(1),
    "safetensors": lambda folder: save_file({"x": TENSOR}, folder / "file"),
    "parquet": lambda folder: pq.write_table(TABLE, folder / "file"),
    "text": lambda folder: (folder / "file").write_text("x" * 600_000),
    "picture": lambda folder: PILImage.effect_noise((800, 800), 99).save(folder / "file.png"),
}


class TestFullDisk:
    @pytest.mark.parametrize("name", WRITERS)
    def test_is_known_through_every_library(self, mount: Mount, name: str) -> None:
        full = mount("disk", *tmpfs("200k"))
        with pytest.raises(Exception) as caught:  # noqa: PT011
            WRITERS[name](full)
        assert machine.is_full(caught.value)
        assert "No space left on device; free some space, and start" in str(machine.why_not_written(caught.value))

    def test_is_one_sentence_and_leaves_nothing(self, mount: Mount, call: Call) -> None:
        place = mount("disk", *tmpfs("200k"))
        code, out, err = call("prepare", "--recipe", "digits", "--output", place / "original")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "No space left on device; free some space, and start the same command again" in err
        assert list(place.iterdir()) == []
        enlarge(place)
        assert call("prepare", "--recipe", "digits", "--output", place / "original")[0] == 0

    def test_sampling_is_one_sentence_and_leaves_nothing(
        self, mount: Mount, call: Call, digits_folder: Path, tmp_path: Path
    ) -> None:
        rows = read_rows(digits_folder)
        scored = rows.add_column("difficulty", np.linspace(0, 1, len(rows)).tolist())
        write_rows(scored, tmp_path / "scored")
        place = mount("disk", *tmpfs("16k"))
        command = "sample", "--pool", tmp_path / "scored", "--original", tmp_path / "scored", "--output", place / "out"
        code, out, err = call(*command)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "No space left on device; free some space, and start the same command again" in err
        assert list(place.iterdir()) == []
        enlarge(place)
        assert call(*command)[0] == 0
        assert len(read_rows(place / "out")) == 100

    def test_a_training_goes_on_at_the_checkpoint_before(self, mount: Mount) -> None:
        place = mount("disk", *tmpfs("300k"))
        model = torch.nn.Linear(200, 200)
        points = Checkpoints(place / "points", "key", {"model": model})
        points.save(1)
        first = model.weight.detach().clone()
        torch.nn.init.zeros_(model.weight)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            points.save(2)
        assert machine.is_full(caught.value)
        assert points.restore() == 1
        assert model.weight.equal(first)
        enlarge(place)
        points.save(2)
        assert points.restore() == 2

    def test_work_in_parts_goes_on_behind_those_that_are_whole(self, mount: Mount) -> None:
        place = mount("disk", *tmpfs("1200k"))
        parts = Parts(place / "pool", "fingerprint", 3)
        assert parts.todo() == [0, 1, 2]
        parts.write(0, TABLE)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            parts.write(1, TABLE)
        assert machine.is_full(caught.value)
        enlarge(place)
        again = Parts(place / "pool", "fingerprint", 3)
        assert again.todo() == [1, 2]
        for k in again.todo():
            again.write(k, TABLE)
        again.finish(Features(x=Value("float64")))
        assert pq.read_table(parquet_path(place / "pool")).num_rows == 3 * len(TABLE)

    def test_scoring_works_when_there_is_space_again(
        self, mount: Mount, call: Call, digits_folder: Path, timm_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spool, "PART_BYTES", 50_000)
        monkeypatch.setattr(scored_figures, "MOST_CLASSES", 1)  # of ten panels, most of the time would go into drawing
        place = mount("disk", *tmpfs("160k"))
        command = "score", digits_folder, "--split", "validation", "--scorer", timm_folder, "--images"
        code, out, err = call(*command, "--output", place / "scored")
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "No space left on device; free some space, and start the same command again" in err
        assert {path.name for path in place.iterdir()} <= {".scored.rows", ".scored.scores"}
        enlarge(place)
        assert call(*command, "--output", place / "scored")[0] == 0
        assert len(read_rows(place / "scored", "validation")) == 360
        assert [path.name for path in place.iterdir()] == ["scored"]


class TestReadOnlyDisk:
    def test_is_one_sentence(self, mount: Mount, call: Call) -> None:
        place = mount("disk", "-t", "tmpfs", "-o", "ro", "tmpfs")
        for output in (place, place / "original"):
            code, out, err = call("prepare", "--recipe", "digits", "--output", output)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert f"cannot write {output}: no permission to write in {place}; choose another --output" in err

    @pytest.mark.parametrize("name", WRITERS)
    def test_is_known_through_every_library(self, mount: Mount, name: str) -> None:
        place = mount("disk", "-t", "tmpfs", "-o", "ro", "tmpfs")
        with pytest.raises(Exception) as caught:  # noqa: PT011
            WRITERS[name](place)
        assert "Read-only file system; choose another --output" in str(machine.why_not_written(caught.value))
        assert not machine.is_full(caught.value)
