"""Output on every kind of terminal, into a pipe that nobody reads any more, and without the Hub."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml
from clients import Client
from hub_server import HubServer
from test_bad_input import TINY, one_line, write

from ddgs_hub.cli import main as cli
from ddgs_hub.cli.program import run_commands

Call = Callable[..., tuple[int, str, str]]
ENCODINGS = ("cp1252", "latin-1", "ascii")
COMMANDS = [command.name or command.callback.__name__ for command in cli.app.registered_commands]
# Calls the command line with each of its arguments, a list in JSON; prints the exit code, or what has a traceback.
CALL = """
import json, sys
from ddgs_hub.cli import main as cli

for arguments in sys.argv[1:]:
    sys.argv = ["ddgs-hub", *json.loads(arguments)]
    try:
        cli.main()
    except SystemExit as end:
        print("code", end.code or 0, flush=True)
"""
NOWHERE = ("./nothing", "~/nothing", "no/thing/here", "nothing/here")
OFFLINE = "HF_HUB_OFFLINE is set and nothing/here is not in the cache: unset it, or fetch it before with `hf download "


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored `pool` and `original` of two classes, and the recipe `tiny.yaml`."""
    place = tmp_path_factory.mktemp("place")
    for split in ("train", "validation"):
        write(place / "original", split=split)
    write(place / "pool")
    (place / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return place


@pytest.fixture
def call(place: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command line on streams of an encoding; exit code, and what came out of each, decoded."""

    def call(encoding: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["ddgs-hub", *arguments])
        out, err = io.BytesIO(), io.BytesIO()
        with monkeypatch.context() as streams:
            streams.setattr(sys, "stdout", io.TextIOWrapper(out, encoding, "strict"))
            streams.setattr(sys, "stderr", io.TextIOWrapper(err, encoding, "backslashreplace"))
            with pytest.raises(SystemExit) as caught:
                cli.main()
            sys.stdout.flush()
            sys.stderr.flush()
            # Into ASCII, click writes its help in UTF-8.
            written = [stream.getvalue().decode(encoding, "replace") for stream in (out, err)]
            return caught.value.code or 0, *written

    return call


@pytest.mark.parametrize("encoding", ENCODINGS)
class TestEncoding:
    @pytest.mark.parametrize("command", ["", *COMMANDS])
    def test_of_the_help(self, call: Call, encoding: str, command: str) -> None:
        code, out, err = call(encoding, *command.split(), "--help")
        assert (code, err) == (0, "")
        assert out.startswith("Usage: ddgs-hub ")

    def test_of_a_sign_that_it_does_not_have(self, call: Call, encoding: str) -> None:
        assert re.search(r"^  --weight .* [?\ufffd]+ of Eq\. 9\.", call(encoding, "sample", "--help")[1], re.MULTILINE)

    def test_of_what_a_command_says(self, call: Call, encoding: str, tmp_path: Path) -> None:
        code, out, err = call(
            encoding, "--quiet", "prepare", "--recipe", "digits", "--output", str(tmp_path / "digits")
        )
        assert (code, err) == (0, "")
        assert out == f"1,437 training and 360 validation images of 10 classes{os.linesep}"

    def test_of_a_mistake(self, call: Call, encoding: str) -> None:
        code, out, err = call(encoding, "sample", "--pool", "größeλ", "--output", "out")
        assert (code, out) == (2, "")
        shown = "größeλ".encode(encoding, "backslashreplace").decode(encoding)
        assert f"'{shown}' is neither a folder nor OWNER/NAME" in one_line(err)

    def test_of_a_result(self, call: Call, encoding: str) -> None:
        command = ["evaluate", "pool", "--validation", "original", "--protocol", "tiny.yaml"]
        code, out, err = call(encoding, "--quiet", *command)
        assert (code, err) == (0, "")
        assert re.search(f"[0-9] {'?' if encoding == 'ascii' else '±'} [0-9]".replace("?", r"\?"), out)


def test_the_posix_locale(place: Path, tmp_path: Path) -> None:
    """All is read and written as ASCII there, also what names neither an encoding nor a stream; so a real process."""
    names = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    posix = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(Path(__file__).parents[2])}
    scored = "--pool", str(place / "pool"), "--original", str(place / "original")
    commands = [
        ["prepare", "--recipe", "digits", "--output", "real"],
        ["sample", *scored, "--ipc", "2", "--output", "distilled"],
        ["sample", "--pool", "größe", "--output", "out"],
        ["prepare", "--recipe", "digits", "--output", "größe"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", CALL, *(json.dumps(command, ensure_ascii=False) for command in commands)],
        env={**names, **posix},
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert re.findall(r"code \d", done.stdout.decode("ascii")) == ["code 0", "code 0", "code 2", "code 2"]
    pool, output = done.stderr.decode("ascii").splitlines()
    assert pool.endswith("is neither a folder nor OWNER/NAME or OWNER/NAME@REVISION of a Hub dataset")
    assert re.fullmatch(
        r"ddgs-hub: '.*' is no name in the encoding of the locale: rename it, or set PYTHONUTF8=1", output
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["distilled", "real"]


@pytest.mark.parametrize("arguments", [["--help"], ["sample", "--help"], ["--version"]], ids=" ".join)
def test_a_pipe_that_nobody_reads_any_more(tmp_path: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as out, open(tmp_path / "err", "w+") as err:
        client = Client(["-m", "ddgs_hub", *arguments], env=os.environ, streams=(None, out, err))
        assert client.wait(60) == 1
        assert err.read() == ""


@pytest.fixture(scope="module")
def without() -> list[list[str]]:
    """Commands that are given something that is not there."""
    return [
        [*command, name, *more]
        for command, more in (
            (["prepare", "--recipe", "tiny.yaml", "--output", "out", "--original"], []),
            (["score"], ["--output", "out"]),
            (["score", "original", "--output", "out", "--scorer"], []),
            (["evaluate"], ["--validation", "original", "--protocol", "tiny.yaml"]),
            (["finetune", "--original", "original", "--recipe", "tiny.yaml", "--output", "out", "--base"], []),
            (["generate", "--recipe", "imagewoof", "--output", "out", "--per-class", "1", "--dit"], []),
            (["generate", "--recipe", "digits", "--output", "out", "--per-class", "1", "--dit"], []),
            (["sample", "--output", "out", "--pool"], []),
        )
        for name in NOWHERE
    ]


def test_offline_a_place_that_is_not_there_is_said_as_online(
    hub: HubServer, place: Path, without: list[list[str]]
) -> None:
    said = []
    for settings in ({}, {"HF_HUB_OFFLINE": "1"}):
        done = hub.run(CALL, *map(json.dumps, without), env=settings, cwd=place)
        assert re.findall("code.*", done.stdout) == ["code 2"] * len(without), done.stdout + done.stderr
        said.append(done.stderr.splitlines())
        assert len(said[-1]) == len(without), done.stderr
    for command, online, offline in zip(without, *said, strict=True):
        if "nothing/here" in command:
            assert OFFLINE in offline, command
        else:
            assert online == offline, command
            assert "there is no folder" in offline, command
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("precision", "reason"),
    [
        ("fp8", r"Using `fp8` precision requires .*"),
        ("nonsense", "mixed precision nonsense on a CPU"),
        ("fp16", "mixed precision fp16 on a CPU"),
    ],
)
def test_an_accelerate_that_is_configured_as_it_cannot_work(
    hub: HubServer, place: Path, precision: str, reason: str
) -> None:
    tiny = ["--original", "original", "--recipe", "tiny.yaml", "--output", "out"]
    done = hub.run(
        ["-m", "ddgs_hub", "train-scorer", *tiny],
        env={"ACCELERATE_MIXED_PRECISION": precision, "CUDA_VISIBLE_DEVICES": ""},
        cwd=place,
    )
    assert (done.returncode, done.stdout) == (2, "")
    told = rf"ddgs-hub: accelerate cannot work as it is configured \({reason}\): change that with `accelerate config`.*"
    assert re.fullmatch(told, one_line(done.stderr))
    assert not (place / "out").exists()


def test_an_interrupted_command_says_so_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    app = typer.Typer()

    @app.command()
    def work(source: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["ddgs-hub", "images"])
    with pytest.raises(SystemExit) as ended:
        run_commands(typer.main.get_command(app), "ddgs-hub")
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (130, "")
    assert said.err.strip() == "ddgs-hub: interrupted; start the same command again to go on"
