"""Which real images a step takes, and from which numbers it draws: functions of a seed and a position.

No state is kept: a learning that goes on at step t draws what an unbroken one draws there, in every process alike.
A stream is named by a key, its seed and what the stream is for; other keys give independent draws.
"""

import math
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What is drawn, as a part of keys."""

    START = 0  # real images to start from
    NETWORK = 1  # initial weights
    REAL = 2  # real images that are matched
    STORED = 3  # synthetic images that are matched
    TRAINING = 4  # real images that a network is trained on
    EARLY = 5  # the same, for networks that are trained early, once, and kept
    VIEW = 6  # augmentation


def seed_of(*key: int) -> int:
    """A seed for torch, 0 … 2⁶³ − 1, that keys do not share."""
    return int(np.random.SeedSequence(_told_apart(key)).generate_state(1, np.uint64)[0] >> 1)


def generator_of(*key: int) -> torch.Generator:
    """A generator on the CPU, so that a key gives the same draws on every device."""
    return torch.Generator().manual_seed(seed_of(*key))


def without_repetition(count: int, size: int, *key: int) -> torch.Tensor:
    """The first `size` of `count` in a random order, int64; all where there are fewer."""
    return torch.from_numpy(np.random.default_rng(_told_apart(key)).permutation(count)[:size])


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Batches of a mixed stream in one pass over `count` images, the last short one included."""
    return math.ceil(count / batch_size)


def mixed_batch(count: int, batch_size: int, position: int, *key: int) -> torch.Tensor:
    """Batch number `position` of an endless stream of all images; each epoch has an order of its own.

    The last batch of an epoch is kept, however short.

    Returns:
        Rows 0 … count − 1, int64, at most `batch_size`.
    """
    epoch, place = divmod(position, batches_per_epoch(count, batch_size))
    return _order(count, epoch, key)[place * batch_size : (place + 1) * batch_size]


def class_batch(count: int, batch_size: int, position: int, *key: int) -> torch.Tensor:
    """Batch number `position` of the endless stream of one class, which is shuffled anew when it is exhausted.

    A last batch that is short is left out; a class that has fewer images than a batch gives them all.

    Returns:
        Rows 0 … count − 1 of the class, int64, `batch_size` or `count`.
    """
    epoch, place = divmod(position, max(count // batch_size, 1))
    return _order(count, epoch, key)[place * batch_size : (place + 1) * batch_size]


def pass_length(count: int, batch_size: int, position: int, images: int) -> int:
    """Batches of a mixed stream, from `position` on, until they hold `images` or more."""
    per_epoch, batches, taken = batches_per_epoch(count, batch_size), 0, 0
    while taken < images:
        is_last = (position + batches) % per_epoch == per_epoch - 1
        taken += count - (per_epoch - 1) * batch_size if is_last else batch_size
        batches += 1
    return batches


def _told_apart(key: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy fills keys up with zeros, so that (1, 2) and (1, 2, 0) would be alike."""
    return (len(key), *key)


def _order(count: int, epoch: int, key: tuple[int, ...]) -> torch.Tensor:
    return without_repetition(count, count, *key, epoch)
