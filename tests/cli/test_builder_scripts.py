"""The scripts of `builder_scripts/`, each in a process of its own, as a user runs it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import POOL_REPO, files_of, make_original, make_pool, publish_pool, write_scorer
from datasets import ClassLabel
from hub_datasets import FILE, IMAGES, parquet
from hub_server import HubServer

from ddgs_hub.core.rows import class_names, read_rows, undecoded
from ddgs_hub.original import SUBSETS
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.sampling.datasets import distill

ROOT = Path(__file__).resolve().parents[2]
# One image of each class of every subset.
LABELS = [index for subset in SUBSETS.values() for index in subset.imagenet_indices]
SOURCE = parquet(IMAGES[: len(LABELS)], LABELS, ClassLabel(num_classes=1000))


@pytest.fixture(scope="module")
def scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scorer(tmp_path_factory.mktemp("scorer"), 0)


def run(hub: HubServer, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    script = [str(ROOT / "builder_scripts" / f"{name}.py"), *map(str, arguments)]
    return hub.run(script, env={"PYTHONPATH": str(ROOT)})


def image_bytes(folder: Path) -> list[bytes]:
    return [cell["bytes"] for cell in undecoded(read_rows(folder))["image"]]


def test_there_is_a_short_one_for_each_published_dataset() -> None:
    scripts = [path for path in sorted((ROOT / "builder_scripts").glob("*.py")) if "scorer" not in path.stem]
    assert [path.stem for path in scripts] == sorted(
        f"{name}_{kind}" for name in SUBSETS for kind in ("ddgs", "difficulty")
    )
    for path in scripts:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 25
        assert f'load_recipe("{path.stem.split("_")[0]}")' in text
        assert f"Example: python builder_scripts/{path.name} " in text


@pytest.mark.parametrize("name", SUBSETS)
def test_an_original_is_scored(name: str, hub: HubServer, scorer_folder: Path, tmp_path: Path) -> None:
    hub.add_repository("dataset", "acme/in1k", {FILE: SOURCE})
    hub.add_repository("model", "acme/scorer", files_of(scorer_folder))
    given = ["--original", "acme/in1k", "--scorer", "acme/scorer", "--output", tmp_path / "scored"]
    done = run(hub, f"{name}_difficulty", *given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10 images, mean difficulty 0.")
    subset, rows = SUBSETS[name], read_rows(tmp_path / "scored")
    wanted = sorted(LABELS.index(index) for index in subset.imagenet_indices)
    assert rows["source_index"][:] == wanted
    assert image_bytes(tmp_path / "scored") == [IMAGES[row] for row in wanted]
    assert [subset.imagenet_indices[label] for label in rows["label"]] == [LABELS[row] for row in wanted]
    assert rows.column_names == ["image", "label", "wnid", "source_index", "difficulty"]
    assert class_names(rows) == list(subset.class_names)
    assert hub.strays == []


@pytest.mark.parametrize("name", SUBSETS)
def test_a_pool_is_sampled(name: str, hub: HubServer, tmp_path: Path) -> None:
    publish_pool(hub)
    done = run(hub, f"{name}_ddgs", "--pool", f"{POOL_REPO}@v1.0.0", "--ipc", 1, "--output", tmp_path / "distilled")
    assert done.returncode == 0, done.stderr
    expected = distill(make_pool(), make_original(), SampleSettings(ipc=1, pool_size=5)).rows
    assert done.stdout.startswith("10 images, mean difficulty 0.")
    assert image_bytes(tmp_path / "distilled") == [cell["bytes"] for cell in undecoded(expected)["image"]]
    assert read_rows(tmp_path / "distilled").column_names == expected.column_names


def test_first_rows_of_a_stream(shared_data: Callable[[str], Path], hub: HubServer, scorer_folder: Path) -> None:
    source = shared_data("imagenet1k-sample")
    done = run(hub, "imagewoof_difficulty", "--original", source, "--scorer", scorer_folder, "--streaming")
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.splitlines()
    assert first.startswith("train {'label': 'Shih-Tzu', 'wnid': 'n02086240', 'source_index': 155, 'difficulty': 0.")
    assert len(others) == 2


def test_help_and_mistakes(hub: HubServer, tmp_path: Path) -> None:
    done = run(hub, "imagewoof_ddgs", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example: python builder_scripts/imagewoof_ddgs.py" in done.stdout
    output = ["--output", tmp_path / "out"]
    cases: list[tuple[str, list[object], str]] = [
        ("imagewoof_difficulty", output, f"there is no dataset ILSVRC/imagenet-1k on {hub.url}"),
        ("imagewoof_difficulty", [*output, "--streaming"], "give either --output FOLDER, or --streaming"),
        (
            "imagewoof_ddgs",
            ["--pool", "acme/nothing@v1.0.0", *output],
            f"there is no dataset acme/nothing on {hub.url}",
        ),
    ]
    for name, arguments, sentence in cases:
        done = run(hub, name, *arguments)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
        assert done.stderr.startswith(f"{name}.py: {sentence}")
    assert list(tmp_path.iterdir()) == []
