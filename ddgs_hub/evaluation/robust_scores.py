"""Scores of a distilled set that neither labels nor augmentation can raise, as DD-Ranking defines them.

Li et al., "DD-Ranking: Rethinking the Evaluation of Dataset Distillation", arXiv 2505.13300; the formulas are those of
`doc/introduction.md` of its repository, NUS-HPC-AI-Lab/DD-Ranking. Accuracies are fractions, 0 … 1: the published
code hands percentages to the exponential function, where only fractions stay in 0 … 1.
"""

import math
from dataclasses import dataclass

from ddgs_hub.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """Accuracies of networks in one round, fractions in 0 … 1, of one seed and one random draw.

    Attributes:
        full_hard: trained on the whole original dataset, on hard labels (real-hard).
        set_hard: on the distilled set, on hard labels (syn-hard).
        set_any: on the distilled set with the labels that it is judged by (syn-any, syn-aug).
        random_any: on as many real images, drawn at random, with labels of the same kind (rdm-any, rdm-aug).
        set_plain: as `set_any`, without augmentation (syn-naug).
        random_plain: as `random_any`, without augmentation (rdm-naug).

    Raises:
        InputError: one is not in 0 … 1.
    """

    full_hard: float
    set_hard: float
    set_any: float
    random_any: float
    set_plain: float
    random_plain: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise InputError(f"the accuracy {name} is {value}: give a fraction in 0 … 1, not percent")

    @property
    def recovery(self) -> float:
        """HLR, what the set lacks to the whole dataset on hard labels, −1 … 1; smaller is better."""
        return self.full_hard - self.set_hard

    @property
    def improvement(self) -> float:
        """IOR, what the set is better than random images are, −1 … 1."""
        return self.set_any - self.random_any

    @property
    def improvement_plain(self) -> float:
        """The same without augmentation, −1 … 1."""
        return self.set_plain - self.random_plain

    def label_robust_score(self, weight: float = 0.5) -> float:
        """LRS, 0 … 1: α = w·IOR − (1 − w)·HLR, normalised; 0.269 is a set that is as good as random and as all images.

        Args:
            weight: w, 0 … 1; the leaderboard has 0.5.
        """
        return normalised(weight * self.improvement - (1 - weight) * self.recovery)

    def augmentation_robust_score(self, weight: float = 0.5) -> float:
        """ARS, 0 … 1: β = γ·IOR + (1 − γ)·IOR without augmentation, normalised; 0.269 is as good as random.

        Args:
            weight: γ, 0 … 1; the published code has 0.5.
        """
        return normalised(weight * self.improvement + (1 - weight) * self.improvement_plain)


def normalised(value: float) -> float:
    """(e^v − e^−1) / (e − e^−1): −1 … 1 onto 0 … 1, so that 0 becomes 1 / (1 + e) = 0.269."""
    return (math.exp(value) - math.exp(-1)) / (math.e - math.exp(-1))
