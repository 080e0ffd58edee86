"""Trackers, with the real packages: what they were given is read from their files."""

import sqlite3

import numpy as np
import pytest

from ddgs_hub.core import tracking
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.progress import Progress, stage
from ddgs_hub.core.tracking import require_trackers, track_images, tracked

# Trackio reads where it writes when it is imported, so each test of it has a Python of its own.
TRACKIO = """
import sys
from pathlib import Path

import numpy as np

from ddgs_hub.core.progress import Progress
from ddgs_hub.core.tracking import track_images, tracked

with tracked(["trackio"], Path(sys.argv[1]), "toy", {"seed": 0}):
    with Progress("finetune", 3, unit="step", images=4) as progress:
        for step in range(3):
            progress.add(loss=1.0 / (step + 1))
            progress.update()
    track_images("generate/images", np.zeros((4, 8, 8, 3), np.uint8))
print("result")
"""


def test_tensorboard_has_every_loss_the_rates_and_the_images(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tracked(["tensorboard"], tmp_path / "tracking", "toy", {"seed": 3, "finetune": {"epochs": 2}}):
        with stage("score pool"), Progress("score", 5, unit="image") as progress:
            progress.update(5)
        with Progress("finetune", 5, unit="step", images=4) as progress:
            for step in range(5):
                progress.add(loss=1.0 / (step + 1), learning_rate=0.5)
                progress.update()
        track_images("generate/images", np.full((12, 8, 8, 3), 200, np.uint8))
    assert not tracking.is_on()
    events = EventAccumulator(str(tmp_path / "tracking/toy"))
    events.Reload()
    losses = events.Scalars("finetune/loss")
    assert [(event.step, round(event.value, 4)) for event in losses] == [(k, round(1 / (k + 1), 4)) for k in range(5)]
    assert [event.value for event in events.Scalars("finetune/learning_rate")] == [0.5] * 5
    [rate] = events.Scalars("finetune/steps_per_second")
    [images] = events.Scalars("finetune/images_per_second")
    assert rate.step == images.step == 5
    assert images.value == pytest.approx(4 * rate.value, rel=1e-5)
    assert events.Scalars("score pool/images_per_second")
    [sheet] = events.Images("generate/images")
    assert (sheet.width, sheet.height) == (91, 19)  # two rows, ten a row, a pixel between them
    [settings] = (tmp_path / "tracking/toy").rglob("hparams.yml")
    assert "finetune.epochs: 2" in settings.read_text()


def test_trackio_writes_into_the_folder_without_the_hub_and_stdout_is_for_results(tmp_path, hub):
    done = hub.run(TRACKIO, str(tmp_path / "tracking"), env={"HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout) == (0, "result\n"), done.stderr
    with sqlite3.connect(tmp_path / "tracking/toy.db") as database:
        rows = " ".join(str(row) for row in database.execute("select * from metrics"))
    assert '"finetune/loss"' in rows
    assert "finetune/images_per_second" in rows
    assert len(list((tmp_path / "tracking/media").rglob("*.png"))) == 1


def test_a_tracker_that_is_not_there_is_one_sentence():
    require_trackers([])
    with pytest.raises(InputError, match=r"^'aim' is no tracker: give trackio, tensorboard or wandb$"):
        require_trackers(["aim"])
    with pytest.raises(InputError, match=r"^--report-to wandb needs a package that is not installed: `pip install "):
        require_trackers(["tensorboard", "wandb"])


def test_without_trackers_nothing_is_made(tmp_path):
    with tracked([], tmp_path / "tracking", "toy", {}):
        track_images("nothing", np.zeros((1, 2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
