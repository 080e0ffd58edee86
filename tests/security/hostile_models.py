"""What the tests of hostile models share: models that are changed, and a watch over what is opened meanwhile."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ddgs_hub.core.errors import InputError

SECONDS = 20  # for refusing a model, on a machine that does other things; it takes a tenth of one
DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "9" * 6_000

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "socket.connect", "socket.getaddrinfo"):
        _opened.append(f"{event} {arguments[0]} {arguments[1]}")


sys.addaudithook(_note)  # cannot be taken away again: it notes nothing where nobody watches


def refused(load: Callable[[], object], because: str, *, canary: Path | None = None) -> str:
    """Checks that a model is refused in one sentence, at once, and that nothing was asked of the network meanwhile.

    Args:
        load: loads the model.
        because: what the sentence matches.
        canary: a folder of which no file may be opened.

    Returns:
        The sentence.
    """
    global _opened
    _opened, begun = [], time.monotonic()
    try:
        with pytest.raises(InputError, match=because) as caught:
            load()
    finally:
        seen, _opened = _opened, None
    message = str(caught.value)
    assert time.monotonic() - begun < SECONDS
    assert "\n" not in message
    assert len(message) < 2_500
    assert not [event for event in seen if event.startswith("socket")]
    assert canary is None or not [event for event in seen if str(canary) in event]
    return message


def edit(path: Path, **changes: Any) -> None:
    """Changes values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edited(**changes: Any) -> Callable[[Path], None]:
    """Changes values of `config.json` in a folder."""
    return lambda folder: edit(folder / "config.json", **changes)


def written(text: str, file: str = "config.json") -> Callable[[Path], None]:
    """Writes a file in a folder."""
    return lambda folder: (folder / file).write_text(text) and None


def spoilt(value: float, file: str = "model.safetensors") -> Callable[[Path], None]:
    """Sets one number of a tensor in the middle of a file of weights."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / file)
        names = [name for name in sorted(tensors) if tensors[name].is_floating_point() and "running" not in name]
        tensors[names[len(names) // 2]].view(-1)[-1] = value
        save_file(tensors, folder / file)

    return spoil


def lacking(file: str = "model.safetensors") -> Callable[[Path], None]:
    """Removes a tensor of a file of weights."""

    def remove(folder: Path) -> None:
        tensors = load_file(folder / file)
        tensors.pop(next(name for name in sorted(tensors) if name.endswith("weight")))
        save_file(tensors, folder / file)

    return remove


def reshaped(file: str = "model.safetensors") -> Callable[[Path], None]:
    """Gives a tensor of a file of weights another shape."""

    def reshape(folder: Path) -> None:
        tensors = load_file(folder / file)
        name = next(name for name in sorted(tensors) if name.endswith("weight"))
        save_file({**tensors, name: torch.zeros(3, 5)}, folder / file)

    return reshape


def damaged(file: str = "model.safetensors") -> Callable[[Path], None]:
    """Cuts the end of a file off."""
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:-100]) and None


def pickled(content: dict[str, Any]) -> Callable[[Path], None]:
    """The weights of a part of a pipeline as torch saves them, with more beside them."""

    def change(folder: Path) -> None:
        file = "diffusion_pytorch_model.safetensors"
        weights = load_file(folder / file)
        (folder / file).unlink()
        torch.save({**weights, **content}, folder / "diffusion_pytorch_model.bin")

    return change
