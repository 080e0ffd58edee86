"""Two commands at once, in processes of their own: the first works, the second waits or is refused."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clients import Client, environment, run
from safetensors.torch import load_file

from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.staging import hidden_sibling, locked_folder

OWN = """
import sys, time
from ddgs_hub.core.staging import locked_folder
with locked_folder(sys.argv[1], wait=len(sys.argv) > 2):
    print("mine", flush=True)
    time.sleep(600)
"""
BUSY = "another command works in out: wait until it is done, or give another folder"
WRITERS = {
    "prepare": "prepare --recipe digits --output out",
    "train-scorer": "train-scorer --recipe digits --original original --output out",
    "pretrain": "pretrain --recipe digits --original original --output out",
    "finetune": "finetune --recipe digits --original original --output out",
    "generate": "generate --recipe digits --output out",
    "score": "score original --scorer scorer --output out",
    "sample": "sample --pool pool --original original --output out",
    "baseline": "baseline random --original original --output out",
    "figures": "figures original --output out",
    "run": "run digits --output out",
}


def both(folder: Path, *commands: str) -> "list[subprocess.CompletedProcess[str]]":
    """What came of commands of ours that start at once in a folder."""

    def carry_out(command: str) -> "subprocess.CompletedProcess[str]":
        return run(["-m", "ddgs_hub", *command.split()], env=environment(), cwd=folder, timeout=240)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(carry_out, commands))


class Owner:
    """A process that works in `out`, until it is killed.

    Args:
        folder: where that is.
        words: `wait`, if it is to wait until it may.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        reading, writing = os.pipe()
        with os.fdopen(writing, "w") as out:
            self.client = Client(["-c", OWN, "out", *words], env=environment(), cwd=folder, streams=(None, out, None))
        self._said = os.fdopen(reading)

    def works(self, seconds: float) -> bool:
        """Whether it begins to work within so many seconds."""
        return bool(select.select([self._said], [], [], seconds)[0]) and self._said.readline() == "mine\n"

    def kill(self) -> None:
        self.client.kill()
        self._said.close()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    """A process that works in `out`."""
    owner = Owner(tmp_path)
    assert owner.works(60)
    yield owner
    owner.kill()


class TestOneOutput:
    @pytest.mark.parametrize("name", WRITERS)
    def test_is_written_by_one_command(
        self,
        name: str,
        owner: Owner,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "original").mkdir()  # a folder that is not here would be refused first
        monkeypatch.setattr(sys, "argv", ["ddgs-hub", *WRITERS[name].split()])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert (caught.value.code, capsys.readouterr()) == (2, ("", f"ddgs-hub: {BUSY}\n"))
        assert {path.name for path in tmp_path.iterdir()} == {".out.lock", "original"}

    def test_can_be_written_when_its_owner_was_killed(self, owner: Owner, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="another command works in"), locked_folder(tmp_path / "out"):
            pass
        owner.kill()
        with locked_folder(tmp_path / "out"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_of_two_that_start_at_once_one_works(self, tmp_path: Path) -> None:
        done = both(tmp_path, *["prepare --recipe digits --output out"] * 2)
        assert sorted(one.returncode for one in done) == [0, 2]
        said = "".join(one.stderr for one in done)
        assert said in (f"ddgs-hub: {BUSY}\n", "ddgs-hub: out is not empty: choose another --output, or remove it\n")
        assert len(read_rows(tmp_path / "out")) == 1437
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_is_for_who_waits_when_it_is_free(self, owner: Owner, tmp_path: Path) -> None:
        waiting = Owner(tmp_path, "wait")
        assert not waiting.works(1)
        owner.kill()
        assert waiting.works(30)
        waiting.kill()

    def test_a_folder_that_cannot_be_locked(self, tmp_path: Path) -> None:
        hidden_sibling(tmp_path / "out", "lock").mkdir()
        with pytest.raises(InputError, match=r"cannot lock .*out: Is a directory; choose another --output"):
            locked_folder(tmp_path / "out").__enter__()


def test_two_trainings_of_the_same_images_encode_them_once(digits_folder: Path, tmp_path: Path) -> None:
    settings = "--set finetune.epochs=0.02 --set finetune.batch_size=12"
    common = f"finetune --recipe digits --original {digits_folder} {settings} --output"
    done = both(tmp_path, f"{common} one", f"{common} two")
    assert [one.returncode for one in done] == [0, 0], done
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "latents"}
    assert len(list((tmp_path / "latents").iterdir())) == 1
    adapters = [load_file(tmp_path / name / "adapter.safetensors") for name in ("one", "two")]
    assert all(adapters[0][name].equal(tensor) for name, tensor in adapters[1].items())
