"""The whole way through the Hub: made, published, loaded elsewhere, three versions, compared, sampled anew."""

import json

from tour import DATASET, DIT, SCORER, Tour, take

VERSIONS = ["v1.0.0", "v1.1.0", "v2.0.0"]
LOAD = f"""
import hashlib, json
from datasets import Image, load_dataset

found = {{}}
for version in {VERSIONS}:
    rows = load_dataset("{DATASET}", split="train", revision=version).cast_column("image", Image(decode=False))
    found[version] = [hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in rows]
print(json.dumps(found))
"""


def test_the_whole_way(hub, tmp_path):
    (folder := tmp_path / "work").mkdir()
    tour = Tour(hub, folder, quick=True)
    take(tour)
    publications = [said for command, said in tour.said if command.startswith("ddgs-hub publish")]
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
    # In a new process all load, and differ as `diff` says.
    images = {version: set(hashes) for version, hashes in json.loads(tour.python(LOAD, "load all")).items()}
    assert [len(images[version]) for version in VERSIONS] == [100, 100, 100]
    said = dict(tour.said)
    added, kept = len(images["v1.1.0"] - images["v1.0.0"]), len(images["v1.1.0"] & images["v1.0.0"])
    assert added
    assert kept
    counts = f"v1.0.0 → v1.1.0: {added} rows added, {added} gone, {kept} in both\n"
    assert said[f"ddgs-hub diff {DATASET} v1.0.0 v1.1.0"].startswith(counts)
    assert said[f"ddgs-hub diff {DATASET} v1.0.0 v1.1.0"].endswith("recipe:\n  sampled.seed: 0 → 1\n")
    difference = json.loads(said[f"ddgs-hub diff {DATASET} v1.1.0 v2.0.0 --json"])
    assert {row["image_sha256"] for row in difference["added"]} == images["v2.0.0"] - images["v1.1.0"]
    assert difference["recipe"]["seed"] == [0, 1]
    assert [line.split()[0] for line in said[f"ddgs-hub versions {DATASET}"].splitlines()[1:]] == VERSIONS
    assert "200 images" in said[f"ddgs-hub sample --pool {DATASET}@v1.0.0 --ipc 20 --output ipc20"]
