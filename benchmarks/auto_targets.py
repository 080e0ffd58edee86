"""Designs of the target `auto`, each candidate against the pool at random: what its proxies find, with how much noise.

`python -m benchmarks.auto_targets ORIGINAL SCORES POOL [POOL …] --ipc 10`, of folders such as `ddgs-hub reproduce
evidence` leaves. Every repeat has a draw and a network of its own; repeats are shared out among the
pools, so that targets which leave nothing to chance are tried on several sets, too.

| design | its one parameter α |
|---|---|
| bins | of `mixture`: 0 is the histogram of the pool, 1 the original's, −1 as far beyond the pool's |
| quantiles | the quantiles of (1 − α) pool + α original, matched one to one as `quantile` does; 1 is `quantile` |
| tilt | images are drawn with probability ∝ exp(α · rank), rank 0 the easiest of its class and 1 the hardest |
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.measure import exit_after
from ddgs_hub.hub import OpenedPool, open_pool
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling import draw_keys
from ddgs_hub.sampling.datasets import Scores, distill_columns, read_scores
from ddgs_hub.stages.auto_target import TRIAL, Trial, train_proxies, trend

BINS, QUANTILES, TILTS = (-1.0, -0.5, 0.5, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0), (-4.0, -2.0, 2.0, 4.0)
POOL = ("pool", 0.0)
Values = NDArray[Any]
Rule = Callable[[Values, Values, Values, int], Values]  # difficulties of pool and original, keys, IPC → places


def by_quantiles(alpha: float) -> Rule:
    """The images nearest to IPC evenly spread quantiles of (1 − α) pool + α original, each matched to one."""

    def rule(pool: Values, original: Values, keys: Values, ipc: int) -> Values:
        values = np.concatenate([pool, original]).astype(np.float64)
        order = np.argsort(values, kind="stable")
        shares = np.repeat([(1 - alpha) / pool.size, alpha / original.size], [pool.size, original.size])
        below = shares[order].cumsum()
        wanted = values[order][np.searchsorted(below, (np.arange(ipc) + 0.5) / ipc * below[-1])]
        return linear_sum_assignment(np.abs(wanted[:, None] - pool))[1]

    return rule


def tilted(alpha: float) -> Rule:
    """A draw without replacement with these probabilities, by keys (Efraimidis and Spirakis 2006)."""

    def rule(pool: Values, original: Values, keys: Values, ipc: int) -> Values:
        rank = pool.argsort(kind="stable").argsort(kind="stable") / (pool.size - 1)
        waiting = -np.log((keys + 0.5) / 2.0**64) / np.exp(alpha * rank)
        return np.argsort(waiting, kind="stable")[:ipc]

    return rule


RULES = {("quantiles", alpha): by_quantiles(alpha) for alpha in QUANTILES}
RULES |= {("tilt", alpha): tilted(alpha) for alpha in TILTS}


def draw(opened: OpenedPool, sample: SampleSettings, seed: int) -> Iterator[tuple[tuple[str, float], Values]]:
    """Each candidate of each design, with the rows of the pool that it takes."""
    targets = {POOL: replace(sample, distribution="pool")}
    targets |= {("bins", alpha): replace(sample, distribution="mixture", mixture=alpha) for alpha in BINS}
    for candidate, settings in targets.items():
        yield candidate, distill_columns(opened.columns, opened.original, settings, seed=seed).indices
    scores = read_scores(opened.columns, opened.original, numbered=True)
    for candidate, rule in RULES.items():
        yield candidate, np.concatenate([_of_class(scores, k, rule, sample, seed) for k in range(len(scores.names))])


def _of_class(scores: Scores, label: int, rule: Rule, sample: SampleSettings, seed: int) -> Values:
    """The rows that a rule takes of one class, of the first `pool_size` × IPC images."""
    assert scores.numbers is not None
    assert sample.pool_size is not None
    rows = np.flatnonzero((scores.labels == label) & (scores.numbers < sample.pool_size * sample.ipc))
    original = scores.original_difficulty[scores.original_labels == label]
    keys = draw_keys(seed, label, scores.numbers[rows])
    return np.sort(rows[rule(scores.difficulty[rows], original, keys, sample.ipc)])


def try_designs(
    original: Path, scores: Path, pools: list[Path], sample: SampleSettings, trial: Trial
) -> dict[tuple[str, float], list[float]]:
    """The accuracies of each candidate's proxies, %, by repeat."""
    found: dict[tuple[str, float], list[float]] = {}
    for number, pool in enumerate(pools):
        opened = open_pool(pool, scores)
        drawn: dict[tuple[tuple[str, float], int], Values] = {}
        for repeat in range(number, trial.repeats, len(pools)):
            drawn |= {(candidate, repeat): rows for candidate, rows in draw(opened, sample, repeat)}
        tested, _ = train_proxies(opened, original, drawn, trial, ipc=sample.ipc, seed=0)
        for candidate, accuracies in tested.items():
            found.setdefault(candidate, []).extend(accuracies)
    return found


def main() -> None:
    """Prints a line for each candidate."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.auto_targets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # the table of designs keeps its lines
    )
    parser.add_argument("original", type=Path, help="folder of the original images")
    parser.add_argument("scores", type=Path, help="their difficulties, row for row; may be the same folder")
    parser.add_argument("pools", type=Path, nargs="+", help="scored pools with pool_index")
    parser.add_argument("--ipc", type=int, default=10, help="images a class (%(default)s)")
    parser.add_argument("--pool-size", type=int, default=5, help="n: of the first n × IPC of the pool (%(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="draws, and networks, of each candidate (%(default)s)")
    given = parser.parse_args()
    sample = SampleSettings(ipc=given.ipc, pool_size=given.pool_size)
    trial = replace(TRIAL, repeats=given.repeats)
    found = try_designs(given.original, given.scores, given.pools, sample, trial)
    of_pool = np.array(found[POOL])
    print(f"pool, at random: {of_pool.mean():.1f} %\n\n| design | α | over the pool (points) |\n|:---|---:|---:|")
    for (design, alpha), accuracies in found.items():
        gaps = np.array(accuracies) - of_pool
        if design != POOL[0]:
            print(f"| {design} | {alpha:g} | {gaps.mean():+.2f} ± {gaps.std(ddof=1) / gaps.size**0.5:.2f} |")
    print("\n| design | trend (points per unit of α) |\n|:---|---:|")
    for design in ("bins", "quantiles", "tilt"):
        kinds = (design,) if design == "quantiles" else (design, POOL[0])  # there, 0 is no random draw
        rows = {alpha: accuracies for (name, alpha), accuracies in found.items() if name in kinds}
        slope, error = trend(list(rows), list(rows.values()))
        print(f"| {design} | {slope:+.2f} ± {error:.2f} |")


if __name__ == "__main__":
    exit_after(main)
