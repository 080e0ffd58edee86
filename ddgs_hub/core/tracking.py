"""Trackers of experiments: TensorBoard, Trackio or Weights & Biases, through accelerate. None, unless asked for."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import get_accelerator, is_main
from ddgs_hub.core.text import one_line

LOG = logging.getLogger(__name__)
TRACKERS = ("trackio", "tensorboard", "wandb")
FOLDER = "tracking"  # in a run folder, or beside what a command writes
PLACES = {"trackio": "TRACKIO_DIR", "wandb": "WANDB_DIR"}  # variables that say where a tracker writes
SHOWN = 64  # images on a sheet at most

_trackers: list[Any] = []  # of accelerate, those that are at work


def require_trackers(names: Sequence[str]) -> None:
    """Refuses a tracker that is not known or not installed.

    Raises:
        InputError: the message says what to install.
    """
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"'{name}' is no tracker: give {', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}")
        if find_spec(name) is None:
            raise InputError(f"--report-to {name} needs a package that is not installed: `pip install {name}`")


@contextmanager
def tracked(names: Sequence[str], folder: Path, project: str, config: Mapping[str, Any]) -> Iterator[None]:
    """Has trackers follow the work in the block, in the main process of a launch.

    Args:
        names: of `TRACKERS`; empty: nothing is tracked.
        folder: where they write, unless `TRACKIO_DIR` or `WANDB_DIR` says another place.
        project: name of the work.
        config: settings to keep beside it: nested mappings of JSON values.

    Raises:
        InputError: a tracker is not known or not installed, or cannot begin.
    """
    require_trackers(names)
    if not names:
        yield
        return
    accelerator = get_accelerator(log_with=list(dict.fromkeys(names)), project_dir=folder)
    if not is_main():
        yield
        return
    for name, variable in PLACES.items():
        if name in names:
            os.environ.setdefault(variable, str(folder.resolve()))  # read when the package is imported
    folder.mkdir(parents=True, exist_ok=True)
    with redirect_stdout(sys.stderr):  # stdout is for results; Trackio greets there
        try:
            accelerator.init_trackers(project, config=_flat(config))
        except Exception as error:  # each package has errors of its own, such as Weights & Biases' of a missing login
            raise InputError(f"cannot track '{project}' in {folder}: {one_line(error, 200)}") from error
    _trackers.extend(accelerator.trackers)
    LOG.info("tracked by %s in %s", ", ".join(names), folder)
    try:
        yield
    finally:
        _trackers.clear()
        with redirect_stdout(sys.stderr):
            for tracker in accelerator.trackers:
                _finish(tracker)


def _finish(tracker: Any) -> None:
    if tracker.name == "trackio":
        import trackio

        trackio.finish()  # accelerate's way leaves it to be finished once more when Python ends
    else:
        tracker.finish()


def is_on() -> bool:
    """Whether there is a tracker."""
    return bool(_trackers)


def track(values: Mapping[str, float], step: int) -> None:
    """Gives values of a step to the trackers; each name counts its own steps."""
    for tracker in _trackers:
        if tracker.name == "wandb":  # it has one row of steps, and drops what goes back
            group = next(iter(values)).rpartition("/")[0]
            tracker.log({**values, f"{group}/step": step})
        else:
            tracker.log(dict(values), step=step)


def track_images(name: str, images: Any, step: int = 0) -> None:
    """Shows the trackers a sheet of images.

    Args:
        name: of the sheet.
        images: uint8 `(N, H, W, 3)`; the first `SHOWN` are on the sheet.
        step: of the work that made them.
    """
    if not _trackers:
        return
    import torch
    from torchvision.utils import make_grid

    rows = torch.from_numpy(images[:SHOWN]).permute(0, 3, 1, 2)
    sheet = make_grid(rows, nrow=10, padding=1).permute(1, 2, 0).numpy()
    for tracker in _trackers:
        if tracker.name == "tensorboard":
            tracker.log_images({name: sheet[None]}, step=step, dataformats="NHWC")
        elif tracker.name == "trackio":
            import trackio

            tracker.log({name: trackio.Image(sheet)}, step=step)
        else:
            tracker.log_images({name: [sheet]})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under names like `finetune.epochs`; lists as text."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
