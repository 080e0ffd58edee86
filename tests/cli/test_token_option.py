"""The option --token: the same in all commands, and nowhere but in what is asked of the Hub."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import POOL_REPO, publish_pool
from hub_server import HubServer
from published_models import BASE, RECIPE, save_base
from test_bad_input import NAMES, TINY, write, write_scorer

from ddgs_hub.cli import main as cli

TOKEN = "hf_" + "Carol" * 7
# Calls the command line with each of its arguments; prints what came of each, and what it set in the environment.
CALL = """
import contextlib, io, json, os, sys
from ddgs_hub.cli import main as cli

events = []
sys.addaudithook(lambda event, values: event == "os.putenv" and events.append([os.fsdecode(v) for v in values]))
results = []
for arguments in sys.argv[1:]:
    sys.argv, code = ["ddgs-hub", *json.loads(arguments)], None
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    results.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "set": events[:]})
    events.clear()
print(json.dumps(results))
"""
# What is read from the Hub, and how; `{out}` is a folder of its own.
READERS = {
    "prepare": ("acme/rows", "--recipe tiny.yaml --original acme/rows --output {out}"),
    "score": ("acme/rows", "acme/rows --scorer two --output {out}"),
    "score a": ("acme/scorer", "original --scorer acme/scorer --output {out}"),
    "baseline": ("acme/scorer", "herding --original original --scorer acme/scorer --ipc 1 --output {out}"),
    "evaluate": ("acme/rows", "acme/rows --validation original --protocol tiny.yaml"),
    "sample": (POOL_REPO, f"--pool {POOL_REPO}@v1.0.0 --ipc 2 --output {{out}}"),
    "finetune": (BASE, "--original original --recipe base.yaml --output {out} --set finetune.epochs=1"),
    "generate": (BASE, "--recipe base.yaml --dit acme/tiny-base --per-class 1 --output {out}"),
}
# What reads nothing from the Hub, or only what was published by this package.
OTHERS = ("run none.yaml", "pretrain --original none --recipe tiny.yaml --output none", "publish none --repo acme/none")
OTHERS += (
    "versions acme/none",
    "diff acme/none v1.0.0 v1.1.0",
    "reproduce none.yaml",
    "figures acme/none@v1.0.0",
    "init acme/none --output no.yaml",
)
OTHERS += ("explore acme/none@v1.0.0", "train-scorer --recipe acme/none@v1.0.0 --original original --output none")


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original of two classes, a scorer `two`, a `base`, and recipes."""
    place = tmp_path_factory.mktemp("place")
    for split in ("train", "validation"):
        write(place / "original", split=split)
    write_scorer(place / "two", NAMES)
    save_base(place / "base")
    (place / "base/classes.json").write_text(json.dumps({"names": NAMES, "wnids": [None] * 2, "dit_ids": [0, 1]}))
    for name, recipe in (("tiny", TINY), ("base", RECIPE)):
        (place / f"{name}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return place


@pytest.fixture
def closed(hub: HubServer, place: Path) -> HubServer:
    """The Hub with private and gated repositories, which carol may read."""
    hub.add_user("carol", TOKEN, role="read", orgs=["acme"])
    hub.add_repository("dataset", "acme/rows", files_of(place / "original"), private=True)
    hub.gate(hub.add_repository("model", "acme/scorer", files_of(place / "two")))
    hub.gate(hub.add_repository("model", BASE, files_of(place / "base")))
    hub.set_private(publish_pool(hub))
    return hub


def call(hub: HubServer, commands: list[list[str]], place: Path, home: Path) -> list[dict[str, Any]]:
    done = hub.run(CALL, *map(json.dumps, commands), home=home, cwd=place)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) == len(commands)
    return results


def commands(outputs: str, *more: str) -> list[list[str]]:
    return [
        [name.split()[0], *options.format(out=f"{outputs}/{k}").split(), *more]
        for k, (name, (_, options)) in enumerate(READERS.items())
    ]


def test_it_opens_what_is_private_or_gated_and_is_nowhere(closed: HubServer, place: Path, tmp_path: Path) -> None:
    others = [[*command.split(), "--token", TOKEN] for command in OTHERS]
    results = call(closed, commands("with", "--token", TOKEN) + others, place, tmp_path)
    for name, result in zip(READERS, results, strict=False):
        assert (result["code"], result["out"].count("Traceback")) == (0, 0), (name, result)
    for command, result in zip(OTHERS, results[len(READERS) :], strict=True):
        assert result["code"] == 2, (command, result)
        assert result["err"].count("\n") == 1, (command, result)
    for result in results:
        assert TOKEN not in json.dumps(result)
    for folder in (place, tmp_path):
        assert [name for name, content in files_of(folder).items() if TOKEN.encode() in content] == []


def test_all_commands_that_take_it_are_among_these() -> None:
    takes = {
        command.name or command.callback.__name__
        for command in cli.app.registered_commands
        if "token" in inspect.signature(command.callback).parameters
    }
    assert {name.split()[0] for name in (*READERS, *OTHERS)} == takes


def test_without_it_one_sentence_names_what_is_closed(closed: HubServer, place: Path, tmp_path: Path) -> None:
    for (name, (repository, _)), result in zip(
        READERS.items(), call(closed, commands("without"), place, tmp_path), strict=True
    ):
        assert (result["code"], result["out"], result["err"].count("\n")) == (2, "", 1), (name, result)
        assert repository in result["err"], name
    assert not (place / "without").exists()
