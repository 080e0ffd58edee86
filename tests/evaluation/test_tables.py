import dataclasses

import pytest
from evaluations import an_evaluation

from ddgs_hub.core.errors import InputError
from ddgs_hub.evaluation.tables import accuracy_table
from ddgs_hub.recipe import Protocol

RANDOM = an_evaluation(
    [[24.0, 22.0], [26.0, 23.0]],
    protocol=Protocol(network="convnet6", repeats=2),
    epochs=2000,
    evaluation_epochs=[1000, 2000],
)
OURS = dataclasses.replace(RANDOM, accuracies=[[35.0, 34.0], [36.0, 36.0]])

TABLE = """\
Top-1 accuracy, mean ± standard deviation over the repeats (network convnet6, image size 224 px, IPC 10, \
training images 100, validation images 500, epochs 2000, evaluations 2, repeats 2, seed 0, chance 10 %).
Best: the highest of a repeat's evaluations on the validation images; last: the evaluation after the last epoch.

| method |       best (%) |   last (%) |
| :----- | -------------: | ---------: |
| Random |     25.0 ± 1.0 | 22.5 ± 0.5 |
| ours   | **35.5 ± 0.5** | 35.0 ± 1.0 |"""


def test_the_whole_table():
    assert accuracy_table({"Random": RANDOM, "ours": OURS}) == TABLE


def test_last_comes_first_when_asked_for():
    lines = accuracy_table({"Random": OURS, "ours": RANDOM}, "last").splitlines()
    assert lines[1].startswith("Last: ")
    assert lines[3].split("|")[2:4] == ["       last (%) ", "   best (%) "]
    assert "**35.0 ± 1.0** | 35.5 ± 0.5" in lines[5]


def test_a_setting_that_differs_is_a_column():
    full = dataclasses.replace(OURS, train_images=12454)
    table = accuracy_table({"Random": RANDOM, "full": full})
    assert "training images 100," not in table
    assert "| Random |             100 |" in table
    assert "| full   |           12454 |" in table


def test_rows_are_compared_on_the_same_validation_images():
    table = accuracy_table([("a", RANDOM), ("b", OURS), ("a", OURS)], tested_on=["x|y", "x|y", "z"])
    rows = [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()[3:]]
    assert rows[0][1] == "tested on"
    assert [(row[1], "**" in row[2]) for row in rows[2:]] == [("x\\|y", False), ("x\\|y", True), ("z", False)]


def test_equal_means_are_both_bold_and_bars_are_escaped():
    table = accuracy_table({"a|b": OURS, "c": OURS})
    assert table.count("**") == 4
    assert "a\\|b" in table


def test_nothing_and_unknown_are_refused():
    with pytest.raises(InputError, match="no evaluations"):
        accuracy_table({})
    with pytest.raises(InputError, match="which is 'mean': choose best or last"):
        accuracy_table({"Random": RANDOM}, "mean")
