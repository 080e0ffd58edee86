"""`ddgs_hub.load`: published rows at one commit with their protocol, from the Hub, its caches, or a folder."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hub_datasets import answers_of
from hub_server import HubServer
from huggingface_hub import HfApi
from published import REPO, export, make_rows, png, the_repository
from torch.utils.data import DataLoader

import ddgs_hub
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import undecoded, write_rows
from ddgs_hub.core.soft_labels import with_soft_labels
from ddgs_hub.evaluation import Protocol
from ddgs_hub.hub import publish

EVALUATE = {"network": "convnet", "width": 4, "image_size": 8, "epochs": 2}
POOL = "pool/train-00000-of-00001.parquet"
CONFIGS = "configs:\n- config_name: pool\n  data_files: [{split: train, path: pool/train-*}]\n"
# Loads each of its arguments, with its token where it has one; prints of each what it is, or what went wrong.
LOAD = """
import hashlib, json, os, sys
import ddgs_hub
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import undecoded

results = []
for argument in sys.argv[1:]:
    wanted = json.loads(argument)
    if "token" in wanted:
        os.environ["HF_TOKEN"] = wanted.pop("token")
    try:
        loaded = ddgs_hub.load(**wanted)
        images = [row["image"]["bytes"] for row in undecoded(loaded.rows)]
        results.append({
            "repo_id": loaded.repo_id, "commit": loaded.commit, "version": loaded.version,
            "image_size": loaded.protocol.image_size, "classes": loaded.class_names,
            "images": [hashlib.sha256(image).hexdigest() for image in images], "seeds": loaded.rows["seed"][:],
        })
    except InputError as error:
        results.append({"error": str(error)})
print(json.dumps(results))
"""
load = answers_of(LOAD)


def tell(run: Path, **changes: Any) -> Path:
    """Writes into the `provenance.json` of a run's folder, which is returned."""
    folder = run / "hub" / "tiny-ddgs-ipc2"
    values = json.loads((folder / "provenance.json").read_text())
    values["recipe"]["evaluate"] = EVALUATE
    (folder / "provenance.json").write_text(json.dumps({**values, **changes}))
    return folder


def with_pool(folder: Path, *seeds: int) -> Path:
    """Adds a configuration `pool` to a folder."""
    write_rows(make_rows(*seeds), folder)
    written = next((folder / "data").glob("train-*"))
    (folder / "pool").mkdir(exist_ok=True)
    written.rename(folder / POOL)
    card = (folder / "README.md").read_text()
    assert card.count("configs:\n") == 1
    (folder / "README.md").write_text(card.replace("configs:\n", CONFIGS))
    return folder


def expected(*seeds: int) -> dict[str, Any]:
    return {
        "repo_id": REPO,
        "image_size": 8,
        "classes": ["zero", "one"],
        "images": [hashlib.sha256(png(seed)).hexdigest() for seed in seeds],
        "seeds": list(seeds),
    }


@pytest.fixture
def two_versions(hub: HubServer, api: HfApi, tmp_path: Path) -> dict[str, str]:
    """Version → its commit. On top of the second one is a commit by somebody else, with a configuration `pool`."""
    for seeds in ((1, 2, 3, 4), (1, 2, 3, 5)):
        tell(export(tmp_path, seeds))
        publish(tmp_path, REPO, api=api)
    repository = the_repository(hub)
    buffer = io.BytesIO()
    pq.write_table(make_rows(1, 2, 3, 4, 5, 6).data.table, buffer)
    card = repository.read("README.md").decode().replace("configs:\n", CONFIGS)
    added = {POOL: repository.store(buffer.getvalue()), "README.md": repository.store(card.encode())}
    repository.commit("refs/heads/main", repository.find("main"), added, "a pool")
    return dict(repository.tags)


def test_a_revision_is_one_commit_online_and_offline(
    hub: HubServer, two_versions: dict[str, str], tmp_path: Path
) -> None:
    first, second = two_versions["v1.0.0"], two_versions["v1.1.0"]
    newest = the_repository(hub).find("main")
    hub.requests.clear()
    wanted = [
        {"repo_id": REPO, "revision": "v1.0.0"},
        {"repo_id": REPO, "revision": "v1.1.0"},
        {"repo_id": REPO, "revision": first},
        {"repo_id": REPO},
        {"repo_id": REPO, "name": "pool"},
    ]
    online = load(hub, *wanted, home=tmp_path)
    assert online == [
        {**expected(1, 2, 3, 4), "commit": first, "version": "v1.0.0"},
        {**expected(1, 2, 3, 5), "commit": second, "version": "v1.1.0"},
        {**expected(1, 2, 3, 4), "commit": first, "version": "v1.0.0"},
        {**expected(1, 2, 3, 5), "commit": newest, "version": "v1.1.0"},
        {**expected(1, 2, 3, 4, 5, 6), "commit": newest, "version": "v1.1.0"},
    ]
    assert hub.strays == []
    # HF_HOME is where the caches are.
    assert (tmp_path / "hub/datasets--acme--tiny-ddgs-ipc2").is_dir()
    assert (tmp_path / "datasets/acme___tiny-ddgs-ipc2").is_dir()
    hub.requests.clear()
    others = [
        {"repo_id": REPO, "revision": "v9.0.0"},
        {"repo_id": REPO, "revision": first, "name": "pool"},
        {"repo_id": "acme/never"},
    ]
    *offline, unknown, elsewhere, never = load(hub, *wanted, *others, home=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    assert offline == online
    for result, revision in ((unknown, "v9.0.0"), (elsewhere, first)):
        assert result["error"] == (
            f"HF_HUB_OFFLINE is set and {REPO} at revision '{revision}' is not in the cache: unset it, or fetch it "
            f"before with `hf download --repo-type dataset {REPO} --revision {revision}`"
        )
    assert never["error"].startswith("HF_HUB_OFFLINE is set and acme/never is not in the cache: unset it, or fetch it")
    assert hub.requests == []


def test_what_others_left_in_the_caches(hub: HubServer, two_versions: dict[str, str], tmp_path: Path) -> None:
    fetch = f"""
from datasets import load_dataset
from huggingface_hub import snapshot_download
from ddgs_hub.core.hub_client import Pinned, dataset_file
snapshot_download("{REPO}", repo_type="dataset", revision="v1.0.0")
load_dataset("{REPO}", revision="v1.1.0")
# The branch has moved on since it was pinned: the file is nevertheless that of the commit.
file = dataset_file(Pinned("{REPO}", "{two_versions["v1.0.0"]}"), "provenance.json")
assert '"version": "v1.0.0"' in file.read_text(), file
"""
    done = hub.run(fetch, home=tmp_path)
    assert done.returncode == 0, done.stderr
    hub.requests.clear()
    wanted = [{"repo_id": REPO, "revision": "v1.0.0"}, {"repo_id": REPO, "revision": two_versions["v1.1.0"]}]
    whole, partly = load(hub, *wanted, home=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    assert whole == {**expected(1, 2, 3, 4), "commit": two_versions["v1.0.0"], "version": "v1.0.0"}
    # `load_dataset` fetches no provenance.json, without which nobody knows the protocol.
    assert f"'{two_versions['v1.1.0']}' is not in the cache" in partly["error"]
    assert hub.requests == []


def test_faults_that_pass(hub: HubServer, two_versions: dict[str, str]) -> None:
    faults = [
        hub.fail("GET /api/datasets/.*/revision/", status=503),
        hub.fail("HEAD .*provenance.json", status=503),
        hub.fail("HEAD .*provenance.json", nth=2, drop="before"),
        hub.fail("GET .*provenance.json", drop="during"),
        hub.fail("HEAD .*parquet", drop="before"),
        hub.fail("GET /lfs/", status=503),
    ]
    (result,) = load(hub, {"repo_id": REPO, "revision": "v1.0.0"})
    assert result == {**expected(1, 2, 3, 4), "commit": two_versions["v1.0.0"], "version": "v1.0.0"}
    assert all(fault.happened for fault in faults)


def test_token_and_endpoint(hub: HubServer, two_versions: dict[str, str], free_port: int) -> None:
    hub.add_user("eve", "hf_eve")
    hub.add_user("reader", "hf_reader", role="read", orgs=["acme"])
    hub.set_private(the_repository(hub))
    wanted = {"repo_id": REPO, "revision": "v1.0.0"}
    cases = {
        "": f"there is no dataset {REPO} on {hub.url}, or it is private: correct the id, or log in with",
        "hf_eve": f"there is no dataset {REPO} on {hub.url}, or its token may not read it",
        "hf_wrong": f"{hub.url} does not accept the token for {REPO}",
    }
    result, *refusals = load(hub, *({**wanted, "token": token} for token in ("hf_reader", *cases)))
    assert result["commit"] == two_versions["v1.0.0"]
    for refused, sentence in zip(refusals, cases.values(), strict=True):
        assert sentence in refused["error"]
        assert "\n" not in refused["error"]
        assert "hf_" not in refused["error"]
    nowhere = f"http://127.0.0.1:{free_port}"
    (lost,) = load(hub, wanted, env={"HF_ENDPOINT": nowhere})
    assert lost["error"].startswith(f"cannot reach {nowhere} for {REPO}: check the connection")


def test_mistakes_and_repositories_of_others(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    tell(export(tmp_path), recipe={"evaluate": {"image_size": 8, "mixup": 1}})
    publish(tmp_path, REPO, api=api)
    rows = the_repository(hub).read("data/train-00000-of-00001.parquet")
    for name, text in (("list", "[1]"), ("words", "made by hand"), ("other", '{"recipe": "flour", "published": 1}')):
        files = {"data/train-0.parquet": rows, "provenance.json": text.encode()}
        hub.add_repository("dataset", f"acme/{name}", files)
    for name in ("none", "busy"):
        hub.add_repository("dataset", f"acme/{name}", {"data/train-0.parquet": rows})
    hub.add_repository("dataset", "acme/torn", {"data/train-0.parquet": rows[:-9]})
    hub.fail("HEAD .*acme/busy/.*provenance.json", status=400, times=None)
    others = [f"acme/{name}" for name in ("list", "words", "other", "none")]
    unknown, gone, split, config, path, busy, torn, *foreign = load(
        hub,
        {"repo_id": REPO},
        {"repo_id": REPO, "revision": "v9.0.0"},
        {"repo_id": "acme/none", "split": "dev"},
        {"repo_id": "acme/none", "name": "pool"},
        {"repo_id": "./nowhere"},
        {"repo_id": "acme/busy"},
        {"repo_id": "acme/torn"},
        *({"repo_id": name} for name in others),
    )
    told = f"the protocol (recipe.evaluate) in provenance.json of {REPO}: unknown key 'mixup'; known are network, width"
    assert unknown["error"].startswith(told)
    assert f"{REPO} has no revision 'v9.0.0'" in gone["error"]
    assert "cannot open split 'dev' of acme/none" in split["error"]
    assert "cannot open split 'train' of acme/none" in config["error"]
    assert "'pool' not found" in config["error"]
    assert path["error"].startswith("./nowhere is not a folder")
    assert torn["error"].startswith("cannot read acme/torn (train): Parquet magic bytes not found in footer")
    # Whether it has a protocol is not known: the paper's is not taken for it.
    assert busy["error"] == f"{hub.url} answered 400 while acme/busy was read: start the same command again"
    for name, result in zip(others, foreign, strict=True):
        assert result == {
            **expected(1, 2, 3, 4),
            "repo_id": name,
            "commit": hub.repository("dataset", name).find("main"),
            "version": None,
            "image_size": 4,  # their own: no protocol is named
        }


# Folders


def test_a_folder(tmp_path: Path) -> None:
    folder = tell(export(tmp_path))
    loaded = ddgs_hub.load(folder)
    assert (loaded.repo_id, loaded.commit, loaded.version) == (str(folder), None, None)
    assert loaded.protocol == Protocol(**EVALUATE)
    assert [row["image"]["bytes"] for row in undecoded(loaded.rows)] == [png(seed) for seed in (1, 2, 3, 4)]
    # Rewritten, it is read anew.
    with_pool(tell(export(tmp_path, (1, 2, 3, 5))), 1, 2, 3, 4, 5, 6)
    (folder / "data").mkdir(exist_ok=True)
    write_rows(make_rows(1, 2, 3, 5), folder)
    assert ddgs_hub.load(folder).rows["seed"][:] == [1, 2, 3, 5]
    assert ddgs_hub.load(folder, "pool").rows["seed"][:] == [1, 2, 3, 4, 5, 6]
    for given, sentence in (
        ({"name": "nope"}, "cannot open split 'train' of .*'nope' not found"),
        ({"name": "pool", "split": "validation"}, "cannot open split 'validation' of .*: it has train"),
        ({"split": "validation"}, "cannot open split 'validation' of .*: it has train"),
        ({"revision": "v1.0.0"}, "is a folder and has no revision 'v1.0.0': leave it out, or give a Hub id"),
    ):
        with pytest.raises(InputError, match=sentence):
            ddgs_hub.load(folder, **given)


def test_rows_for_a_data_loader(tmp_path: Path) -> None:
    loaded = ddgs_hub.load(tell(export(tmp_path, tuple(range(6)))))
    batches = list(DataLoader(loaded.training_rows(), batch_size=4, num_workers=1, multiprocessing_context="spawn"))
    assert [tuple(batch["image"].shape) for batch in batches] == [(4, 3, 8, 8), (2, 3, 8, 8)]
    assert [batch["label"].tolist() for batch in batches] == [[0, 1, 0, 1], [0, 1]]
    images, targets = loaded.mix(batches[0]["image"], batches[0]["label"])
    assert (images.shape, targets.shape) == ((4, 3, 8, 8), (4, 2))
    tests = loaded.validation_rows(make_rows(7, 8))
    assert (tests[1]["image"] == loaded.validation_transform(make_rows(7, 8)[1]["image"])).all()
    renamed = make_rows(7, 8).cast_column("label", type(loaded.rows.features["label"])(names=["one", "zero"]))
    with pytest.raises(InputError, match="a label must mean the same class in both"):
        loaded.validation_rows(renamed)
    with pytest.raises(InputError, match="the validation set has no column 'image'"):
        loaded.validation_rows(make_rows(7).remove_columns("image"))


def test_soft_labels_for_a_data_loader(tmp_path: Path) -> None:
    rows = make_rows(*range(6))
    classes = np.array([[k % 2, 1 - k % 2] for k in range(6)], dtype=np.int32)
    probabilities = np.float16([[1 - k / 10, k / 10] for k in range(6)])
    write_rows(with_soft_labels(rows, classes, probabilities).select([4, 1, 2]), tmp_path)
    loaded = ddgs_hub.load(tmp_path).with_protocol(Protocol(**EVALUATE, labels="soft", cutmix=0))
    (batch,) = DataLoader(loaded.training_rows(), batch_size=3)
    expected = torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2]])
    torch.testing.assert_close(batch["label"], expected, atol=1e-3, rtol=0)
    _, targets = loaded.mix(batch["image"], batch["label"])
    torch.testing.assert_close(targets, batch["label"])
    assert loaded.with_protocol(Protocol(**EVALUATE)).training_rows()[:]["label"] == [0, 1, 0]
    with pytest.raises(InputError, match="there are no soft labels in "):
        ddgs_hub.load(tell(export(tmp_path))).with_protocol(loaded.protocol).training_rows()


def test_importing_the_package_is_light() -> None:
    script = """
import sys
import ddgs_hub
assert not {"torch", "datasets", "huggingface_hub"} & sys.modules.keys()
try:
    ddgs_hub.nothing
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)  # not one that is forked
    assert done.stdout == "module 'ddgs_hub' has no attribute 'nothing'\n", done.stderr
