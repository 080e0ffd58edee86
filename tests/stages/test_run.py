"""The whole method through the real command line, on the digits with few steps: unbroken, killed, and skipped."""

import copy
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml
from clients import Client, environment, run
from datasets import load_dataset
from diffusers import DiTPipeline
from huggingface_hub import DatasetCard, HfApi, constants
from huggingface_hub.repocard_data import model_index_to_eval_results

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.core.schema import read_json
from ddgs_hub.hub import describe_rows, hash_pool, hash_weights, publish
from ddgs_hub.recipe import SampleSettings, load_recipe, parse_recipe, recipe_to_dict
from ddgs_hub.sampling.datasets import MARKS
from ddgs_hub.stages.costs import costs_table
from ddgs_hub.stages.provenance import made_with
from ddgs_hub.stages.run import Run, list_stages
from ddgs_hub.stages.run_folder import Finished, RunFolder
from ddgs_hub.stages.run_recipe import refuse_other_recipe
from ddgs_hub.stages.sample import make_distilled

QUICK = {
    "finetune": {"epochs": 0.2, "batch_size": 16},
    "pool": {"size": 2, "num_steps": 4, "batch_size": 16},
    "score": {"training": {"folds": 2, "epochs": 1}},
    "sample": {"ipc": 3},
    "evaluate": {"epochs": 3, "evaluations": 2, "repeats": 2, "width": 8},
}
STAGES = [
    *("original", "train-scorer", "finetune", "generate", "generate (plain DiT)", "score original", "score pool"),
    *("sample", "evaluate", "figures", "hub folder"),
]

MADE_OF = ("generate (plain DiT)", "train-scorer")  # what the images are made of that the plain DiT's scores are of


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits' recipe with few steps."""
    values = yaml.safe_load((Path(__file__).parents[2] / "ddgs_hub/recipes/digits.yaml").read_text())
    for section, changes in QUICK.items():
        nested = changes.pop("training", None) if section == "score" else None
        values[section] = {**values[section], **changes}
        if nested:
            values[section]["training"] = {**values[section]["training"], **nested}
    path = tmp_path_factory.mktemp("recipe") / "quick.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def command(recipe: Path, folder: Path) -> list[str]:
    return ["-m", "ddgs_hub", "run", str(recipe), "--output", str(folder)]


def finish(recipe: Path, folder: Path, *more: str) -> str:
    done = run([*command(recipe, folder), *more], env=environment(), timeout=300)
    assert done.returncode == 0, done.stderr
    folder.with_suffix(".log").write_text(done.stderr)
    return done.stdout


def kill_in(recipe: Path, folder: Path, stage: str) -> int:
    """Starts the run, kills it a moment after it has said that a stage is done, and returns its exit code."""
    read, write = os.pipe()
    with os.fdopen(read) as lines:
        with os.fdopen(write) as out:
            process = Client(command(recipe, folder), env=environment(), streams=(None, out, None))
        for line in lines:
            if line[:22].strip() == stage and "done before" not in line:
                break
        time.sleep(0.1)
        process.kill()
    return process.wait()


@pytest.fixture(scope="module")
def unbroken(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run folder, and what the run printed."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    return folder, finish(recipe, folder, "--report-to", "tensorboard")


def test_run_prints_a_line_a_stage_then_the_table_and_how_to_load(unbroken):
    folder, out = unbroken
    lines, _, accuracies, costs, *_ = out.split("\n\n")
    assert [line[:22].strip() for line in lines.splitlines() if "  (" in line] == STAGES
    assert "WARNING: this pool is not usable as it is" in lines  # so few steps
    methods, stages = ([line.split("|")[1].strip() for line in table.splitlines()] for table in (accuracies, costs))
    assert methods[2:] == ["Random (real images)", "DiT", "Minimax", "Ours"]
    assert stages == ["stage", "-" * 22, *STAGES, "all"]
    assert f'load_dataset("{folder}/hub/digits-ddgs-ipc3", split="train")' in out
    assert out.splitlines()[-1] == f"report       {folder}/report.html"
    page = (folder / "report.html").read_text()
    assert "<h1>Digits, distilled to 3 images a class</h1>" in page
    assert "Warning: this pool is not usable as it is" in page
    assert 100_000 < len(page) < 2_000_000
    for name in ("difficulty", "sheet", "distributions"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
        assert (folder / "figures" / f"{name}.svg").is_file()
        assert (folder / "hub/digits-ddgs-ipc3/figures" / f"{name}.png").is_file()


def test_log_off_a_terminal_has_every_stage_with_a_rate_and_no_bar(unbroken):
    log = unbroken[0].with_suffix(".log").read_text()
    assert not [sign for sign in ("\r", "█", "%|", "\x1b") if sign in log]
    lines = re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO (.*)$", log, re.MULTILINE)
    assert len(lines) == len([line for line in log.splitlines() if line])
    for name in STAGES:
        own = [line for line in lines if line.startswith((f"{name}:", f"{name}, "))]
        assert any(re.search(r" in [\d.]+ s, [\d.,]+ (\w+/s|s/\w+)", line) for line in own), (name, lines)
    [finetuning] = [line for line in lines if line.startswith("finetune:")]
    assert re.search(r" images/s\), diffusion [\d.]+, representativeness \S+, diversity \S+, ", finetuning)


def test_what_each_stage_cost_is_kept_and_trackers_follow_all(unbroken):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = unbroken
    finished = read_json(folder / "stages.json", dict[str, Finished], "stages.json")
    assert list(finished) == STAGES
    assert all(2**26 < stage.peak_memory < 2**34 and stage.peak_gpu_memory is None for stage in finished.values())
    events = EventAccumulator(str(folder / "tracking" / folder.name))
    events.Reload()
    losses = json.loads((folder / "dit/losses.json").read_text())["diffusion"]
    assert [event.value for event in events.Scalars("finetune/diffusion")] == pytest.approx(losses, abs=1e-5)
    assert events.Scalars("evaluate, Ours, train convnet/accuracy")
    assert len(events.Images("generate/images")) == len(events.Images("generate (plain DiT)/images")) == 1


def test_stages_of_before_they_said_what_they_cost_are_read(tmp_path):
    (tmp_path / "stages.json").write_text('{"original": {"made": "3 images", "seconds": 1.5}}')
    finished = read_json(tmp_path / "stages.json", dict[str, Finished], "stages.json")
    assert finished == {"original": Finished("3 images", 1.5)}
    finished["finetune"] = Finished("steps", 2000, {}, 3 * 2**29, 2**30)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in costs_table(finished).splitlines()]
    assert table[0] == ["stage", "time", "peak memory", "GPU memory"]
    assert table[2:] == [
        ["original", "1.5 s", "", ""],
        ["finetune", "2,000.0 s", "1.50 GiB", "1.00 GiB"],
        ["all", "2,001.5 s", "1.50 GiB", "1.00 GiB"],
    ]


def test_repository_says_what_it_was_made_of_and_can_be_published(unbroken, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder, _ = unbroken
    content = json.loads((folder / "hub/digits-ddgs-ipc3/provenance.json").read_text())["content"]
    assert content == {
        **describe_rows(read_rows(folder / "distilled-ipc3")),
        "pool": hash_pool(folder / "pool"),
        "dit": hash_weights(folder / "dit"),
        "scorer": hash_weights(folder / "scorer"),
    }
    assert content["num_rows"] == 30
    hub.add_user("alice", "hf_alice")
    api = HfApi(endpoint=hub.url, token="hf_alice")
    assert publish(folder, "alice/digits", api=api).version == "v1.0.0"
    for name in ("dit", "scorer"):
        values = json.loads((folder / name / "provenance.json").read_text())
        assert (values["kind"], values["content"]["weights"]) == (name, content[name])
        assert publish(folder / name, f"alice/digits-{name}", api=api).version == "v1.0.0"


def test_card_has_the_accuracies_of_the_distilled_set_as_results(unbroken):
    folder, _ = unbroken
    ours = json.loads((folder / "evaluation/results.json").read_text())["Ours"]
    [entry] = DatasetCard.load(folder / "hub/digits-ddgs-ipc3/README.md").data["model-index"]
    network, (best, last) = model_index_to_eval_results([entry])
    assert network == "convnet of width 8"
    assert (best.dataset_type, best.dataset_split) == ("digits", "validation")
    assert (best.metric_value, last.metric_value) == (round(ours["best_mean"], 2), round(ours["last_mean"], 2))
    assert best.metric_args["ipc"] == ours["ipc"] == 3


def test_distilled_folder_loads_as_a_dataset(unbroken, tmp_path):
    folder, _ = unbroken
    rows = load_dataset(str(folder / "hub/digits-ddgs-ipc3"), split="train", cache_dir=str(tmp_path))
    expected = ["image", "label", "wnid", "pool_index", "seed", "difficulty", "difficulty_log", "difficulty_bin"]
    assert rows.column_names == expected
    assert [rows["label"][:].count(k) for k in range(10)] == [3] * 10
    assert rows.features["label"].names == [str(k) for k in range(10)]
    assert rows[0]["image"].size == (16, 16)
    pool = read_rows(folder / "pool")
    assert sum(pool["selected"]) == 30
    assert set(zip(rows["label"], rows["pool_index"], strict=True)) == {
        (row["label"], row["pool_index"]) for row in pool.remove_columns("image") if row["selected"]
    }


def test_finetuned_folder_is_a_stock_pipeline(unbroken):
    pipeline = DiTPipeline.from_pretrained(unbroken[0] / "dit")
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline(pipeline.get_label_ids(["7"]), guidance_scale=4.0, num_inference_steps=2).images[0]
    assert image.size == (16, 16)


def test_second_call_skips_what_is_finished(recipe, unbroken):
    folder, first = unbroken
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    second = finish(recipe, folder)
    assert second.count("(done before)") == len(STAGES)
    assert second[second.index("\n\n") :] == first[first.index("\n\n") :]
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_killed_in_four_stages_it_ends_with_the_rows_of_an_unbroken_run(recipe, unbroken, tmp_path):
    folder = tmp_path / "killed"
    for last_line in ("train-scorer", "finetune", "generate (plain DiT)", "sample"):
        assert kill_in(recipe, folder, last_line) == -signal.SIGKILL  # it was still at work
        assert json.loads((folder / "stages.json").read_text())[last_line]
    out = finish(recipe, folder)
    assert "sample                30 images" in out
    for name in ("distilled-ipc3", "pool", "original", "hub/digits-ddgs-ipc3"):
        ours, expected = read_rows(folder / name), read_rows(unbroken[0] / name)
        assert ours.data.table.equals(expected.data.table)
    results = [json.loads((root / "evaluation/results.json").read_text()) for root in (folder, unbroken[0])]
    assert results[0] == results[1]
    assert not [path for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"]


def test_a_run_folders_own_recipe_is_a_recipe(unbroken):
    folder, _ = unbroken
    done = run(command(folder / "recipe.yaml", folder), env=environment(), timeout=300)
    assert [line for line in done.stdout.splitlines() if "done before" in line][-1].startswith("hub folder"), done
    assert load_recipe(folder / "recipe.yaml") == load_recipe(folder / "hub/digits-ddgs-ipc3/recipe.yaml")
    plain = recipe_to_dict(load_recipe(folder / "recipe.yaml"))
    assert parse_recipe({**plain, "sample": {**plain["sample"], "ipc": [3]}}).ipcs == (3,)


@pytest.fixture(scope="module")
def several(unbroken, tmp_path_factory):
    """A run of the same pool with sets of two IPCs, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "several"
    shutil.copytree(unbroken[0], folder)
    stages = json.loads((folder / "stages.json").read_text())
    of_pool = {name: made for name, made in stages.items() if name in STAGES[:7]}
    (folder / "stages.json").write_text(json.dumps(of_pool))
    for name in ("distilled-ipc3", "evaluation", "figures", "hub"):
        shutil.rmtree(folder / name)
    values = yaml.safe_load((folder / "recipe.yaml").read_text())
    values["recipe"]["sample"]["ipc"] = [2, 3]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    write_rows(read_rows(folder / "pool").remove_columns(list(MARKS)), folder / "pool")  # as it was scored
    return folder, finish(folder / "recipe.yaml", folder)


def test_a_list_of_ipcs_gives_a_set_an_evaluation_and_a_repository_for_each(several):
    folder, out = several
    made = [line[:22].strip() for line in out.splitlines() if "(IPC " in line[:22] and line[0] != "|"]
    assert made == [f"{name} (IPC {ipc})" for name in ("sample", "evaluate", "figures", "hub folder") for ipc in (2, 3)]
    for ipc in (2, 3):
        assert len(read_rows(folder / f"distilled-ipc{ipc}")) == 10 * ipc
        assert f"IPC {ipc}, training images {10 * ipc}," in out
        results = json.loads((folder / f"evaluation/ipc{ipc}/results.json").read_text())
        assert {result["ipc"] for result in results.values()} == {ipc}
        assert (folder / f"figures/ipc{ipc}/sheet.png").is_file()
        card = (folder / f"hub/digits-ddgs-ipc{ipc}/README.md").read_text()
        assert "| Pool | 6 images a class |" in card
        assert "ddgs-hub run OWNER/NAME@VERSION\n" in card
        recipe = load_recipe(folder / f"hub/digits-ddgs-ipc{ipc}/recipe.yaml")
        assert (recipe.ipcs, recipe.sample.ipc) == ((2, 3), 3)
        told = json.loads((folder / f"hub/digits-ddgs-ipc{ipc}/provenance.json").read_text())
        assert parse_recipe(told["recipe"]) == recipe.with_ipc(ipc)  # what made this set
        assert told["content"]["pool"] == hash_pool(folder / "pool")
    # The sets share the pool: marks in it would be those of one of them.
    assert not {*MARKS} & {*read_rows(folder / "pool").column_names}


def test_a_set_that_is_sampled_at_the_largest_ipc_names_that_alone(several, tmp_path):
    folder, _ = several
    make_distilled(SampleSettings(ipc=3), folder / "pool", folder / "original", tmp_path / "one")
    values = json.loads((tmp_path / "one/hub/digits-ddgs-ipc3/provenance.json").read_text())
    assert parse_recipe(values["recipe"]).ipcs == (3,)


def test_what_a_run_publishes_makes_the_run_again(several, unbroken, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder, _ = several
    hub.add_user("alice", "hf_alice")
    api = HfApi(endpoint=hub.url, token="hf_alice")
    with pytest.raises(InputError, match=r"has not one folder to publish .*: give the one that is meant, or --ipc"):
        publish(folder, "alice/digits", api=api)
    made = publish(folder, "alice/digits", ipc=2, api=api)
    assert "ddgs-hub run alice/digits@v1.0.0\n" in made.card
    assert made.card.count("@v1.0.0") == 1
    publish(folder / "scorer", "alice/scorer", api=api)
    for spec in ("alice/digits@v1.0.0", "alice/digits"):
        done = hub.run(["-m", "ddgs_hub", "run", spec, "--output", str(folder)], token="hf_alice", timeout=300)
        assert [line for line in done.stdout.splitlines() if "done before" in line][-1].startswith("hub folder"), done
    # That of a model is the recipe of the run that trained it.
    done = hub.run(["-m", "ddgs_hub", "run", "alice/scorer@v1.0.0", "--output", str(unbroken[0])], token="hf_alice")
    assert "hub folder" in done.stdout, done
    # One IPC more, by a pool of the run.
    more = ["--pool", str(folder / "pool"), "--original", str(folder / "original"), "--ipc", "1"]
    done = hub.run(["-m", "ddgs_hub", "sample", *more, "--output", str(tmp_path / "more")], token="hf_alice")
    assert done.returncode == 0, done.stderr
    card = publish(tmp_path / "more", "alice/digits-ipc1", pool=True, api=api).card
    command = re.sub(r" \\\n +", " ", card)
    assert "ddgs-hub run alice/digits-ipc1@v1.0.0 --output run && ddgs-hub sample --pool run/pool --original" in command
    assert "| Pool | 6 images a class |" in card
    assert load_recipe(tmp_path / "more/hub/digits-ddgs-ipc1/recipe.yaml").ipcs == (2, 3)


def test_a_run_on_soft_labels_scores_all_that_networks_are_trained_on(recipe, tmp_path):
    values = ["score.soft_labels=3", "evaluate.labels=soft"]
    stages = {}
    for name, more in (("hard", values[:1]), ("soft", values)):
        changed = load_recipe(recipe, more)
        stages[name] = list_stages(changed, RunFolder.of_sets(tmp_path, changed))
    assert [stage.name for stage in stages["hard"]] == STAGES
    (added,) = [stage for stage in stages["soft"] if stage.name not in STAGES]
    assert (added.name, added.output, added.made_of) == ("score pool (plain DiT)", tmp_path / "pool-dit", MADE_OF)
    assert added.work.keywords["soft_labels"] == 3
    scoring = [stage.work.keywords for stage in stages["hard"] if stage.name.startswith("score")]
    assert [how["soft_labels"] for how in scoring] == [3, 3]


def test_folder_of_another_recipe_is_refused(recipe, unbroken):
    changed = load_recipe(recipe, ["pool.guidance_scale=3.5"])
    with pytest.raises(InputError, match=r"belongs to another recipe \(pool.guidance_scale is 2.0 there, 3.5 here\)"):
        Run(changed, unbroken[0])()


def test_a_folder_of_before_a_key_was_there_is_of_the_recipe_that_has_its_default(recipe, tmp_path):
    made = made_with(load_recipe(recipe))
    written = copy.deepcopy(made)
    assert "labels" not in written["recipe"]["evaluate"]
    assert "soft_labels" not in written["recipe"]["score"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    refuse_other_recipe(tmp_path, made)
    for value in ("evaluate.labels=soft", "score.soft_labels=3"):
        with pytest.raises(InputError, match=rf"{value.partition('=')[0]} is (hard|None) there, (soft|3) here"):
            refuse_other_recipe(tmp_path, made_with(load_recipe(recipe, [value])))


def test_a_folder_that_no_run_has_made_is_left_alone(recipe, tmp_path):
    precious = tmp_path / "run" / "original" / "precious.jpg"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"mine")
    with pytest.raises(InputError, match="holds what no run has made: choose another --output"):
        Run(load_recipe(recipe), tmp_path / "run")()
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"mine"]


def test_the_recipe_of_somebody_else_in_a_folder_is_left_alone(recipe, tmp_path):
    (tmp_path / "victim.yaml").write_text("name: mine\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").symlink_to("../victim.yaml")
    with pytest.raises(InputError, match=r"recipe.yaml is damaged"):
        Run(load_recipe(recipe), tmp_path / "run")()
    assert (tmp_path / "victim.yaml").read_text() == "name: mine\n"
