"""`score --push`: from a source on the local Hub to a version there, through faults, kills and refusals."""

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel
from hub_datasets import FILE, IMAGENET, IMAGES, LABELS, WANTED, WNIDS, WOOF, card, encoded, parquet
from hub_server import HubServer
from hub_server.repositories import Repository
from scored import Done, Forker, assert_every_row_once, make_scorer, published_rows

from ddgs_hub.rows import parquet_path

TOKEN = "hf_" + "Alice0" * 6
SOURCE = "acme/in1k"
READING = {
    "pin": (r"GET /api/datasets/acme/in1k$", (1,)),
    "access": ("GET /api/datasets/acme/in1k/auth-check", (1,)),
    "tree": ("GET /api/datasets/acme/in1k/tree", (1,)),
    "file": ("GET /datasets/acme/in1k/resolve/.*parquet", (1, 2, 3)),
    "bytes": ("GET /lfs/datasets/acme/in1k", (1, 2, 3)),
}
PUBLISHING = {
    "who": "GET /api/whoami-v2",
    "create": "POST /api/repos/create",
    "preupload": "POST /api/datasets/acme/to-.*/preupload/",
    "batch": "POST /datasets/acme/to-.*/info/lfs/objects/batch",
    "upload": "PUT /lfs/datasets/acme/to-",
    "verify": "POST /datasets/acme/to-.*/info/lfs/objects/verify",
    "commit": "POST /api/datasets/acme/to-.*/commit/",
    "tag": "POST /api/datasets/acme/to-.*/tag/",
}
LOST = {"status": 503}, {"drop": "during"}
CASES = [
    *((name, pattern, nth, fault) for name, (pattern, nths) in READING.items() for nth in nths for fault in LOST),
    *(
        (name, pattern, 1, fault)
        for name, pattern in PUBLISHING.items()
        for fault in ({"status": 503}, {"drop": "after"})
    ),
]
KILLS = 10
SEED = 4  # of the moments


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """One Hub for all tests of this file, with one source; each test publishes under a name of its own."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        server.add_user("alice", TOKEN, orgs=["acme"])
        server.add_user("alice", "hf_read", role="read", orgs=["acme"])
        server.add_user("bob", "hf_bob")
        server.add_repository("dataset", SOURCE, {"README.md": card({"train": 40}), FILE: IMAGENET})
        yield server


@pytest.fixture(autouse=True)
def no_faults(hub: HubServer) -> Iterator[None]:
    hub.requests.clear()
    yield
    hub.faults.planned.clear()


@pytest.fixture(scope="module")
def forker(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    process = Forker(hub, tmp_path_factory.mktemp("home"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def large(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """The same for more rows: they are read and spooled as many at a time as they always are, or nearly."""
    process = Forker(hub, tmp_path_factory.mktemp("home"), group=256, part=2**22)
    yield process
    process.close()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_scorer(tmp_path_factory.mktemp("scorer")))


@pytest.fixture
def push(forker: Forker, scorer: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Done]:
    """Scores the source's ImageWoof and publishes it under a name of the test's own, `push.repo`."""
    repo = "acme/to-" + re.sub(r"\W+", "-", request.node.name)[:60].strip("-")

    def call(*more: str, source: str = SOURCE, token: str = TOKEN, to: str = repo) -> Done:
        arguments = ["score", source, "--subset", "imagewoof", "--scorer", scorer, "--batch-size", "8", "--push", to]
        done = forker.run([*arguments, *more], tmp_path, token=token)
        told = done.out + done.err + "".join(path.read_text("latin1") for path in tmp_path.rglob("*") if path.is_file())
        assert TOKEN not in told
        assert "Traceback" not in done.err, done.err
        return done

    call.repo = repo  # type: ignore[attr-defined]
    return call


def published(hub: HubServer, repo: str, version: str = "v1.0.0") -> Repository:
    """The repository, which has this version alone: one commit and one tag."""
    repository = hub.repository("dataset", repo)
    assert [commit.message.split(":")[0] for commit in repository.commits][1:] == [version]
    assert repository.tags == {version: repository.head.sha}
    return repository


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
    from ddgs_hub.subsets import SUBSETS

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
    for count in (250, 2500):
        labels = [k % 10 for k in range(count)]
        rows = parquet([images[k % 20] for k in range(count)], labels, ClassLabel(names=list(WOOF.wnids)), group=100)
        hub.add_repository("dataset", f"acme/rows-{count}", {FILE: rows})
        options = ["--subset", "imagewoof", "--scorer", scorer, "--push", f"acme/to-rows-{count}"]
        done = large.run(["score", f"acme/rows-{count}", *options], tmp_path, token=TOKEN)
        assert done.code == 0, done.err
        assert len(published_rows(published(hub, f"acme/to-rows-{count}"))["difficulty"]) == count
        peaks.append(done.peak)
    small, grown = (len(images[0]) * count / 1e6 for count in (250, 2500))
    with capsys.disabled():
        print(f"\nscore --push: {peaks[0]:.0f} MB for {small:.0f} MB of images, {peaks[1]:.0f} MB for {grown:.0f} MB")
    assert peaks[1] - peaks[0] < 0.5 * (grown - small)


# Faults and kills


@pytest.mark.parametrize(
    ("name", "pattern", "nth", "fault"),
    [pytest.param(*case, id=f"{case[0]}-{case[2]}-{'-'.join(map(str, case[3].values()))}") for case in CASES],
)
def test_one_fault(hub: HubServer, push: Callable[..., Done], name: str, pattern: str, nth: int, fault: dict) -> None:
    planned = hub.fail(pattern, nth=nth, **fault)
    done = push()
    assert planned.happened
    if done.code == 2:  # what the clients do not try again: it says so, and the same command goes on
        assert re.search("start the same command again|try again", done.err), done.err
        assert not hub.store.get("dataset", push.repo)
        done = push()
    assert done.code == 0, done.err
    assert_every_row_once(published_rows(published(hub, push.repo)), images=True)


def test_a_source_that_is_lost_for_long(hub: HubServer, push: Callable[..., Done], tmp_path: Path) -> None:
    fault = hub.fail(READING["bytes"][0], nth=4, times=None, status=503)
    done = push()
    assert (done.code, done.out) == (2, "")
    assert re.search(
        f"answered 503 while {SOURCE} .* start the same command again, it goes on where it was\n", done.err
    )
    assert not hub.store.get("dataset", push.repo)
    fault.times = 0
    assert push().code == 0
    assert_every_row_once(published_rows(published(hub, push.repo)), images=True)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [push.repo[5:]]


def test_kills_at_random_moments(hub: HubServer, forker: Forker, scorer: str, tmp_path: Path) -> None:
    """Ten kills or more, some while it reads, scores and publishes, and then once more to the end."""
    hub.fail("GET /lfs/datasets/acme/in1k", times=None, delay=0.03)
    hub.fail("(POST|PUT) .*to-kill", times=None, delay=0.06)

    def start(repo: str) -> int:
        options = ["--subset", "imagewoof", "--scorer", scorer, "--batch-size", "2", "--push", repo]
        return forker.start(["score", SOURCE, *options], tmp_path, token=TOKEN)

    for name in ("acme/to-kill-first", "acme/to-kill-none"):  # the first of all may take several times as long
        began = time.monotonic()
        assert forker.wait(start(name)) == 0
        seconds = time.monotonic() - began
    expected = published_rows(published(hub, "acme/to-kill-none"))
    moments, kills, number = random.Random(SEED), [], 0
    while len(kills) < KILLS or {stage for stage, _ in kills} != {"reading", "scoring", "publishing"}:
        name, moment = f"to-kill-{number}", moments.uniform(0.05, 0.9) * seconds
        pid = start(f"acme/{name}")
        time.sleep(moment)
        if forker.kill(pid) == 0:  # it had ended before: on to the next
            number += 1
            continue
        scores = tmp_path / "runs" / f".{name}.scores"
        stage = "publishing" if (tmp_path / "runs" / name).is_dir() else "scoring" if scores.exists() else "reading"
        kills.append((stage, round(moment, 3)))
        assert len(kills) < 10 * KILLS, kills
    print(f"seed {SEED}, killed after {kills} of {seconds:.3f} s")  # shown where what follows fails
    assert forker.wait(start(f"acme/to-kill-{number}")) == 0, (tmp_path / "err").read_text()
    for k in range(number + 1):
        columns = published_rows(published(hub, f"acme/to-kill-{k}"))
        assert_every_row_once(columns, images=True)
        assert columns == expected
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {"to-kill-first", "to-kill-none", *(f"to-kill-{k}" for k in range(number + 1))}


# Several processes

LAUNCHED = """
from ddgs_hub import source_rows, spool
from ddgs_hub.cli import main

source_rows.ROWS_PER_GROUP, spool.PART_BYTES = 5, 1000
main()
"""


def test_two_processes_score_what_one_fetches(
    hub: HubServer, push: Callable[..., Done], scorer: str, tmp_path: Path
) -> None:
    """Part by part, as it comes: the scores of one process, published once."""
    assert push("--batch-size", "4").code == 0
    hub.fail("GET /lfs/datasets/acme/in1k", times=None, delay=0.1)
    script = tmp_path / "launched.py"
    script.write_text(LAUNCHED)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    options = ["--subset", "imagewoof", "--scorer", scorer, "--batch-size", "4", "--output", str(tmp_path / "two")]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    to = f"{push.repo}-two"
    done = hub.run([*launch, "score", SOURCE, *options, "--push", to], token=TOKEN, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mean difficulty") == done.stdout.count("the first version") == 1
    assert published_rows(published(hub, to)) == published_rows(published(hub, push.repo))


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
        ({}, ["--scorer", "./none"], "./none is not a folder"),
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
