"""A set that is published with its pool: its configurations load, and another IPC is sampled from them."""

import json
import os

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import CommitOperationDelete
from published import (
    REPO,
    assert_whole,
    commit,
    configs,
    export_with_pool,
    make_rows,
    the_repository,
)

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import split_card
from ddgs_hub.core.hashing import sha256_of
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.hub import add_pool, hash_pool, publish
from ddgs_hub.hub.folders.hashes import POOL_COLUMNS, hash_rows

SHARD = "train-00000-of-00001.parquet"
FILES = {f"{folder}/{SHARD}" for folder in ("data", "pool", "original")}
LOAD = """
import json, sys
from datasets import load_dataset

out = {}
for streaming in (False, True):
    for name in (None, "pool", "original"):
        rows = load_dataset(sys.argv[1], name, split="train", revision="v1.0.0", streaming=streaming)
        labels = [row["label"] for row in rows]
        sizes = [row["image"].size for row in rows] if "image" in rows.features else []
        out[f"{name} {streaming}"] = [len(labels), labels.count(0), len(sizes), list(rows.features)]
print(json.dumps(out))
"""


def folder_of(run):
    return run / "hub" / "tiny-ddgs-ipc2"


# The folder


def test_the_folder_with_its_pool(pooled, tmp_path):
    folder = add_pool(folder_of(pooled))
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
        *FILES,
        "README.md",
        "provenance.json",
    }
    assert (folder / "pool" / SHARD).read_bytes() == (pooled / "pool/data" / SHARD).read_bytes()
    pool = load_dataset(str(folder), "pool", split="train", cache_dir=str(tmp_path / "cache"))
    assert (len(pool), sum(pool["selected"]), pool.features["label"].names) == (16, 4, ["zero", "one"])
    original = load_dataset(str(folder), "original", split="train", cache_dir=str(tmp_path / "cache"))
    expected = read_rows(pooled / "original").remove_columns("image")
    assert set(original.column_names) == {"label", "source_index", "difficulty"}
    assert all(original[name][:] == expected[name][:] for name in original.column_names)
    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["seed"][:] == read_rows(pooled / "distilled-ipc2")["seed"][:]


def test_adding_it_again_changes_nothing_and_another_pool_replaces_it(pooled):
    first = {path: path.read_bytes() for path in add_pool(folder_of(pooled)).rglob("*.*")}
    assert {path: path.read_bytes() for path in add_pool(folder_of(pooled)).rglob("*.*")} == first
    export_with_pool(pooled, first=50)
    folder = add_pool(folder_of(pooled))
    assert (folder / "pool" / SHARD).read_bytes() == (pooled / "pool/data" / SHARD).read_bytes()
    card = (folder / "README.md").read_text()
    assert card.count("## The pool\n") == card.count("config_name: pool\n  data_files") == 1
    assert sha256_of([folder / "pool" / SHARD]) in card


def test_a_pool_of_several_files(pooled, tmp_path):
    rows = read_rows(pooled / "pool")
    for k in range(2):
        write_rows(rows.select(range(8 * k, 8 * k + 8)), tmp_path / "part")
        os.replace(tmp_path / "part/data" / SHARD, pooled / f"pool/data/train-0000{k}-of-00002.parquet")
    (pooled / "pool/data" / SHARD).unlink()
    assert hash_pool(pooled / "pool") == hash_rows(rows, POOL_COLUMNS)
    folder = add_pool(folder_of(pooled))
    assert len(load_dataset(str(folder), "pool", split="train", cache_dir=str(tmp_path / "cache"))) == 16


def test_where_there_is_no_link_it_is_a_copy(pooled, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert (add_pool(folder_of(pooled)) / "pool" / SHARD).read_bytes() == (pooled / "pool/data" / SHARD).read_bytes()


def test_folders_whose_pool_cannot_be_added(pooled, tmp_path):
    folder = folder_of(pooled)
    with pytest.raises(
        InputError, match=r"no provenance\.json in .*pool says from which pool its rows are: give a finished run"
    ):
        add_pool(pooled / "pool")
    (pooled / "away").mkdir()
    os.rename(folder, pooled / "away" / folder.name)
    with pytest.raises(InputError, match=r"is in no run folder with a pool/: publish it from its run"):
        add_pool(pooled / "away" / folder.name)
    os.rename(pooled / "away" / folder.name, folder)
    write_rows(read_rows(pooled / "original").remove_columns("difficulty"), pooled / "original")
    with pytest.raises(InputError, match="original has no column 'difficulty': finish the run"):
        add_pool(folder)
    write_rows(read_rows(pooled / "pool").select(range(15)), pooled / "pool")
    write_rows(make_rows(*range(4)), pooled / "original")
    with pytest.raises(InputError, match=r"pool is not the pool that the rows of .*ipc2 were selected from"):
        add_pool(folder)
    values = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps({**values, "kind": "dit"}))
    with pytest.raises(InputError, match="is a DiT, which has no pool: leave out --with-pool"):
        add_pool(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "data", "provenance.json"]


# Publishing it


def test_another_process_loads_every_configuration(hub, api, pooled):
    assert publish(pooled, REPO, pool=True, api=api).version == "v1.0.0"
    columns = ["image", "label", "seed", "difficulty", "pool_index"]
    loaded = hub.run(LOAD, REPO)
    found = json.loads(loaded.stdout.splitlines()[-1]) if loaded.returncode == 0 else loaded.stderr
    for streaming in (False, True):
        assert found[f"None {streaming}"] == [4, 2, 4, [*columns, "difficulty_log", "difficulty_bin"]]
        assert found[f"pool {streaming}"] == [16, 8, 16, [*columns, "selected", "difficulty_log", "difficulty_bin"]]
        assert found[f"original {streaming}"] == [20, 10, 0, ["label", "source_index", "difficulty"]]
    card = the_repository(hub).read("README.md").decode()
    assert f'load_dataset("{REPO}", "pool", split="train")' in card
    assert f"ddgs-hub sample --pool {REPO} --ipc 4 " in card
    assert "OWNER" not in card


def test_a_pool_that_comes_later_and_stays(hub, api, pooled):
    assert publish(pooled, REPO, api=api).version == "v1.0.0"
    made = publish(pooled, REPO, pool=True, api=api)
    files = f"README.md, original/{SHARD}, pool/{SHARD}"
    assert (made.version, made.changes) == ("v1.0.1", f"the same rows; changed: {files}")
    assert publish(pooled, REPO, pool=True, api=api).action == "unchanged"
    repository = the_repository(hub)
    pool, section = repository.read(f"pool/{SHARD}"), repository.read("README.md").decode().split("## The pool\n")[1]
    # Without its pool, and with other rows of it: the one that is there is still theirs.
    export_with_pool(pooled)
    assert publish(pooled, REPO, api=api).action == "unchanged"
    export_with_pool(pooled, seed=5)
    made = publish(pooled, REPO, api=api)
    assert (made.version, made.changes, made.removed) == ("v1.1.0", "new rows from the same pool", [])
    assert set(made.kept) == {".gitattributes", f"original/{SHARD}", f"pool/{SHARD}"}
    assert publish(pooled, REPO, api=api).action == "unchanged"
    export_with_pool(pooled, seed=5, note="A term.")
    assert publish(pooled, REPO, api=api).version == "v1.1.1"
    assert configs(repository) == ["default", "original", "pool"]
    card = repository.read("README.md").decode()
    assert card.split("## The pool\n")[1].split("## How")[0] == section.split("## How")[0]
    assert repository.read(f"pool/{SHARD}") == pool
    assert_whole(hub, "v1.0.0", "v1.0.1", "v1.1.0", "v1.1.1")


def test_another_pool_replaces_it(hub, api, pooled):
    publish(pooled, REPO, pool=True, api=api)
    export_with_pool(pooled, first=50)
    made = publish(pooled, REPO, pool=True, api=api)
    assert (made.version, made.changes) == ("v2.0.0", "another pool")
    repository = the_repository(hub)
    assert repository.read(f"pool/{SHARD}") == (pooled / "pool/data" / SHARD).read_bytes()
    assert configs(repository) == ["default", "original", "pool"]
    export_with_pool(pooled, first=100)
    plan = publish(pooled, REPO, dry_run=True, api=api)
    assert (plan.version, plan.removed) == ("v3.0.0", [f"original/{SHARD}", f"pool/{SHARD}"])
    publish(pooled, REPO, api=api)
    assert configs(repository) == ["default"]
    assert "The pool" not in repository.read("README.md").decode()
    assert publish(pooled, REPO, api=api).action == "unchanged"
    assert set(repository.head.files) == {".gitattributes", "README.md", "provenance.json", f"data/{SHARD}"}
    assert_whole(hub, "v1.0.0", "v2.0.0", "v3.0.0")


def test_configurations_of_others_stay(hub, api, pooled, tmp_path):
    publish(pooled, REPO, api=api)
    repository, theirs = the_repository(hub), (pooled / "pool/data" / SHARD).read_bytes()
    card = repository.read("README.md").decode()
    extra = "- config_name: extra\n  data_files: extra/*.parquet\n- config_name: pool\n  data_files: pool/*.parquet\n"
    metadata, text = split_card(card.replace("configs:\n", f"configs:\n{extra}"), "it")
    info = {key: value for key, value in metadata["dataset_info"].items() if key == "features"}
    named = [("default", metadata["dataset_info"]), ("extra", info), ("pool", info)]
    metadata["dataset_info"] = [{"config_name": name, **values} for name, values in named]
    front = yaml.safe_dump(metadata, sort_keys=False)
    files = {
        "extra/a.parquet": theirs,
        "pool/train-9.parquet": theirs,
        "README.md": f"---\n{front}---\n{text}".encode(),
    }
    commit(api, files)
    export_with_pool(pooled, note="A term.")
    publish(pooled, REPO, api=api)
    assert repository.read("pool/train-9.parquet") == theirs  # not what ddgs-hub calls a pool
    assert configs(repository) == ["default", "extra", "pool"]
    publish(pooled, REPO, pool=True, api=api)
    assert configs(repository) == ["default", "original", "pool", "extra"]
    assert "pool/train-9.parquet" not in repository.head.files  # its rows would be loaded with ours
    export_with_pool(pooled, first=50)
    publish(pooled, REPO, api=api)
    assert configs(repository) == ["default", "extra"]
    assert repository.read("extra/a.parquet") == theirs


def test_a_pool_that_was_deleted_by_hand_is_not_told_of(hub, api, pooled):
    publish(pooled, REPO, pool=True, api=api)
    deleted = [CommitOperationDelete(f"{name}/{SHARD}") for name in ("pool", "original")]
    api.create_commit(REPO, deleted, repo_type="dataset", commit_message="by hand")
    export_with_pool(pooled, note="A term.")
    publish(pooled, REPO, api=api)
    assert configs(the_repository(hub)) == ["default"]
    assert "## The pool" not in the_repository(hub).read("README.md").decode()
    assert publish(pooled, REPO, api=api).action == "unchanged"


def test_a_dry_run_leaves_the_folder_as_it_is(hub, api, pooled):
    before = (folder_of(pooled) / "README.md").read_text()
    plan = publish(pooled, REPO, pool=True, dry_run=True, api=api)
    assert set(plan.added) >= FILES
    assert "## The pool\n" in plan.card
    assert (folder_of(pooled) / "README.md").read_text() == before
    assert [path.name for path in (pooled / "hub").iterdir()] == ["tiny-ddgs-ipc2"]
    assert hub.store.get("dataset", REPO) is None
