"""How many picks two samplings share when scores, pool or IPC change a little: `python -m benchmarks.stable_draws`."""

import argparse
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from ddgs_hub.sampling import Selection, difficulty_guided_sample, draw_keys, select_by_difficulty

Values: TypeAlias = NDArray[np.float64]

NOISE = 0.003  # mean change of a difficulty
IPC, CLASSES, FACTOR, ORIGINALS, REPEATS = 10, 10, 5, 500, 10
# Mean and standard deviation of the logits of difficulties, of pool and original: medians and quartiles of a pool of
# the digits' recipe, and of an easy-biased pool of ImageNette's images.
SCORES = {"as the digits'": ((-4.5, 1.2), (-3.4, 1.6)), "as ImageNette's": ((-2.1, 2.2), (-1.0, 1.9))}


def moved_logits(values: Values, rng: np.random.Generator) -> Values:
    """Every logit changes at random: what other hardware or precision does."""
    steps = rng.normal(size=values.shape)
    scale = brentq(lambda s: np.abs(expit(logit(values) + s * steps) - values).mean() - NOISE, 0, 20)
    return expit(logit(values) + scale * steps)


def some_moved(values: Values, rng: np.random.Generator) -> Values:
    """A fifth of the images change, by five times as much: those that another fold of the scorer judges."""
    steps = rng.normal(size=values.shape) * (rng.permutation(values.size) < values.size / 5)
    scale = brentq(lambda s: np.abs(expit(logit(values) + s * steps) - values).mean() - NOISE, 0, 50)
    return expit(logit(values) + scale * steps)


def added(values: Values, rng: np.random.Generator) -> Values:
    """Normal noise on the difficulties themselves, cut off at 0 and 1: hardest on images that are very easy."""
    return np.clip(values + rng.normal(0, NOISE * np.sqrt(np.pi / 2), values.shape), 0, 1)


CHANGES = {"every logit": moved_logits, "a fifth of the images": some_moved, "added, cut off at 0": added}


def draw_scores(name: str, rng: np.random.Generator, size: int = FACTOR * IPC) -> list[tuple[Values, Values]]:
    """Difficulties of pool, `(size,)`, and original, `(500,)`, of each class."""
    (pool, spread), (original, original_spread) = SCORES[name]
    return [
        (expit(rng.normal(pool, spread, size)), expit(rng.normal(original, original_spread, ORIGINALS)))
        for _ in range(CLASSES)
    ]


def sampled(scores: list[tuple[Values, Values]], seed: int, ipc: int = IPC) -> list[Selection]:
    """Every class sampled with `scale`."""
    return [difficulty_guided_sample(*of, ipc, seed=seed, label=k) for k, of in enumerate(scores)]


def exact_bins(selections: list[Selection], seed: int) -> list[NDArray[np.int64]]:
    """The picks of bins with sharp edges, by the same keys."""
    return [
        select_by_difficulty(one.transformed, one.counts, draw_keys(seed, k, np.arange(one.bins.size)), edge=0)
        for k, one in enumerate(selections)
    ]


def shared(first: list[NDArray[np.int64]], second: list[NDArray[np.int64]]) -> int:
    """How many images are in both."""
    return sum(np.intersect1d(a, b).size for a, b in zip(first, second, strict=True))


def most_shared(picks: list[NDArray[np.int64]], after: list[Selection]) -> int:
    """How many of the picks sharp bins could at most keep, as they lie and are wanted afterwards."""
    kept = 0
    for rows, one in zip(picks, after, strict=True):
        inside = np.minimum(np.bincount(one.bins[rows], minlength=10), one.counts - one.shortfall).sum()
        kept += min(int(inside + one.shortfall.sum()), rows.size)
    return kept


def compare(name: str, noise: Callable[[Values, np.random.Generator], Values]) -> list[float]:
    """Shared picks of 100: by chance alone, of sharp bins, at most of these, and of ours."""
    counts = []
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        scores = draw_scores(name, rng)
        before = sampled(scores, seed)
        after = sampled([(noise(pool, rng), noise(original, rng)) for pool, original in scores], seed)
        sharp = exact_bins(before, seed)
        counts.append(
            (
                shared(sharp, exact_bins(after, seed + REPEATS)),
                shared(sharp, exact_bins(after, seed)),
                most_shared(sharp, after),
                shared([one.indices for one in before], [one.indices for one in after]),
            )
        )
    return np.mean(counts, axis=0).tolist()


def main() -> None:
    """Prints shared picks of 100, under noise and with another pool or IPC, and what a draw costs."""
    argparse.ArgumentParser(prog="python -m benchmarks.stable_draws", description=__doc__).parse_args()
    print(f"picks of {CLASSES * IPC} that two samplings share, `scale`, n = {FACTOR}, mean of {REPEATS}")
    print("| difficulties | their change, 0.003 on average | another seed | sharp edges | these at most | ours |")
    print("|---|---|---:|---:|---:|---:|")
    for name in SCORES:
        for change, noise in CHANGES.items():
            cells = " | ".join(f"{count:.0f}" for count in compare(name, noise))
            print(f"| {name} | {change} | {cells} |")
    for name in SCORES:
        larger, nested = [], []
        for seed in range(REPEATS):
            scores = draw_scores(name, np.random.default_rng(seed), 5 * FACTOR * IPC)
            cut = [[(pool[:size], original) for pool, original in scores] for size in (50, 60, 250)]
            five, six, all_of_it = ([one.indices for one in sampled(of, seed)] for of in cut)
            larger.append(shared(five, six))
            nested.append(shared(all_of_it, [one.indices for one in sampled(scores, seed, 50)]))
        print(f"{name}: n = 5 and n = 6 share {np.mean(larger):.0f}; IPC 50 has {np.mean(nested):.0f} of IPC 10's")
    scores = draw_scores("as ImageNette's", np.random.default_rng(0), 5000)
    start = time.perf_counter()
    sampled(scores, 0, 1000)
    print(f"ten classes of 5,000 images, IPC 1,000, thresholds and draw: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
