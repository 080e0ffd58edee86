"""Which images of a class are taken: the targets of sampling by name, each a small function of `ClassScores`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ddgs_hub.core.histogram import difficulty_histogram
from ddgs_hub.sampling.distributions import DISTRIBUTIONS, mixed_counts
from ddgs_hub.sampling.draw import select_by_difficulty

TIE = 1e-9  # of difficulty: between images whose distances to a quantile differ by less, the keys decide


@dataclass(frozen=True, eq=False)
class ClassScores:
    """What a target looks at. N is the size of the pool, M the number of original images of the class.

    Attributes:
        pool: difficulties, shape (N,), in 0…1.
        original: likewise, shape (M,).
        pool_log: of the pool after the transformation (Eq. 8), shape (N,), in 0…1.
        original_log: of the original, likewise, shape (M,).
        keys: of the images of the pool, shape (N,): see `draw_keys`.
        ipc: images to take, 1…N.
        mixture: α of `mixture`, −1…1.
    """

    pool: NDArray[np.floating]
    original: NDArray[np.floating]
    pool_log: NDArray[np.floating]
    original_log: NDArray[np.floating]
    keys: NDArray[np.generic]
    ipc: int
    mixture: float = 0.5


# The rows that are taken, ascending, and the counts per bin that were asked for; None: the target asks for none.
Taken: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64] | None]
Target: TypeAlias = Callable[[ClassScores], Taken]


def _to_counts(name: str) -> Target:
    """Counts per bin that the pool does not decide: `scale` and the shapes of Fig. 4."""

    def target(scores: ClassScores) -> Taken:
        counts = DISTRIBUTIONS[name](scores.original_log, scores.ipc)
        return select_by_difficulty(scores.pool_log, counts, scores.keys), counts

    return target


def mixture(scores: ClassScores) -> Taken:
    """Bins between the pool's and the original's, or beyond; see `mixed_counts`."""
    of_pool, of_original = difficulty_histogram(scores.pool_log), difficulty_histogram(scores.original_log)
    counts = mixed_counts(of_pool, of_original, scores.ipc, scores.mixture)
    return select_by_difficulty(scores.pool_log, counts, scores.keys), counts


def quantile(scores: ClassScores) -> Taken:
    """The images nearest to IPC evenly spread quantiles of the original's difficulties, each image matched to one."""
    return _matched(scores, scores.original), None


def curriculum(scores: ClassScores) -> Taken:
    """`quantile` on the easiest share s of the original, s = ln(1 + IPC) / ln(1 + M): all of it where IPC is M or more.

    Ours, not the paper's. The fewer images there are, the more easy ones teach and the less hard ones do (Sorscher et
    al. 2022, arXiv 2206.14486, Section 2); in Table 3 of the paper, too, the easy-heavy `slope` is the best at IPC 10.
    """
    size = scores.original.size
    share = min(np.log1p(scores.ipc) / np.log1p(size), 1.0)
    easiest = np.sort(scores.original)[: max(round(share * size), 1)]
    return _matched(scores, easiest), None


def pool(scores: ClassScores) -> Taken:
    """At random from the pool, whatever the difficulties are: what all other targets have to be better than."""
    return _first(scores.keys[None], scores.ipc), None


def easy(scores: ClassScores) -> Taken:
    """The easiest images of the pool; of equal ones those with the smallest keys."""
    return _first(np.stack([scores.keys, scores.pool.astype(np.float64)]), scores.ipc), None


TARGETS: dict[str, Target] = {
    **{name: _to_counts(name) for name in DISTRIBUTIONS},
    "quantile": quantile,
    "pool": pool,
    "easy": easy,
    "curriculum": curriculum,
    "mixture": mixture,
}


def _first(by: NDArray[np.generic], count: int) -> NDArray[np.int64]:
    """The first `count` columns in the order of `numpy.lexsort`, ascending."""
    return np.sort(np.lexsort(by)[:count])


def _matched(scores: ClassScores, wanted: NDArray[np.floating]) -> NDArray[np.int64]:
    """Matches IPC quantiles of `wanted` to distinct images of the pool, with the least sum of differences."""
    from scipy.optimize import linear_sum_assignment  # the import takes longer than the matching

    # Of as many quantiles as there are values, "hazen" makes these values.
    quantiles = np.quantile(wanted.astype(np.float64), (np.arange(scores.ipc) + 0.5) / scores.ipc, method="hazen")
    by_key = np.argsort(scores.keys, kind="stable")
    costs = np.abs(quantiles[:, None] - scores.pool[by_key].astype(np.float64))
    _, matched = linear_sum_assignment(costs + np.linspace(0, TIE, by_key.size))
    return np.sort(by_key[matched])
