"""Tasks that workers share out among themselves, each in an order that its needs allow."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ddgs_hub.core import progress
from ddgs_hub.core.claims import Claims
from ddgs_hub.core.processes import run_on_main, wait_for_all

POLL = 2.0  # seconds between two looks at what others work on


@dataclass(frozen=True)
class Task:
    """Something to make, once, by whichever worker comes first.

    Attributes:
        name: of its claim; a file name.
        is_done: whether it is made, by whomever.
        work: makes it.
        needs: names of tasks that must be done before.
    """

    name: str
    is_done: Callable[[], bool]
    work: Callable[[], None]
    needs: tuple[str, ...] = ()


def carry_out(tasks: Sequence[Task], claims: Claims | None, *, together: bool) -> None:
    """Works until all tasks are done, by this worker or by others.

    Args:
        tasks: what there is to do.
        claims: of this worker; None in processes that only help the main one.
        together: whether all processes of a launch work on one task at a time; else each process chooses its own.
    """
    pending = {task.name: task for task in tasks}
    while True:
        with ExitStack() as stack:

            def choose(stack: ExitStack = stack) -> str | None:
                assert claims is not None
                return _next(pending, claims, stack)

            name = run_on_main(choose) if together else choose()
            if name is None:
                return
            if name:
                with progress.stage(name):
                    pending[name].work()
                if together:
                    wait_for_all()  # before the claim is given up
            else:
                time.sleep(POLL)


def _next(pending: dict[str, Task], claims: Claims, stack: ExitStack) -> str | None:
    """A task that is now claimed; empty if others work on all that could be begun, None if all are done."""
    for name in [name for name, task in pending.items() if task.is_done()]:
        del pending[name]
    for name, task in pending.items():
        if any(need in pending for need in task.needs):
            continue
        if stack.enter_context(claims.claim(name)) and not task.is_done():
            return name
    return "" if pending else None
