"""Label-robust and augmentation-robust scores of one set over several rounds, as values and as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddgs_hub.core.markdown import table
from ddgs_hub.evaluation.robust_scores import Accuracies

ROWS = (  # name, its words, and whether it is a score in 0 … 1; all else is shown in percent or points
    ("label_robust_score", "Label-Robust Score, LRS", True),
    ("augmentation_robust_score", "Augmentation-Robust Score, ARS", True),
    ("improvement", "improvement over Random, IOR (points)", False),
    ("improvement_plain", "the same without augmentation (points)", False),
    ("recovery", "hard-label recovery, HLR (points)", False),
    ("full_hard", "full dataset, hard labels (%)", False),
    ("set_hard", "set, hard labels (%)", False),
    ("set_any", "set, {labels} labels (%)", False),
    ("random_any", "Random, {labels} labels (%)", False),
    ("set_plain", "set, {labels} labels, without augmentation (%)", False),
    ("random_plain", "Random, {labels} labels, without augmentation (%)", False),
)


def robust_values(rounds: Sequence[Accuracies]) -> dict[str, dict[str, Any]]:
    """Each score and each number that it is made of: mean, population standard deviation, and the value of each round.

    All are fractions. As in DD-Ranking each round has its scores, and those are averaged.
    """
    values = {}
    for name, _, _ in ROWS:
        attributes = [getattr(one, name) for one in rounds]
        numbers = [value() if callable(value) else value for value in attributes]
        values[name] = {"mean": float(np.mean(numbers)), "std": float(np.std(numbers)), "rounds": numbers}
    return values


def robust_table(last: Mapping[str, Mapping[str, Any]], best: Mapping[str, Mapping[str, Any]], labels: str) -> str:
    """The Markdown of what `robust_values` says of the last and of the best tests.

    Args:
        last: of the tests after the last epoch.
        best: of each network's best test.
        labels: `hard` or `soft`: those that the set is judged by.
    """
    lines = [["", "last", "best"]]
    for name, words, is_score in ROWS:
        cells = [
            f"{100 * one['mean']:.1f} ± {100 * one['std']:.1f}"
            if not is_score
            else f"{one['mean']:.3f} ± {one['std']:.3f}"
            for one in (last[name], best[name])
        ]
        lines.append([words.format(labels=labels), *cells])
    return table(lines)
