"""`--quiet` and `--verbose`: what goes to stderr beside a result, from one process or from several."""

import logging
import re
import sys

import pytest
import typer
from clients import environment, launch

from ddgs_hub.cli.program import run_commands

# Works for a moment in every process of a launch, and prints a result.
WORK = """
import logging
import typer
from ddgs_hub.cli.program import run_commands
from ddgs_hub.core.processes import is_main, wait_for_all
from ddgs_hub.core.progress import Progress, stage

app = typer.Typer()

@app.command()
def work(steps: int):
    with stage("toy"), Progress("count", steps, unit="step") as progress:
        progress.update(steps)
    wait_for_all()
    if is_main():
        print("result")

run_commands(typer.main.get_command(app), "program")
"""
LOG = logging.getLogger("ddgs_hub.tests")
FORMAT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def say_something() -> None:
    """Says one thing of each level, and a result."""
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        LOG.log(level, "ours")
    logging.getLogger("accelerate.toy").info("theirs")
    print("result")


@pytest.fixture
def said(monkeypatch, capsys):
    """Calls a program of two commands; the levels of what it says, whose each is, and whether a name is with it."""

    def said(*arguments):
        app = typer.Typer()
        app.command("one")(say_something)
        app.command("two")(say_something)
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        with pytest.raises(SystemExit) as end:
            run_commands(typer.main.get_command(app), "program")
        out, err = capsys.readouterr()
        assert (end.value.code or 0, out) == (0, "result\n")
        return re.findall(rf"^{FORMAT} ([A-Z]+) (\S+: )?(\w+)$", err, re.MULTILINE)

    before = logging.getLogger("ddgs_hub").level, logging.getLogger("ddgs_hub").handlers
    yield said
    assert before == (logging.getLogger("ddgs_hub").level, logging.getLogger("ddgs_hub").handlers)


def test_off_a_terminal_what_happens_is_said_and_warnings(said):
    assert said("one") == [("INFO", "", "ours"), ("WARNING", "", "ours")]


@pytest.mark.parametrize("arguments", [["--quiet", "one"], ["one", "--quiet"], ["two", "-q"]], ids=" ".join)
def test_quiet_leaves_warnings_and_the_result(said, arguments):
    assert said(*arguments) == [("WARNING", "", "ours")]


@pytest.mark.parametrize("arguments", [["--verbose", "one"], ["two", "-v"]], ids=" ".join)
def test_verbose_says_all_with_names_and_what_libraries_tell(said, arguments, monkeypatch):
    monkeypatch.setenv("DATASETS_VERBOSITY", "error")  # what a user has chosen stays
    for variable in ("HF_HUB_VERBOSITY", "TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        monkeypatch.setenv(variable, "warning")
    ours = [(level, "ddgs_hub.tests: ", "ours") for level in ("DEBUG", "INFO", "WARNING")]
    assert said(*arguments) == [*ours, ("INFO", "accelerate.toy: ", "theirs")]


def test_on_a_terminal_bars_take_the_place_of_lines(said, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert said("one") == [("WARNING", "", "ours")]


def test_two_processes_say_it_once(free_port):
    done = launch(2, ["-c", WORK, "10"], env=environment(), port=free_port)
    assert (done.returncode, done.stdout.count("result\n")) == (0, 1), done.stderr
    lines = [line for line in done.stderr.splitlines() if "toy" in line]
    assert len(lines) == 1
    assert re.fullmatch(rf"{FORMAT} INFO toy, count: 10 steps in 0\.\d s, [\d,.]+ steps/s", lines[0])
