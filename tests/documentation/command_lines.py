"""Command lines, given to the parsers of the programs that they start, which then carry out nothing."""

import importlib.util
import re
from contextlib import suppress
from typing import Any

import typer
from accelerate.commands.launch import launch_command_parser
from huggingface_hub.cli.hf import app as hf
from markdown_blocks import ROOT

from ddgs_hub.core.errors import InputError
from documentation.commands import program


def check(words: list[str]) -> None:
    """Has the program that a command line starts parse it.

    Raises:
        Exception: it does not take the line; the message says why.
        AssertionError: there is no such program, file or target.
    """
    name, *rest = words
    CHECKS[name](rest)


def command_of(name: str) -> Any:
    """A command of `ddgs-hub`."""
    commands = program().commands
    assert name in commands, f"there is no command {name}"
    return commands[name]


def check_ddgs(words: list[str]) -> None:
    name, *rest = words
    with suppress(InputError):  # options are known and values of their types; this one is of a file that is not here
        command_of(name).make_context(name, rest)


def check_accelerate(words: list[str]) -> None:
    assert words[0] == "launch"
    launch = launched(words)
    assert not launch.config_file or (ROOT / launch.config_file).is_file(), launch.config_file
    if launch.module:
        check_module([launch.training_script, *launch.training_script_args])
    else:
        assert (ROOT / launch.training_script).is_file(), launch.training_script


def launched(words: list[str]) -> Any:
    """What `accelerate launch …` starts, and how; `words` begin with `launch`."""
    return launch_command_parser().parse_args(words[1:])


def check_module(words: list[str]) -> None:
    module, *rest = words
    assert importlib.util.find_spec(module), f"there is no module {module}"
    if module == "ddgs_hub":
        check_ddgs(rest)


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        check_module(words[1:])
    else:
        assert (ROOT / words[0]).is_file(), words[0]


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(targets)


def check_sbatch(words: list[str]) -> None:
    options = [word for word in words if word.startswith("--array=")]
    script, *rest = words[len(options) :]
    assert (ROOT / script).is_file()
    check_ddgs(["reproduce", *rest])


def check_hf(words: list[str]) -> None:
    command: Any = hf
    context = typer.Context(command, info_name="hf")
    while hasattr(command, "get_command"):
        name, *words = words
        command = command.get_command(context, name)
        assert command is not None, f"hf has no {name}"
    command.make_context(name, words)


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"


CHECKS = {
    "accelerate": check_accelerate,
    "ddgs-hub": check_ddgs,
    "hf": check_hf,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "sbatch": check_sbatch,
}
