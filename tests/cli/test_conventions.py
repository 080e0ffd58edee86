"""What all commands have in common: names, types and meanings of options, help, completion, and what they load."""

import inspect
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import pytest
import typer
from typer.models import OptionInfo

from ddgs_hub import __version__
from ddgs_hub.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = cli.COMMANDS


class Option(NamedTuple):
    command: str
    kind: str
    help: str


def kind_of(annotation: Any) -> str:
    """What a user writes behind an option: nothing, a number, one of some words, a text or a place."""
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is list:
        return f"{kind_of(get_args(annotation)[0])}, repeated"
    if annotation in (str, Path):
        return "text"
    return "one of some words" if get_args(annotation) else annotation.__name__


def options_of(name: str, command: Callable[..., None]) -> dict[str, Option]:
    found = {}
    for parameter, hint in get_type_hints(command, include_extras=True).items():
        if get_origin(hint) is not Annotated or not isinstance(get_args(hint)[1], OptionInfo):
            continue
        annotation, option = get_args(hint)[:2]
        # Behind Annotated, typer takes the first name for a default, and sets that right later.
        declared = [word for word in (option.default, *(option.param_decls or ())) if str(word).startswith("--")]
        flag = declared[0] if declared else f"--{parameter.replace('_', '-')}"
        found[flag.split("/")[0]] = Option(name, kind_of(annotation), option.help)
    return found


TABLE: dict[str, list[Option]] = {}
for name, command in COMMANDS.items():
    for flag, option in options_of(name, command).items():
        TABLE.setdefault(flag, []).append(option)

# One name, several meanings, which are near each other: what they say is in the help of each command.
NEAR = {
    "--ipc": "how many images a class are wanted; of figures and publish, which set of a run",
    "--original": "the original images: a source, the folder that prepare wrote, the scored ones",
    "--output": "where to write; a folder that must be new, or one in which a command goes on",
    "--scorer": "the classifier; what it is used for differs",
}
LISTS = {("--ipc", "sample")}  # which takes several, as 10,20,50
# What has no --token reads no repository.
WITHOUT_TOKEN = {"demo", "recipes"}


@pytest.mark.parametrize("flag", sorted(TABLE))
def test_one_name_is_one_kind_of_value_with_one_meaning(flag: str) -> None:
    options = TABLE[flag]
    assert len({option.kind for option in options if (flag, option.command) not in LISTS}) == 1, options
    assert all(option.help for option in options)
    if flag not in NEAR:
        assert len({option.help for option in options}) == 1, options


def test_the_exceptions_are_some() -> None:
    for flag in NEAR:
        assert len({option.help for option in TABLE[flag]}) > 1, flag


def test_what_means_the_same_is_called_the_same() -> None:
    meanings: dict[str, set[str]] = {}
    for flag, options in TABLE.items():
        for option in options:
            meanings.setdefault(option.help, set()).add(flag)
    assert {text: flags for text, flags in meanings.items() if len(flags) > 1} == {}


def test_every_command_prints_its_result_as_json_and_takes_a_token() -> None:
    with_json = {option.command for option in TABLE["--json"]}
    with_token = {option.command for option in TABLE["--token"]}
    assert set(COMMANDS) - with_json == set()
    assert set(COMMANDS) - with_token == WITHOUT_TOKEN


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What the command line prints for these arguments."""
    monkeypatch.setattr(sys, "argv", ["ddgs-hub", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(capsys, monkeypatch, "--version") == f"{__version__}\n"


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_short_option_shows_the_same_help(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = (call(capsys, monkeypatch, *name.split(), option) for option in ("-h", "--help"))
    assert short == long
    assert re.search(r"^  -h, --help +Show this message and exit\.$", short, re.MULTILINE)


def test_summaries_are_whole_sentences_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = call(capsys, monkeypatch, "--help").split("\nCommands:\n")[1]
    lines = dict(re.findall(r"^  (\S+) +(\S.*)$", text, re.MULTILINE))
    assert list(lines) == list(COMMANDS)
    for name, summary in lines.items():
        first, _, rest = (inspect.getdoc(COMMANDS[name]) or "").partition("\n")
        assert summary == first, name
        assert summary.endswith(".")
        assert not summary.endswith("..."), name
        assert rest.startswith("\n"), name


def test_every_example_is_one_that_the_parser_takes() -> None:
    group: Any = typer.main.get_command(cli.app)
    for name, command in COMMANDS.items():
        examples = re.findall(r"^Example: (.*(?:\n(?!\n).+)*)", inspect.getdoc(command) or "", re.MULTILINE)
        assert examples, name
        for example in examples:
            words = example.split()
            arguments = words[words.index(name) + 1 :]
            context = group.commands[name].make_context(name, arguments, resilient_parsing=True)
            assert not context.args, example


Complete = Callable[..., list[str]]


@pytest.fixture
def complete(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What bash offers behind some words, the last of which is begun."""

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(["ddgs-hub", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_DDGS_HUB_COMPLETE", "complete_bash")
        return call(capsys, monkeypatch).split()

    return complete


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sam"], ["sample"]),
        (["run", "image"], ["imageidc", "imagenette", "imagenette64", "imagewoof"]),
        (["prepare", "--recipe", "dig"], ["digits"]),
        (["evaluate", "rows", "--protocol", "dig"], ["digits"]),
        (["reproduce", "table"], ["table1", "table2", "table3", "table4"]),
        (["score", "rows", "--subset", "imagew"], ["imagewoof"]),
        (["baseline", ""], ["random", "herding", "k-center", "dm", "idc-1"]),
        (["sample", "--distribution", "s"], ["scale", "slope"]),
        (["publish", "--dry"], ["--dry-run"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_shell_completes(complete: Complete, words: list[str], offered: list[str]) -> None:
    found = complete(*words)
    assert set(found) >= set(offered)
    assert all(word.startswith(words[-1]) for word in found)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_shown(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # else it is that of who runs the tests
    assert "_DDGS_HUB_COMPLETE" in call(capsys, monkeypatch, "--show-completion", shell)


# Prints which libraries the command line has loaded when it ends.
LOADED = """
import atexit, json, sys
heavy = ("torch", "datasets", "diffusers", "transformers", "timm", "pyarrow", "matplotlib", "gradio", "httpx")
atexit.register(lambda: print(json.dumps([name for name in heavy if name in sys.modules]), file=sys.stderr))
sys.argv = ["ddgs-hub", *sys.argv[1:]]
from ddgs_hub.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["sample", "-h"], []], ids=lambda words: " ".join(words)
)
def test_help_and_completion_load_nothing_heavy(arguments: list[str]) -> None:
    environment = dict(os.environ)
    if not arguments:
        environment |= {"COMP_WORDS": "ddgs-hub run d", "COMP_CWORD": "2", "_DDGS_HUB_COMPLETE": "complete_bash"}
    python = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(python, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == []
    assert done.stdout
