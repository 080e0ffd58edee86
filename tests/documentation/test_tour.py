"""The documentation, carried out: all blocks that are not marked, in order; what came of its way through the Hub."""

import json

import pytest
from markdown_blocks import SHELLS, blocks
from tour import Tour, begun

DATASET, DIT, SCORER = "ada/digits-ddgs-ipc10", "ada/digits-ddgs-dit", "ada/digits-scorer"
VERSIONS = ["v1.0.0", "v1.1.0", "v2.0.0"]
LOAD = f"""
import hashlib, json
from datasets import Image, load_dataset

found = {{}}
for version in {VERSIONS}:
    rows = load_dataset("{DATASET}", split="train", revision=version).cast_column("image", Image(decode=False))
    stream = load_dataset("{DATASET}", split="train", revision=version, streaming=True)
    assert [row["pool_index"] for row in stream] == rows["pool_index"]
    found[version] = [hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in rows]
print(json.dumps(found))
"""


@pytest.fixture
def tour(hub, tmp_path):
    with begun(hub, tmp_path / "work", quick=True) as tour:
        yield tour


def test_what_the_pages_say_works_in_their_order(hub, tour: Tour):
    for block in blocks():
        tour.take(block)
    said = dict(tour.said)
    commands = [
        " ".join(words) for block in blocks() if not block.needs for words in block.commands if block.language in SHELLS
    ]
    typed = [name for name, _ in tour.said if not name.startswith(("docs/", "README"))]
    assert typed == list(commands)[: len(typed)]
    assert set(commands) == set(typed)
    check_the_hub(hub, tour, said)


def check_the_hub(hub, tour: Tour, said: dict[str, str]) -> None:
    publications = [text for command, text in tour.said if "publish" in command and "--repo ada/digits" in command]
    first, dit, scorer, unchanged, other_seed, other_pool = publications
    assert first.startswith(f"{DATASET} v1.0.0: the first version\n")
    assert dit.startswith(f"{DIT} v1.0.0: the first version\n")
    assert scorer.startswith(f"{SCORER} v1.0.0: the first version\n")
    assert unchanged.startswith(f"nothing to publish: {DATASET} v1.0.0 has this content")
    assert other_seed.startswith(f"{DATASET} v1.1.0: new rows from the same pool\n")
    assert other_pool.startswith(f"{DATASET} v2.0.0: another pool, another DiT, another scorer\n")
    # One commit and one tag a version, in order.
    repository = hub.repository("dataset", DATASET)
    assert list(repository.tags) == VERSIONS
    assert [c.message.split(":")[0] for c in repository.commits if c.message.startswith("v")] == VERSIONS
    assert [list(hub.repository("model", name).tags) for name in (DIT, SCORER)] == [["v1.0.0"], ["v1.0.0"]]
    # All load, streamed and whole, and differ as `diff` says.
    loaded = json.loads(tour.carry_out(["-c", LOAD], "load all"))
    assert [len(loaded[version]) for version in VERSIONS] == [100, 100, 100]
    images = {version: set(hashes) for version, hashes in loaded.items()}
    added, kept = len(images["v1.1.0"] - images["v1.0.0"]), len(images["v1.1.0"] & images["v1.0.0"])
    assert added
    assert kept
    counts = f"v1.0.0 → v1.1.0: {added} rows added, {added} gone, {kept} in both\n"
    assert said[f"ddgs-hub diff {DATASET} v1.0.0 v1.1.0"].startswith(counts)
    assert said[f"ddgs-hub diff {DATASET} v1.0.0 v1.1.0"].endswith("recipe:\n  sampled.seed: 0 → 1\n")
    difference = json.loads(tour.type(["ddgs-hub", "diff", DATASET, "v1.1.0", "v2.0.0", "--json"]))
    assert {row["image_sha256"] for row in difference["added"]} == images["v2.0.0"] - images["v1.1.0"]
    assert difference["recipe"]["seed"] == [0, 1]
    assert [line.split()[0] for line in said[f"ddgs-hub versions {DATASET}"].splitlines()[1:]] == VERSIONS
    assert "200 images" in said[f"ddgs-hub sample --pool {DATASET}@v1.0.0 --ipc 20 --output ipc20"]
    assert "accuracy on 360 validation images" in next(
        text for name, text in tour.said if name.startswith("accelerate")
    )
