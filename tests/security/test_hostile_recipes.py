"""A `recipe.yaml` that a stranger published: it is data within limits, and names nothing of this machine."""

from typing import Any

import pytest
import yaml
from commands import run_all
from hub_server import HubServer
from published import RECIPE

from ddgs_hub.core.errors import InputError
from ddgs_hub.difficulty.scorer_training import require_architecture
from ddgs_hub.recipe import ScorerTraining

TOKEN = "hf_" + "Canary" * 6
SECRET = "a canary of this machine"
MADE_HERE = {"scorer": None, "training": {"model": "test_resnet", "folds": 2}}


def recipe(**sections: Any) -> bytes:
    values: dict[str, Any] = {**RECIPE, "data": {**RECIPE["data"], "original": "acme/images"}}
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
    return yaml.safe_dump({"recipe": values, "versions": {}}).encode()


BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n".encode()
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "an object of python": (
        b"recipe: !!python/object/apply:os.system ['touch canary-was-here']\n",
        "is not valid YAML",
    ),
    "a bomb of aliases": (BOMB, "is too large, or nested too deeply"),
    "deep nesting": (b"[" * 5_000 + b"]" * 5_000, "is not valid YAML"),
    "no mapping": (b"- 1\n", "is no mapping"),
    "no text": (b"\xff\xfe\x00\x01", "recipe.yaml of acme/"),
    "a large file": (b"# " + b"x" * 300_000, "is larger than 256 kB"),
    "an unknown key": (recipe(run="rm -rf ~"), "unknown key 'run'"),
    "a number of 6,000 digits": (b"seed: " + b"9" * 6_000 + b"\n", "recipe.yaml of acme/"),
    "an output elsewhere": (recipe(name="../../elsewhere"), "name: string should match pattern"),
    "a repository elsewhere": (recipe(hub={"dataset": "../x"}), "hub.dataset: string should match pattern"),
    "images by a path": (recipe(data={"original": "/etc"}), "names '/etc' as data.original, which is not on the Hub"),
    "images at home": (recipe(data={"original": "~/photos"}), "give --original FOLDER"),
    "images beside": (recipe(data={"original": "../photos"}), "which is not on the Hub"),
    "images of the maker": (recipe(data={"original": "./photos"}), "if you have it, give --original FOLDER"),
    "images that are a folder here": (recipe(data={"original": "mine"}), "a file or folder here is called so, too"),
    "an id that is a folder here": (recipe(data={"original": "acme/here"}), "a file or folder here is called so, too"),
    "images at an address": (recipe(data={"original": "https://evil.example/x"}), "which is not on the Hub"),
    "a base by a path": (recipe(model={"base": "./checkpoint.pt"}), "as model.base, which is not on the Hub"),
    "an encoder by a path": (recipe(codec={"encoder": "/secret"}), "give --set codec.encoder=FOLDER"),
    "a decoder by a path": (recipe(codec={"decoder": "/secret"}), "as codec.decoder"),
    "a scorer by a path": (recipe(score={"scorer": "../scorer"}), "as score.scorer"),
    "a split by a path": (recipe(data={"train_split": "../../train"}), "has '../../train' as data.train_split"),
    "a configuration by a path": (recipe(data={"config": "/etc/x"}), "as data.config, which is no name of one"),
    "a revision by a path": (recipe(data={"revision": "../../x"}), "as data.revision, which is no revision"),
    "terminal escapes": (recipe(data={"original": "\x1b[2J\x1b]0;title\x07"}), "which is not on the Hub"),
    "several by the back door": (recipe(several=[1, 2]), "unknown key 'several'"),
    "IPCs that are none": (recipe(sample={"ipc": [0, "x", 1e9]}), "sample.ipc: give numbers from 1 on"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What came of `run` of each of these repositories, in a folder with something of this machine in it."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("mine", "acme/here"):
        (folder / name / "train" / "cat").mkdir(parents=True)
        (folder / name / "train" / "cat" / "secret.txt").write_text(SECRET)
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        hub.add_user("alice", TOKEN)
        for number, (text, _) in enumerate(REFUSED.values()):
            kind = ("dataset", "model")[number % 2]
            hub.add_repository(kind, f"acme/recipe-{number}", {"recipe.yaml": text, "README.md": b"# A recipe\n"})
        hub.add_repository("dataset", "acme/without", {"README.md": b"# Rows\n"})
        hub.add_repository("dataset", "acme/good", {"recipe.yaml": recipe(data={"original": "./photos"})})
        calls = {name: ["run", f"acme/recipe-{k}", "--output", f"out-{k}"] for k, name in enumerate(REFUSED)}
        calls["nothing"] = ["run", "acme/without"]
        calls["nobody"] = ["run", "acme/nobody@v1.0.0"]
        calls["no version"] = ["run", "acme/good@v9.0.0"]
        calls["prepared"] = ["prepare", "--recipe", "acme/good", "--original", "nowhere-here", "--output", "original"]
        results = run_all(hub, folder, calls, TOKEN)
        asked = [request.path for request in hub.requests]
    return folder, results, asked


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_sentence(done, name):
    _, results, _ = done
    code, out, err = results[name]
    lines = [line for line in err.splitlines() if line.startswith("ddgs-hub: ")]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert REFUSED[name][1] in lines[0]
    assert "\x1b" not in err
    assert SECRET not in err


def test_nothing_of_it_is_opened_or_left_behind(done):
    folder, _, asked = done
    assert {path.name for path in folder.iterdir()} == {"mine", "acme", "calls.json", "done.json"}
    assert not [path for path in asked if "evil" in path or "secret" in path]


def test_where_there_is_none_it_says_so(done):
    _, results, _ = done
    assert "acme/without has no recipe.yaml: it was published before recipes were" in results["nothing"].err
    assert "there is no dataset or model acme/nobody on the Hub" in results["nobody"].err
    assert "acme/good has no revision 'v9.0.0'" in results["no version"].err
    # What its reader gives in the place of a folder of its maker is opened as always.
    assert "ddgs-hub: there is no dataset nowhere-here" in results["prepared"].err
    assert "./photos" not in results["prepared"].err


@pytest.mark.parametrize(
    ("training", "sentence"),
    [
        ({"model": "hf-hub:acme/evil"}, "timm cannot make 'hf-hub:acme/evil'"),
        ({"model": "local-dir:/etc"}, "timm cannot make 'local-dir:/etc'"),
        ({"model": "resnet18", "model_args": {"pretrained": True}}, "'pretrained' in score.training.model_args"),
        ({"model": "resnet18", "model_args": {"checkpoint_path": "/etc/passwd"}}, "'checkpoint_path' in score.train"),
    ],
)
def test_a_scorer_to_train_is_a_model_of_timm_and_nothing_else(training, sentence):
    with pytest.raises(InputError, match=sentence):
        require_architecture(ScorerTraining(**training))
