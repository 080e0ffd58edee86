"""Difficulties as checked arrays, and the bins that every histogram of difficulties uses. NumPy alone."""

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError

BINS = 10  # of a histogram of difficulties, over 0…1
MAX_BINS = 1000  # ε of Eq. 7 stays below the first edge, or raising a value to it would move it to another bin


def as_difficulties(values: ArrayLike, name: str = "difficulty") -> NDArray[np.floating]:
    """The values as a checked floating-point array; float16, float32 and float64 keep their type.

    Args:
        values: shape (N,), N ≥ 1, each in 0…1.
        name: of the values in messages.

    Raises:
        InputError: empty, not one-dimensional, not numbers, or a value that is NaN or outside 0…1.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} must be numbers in 0…1, not {array.dtype}; give one float per image")
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}; give a one-dimensional array with at least one value")
    if array.dtype not in (np.float16, np.float32, np.float64):
        array = array.astype(np.float64)
    bad = ~((array >= 0) & (array <= 1))  # NaN fails both
    if bad.any():
        index = int(bad.argmax())
        raise InputError(f"{name}[{index}] is {array[index]}; a difficulty is 1 − p(true class), in 0…1")
    return array


def as_count(value: Any, name: str, minimum: int, maximum: int | None = None) -> int:
    """The value as an int.

    Raises:
        InputError: not a whole number, or outside `minimum`…`maximum`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; give a whole number") from None
    if number < minimum or (maximum is not None and number > maximum):
        wanted = f"at least {minimum}" if maximum is None else f"in {minimum}…{maximum}"
        raise InputError(f"{name} is {number}; give a number {wanted}")
    return number


def inner_edges(bins: int, dtype: np.dtype[Any] | type = np.float64) -> NDArray[np.floating]:
    """The edges k / bins between the bins, k = 1 … bins − 1: shape (bins − 1,), rounded to `dtype`.

    A quotient is the float nearest to k / bins, so a literal 0.3 lies on its edge; `numpy.linspace` gives
    0.30000000000000004 there.
    """
    return (np.arange(1, bins) / bins).astype(dtype)


def difficulty_bins(values: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each value: half-open bins [k / bins, (k + 1) / bins), the last one closed.

    The edges are rounded to the type of the values. So 0.7 lies in bin 7 both as a float64 and as a float32, which is
    below the float64 0.7.

    Args:
        values: difficulties or transformed difficulties, shape (N,), in 0…1.
        bins: how many, 1…1000.

    Returns:
        Shape (N,), int64 in 0 … bins − 1.

    Raises:
        InputError: values that `as_difficulties` refuses, or `bins` out of range.
    """
    array = as_difficulties(values)
    bins = as_count(bins, "bins", 1, MAX_BINS)
    return np.searchsorted(inner_edges(bins, array.dtype), array, side="right").astype(np.int64)


def difficulty_histogram(values: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """How many values lie in each of the bins of `difficulty_bins`: shape (bins,), int64, summing to N.

    Raises:
        InputError: as `difficulty_bins`.
    """
    return np.bincount(difficulty_bins(values, bins), minlength=bins).astype(np.int64)
