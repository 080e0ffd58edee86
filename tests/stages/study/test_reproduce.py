"""`ddgs-hub reproduce`: a study from nothing to its table, killed, shared by two workers, in parts, and refused.

The real command on few digits, with a few steps of everything.
"""

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from clients import Client, environment, run
from datasets import Dataset

from ddgs_hub.core.rows import read_rows, write_rows

METHODS = ("random", "k-center", "herding", "dit", "dm", "idc-1", "minimax", "ours", "full")
STUDY = """
title: A small table
recipes: [digits]
methods: [random, k-center, herding, dit, dm, idc-1, minimax, ours, full]
ipc: [1, 2]
networks: [{network: convnet, width: 8}]
repeats: 2
rows: [ipc, network]
columns: method
reference: ours
paper: {small: {convnet: {1: {ours: 50.0 ± 1.0}}}}
"""
EVIDENCE = """
title: Improvements
recipes: [digits]
methods:
  - random
  - dit
  - {method: ours, pool: dit, distribution: scale}
  - {method: ours, pool: modes, distribution: ground}
  - {method: ours, pool: real, distribution: scale}
  - {method: ours, pool: easy-real, distribution: scale, divergence: reference}
ipc: [1]
networks: [{network: convnet, width: 8}]
repeats: 3
draws: 2
halves: true
headline: improvement
rows: [network, method]
columns: ipc
reference: random
"""
QUICK = {
    "finetune": {"epochs": 0.2, "batch_size": 16},
    "pool": {"size": 2, "num_steps": 4, "batch_size": 16},
    "sample": {"ipc": 2},
    "evaluate": {"epochs": 8, "evaluations": 2, "learning_rate": 0.1, "cutmix": 0.0},
    "dm": {"steps": 3, "batch_real": 8, "network_width": 8},
    "idc": {"outer_iterations": 1, "early": 0, "early_networks": None, "inner_loop": 2, "batch_real": 8},
}
PER_CLASS = 12  # training images
CELLS = (len(METHODS) - 1) * 2 * 2 + 2


class Small:
    """A recipe and a study of little work, and the command that carries the study out."""

    def __init__(self, folder: Path, digits: Path) -> None:
        original = folder / "original"
        for split, count in (("train", PER_CLASS), ("validation", 10)):
            write_rows(_first(read_rows(digits, split), count), original, split)
        values = yaml.safe_load((Path(__file__).parents[3] / "ddgs_hub/recipes/digits.yaml").read_text())
        for section, changes in QUICK.items():
            values[section] = {**values[section], **changes}
        values["score"]["training"] = {**values["score"]["training"], "folds": 2, "epochs": 1}
        values |= {"name": "small", "data": {**values["data"], "original": str(original)}}
        self.recipe, self.study = folder / "small.yaml", folder / "mine.yaml"
        self.recipe.write_text(yaml.safe_dump(values))
        self.study.write_text(STUDY)

    def command(self, output: Path, *more: str) -> list[str]:
        recipe = ["--recipe", str(self.recipe), "--output", str(output)]
        return ["-m", "ddgs_hub", "reproduce", str(self.study), *recipe, *more]

    def run(self, output: Path, *more: str, code: int = 0) -> str:
        done = run(self.command(output, *more), env=environment(), timeout=300)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr


def _first(rows: Dataset, count: int) -> Dataset:
    """The first `count` images of each class."""
    labels = np.asarray(rows["label"])
    return rows.select(sorted(row for label in range(10) for row in np.flatnonzero(labels == label)[:count]))


def accuracies(output: Path) -> list[dict]:
    """The places of the table, with every accuracy."""
    return json.loads((output / "mine-small.json").read_text())["cells"]


def images(output: Path) -> dict[str, bytes]:
    """The rows of every set and pool that was made, as they lie on the disk."""
    folder = output / "small"
    made = [*folder.glob("sets/*/data/*.parquet"), *folder.glob("pool*/data/*.parquet")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in made}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Small:
    return Small(tmp_path_factory.mktemp("small"), digits_folder)


@pytest.fixture(scope="module")
def unbroken(small: Small, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a study that was carried out in one go, and what the command printed."""
    output = tmp_path_factory.mktemp("unbroken")
    return output, small.run(output)


def test_every_method_has_its_accuracies_in_the_table(unbroken):
    output, out = unbroken
    places = accuracies(output)
    assert len(places) == len(METHODS) * 2
    assert all(len(place["best"]) == 2 for place in places)
    assert len({place["best_mean"] for place in places}) > 8  # they tell sets apart
    assert len(images(output)) == 3 + 3 + 2 * 3
    assert "| 1 " in out
    assert "**" in out
    assert "Networks that were not run" not in out
    assert "paper" in out
    assert {path.suffix for path in output.glob("mine-small*")} == {".md", ".tex", ".csv", ".json", ".parquet"}


def test_a_cell_is_a_line_with_all_that_it_takes_to_compare_it(unbroken):
    output, _ = unbroken
    cells = pq.read_table(output / "mine-small-cells.parquet").to_pylist()
    assert len(cells) == CELLS
    full = [cell for cell in cells if cell["method"] == "full"]
    assert [(cell["ipc"], cell["train_images"], cell["seed"]) for cell in full] == [(None, 120, 0), (None, 120, 1)]
    for cell in cells:
        assert cell["best"] == max(cell["accuracies"])
        assert cell["last"] == cell["accuracies"][-1]
        assert cell["train_images"] == (cell["ipc"] or PER_CLASS) * 10
        assert cell["commit"]


def test_it_says_what_is_made_how_long_the_rest_takes_and_what_each_method_cost(unbroken):
    output, out = unbroken
    assert f"small: {CELLS} networks, 0 done before, {CELLS} to do" in out
    assert "to make first: original, train-scorer, finetune, generate-4, generate-plain-dit-2" in out
    assert f"1/{CELLS} " in out
    assert "left for one worker" in out
    costs = json.loads((output / "mine-small.json").read_text())["costs"]
    by_method = {(cost["method"], cost["ipc"]): cost for cost in costs}
    assert by_method["Ours", "2"]["making"] > by_method["Random", "2"]["making"]
    assert by_method["Full", "all"]["images_seen"] == 8 * 120


def test_json_is_all_that_stdout_has(small, unbroken):
    done = run(small.command(unbroken[0], "--json"), env=environment(), timeout=60)
    assert len(json.loads(done.stdout)["cells"]) == len(METHODS) * 2
    assert f"{CELLS} done before" in done.stderr


def test_a_second_call_does_nothing_again(small, unbroken):
    output, out = unbroken
    before = {path: path.stat().st_mtime_ns for path in output.glob("small/**/*") if path.is_file()}
    pool, elsewhere = output / "small/pool-4", output / "pool"
    pool.rename(elsewhere)  # what is made of it is there
    again = small.run(output)
    elsewhere.rename(pool)
    assert f"{CELLS} done before, 0 to do" in again
    assert {path: path.stat().st_mtime_ns for path in output.glob("small/**/*") if path.is_file()} == before
    assert again[again.index("| IPC") :] == out[out.index("| IPC") :]


def test_killed_at_random_moments_and_continued_it_has_the_same_table(small, unbroken, tmp_path):
    moments = random.Random(5)
    for _ in range(3):
        process = Client(small.command(tmp_path), env=environment())
        time.sleep(moments.uniform(1, 6))
        process.kill()
    small.run(tmp_path)
    assert accuracies(tmp_path) == accuracies(unbroken[0])
    assert images(tmp_path) == images(unbroken[0])


def test_two_workers_at_once_have_the_same_table_and_do_nothing_twice(small, unbroken, tmp_path):
    outputs = [tmp_path / "first", tmp_path / "second"]
    with outputs[0].open("w") as first, outputs[1].open("w") as second:
        command = small.command(tmp_path / "paper")
        workers = [Client(command, env=environment(), streams=(None, out, out)) for out in (first, second)]
        assert [worker.wait(300) for worker in workers] == [0, 0]
    assert accuracies(tmp_path / "paper") == accuracies(unbroken[0])
    assert images(tmp_path / "paper") == images(unbroken[0])
    lines = [line.split()[1] for out in outputs for line in out.read_text().splitlines() if f"/{CELLS} " in line]
    assert len(lines) == len(set(lines)) == CELLS


def test_a_study_of_draws_halves_and_pools_begins_with_improvements(small, unbroken, tmp_path):
    shutil.copytree(unbroken[0] / "small", tmp_path / "paper/small")
    study = tmp_path / "evidence.yaml"
    study.write_text(EVIDENCE)
    command = ["-m", "ddgs_hub", "reproduce", str(study), "--recipe", str(small.recipe), "--output"]
    done = run([*command, str(tmp_path / "paper"), "--json"], env=environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert {(one["method"], one["groups"]) for one in values["improvements"] if one["cell"] is None} == {
        ("DiT", 2),
        ("dit: scale", 2),
        ("modes: ground", 2),
        ("real: scale", 2),
        ("easy-real: scale (reference)", 2),
    }
    assert all(Path(file).is_file() for file in values["files"])
    assert {Path(file).suffix for file in values["files"]} == {
        *(".md", ".tex", ".csv", ".json", ".parquet", ".png", ".svg")
    }
    assert set(values["pools"]) == {"original", "dit", "modes", "real", "easy-real"}
    assert values["pools"]["easy-real"]["mean_difficulty"] < values["pools"]["real"]["mean_difficulty"]
    quality = values["pools"]["dit"]
    assert quality["images"] == 20
    assert all(0 <= quality[name] <= 1 for name in ("mean_difficulty", "precision", "recall"))
    assert "| dit " in (tmp_path / "paper/evidence-small.md").read_text()
    cells = pq.read_table(tmp_path / "paper/evidence-small-cells.parquet").to_pylist()
    assert [cell["draw"] for cell in cells] == [0, 0, 1] * 6  # the cells of a set are neighbours
    assert {cell["repeat"] % 2 - cell["draw"] for cell in cells} == {0}
    for cell in cells:
        assert cell["best"] == cell["accuracies"][int(np.argmax(cell["choosing"]))]
        assert cell["last"] == cell["accuracies"][-1]
    made = {name: rows for name, rows in images(tmp_path / "paper").items() if name not in images(unbroken[0])}
    assert {name.split("/")[1] for name in made if name.startswith("sets/")} == {
        f"{name}{draw}"
        for name in (
            "random-2",
            "ours-dit-scale-n2-ipc1",
            "ours-modes-ground-n2-ipc1",
            "ours-real-scale-ipc1",
            "ours-easy-real4-scale-reference-n2-ipc1",
        )
        for draw in ("", "-draw1")
        if name + draw != "random-2"  # the first draw is the set that other studies have
    }
    assert len(set(made.values())) > 5


def test_a_part_is_done_first_and_the_table_says_what_is_missing(small, unbroken, tmp_path):
    part = small.run(tmp_path, "--only", "method=random,full", "--only", "ipc=1")
    assert "small: 4 networks, 0 done before, 4 to do" in part
    assert "to make first: original, random-1" in part
    assert "Networks that were not run, and are not in the means above: Random 2 of 4;" in part
    found = [place for place in accuracies(tmp_path) if place["best"]]
    wanted = [place for place in accuracies(unbroken[0]) if (place["method"], place["IPC"]) in {("Random", "1")}]
    assert [place for place in found if place["method"] == "Random"] == wanted
    assert {place["method"] for place in found} == {"Random", "Full"}


def test_a_dry_run_says_the_plan_and_writes_nothing(small, tmp_path):
    out = small.run(tmp_path / "paper", "--dry-run", "--only", "method=dm")
    assert "to make first: original, dm-ipc1, dm-ipc2" in out
    assert "training: about" in out  # by a few steps on noise
    assert not (tmp_path / "paper").exists()


def test_a_job_of_an_array_hands_its_arguments_to_a_worker(tmp_path):
    for name, line in {"srun": 'exec "$@"', "ddgs-hub": 'printf "%s\\n" "$@"'}.items():  # what a cluster has
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    job = Path(__file__).parents[3] / "ddgs_hub/launch/slurm.sbatch"
    arguments = ["table1", "--recipe", "a recipe.yaml", "--only", "method=full"]
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", job, *arguments], env=environment(**path), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["reproduce", *arguments]


def test_a_folder_of_another_recipe_is_refused(small, unbroken):
    err = small.run(unbroken[0], "--set", "evaluate.epochs=5", code=2)
    assert "belongs to another recipe (evaluate.epochs is 8 there, 5 here)" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table9"], "unknown study 'table9'"),
        (["table1", "--only", "ipc=7"], "no cell has the ipc '7'"),
        (["table2", "--original", "acme/photos"], "--original is of one dataset, and table2 has 2"),
        (["table1", "--recipe", "no"], "unknown recipe 'no'"),
        (["table1", "--recipe", "digits", "--set", "evaluate.labels=soft"], "labels of recipe digits is soft"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, arguments, message):
    command = ["-m", "ddgs_hub", "reproduce", *arguments, "--output", str(tmp_path / "paper")]
    done = run(command, env=environment(), timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "paper").exists()
