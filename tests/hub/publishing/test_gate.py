"""The last gate of publishing: what may not go up is refused in one sentence, and nothing is sent."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Features, Image, Sequence, Value
from huggingface_hub import HfApi
from published import REPO, TOKEN, export, export_with_pool, make_rows, png

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub import DISTILLED, DIT, SCORED, hash_weights, publish
from ddgs_hub.hub.folders.kinds import KINDS
from ddgs_hub.hub.publishing.gate import check_files, check_rows

PARQUET = "data/train-00000-of-00001.parquet"
COLUMNS = DISTILLED.columns["data"]
IMAGE = {"bytes": png(1), "path": None}


def folder_of(run: Path) -> Path:
    return run / "hub" / "tiny-ddgs-ipc2"


def write(path: Path, columns: dict[str, list[Any]], **features: Any) -> Path:
    """A Parquet file whose metadata say what its columns are."""
    pq.write_table(pa.table(columns, schema=Features(features).arrow_schema), path)
    return path


LABEL = ClassLabel(names=["zero", "one"])
OWN = {"image": Image(), "label": LABEL}
FORBIDDEN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no bytes": ({"image": [IMAGE, {"bytes": None, "path": "/etc/passwd"}]}, OWN, "the image of row 1 .* has no bytes"),
    "empty bytes": ({"image": [{"bytes": b"", "path": "a.png"}, IMAGE]}, OWN, "the image of row 0 .* has no bytes"),
    "no image": ({"image": [IMAGE, None]}, OWN, "the image of row 1 .* has no bytes"),
    "a path": (
        {"image": [IMAGE, {"bytes": png(1), "path": "/home/me/a.png"}]},
        OWN,
        "the image of row 1 .* has a path",
    ),
    "an address": ({"image": [{"bytes": png(1), "path": "hf://a"}, IMAGE]}, OWN, "row 0 .* has a path"),
    "a drive": ({"image": [{"bytes": png(1), "path": "C:a.png"}, IMAGE]}, OWN, "row 0 .* has a path"),
    "a parent": ({"image": [{"bytes": png(1), "path": ".."}, IMAGE]}, OWN, "row 0 .* has a path"),
    "another column": ({"mask": [IMAGE] * 2}, {"mask": Image(), "label": LABEL}, "a column 'mask' that is not to be"),
    "one in a list": ({"pages": [[IMAGE]] * 2}, {"pages": Sequence(Image()), "label": LABEL}, "a column 'pages'"),
    "a text as image": ({"image": ["/etc/passwd"] * 2}, {"image": Value("string"), "label": LABEL}, "is no Image"),
    "an image as wnid": ({"wnid": [IMAGE] * 2}, {"wnid": Image(), "label": LABEL}, "column 'wnid' .* is no Value"),
    "many images": ({"image": [[IMAGE]] * 2}, {"image": Sequence(Image()), "label": LABEL}, "is no Image"),
    "no classes": ({}, {"label": Value("int64")}, "column 'label' .* is no ClassLabel"),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_rows_that_may_not_be_published(tmp_path: Path, case: str) -> None:
    columns, features, message = FORBIDDEN[case]
    path = write(tmp_path / "a.parquet", {"label": [0, 1], **columns}, **features)
    with pytest.raises(InputError, match=message):
        check_rows(path, COLUMNS)


def test_what_the_metadata_call_an_image_is_one(tmp_path: Path) -> None:
    """A column of texts that others would read as paths."""
    schema = pa.schema({"wnid": pa.string()})
    info = {"info": {"features": {"wnid": {"_type": "Image"}}}}
    pq.write_table(
        pa.table({"wnid": ["/etc/passwd"]}, schema=schema.with_metadata({"huggingface": json.dumps(info)})),
        tmp_path / "a.parquet",
    )
    check_rows(tmp_path / "a.parquet", COLUMNS)  # datasets does not believe metadata that do not fit the column
    table = pa.table({"wnid": [IMAGE]}, schema=Features(wnid=Image()).arrow_schema)
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(InputError, match="is no Value"):
        check_rows(tmp_path / "b.parquet", COLUMNS)


@pytest.mark.parametrize("metadata", ["{", "[]", '{"info": 1}', '{"info": {"features": {"label": 3}}}', "[" * 99_999])
def test_metadata_that_cannot_be_read(tmp_path: Path, metadata: str) -> None:
    schema = pa.schema({"label": pa.int64()}).with_metadata({"huggingface": metadata})
    pq.write_table(pa.table({"label": [1]}, schema=schema), tmp_path / "a.parquet")
    with pytest.raises(InputError):
        check_rows(tmp_path / "a.parquet", COLUMNS)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.parquet", {"image": [IMAGE], "label": [0]}, **OWN).read_bytes()
    for k, text in enumerate([b"", b"PAR1", whole[:-9], whole[: len(whole) // 2], b"PAR1" + bytes(99) + whole[-200:]]):
        path = tmp_path / f"{k}.parquet"
        path.write_bytes(text)
        with pytest.raises(InputError, match=r"^cannot read "):
            check_rows(path, COLUMNS)


@pytest.mark.parametrize("compression", ["NONE", "SNAPPY", "ZSTD"])
@pytest.mark.parametrize("place", ["wnid", "bytes", "path", "class", "metadata"])
def test_the_token_is_found_wherever_it_is_in_rows(tmp_path: Path, place: str, compression: str) -> None:
    names = [TOKEN if place == "class" else "zero", "one"]
    features = Features(image=Image(), label=ClassLabel(names=names), wnid=Value("string"))
    image = {"bytes": png(1), "path": None}
    image |= {"bytes": png(1) + TOKEN.encode() + bytes(99_999)} if place == "bytes" else {}
    image |= {"path": f"{TOKEN}.png"} if place == "path" else {}
    columns = {"image": [image] * 300, "label": [0] * 300, "wnid": [TOKEN if place == "wnid" else None] * 300}
    schema = features.arrow_schema
    if place == "metadata":
        schema = schema.with_metadata({**schema.metadata, "more": TOKEN})
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns, schema=schema), path, compression=compression)
    with pytest.raises(InputError, match=r"the token is written in .*: take it out, and get a new one") as caught:
        check_rows(path, COLUMNS, TOKEN.encode())
    assert TOKEN not in str(caught.value)
    check_rows(path, COLUMNS, b"hf_another")


def test_the_token_is_found_across_the_parts_in_which_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    path = tmp_path / "transformer" / "a.safetensors"
    for start in (0, 2**20 - len(TOKEN) + 1, 2**20 - 1, 2**20, 2**21 - 5, 2**21 + 2**19):
        content = bytearray(2**21 + 2**20)
        content[start : start + len(TOKEN)] = TOKEN.encode()
        path.write_bytes(content)
        with pytest.raises(InputError, match="the token is written in"):
            check_files(DIT, tmp_path, ["transformer/a.safetensors"], TOKEN)
    path.write_bytes(bytes(2**21))
    assert check_files(DIT, tmp_path, ["transformer/a.safetensors"], TOKEN)["transformer/a.safetensors"].sha256


def test_a_text_that_holds_what_looks_like_a_token(tmp_path: Path) -> None:
    for start in (0, 2**20 - 20, 2**20):
        (tmp_path / "classes.json").write_text(" " * start + " hf_" + "a" * 34)
        with pytest.raises(InputError, match="holds what looks like an access token"):
            check_files(DIT, tmp_path, ["classes.json"], None)


# Whole folders


@pytest.mark.parametrize("name", ["README.md", "provenance.json", PARQUET, "data", "figures/sheet.png"])
def test_a_link_that_leads_out_of_the_folder(hub: Any, api: HfApi, tmp_path: Path, name: str) -> None:
    folder = folder_of(export(tmp_path, figures=("sheet",)))
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    for dry_run in (True, False):
        with pytest.raises(InputError, match=f"is a link that leads out of {folder}: put the file itself there"):
            publish(folder, REPO, api=api, dry_run=dry_run)
    assert hub.store.get("dataset", REPO) is None


def test_a_link_inside_the_folder_and_a_folder_behind_a_link(api: HfApi, tmp_path: Path) -> None:
    folder = folder_of(export(tmp_path, figures=("sheet",)))
    (folder / "figures" / "again.png").symlink_to("sheet.png")
    (tmp_path / "link").symlink_to(folder)
    assert "figures/again.png" in publish(tmp_path / "link", REPO, api=api, dry_run=True).added


def test_files_that_are_none_of_the_kinds_stay_here(api: HfApi, tmp_path: Path) -> None:
    folder = folder_of(export(tmp_path, figures=("sheet",)))
    for name in ("data/.netrc", "data/notes.txt", "figures/a.svg", "id_rsa", "pool/a.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("secret")
    assert publish(folder, REPO, api=api, dry_run=True).added == [
        *("README.md", PARQUET, "figures/sheet.png", "provenance.json")
    ]


def test_an_image_by_path_does_not_go_up(hub: Any, api: HfApi, tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("a secret of this machine")
    folder = folder_of(export(tmp_path))
    table = pq.read_table(folder / PARQUET)
    images = [{"bytes": None, "path": str(canary)}, *table["image"].to_pylist()[1:]]
    pq.write_table(table.set_column(0, table.schema.field("image"), [images]), folder / PARQUET)
    for dry_run in (True, False):
        with pytest.raises(InputError, match=r"the image of row 0 of .* has no bytes: write it again"):
            publish(folder, REPO, api=api, dry_run=dry_run)
    assert hub.store.get("dataset", REPO) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_gate(hub: Any, api: HfApi, tmp_path: Path, kind: Any) -> None:
    """The token in the first file of each, and nothing is sent."""
    content = dict.fromkeys(kind.keys, "0" * 64)
    names = {"dataset": PARQUET, "model": "config.json" if kind.name == "scorer" else "classes.json"}
    path = tmp_path / names[kind.repo_type]
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps({"a": TOKEN}))
        (tmp_path / "model.safetensors").write_bytes(b"1")
        content["weights"] = hash_weights(tmp_path)
    else:
        write(path, {"label": [0], "wnid": [TOKEN]}, label=LABEL, wnid=Value("string"))
    (tmp_path / "README.md").write_text("# A card\n")
    (tmp_path / "provenance.json").write_text(json.dumps({"kind": kind.name, "content": content}))
    with pytest.raises(InputError, match="the token is written in"):
        publish(tmp_path, REPO, api=api)
    assert hub.store.get(kind.repo_type, REPO) is None


def test_a_pool_and_its_original_pass(api: HfApi, tmp_path: Path) -> None:
    run = export_with_pool(tmp_path)
    assert publish(run, REPO, pool=True, api=api).version == "v1.0.0"
    path = folder_of(run) / "original" / "train-00000-of-00001.parquet"
    write(path, {"image": [IMAGE], "label": [0]}, **OWN)
    with pytest.raises(InputError, match=r"original/.* has a column 'image' that is not to be published"):
        publish(run, REPO, api=api)


def test_a_file_that_changes_while_it_is_published(hub: Any, api: HfApi, tmp_path: Path) -> None:
    folder = folder_of(export(tmp_path, figures=("sheet",)))
    hub.add_repository("dataset", REPO)

    class Meanwhile(HfApi):
        def list_repo_refs(self, *names: Any, **how: Any) -> Any:
            (folder / "figures" / "sheet.png").write_bytes(png(7))
            return super().list_repo_refs(*names, **how)

    with pytest.raises(InputError, match=r"sheet\.png was changed while it was being published"):
        publish(folder, REPO, api=Meanwhile(endpoint=hub.url, token=TOKEN))
    assert hub.repository("dataset", REPO).tags == {}


def test_scored_rows_may_have_what_a_pool_has(tmp_path: Path) -> None:
    rows = make_rows(1, 2).add_column("pool_index", np.arange(2)).add_column("source_index", np.arange(2))
    path = tmp_path / "a.parquet"
    rows.to_parquet(path)
    check_rows(path, SCORED.columns["data"])
