"""What several processes of a launch say when something is wrong: one sentence, once, and all exit alike."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from clients import Client, environment

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import get_accelerator, get_state

# One command, in which something goes wrong in the way that its argument says.
COMMAND = """
import os, signal, sys, time
import typer
from accelerate.utils import gather_object
from ddgs_hub.cli.program import run_commands
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import run_on_main, wait_for_all

app = typer.Typer(pretty_exceptions_enable=False)

def fail():
    raise InputError(f"found by process {os.environ['RANK']}")

def full():
    raise RuntimeError("serialization: No space left on device (os error 28)")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

HOW = {"mistake": fail, "full": full, "death": die}
WAYS = {"barrier": wait_for_all, "gather": lambda: gather_object([1]), "first": lambda: run_on_main(lambda: None)}

@app.command()
def work(how: str, ranks: str, others: str):
    if how == "first":
        run_on_main(fail)
    if os.environ["RANK"] in ranks:
        HOW[how]()
    WAYS[others]()

run_commands(typer.main.get_command(app), "program")
"""
ENDED = "another process of this launch has ended: start the same command again, it goes on where it was"
Launch = Callable[..., tuple[list[int], list[str]]]


@pytest.fixture
def launch(free_port: int, tmp_path: Path) -> Launch:
    """Runs the command in two processes: their exit codes, and what both said."""

    def launch(*arguments: str) -> tuple[list[int], list[str]]:
        network = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
        clients = []
        for rank in "01":
            with (tmp_path / rank).open("w") as err:
                env = environment(**network, RANK=rank, LOCAL_RANK=rank)
                clients.append(Client(["-c", COMMAND, *arguments], env=env, streams=(None, None, err)))
        codes = [client.wait(60) for client in clients]
        lines = [line for rank in "01" for line in (tmp_path / rank).read_text().splitlines()]
        assert "Traceback (most recent call last):" not in lines
        return codes, [line for line in lines if line.startswith("program: ")]

    return launch


@pytest.mark.parametrize(
    ("how", "ranks", "others", "sentence"),
    [
        ("mistake", "01", "barrier", "found by process [01]"),
        ("mistake", "0", "barrier", "found by process 0"),
        ("mistake", "0", "gather", "found by process 0"),
        ("mistake", "1", "gather", "found by process 1"),
        ("mistake", "1", "first", "found by process 1"),
        ("first", "", "barrier", "found by process 0"),
        ("full", "1", "barrier", "cannot write: No space left on device; free some space, .*"),
    ],
)
def test_a_mistake_is_said_once_whoever_finds_it(launch: Launch, how: str, ranks: str, others: str, sentence: str):
    codes, said = launch(how, ranks, others)
    assert (codes, len(said)) == ([2, 2], 1)
    assert re.fullmatch(f"program: {sentence}", said[0])


def test_a_process_that_was_killed_is_another_matter(launch: Launch) -> None:
    codes, said = launch("death", "1", "barrier")
    assert codes == [1, -signal.SIGKILL]
    assert said == [f"program: {ENDED}"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ACCELERATE_MIXED_PRECISION": "fp8"}, "fp8"),
        ({"ACCELERATE_MIXED_PRECISION": "fp16"}, "mixed precision fp16 on a CPU"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "Megatron"),
        ({"ACCELERATE_DYNAMO_BACKEND": "nonsense"}, "'NONSENSE' is not a valid DynamoBackend"),
        ({"ACCELERATE_USE_CPU": "perhaps"}, "invalid truth value perhaps"),
    ],
)
def test_settings_of_accelerate_that_cannot_work(settings: dict[str, str], reason: str, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    AcceleratorState._reset_state(True)
    try:
        with pytest.raises(InputError, match=rf"accelerate cannot work as it is configured \(.*{reason}.*\): change"):
            get_accelerator()
    finally:
        AcceleratorState._reset_state(True)


@pytest.mark.parametrize("settings", ["ACCELERATE_DEBUG_MODE", "ACCELERATE_CPU_AFFINITY"])
def test_settings_that_matter_to_all_commands(settings: str, monkeypatch) -> None:
    monkeypatch.setenv(settings, "perhaps")
    AcceleratorState._reset_state(True)
    try:
        with pytest.raises(InputError, match="accelerate cannot work as it is configured"):
            get_state()
    finally:
        AcceleratorState._reset_state(True)
