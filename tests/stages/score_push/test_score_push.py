"""`score --push`: from a source on the local Hub to a version there; and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel
from hub_datasets import FILE, IMAGENET, IMAGES, LABELS, WANTED, WNIDS, WOOF, encoded, parquet
from hub_server import HubServer
from scored import (
    PUBLISHING,
    SOURCE,
    TOKEN,
    Done,
    Forker,
    assert_every_row_once,
    make_scorer,
    published,
    published_rows,
)

from ddgs_hub.core.rows import parquet_path

# What is published


def test_it_is_published_once_and_found_finished_afterwards(hub: HubServer, push: Callable[..., Done]) -> None:
    fault = hub.fail(PUBLISHING["commit"], status=503, times=None)
    done = push()
    assert (done.code, done.out) == (2, "")
    assert re.search(r"did not serve .* start the same command again later, it goes on where it was\n", done.err)
    fault.times = 0
    hub.requests.clear()
    done = push()
    assert done.code == 0, done.err
    assert "20 images, mean difficulty 0." in done.out
    assert "(scored before)\n" in done.out
    assert f"{push.repo} v1.0.0: the first version\n" in done.out
    assert not any(SOURCE in request.path for request in hub.requests)
    assert_every_row_once(published_rows(published(hub, push.repo)), images=True)
    done = push()
    assert f"nothing to publish: {push.repo} v1.0.0 has this content" in done.out
    for other in (["--no-images"], ["--split", "validation"], ["--config", "x"], ["--revision", "x"]):
        done = push(*other)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"ddgs-hub: runs/{push.repo[5:]} is not empty: choose another --output, or remove")


def test_imagenet_by_the_command_of_the_help(hub: HubServer, forker: Forker, tmp_path: Path) -> None:
    """Gated, under its old name, with the default scorer: scores alone, which the card's own lines join again."""
    folder = make_scorer(tmp_path / "resnet50", WNIDS)
    weights = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    hub.add_repository("model", "timm/resnet50.tv_in1k", weights)
    source = hub.add_repository("dataset", "ILSVRC/imagenet-1k", {FILE: IMAGENET})
    hub.gate(source, granted=["alice"])
    hub.moved["imagenet-1k"] = "ILSVRC/imagenet-1k"
    work, repo = tmp_path / "work", "acme/imagewoof-difficulty"
    command = ["score", "imagenet-1k", "--subset", "imagewoof", "--push", repo]
    done = forker.run(command, work, token=TOKEN)
    assert done.code == 0, done.err
    assert "written without images: ImageNet's terms do not allow them to be passed on; --images keeps them" in done.out
    repository = published(hub, repo)
    assert_every_row_once(published_rows(repository), images=False)
    told = json.loads(repository.read("provenance.json"))
    commit = source.find("main")
    place = {"id": "ILSVRC/imagenet-1k", "commit": commit, "config": None, "split": "train", "subset": "imagewoof"}
    assert (told["kind"], told["source"], told["images"]) == ("scored", place, False)
    model = hub.repository("model", "timm/resnet50.tv_in1k").find("main")
    assert told["scorer"] == {"id": "timm/resnet50.tv_in1k", "commit": model}
    assert told["content"]["num_rows"] == 20
    text = repository.read("README.md").decode()
    assert told["command"].replace(" --output scored", "") in text.replace(" \\\n   ", "")
    joined, by_hand, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    check = f"""
from datasets import Image
{joined}
ours = rows.cast_column("image", Image(decode=False))
{by_hand}
assert ours["difficulty"][:] == scores["difficulty"][:] and ours["label"][:] == scores["label"][:]
theirs = rows.cast_column("image", Image(decode=False))
assert [cell["bytes"] for cell in ours["image"]] == [cell["bytes"] for cell in theirs["image"]]
assert rows["label"][:] == {[LABELS[row] for row in WANTED]}
assert rows["difficulty"][:] == scores["difficulty"][:]
assert rows.features["image"].decode
print(rows[3]["image"].size)
"""
    done = hub.run(check, token=TOKEN)
    assert done.stdout == "(8, 8)\n", done.stderr
    # With the images, asked for: another content, of the same scores.
    done = forker.run([*command, "--images", "--output", "with"], work, token=TOKEN)
    assert f"{repo} v1.1.0: other scores of the same source" in done.out, done.err
    assert_every_row_once(published_rows(repository), images=True)
    assert "terms](https://image-net.org/download) apply to the images:" in repository.read("README.md").decode()


def test_another_scorer_is_another_major_version(
    hub: HubServer, push: Callable[..., Done], forker: Forker, tmp_path: Path
) -> None:
    """And `versions` and `diff` say so, by the images or, without them, by the number of the row."""
    other = str(make_scorer(tmp_path / "other", seed=1))
    for images, repo in (("--images", push.repo), ("--no-images", f"{push.repo}-alone")):
        assert push(images, to=repo).code == 0
        done = push(images, "--scorer", other, "--output", f"again{images}", to=repo)
        assert f"{repo} v2.0.0: another scorer" in done.out, done.err
        listed = forker.run(["versions", repo], tmp_path, token=TOKEN).out.splitlines()
        rows = published_rows(hub.repository("dataset", repo))
        assert listed[2].split()[0] == "v2.0.0"
        assert listed[2].split()[2:] == ["20", f"{np.mean(rows['difficulty']):.3f}", "another", "scorer"]
        found = json.loads(forker.run(["diff", repo, "v1.0.0", "v2.0.0", "--json"], tmp_path, token=TOKEN).out)
        assert (found["common"], found["added"], found["removed"]) == (20, [], [])
        assert found["changed"]["rows"] == 20
        before = published_rows(hub.repository("dataset", repo), "v1.0.0")["difficulty"]
        expected = np.subtract(rows["difficulty"], before)
        assert found["changed"]["mean"] == pytest.approx(expected.mean())
        assert abs(found["changed"]["largest"]) == pytest.approx(np.abs(expected).max())
        assert list(found["recipe"]) == ["scorer.name", "scorer.weights"]
    text = forker.run(["diff", repo, "v1.0.0", "v2.0.0"], tmp_path, token=TOKEN).out
    assert re.match(
        r"v1.0.0 → v2.0.0: 0 rows added, 0 gone, 20 in both\n  20 rows have another difficulty: [+-]0\.", text
    )


def test_a_validation_split_and_a_whole_source(hub: HubServer, forker: Forker, tmp_path: Path) -> None:
    """No subset: all rows, with a number and a wnid of their own; another split of the repository's data/."""
    rows = parquet(IMAGES, LABELS, ClassLabel(names=WNIDS))
    files = {FILE: rows, FILE.replace("train", "validation"): rows}
    hub.add_repository("dataset", "acme/splits", {"README.md": b"---\nlicense: cc0-1.0\n---\n", **files})
    scorer = make_scorer(tmp_path / "thousand", WNIDS)
    command = ["score", "acme/splits", "--split", "validation", "--scorer", str(scorer), "--push", "acme/to-splits"]
    done = forker.run(command, tmp_path, token=TOKEN)
    assert done.code == 0, done.err
    repository = published(hub, "acme/to-splits")
    columns = published_rows(repository)
    assert columns["source_index"] == list(range(40))
    assert columns["label"] == LABELS
    assert columns["wnid"] == [WNIDS[label] for label in LABELS]
    text = repository.read("README.md").decode()
    assert text.startswith("---\nlicense: cc0-1.0\n")
    loaded = hub.run("from datasets import load_dataset; print(load_dataset('acme/to-splits'))", token=TOKEN)
    assert re.search(r"validation: Dataset\({[^}]*num_rows: 40", loaded.stdout), loaded.stderr


# Real data


@pytest.mark.parametrize("by", ["wnid", "index"])
def test_real_imagenet_by(
    by: str, hub: HubServer, push: Callable[..., Done], shared_data: Callable[[str], Path]
) -> None:
    table = pq.read_table(parquet_path(shared_data("imagenet1k-sample")))
    images, labels = ([cell["bytes"] for cell in table["image"].to_pylist()], table["label"].to_pylist())
    more = {"wnid": table["wnid"].to_pylist()} if by == "wnid" else {}
    rows = parquet(images, labels, ClassLabel(num_classes=1000), group=100, **more)
    hub.add_repository("dataset", f"acme/by-{by}", {FILE: rows})
    done = push("--images", source=f"acme/by-{by}")
    assert done.code == 0, done.err
    columns = published_rows(published(hub, push.repo))
    wanted = [row for row, label in enumerate(labels) if label in WOOF.imagenet_indices]
    assert columns["source_index"] == wanted
    assert [image["bytes"] for image in columns["image"]] == [images[row] for row in wanted]
    assert columns["wnid"] == [WNIDS[labels[row]] for row in wanted]


def test_real_imagenette(hub: HubServer, large: Forker, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    from ddgs_hub.original import SUBSETS

    subset, path = SUBSETS["imagenette"], parquet_path(shared_data("imagenette224"), "validation")
    hub.add_repository("dataset", "acme/nette", {f"data/{path.name}": path.read_bytes()})
    scorer = make_scorer(tmp_path / "scorer", list(subset.wnids))
    options = ["--subset", "imagenette", "--split", "validation", "--scorer", str(scorer), "--push", "acme/to-nette"]
    done = large.run(["score", "acme/nette", *options], tmp_path, token=TOKEN)
    assert done.code == 0, done.err
    columns, table = published_rows(published(hub, "acme/to-nette")), pq.read_table(path)
    assert columns["source_index"] == list(range(len(table)))
    assert columns["label"] == [subset.wnids.index(wnid) for wnid in table["wnid"].to_pylist()]
    assert [cell["bytes"] for cell in columns["image"]] == [cell["bytes"] for cell in table["image"].to_pylist()]


def test_memory_does_not_grow_with_the_source(
    hub: HubServer, large: Forker, scorer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, peaks = np.random.default_rng(0), []
    images = [encoded(seed) + rng.bytes(30_000) for seed in range(20)]  # large to keep and quick to decode
    counts = (1000, 3000)  # what is read ahead at most, some 25 MB, is full before the first
    for count in counts:
        labels = [k % 10 for k in range(count)]
        rows = parquet([images[k % 20] for k in range(count)], labels, ClassLabel(names=list(WOOF.wnids)), group=100)
        hub.add_repository("dataset", f"acme/rows-{count}", {FILE: rows})
        options = ["--subset", "imagewoof", "--scorer", scorer, "--push", f"acme/to-rows-{count}"]
        done = large.run(["score", f"acme/rows-{count}", *options], tmp_path, token=TOKEN)
        assert done.code == 0, done.err
        assert len(published_rows(published(hub, f"acme/to-rows-{count}"))["difficulty"]) == count
        peaks.append(done.peak)
    small, grown = (len(images[0]) * count / 1e6 for count in counts)
    with capsys.disabled():
        print(f"\nscore --push: {peaks[0]:.0f} MB for {small:.0f} MB of images, {peaks[1]:.0f} MB for {grown:.0f} MB")
    assert peaks[1] - peaks[0] < 0.5 * (grown - small)


# Refusals


def test_refusals(hub: HubServer, push: Callable[..., Done], tmp_path: Path) -> None:
    """One sentence each, exit code 2, nothing written here or there, no rows asked for."""
    for name in ("gated", "private"):
        hub.add_repository("dataset", f"ours/{name}", {FILE: IMAGENET}, private=name == "private")
    hub.gate(hub.repository("dataset", "ours/gated"))
    hub.add_repository("dataset", "acme/public", {})
    cases = [
        ({"token": ""}, [], "there is no token to publish with: log in with `hf auth login`, or set HF_TOKEN"),
        ({"token": "hf_wrong"}, [], "the Hub does not accept this token"),
        ({"token": "hf_read"}, [], "this token may not write to acme/to-"),
        ({"token": "hf_bob"}, [], "this token may not write to acme/to-"),
        ({"token": "hf_\u00e9"}, [], "the token has blanks or characters that no token has"),
        ({"token": "", "to": "acme/x"}, ["--token", "hf_read"], "this token may not write to acme/x"),
        ({"to": "other/woof"}, [], "this token may not write to other/woof"),
        ({"to": "woof"}, [], "'woof' does not say whose repository it is: give OWNER/NAME"),
        ({"to": "acme/public"}, ["--private"], "acme/public is there and public"),
        ({"source": "ours/gated"}, [], f"ask for access on {hub.url}/datasets/ours/gated"),
        ({"source": "ours/private"}, [], "there is no dataset ours/private on"),
        ({"source": "acme/nothing"}, [], "there is no dataset acme/nothing on"),
        ({}, ["--subset", "imagemeow"], "unknown subset 'imagemeow'"),
        ({}, ["--scorer", "./none"], "there is no folder ./none"),
    ]
    for how, more, sentence in cases:
        done = push(*more, **how)
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1), done
        assert sentence in done.err
        assert "hf_" not in done.err
        assert list(tmp_path.rglob("*")) == []
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}
    assert not any(request.path.startswith("/lfs/") and "acme/in1k" not in request.path for request in hub.requests)


def test_offline(hub: HubServer, scorer: str, tmp_path: Path) -> None:
    command = [
        "-m",
        "ddgs_hub",
        "score",
        SOURCE,
        "--scorer",
        scorer,
        "--push",
        "acme/x",
        "--output",
        str(tmp_path / "o"),
    ]
    done = hub.run(command, token=TOKEN, env={"HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ddgs-hub: HF_HUB_OFFLINE is set, and what is on the Hub must be seen: unset it\n"
    assert list(tmp_path.iterdir()) == []


def test_nowhere_to_write(forker: Forker, tmp_path: Path) -> None:
    done = forker.run(["score", SOURCE], tmp_path)
    assert (done.code, done.err) == (2, "ddgs-hub: there is nowhere to write to: give --output, or --push\n")


def test_a_tag_of_somebody_else_is_not_moved(hub: HubServer, push: Callable[..., Done]) -> None:
    repository = hub.add_repository("dataset", push.repo, {"notes.txt": b"theirs\n"})
    theirs = repository.find("main")
    repository.set_ref("refs/tags/v1.0.0", theirs)
    done = push("--token", TOKEN, token="")
    assert f"{push.repo} v2.0.0: " in done.out, done.err
    assert repository.tags == {"v1.0.0": theirs, "v2.0.0": repository.head.sha}
    assert_every_row_once(published_rows(repository), images=True)


def test_private(hub: HubServer, push: Callable[..., Done]) -> None:
    assert push("--private").code == 0
    assert hub.repository("dataset", push.repo).settings["private"] is True
