"""The keys of the draw: a number for each image, which says how early it is taken and follows from its name alone."""

from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import as_count


def draw_keys(seed: int, label: int, images: ArrayLike) -> NDArray[np.uint64]:
    """The key of each image of a class, evenly distributed: the first 8 bytes of BLAKE2b of (seed, label, image).

    An image keeps its key whatever its difficulty, its neighbours, the size of the pool and the IPC are. So a draw of
    the smallest keys changes little where these change a little (the "permanent random numbers" of survey samples,
    Lindblom 2014, doi:10.2478/jos-2014-0047).

    Args:
        seed: of the draw, ≥ 0.
        label: of the class, ≥ 0.
        images: their numbers within the class, shape (N,), whole numbers; in a pool, `pool_index`.

    Returns:
        Shape (N,), uint64, in the order of `images`.

    Raises:
        InputError: `seed` or `label` is no such number, or `images` are not.
    """
    seed, label = as_count(seed, "seed", 0), as_count(label, "label", 0)
    numbers = np.asarray(images)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise InputError(f"images has shape {numbers.shape} and type {numbers.dtype}: give one whole number an image")
    digests = b"".join(blake2b(b"%d,%d,%d" % (seed, label, one), digest_size=8).digest() for one in numbers.tolist())
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def as_keys(keys: ArrayLike, size: int) -> NDArray[np.generic]:
    """The keys as an array of `size` numbers, one for each image.

    Raises:
        InputError: they are not.
    """
    array = np.asarray(keys)
    if array.shape != (size,) or array.dtype.kind not in "iuf":
        raise InputError(
            f"keys has shape {array.shape} and type {array.dtype}: give one number for each of {size} images"
        )
    return array
