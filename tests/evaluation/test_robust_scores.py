"""DD-Ranking's scores (arXiv 2505.13300), from accuracies as fractions."""

import json
import math
from dataclasses import replace

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.robust_scores import Accuracies, normalised
from ddgs_hub.evaluation.robust_table import ROWS, robust_table, robust_values

# HLR 23.73 and IOR 30.90 points: those of MTT on CIFAR-10 at IPC 10 in the leaderboard's data.csv (2025-02-08).
MTT = Accuracies(full_hard=0.8473, set_hard=0.61, set_any=0.65, random_any=0.341, set_plain=0.5, random_plain=0.4)


def test_label_robust_score_by_hand() -> None:
    """α = 0.5 · 0.3090 − 0.5 · 0.2373 = 0.03585.

    e^0.03585 = 1.0365004, e^−1 = 0.3678794 and e − e^−1 = 2.3504024, so 0.6686210 / 2.3504024 = 0.2844708.
    """
    assert MTT.recovery == pytest.approx(0.2373)
    assert MTT.improvement == pytest.approx(0.3090)
    assert MTT.label_robust_score() == pytest.approx(0.2844708, abs=2e-7)
    # w = 1: e^0.309 = 1.3620624, so 0.9941830 / 2.3504024 = 0.4229842; w = 0: e^−0.2373 = 0.7887546, 0.1790652.
    assert MTT.label_robust_score(1) == pytest.approx(0.4229842, abs=2e-7)
    assert MTT.label_robust_score(0) == pytest.approx(0.1790652, abs=2e-7)


def test_augmentation_robust_score_by_hand() -> None:
    """β = 0.5 · 0.309 + 0.5 · 0.1 = 0.2045: e^0.2045 = 1.2269112, so 0.8590318 / 2.3504024 = 0.3654828."""
    assert MTT.augmentation_robust_score() == pytest.approx(0.3654828, abs=2e-7)
    # γ = 0: e^0.1 = 1.1051709, so 0.7372915 / 2.3504024 = 0.3136873.
    assert MTT.augmentation_robust_score(0) == pytest.approx(0.3136873, abs=2e-7)


def test_the_ends_and_the_middle() -> None:
    assert normalised(-1) == 0
    assert normalised(1) == 1
    assert normalised(0) == pytest.approx(1 / (1 + math.e))
    nothing = Accuracies(full_hard=0.7, set_hard=0.7, set_any=0.5, random_any=0.5, set_plain=0.4, random_plain=0.4)
    assert nothing.label_robust_score() == nothing.augmentation_robust_score() == pytest.approx(0.26894142)


@pytest.mark.parametrize("value", [61.0, -0.1, math.nan])
def test_percentages_are_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"the accuracy set_hard is .*: give a fraction in 0 … 1, not percent"):
        replace(MTT, set_hard=value)


def test_rounds_are_scored_each_and_then_averaged() -> None:
    other = replace(MTT, random_any=0.6, random_plain=0.5)
    values = robust_values([MTT, other])
    assert values["improvement"] == {
        "mean": pytest.approx(0.1795),
        "std": pytest.approx(0.1295),
        "rounds": [pytest.approx(0.309), pytest.approx(0.05)],
    }
    of_each = [MTT.label_robust_score(), other.label_robust_score()]
    assert values["label_robust_score"]["rounds"] == of_each
    assert values["label_robust_score"]["mean"] == pytest.approx(sum(of_each) / 2)
    assert list(values) == [name for name, _, _ in ROWS]
    assert json.loads(json.dumps(values)) == values
    table = robust_table(values, robust_values([MTT]), "soft").splitlines()
    assert len(table) == 2 + len(ROWS)
    assert [cell.strip() for cell in table[2].split("|")[1:-1]] == [
        "Label-Robust Score, LRS",
        f"{sum(of_each) / 2:.3f} ± {abs(of_each[0] - of_each[1]) / 2:.3f}",
        "0.284 ± 0.000",
    ]
    assert any("| set, soft labels (%)" in line and "65.0 ± 0.0" in line for line in table)
