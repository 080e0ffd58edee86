"""How far work is: lines of the log, at most one in 30 seconds by a clock that the tests turn, or a bar."""

import io
import logging
import sys

import pytest
import torch
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

from ddgs_hub.core import progress as module
from ddgs_hub.core.progress import Progress, in_words, stage


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, module.LOG.name)
    return caplog


def work(progress, clock, steps, seconds, **values):
    for _ in range(steps):
        clock.now += seconds
        progress.add(**values)
        progress.update()


def test_there_is_one_line_in_thirty_seconds_however_many_steps(clock, said):
    with Progress("finetune", 10_000, unit="step", images=16) as progress:
        work(progress, clock, 239, 0.125, loss=0.25)
        assert said.messages == []
        work(progress, clock, 1, 0.125, loss=0.25)
        [line] = said.messages
        assert line == "finetune: 240 of 10,000 steps, 8 steps/s (128 images/s), loss 0.25, 20 min left"
        work(progress, clock, 600, 0.125, loss=0.25)
    assert len(said.messages) == 4  # after 30, 60 and 90 seconds, and at the end
    assert said.messages[-1] == "finetune: 840 steps in 105.0 s, 8 steps/s (128 images/s), loss 0.25"


def test_slow_steps_have_a_line_each_and_seconds_instead_of_a_rate(clock, said):
    with Progress("evaluate", 4, unit="set") as progress:
        work(progress, clock, 3, 100)
    assert said.messages[0] == "evaluate: 1 of 4 sets, 100 s/set, 5 min left"
    assert said.messages[-1] == "evaluate: 3 sets in 5 min, 100 s/set"


def test_a_short_piece_ends_in_silence_unless_its_stage_has_no_other(clock, said):
    with Progress("decode", 3, unit="image") as progress:
        work(progress, clock, 3, 0.1)
    assert said.messages == []
    with stage("original"):
        for description, seconds in (("read", 0.1), ("write", 0.2), ("look", 0.05)):
            with Progress(description, 3, unit="row") as progress:
                work(progress, clock, 3, seconds)
    assert said.messages == ["original, write: 3 rows in 0.6 s, 5 rows/s"]
    said.clear()
    with stage("score pool"):
        for description, seconds in (("read", 0.1), ("score", 2)):
            with Progress(description, 3, unit="image") as progress:
                work(progress, clock, 3, seconds)
    assert said.messages == ["score pool: 3 images in 6.0 s, 2 s/image"]


def test_a_stage_within_another_is_named_behind_it(clock, said):
    with stage("evaluate"), stage("Ours"):
        assert Progress("train convnet", unit="epoch").title == "evaluate, Ours, train convnet"
    with stage("generate (plain DiT)"):
        assert Progress("generate", unit="image").title == "generate (plain DiT)"


def test_what_was_done_before_counts_for_no_rate(clock, said):
    with Progress("finetune", 100, unit="step", done=60) as progress:
        progress.skip(10)
        work(progress, clock, 20, 2)
    assert said.messages[0] == "finetune: 85 of 100 steps, 2 s/step, 30 s left"
    assert said.messages[-1] == "finetune: 90 steps in 40.0 s, 2 s/step"


def test_each_step_of_one_process_stands_for_those_of_all(clock, said):
    with Progress("generate", 100, unit="image", processes=4) as progress:
        progress.update(10)
        assert progress.n == 40
        progress.update(20)
        assert progress.n == 100
        clock.now += 10
    assert said.messages == ["generate: 100 images in 10.0 s, 10 images/s"]


def test_work_of_unknown_size_tells_what_is_done(clock, said):
    with Progress("read", unit="row") as progress:
        work(progress, clock, 1, 40)
    assert said.messages == ["read: 1 row, 40 s/row", "read: 1 row in 40.0 s, 40 s/row"]


def test_losses_are_means_of_the_last_hundred_steps_and_other_values_the_last(clock, said):
    with Progress("pretrain", 400, unit="step") as progress:
        for step in range(400):
            clock.now += 0.01
            progress.add(diffusion=torch.tensor(float(step)), learning_rate=1 / (step + 1))
            progress.update()
    assert said.messages[-1].endswith("diffusion 349.5, learning_rate 0.0025")


def test_losses_are_read_only_where_they_are_shown(clock, said):
    class Loss:
        reads = 0

        def detach(self):
            return self

        def float(self):
            Loss.reads += 1
            return torch.tensor(1.0)

    with Progress("finetune", 1000, unit="step") as progress:
        work(progress, clock, 290, 0.1, loss=Loss())
        assert Loss.reads == 0
        work(progress, clock, 20, 0.1, loss=Loss())
        assert Loss.reads == 100


def test_work_that_fails_has_no_last_line(clock, said):
    def fail():
        with Progress("score", 3, unit="image") as progress:
            work(progress, clock, 2, 10)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert said.messages == []


def test_only_the_main_process_says_how_far_all_are(clock, said, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with Progress("finetune", 100, unit="step") as progress:
        work(progress, clock, 100, 1, loss=1.0)
    assert said.messages == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_is_a_bar_and_no_line(clock, said, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(module, "DELAY", 0)
    enable_progress_bars()
    for _ in Progress("finetune", 3, unit="step").over(range(3)):
        clock.now += 40
        assert are_progress_bars_disabled()  # those of huggingface_hub, while ours stands
    assert not are_progress_bars_disabled()
    assert said.messages == []
    assert "finetune:" in sys.stderr.getvalue()
    with module.bars(False), Progress("finetune", 3, unit="step") as progress:
        work(progress, clock, 3, 1)
    assert said.messages == ["finetune: 3 steps in 3.0 s, 1 steps/s"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (200_000, "2.3 days")],
)
def test_durations_for_people(seconds, words):
    assert in_words(seconds) == words
