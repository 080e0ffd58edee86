import json

from ddgs_hub.core.rows import read_rows
from ddgs_hub.hub import DistilledCard, export_dataset
from ddgs_hub.recipe import load_recipe


def test_provenance_tells_no_folder_of_this_machine(digits_folder, tmp_path):
    rows = read_rows(digits_folder).select(range(3))
    provenance = {
        "recipe": {"data": {"original": "/home/somebody/images", "subset": None}, "seed": 3},
        "base": "org/dit",
    }
    folder = export_dataset(
        rows, tmp_path / "out", DistilledCard(recipe=load_recipe("digits")), provenance=provenance, figures={}
    )
    written = json.loads((folder / "provenance.json").read_text())
    assert written["recipe"] == {"data": {"original": "images", "subset": None}, "seed": 3}
    assert written["base"] == "org/dit"
