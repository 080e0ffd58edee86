"""Tasks: in an order that their needs allow, each once, whoever works on them."""

import threading
import time

import pytest

from ddgs_hub.core.claims import Claims
from ddgs_hub.stages.study import tasks as module
from ddgs_hub.stages.study.tasks import Task, carry_out


class Work:
    """Tasks that note when they are done."""

    def __init__(self, needs: dict[str, tuple[str, ...]], seconds: float = 0.0) -> None:
        self.order: list[str] = []
        self.tasks = [
            Task(name, lambda n=name: n in self.order, lambda n=name: self.do(n), needs[name]) for name in needs
        ]
        self.seconds = seconds
        self.done_elsewhere = threading.Lock()

    def do(self, name: str) -> None:
        time.sleep(self.seconds)
        with self.done_elsewhere:
            self.order.append(name)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.02)


def test_a_task_is_done_after_what_it_needs(tmp_path):
    work = Work({"c": ("b",), "b": ("a",), "a": (), "d": ()})
    with Claims(tmp_path) as claims:
        carry_out(work.tasks, claims, together=False)
    assert sorted(work.order) == ["a", "b", "c", "d"]
    assert work.order.index("a") < work.order.index("b") < work.order.index("c")


def test_what_is_done_is_not_done_again_and_need_not_be_a_task(tmp_path):
    work = Work({"b": ("a", "made by another study")})
    work.order = ["a"]
    with Claims(tmp_path) as claims:
        carry_out(work.tasks, claims, together=False)
    assert work.order == ["a", "b"]


def test_several_workers_do_each_task_once_and_all_wait_until_all_is_done(tmp_path):
    names = [f"t{k}" for k in range(24)]
    work = Work({name: (names[k - 5],) if k >= 5 else () for k, name in enumerate(names)}, seconds=0.01)
    ended: list[int] = []

    def worker() -> None:
        with Claims(tmp_path) as claims:
            carry_out(work.tasks, claims, together=False)
        ended.append(len(work.order))

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(work.order) == sorted(names)
    assert ended == [24] * 4


def test_a_task_that_fails_gives_up_its_claim(tmp_path):
    def fail() -> None:
        raise ValueError("no")

    with Claims(tmp_path) as claims, pytest.raises(ValueError, match="no"):
        carry_out([Task("a", lambda: False, fail)], claims, together=False)
    with Claims(tmp_path) as claims, claims.claim("a") as mine:
        assert mine
