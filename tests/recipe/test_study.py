"""Studies: what a table of the paper consists of, and what a user's own study may be."""

from itertools import groupby
from pathlib import Path

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe.study import Cell, Study, load_study, select_cells, study_names

CELLS = {"table1": 225, "table2": 72, "table3": 45, "table4": 45}  # networks of the paper; Full is trained once
EVIDENCE = {"evidence": 11 * 2 * 2 * 5, "evidence-dit": 10 * 2 * 5}
OWN = """
title: Mine
recipes: [digits]
methods: [random, ours]
ipc: [1, 5]
networks: [convnet3]
rows: [ipc]
columns: method
reference: ours
"""


def cells(name: str, dataset: str = "imagewoof") -> list[Cell]:
    study = load_study(name)
    return [cell for recipe in study.recipes for cell in study.for_recipe(dataset).cells(recipe)]


@pytest.mark.parametrize("name", CELLS)
def test_a_table_of_the_paper_has_all_its_networks(name):
    assert len(cells(name)) == CELLS[name]


def test_there_is_a_study_for_each_table_and_for_what_we_ask_ourselves():
    assert study_names() == sorted([*CELLS, *EVIDENCE])


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_evidence_has_a_draw_for_each_seed_and_a_control_for_each_pool(name):
    study = load_study(name)
    assert (study.headline, study.reference, study.halves) == ("improvement", "random", True)
    assert study.repeats == study.draws == 5
    assert len(study.networks) == 2
    assert {method.pool for method in study.methods if method.distribution == "auto"} <= {
        method.pool for method in study.methods if method.distribution == "pool"
    }
    assert len(study.cells("evidence64")) == EVIDENCE[name]


@pytest.mark.parametrize("name", CELLS)
def test_the_paper_has_a_value_for_every_place_of_its_tables(name):
    study = load_study(name)
    for recipe in study.recipes:
        for cell in study.cells(recipe):
            for ipc in [cell.ipc] if cell.ipc else study.ipc:
                assert study.paper_value(recipe, cell.network.network, ipc, cell.method.label) is not None


def test_values_are_the_papers():
    assert load_study("table1").paper_value("imagewoof", "resnetap10", 20, "ours") == (45.5, 0.4)
    assert load_study("table2").paper_value("imageidc", "resnetap10", 50, "random") == (68.1, 0.7)
    assert load_study("table3").paper_value("imagewoof", "resnetap10", 10, "hill") == (35.8, 0.2)
    assert load_study("table4").paper_value("imagewoof", "resnetap10", 10, "n = 6") == (34.5, 0.8)
    assert load_study("table1").paper_value("digits", "convnet", 10, "ours") is None


def test_what_all_tables_have_in_common_the_paper_reports_alike():
    at = [(name, label) for name, label in (("table1", "ours"), ("table3", "scale"), ("table4", "n = 5"))]
    for ipc in (10, 20, 50):
        values = {load_study(name).paper_value("imagewoof", "resnetap10", ipc, label) for name, label in at}
        assert len(values) == 1


def test_the_digits_have_smaller_sets_and_networks():
    study = load_study("table1").for_recipe("digits")
    assert study.ipc == [1, 10]
    assert [network.width for network in study.networks] == [32, 16]
    assert len(study.cells("digits")) == 8 * 2 * 2 * 3 + 2 * 3


def test_only_chooses_cells_and_each_option_among_those_of_the_others():
    chosen = select_cells(cells("table1"), ["method=ours,random", "ipc=10", "network=resnet18"])
    assert {(cell.method.label, cell.ipc, cell.network.network) for cell in chosen} == {
        ("random", 10, "resnet18"),
        ("ours", 10, "resnet18"),
    }


def test_the_full_dataset_is_in_every_row():
    assert {cell.method.label for cell in select_cells(cells("table1"), ["ipc=10"])} >= {"full", "ours"}


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("ipc", "--only takes KEY=VALUE"),
        ("color=red", "--only takes KEY=VALUE"),
        ("ipc=11", "no cell has the ipc '11'; there are 10, 20, 50"),
        ("method=our", "no cell has the method 'our'"),
        ("pool_size=3", "this study does not tell them apart"),
    ],
)
def test_a_choice_of_what_there_is_not_is_refused(only, message):
    with pytest.raises(InputError, match=message):
        select_cells(cells("table1"), [only])


def test_a_study_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    assert load_study(path).name == "mine"
    assert len(load_study(path).cells("digits")) == 12


def own(tmp_path: Path, text: str) -> Study:
    """A study of one's own."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_study(path)


def test_repeats_take_draws_in_turn_where_a_method_is_drawn(tmp_path):
    methods = "[random, herding, {method: ours, distribution: scale}]"
    study = own(
        tmp_path, OWN.replace("[random, ours]", methods).replace("ours\n", "random\n") + "repeats: 5\ndraws: 3\n"
    )
    draws = {
        method: sorted((cell.repeat, cell.draw) for cell in study.cells("digits") if cell.method.label == method)
        for method in ("random", "herding", "scale")
    }
    in_turn = [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1)]
    assert draws["random"] == draws["scale"] == sorted(in_turn * 2)
    assert {draw for _, draw in draws["herding"]} == {0}
    sets = [(cell.method.label, cell.ipc, cell.draw) for cell in study.cells("digits")]
    assert len(list(groupby(sets))) == len(set(sets))  # the cells of one set are neighbours


def test_methods_are_told_apart_by_their_pool_and_by_the_settings_of_ours(tmp_path):
    methods = """[random, {method: ours, distribution: scale},
      {method: ours, distribution: scale, divergence: reference},
      {method: ours, pool: dit, distribution: scale}, {method: ours, pool: real, pool_size: 3}]"""
    study = own(tmp_path, OWN.replace("[random, ours]", methods).replace("ours\n", "random\n"))
    labels = ["random", "scale", "scale (reference)", "dit: scale", "real: n = 3"]
    assert [method.label for method in study.methods] == labels
    for only, chosen in (("pool=minimax", {"scale", "scale (reference)"}), ("pool=dit", {"dit: scale"})):
        cells = select_cells(study.cells("digits"), [only, "method=ours"])
        assert {cell.method.label for cell in cells} == chosen


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("columns: method", "columns: ipc", "ipc is in rows and in columns"),
        ("reference: ours", "reference: dm", "the reference dm is none of its methods: choose of random, ours"),
        ("networks: [convnet3]", "networks: [vgg]", "unknown network 'vgg'"),
        ("[random, ours]", "[random, random]", "two methods have the same label"),
        ("[random, ours]", "[{method: dit, pool_size: 2}, ours]", "pool_size: settings of ours, not of dit"),
        ("[random, ours]", "[{method: random, pool: dit}, ours]", "pool: settings of ours, not of random"),
        ("[random, ours]", "[random, {method: ours, pool: gan}]", "pool"),
        ("[random, ours]", "[random, {method: ours, mixture: 2}]", "mixture"),
        ("[random, ours]", "[random, {method: ours, mixture: 0.2}]", "mixture 0.2 decides nothing here"),
        ("title: Mine", "title: Mine\ndraws: 0", "draws"),
        ("title: Mine", "title: Mine\nheadline: best", "headline"),
        ("rows: [ipc]", "rows: [network]", "ipc must be in rows or in columns"),
        ("recipes: [digits]", "recipes: [digits, imagewoof]", "dataset must be in rows or in columns"),
        ("ipc: [1, 5]", "ipc: [1, 1]", "ipc names one of them twice"),
        (
            "networks: [convnet3]",
            "networks: [convnet3, {network: convnet3, width: 4}]",
            "networks names one of them twice",
        ),
        ("networks: [convnet3]", "networks: [convnet3, resnet18]", "network must be in rows or in columns"),
        ("title: Mine", "title: Mine\nname: ../x", "name"),
        ("title: Mine", "titel: Mine", "unknown key 'titel'"),
        ("ipc: [1, 5]", "ipc: [0]", "greater than or equal to 1"),
        ("title: Mine", "title: Mine\npaper: {digits: {convnet3: {1: {ours: 12}}}}", "paper"),
        ("title: Mine", "title: Mine\npaper: {digits: {convnet3: {1: {ours: about 12}}}}", "is no accuracy such as"),
    ],
)
def test_a_mistake_in_a_study_is_said_in_one_sentence(tmp_path, old, new, message):
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_study(path)


@pytest.mark.parametrize(("name", "message"), [("table5", "unknown study 'table5'"), ("no.yaml", "cannot read study")])
def test_a_study_that_is_not_there_is_said_in_one_sentence(name, message):
    with pytest.raises(InputError, match=message):
        load_study(Path(name) if name.endswith("yaml") else name)
