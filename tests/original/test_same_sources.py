"""What `prepare` takes `score` takes, too, here or on the Hub."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import ClassLabel, Features, Image
from hub_datasets import encoded, read
from hub_server import HubServer

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import parquet_path, read_rows, undecoded
from ddgs_hub.original import Spool, open_source, write_original

IMAGES = [encoded(k) for k in range(4)]
LABELS = [0, 0, 1, 1]
NAMES = ["cat", "dog"]


def write_folders(folder: Path) -> None:
    for k, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        path = folder / "train" / NAMES[label] / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)


def write_card(folder: Path, names: list[str]) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    front_matter = yaml.safe_dump({"dataset_info": {"features": features._to_yaml_list()}})
    (folder / "README.md").write_text(f"---\n{front_matter}---\n")


def write_table(path: Path, label: str = "label", *, plain: bool = False, names: list[str] = NAMES) -> None:
    features = Features({"image": Image(), label: ClassLabel(names=names)})
    images = IMAGES if plain else [{"bytes": image, "path": None} for image in IMAGES]
    columns = {"image": pa.array(images, pa.binary() if plain else Image().pa_type), label: LABELS}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(features.arrow_schema.metadata), path)


KINDS: dict[str, Callable[[Path], None]] = {
    "images in folders": write_folders,
    "Hub layout": lambda folder: write_table(parquet_path(folder)),
    "a column labels": lambda folder: write_table(parquet_path(folder), "labels"),
    "a bare file": lambda folder: write_table(folder / "train.parquet"),
    "a bare file with labels": lambda folder: write_table(folder / "train.parquet", "labels"),
    "plain bytes": lambda folder: write_table(parquet_path(folder), plain=True),
}


def sha256(images: list[bytes]) -> list[str]:
    return [hashlib.sha256(image).hexdigest() for image in images]


@pytest.mark.parametrize("kind", KINDS)
def test_score_takes_from_here_what_prepare_takes(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "a source [with brackets]"
    KINDS[kind](source)
    write_original(str(source), tmp_path / "out", splits={"train": "train"})
    spool = Spool(str(source), "train", tmp_path / "rows")
    spool.open()
    spool.fetch()
    for rows in (read_rows(tmp_path / "out"), spool.rows()):
        assert rows["label"][:] == LABELS
        assert rows.features["label"].names == NAMES
        assert [cell["bytes"] for cell in undecoded(rows)["image"]] == IMAGES


@pytest.mark.parametrize("linked", ["link/source", "link"])
def test_a_folder_with_a_card_behind_a_link(linked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "real" / "source"
    write_table(parquet_path(source))
    (source / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: data/train-*\n---\n")
    (tmp_path / "link").symlink_to(source if linked == "link" else source.parent)
    monkeypatch.chdir(tmp_path)
    for given in (linked, str(tmp_path / linked), f"./{linked}"):
        rows = list(open_source(given, "train").read())
        assert rows[0].table["label"].to_pylist() == LABELS


LOAD = """
import sys
import ddgs_hub
from ddgs_hub.core.errors import InputError

for repo in sys.argv[1:]:
    try:
        print(ddgs_hub.load(repo).class_names)
    except InputError as error:
        print(error)
"""


def test_who_counts_the_classes_in_another_order_is_refused(hub: HubServer, tmp_path: Path) -> None:
    """Datasets takes the names of the card, or of the first file, for all: the labels would be wrong without a word."""
    repositories = {
        "acme/files": tmp_path / "files",
        "acme/card": tmp_path / "card",
        "acme/renamed": tmp_path / "renamed",
    }
    for folder in repositories.values():
        write_table(parquet_path(folder))
    first = parquet_path(tmp_path / "files")
    first.rename(first.with_name("train-00000-of-00002.parquet"))
    write_table(first.with_name("train-00001-of-00002.parquet"), names=NAMES[::-1])
    write_card(tmp_path / "card", NAMES[::-1])
    write_card(tmp_path / "renamed", ["tabby", "dog"])
    for repo, folder in repositories.items():
        content = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        hub.add_repository("dataset", repo, content)
    files, card, renamed = read(hub, *({"source": repo} for repo in repositories))
    alike = "file 2 of acme/files (train) has other columns or classes than the first: write them alike"
    numbered = "class 'dog' of acme/card (train) is 0 in the card and 1 in the files: mend its card"
    assert (files["error"], card["error"], renamed["names"]) == (alike, numbered, ["tabby", "dog"])
    done = hub.run(LOAD, *repositories)
    assert done.stdout.splitlines() == [alike, numbered, "['tabby', 'dog']"], done.stderr
    with pytest.raises(InputError, match=r"class 'dog' of .* is 0 in the card and 1 in the files"):
        open_source(str(tmp_path / "card"), "train")


def test_the_hub_gives_the_same_rows_as_a_folder(hub: HubServer, tmp_path: Path) -> None:
    for number, write in enumerate(KINDS.values()):
        write(tmp_path / str(number))
        files = {
            p.relative_to(tmp_path / str(number)).as_posix(): p.read_bytes()
            for p in tmp_path.rglob("*.*")
            if p.is_file() and p.is_relative_to(tmp_path / str(number))
        }
        hub.add_repository("dataset", f"acme/kind-{number}", files)
    results = read(hub, *({"source": f"acme/kind-{number}"} for number in range(len(KINDS))))
    for kind, result in zip(KINDS, results, strict=True):
        assert (result.get("label"), result.get("names")) == (LABELS, NAMES), (kind, result)
        assert result["sha256"] == sha256(IMAGES), kind
    assert hub.strays == []
