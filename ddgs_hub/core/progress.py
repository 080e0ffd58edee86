"""How far a long piece of work is: a bar on a terminal; where there is none, a line of the log now and then.

The lines are of the logger `ddgs_hub.core.progress`, level INFO. Where trackers are at work (`core.tracking`), they get
every loss, and the rates. In a launch the main process alone says how far all are.
"""

import logging
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from huggingface_hub import constants
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from ddgs_hub.core import tracking
from ddgs_hub.core.processes import is_main

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

LOG = logging.getLogger(__name__)
EVERY = 30.0  # seconds between two lines of one piece of work, at least
ON_BAR = 2.0  # seconds after which the losses beside a bar are read again
MOMENT = 1.0  # seconds: shorter pieces have no last line, but for a stage's own, or else its longest
DELAY = 2.0  # seconds after which a bar appears
AVERAGED = 100  # steps, the last ones: the losses that are shown are their means
AS_LAST = ("accuracy", "learning_rate")  # these are shown as they were last

_bars_wanted = True


@contextmanager
def bars(wanted: bool) -> Iterator[None]:
    """Whether bars are shown on a terminal while the block runs."""
    global _bars_wanted
    before, _bars_wanted = _bars_wanted, wanted
    try:
        yield
    finally:
        _bars_wanted = before


@dataclass
class _Stage:
    """A stage that is at work.

    Attributes:
        name: of the stage.
        said: whether a piece of it has had its last line.
        short: seconds and last line of each piece that was too short to have it.
    """

    name: str
    said: bool = False
    short: list[tuple[float, str]] = field(default_factory=list)


_stages: list[_Stage] = []  # the last one is at work


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Names the stage that all work in the block belongs to, in its lines: `score original, read: …`.

    A stage within another is a part of that, and is named behind it.
    """

    at_work = _Stage(name)
    _stages.append(at_work)
    try:
        yield
        if at_work.short and not at_work.said:
            _say_of_all(max(at_work.short)[1])
    finally:
        _stages.remove(at_work)


class Progress:
    """One piece of work: steps that are counted, their rate, and losses.

    Losses may be tensors on a GPU: they are read when a line, a bar or a tracker shows them, all at once. A line comes
    after `EVERY` seconds at most once, whatever a step takes, and one at the end.

    Args:
        description: what is done, in a word or two, such as `finetune`.
        total: steps in all; None: it is not known.
        unit: what is counted, in the singular.
        done: steps that an earlier call has done, which count for no rate.
        images: images a step, over all processes: shown as a second rate. 0: steps are no images.
        processes: of a launch that share out the steps: each of this one stands for as many.
    """

    def __init__(
        self,
        description: str,
        total: int | None = None,
        *,
        unit: str,
        done: int = 0,
        images: int = 0,
        processes: int = 1,
    ) -> None:
        self.title = _titled(description)
        self.total, self.unit, self.images, self.processes = total, unit, images, processes
        self.n = self.done = done
        self._bar: tqdm[Any] | None = None
        self._logs = self._tracks = False
        self._unread: deque[tuple[int, Mapping[str, Any]]] = deque()
        self._recent: deque[Mapping[str, float]] = deque(maxlen=AVERAGED)
        self._began = self._said = self._shown = monotonic()

    def __enter__(self) -> "Progress":
        self._began = self._said = self._shown = monotonic()
        if is_main():
            self._tracks = tracking.is_on()
            if _bars_wanted and sys.stderr is not None and sys.stderr.isatty():
                self._bar = self._new_bar()
                _Quiet.begin()
            else:
                self._logs = LOG.isEnabledFor(logging.INFO)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            _Quiet.end()
        if kind is None and (self._logs or self._tracks):
            self._read()
            if self._logs:
                self._say_end(monotonic() - self._began)

    def _new_bar(self) -> "tqdm[Any]":
        from tqdm import tqdm

        return tqdm(
            desc=self.title,
            total=self.total,
            initial=self.done,
            unit=self.unit,
            leave=False,
            delay=DELAY,
            disable=None,
        )

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Each of the items, a step each, from the first that is not done; the end of the items is that of the work."""
        with self:
            for item in items:
                yield item
                self.update()

    def update(self, steps: int = 1) -> None:
        """Counts steps that are finished."""
        self.n = self._within(self.n + steps * self.processes)
        if self._bar is not None:
            self._bar.update(self.n - self._bar.n)
        if self._bar is None and not self._logs and not self._tracks:
            return
        now = monotonic()
        if self._bar is not None and now - self._shown >= ON_BAR:
            self._shown = now
            self._read()
            self._bar.set_postfix_str(self._losses(), refresh=False)
        if now - self._said >= EVERY:
            self._said = now
            self._read()
            if self._logs:
                LOG.info("%s: %s", self.title, self._going(now - self._began))

    def skip(self, steps: int) -> None:
        """Counts steps that an earlier call has done."""
        self.n, self.done = self.n + steps, self.done + steps

    def add(self, **values: Any) -> None:
        """Takes the losses of the step that is being done: numbers, or tensors of one number, which wait to be read."""
        if self._bar is None and not self._logs and not self._tracks:
            return
        self._unread.append((self.n, {name: _detached(value) for name, value in values.items()}))
        if not self._tracks and len(self._unread) > AVERAGED:
            self._unread.popleft()

    def _within(self, steps: int) -> int:
        return steps if self.total is None else min(steps, max(self.total, self.n))

    def _read(self) -> None:
        """Reads the losses that were taken since the last time; trackers get those, and the rates until now."""
        rows, self._unread = self._unread, deque()
        for step, values in zip((step for step, _ in rows), _numbers([values for _, values in rows]), strict=True):
            self._recent.append(values)
            if self._tracks:
                tracking.track({f"{self.title}/{name}": value for name, value in values.items()}, step)
        if self._tracks and self.n > self.done:
            rate = self._rate(monotonic() - self._began)
            values = {f"{self.title}/{self.unit}s_per_second": rate}
            if self.images:
                values[f"{self.title}/images_per_second"] = self.images * rate
            tracking.track(values, self.n)

    def _rate(self, seconds: float) -> float:
        return (self.n - self.done) / max(seconds, 1e-6)

    def _going(self, seconds: float) -> str:
        parts = [f"{self.n:,} of {_count(self.total, self.unit)}" if self.total else _count(self.n, self.unit)]
        parts += [self._speed(seconds), self._losses()]
        if self.total and self.n > self.done:
            parts.append(f"{in_words((self.total - self.n) / self._rate(seconds))} left")
        return ", ".join(filter(None, parts))

    def _say_end(self, seconds: float) -> None:
        parts = [f"{_count(self.n, self.unit)} in {_seconds(seconds)}", self._speed(seconds), self._losses()]
        line = f"{self.title}: {', '.join(filter(None, parts))}"
        of_the_stage = self.title == _titled("") and self.n > self.done  # however short, that is not left out
        if seconds >= MOMENT or of_the_stage:
            _say_of_all(line)
        elif _stages and self.n > self.done:
            _stages[-1].short.append((seconds, line))

    def _speed(self, seconds: float) -> str:
        rate = self._rate(seconds)
        if not rate:
            return ""
        text = f"{_short(rate)} {self.unit}s/s" if rate >= 1 else f"{_short(1 / rate)} s/{self.unit}"
        return f"{text} ({_short(self.images * rate)} images/s)" if self.images else text

    def _losses(self) -> str:
        """The mean of each loss over the last steps, and the last of all else."""
        shown = []
        for name in dict.fromkeys(name for values in self._recent for name in values):
            numbers = [values[name] for values in self._recent if name in values]
            number = numbers[-1] if name in AS_LAST else sum(numbers) / len(numbers)
            shown.append(f"{name} {number:.4g}")
        return ", ".join(shown)


class _Quiet:
    """Keeps the bars of huggingface_hub, Xet's among them, away while bars of ours stand."""

    standing = 0
    ours = False  # whether it was we who disabled them

    @classmethod
    def begin(cls) -> None:
        cls.standing += 1
        if cls.standing == 1 and constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled():
            disable_progress_bars()
            cls.ours = True

    @classmethod
    def end(cls) -> None:
        cls.standing -= 1
        if cls.standing == 0 and cls.ours:
            enable_progress_bars()
            cls.ours = False


def in_words(seconds: float) -> str:
    """A duration for people: 40 s, 12 min, 3.5 h, 4.2 days."""
    for unit, length, digits in (("days", 86_400, 1), ("h", 3_600, 1), ("min", 60, 0)):
        if seconds >= 2 * length or (unit == "h" and seconds >= 1.5 * length):
            return f"{seconds / length:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def _titled(description: str) -> str:
    """The stage alone where the work is the stage itself, as `generate` in `generate (plain DiT)`."""
    names = [at_work.name for at_work in _stages]
    if not names or not names[-1].startswith(description):
        names.append(description)
    return ", ".join(names)


def _say_of_all(line: str) -> None:
    """Says how a piece of work ended, which is a piece of all stages that are at work."""
    LOG.info(line)
    for at_work in _stages:
        at_work.said = True


def _count(number: int | None, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _seconds(seconds: float) -> str:
    return in_words(seconds) if seconds >= 120 else f"{seconds:.1f} s"


def _short(number: float) -> str:
    """Three digits: 0.0123, 1.23, 12.3, 1,230."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _detached(value: Any) -> Any:
    return value.detach() if hasattr(value, "detach") else value


def _numbers(rows: list[Mapping[str, Any]]) -> list[Mapping[str, float]]:
    """The same with numbers for tensors; those are copied from their device together."""
    tensors = [value for row in rows for value in row.values() if hasattr(value, "detach")]
    if not tensors:
        return rows
    import torch

    numbers = iter(torch.stack([tensor.float() for tensor in tensors]).tolist())
    return [{name: next(numbers) if hasattr(value, "detach") else value for name, value in row.items()} for row in rows]
