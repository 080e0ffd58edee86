"""Soft labels from the scorer to the trainer: scored, sampled, published, and loaded by anybody."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import write_scorer
from datasets import ClassLabel, Dataset, Features, Image
from hub_datasets import encoded
from hub_server import HubServer
from published import TOKEN, configs

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.core.soft_labels import SOFT_LABEL_COLUMNS, soft_targets
from ddgs_hub.difficulty import Scorer, score
from ddgs_hub.stages.score import score_source
from ddgs_hub.stages.score_request import ScoreRequest

CLASSES = ["cat", "dog", "emu"]
IN_ANOTHER_ORDER = ["emu", "cat", "dog"]
REPO = "acme/painted-ipc2"
WITH_SCORES = ["image", "label", "wnid", "pool_index", "seed", "difficulty", *SOFT_LABEL_COLUMNS]
# Carries out command lines in a process, then loads a repository with ddgs_hub and with datasets alone.
RUN = """
import json, sys
import datasets, ddgs_hub
from ddgs_hub.cli import main as cli

lines, repo = json.loads(sys.argv[1])
for arguments in lines:
    sys.argv = ["ddgs-hub", *arguments]
    try:
        cli.main()
    except SystemExit as exit:
        assert not exit.code, arguments
ours = ddgs_hub.load(repo).rows
theirs = datasets.load_dataset(repo, split="train")
streamed = list(datasets.load_dataset(repo, "pool", split="train", streaming=True))
names = ["soft_label_classes", "soft_label_probabilities"]
kept = [{name: list(rows[name]) for name in names} for rows in (ours, theirs)]
print(json.dumps([str(theirs.features), *kept, len(streamed)]))
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with `pictures`, originals with the classes in another order, and a scorer."""
    for name, order, first in (("pictures", CLASSES, 0), ("photos", IN_ANOTHER_ORDER, 1_000)):
        features = Features(image=Image(), label=ClassLabel(names=order))
        images = [{"bytes": encoded(first + k, 12), "path": None} for k in range(24)]
        write_rows(Dataset.from_dict({"image": images, "label": [k % 3 for k in range(24)]}, features), tmp_path / name)
    write_scorer(tmp_path / "scorer", 1, CLASSES)
    return tmp_path


def test_they_go_all_the_way_to_who_loads_the_set(hub: HubServer, pictures: Path) -> None:
    hub.add_user("alice", TOKEN, orgs=["acme"])
    lines = [
        "score pictures --scorer scorer --soft-labels 2 --output scored-pictures",
        "score photos --scorer scorer --soft-labels 3 --output scored-photos",
        "sample --pool scored-pictures --original scored-photos --ipc 2 --seed 3 --output set",
        f"publish set --repo {REPO} --with-pool",
        f"sample --pool {REPO}@v1.0.0 --ipc 2 --seed 3 --output same",
    ]
    done = hub.run(RUN, json.dumps([[line.split() for line in lines], REPO]), token=TOKEN, cwd=pictures, timeout=240)
    assert done.returncode == 0, done.stderr
    features, ours, theirs, pool_size = json.loads(done.stdout.splitlines()[-1])
    assert "'soft_label_probabilities': List(Value('float16'))" in features
    assert pool_size == 24
    assert configs(hub.repository("dataset", REPO)) == ["default", "original", "pool"]
    rows = read_rows(pictures / "set")
    assert rows.column_names == [*WITH_SCORES, "difficulty_log", "difficulty_bin"]
    assert ours == theirs == {name: rows[name][:] for name in SOFT_LABEL_COLUMNS}
    # The classes of the set are the original's, in its order, and its soft labels count them so, too.
    plain = rows.select_columns(["image", "label"])
    expected = soft_targets(score(plain, Scorer.from_pretrained(pictures / "scorer"), soft_labels=3), "the set")
    np.testing.assert_allclose(soft_targets(rows, "the set"), expected, atol=2e-3)
    again = read_rows(pictures / "same")
    assert again.column_names == rows.column_names
    assert again["soft_label_classes"][:] == rows["soft_label_classes"][:]
    card = (pictures / "scored-pictures" / "README.md").read_text()
    assert "| `soft_label_classes` | list of int32 | the classes that the scorer finds most probable" in card
    assert "--soft-labels 2" in card
    assert json.loads((pictures / "scored-pictures" / "provenance.json").read_text())["soft_labels"] == 2


def test_how_many_is_a_part_of_the_request(pictures: Path) -> None:
    def request(soft_labels: int | None) -> ScoreRequest:
        return ScoreRequest(source=str(pictures / "photos"), scorer=str(pictures / "scorer"), soft_labels=soft_labels)

    score_source(request(2), pictures / "scored")
    assert "(scored before)" in score_source(request(2), pictures / "scored").text
    for other in (None, 3):
        with pytest.raises(InputError, match="scored"):
            score_source(request(other), pictures / "scored")
    with pytest.raises(InputError, match="soft_labels is 4, and the dataset has 3 classes: take fewer"):
        score_source(request(4), pictures / "other")
    assert [path.name for path in pictures.iterdir() if path.name.startswith(".")] == []  # nothing is left of it
