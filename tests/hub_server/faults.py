"""Faults on demand: what the next matching request meets."""

import re
import threading
from dataclasses import dataclass, field

DROPS = ("before", "upload", "during", "after")


@dataclass
class Fault:
    """What happens to the `nth` request whose "METHOD /path?query" contains the pattern, and to `times - 1` more.

    `status` is answered instead of serving it, or, where `served`, after it took effect; with `headers`. `drop` closes
    the connection: "before" the request has any effect, in the middle of its body ("upload", no effect either),
    "during" the answer, of which half is sent, or "after" it took effect, with no answer. `delay` waits that many
    seconds first, and alone it only waits.
    """

    pattern: str
    nth: int = 1
    times: int | None = 1  # None: for ever
    status: int | None = None
    served: bool = False
    drop: str | None = None
    delay: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    met: int = 0  # matching requests so far

    def __post_init__(self) -> None:
        if self.drop is not None and self.drop not in DROPS:
            raise ValueError(f"drop is one of {DROPS}, not {self.drop!r}")
        re.compile(self.pattern)

    def applies(self, line: str) -> bool:
        if not re.search(self.pattern, line):
            return False
        self.met += 1
        return self.met >= self.nth and (self.times is None or self.met < self.nth + self.times)

    @property
    def happened(self) -> bool:
        return self.met >= self.nth


@dataclass
class Faults:
    planned: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> Fault:
        with self.lock:
            self.planned.append(fault)
        return fault

    def of(self, line: str) -> Fault | None:
        """The fault that this request meets: every plan counts it, the first that applies wins."""
        with self.lock:
            met = [fault for fault in self.planned if fault.applies(line)]
        return met[0] if met else None
