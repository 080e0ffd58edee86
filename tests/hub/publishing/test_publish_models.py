"""Publishing a DiT: pipeline and adapter, versions, faults, other writers, who may, and that stock clients load it."""

import json
import re
import threading
import traceback

import pytest
import torch
from huggingface_hub import HfApi
from published import FAULTS, NTHS, READS, TOKEN, assert_whole, operations, published, refused_tokens
from published_models import BASE, CLASSES, RECIPE, describe, read_provenance, save_base, save_dit
from safetensors.torch import save_file

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows
from ddgs_hub.diffusion import load_dit
from ddgs_hub.hub import diff_versions, list_versions, publish, versions_table

REPO = "acme/tiny-ddgs-dit"
OPERATIONS = operations("/api/models", "/acme")
FILES = {
    *(".gitattributes", "README.md", "provenance.json", "recipe.yaml", "model_index.json", "adapter.safetensors"),
    "classes.json",
    *("scheduler/scheduler_config.json", "transformer/config.json", "vae/config.json"),
    *("transformer/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"),
}
CASES = [
    pytest.param(operation, nth, fault, id=f"{operation}-{nth}-{'-'.join(map(str, fault.values()))}")
    for operation in OPERATIONS
    for nth in NTHS.get(operation, (1,))
    for fault in ([{"status": 503}] if operation in READS else FAULTS[1::2] if nth > 1 else FAULTS[::2])
]


def the_model(hub):
    return hub.repository("model", REPO)


@pytest.fixture(scope="module")
def dits(tmp_path_factory):
    """Folders of three DiTs."""
    return [save_dit(tmp_path_factory.mktemp("dit"), seed) for seed in (1, 2, 3)]


# What is published


def test_versions_of_a_dit(hub, api, dits, tmp_path):
    first = publish(dits[0], REPO, api=api)
    assert (first.version, first.action, first.changes) == ("v1.0.0", "published", "the first version")
    assert first.url == f"{hub.url}/{REPO}/tree/v1.0.0"
    assert set(the_model(hub).head.files) == FILES
    assert publish(dits[0], REPO, collection="Tiny", api=api).action == "unchanged"
    [collection] = hub.collections.values()
    assert [(item["type"], item["id"]) for item in collection["items"]] == [("model", REPO)]
    changed = save_dit(tmp_path / "dit", 1, note="A term.")
    made = publish(changed, REPO, api=api)
    assert (made.version, made.changes) == (
        "v1.0.1",
        "the same weights; changed: README.md, provenance.json, recipe.yaml",
    )
    made = publish(dits[1], REPO, api=api)
    assert (made.version, made.changes) == ("v2.0.0", "another DiT")
    assert_whole(hub, "v1.0.0", "v1.0.1", "v2.0.0", repository=the_model(hub))
    card, data = the_model(hub).read("README.md").decode(), api.model_info(REPO).card_data
    assert f'DiTPipeline.from_pretrained("{REPO}", revision="v2.0.0")' in card
    assert "OWNER" not in card
    assert (data.base_model, data.base_model_relation, data.license) == (BASE, "finetune", "apache-2.0")
    assert (data.library_name, data.datasets) == ("diffusers", ["acme/tiny"])

    found = list_versions(REPO, api=api)
    assert [(v.tag, v.rows, v.changes) for v in found][2] == ("v2.0.0", None, "another DiT")
    assert versions_table(found).splitlines()[0].split() == ["version", "date", "changes"]
    for a, b, same, recipe in (
        ("v1.0.0", "v1.0.1", True, {"hub.note": ["", "A term."]}),
        ("v1.0.0", "v2.0.0", False, {}),
    ):
        diff = diff_versions(REPO, a, b, api=api)
        assert (diff.same_weights, diff.recipe) == (same, recipe)
    assert diff.text == "v1.0.0 → v2.0.0: other weights\n\nrecipe: the same"
    with pytest.raises(InputError, match=f"{REPO} has no version 'v9.0.0': its versions are v1.0.0, v1.0.1, v2.0.0"):
        diff_versions(REPO, "v9.0.0", "v1.0.0", api=api)


def test_an_adapter_alone(hub, api, dits):
    plan = publish(dits[0], REPO, adapter=True, dry_run=True, api=api)
    assert plan.added == ["README.md", "adapter.safetensors", "classes.json", "provenance.json", "recipe.yaml"]
    assert publish(dits[0], REPO, adapter=True, api=api).version == "v1.0.0"
    assert set(the_model(hub).head.files) == {".gitattributes", *plan.added}
    assert publish(dits[0], REPO, adapter=True, api=api).action == "unchanged"
    data = api.model_info(REPO).card_data
    assert (data.base_model, data.base_model_relation) == (BASE, "adapter")
    card = the_model(hub).read("README.md").decode()
    assert f'dit = load_dit("{REPO}", revision="v1.0.0")\n' in card
    assert "DiTPipeline" not in card
    assert card == plan.card
    assert "DiTPipeline" in (dits[0] / "README.md").read_text()  # the folder is as it was
    whole = publish(dits[0], REPO, api=api)
    assert (whole.version, set(the_model(hub).head.files)) == ("v1.0.1", FILES)


def test_what_has_no_adapter(api, dits, tmp_path):
    folder = save_dit(tmp_path / "dit", 1)
    (folder / "adapter.safetensors").unlink()
    describe(folder)
    with pytest.raises(InputError, match=r"--adapter: .* holds no DiT with adapter\.safetensors and classes\.json"):
        publish(folder, REPO, adapter=True, api=api)


@pytest.mark.parametrize("damage", ["weights", "recipe", "steps", "missing"])
def test_a_folder_that_is_not_what_it_says(hub, api, tmp_path, damage):
    folder = save_dit(tmp_path / "dit", 1)
    if damage == "weights":
        save_file({"other": torch.ones(1)}, folder / "adapter.safetensors")
    elif damage in ("recipe", "steps"):
        values = read_provenance(folder)
        values["recipe"] = {"name": "x"} if damage == "recipe" else values["recipe"]
        del values["steps"]
        (folder / "provenance.json").write_text(json.dumps(values))
    else:
        (folder / "README.md").unlink()
    message = {
        "weights": "the weights of .* are not those that its provenance.json tells of",
        "recipe": "^the recipe in provenance.json: the key 'data' is missing$",
        "steps": "does not say all that a card says .'steps'.: remove it",
        "missing": "has no README.md: give a run folder, one in its hub/, its dit/ or its scorer/",
    }[damage]
    with pytest.raises(InputError, match=message):
        publish(folder, REPO, adapter=damage in ("recipe", "steps"), api=api)
    assert hub.store.get("model", REPO) is None


# Faults and other writers


@pytest.mark.parametrize(("operation", "nth", "fault"), CASES)
def test_one_fault(hub, api, dits, operation, nth, fault):
    versions = ["v1.0.0", "v2.0.0", "v3.0.0"][: nth if operation not in READS else 1]
    planned = hub.fail(OPERATIONS[operation], nth=nth, **fault)
    made = [publish(dit, REPO, api=api).version for dit in dits[: len(versions)]]
    assert planned.happened
    assert made == versions
    assert_whole(hub, *versions, repository=the_model(hub))


@pytest.mark.parametrize("operation", ["create", "info", "upload", "commit"])
def test_a_fault_that_stays(hub, api, dits, operation):
    planned = hub.fail(OPERATIONS[operation], times=None, status=503)
    with pytest.raises(InputError, match=r"did not serve .* start the same command again later"):
        publish(dits[0], REPO, api=api)
    planned.times = 0
    repository = hub.store.get("model", REPO)
    assert repository is None or (published(repository), repository.tags) == ([], {})
    publish(dits[0], REPO, api=api)
    assert_whole(hub, "v1.0.0", repository=the_model(hub))


def test_two_publishers_at_once(hub, api, dits):
    made, errors = [], []

    def one(folder):
        try:
            made.append(publish(folder, REPO, api=HfApi(endpoint=hub.url, token=TOKEN)).version)
        except Exception:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=one, args=(folder,)) for folder in dits[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    assert sorted(made) == ["v1.0.0", "v2.0.0"]
    assert_whole(hub, "v1.0.0", "v2.0.0", repository=the_model(hub))


# Who may


@pytest.mark.parametrize(("token", "message"), refused_tokens(REPO))
@pytest.mark.parametrize("there", [None, "public", "private"])
def test_who_may_not(hub, api, dits, token, message, there):
    if there:
        hub.add_repository("model", REPO, private=there == "private")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        publish(dits[0], REPO, api=HfApi(endpoint=hub.url, token=token))
    assert str(token) not in str(caught.value)
    repository = hub.store.get("model", REPO)
    assert repository is None or (len(repository.commits), repository.tags) == (1, {})


def test_a_repository_of_another_kind(hub, api, dits):
    files = {"provenance.json": json.dumps({"kind": "scorer", "content": {"weights": "0" * 64}}).encode()}
    hub.add_repository("model", REPO, files)
    api.create_tag(REPO, tag="v1.0.0", repo_type="model")
    with pytest.raises(InputError, match=f"{REPO} holds a scorer, this is a DiT: give another --repo"):
        publish(dits[0], REPO, api=api)
    assert published(the_model(hub)) == []


def test_a_tag_and_a_public_repository_that_are_there(hub, api, dits):
    hub.add_repository("model", REPO)
    theirs = the_model(hub).head.sha
    api.create_tag(REPO, tag="v1.0.0", repo_type="model")
    with pytest.raises(InputError, match=r"version v1\.0\.0 is not above v1\.0\.0, which is there: give a higher one"):
        publish(dits[0], REPO, version="v1.0.0", api=api)
    with pytest.raises(InputError, match="is there and public: make it private in its settings first"):
        publish(dits[0], REPO, private=True, api=api)
    assert (the_model(hub).head.sha, the_model(hub).tags) == (theirs, {"v1.0.0": theirs})
    assert publish(dits[0], REPO, api=api).version == "v2.0.0"
    assert the_model(hub).tags["v1.0.0"] == theirs


def test_the_command(hub, dits):
    hub.add_user("alice", TOKEN, orgs=["acme"])
    arguments = ["-m", "ddgs_hub", "publish", str(dits[0]), "--repo", REPO]
    offline = hub.run(arguments, token=TOKEN, env={"HF_HUB_OFFLINE": "1"})
    assert (offline.returncode, offline.stdout, len(offline.stderr.splitlines())) == (2, "", 1)
    assert offline.stderr.startswith("ddgs-hub: HF_HUB_OFFLINE is set, and what is on the Hub must be seen: unset it")
    assert hub.requests == []
    done = hub.run(arguments, "--private", token=TOKEN)
    assert (done.returncode, the_model(hub).settings["private"]) == (0, True), done.stderr
    listed = hub.run(["-m", "ddgs_hub", "versions", REPO], token=TOKEN)
    assert re.findall(r"^v\d\S+", listed.stdout, re.MULTILINE) == ["v1.0.0"], listed.stderr
    compared = hub.run(["-m", "ddgs_hub", "diff", REPO, "v1.0.0", "v1.0.0", "--json"], token=TOKEN)
    assert json.loads(compared.stdout)["same_weights"] is True, compared.stderr
    assert all(TOKEN not in part.stdout + part.stderr for part in (offline, done, listed, compared))


MEASURE = """
import resource, sys
from huggingface_hub import HfApi
from ddgs_hub.hub import publish
publish(sys.argv[1], "acme/tiny-ddgs-dit")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_weights_are_not_read_into_memory(hub, tmp_path):
    hub.add_user("alice", TOKEN, orgs=["acme"])
    folder, peaks = save_dit(tmp_path / "dit", 1), []
    for size in (1, 192):  # MB
        (folder / "transformer" / "large.safetensors").write_bytes(bytes(size * 2**20))
        done = hub.run(MEASURE, str(folder), token=TOKEN, fork=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    print(f"publishing 1 MB of weights takes {peaks[0]} MB of memory, 192 MB of weights {peaks[1]} MB")
    assert peaks[1] < peaks[0] + 64
    assert "v1.0.1" in the_model(hub).tags


# What loads it

LOAD = """
import json, sys
from pathlib import Path
import torch
from diffusers import DiTPipeline
from ddgs_hub.stages.pool import make_pool
from ddgs_hub.diffusion import load_dit
from ddgs_hub.recipe import parse_recipe

recipe, out = parse_recipe(json.loads(sys.argv[1])), {}
z = torch.linspace(-1, 1, 2 * 4 * 4 * 4).view(2, 4, 4, 4)
for repository in sys.argv[3:]:
    for revision in ("v1.0.0", "v2.0.0"):
        dit = load_dit(repository, revision=revision)
        with torch.inference_mode():
            found = dit(z, torch.tensor([7, 900]), torch.tensor([0, 1]), return_dict=False)[0]
        out[f"{repository} {revision}"] = found.flatten().tolist()
    make_pool(recipe, repository, Path(sys.argv[2]) / repository, per_class=1, revision="v1.0.0")
pipeline = DiTPipeline.from_pretrained(sys.argv[3], revision="v2.0.0")
assert pipeline.labels == {"zero": 0, "one": 1}
assert pipeline.transformer.config.num_embeds_ada_norm == 2
print(json.dumps(out))
"""


def output(dit):
    z = torch.linspace(-1, 1, 2 * 4 * 4 * 4).view(2, 4, 4, 4)
    with torch.inference_mode():
        return dit(z, torch.tensor([7, 900]), torch.tensor([0, 1]), return_dict=False)[0].flatten()


def test_load_and_generate_at_a_revision_and_again_offline(hub, api, dits, tmp_path):
    alone = f"{REPO}-adapter"
    base = save_base(tmp_path / "base")
    files = {path.relative_to(base).as_posix(): path.read_bytes() for path in base.rglob("*") if path.is_file()}
    hub.add_repository("model", BASE, files)
    for folder in dits[:2]:
        publish(folder, REPO, api=api)
        publish(folder, alone, adapter=True, api=api)
    for name, environment in (("online", {}), ("offline", {"HF_HUB_OFFLINE": "1"})):
        arguments = json.dumps(RECIPE), str(tmp_path / name), REPO, alone
        done = hub.run(LOAD, *arguments, token=TOKEN, home=tmp_path / "home", env=environment)
        assert done.returncode == 0, done.stderr
        for where, found in json.loads(done.stdout).items():
            expected = output(load_dit(dits["v2" in where]))
            torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-5, atol=1e-6)
        pools = [read_rows(tmp_path / name / repository) for repository in (REPO, alone)]
        assert [pool.features["label"].names for pool in pools] == [CLASSES.names] * 2
        assert [len(pool) for pool in pools] == [2, 2]
