"""The examples run as they stand, on rows of the local Hub."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from clients import launch, run
from hub_server import HubServer

from ddgs_hub.core.rows import parquet_path, read_rows, write_rows

ROOT = Path(__file__).parents[1]
LAUNCHED = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "ddgs_hub/launch/cpu.yaml")]
EVALUATE = {
    "image_size": 16,
    "crop_pct": 1,
    "crop_scale": 0.7,
    "flip": False,
    "color_jitter": 0,
    "lighting": 0,
    "cutmix": 0,
    "batch_size": 20,
    "learning_rate": 0.02,
    "epochs": 6,
}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_resnet_learns_digits(
    hub: HubServer, digits_folder: Path, tmp_path: Path, free_port: int, processes: int
) -> None:
    original = read_rows(digits_folder)
    labels = np.asarray(original["label"])
    write_rows(original.select([row for label in range(10) for row in np.flatnonzero(labels == label)[:10]]), tmp_path)
    path = parquet_path(tmp_path)
    files = {
        f"data/{path.name}": path.read_bytes(),
        "provenance.json": json.dumps({"recipe": {"evaluate": EVALUATE}}).encode(),
    }
    repository = hub.add_repository("dataset", "acme/digits", files)
    commit = repository.find("main")
    repository.set_ref("refs/tags/v1.0.0", commit)
    example = [str(ROOT / "examples/train_resnet18.py"), "acme/digits", "--revision", "v1.0.0"]
    example += ["--validation", str(digits_folder)]
    env = {**hub.environment(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    if processes == 1:  # as the example's first lines say
        done = run([*LAUNCHED, *example], env=env)
    else:
        done = launch(processes, example, env=env, port=free_port)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if not line.startswith("[Gloo]")]  # torch 2.8 says more
    first, *epochs, second = said  # by one process
    assert [line.split(":")[0] for line in epochs] == [f"epoch {k} of 6" for k in range(1, 7)]
    assert all(re.fullmatch(r"epoch . of 6: loss \d+\.\d{3}, \d+ s", line) for line in epochs)
    assert first == f"100 images of acme/digits at {commit}, 6 epochs"
    found = re.fullmatch(r"accuracy on 360 validation images: (\d+\.\d) %", second)
    assert found, second
    assert 40 < float(found[1]) <= 100  # chance is 10
