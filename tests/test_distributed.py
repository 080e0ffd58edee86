"""Two and three processes on a CPU compute what one does, and none waits for one that has died."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from clients import Client
from safetensors.torch import load_file

from ddgs_hub.bases import base_path
from ddgs_hub.rows import read_rows

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
STAGES = ("finetune", "generate", "score")
ALONE = [sys.executable, "-m", "ddgs_hub"]
LAUNCHED = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "ddgs_hub/launch/cpu.yaml"]
FINETUNE = ["--set", "finetune.epochs=0.1", "--set", "finetune.batch_size=12", "--set", "finetune.memory_size=4"]
GENERATE = ["--set", "pool.num_steps=3", "--set", "pool.batch_size=8", "--per-class", "2"]
SCORE = ["--batch-size", "64"]
PATIENCE = 60  # seconds within which no process may still wait for one that has died


def torchrun(count: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]


@dataclass(frozen=True)
class Inputs:
    """What the stages start from: `original`, real digits, and `scorer`, a tiny one with random weights."""

    original: Path
    scorer: Path

    def commands(self, folder: Path) -> dict[str, list[str]]:
        """The arguments of the stages that several processes share."""
        common = "--recipe", "digits"
        return {
            "finetune": [*common, *FINETUNE, "--original", str(self.original), "--output", str(folder / "dit")],
            "generate": [*common, *GENERATE, "--output", str(folder / "pool")],
            "score": [str(self.original), "--scorer", str(self.scorer), *SCORE, "--output", str(folder / "scored")],
        }


@pytest.fixture(scope="module")
def inputs(digits_folder: Path, timm_folder: Path) -> Inputs:
    return Inputs(digits_folder, timm_folder)


def make(launcher: list[str], inputs: Inputs, folder: Path, stages: Sequence[str] = STAGES) -> list[str]:
    """Runs stages, each by a command of its own; what each printed."""
    outputs, commands = [], inputs.commands(folder)
    for stage in stages:
        arguments = [stage, *commands[stage]]
        command = [*launcher, *(["-m", "ddgs_hub"] if launcher != ALONE else []), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, timeout=300)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    return outputs


@pytest.fixture(scope="module")
def alone(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by plain commands: `dit`, `pool`, `scored`."""
    folder = tmp_path_factory.mktemp("alone")
    make(ALONE, inputs, folder)
    return folder


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_have_the_losses_the_pool_and_the_scores_of_one(count, alone, inputs, tmp_path):
    tuned, made, scored = make(torchrun(count), inputs, tmp_path)
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
    make(LAUNCHED, inputs, tmp_path, stages=STAGES[:1])
    ours, expected = (load_file(folder / "dit/adapter.safetensors") for folder in (tmp_path, alone))
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)


def test_bfloat16_and_compilation_as_accelerate_is_told(alone, inputs, tmp_path):
    told = ["--mixed_precision", "bf16", "--dynamo_backend", "eager"]  # as inductor, but for minutes of compiling
    make([*LAUNCHED, *told], inputs, tmp_path, stages=STAGES[:2])
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
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a command that is killed at the end of the test, with all that it started."""
    running = []

    def popen(command: list[str], **environment: str) -> subprocess.Popen:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command,
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=ENVIRONMENT | environment,
            cwd=ROOT,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield popen
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for has not come"
        time.sleep(0.02)


# A sign that both processes are in the middle of the stage.
AT_WORK = {"finetune": ".dit.checkpoints/step-*.pt", "generate": ".pool.parts/*.parquet"}
LONG = {
    "finetune": ["--set", "finetune.epochs=40", "--set", "finetune.save_every=1"],
    "generate": ["--set", "pool.num_steps=100", "--per-class", "40"],
}


@pytest.mark.parametrize("stage", ["finetune", "generate"])
def test_survivor_says_that_another_process_has_ended(stage, inputs, tmp_path, start, free_port):
    arguments = [stage, *inputs.commands(tmp_path)[stage], *LONG[stage]]
    network = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    first, second = (start([*ALONE, *arguments], **network, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in (0, 1))
    wait_for(lambda: list(tmp_path.glob(AT_WORK[stage])) or first.poll() is not None)
    second.kill()
    _, message = first.communicate(timeout=PATIENCE)
    assert first.returncode == 1, message
    assert message.splitlines()[-1] == (
        "ddgs-hub: another process of this launch has ended: start the same command again, it goes on where it was"
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("score {original} --scorer ./nothing --output {folder}/out", "the scorer ./nothing is not a folder: "),
        ("score ./nothing --scorer {scorer} --output {folder}/out", "./nothing is not a folder: "),
        ("finetune --original {original} --recipe none.yaml --output {folder}/out", "cannot read recipe none.yaml: "),
    ],
)
def test_a_mistake_is_said_once_and_no_process_is_said_to_have_ended(command, message, inputs, tmp_path, free_port):
    arguments = command.format(original=inputs.original, scorer=inputs.scorer, folder=tmp_path).split()
    network = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    with open(tmp_path / "said", "w+") as said:
        processes = [
            Client(
                ["-m", "ddgs_hub", *arguments],
                env={**network, "RANK": rank, "LOCAL_RANK": rank},
                cwd=tmp_path,
                streams=(None, said, said),
            )
            for rank in ("0", "1")
        ]
        try:
            assert [process.wait(PATIENCE) for process in processes] == [2, 2]
        finally:
            for process in processes:
                process.kill()
    lines = (tmp_path / "said").read_text(encoding="utf-8").splitlines()
    assert [line.startswith(f"ddgs-hub: {message}") for line in lines] == [True], lines


def test_launcher_ends_when_one_of_its_processes_dies(inputs, tmp_path, start):
    arguments = ["finetune", *inputs.commands(tmp_path)["finetune"], *LONG["finetune"]]
    launcher = start([*torchrun(2), "-m", "ddgs_hub", *arguments])
    wait_for(lambda: list(tmp_path.glob(AT_WORK["finetune"])) or launcher.poll() is not None)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()]
    os.kill(workers[-1], signal.SIGKILL)
    _, message = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode != 0
    assert "Signal 9 (SIGKILL) received" in message
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), PATIENCE)
