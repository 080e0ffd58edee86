"""Two and three processes on a CPU compute what one does, and none waits for one that has died."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from clients import Client, environment, launch, run
from safetensors.torch import load_file

from ddgs_hub.core.rows import read_rows
from ddgs_hub.diffusion.bases import base_path

ROOT = Path(__file__).parents[2]
STAGES = ("finetune", "generate", "score")
ALONE = ["-m", "ddgs_hub"]
LAUNCHED = ["-m", "accelerate.commands.launch", "--config_file", "ddgs_hub/launch/cpu.yaml"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *ALONE]
FINETUNE = ["--set", "finetune.epochs=0.1", "--set", "finetune.batch_size=12", "--set", "finetune.memory_size=4"]
GENERATE = ["--set", "pool.num_steps=3", "--set", "pool.batch_size=8", "--set", "pool.guide=modes", "--per-class", "2"]
SCORE = ["--batch-size", "64"]
PATIENCE = 60  # seconds within which no process may still wait for one that has died


@dataclass(frozen=True)
class Inputs:
    """What the stages start from: `original`, real digits, and `scorer`, a tiny one with random weights."""

    original: Path
    scorer: Path

    def commands(self, folder: Path) -> dict[str, list[str]]:
        """The arguments of the stages that several processes share."""
        common, original = ("--recipe", "digits"), ("--original", str(self.original))
        return {
            "finetune": [*common, *FINETUNE, *original, "--output", str(folder / "dit")],
            "generate": [*common, *GENERATE, *original, "--output", str(folder / "pool")],
            "score": [str(self.original), "--scorer", str(self.scorer), *SCORE, "--output", str(folder / "scored")],
        }


@pytest.fixture(scope="module")
def inputs(digits_folder: Path, timm_folder: Path) -> Inputs:
    return Inputs(digits_folder, timm_folder)


Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def by(launcher: list[str]) -> Run:
    """Runs a stage by a command that ends with the stage's arguments."""
    return lambda arguments: run([*launcher, *arguments], env=environment(), cwd=ROOT, timeout=300)


def make(start: Run, inputs: Inputs, folder: Path, stages: Sequence[str] = STAGES) -> list[str]:
    """Runs stages, each by a command of its own; what each printed."""
    outputs, commands = [], inputs.commands(folder)
    for stage in stages:
        done = start([stage, *commands[stage]])
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    return outputs


@pytest.fixture(scope="module")
def alone(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by plain commands: `dit`, `pool`, `scored`."""
    folder = tmp_path_factory.mktemp("alone")
    make(by(ALONE), inputs, folder)
    return folder


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_have_the_losses_the_pool_and_the_scores_of_one(count, alone, inputs, tmp_path, free_port):
    def start(arguments):
        return launch(count, [*ALONE, *arguments], env=environment(), cwd=ROOT, port=free_port)

    tuned, made, scored = make(start, inputs, tmp_path)
    assert len(tuned.splitlines()) == len(made.splitlines()) == scored.count("mean difficulty") == 1  # by one of them
    losses, expected = (json.loads((folder / "dit/losses.json").read_text()) for folder in (tmp_path, alone))
    for name, values in expected.items():
        assert len(values) == 11
        np.testing.assert_allclose(losses[name], values, rtol=0, atol=1e-5)
    adapters = [load_file(folder / "dit/adapter.safetensors") for folder in (tmp_path, alone)]
    assert set(adapters[0]) == set(adapters[1])
    for name, tensor in adapters[1].items():
        # Eleven steps of Adam, each of 1e-3: sums in another order move a few of them by a little.
        torch.testing.assert_close(adapters[0][name], tensor, rtol=1e-3, atol=1e-4)
    latents = [read_rows(next((folder / "latents").iterdir())) for folder in (tmp_path, alone)]
    assert latents[0].data.table.equals(latents[1].data.table)
    for name in ("pool", "scored"):
        assert read_rows(tmp_path / name).data.table.equals(read_rows(alone / name).data.table)
    assert np.std(read_rows(alone / "scored")["difficulty"]) > 0.1
    assert {path.name for path in tmp_path.iterdir()} == {"dit", "latents", "pool", "scored"}


def test_accelerate_launch_with_the_shipped_configuration_does_the_same(alone, inputs, tmp_path):
    make(by([*LAUNCHED, *ALONE]), inputs, tmp_path, stages=STAGES[:1])
    ours, expected = (load_file(folder / "dit/adapter.safetensors") for folder in (tmp_path, alone))
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)


def test_bfloat16_and_compilation_as_accelerate_is_told(alone, inputs, tmp_path):
    # What `accelerate launch` tells; EAGER is as inductor, but for minutes of compiling.
    told = environment(ACCELERATE_MIXED_PRECISION="bf16", ACCELERATE_DYNAMO_BACKEND="EAGER")
    make(lambda arguments: run([*ALONE, *arguments], env=told, cwd=ROOT), inputs, tmp_path, stages=STAGES[:2])
    losses, expected = (json.loads((folder / "dit/losses.json").read_text()) for folder in (tmp_path, alone))
    assert losses["diffusion"] != expected["diffusion"]
    np.testing.assert_allclose(losses["diffusion"], expected["diffusion"], rtol=0.02)
    # What is saved is the adapter on the base in float32: nothing of the base was rounded.
    untrained = "transformer_blocks.3.attn1.to_q.weight"
    tuned, base = (
        load_file(folder / "transformer/diffusion_pytorch_model.safetensors")[untrained]
        for folder in (tmp_path / "dit", Path(base_path("digits")))
    )
    torch.testing.assert_close(tuned, base.float(), rtol=0, atol=0)
    assert not read_rows(tmp_path / "pool").data.table.equals(read_rows(alone / "pool").data.table)


@pytest.fixture
def start() -> Iterator[Callable[..., Client]]:
    """Starts a command that is killed at the end of the test."""
    with ExitStack() as ends:

        def client(argv: list[str], **changes: str) -> Client:
            file = ends.enter_context(tempfile.TemporaryFile("w+"))
            started = Client(argv, env=environment(**changes), cwd=ROOT, streams=(None, None, file))
            ends.callback(started.kill)
            return started

        yield client


def errors(client: Client) -> str:
    """What it wrote on stderr."""
    file = client.streams[2]
    file.seek(0)
    return file.read()


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for has not come"
        time.sleep(0.02)


# A sign that both processes are in the middle of the stage.
AT_WORK = {"finetune": ".dit.checkpoints/step-*.pt", "generate": ".pool.parts/*.parquet"}
LONG = {
    "finetune": ["--set", "finetune.epochs=40", "--set", "finetune.save_every=1"],
    "generate": ["--set", "pool.num_steps=30", "--per-class", "20"],  # the survivor ends its own share first
}


@pytest.mark.parametrize("stage", ["finetune", "generate"])
def test_survivor_says_that_another_process_has_ended(stage, inputs, tmp_path, start, free_port):
    arguments = [stage, *inputs.commands(tmp_path)[stage], *LONG[stage]]
    network = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    first, second = (start([*ALONE, *arguments], **network, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in (0, 1))
    wait_for(lambda: list(tmp_path.glob(AT_WORK[stage])) or first.poll() is not None)
    second.kill()
    assert first.wait(PATIENCE) == 1, errors(first)
    assert errors(first).splitlines()[-1] == (
        "ddgs-hub: another process of this launch has ended: start the same command again, it goes on where it was"
    )


def test_launcher_ends_when_one_of_its_processes_dies(inputs, tmp_path, start):
    arguments = ["finetune", *inputs.commands(tmp_path)["finetune"], *LONG["finetune"]]
    launcher = start([*TORCHRUN, *arguments])
    wait_for(lambda: list(tmp_path.glob(AT_WORK["finetune"])) or launcher.poll() is not None)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()]
    os.kill(workers[-1], signal.SIGKILL)
    assert launcher.wait(PATIENCE) != 0
    assert "Signal 9 (SIGKILL) received" in errors(launcher)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), PATIENCE)
