"""Every command of the README and of docs/ is run (test_tour.py), or is marked and at least parsed, here."""

import shlex
from pathlib import Path

import pytest
from command_lines import check, command_of
from markdown_blocks import ROOT, SHELLS, blocks, inline_commands, pages, typed_elsewhere

from ddgs_hub.recipe import load_recipe
from documentation.commands import examples_of, program
from documentation.hooks import NEEDS

LINES = [(block, words) for block in blocks() if block.language in SHELLS for words in block.commands]
# What runs without a mark in the tour; all else that is not marked would be run by nobody.
RUN = ("ddgs-hub", "accelerate")


@pytest.mark.parametrize(("block", "words"), LINES, ids=lambda value: str(value) if not isinstance(value, list) else "")
def test_its_program_takes_a_command(block, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(words)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_run_is_marked():
    assert {block.needs for block in blocks()} <= {None, *NEEDS}
    unmarked = [f"{block}: {words}" for block, words in LINES if not block.needs and words[0] not in RUN]
    assert unmarked == []


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_stand_in_blocks_for_a_shell(page):
    assert list(typed_elsewhere(page)) == []


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_running_text_names_commands_and_options_that_there_are(page):
    for number, (name, *rest) in inline_commands(page):
        if name.isupper() or name == "…":
            continue
        known = {option for parameter in command_of(name).params for option in parameter.opts} | {"--help"}
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert options <= known, f"{page.name}:{number}"


def test_the_pages_have_enough_commands_to_test():
    assert len(LINES) > 50
    assert len([block for block in blocks() if block.language == "python"]) > 5


@pytest.mark.parametrize("name", program().commands)
def test_the_examples_of_a_command_are_taken_by_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = examples_of(program().commands[name])
    assert examples
    for example in examples:
        assert name in example
        check(shlex.split(example))


def test_recipes_that_the_pages_show_are_recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = [block for block in blocks() if block.file]
    assert shown
    for block in shown:
        Path(block.file).write_text(block.text, encoding="utf-8")
        assert load_recipe(block.file).name
