"""Sampling from a published pool, and publishing what was sampled."""

import json
import os
import re
from pathlib import Path

import pytest
from clients import environment, run
from datasets import Dataset, Features, Image, Value
from huggingface_hub import snapshot_download
from published import (
    FEATURES,
    REPO,
    TOKEN,
    configs,
    export,
    make_rows,
    provenance,
    the_repository,
)

from ddgs_hub import __version__
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.front_matter import read_front_matter
from ddgs_hub.core.revisions import split_revision
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.hub import add_pool, describe_rows, open_pool, publish
from ddgs_hub.recipe import SampleSettings, changed_keys
from ddgs_hub.sampling.datasets import MARKS
from ddgs_hub.stages.pool_origin import find_origin
from ddgs_hub.stages.sample import make_distilled
from ddgs_hub.stages.score_request import ScoreRequest

SHARD = "train-00000-of-00001.parquet"


def folder_of(run):
    return run / "hub" / "tiny-ddgs-ipc2"


# Sampling from it


SAMPLE = """
import contextlib, io, json, sys
from ddgs_hub.cli import main as cli

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
    publish(pooled, REPO, pool=True, api=api)
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


def test_scores_that_were_not_followed_do_not_go_up_with_a_pool(pooled, tmp_path):
    """A stranger's folder can name the scored images of whoever publishes it."""
    made = make_distilled(SampleSettings(ipc=2), pooled / "pool", pooled / "original", tmp_path / "out")
    repository, note = Path(made.values["repository"]), tmp_path / "out/sampling.json"
    rows = read_rows(pooled / "original")
    others = rows.map(lambda row: {"difficulty": row["difficulty"] / 2}, features=rows.features)
    write_rows(others, tmp_path / "private")
    told = json.loads(note.read_text())
    note.write_text(json.dumps({**told, "folders": {**told["folders"], "original": str(tmp_path / "private")}}))
    with pytest.raises(InputError, match=r"private has not the scores that .*sampling.json notes: sample again"):
        add_pool(repository)
    note.write_text(json.dumps(told))
    add_pool(repository)
    assert (repository / "original").is_dir()


def test_the_commands(hub, pooled, tmp_path):
    hub.add_user("alice", TOKEN, orgs=["acme"])
    done = hub.run(["-m", "ddgs_hub", "publish", str(pooled), "--repo", REPO, "--with-pool"], token=TOKEN)
    assert done.stdout.startswith(f"{REPO} v1.0.0: the first version\n"), done.stderr
    command = ["-m", "ddgs_hub", "sample", "--pool", f"{REPO}@v1.0.0", "--ipc", "5", "--output", str(tmp_path / "out")]
    done = hub.run(command)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("10 images, mean difficulty 0."), done.stderr
    assert lines[1:3] == [
        f"pool of {REPO} at commit {the_repository(hub).tags['v1.0.0']}",
        f"to publish: {tmp_path}/out/hub/tiny-ddgs-ipc5, with its card",
    ]
    assert lines[3:4] == ["WARNING: this pool is not usable as it is"]  # with 4 easy images of a class
    assert read_rows(tmp_path / "out")["label"][:] == [0] * 5 + [1] * 5


def test_a_scored_dataset_as_original_is_read_without_its_images(hub, api, pooled, tmp_path):
    publish(pooled, REPO, pool=True, api=api)
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
    publish(pooled, REPO, pool=True, api=api)
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
    publish(export(tmp_path / "alone"), REPO, api=api)
    publish(pooled, "acme/pooled", pool=True, api=api)
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
        f"owner for `ddgs-hub publish RUN --repo {REPO} --with-pool`",
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
    publish(pooled, REPO, pool=True, api=api)
    commit_of, other = the_repository(hub).tags["v1.0.0"], "acme/tiny-ddgs-ipc5"
    ((code, out, err, folder),) = sample(hub, tmp_path / "out", ["--pool", REPO, "--ipc", "5", "--weight", "0.25"])
    assert (code, out.splitlines()[2]) == (0, f"to publish: {folder}/hub/tiny-ddgs-ipc5, with its card"), err
    assert shard(folder / "hub/tiny-ddgs-ipc5") == shard(folder)
    made = publish(folder, other, api=api)
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
    made = publish(folder, REPO, api=api)
    assert (made.version, made.changes) == ("v1.1.0", "new rows from the same pool")
    assert configs(the_repository(hub)) == ["default", "original", "pool"]


def test_a_pool_goes_up_without_the_marks_of_another_set(pooled, tmp_path):
    made = make_distilled(SampleSettings(ipc=3), pooled / "pool", pooled / "original", tmp_path / "out")
    folder = add_pool(Path(made.values["repository"]))
    with_marks = read_rows(pooled / "pool")
    rows = read_rows(folder, files=[folder / "pool" / SHARD])
    assert sum(with_marks["selected"]) == 4  # those of the run's own set
    assert fingerprint(rows) == fingerprint(with_marks.remove_columns(list(MARKS)))
    assert "selected" not in (folder / "README.md").read_text().split("\n---\n")[0]


def test_a_card_names_the_dataset_whose_images_were_scored(pooled, tmp_path):
    commit, pool = "c0ffee12" * 5, tmp_path / "scored"
    write_rows(make_rows(*range(16)), pool)
    told = {"kind": "scored", "source": {"id": "acme/pictures", "commit": commit, "split": "train"}, "content": {}}
    (pool / "provenance.json").write_text(json.dumps(told))
    for name in ("first", "again"):  # from the scored images, then from the pool that goes up with the first set
        made = make_distilled(SampleSettings(ipc=2), pool, pooled / "original", tmp_path / name)
        pool = add_pool(Path(made.values["repository"]))
        card = (pool / "README.md").read_text()
        assert "| Images | those of `acme/pictures` at commit `c0ffee12`, whose terms apply |" in card
        assert read_front_matter(card, "it")["source_datasets"] == ["acme/pictures"]
        assert json.loads((pool / "provenance.json").read_text())["source"] == {"id": "acme/pictures", "commit": commit}


def test_a_pool_is_called_as_its_folder_wherever_one_stands(pooled, monkeypatch):
    monkeypatch.chdir(pooled / "pool")
    assert find_origin(open_pool(".", "../original"), ".").described.pretty_name == "pool"


def test_a_card_claims_nothing_where_it_is_not_told_what_made_the_pool(hub, api, pooled, tmp_path):
    publish(pooled, REPO, pool=True, api=api)
    files = {name: the_repository(hub).read(name) for name in (f"pool/{SHARD}", f"original/{SHARD}")}
    told = provenance(the_repository(hub))
    unknown = {**told, "recipe": {**told["recipe"], "of_tomorrow": 1}}
    for name, text in (("bare", None), ("words", b"{"), ("list", b"[]"), ("unknown", json.dumps(unknown).encode())):
        hub.add_repository("dataset", f"acme/{name}", {**files, **({"provenance.json": text} if text else {})})
    found = sample(
        hub, tmp_path / "out", *(["--pool", f"acme/{name}"] for name in ("bare", "words", "list", "unknown"))
    )
    for code, out, err, folder in found:
        assert (code, len(out.splitlines())) == (0, 3), err
        assert shard(folder) == shard(pooled / "distilled-ipc2")
        (repository,) = (folder / "hub").iterdir()
        card, values = (repository / "README.md").read_text(), json.loads((repository / "provenance.json").read_text())
        assert "What generated the images of the pool is not recorded." in card
        assert "| Generator | not recorded |\n| Scorer | not recorded |" in card
        assert "Base DiT" not in card
        assert "recipe" not in values
        known = told["content"] if repository.name.startswith("unknown") else {}
        assert values["content"]["dit"] == known.get("dit", "not recorded")
        assert not (repository / "recipe.yaml").exists()


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "during"}, {"drop": "before"}], ids=str)
def test_a_hub_that_stumbles(hub, api, pooled, tmp_path, fault):
    publish(pooled, REPO, pool=True, api=api)
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


# Memory

PEAK = """
import sys
import pyarrow as pa
from pathlib import Path
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.stages.sample import make_distilled

folder = Path(sys.argv[1])
places = [folder / name for name in ("pool", "original", "out")]
make_distilled(SampleSettings(ipc=2), *places, mark_pool=True, repository=False)
print(pa.default_memory_pool().max_memory())
"""


def test_memory_does_not_grow_with_the_images_of_the_pool(tmp_path):
    features = Features({**FEATURES, "pool_index": Value("int64")})
    original = make_rows(*range(200, 220)).remove_columns("seed")
    peaks = []
    for count in (2400, 4800):  # more than the row group that is being written
        image = {"bytes": os.urandom(50_000), "path": None}  # nothing is decoded
        columns = {"image": [image] * count, "label": [k % 2 for k in range(count)], "seed": list(range(count))}
        columns |= {"difficulty": [k / count for k in range(count)], "pool_index": [k // 2 for k in range(count)]}
        folder = tmp_path / str(count)
        write_rows(Dataset.from_dict(columns, features=features), folder / "pool")
        write_rows(original, folder / "original")
        done = run(["-c", PEAK, str(folder)], env=environment())
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1e6)
        assert sum(read_rows(folder / "pool")["selected"]) == 4
    assert peaks[1] < peaks[0] + 20, peaks  # MB, for 240 MB of images instead of 120 MB


# Continued from an earlier version


def test_what_an_earlier_version_has_scored_is_found_again(tmp_path):
    request = ScoreRequest(source="digits", scorer="timm/resnet50.tv_in1k", with_images=False)
    words = {"source": "digits", "scorer": "timm/resnet50.tv_in1k", "split": "train", "subset": None, "config": None}
    assert request.key == fingerprint([{**words, "revision": None, "images": False, "batch_size": 128}, []])
