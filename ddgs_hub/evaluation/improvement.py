"""How much higher a method's accuracies are than a control's, paired by seed, with a 95 % interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from ddgs_hub.evaluation.paper_table import Accuracy, TableCell

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Improvement:
    """A mean of paired differences.

    What belongs to one draw of the sets is no independent observation: the networks of one set, and the cells (IPC,
    network), share what chance gave them. So the differences of a draw are averaged first, over cells and repeats, and
    the interval is Student's t over the draws. Where there is one draw only, it is over the seeds: then it says what
    other networks would give, and nothing on other draws. A method of one set against several draws of its control is
    between the two: the interval has the chance of the control's draws and of the networks, not that of another set of
    the method. K-Center, herding and the full dataset have no other; a set that was learnt or drawn once does.

    Attributes:
        mean: points; positive where the method is better.
        standard_error: of the mean; None below two groups.
        low: end of the interval; None below two groups.
        high: its other end.
        groups: how many draws, or seeds, the interval is over.
        cells: over how many cells the mean is.
    """

    mean: float
    standard_error: float | None
    low: float | None
    high: float | None
    groups: int
    cells: int

    @property
    def is_worse(self) -> bool:
        """Whether the control is better by more than one standard error."""
        return self.standard_error is not None and self.mean < -self.standard_error

    @property
    def is_better(self) -> bool:
        """Whether the method is better by more than one standard error."""
        return self.standard_error is not None and self.mean > self.standard_error


def improvement(
    method: Sequence[TableCell], control: Sequence[TableCell], accuracy: Accuracy = "last"
) -> Improvement | None:
    """The improvement of a method over a control, over cells that both have.

    Args:
        method: its cells.
        control: cell by cell the control's; a seed has the same weights, batches and augmentations in both.
        accuracy: which accuracy.

    Returns:
        The improvement, over the draws (or seeds) that every cell has; None where there is none.
    """
    pairs = [
        (ours, theirs)
        for ours, theirs in zip(method, control, strict=True)
        if ours.of(accuracy).keys() & theirs.of(accuracy).keys()
    ]
    by_draw = [_differences(*pair, accuracy, by_seed=False) for pair in pairs]
    several = len({draw for cell in by_draw for draw in cell}) > 1
    cells = by_draw if several else [_differences(*pair, accuracy, by_seed=True) for pair in pairs]
    whole = [group for group in (cells[0] if cells else ()) if all(group in cell for cell in cells)]
    if not whole:
        return None
    values = np.array([np.mean([np.mean(cell[group]) for cell in cells]) for group in whole])
    mean, groups = float(values.mean()), len(values)
    if groups < 2:
        return Improvement(mean, None, None, None, groups, len(cells))
    error = float(values.std(ddof=1) / np.sqrt(groups))
    reach = error * float(student_t.ppf((1 + CONFIDENCE) / 2, groups - 1))
    return Improvement(mean, error, mean - reach, mean + reach, groups, len(cells))


def _differences(
    ours: TableCell, theirs: TableCell, accuracy: Accuracy, *, by_seed: bool
) -> Mapping[tuple[int, ...], list[float]]:
    """The paired differences of a cell, in points, by seed, or by the draws of both sets."""
    found: dict[tuple[int, ...], list[float]] = {}
    reference = theirs.of(accuracy)
    for seed, value in ours.of(accuracy).items():
        if seed in reference:
            group = (seed,) if by_seed else (ours.draws.get(seed, 0), theirs.draws.get(seed, 0))
            found.setdefault(group, []).append(value - reference[seed])
    return found
