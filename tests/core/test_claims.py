"""Claims in a folder that workers share: one owner at a time, and none for ever."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ddgs_hub.core import claims as module
from ddgs_hub.core.claims import Claims

HOLDER = """
import sys, time
from ddgs_hub.core.claims import Claims
with Claims(sys.argv[1]) as claims, claims.claim("work") as mine:
    print(mine, flush=True)
    time.sleep(600)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that has claimed `work`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_what_one_worker_has_another_does_not_get(tmp_path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        with first.claim("a") as mine, second.claim("a") as theirs, second.claim("b") as other:
            assert (mine, theirs, other) == (True, False, True)
        with second.claim("a") as theirs:
            assert theirs
    assert not list(tmp_path.iterdir())


def test_a_killed_worker_of_this_machine_loses_its_claim_at_once(tmp_path):
    process = holder(tmp_path)
    with Claims(tmp_path) as claims:
        with claims.claim("work") as mine:
            assert not mine
        process.send_signal(signal.SIGKILL)
        process.wait()
        with claims.claim("work") as mine:
            assert mine
    assert not list(tmp_path.iterdir())


def test_a_worker_of_another_machine_loses_its_claim_when_it_no_longer_touches_it(tmp_path):
    with Claims(tmp_path, lease=60) as claims:
        claim = tmp_path / "work.claim"
        claim.write_text('{"worker": "theirs", "machine": "elsewhere"}')
        with claims.claim("work") as mine:
            assert not mine
        an_hour_ago = time.time() - 3600
        os.utime(claim, (an_hour_ago, an_hour_ago))
        with claims.claim("work") as mine:
            assert mine


def test_a_claim_that_was_never_written_is_taken_after_the_lease(tmp_path):
    with Claims(tmp_path, lease=60) as claims:
        claim = tmp_path / "work.claim"
        claim.touch()
        with claims.claim("work") as mine:
            assert not mine
        os.utime(claim, (0, 0))
        with claims.claim("work") as mine:
            assert mine


def test_an_owner_touches_its_claims(tmp_path):
    with Claims(tmp_path, lease=0.9) as claims, claims.claim("work"):
        claim = tmp_path / "work.claim"
        os.utime(claim, (0, 0))
        end = time.monotonic() + 10
        while claim.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.02)
        assert claim.stat().st_mtime > 0


def test_a_claim_that_was_taken_over_meanwhile_is_left_to_its_new_owner(tmp_path):
    with Claims(tmp_path) as claims:
        with claims.claim("work"):
            (tmp_path / "work.claim").write_text('{"worker": "new", "machine": "elsewhere"}')
        assert "new" in (tmp_path / "work.claim").read_text()


def test_a_turn_at_taking_over_that_was_left_by_a_kill_is_passed_after_the_lease(tmp_path):
    claim, turn = tmp_path / "work.claim", tmp_path / ".work.claim.takeover"
    with Claims(tmp_path, lease=60) as claims:
        claim.write_text('{"worker": "dead", "machine": "elsewhere"}')
        turn.touch()
        os.utime(claim, (0, 0))
        with claims.claim("work") as mine:
            assert not mine
        os.utime(turn, (0, 0))
        with claims.claim("work") as mine:
            assert mine
    assert not turn.exists()


def test_where_machines_cannot_be_told_apart_the_lease_alone_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BOOT", tmp_path / "there is none")
    folder = tmp_path / "claims"
    with Claims(folder, lease=60) as first, Claims(folder, lease=60) as second, first.claim("a"):
        first._alive.release()  # as if its kernel were another one
        with second.claim("a") as mine:
            assert not mine


def test_of_many_workers_that_want_a_dead_ones_claim_one_gets_it(tmp_path):
    for _ in range(20):
        process = holder(tmp_path)
        process.kill()
        process.wait()
        workers = [Claims(tmp_path).__enter__() for _ in range(4)]
        contexts = [worker.claim("work") for worker in workers]
        got = [context.__enter__() for context in contexts]
        assert sum(got) == 1
        for context, worker in zip(contexts, workers, strict=True):
            context.__exit__(None, None, None)
            worker.__exit__()
