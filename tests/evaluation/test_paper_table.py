"""Tables in the paper's layout: what is bold, what is compared, and what a page, a paper and a program read."""

import csv
import io

import numpy as np
import pytest
from scipy.stats import ttest_rel

from ddgs_hub.evaluation.paper_table import Cost, PaperTable, TableCell, paired_test

OURS, RANDOM, FULL = [40.0, 41.0, 43.0], [38.0, 40.5, 39.0], [90.0, 91.0, 92.0]


def place(values: list[float], paper: tuple[float, float] | None = None) -> TableCell:
    return TableCell(dict(enumerate(values)), {seed: value - 1 for seed, value in enumerate(values)}, paper)


def table(**changes) -> PaperTable:
    values = {
        "title": "Table 1",
        "axes": ["IPC", "network"],
        "rows": [("10", "convnet"), ("20", "convnet")],
        "column_axis": "method",
        "columns": ["random", "ours", "full"],
        "cells": {
            (("10", "convnet"), "random"): place(RANDOM, (35.0, 0.4)),
            (("10", "convnet"), "ours"): place(OURS, (37.4, 0.3)),
            (("10", "convnet"), "full"): place(FULL),
            (("20", "convnet"), "random"): place([50.0, 51.0, 52.0]),
            (("20", "convnet"), "ours"): place([]),
            (("20", "convnet"), "full"): place(FULL),
        },
        "method_axis": 2,
        "reference": "ours",
        "upper_bound": ["full"],
        "costs": {("ours", "10"): Cost(12.0, 3.5, 8000.0)},
        "notes": ["Not run: ours at IPC 20."],
    }
    return PaperTable(**(values | changes))


def test_a_place_is_mean_and_population_standard_deviation_beside_the_papers_and_the_difference():
    lines = table().markdown().splitlines()
    row = next(line for line in lines if line.startswith("| 10"))
    assert [part.strip() for part in row.split("|")[3:6]] == ["39.2 ± 1.0", "**41.3 ± 1.2**", "91.0 ± 0.8"]
    paper, difference = lines[lines.index(row) + 1], lines[lines.index(row) + 2]
    assert [part.strip() for part in paper.split("|")[2:6]] == ["paper", "35.0 ± 0.4", "37.4 ± 0.3", "–"]
    assert [part.strip() for part in difference.split("|")[2:6]] == ["difference", "+4.2", "+3.9", "–"]


def test_the_highest_of_a_row_is_bold_but_for_the_full_dataset_and_where_there_is_no_rival():
    assert table().bold() == {(("10", "convnet"), "ours")}


def test_a_place_whose_repeats_are_not_all_there_says_so_and_is_compared_with_nothing():
    part = TableCell({0: 60.0}, {0: 59.0}, (37.4, 0.3), repeats=3)
    partly = table(cells={**table().cells, (("10", "convnet"), "ours"): part})
    assert partly.bold() == set()
    assert "60.0 (1 of 3)" in partly.markdown()
    assert "$60.0$ (1 of 3)" in partly.latex()
    assert next(line for line in partly.csv().splitlines() if line.startswith("10,convnet,ours")).endswith(",37.4,0.3,")


def test_a_place_that_a_study_does_not_have_is_empty():
    sparse = table(cells={(("10", "convnet"), "random"): place(RANDOM)})
    assert len(sparse.csv().splitlines()) == 7
    assert "–" in sparse.markdown()


def test_where_methods_are_rows_the_highest_of_a_column_is_bold():
    cells = {
        (("hill",), "10"): place([30.0, 30.2]),
        (("scale",), "10"): place([31.0]),
        (("hill",), "20"): place([45.0]),
        (("scale",), "20"): place([44.0]),
    }
    by_row = {"axes": ["method"], "rows": [("hill",), ("scale",)], "columns": ["10", "20"], "column_axis": "IPC"}
    turned = table(**by_row, cells=cells, method_axis=0, reference="scale")
    assert turned.bold() == {(("scale",), "10"), (("hill",), "20")}
    assert turned.tests()["hill"].difference == pytest.approx(0.0)


def test_means_that_are_printed_alike_are_both_bold():
    cells = {**table().cells, (("10", "convnet"), "random"): place([value + 0.01 for value in OURS])}
    assert {column for row, column in table(cells=cells).bold() if row[0] == "10"} == {"random", "ours"}


def test_the_paired_test_is_scipys_over_the_places_that_both_have():
    [(method, test)] = table().tests().items()
    assert (method, test.pairs) == ("random", 3)
    assert test.difference == pytest.approx(np.mean(OURS) - np.mean(RANDOM))
    assert test.p == pytest.approx(ttest_rel(OURS, RANDOM).pvalue)


def test_networks_are_paired_by_their_seed_not_by_their_order():
    cells = {**table().cells, (("10", "convnet"), "random"): TableCell({2: 39.0, 7: 99.0, 0: 38.0}, {})}
    test = table(cells=cells).tests()["random"]
    assert (test.pairs, test.difference) == (2, pytest.approx(((40.0 - 38.0) + (43.0 - 39.0)) / 2))


@pytest.mark.parametrize(
    ("ours", "theirs"), [([40.0], [39.0]), ([40.0, 41.0], [39.0, 40.0]), ([12.4, 13.1], [18.7, 19.4])]
)
def test_a_test_that_is_not_defined_has_no_p(ours, theirs):
    assert paired_test(ours, theirs).p is None


def test_latex_has_a_row_for_each_row_and_escapes_names():
    text = table(axes=["IPC", "a_b"]).latex()
    assert r"IPC & a\_b & random & ours & full \\" in text
    assert r"10 & convnet & $39.2 \pm 1.0$ & $\mathbf{41.3 \pm 1.2}$ & $91.0 \pm 0.8$ \\" in text
    assert r" & paper & $35.0 \pm 0.4$ & $37.4 \pm 0.3$ & -- \\" in text
    assert r" & difference & $+4.2$ & $+3.9$ & $–$ \\" in text
    assert text.endswith("% Not run: ours at IPC 20.\n")
    assert r"20 & convnet & $51.0 \pm 0.8$ & -- &" in text


def test_csv_has_a_line_for_each_place_with_numbers_a_program_reads():
    lines = list(csv.DictReader(io.StringIO(table().csv())))
    assert len(lines) == 6
    first = lines[0]
    assert (first["IPC"], first["method"], first["repeats"]) == ("10", "random", "3")
    assert float(first["difference"]) == pytest.approx(np.mean(RANDOM) - 35.0)
    assert float(first["last_mean"]) == pytest.approx(np.mean(RANDOM) - 1)
    assert next(line for line in lines if line["IPC"] == "20" and line["method"] == "ours")["best_mean"] == ""


def test_json_has_every_accuracy_by_its_seed():
    values = table().to_dict()
    assert values["cells"][1]["best"] == {0: 40.0, 1: 41.0, 2: 43.0}
    assert values["paired_tests"]["random"]["pairs"] == 3
    assert values["costs"] == [{"method": "ours", "ipc": "10", "making": 12.0, "training": 3.5, "images_seen": 8000.0}]


def test_a_name_cannot_act_on_the_page():
    cells = {(("10", "<b>|x"), column): place([1.0]) for column in ("random", "ours", "full")}
    assert "<b>|" not in table(rows=[("10", "<b>|x")], cells=cells).markdown()
