"""Names of files and configurations, and what is published of names on this machine."""

from pathlib import Path

import pytest

from ddgs_hub.hub.layout import (
    DEFAULT,
    POOL,
    config_files,
    config_pattern,
    figure_path,
    hub_id,
    is_pool_file,
    parquet_pattern,
    public_values,
)


def test_the_files_of_a_configuration(tmp_path: Path) -> None:
    assert (config_pattern(DEFAULT, "validation"), config_pattern(POOL)) == (
        "data/validation-*.parquet",
        "pool/train-*.parquet",
    )
    assert (parquet_pattern(DEFAULT), figure_path("sheet")) == ("data/*.parquet", "figures/sheet.png")
    for name in ("pool/train-00001-of-00002.parquet", "pool/train-00000-of-00002.parquet", "pool/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name[:11] for path in config_files(tmp_path, POOL)] == ["train-00000", "train-00001"]
    assert config_files(tmp_path, DEFAULT) == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pool/train-00000-of-00001.parquet", True),
        ("original/train-00000-of-00001.parquet", True),
        ("data/train-00000-of-00001.parquet", False),
        ("pool/notes.txt", False),
        ("mine/pool/train-0.parquet", False),
    ],
)
def test_files_of_a_pool(path: str, expected: bool) -> None:
    assert is_pool_file(path) == expected


def test_of_local_paths_the_last_part_is_published() -> None:
    values = {"original": "/home/somebody/images", "base": "org/dit", "more": {"scorer": "~/scorer", "seed": 3}}
    assert public_values(values) == {"original": "images", "base": "org/dit", "more": {"scorer": "scorer", "seed": 3}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ILSVRC/imagenet-1k", "ILSVRC/imagenet-1k"),
        ("timm/resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
        ("digits", None),
        ("../shared/data", None),
        ("./here", None),
        ("/absolute/folder", None),
        ("~/folder", None),
        (None, None),
    ],
)
def test_hub_id(name: str | None, expected: str | None) -> None:
    assert hub_id(name) == expected


def test_a_folder_that_looks_like_a_hub_id_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs" / "dit").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_id("runs/dit") is None
