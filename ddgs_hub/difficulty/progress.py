"""The scores that are computed so far, on disk, so that a killed scoring resumes from there."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.difficulty.margins import has_bfloat16
from ddgs_hub.difficulty.scorer import Scorer

KEY_BYTES = 32  # of `progress_key`


def progress_key(
    digests: Sequence[bytes],
    targets: NDArray[np.int64],
    scorer: Scorer,
    batch_size: int,
    more: tuple[object, ...] = (),
) -> bytes:
    """A digest of everything that decides the scores: images, their classes, weights, batches, and `more` settings."""
    settings = (
        *more,
        batch_size,
        scorer.transform,
        scorer.normalization,
        scorer.device.type,
        has_bfloat16(scorer.device),
    )
    return fingerprint(repr(settings), *digests, targets.tobytes(), *scorer.models).encode()


def open_progress(path: str | Path, key: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The scores in the file, of this shape, NaN where none is computed yet. Assigning to the array writes the file.

    A file with another key, of other images or another scorer, is replaced by an empty one.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    try:
        if not path.is_file() or path.stat().st_size != KEY_BYTES + 4 * math.prod(shape) or _key_of(path) != key:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(key + np.full(shape, np.nan, dtype=np.float32).tobytes())
        return np.memmap(path, dtype=np.float32, mode="r+", offset=KEY_BYTES, shape=shape)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _key_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(KEY_BYTES)
