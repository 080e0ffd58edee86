"""`score --push` through faults and kills, and by two processes: every row once, one commit and one tag."""

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import launch
from hub_server import HubServer
from scored import PUBLISHING, SOURCE, TOKEN, Done, Forker, assert_every_row_once, published, published_rows

READING = {
    "pin": (r"GET /api/datasets/acme/in1k$", (1,)),
    "access": ("GET /api/datasets/acme/in1k/auth-check", (1,)),
    "tree": ("GET /api/datasets/acme/in1k/tree", (1,)),
    "file": ("GET /datasets/acme/in1k/resolve/.*parquet", (1, 2, 3)),
    "bytes": ("GET /lfs/datasets/acme/in1k", (1, 2, 3)),
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
    moments, kills, number, resumed = random.Random(SEED), [], 0, False
    while len(kills) < KILLS or {stage for stage, _ in kills} != {"reading", "scoring", "publishing"}:
        name, moment = f"to-kill-{number}", moments.uniform(0.05, 0.9) * seconds
        pid = start(f"acme/{name}")
        time.sleep(moment)
        if forker.kill(pid) == 0:  # it had ended before: on to the next
            # At one go it takes less than that: the machine was busier when it was measured.
            seconds = seconds if resumed else moment
            number, resumed = number + 1, False
            continue
        resumed = True
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
from ddgs_hub.original import reading as source_rows
from ddgs_hub.original import spool
from ddgs_hub.cli.main import main

source_rows.ROWS_PER_GROUP, spool.PART_BYTES = 5, 1000
main()
"""


def test_two_processes_score_what_one_fetches(
    hub: HubServer, push: Callable[..., Done], scorer: str, tmp_path: Path, free_port: int
) -> None:
    """Part by part, as it comes: the scores of one process, published once."""
    assert push("--batch-size", "4").code == 0
    hub.fail("GET /lfs/datasets/acme/in1k", times=None, delay=0.1)
    options = ["--subset", "imagewoof", "--scorer", scorer, "--batch-size", "4", "--output", str(tmp_path / "two")]
    to, environment = f"{push.repo}-two", hub.environment(tmp_path / "home", TOKEN)
    done = launch(2, ["-c", LAUNCHED, "score", SOURCE, *options, "--push", to], env=environment, port=free_port)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mean difficulty") == done.stdout.count("the first version") == 1
    assert published_rows(published(hub, to)) == published_rows(published(hub, push.repo))
