"""The threshold search (Eq. 9) against a plain loop over its cells: `python -m benchmarks.threshold_search`."""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import entropy

from ddgs_hub.sampling import search_thresholds

Result = TypeVar("Result")

IPCS = (10, 50, 100)
POOL_FACTOR = 5  # pool images per selected image, the paper's n
REPEATS = 3  # the best of them counts, for both
EPS = 1e-4
EDGES = np.arange(11) / 10


def entropy_bits(p: NDArray[np.int64], q: NDArray[np.int64]) -> float:
    """KL(p ‖ q) as most would write it; scipy.stats spends much of its time on checking its arguments."""
    return entropy(p, q, base=2)


def rel_entr_bits(p: NDArray[np.int64], q: NDArray[np.int64]) -> float:
    """KL(p ‖ q) with as little around it as a loop over cells allows."""
    return rel_entr(p / p.sum(), q / q.sum()).sum() / np.log(2)


def plain_search(
    difficulty: NDArray[np.float64],
    max_rank: int,
    divergence: Callable[[NDArray[np.int64], NDArray[np.int64]], float],
    weight: float = 0.5,
) -> tuple[int, int]:
    """What one writes from the paper: for each pair of ranks clip, log, histogram and two divergences.

    What does not change from cell to cell is outside the loop.
    """
    ordered = np.sort(difficulty)
    pool_histogram = np.histogram(difficulty, EDGES)[0]
    uniform = np.ones(10, dtype=np.int64)
    grid = np.full((max_rank, max_rank), np.inf)
    for bottom in range(max_rank):
        floor = ordered[bottom] or EPS
        for top in range(max_rank):
            ceiling = ordered[-1 - top]
            if ceiling <= floor:
                continue
            transformed = np.log(np.clip(difficulty, floor, ceiling) / floor) / np.log(ceiling / floor)
            histogram = np.histogram(np.maximum(transformed, EPS), EDGES)[0]
            similarity = divergence(histogram, pool_histogram)
            evenness = divergence(histogram, uniform)
            grid[bottom, top] = weight * similarity + (1 - weight) * evenness
    # Equal histograms can differ in the last digit here; the first of equal cells is meant.
    bottom, top = divmod(int((grid <= grid.min() + 1e-12).argmax()), max_rank)
    return bottom, top


def best_time(search: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds of the fastest of `REPEATS` calls, and what the last one returned."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = search()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def main() -> None:
    """Prints, for each IPC, the times of both plain loops and of ours, and how many times faster ours is.

    Raises:
        AssertionError: they chose different ranks.
    """
    rng = np.random.default_rng(0)
    print("Threshold search (Eq. 9), one class: a plain loop with scipy.stats.entropy, one with rel_entr, and ours")
    print(f"{'IPC':>4} {'cells':>6} {'entropy':>11} {'rel_entr':>11} {'ddgs-hub':>11} {'ratios':>13}  b*, t*")
    for ipc in IPCS:
        # Skewed to easy, as the difficulties of generated images are (Fig. 2), yet with no bin empty: the plain loop
        # knows no smoothing.
        difficulty = rng.random(POOL_FACTOR * ipc) ** 2
        max_rank = ipc // 2
        slow, first = best_time(partial(plain_search, difficulty, max_rank, entropy_bits))
        lean, second = best_time(partial(plain_search, difficulty, max_rank, rel_entr_bits))
        fast, ours = best_time(partial(search_thresholds, difficulty, max_rank))
        if not first == second == (ours.bottom, ours.top):
            raise AssertionError(f"IPC {ipc}: the plain loops chose {first} and {second}, search_thresholds {ours}")
        print(
            f"{ipc:>4} {max_rank**2:>6} {slow * 1e3:>8.1f} ms {lean * 1e3:>8.1f} ms {fast * 1e3:>8.2f} ms"
            f" {slow / fast:>5.0f}× {lean / fast:>5.0f}×  {ours.bottom}, {ours.top}"
        )


if __name__ == "__main__":
    main()
