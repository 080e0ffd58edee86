"""Checkpoints of a training: the last two are kept, and a killed save leaves no partial one."""

import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate.utils import broadcast_object_list

from ddgs_hub.core.processes import is_distributed, is_main

KEPT = 2  # the newest may be unreadable after a power failure


class Stateful(Protocol):
    """The methods that torch's modules and optimizers, and diffusers' EMA, have in common."""

    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...  # noqa: D102


class Checkpoints:
    """The checkpoints of one training, in a folder that is removed when the training is over.

    The first process writes and reads the files; the others get the state from it.

    Args:
        folder: of the files, created with the first one; None: no checkpoints.
        key: a fingerprint of everything that decides the training. Checkpoints with another key are not read.
        parts: everything that changes from step to step. Their states are restored on the CPU.
    """

    def __init__(self, folder: str | Path | None, key: str, parts: Mapping[str, Stateful]) -> None:
        self.folder = Path(folder) if folder else None
        self.key = key
        self.parts = parts
        self.saved_at = time.monotonic()  # or when the training began

    def restore(self) -> int:
        """Restores the newest readable checkpoint; returns the number of steps that are done, 0 without one."""
        if self.folder is None:
            return 0
        state = self._newest() if is_main() else None
        if is_distributed():
            [state] = broadcast_object_list([state])
        if state is None:
            return 0
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return int(state["step"])

    def save(self, step: int) -> None:
        """Saves the state of the parts after `step` steps."""
        if self.folder is None or not is_main():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / "partial"
        states = {name: part.state_dict() for name, part in self.parts.items()}
        with partial.open("wb") as file:  # by Python's file: torch's own does not report a full disk
            torch.save({"key": self.key, "step": step, **states}, file)
        partial.rename(self.folder / f"step-{step}.pt")
        for old in self._files()[KEPT:]:
            old.unlink()
        self.saved_at = time.monotonic()

    def save_when_due(self, step: int, seconds: float) -> None:
        """Saves the state after `step` steps, unless the last save, or the start, is less than `seconds` ago."""
        if time.monotonic() - self.saved_at >= seconds:
            self.save(step)

    def clear(self) -> None:
        """Removes all checkpoints."""
        if self.folder is not None and is_main():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _newest(self) -> dict[str, Any] | None:
        for path in self._files():
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except MemoryError:
                raise
            except Exception:  # an incomplete file can raise anything
                continue
            if isinstance(state, dict) and state.get("key") == self.key:
                return state
        self.clear()  # the files are of another training; later they would count as newer than ours
        return None

    def _files(self) -> list[Path]:
        """The files, the newest first."""
        assert self.folder is not None
        steps = ((re.fullmatch(r"step-(\d+)\.pt", path.name), path) for path in self.folder.glob("step-*.pt"))
        return [path for _, path in sorted(((int(match[1]), path) for match, path in steps if match), reverse=True)]
