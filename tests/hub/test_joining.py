"""Scores without images, joined with the images of the source that they were made of."""

import io
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value, concatenate_datasets
from hub_datasets import FILE, WNIDS, WOOF, answers_of, encoded, parquet, sha256
from hub_server import HubServer

import ddgs_hub
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, undecoded, write_rows
from ddgs_hub.hub.joining import join_scores

# A source of twenty classes, the ten of ImageWoof among them, shuffled.
NAMES = sorted([*WOOF.wnids, *WNIDS[:10]])
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 4)).tolist()
IMAGES = [encoded(seed) for seed in range(len(LABELS))]
WOOF_LABELS = {NAMES.index(wnid): label for label, wnid in enumerate(WOOF.wnids)}
# Scored were the rows of ImageWoof but for the first five, and they were published from hard to easy.
SCORED = [row for row, label in enumerate(LABELS) if label in WOOF_LABELS][5:]
DIFFICULTY = {row: k / 40 for k, row in enumerate(np.random.default_rng(1).permutation(SCORED).tolist())}
PUBLISHED = sorted(SCORED, key=lambda row: -DIFFICULTY[row])
SOURCE = "acme/pets"
LOAD = """
import hashlib, json, os, sys
import datasets
import ddgs_hub
from ddgs_hub.original import spool
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import undecoded

spool.PART_BYTES = 1  # a part for each row group
results = []
for argument in sys.argv[1:]:
    wanted = json.loads(argument)
    os.environ["HF_TOKEN"] = wanted.pop("token", "")
    try:
        rows = undecoded(ddgs_hub.load(**wanted).rows)
        columns = {name: rows[name][:] for name in rows.column_names if name != "image"}
        images = [hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in rows]
        results.append({"columns": rows.column_names, "image": images, **columns})
    except InputError as error:
        results.append({"error": str(error)})
print(json.dumps(results))
"""
load = answers_of(LOAD)


def scores(rows: Sequence[int], labels: Sequence[int], names: Sequence[str]) -> bytes:
    features = Features(
        label=ClassLabel(names=list(names)),
        wnid=Value("string"),
        source_index=Value("int64"),
        difficulty=Value("float32"),
    )
    columns = {
        "label": list(labels),
        "wnid": [NAMES[LABELS[row]] if row < len(LABELS) else None for row in rows],
        "source_index": list(rows),
        "difficulty": [DIFFICULTY.get(row, 1.0) for row in rows],
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=features.arrow_schema), buffer)
    return buffer.getvalue()


def publish(hub: HubServer, name: str, file: bytes, **source: Any) -> None:
    """A repository of scores, as `score --push` makes them where the images may not be published."""
    told = {"id": SOURCE, "commit": None, "config": None, "split": "train", "subset": "imagewoof", **source}
    provenance = json.dumps({"kind": "scored", "images": False, "source": told}).encode()
    hub.add_repository("dataset", name, {FILE: file, "provenance.json": provenance})


@pytest.fixture
def commit(hub: HubServer) -> str:
    """The commit of the source; on top of it another one has emptied it."""
    repository = hub.add_repository("dataset", SOURCE, {FILE: parquet(IMAGES, LABELS, ClassLabel(names=NAMES))})
    scored = repository.find("main")
    repository.commit("refs/heads/main", scored, {FILE: repository.store(b"", lfs=False)}, "emptied")
    return scored


WOOF_SCORES = scores(PUBLISHED, [WOOF_LABELS[LABELS[row]] for row in PUBLISHED], WOOF.class_names)


def check(result: dict[str, Any], rows: Sequence[int] = PUBLISHED) -> None:
    assert result.get("columns") == ["image", "label", "wnid", "source_index", "difficulty"], result
    assert result["source_index"] == list(rows)
    assert result["image"] == sha256(IMAGES[row] for row in rows)
    assert result["wnid"] == [NAMES[LABELS[row]] for row in rows]


def test_rows_are_those_that_were_published(hub: HubServer, commit: str, tmp_path: Path) -> None:
    publish(hub, "acme/woof", WOOF_SCORES, commit=commit)
    publish(hub, "acme/all", scores(range(80), LABELS, NAMES), commit=commit, subset=None)
    (tmp_path / "copy" / FILE).parent.mkdir(parents=True)
    (tmp_path / "copy" / FILE).write_bytes(parquet(IMAGES, LABELS, ClassLabel(names=NAMES)))
    copied = {"repo_id": "acme/woof", "source": str(tmp_path / "copy")}
    copy, woof, everything = load(hub, copied, {"repo_id": "acme/woof"}, {"repo_id": "acme/all"}, home=tmp_path)
    check(woof)
    assert copy == woof
    assert woof["label"] == [WOOF_LABELS[LABELS[row]] for row in PUBLISHED]
    assert woof["difficulty"] == pytest.approx([DIFFICULTY[row] for row in PUBLISHED])
    check(everything, range(80))
    assert everything["label"] == LABELS
    assert hub.strays == []
    # Nothing is asked for again.
    hub.requests.clear()
    wanted = {"repo_id": "acme/woof"}, {"repo_id": "acme/all"}
    assert load(hub, *wanted, home=tmp_path, env={"HF_HUB_OFFLINE": "1"}) == [woof, everything]
    assert hub.requests == []


def test_two_processes_at_once(hub: HubServer, commit: str, tmp_path: Path) -> None:
    publish(hub, "acme/woof", WOOF_SCORES, commit=commit)
    hub.fail(f"GET .*{SOURCE}/resolve/.*parquet", times=None, delay=0.5)  # longer than one starts before the other
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: load(hub, {"repo_id": "acme/woof"}, home=tmp_path), range(2)))
    for (result,) in results:
        check(result)
    (parts,) = [path for path in (tmp_path / "datasets/ddgs_hub").iterdir() if path.is_dir()]
    assert not (parts / "unfinished").exists()


def test_a_source_that_does_not_fit_or_cannot_be_read(hub: HubServer, commit: str) -> None:
    hub.add_user("eve", "hf_eve")
    wrong = [WOOF_LABELS[LABELS[row]] for row in PUBLISHED]
    wrong[3] = (wrong[3] + 1) % 10
    publish(hub, "acme/wrong", scores(PUBLISHED, wrong, WOOF.class_names), commit=commit)
    publish(hub, "acme/beyond", scores([0, 80], [LABELS[0], 0], NAMES), commit=commit, subset=None)
    publish(hub, "acme/other-subset", WOOF_SCORES, commit=commit, subset="imagenette")
    publish(hub, "acme/moved", WOOF_SCORES, commit="0" * 40)
    publish(hub, "acme/gone", WOOF_SCORES, id="acme/nothing", commit=commit)
    publish(hub, "acme/local", WOOF_SCORES, id=None)
    hub.add_repository("dataset", "acme/untold", {FILE: WOOF_SCORES})
    gated = hub.add_repository("dataset", "acme/gated", {FILE: parquet(IMAGES, LABELS, ClassLabel(names=NAMES))})
    publish(hub, "acme/behind", WOOF_SCORES, id="acme/gated", commit=gated.find("main"))
    hub.gate(gated)
    row, at = PUBLISHED[3], f"{hub.url}/datasets/acme/gated"
    sentences = {
        "wrong": rf"row 3 of acme/wrong has label {wrong[3]} \({WOOF.class_names[wrong[3]]}\), and image {row} of "
        rf"{SOURCE} has label {WOOF_LABELS[LABELS[row]]}: these are not the images that were scored",
        "beyond": f"row 1 of acme/beyond scores image 80, which {SOURCE} does not have: load another revision",
        "other-subset": f"cannot find ImageNette in the 20 classes of {SOURCE}",
        "moved": f"{SOURCE} has no revision '{'0' * 40}'",
        "gone": "there is no dataset acme/nothing on",
        "local": "acme/local has scores of images that are not on the Hub: give their folder as `source`",
        "untold": "acme/untold has no column 'image', and its provenance.json names no source: load another",
        "behind": f"acme/gated is gated and this account has no access to it: ask for access on {at}$",
    }
    results = load(hub, *({"repo_id": f"acme/{name}", "token": "hf_eve"} for name in sentences))
    for result, sentence in zip(results, sentences.values(), strict=True):
        assert re.search(sentence, result.get("error", "")), result
        assert len(result["error"].splitlines()) == 1
        assert "hf_" not in result["error"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of datasets, for loads in this process."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_a_local_source(cache: Path, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("images", "others", "scores")}
    for folder in folders.values():
        (folder / FILE).parent.mkdir(parents=True)
    (folders["images"] / FILE).write_bytes(parquet(IMAGES, LABELS, ClassLabel(names=NAMES)))
    (folders["others"] / FILE).write_bytes(parquet(IMAGES[::-1], LABELS[::-1], ClassLabel(names=NAMES)))
    (folders["scores"] / FILE).write_bytes(WOOF_SCORES)
    told = {"id": None, "commit": None, "config": None, "split": "train", "subset": "imagewoof"}
    (folders["scores"] / "provenance.json").write_text(json.dumps({"source": told}))
    rows = undecoded(ddgs_hub.load(folders["scores"], source=folders["images"]).rows)
    assert [row["image"]["bytes"] for row in rows] == [IMAGES[row] for row in PUBLISHED]
    sentence = "row 0 of .*scores has label .*: these are not the images that were scored"
    with pytest.raises(InputError, match=sentence):
        ddgs_hub.load(folders["scores"], source=folders["others"])
    # A folder is read anew: it may have changed.
    (folders["images"] / FILE).write_bytes((folders["others"] / FILE).read_bytes())
    with pytest.raises(InputError, match=sentence):
        ddgs_hub.load(folders["scores"], source=folders["images"])
    assert len([path for path in (cache / "ddgs_hub").iterdir() if path.is_dir()]) == 2


def test_the_digits_are_a_source(cache: Path, tmp_path: Path, digits_folder: Path) -> None:
    chosen = read_rows(digits_folder).select([5, 3, 1000]).add_column("difficulty", [0.5, 0.25, 0.125])
    write_rows(chosen.remove_columns("image"), tmp_path)
    (tmp_path / "provenance.json").write_text(json.dumps({"source": {"id": None, "split": "train"}}))
    rows = ddgs_hub.load(tmp_path, source="digits").rows
    assert [row["image"] for row in undecoded(rows)] == [row["image"] for row in undecoded(chosen)]
    assert rows["difficulty"][:] == [0.5, 0.25, 0.125]


class TestJoin:
    """The function on rows."""

    images = Dataset.from_dict(
        {"image": [{"bytes": image, "path": None} for image in IMAGES[:9]], "label": [0, 1, 2] * 3},
        features=Features(image=Image(), label=ClassLabel(num_classes=3)),
    )

    def scores(self, indices: list[int | None], labels: list[int]) -> Dataset:
        columns = {"label": labels, "source_index": indices, "difficulty": [k / 10 for k in range(len(indices))]}
        features = Features(
            label=ClassLabel(names=["a", "b", "c"]), source_index=Value("int64"), difficulty=Value("float32")
        )
        return Dataset.from_dict(columns, features=features)

    @pytest.mark.parametrize("indices", [list(range(9)), [2, 3, 4], [8, 0, 5], []])
    def test_order_and_columns(self, indices: list[int]) -> None:
        if not indices:
            with pytest.raises(InputError, match="there are no rows in s: give at least one image"):
                join_scores(self.scores([], []), self.images, "s", "i")
            return
        parts = concatenate_datasets([self.images.select(range(4)), self.images.select(range(4, 9))])
        scores = self.scores(indices, [index % 3 for index in indices])
        joined = join_scores(scores, parts, "s", "i")
        assert joined.features == {"image": Image(), **scores.features}
        assert [row["image"]["bytes"] for row in undecoded(joined)] == [IMAGES[index] for index in indices]
        assert joined.remove_columns("image")[:] == scores[:]

    def test_a_source_with_numbers_of_its_own(self) -> None:
        numbered = self.images.add_column("source_index", [10 * k for k in range(9)])
        joined = join_scores(self.scores([40, 10], [1, 1]), numbered, "s", "i")
        assert [row["image"]["bytes"] for row in undecoded(joined)] == [IMAGES[4], IMAGES[1]]
        with pytest.raises(InputError, match="row 1 of s scores image 1, which i does not have"):
            join_scores(self.scores([40, 1], [1, 1]), numbered, "s", "i")

    def test_what_does_not_fit(self) -> None:
        for indices, labels, sentence in (
            ([4, 1, 4], [1, 1, 1], "row 2 of s scores image 4, which an earlier row has scored already"),
            ([4, None], [1, 1], "row 1 of s scores image None, which i does not have"),
            ([4, 5], [1, 1], r"row 1 of s has label 1 \(b\), and image 5 of i has label 2: these are not the images"),
        ):
            with pytest.raises(InputError, match=sentence):
                join_scores(self.scores(indices, labels), self.images, "s", "i")
        with pytest.raises(InputError, match="s has no column 'source_index'"):
            join_scores(self.scores([4], [1]).remove_columns("source_index"), self.images, "s", "i")
