"""The hashes that decide a version."""

import hashlib

import pytest
from datasets import Value
from published import make_rows

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import write_rows
from ddgs_hub.hub import describe_rows, hash_pool, hash_weights
from ddgs_hub.hub.folders.hashes import SCORED_COLUMNS, hash_rows, hash_scored


def test_rows_are_known_by_images_labels_and_difficulties():
    rows = make_rows(1, 2, 3)
    known = describe_rows(rows)
    assert (known["num_rows"], known["mean_difficulty"]) == (3, 0.25)
    assert describe_rows(rows.select([2, 0, 1]))["rows"] == known["rows"]
    others = [
        make_rows(1, 2, 4),
        rows.map(lambda row: {"label": 1 - row["label"]}),
        rows.map(lambda row: {"difficulty": row["difficulty"] / 2}),
        rows.select([0, 1]),
        rows.select([0, 1, 2, 2]),
    ]
    assert len({known["rows"], *(describe_rows(other)["rows"] for other in others)}) == 6


def test_scoring_and_marking_a_pool_do_not_make_it_another(tmp_path):
    pool = make_rows(1, 2, 3)
    scored = pool.map(lambda row: {"difficulty": row["difficulty"] / 2}).add_column("selected", [True, False, True])
    rows = {"plain": pool.remove_columns("difficulty"), "scored": scored, "larger": make_rows(1, 2, 3, 4), "pool": pool}
    for name, part in rows.items():
        write_rows(part, tmp_path / name)
    known = {name: hash_pool(tmp_path / name) for name in rows}
    assert known["scored"] == known["plain"] == known["pool"] != known["larger"]


def test_scored_rows_are_known_with_and_without_images(tmp_path):
    rows = make_rows(1, 2, 3).add_column("source_index", [5, 7, 9], feature=Value("int64"))
    alone = rows.remove_columns("image")
    for name, part in (("with", rows), ("alone", alone), ("others", alone.select([0, 1]))):
        write_rows(part, tmp_path / name, "validation")
    known = {name: hash_scored(tmp_path / name) for name in ("with", "alone", "others")}
    assert known["with"] == hash_rows(rows.select([2, 0, 1]), SCORED_COLUMNS)
    assert len(set(known.values())) == 3
    write_rows(rows, tmp_path / "with", "train")
    for name in ("with", "nothing"):
        with pytest.raises(InputError, match="has not one split in its data/"):
            hash_scored(tmp_path / name)


def test_weights(tmp_path):
    with pytest.raises(InputError, match=r"holds no \*\.safetensors"):
        hash_weights(tmp_path)
    for name in ("fold-0", "fold-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
    both = hash_weights(tmp_path)
    (tmp_path / "fold-1" / "model.safetensors").write_bytes(b"other")
    assert hash_weights(tmp_path) != both
    (tmp_path / "adapter.safetensors").write_bytes(b"adapter")
    assert hash_weights(tmp_path) == hashlib.sha256(b"adapter.safetensors" + b"adapter").hexdigest()
