"""Improvement over a control: paired, with an interval over what is independent, and a table that begins with it."""

import csv
import io

import numpy as np
import pytest
from scipy.stats import ttest_rel

from ddgs_hub.evaluation.improvement import improvement
from ddgs_hub.evaluation.improvement_table import ImprovementTable
from ddgs_hub.evaluation.paper_table import PaperTable, TableCell

OURS, RANDOM, POOL = [40.0, 41.0, 43.0, 42.0], [38.0, 40.5, 39.0, 41.0], [41.0, 42.0, 43.5, 43.0]


def cell(values: list[float], draws: list[int] | None = None, shift: float = 1.0) -> TableCell:
    """A cell whose `best` is higher than its `last` by `shift`."""
    last = dict(enumerate(values))
    return TableCell({seed: value + shift for seed, value in last.items()}, last, draws=dict(enumerate(draws or [])))


def test_the_interval_of_one_cell_is_that_of_the_paired_t_test_over_seeds():
    found = improvement([cell(OURS)], [cell(RANDOM)])
    expected = ttest_rel(OURS, RANDOM).confidence_interval(0.95)
    assert found is not None
    assert (found.groups, found.cells) == (4, 1)
    assert found.mean == pytest.approx(np.mean(OURS) - np.mean(RANDOM))
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_repeats_of_one_draw_count_once():
    draws = [0, 1, 0, 1]
    found = improvement([cell(OURS, draws)], [cell(RANDOM, draws)])
    gaps = np.subtract(OURS, RANDOM)
    groups = [gaps[[0, 2]].mean(), gaps[[1, 3]].mean()]
    assert found is not None
    assert found.groups == 2
    assert found.standard_error == pytest.approx(np.std(groups, ddof=1) / np.sqrt(2))


def test_a_method_of_one_set_is_paired_with_the_draws_of_its_control():
    found = improvement([cell(OURS)], [cell(RANDOM, [0, 1, 0, 1])])
    assert found is not None
    assert found.groups == 2


def test_cells_of_one_draw_are_averaged_before_the_interval():
    other, control = [30.0, 32.0, 31.0, 33.0], [29.5, 30.0, 32.0, 30.0]
    found = improvement([cell(OURS), cell(other)], [cell(RANDOM), cell(control)])
    averaged = (np.subtract(OURS, RANDOM) + np.subtract(other, control)) / 2
    assert found is not None
    assert (found.groups, found.cells) == (4, 2)
    assert found.mean == pytest.approx(averaged.mean())
    assert found.standard_error == pytest.approx(averaged.std(ddof=1) / 2)


def test_only_what_both_have_in_every_cell_is_compared():
    part = TableCell({}, {0: 30.0, 1: 31.0})
    found = improvement([cell(OURS), part, cell([])], [cell(RANDOM), cell(RANDOM), cell(RANDOM)])
    assert found is not None
    assert (found.groups, found.cells) == (2, 2)
    assert improvement([cell([])], [cell(RANDOM)]) is None


def test_one_pair_has_no_interval():
    found = improvement([cell([40.0])], [cell([39.0])])
    assert found is not None
    assert (found.mean, found.standard_error, found.low) == (1.0, None, None)
    assert not found.is_better


def test_better_and_worse_begin_at_one_standard_error():
    above, below = (improvement([cell([1.0 + by, 3.0 + by])], [cell([0.0, 0.0])]) for by in (0.0, -4.0))
    assert above is not None
    assert below is not None
    assert (above.mean, above.standard_error) == (2.0, pytest.approx(1.0))
    assert (above.is_better, above.is_worse, below.is_better, below.is_worse) == (True, False, False, True)


@pytest.fixture(scope="module")
def table() -> ImprovementTable:
    """Two networks; `ours` is below `pool` in each, and `pool` above `random`."""
    cells = {}
    for network, by in (("convnet", 0.0), ("resnet18", 5.0)):
        for method, values in (("random", RANDOM), ("ours", OURS), ("pool", POOL)):
            cells[(network, method), "10"] = cell([value + by for value in values])
    accuracies = PaperTable(
        title="Evidence",
        axes=["network", "method"],
        rows=list(dict.fromkeys(row for row, _ in cells)),
        column_axis="IPC",
        columns=["10"],
        cells=cells,
        method_axis=1,
        reference="random",
        upper_bound=[],
        costs={},
        notes=["A note."],
        accuracy="last",
    )
    return ImprovementTable(accuracies, {"ours": "pool"}, "Drawn once.")


def test_the_page_begins_with_the_improvement_and_shows_the_last_accuracy_first(table):
    text = table.markdown()
    gaps = np.subtract(OURS, RANDOM)
    ends = ttest_rel(OURS, RANDOM).confidence_interval(0.95)
    first = next(line for line in text.splitlines() if line.startswith("| ours"))
    assert f"{gaps.mean():+.1f} [{ends.low:+.1f}, {ends.high:+.1f}]" in first
    assert "0 / 2 of 2" in first
    assert text.index("over random: last") < text.index("41.5 ± 1.1 (42.5)")
    assert "network, IPC 10" not in text
    assert "convnet, IPC 10" in text
    assert "**-0.9 ± 0.1**" in text
    assert text.endswith("A note.")


def test_json_and_csv_have_every_comparison_with_its_cell(table):
    values = table.to_dict()
    assert values["over_pool"] == {"ours": {"over": "pool", "cells": 2, "better": 0, "worse": 2}}
    assert len(values["improvements"]) == (2 + 1) * 3 * 2
    assert values["cells"][0]["method"] == "random"
    lines = list(csv.DictReader(io.StringIO(table.csv())))
    assert len(lines) == len(values["improvements"])
    overall = next(line for line in lines if line["method"] == "ours" and line["over"] == "random")
    assert (overall["network"], overall["IPC"], overall["groups"], overall["cells"]) == ("", "", "4", "2")
    assert float(overall["mean"]) == pytest.approx(np.subtract(OURS, RANDOM).mean())


def test_latex_has_both_tables(table):
    text = table.latex()
    assert text.count(r"\begin{tabular}") == 2
    assert r"ours & $+1.9 [" in text
    assert r"\mathbf{47.4 \pm 1.0}$ (48.4)" in text
