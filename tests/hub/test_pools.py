"""A set that is published with its pool: its configurations load, and another IPC is sampled from them."""

import json
import os
import re

import pytest
import yaml
from datasets import Image, load_dataset
from huggingface_hub import CommitOperationDelete, snapshot_download
from published import (
    REPO,
    TOKEN,
    assert_whole,
    commit,
    export,
    export_with_pool,
    make_rows,
    provenance,
    the_repository,
)

from ddgs_hub import __version__
from ddgs_hub.errors import InputError
from ddgs_hub.hub import add_pool, describe_rows, hash_pool, publish_dataset
from ddgs_hub.hub.content import POOL_COLUMNS, hash_rows
from ddgs_hub.hub.export import sha256_of
from ddgs_hub.hub.merging import split_card
from ddgs_hub.hub_sources import split_revision
from ddgs_hub.recipe import changed_keys
from ddgs_hub.rows import read_rows, write_rows

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


@pytest.fixture
def pooled(tmp_path):
    return export_with_pool(tmp_path / "run")


def folder_of(run):
    return run / "hub" / "tiny-ddgs-ipc2"


def configs(repository, revision="main"):
    metadata, _ = split_card(repository.read("README.md", revision).decode(), "it")
    infos = metadata["dataset_info"]
    named = [entry["config_name"] for entry in infos] if isinstance(infos, list) else ["default"]
    assert sorted(named) == sorted(entry["config_name"] for entry in metadata["configs"])
    return [entry["config_name"] for entry in metadata["configs"]]


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
    with pytest.raises(InputError, match="is a DiT, which has no pool: leave out --pool"):
        add_pool(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "data", "provenance.json"]


# Publishing it


def test_another_process_loads_every_configuration(hub, api, pooled):
    assert publish_dataset(pooled, REPO, pool=True, api=api).version == "v1.0.0"
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
    assert publish_dataset(pooled, REPO, api=api).version == "v1.0.0"
    made = publish_dataset(pooled, REPO, pool=True, api=api)
    files = f"README.md, original/{SHARD}, pool/{SHARD}"
    assert (made.version, made.changes) == ("v1.0.1", f"the same rows; changed: {files}")
    assert publish_dataset(pooled, REPO, pool=True, api=api).action == "unchanged"
    repository = the_repository(hub)
    pool, section = repository.read(f"pool/{SHARD}"), repository.read("README.md").decode().split("## The pool\n")[1]
    # Without its pool, and with other rows of it: the one that is there is still theirs.
    export_with_pool(pooled)
    assert publish_dataset(pooled, REPO, api=api).action == "unchanged"
    export_with_pool(pooled, seed=5)
    made = publish_dataset(pooled, REPO, api=api)
    assert (made.version, made.changes, made.removed) == ("v1.1.0", "new rows from the same pool", [])
    assert set(made.kept) == {".gitattributes", f"original/{SHARD}", f"pool/{SHARD}"}
    assert publish_dataset(pooled, REPO, api=api).action == "unchanged"
    export_with_pool(pooled, seed=5, note="A term.")
    assert publish_dataset(pooled, REPO, api=api).version == "v1.1.1"
    assert configs(repository) == ["default", "original", "pool"]
    card = repository.read("README.md").decode()
    assert card.split("## The pool\n")[1].split("## How")[0] == section.split("## How")[0]
    assert repository.read(f"pool/{SHARD}") == pool
    assert_whole(hub, "v1.0.0", "v1.0.1", "v1.1.0", "v1.1.1")


def test_another_pool_replaces_it(hub, api, pooled):
    publish_dataset(pooled, REPO, pool=True, api=api)
    export_with_pool(pooled, first=50)
    made = publish_dataset(pooled, REPO, pool=True, api=api)
    assert (made.version, made.changes) == ("v2.0.0", "another pool")
    repository = the_repository(hub)
    assert repository.read(f"pool/{SHARD}") == (pooled / "pool/data" / SHARD).read_bytes()
    assert configs(repository) == ["default", "original", "pool"]
    export_with_pool(pooled, first=100)
    plan = publish_dataset(pooled, REPO, dry_run=True, api=api)
    assert (plan.version, plan.removed) == ("v3.0.0", [f"original/{SHARD}", f"pool/{SHARD}"])
    publish_dataset(pooled, REPO, api=api)
    assert configs(repository) == ["default"]
    assert "The pool" not in repository.read("README.md").decode()
    assert publish_dataset(pooled, REPO, api=api).action == "unchanged"
    assert set(repository.head.files) == {".gitattributes", "README.md", "provenance.json", f"data/{SHARD}"}
    assert_whole(hub, "v1.0.0", "v2.0.0", "v3.0.0")


def test_configurations_of_others_stay(hub, api, pooled, tmp_path):
    publish_dataset(pooled, REPO, api=api)
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
    publish_dataset(pooled, REPO, api=api)
    assert repository.read("pool/train-9.parquet") == theirs  # not what ddgs-hub calls a pool
    assert configs(repository) == ["default", "extra", "pool"]
    publish_dataset(pooled, REPO, pool=True, api=api)
    assert configs(repository) == ["default", "original", "pool", "extra"]
    assert "pool/train-9.parquet" not in repository.head.files  # its rows would be loaded with ours
    export_with_pool(pooled, first=50)
    publish_dataset(pooled, REPO, api=api)
    assert configs(repository) == ["default", "extra"]
    assert repository.read("extra/a.parquet") == theirs


def test_a_pool_that_was_deleted_by_hand_is_not_told_of(hub, api, pooled):
    publish_dataset(pooled, REPO, pool=True, api=api)
    deleted = [CommitOperationDelete(f"{name}/{SHARD}") for name in ("pool", "original")]
    api.create_commit(REPO, deleted, repo_type="dataset", commit_message="by hand")
    export_with_pool(pooled, note="A term.")
    publish_dataset(pooled, REPO, api=api)
    assert configs(the_repository(hub)) == ["default"]
    assert "## The pool" not in the_repository(hub).read("README.md").decode()
    assert publish_dataset(pooled, REPO, api=api).action == "unchanged"


def test_a_dry_run_leaves_the_folder_as_it_is(hub, api, pooled):
    before = (folder_of(pooled) / "README.md").read_text()
    plan = publish_dataset(pooled, REPO, pool=True, dry_run=True, api=api)
    assert set(plan.added) >= FILES
    assert "## The pool\n" in plan.card
    assert (folder_of(pooled) / "README.md").read_text() == before
    assert [path.name for path in (pooled / "hub").iterdir()] == ["tiny-ddgs-ipc2"]
    assert hub.store.get("dataset", REPO) is None


# Sampling from it


SAMPLE = """
import contextlib, io, json, sys
from ddgs_hub import cli

done = []
for arguments in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), None
    sys.argv = ["ddgs-hub", "sample", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as exit:
            code = exit.code
    done.append([code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""


def sample(hub, output, *calls, **options):
    """What each call of `ddgs-hub sample`, all in one process, came to: exit code, what it printed, and its folder."""
    folders = [output / str(k) for k in range(len(calls))]
    # Of an option that is given twice the last one counts.
    every = [["--ipc", "2", "--seed", "3", *call, "--output", str(f)] for call, f in zip(calls, folders, strict=True)]
    run = hub.run(SAMPLE, json.dumps(every), **options)
    assert run.returncode == 0, run.stderr
    done = json.loads(run.stdout.splitlines()[-1])
    return [(code, out, err, folder) for (code, out, err), folder in zip(done, folders, strict=True)]


def shard(folder):
    return (folder / "data" / SHARD).read_bytes()


def test_the_published_pool_gives_the_runs_own_rows(hub, api, pooled, tmp_path):
    publish_dataset(pooled, REPO, pool=True, api=api)
    pinned = {"id": REPO, "commit": the_repository(hub).tags["v1.0.0"]}
    calls = [
        ["--pool", f"{REPO}@v1.0.0"],
        ["--pool", REPO],
        ["--pool", REPO, "--original", str(pooled / "original")],
        ["--pool", REPO, "--original", REPO],
        ["--pool", str(pooled / "pool"), "--original", str(folder_of(pooled))],
        ["--pool", str(folder_of(pooled))],  # into which publishing has put it
    ]
    found = sample(hub, tmp_path / "out", *([*call, "--json"] for call in calls))
    for (code, out, err, folder), call in zip(found, calls, strict=True):
        assert code == 0, err
        assert shard(folder) == shard(pooled / "distilled-ipc2"), call
        told = json.loads((folder / "sampling.json").read_text())
        assert told["pool"] == json.loads(out)["sources"]["pool"] == (pinned if REPO in call[1] else None)
        assert told["original"] == (pinned if call[-1].startswith(REPO) else None)
        assert (told["sample"]["ipc"], told["seed"]) == (2, 3)


def test_the_commands(hub, pooled, tmp_path):
    hub.add_user("alice", TOKEN, orgs=["acme"])
    done = hub.run(["-m", "ddgs_hub", "publish", str(pooled), "--repo", REPO, "--pool"], token=TOKEN)
    assert done.stdout.startswith(f"{REPO} v1.0.0: the first version\n"), done.stderr
    command = ["-m", "ddgs_hub", "sample", "--pool", f"{REPO}@v1.0.0", "--ipc", "5", "--output", str(tmp_path / "out")]
    done = hub.run(command)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("10 images, mean difficulty 0."), done.stderr
    assert lines[1:] == [
        f"pool of {REPO} at commit {the_repository(hub).tags['v1.0.0']}",
        f"to publish: {tmp_path}/out/hub/tiny-ddgs-ipc5, with its card",
    ]
    assert read_rows(tmp_path / "out")["label"][:] == [0] * 5 + [1] * 5


def test_a_scored_dataset_as_original_is_read_without_its_images(hub, api, pooled, tmp_path):
    publish_dataset(pooled, REPO, pool=True, api=api)
    big = make_rows(*range(200, 220)).remove_columns(["image", "seed"])
    noise = [{"bytes": os.urandom(200_000), "path": None} for _ in range(20)]
    write_rows(big.add_column("image", noise, feature=Image()), tmp_path / "scored")
    write_rows(big, tmp_path / "alone")
    for name in ("scored", "alone"):
        hub.add_repository("dataset", f"acme/{name}", {f"data/{SHARD}": shard(tmp_path / name)})
    calls = [["--pool", REPO, "--original", f"acme/{name}"] for name in ("scored", "alone")]
    asked = len(hub.requests)
    for (code, _, err, folder), call in zip(sample(hub, tmp_path / "out", *calls), calls, strict=True):
        assert code == 0, err
        assert shard(folder) == shard(pooled / "distilled-ipc2")
        assert json.loads((folder / "sampling.json").read_text())["original"]["id"] == call[-1]
    assert sum(request.sent for request in hub.requests[asked:]) < 400_000  # of ten times as much


def test_offline_it_is_sampled_from_the_cache(hub, api, pooled, tmp_path):
    publish_dataset(pooled, REPO, pool=True, api=api)
    home, offline = tmp_path / "home", {"HF_HUB_OFFLINE": "1"}
    calls = [["--pool", f"{REPO}@v1.0.0"], ["--pool", REPO]]
    for (code, _, err, _), call in zip(sample(hub, tmp_path, *calls, home=home, env=offline), calls, strict=True):
        assert code == 2
        at = call[1].replace("@v1.0.0", " at revision 'v1.0.0'")
        assert err.startswith(f"ddgs-hub: HF_HUB_OFFLINE is set and {at} is not in the cache")
    assert [code for code, *_ in sample(hub, tmp_path / "online", *calls, home=home)] == [0, 0]
    asked = len(hub.requests)
    for code, _, err, folder in sample(hub, tmp_path / "offline", *calls, home=home, env=offline):
        assert code == 0, err
        assert shard(folder) == shard(pooled / "distilled-ipc2")
    assert len(hub.requests) == asked
    # Of a scored dataset no images are fetched, and so nothing is left in the cache: until somebody fetches it.
    command, name = ["--pool", REPO, "--original", "acme/scored"], "acme/scored"
    hub.add_repository("dataset", name, {f"data/{SHARD}": shard(pooled / "original")})
    ((code, _, err, _),) = sample(hub, tmp_path / "refused", command, home=home, env=offline)
    assert (code, f"fetch it before with `hf download --repo-type dataset {name}`" in err) == (2, True)
    snapshot_download(name, repo_type="dataset", endpoint=hub.url, cache_dir=home / "hub")
    ((code, _, err, folder),) = sample(hub, tmp_path / "given", command, home=home, env=offline)
    assert code == 0, err
    assert shard(folder) == shard(pooled / "distilled-ipc2")


def test_what_cannot_be_sampled_from(hub, api, pooled, tmp_path):
    publish_dataset(export(tmp_path / "alone"), REPO, api=api)
    publish_dataset(pooled, "acme/pooled", pool=True, api=api)
    hub.set_private(hub.repository("dataset", "acme/pooled"), True)
    hub.add_repository("dataset", "acme/half", {f"pool/{SHARD}": shard(pooled / "pool")})
    hub.add_repository("dataset", "acme/words", {"data.csv": b"a,b\n1,2\n"})
    write_rows(make_rows(1, 2).remove_columns("difficulty"), tmp_path / "plain")
    hub.add_repository("dataset", "acme/plain", {f"data/{SHARD}": shard(tmp_path / "plain")})
    refused = {
        ("acme/none",): "there is no dataset acme/none on .*, or it is private",
        ("acme/pooled",): "there is no dataset acme/pooled on .*, or it is private",
        (f"{REPO}@v9.0.0",): f"{REPO} has no revision 'v9.0.0'",
        (f"{REPO}@",): "is neither a folder nor OWNER/NAME or OWNER/NAME@REVISION",
        (f"{REPO}@v1.0.0",): f"{REPO}@v1.0.0 was published without its pool: give a revision that has it, or ask its "
        f"owner for `ddgs-hub publish RUN --repo {REPO} --pool`",
        ("acme/half",): "acme/half was published without the difficulties of its original: give --original",
        (str(pooled / "pool"),): "pool is a pool without its scored original: give --original",
        ("acme/half", "--original", "acme/words"): "cannot read the difficulties of acme/words: ",
        ("acme/half", "--original", "acme/plain"): "the original dataset has no column 'difficulty': it has label",
        ("acme/half", "--original", "acme/none"): "there is no dataset acme/none on ",
    }
    asked = len(hub.requests)
    found = sample(hub, tmp_path / "out", *(["--pool", *call] for call in refused))
    for (code, out, err, folder), message in zip(found, refused.values(), strict=True):
        assert (code, out, folder.exists()) == (2, "", False)
        assert re.search(message, err)
        assert [line for line in err.splitlines() if line.startswith("ddgs-hub: ")] == [err.splitlines()[-1]]
    assert {request.method for request in hub.requests[asked:]} <= {"GET", "HEAD"}
    ((code, _, err, _),) = sample(hub, tmp_path / "out", ["--pool", "acme/pooled", "--pool-size", "9"], token=TOKEN)
    assert (code, "class 'zero' has 8 images in the pool, fewer than 9 × IPC 2" in err) == (2, True)


# Publishing what was sampled


def test_what_was_sampled_can_be_published(hub, api, pooled, tmp_path):
    publish_dataset(pooled, REPO, pool=True, api=api)
    commit_of, other = the_repository(hub).tags["v1.0.0"], "acme/tiny-ddgs-ipc5"
    ((code, out, err, folder),) = sample(hub, tmp_path / "out", ["--pool", REPO, "--ipc", "5", "--weight", "0.25"])
    assert (code, out.splitlines()[-1]) == (0, f"to publish: {folder}/hub/tiny-ddgs-ipc5, with its card"), err
    assert shard(folder / "hub/tiny-ddgs-ipc5") == shard(folder)
    made = publish_dataset(folder, other, api=api)
    assert made.version == "v1.0.0"
    told, theirs = provenance(hub.repository("dataset", other)), provenance(the_repository(hub))
    assert told["content"] == {**theirs["content"], **describe_rows(read_rows(folder))}
    pinned = {"id": REPO, "commit": commit_of}
    assert told["sampled"] == {"pool": pinned, "original": pinned, "seed": 3, "versions": {"ddgs-hub": __version__}}
    assert changed_keys(theirs["recipe"], told["recipe"]) == {"sample.ipc": [2, 5], "sample.weight": [0.5, 0.25]}
    assert "They were selected from a pool 1.6 times as large" in made.card
    assert f"| Pool | 8 images a class, published with `{REPO}`, commit `{commit_of[:8]}` |" in made.card
    assert "## Evaluation" not in made.card
    assert "![Images of each class" in made.card
    # The command in the card makes the same rows again.
    card = made.card.replace(" \\\n   ", "")  # long commands go over several lines
    (command,) = re.findall(r"^ddgs-hub sample (--pool .*) --output distilled-ipc5$", card, re.MULTILINE)
    ((code, _, err, again),) = sample(hub, tmp_path / "again", command.split())
    assert shard(again) == shard(folder), err
    # As the next version of the set whose pool it is, it is one with other rows, and the pool stays.
    made = publish_dataset(folder, REPO, api=api)
    assert (made.version, made.changes) == ("v1.1.0", "new rows from the same pool")
    assert configs(the_repository(hub)) == ["default", "original", "pool"]
    with pytest.raises(InputError, match="is in no run folder with a pool/: publish it from its run"):
        publish_dataset(folder, REPO, pool=True, api=api)


def test_no_repository_where_it_is_not_told_what_made_the_pool(hub, api, pooled, tmp_path):
    publish_dataset(pooled, REPO, pool=True, api=api)
    files = {name: the_repository(hub).read(name) for name in (f"pool/{SHARD}", f"original/{SHARD}")}
    told = provenance(the_repository(hub))
    unknown = {**told, "recipe": {**told["recipe"], "of_tomorrow": 1}}
    for name, text in (("bare", None), ("words", b"{"), ("list", b"[]"), ("unknown", json.dumps(unknown).encode())):
        hub.add_repository("dataset", f"acme/{name}", {**files, **({"provenance.json": text} if text else {})})
    found = sample(
        hub, tmp_path / "out", *(["--pool", f"acme/{name}"] for name in ("bare", "words", "list", "unknown"))
    )
    for code, out, err, folder in found:
        assert (code, len(out.splitlines())) == (0, 2), err
        assert sorted(path.name for path in folder.iterdir()) == ["data", "sampling.json", "selections.json"]
        assert shard(folder) == shard(pooled / "distilled-ipc2")


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "during"}, {"drop": "before"}], ids=str)
def test_a_hub_that_stumbles(hub, api, pooled, tmp_path, fault):
    publish_dataset(pooled, REPO, pool=True, api=api)
    planned = [hub.fail(f"(GET|HEAD) .*{part}", **fault) for part in ("/revision/v1.0.0", "/tree/", "/resolve/.*pool")]
    ((code, _, err, folder),) = sample(hub, tmp_path / "out", ["--pool", f"{REPO}@v1.0.0"])
    assert code == 0, err
    assert all(fault.met for fault in planned)
    assert shard(folder) == shard(pooled / "distilled-ipc2")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("a/b", ("a/b", None)), ("a/b@v1.0.0", ("a/b", "v1.0.0")), ("a/b@refs/pr/1", ("a/b", "refs/pr/1"))],
)
def test_split_revision(spec, expected):
    assert split_revision(spec) == expected


@pytest.mark.parametrize("spec", ["", "a", "a/b@", "@v1", "a/b/c", "/a/b", "./a", "~/a", "a@v1"])
def test_what_is_no_published_dataset(spec):
    with pytest.raises(InputError, match="is neither a folder nor OWNER/NAME or OWNER/NAME@REVISION"):
        split_revision(spec)
