"""Models from the command line to the local Hub: fine-tuned and pushed, trained and published, loaded again."""

import errno
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from clients import launch
from huggingface_hub import ModelCard as HubModelCard
from huggingface_hub import constants

from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.diffusion import loaded_commit
from ddgs_hub.hub import hash_weights
from ddgs_hub.hub.folders.repository_files import write_recipe
from ddgs_hub.recipe import FinetuneSettings, load_recipe, values_of_run
from ddgs_hub.stages import scorer as scorer_stage
from ddgs_hub.stages.commands import command_line, run_command, training_command
from ddgs_hub.stages.provenance import model_identity, scorer_identity

TOKEN = "hf_" + "Alice0" * 6
REPO = "acme/digits-ddgs-dit"
SETTINGS = ["--set", "finetune.epochs=0.05", "--set", "finetune.batch_size=6"]
TRAINING = {"model": "test_resnet", "model_args": {}, "image_size": 16, "folds": 2, "epochs": 2, "batch_size": 30}


@pytest.fixture(scope="module")
def original(digits_folder, tmp_path_factory):
    """Two hundred digits."""
    folder = tmp_path_factory.mktemp("original")
    write_rows(read_rows(digits_folder).select(range(200)), folder)
    return folder


@pytest.fixture
def place(hub, tmp_path, monkeypatch):
    """An empty folder to work in, with a client of the local Hub whose token is alice's."""
    hub.add_user("alice", TOKEN, orgs=["acme"])
    hub.add_user("alice", "hf_read", role="read", orgs=["acme"])
    hub.add_user("bob", "hf_bob")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)  # read from the environment when the client is imported
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return tmp_path


@pytest.fixture
def call(place, monkeypatch, capsys):
    """Calls the command line; exit code, and what it printed on stdout and on stderr."""

    def call(*arguments, token=TOKEN):
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(sys, "argv", ["ddgs-hub", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        assert TOKEN not in out + err
        return caught.value.code or 0, out, err

    return call


def arguments(original, *more):
    return ["finetune", "--recipe", "digits", "--original", original, "--output", "dit", *SETTINGS, *more]


def the_model(hub, repo=REPO):
    return hub.repository("model", repo)


# The DiT


def test_finetune_and_push(hub, call, original, place):
    code, out, err = call(*arguments(original, "--push", REPO, "--private"))
    assert code == 0, err
    assert re.search(rf"^\d steps of 6, .*\n{REPO} v1\.0\.0: the first version\n{hub.url}/{REPO}/tree/v1\.0\.0$", out)
    repository = the_model(hub)
    assert (list(repository.tags), repository.settings["private"]) == (["v1.0.0"], True)
    assert {"model_index.json", "adapter.safetensors", "classes.json", "provenance.json"} <= set(repository.head.files)
    card = HubModelCard(repository.read("README.md").decode())
    assert (card.data.license, card.data.library_name, card.data.base_model) == ("apache-2.0", "diffusers", None)
    command = "ddgs-hub finetune --recipe digits --original .* --output dit --set finetune.epochs=0.05"
    assert re.search(rf"```sh\n{command} ", card.text.replace(" \\\n   ", ""))  # over several lines
    values = json.loads(repository.read("provenance.json"))
    assert values["content"]["base"] == model_identity("digits")
    assert values["recipe"]["finetune"]["batch_size"] == 6
    assert str(place) not in json.dumps(values) + card.text
    assert str(original) not in json.dumps(values) + card.text

    before = (place / "dit/adapter.safetensors").stat().st_mtime_ns
    code, out, _ = call(*arguments(original, "--push", REPO))
    assert (code, out.splitlines()[0]) == (0, "dit was fine-tuned before")
    assert out.splitlines()[1].startswith(f"nothing to publish: {REPO} v1.0.0 has this content")
    for other in (["--seed", "1"], ["--base", place / "dit"], ["--set", "finetune.epochs=0.2"]):
        code, out, err = call(*arguments(original, "--push", REPO, *other))
        assert (code, out, err) == (2, "", "ddgs-hub: dit is not empty: choose another --output, or remove it\n")
    assert call(*arguments(original))[0] == 2
    assert (place / "dit/adapter.safetensors").stat().st_mtime_ns == before
    assert len(repository.tags) == 1


def test_what_an_earlier_version_fine_tuned_is_known(hub, call, original, place):
    at_default = ("--set", f"finetune.ema_decay={FinetuneSettings().ema_decay}")
    assert call(*arguments(original, "--push", REPO, *at_default))[0] == 0
    path = place / "dit/provenance.json"
    values = json.loads(path.read_text())
    del values["recipe"]["finetune"]["ema_decay"]  # as a version wrote it that had no such key
    path.write_text(json.dumps(values))
    code, out, _ = call(*arguments(original, "--push", REPO, *at_default))
    assert (code, out.splitlines()[0]) == (0, "dit was fine-tuned before")
    assert call(*arguments(original, "--push", REPO))[0] == 2  # the recipe's own is another


def test_a_push_that_is_cut_off_costs_no_training(hub, call, original, place):
    planned = hub.fail("POST /api/models/.*/commit/", times=None, status=503)
    code, out, err = call(*arguments(original, "--push", REPO))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith("start the same command again later, it goes on where it was")
    planned.times = 0
    before = (place / "dit/adapter.safetensors").stat().st_mtime_ns
    code, out, _ = call(*arguments(original, "--push", REPO))
    assert (code, out.splitlines()[0]) == (0, "dit was fine-tuned before")
    assert list(the_model(hub).tags) == ["v1.0.0"]
    assert (place / "dit/adapter.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [
        ("hf_read", REPO, f"this token may not write to {REPO}: take one with the role write of a member of acme"),
        ("hf_bob", REPO, f"this token may not write to {REPO}"),
        ("hf_wrong", REPO, f"the Hub does not accept this token for {REPO}"),
        (TOKEN, "bob/dit", "this token may not write to bob/dit"),
        (TOKEN, "dit", "'dit' does not say whose repository it is: give OWNER/NAME"),
        (TOKEN, "acme/public", "acme/public is there and public: make it private in its settings first"),
    ],
)
def test_refused_before_the_training(hub, call, original, place, token, repo, message):
    hub.add_repository("model", "acme/public")
    code, out, err = call(*arguments(original, "--push", repo, "--private"), token=token)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(f"ddgs-hub: {message}")
    assert not (place / "dit").exists()
    assert [kept for kept in hub.store.folder.rglob("acme/*") if "digits" in kept.name] == []


@pytest.mark.parametrize("may", [True, False])
def test_of_two_processes_one_pushes(hub, original, tmp_path, free_port, may):
    hub.add_user("alice", TOKEN, role="write" if may else "read", orgs=["acme"])
    command = ["-m", "ddgs_hub", *arguments(original, "--push", REPO)]
    command[command.index("dit")] = str(tmp_path / "dit")
    environment = hub.environment(tmp_path / "home", TOKEN)
    done = launch(2, command, env=environment, port=free_port, cwd=Path(__file__).parents[2])
    assert TOKEN not in done.stdout + done.stderr
    writes = [request.path for request in hub.requests if request.method == "POST" and "/commit/" in request.path]
    if may:
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("the first version") == 1
        assert len(writes) == 1
        assert sum("whoami" in request.path for request in hub.requests) == 1
        assert list(the_model(hub).tags) == ["v1.0.0"]
    else:
        assert done.returncode != 0
        assert f"ddgs-hub: this token may not write to {REPO}" in done.stderr
        assert "InputError" not in done.stderr
        assert (writes, (tmp_path / "dit").exists(), (tmp_path / "latents").exists()) == ([], False, False)


# The scorer

LOAD_SCORER = """
import json, sys
import timm, torch
from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.core.rows import read_rows

model = timm.create_model("hf-hub:acme/digits-scorer@v1.0.0", pretrained=True).eval()
scorer = Scorer.from_pretrained("acme/digits-scorer", revision="v1.0.0")
with torch.no_grad():
    logits = model(torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16))
difficulty = score(read_rows(sys.argv[1]), scorer)["difficulty"]
print(json.dumps([logits.flatten().tolist(), list(difficulty), scorer.folds, model.pretrained_cfg["label_names"]]))
"""


def test_train_and_publish_a_scorer(hub, call, original, place):
    values = [part for key, value in TRAINING.items() for part in ("--set", f"score.training.{key}={value}")]
    code, out, err = call(
        *("train-scorer", "--recipe", "digits", "--original", original, "--output", "scorer", *values)
    )
    assert (code, out[:16]) == (0, "2 × test_resnet,"), err
    repository = "acme/digits-scorer"
    code, out, err = call("publish", "scorer", "--repo", repository)
    assert (code, out.splitlines()[0]) == (0, f"{repository} v1.0.0: the first version"), err
    files = {"config.json", "model.safetensors", "folds.json", "README.md", "provenance.json", "recipe.yaml"}
    files.add(".gitattributes")
    folds = {f"fold-{k}/{name}" for k in (0, 1) for name in ("config.json", "model.safetensors")}
    assert set(the_model(hub, repository).head.files) == files | folds
    card = HubModelCard(the_model(hub, repository).read("README.md").decode())
    assert (card.data.library_name, card.data.pipeline_tag) == ("timm", "image-classification")
    assert f'Scorer.from_pretrained("{repository}", revision="v1.0.0")' in card.text
    assert "OWNER" not in card.text
    content = json.loads(the_model(hub, repository).read("provenance.json"))["content"]
    assert content["weights"] == hash_weights("scorer")

    done = hub.run(LOAD_SCORER, str(original), token=TOKEN)
    assert done.returncode == 0, done.stderr
    logits, difficulty, count, names = json.loads(done.stdout)
    local = Scorer.from_pretrained("scorer")
    np.testing.assert_allclose(difficulty, score(read_rows(original), local)["difficulty"], atol=1e-6)
    with torch.no_grad():
        expected = local.models[0](torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)).flatten()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert (count, names) == (2, [str(k) for k in range(10)])

    for code in re.findall(r"```python\n(.*?)```", (place / "scorer/README.md").read_text(), re.DOTALL):
        scope = {}
        code = code.replace("hf-hub:OWNER/digits-ddgs-scorer", f"local-dir:{place / 'scorer'}")
        exec(code.replace("OWNER/digits-ddgs-scorer", "scorer").replace("IMAGES", str(original)), scope)
        if "scored" in scope:
            np.testing.assert_allclose(scope["scored"]["difficulty"], difficulty, atol=1e-6)

    assert call("publish", "scorer", "--repo", repository)[1].startswith("nothing to publish")
    code, _, err = call("publish", "scorer", "--repo", repository, "--adapter")
    assert (code, err[:42]) == (2, "ddgs-hub: --adapter: scorer holds no DiT w")
    again = ("train-scorer", "--recipe", "digits", "--original", original, "--output", "other", "--seed", "1", *values)
    assert call(*again)[0] == 0
    assert call("publish", "other", "--repo", repository)[1].startswith(f"{repository} v2.0.0: another scorer")


# What cards tell


def test_a_command_line_tells_no_folders():
    options = [("--recipe", "/home/somebody/mine.yaml"), ("--output", "out")]
    line = command_line("finetune", options=options, values=["model.base=a b", "codec.encoder=./some/where"], seed=3)
    changed = "--set 'model.base=a b' --set codec.encoder=where"
    assert line == f"ddgs-hub finetune --recipe mine.yaml --output out --seed 3 {changed}"


def test_the_command_of_a_run_is_that_of_its_published_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(load_recipe("digits", ["seed=2"])) == "ddgs-hub run OWNER/NAME@VERSION"
    # Who has them gives what is not on the Hub.
    (tmp_path / "data").mkdir()
    changed = load_recipe("digits", ["data.original=data", "score.scorer=/home/somebody/scorer"])
    line = "ddgs-hub run OWNER/NAME@VERSION --original data --set score.scorer=scorer"
    assert run_command(changed) == line
    write_recipe(tmp_path, {"recipe": values_of_run(changed), "versions": {"torch": "2.15.0"}})
    published = load_recipe(tmp_path / "recipe.yaml")
    assert (published.data.original, published.score.scorer) == ("./data", "./scorer")
    assert str(tmp_path) not in (tmp_path / "recipe.yaml").read_text()


def test_the_command_of_a_training_names_a_recipe_that_its_reader_has():
    places = (Path("original"), Path("dit"))
    line = training_command("finetune", "mine.yaml", *places, values=["finetune.epochs=2"], seed=3)
    assert line == "ddgs-hub finetune --recipe OWNER/NAME@VERSION --original original --output dit --seed 3"
    line = training_command("finetune", "digits", *places, values=["finetune.epochs=2"])
    assert line == "ddgs-hub finetune --recipe digits --original original --output dit --set finetune.epochs=2"


def test_what_tells_a_model_from_others(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "cache/models--acme--dit"
    for file in ("snapshots/" + commit + "/adapter.safetensors", "refs/main"):
        (repository / file).parent.mkdir(parents=True)
        (repository / file).write_text(commit)
    assert model_identity("acme/dit") == f"acme/dit@{commit}"
    assert loaded_commit("acme/dit") == loaded_commit("hf-hub:acme/dit") == commit
    assert model_identity("acme/other", "v1.0.0") == "acme/other@v1.0.0"
    checkpoint = repository / "snapshots" / commit / "adapter.safetensors"
    assert model_identity(checkpoint) == hash_weights(checkpoint.parent) == model_identity(checkpoint.parent)
    assert os.listdir(tmp_path) == ["cache"]


def test_a_scorer_is_known_by_what_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = "0123456789" * 4
    repository = tmp_path / "cache" / "models--timm--resnet50.tv_in1k"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    for name in ("timm/resnet50.tv_in1k", "hf-hub:timm/resnet50.tv_in1k", "resnet50.tv_in1k"):
        assert scorer_identity(name) == f"timm/resnet50.tv_in1k@{commit}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timm" / "resnet50.tv_in1k").mkdir(parents=True)  # which this name does not mean
    assert scorer_identity("hf-hub:timm/resnet50.tv_in1k") == f"timm/resnet50.tv_in1k@{commit}"
    with pytest.raises(InputError, match="the scorer ~/nothing is not a folder"):
        scorer_identity("~/nothing")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").write_bytes(b"weights")
    assert scorer_identity("~/mine") == hash_weights(tmp_path / "mine")


def test_a_scorer_is_there_with_its_card_or_not_at_all(original, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scorer_stage, "write_scorer", full)
    recipe = load_recipe("digits", ["score.training.folds=2", "score.training.epochs=1"])
    with pytest.raises(OSError, match="No space left"):
        scorer_stage.make_scorer(recipe, original, tmp_path / "scorer", command="")
    assert list(tmp_path.iterdir()) == []
