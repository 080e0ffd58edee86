"""Files that ddgs-hub wrote itself, damaged by a kill, a full disk or by hand: begun anew, or one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from evaluations import an_evaluation

from ddgs_hub.core.errors import InputError
from ddgs_hub.original.spool import STATE_FILE, Spool
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages.compare import evaluated_before, read_table
from ddgs_hub.stages.finetune import describe_dit
from ddgs_hub.stages.repository import read_selections
from ddgs_hub.stages.run import Run

DAMAGED = ["", "{", "[1]", "null", '{"a": 1}', '{"original": {"made": 3, "seconds": "x"}}', "\x00" * 99, "[" * 100_000]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_run_says_that_its_files_are_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "stages.json").write_text(text)
    (tmp_path / "recipe.yaml").write_text("recipe: {}\n")
    with pytest.raises(InputError, match=r"stages\.json, which says what is finished, cannot be used"):
        Run(load_recipe("digits"), tmp_path)()
    assert (tmp_path / "recipe.yaml").read_text() == "recipe: {}\n"
    (tmp_path / "stages.json").write_text('{"original": {"made": "images", "seconds": 1}}')
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InputError, match=r"recipe\.yaml is damaged .*: choose another --output, or remove the folder"):
        Run(load_recipe("digits"), tmp_path)()


@pytest.mark.parametrize("text", DAMAGED)
def test_results_and_selections_that_are_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=r"results\.json cannot be used"):
        read_table(tmp_path)
    (tmp_path / "selections.json").write_text(text)
    with pytest.raises(InputError, match=r"selections\.json cannot be used"):
        read_selections(tmp_path)
    (tmp_path / "losses.json").write_text(text)
    with pytest.raises(InputError, match=r"losses\.json cannot be used"):
        describe_dit(load_recipe("digits"), Dataset.from_dict({}), tmp_path, tmp_path, command="")


def test_files_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results\.json cannot be read"):
        read_table(tmp_path)


@pytest.mark.parametrize("text", [*DAMAGED, '{"rows_fingerprint": "0", "ipc": "ten"}'])
def test_an_evaluation_that_is_damaged_is_made_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "0-random.json"
    path.write_text(text)
    assert evaluated_before(path, "0") is None
    result = an_evaluation([[50.0, 25.0]])
    path.write_text(json.dumps({"rows_fingerprint": "0", **result.to_dict()}))
    assert evaluated_before(path, "0") == result
    assert evaluated_before(path, "1") is None


@pytest.mark.parametrize("text", DAMAGED)
def test_a_spool_whose_state_is_damaged_is_fetched_anew(tmp_path: Path, digits_folder: Path, text: str) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / STATE_FILE).write_text(text)
    spool = Spool(str(digits_folder), "validation", folder)
    spool.open()
    spool.fetch()
    assert np.bincount(spool.rows()["label"]).sum() == 360
