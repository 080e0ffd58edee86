"""The logarithmic transformation of difficulties (Eq. 7–8), and the bins that every histogram of difficulties uses."""

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError

EPSILON = 1e-4  # ε of Eq. 7: stands in for a floor of 0, and the least transformed value
MAX_BINS = 1000  # ε must stay below the first edge, or raising a value to it would move it to another bin
_TINY = np.finfo(np.float64).tiny  # the least floor that 1 can be divided by without overflow


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


def difficulty_bins(values: ArrayLike, bins: int = 10) -> NDArray[np.int64]:
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


def difficulty_histogram(values: ArrayLike, bins: int = 10) -> NDArray[np.int64]:
    """How many values lie in each of the bins of `difficulty_bins`: shape (bins,), int64, summing to N.

    Raises:
        InputError: as `difficulty_bins`.
    """
    return np.bincount(difficulty_bins(values, bins), minlength=bins).astype(np.int64)


def log_floor(values: NDArray[np.float64], eps: float) -> NDArray[np.float64]:
    """The value that logarithms are taken relative to: `values` with ε in the place of 0 (Eq. 7's + ε).

    Subnormal numbers count as 0, because 1 divided by one of them overflows.
    """
    return np.where(values < _TINY, eps, values)


def log_transform(difficulty: ArrayLike, bottom: int, top: int, eps: float = EPSILON) -> NDArray[np.float64]:
    """Clips at two ranks and spreads the rest logarithmically over 0…1 (Eq. 7–8).

    With the difficulties sorted, the value at rank `bottom` is the floor min P' and the value at rank N − 1 − `top` is
    the ceiling max P'; values beyond are set to them, and each becomes ln(P' / min P') / ln(max P' / min P').
    As in the published code, ε replaces a floor that is exactly 0, and transformed values under ε are raised to ε.
    Where floor and ceiling are the same value (a constant set, ties) Eq. 8 is 0 / 0: every value is then ε.

    Ranks that would leave fewer than two values (bottom + top > N − 2: the ranks of a pool applied to a smaller
    original) are scaled down in proportion, so that floor and ceiling always come from different ranks.

    Args:
        difficulty: shape (N,), in 0…1; computed in float64 whatever its type.
        bottom: b, how many of the lowest values the floor passes over, ≥ 0.
        top: t, how many of the highest values the ceiling passes over, ≥ 0.
        eps: ε, above 0 and below the first edge of the bins.

    Returns:
        Shape (N,), float64 in ε…1, in the order of `difficulty`.

    Raises:
        InputError: difficulties that `as_difficulties` refuses, a rank that is negative or not whole, or ε outside 0…1.
    """
    if not 0 < eps < 1:
        raise InputError(f"eps is {eps}; give a small number above 0, such as {EPSILON}")
    values = as_difficulties(difficulty).astype(np.float64)
    bottom, top = _clamp_ranks(as_count(bottom, "bottom", 0), as_count(top, "top", 0), values.size)
    ordered = np.sort(values)
    floor, ceiling = log_floor(ordered[bottom], eps), ordered[-1 - top]
    # The floor is applied last: an ε in the place of 0 can lie above the ceiling, which then counts as no spread.
    logs = np.log(np.maximum(np.minimum(values, ceiling), floor) / floor)
    span = logs.max()
    if not span > 0:
        return np.full(values.shape, eps)
    return np.maximum(logs / span, eps)


def _clamp_ranks(bottom: int, top: int, size: int) -> tuple[int, int]:
    allowed = max(size - 2, 0)
    clipped = bottom + top
    if clipped <= allowed:
        return bottom, top
    return bottom * allowed // clipped, top * allowed // clipped
