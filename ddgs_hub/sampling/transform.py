"""The logarithmic transformation of difficulties (Eq. 7–8)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.histogram import as_count, as_difficulties

EPSILON = 1e-4  # ε of Eq. 7: stands in for a floor of 0, and the least transformed value
_TINY = np.finfo(np.float64).tiny  # the least floor that 1 can be divided by without overflow


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
    floor, ceiling = floor_and_ceiling(values, bottom, top, eps)
    # The floor is applied last: an ε in the place of 0 can lie above the ceiling, which then counts as no spread.
    logs = np.log(np.maximum(np.minimum(values, ceiling), floor) / floor)
    span = logs.max()
    if not span > 0:
        return np.full(values.shape, eps)
    return np.maximum(logs / span, eps)


def floor_and_ceiling(difficulty: ArrayLike, bottom: int, top: int, eps: float = EPSILON) -> tuple[float, float]:
    """The difficulties min P' and max P' that `log_transform` clips at; its arguments and errors.

    The floor is above the ceiling where ε stands in for a floor of 0 and all values are below ε.
    """
    values = as_difficulties(difficulty).astype(np.float64)
    bottom, top = _clamp_ranks(as_count(bottom, "bottom", 0), as_count(top, "top", 0), values.size)
    ordered = np.sort(values)
    return float(log_floor(ordered[bottom], eps)), float(ordered[-1 - top])


def _clamp_ranks(bottom: int, top: int, size: int) -> tuple[int, int]:
    allowed = max(size - 2, 0)
    clipped = bottom + top
    if clipped <= allowed:
        return bottom, top
    return bottom * allowed // clipped, top * allowed // clipped
