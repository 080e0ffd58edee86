"""DM and IDC-1 by their commands: what is written, kills, several processes, precision, and what is refused."""

import json
import multiprocessing
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from clients import environment, launch, run
from datasets import ClassLabel, Dataset, Features, Image, Value, load_dataset
from PIL import Image as PILImage

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages import make_matching

ROOT = Path(__file__).parents[2]
METHODS = ("dm", "idc-1")
KILLS = 5
SHORT = [
    *("dm.steps=12", "dm.batch_real=16", "dm.network_width=8", "dm.save_every=0"),
    *("idc.outer_iterations=2", "idc.inner_loop=3", "idc.batch_real=32", "idc.images_per_pass=64"),
    *("idc.network_width=8", "idc.save_every=0", "idc.early_networks=null"),
]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ddgs_hub.stages.matching", "ddgs_hub.baselines.idc_learning", "ddgs_hub.evaluation"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(image) for image in read_rows(folder)["image"]]).astype(int)


def command(method: str, original: Path, output: Path, *more: str) -> list[str]:
    values = [word for value in (*SHORT, *more) for word in ("--set", value)]
    common = ["--recipe", "digits", "--original", str(original), "--ipc", "2", "--output", str(output)]
    return ["-m", "ddgs_hub", "baseline", method, *common, *values]


@pytest.fixture(scope="module")
def unbroken(digits_folder, tmp_path_factory) -> Path:
    """What one process makes at one go."""
    folder = tmp_path_factory.mktemp("unbroken")
    for method in METHODS:
        done = run(command(method, digits_folder, folder / method), env=environment(), cwd=ROOT, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"20 images by {method}, ")
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_what_is_written_is_a_dataset_with_losses_and_provenance(method, unbroken, digits_folder, tmp_path):
    folder = unbroken / method
    assert {path.name for path in unbroken.iterdir()} == set(METHODS)
    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    assert rows["label"][:] == [label for label in range(10) for _ in range(2)]
    assert rows.features["label"].names == [str(k) for k in range(10)]
    assert {(image.size, image.mode, image.format) for image in rows["image"]} == {((16, 16), "RGB", "PNG")}
    losses = json.loads((folder / "losses.json").read_text())["matching"]
    assert len(losses) == (12 if method == "dm" else 6)
    provenance, section = json.loads((folder / "provenance.json").read_text()), method.removesuffix("-1")
    assert (provenance["method"], provenance["ipc"], provenance["note"]) == (method, 2, "")
    assert set(provenance["recipe"]) >= {"data", "evaluate", "seed", section}
    assert provenance["recipe"][section]["network_width"] == 8
    assert provenance["command"].startswith(f"ddgs-hub baseline {method} --recipe digits --original ")
    assert str(digits_folder) not in (folder / "provenance.json").read_text()


def start(arguments: tuple, settings: dict) -> multiprocessing.process.BaseProcess:
    process = CONTEXT.Process(target=make_matching, args=arguments, kwargs=settings)
    process.start()
    return process


@pytest.mark.parametrize("method", ["dm", "idc-1 with early networks"])
def test_kills_change_nothing(method, digits_folder, tmp_path):
    early = ["idc.early_networks=2", "idc.outer_iterations=4"] if "early" in method else []
    recipe, output = load_recipe("digits", [*SHORT, *early]), tmp_path / "out"
    arguments = (recipe, method.split()[0], digits_folder, output)
    began = time.monotonic()
    whole = start(arguments, {"ipc": 2})
    whole.join()
    seconds, expected = time.monotonic() - began, contents(output)
    assert whole.exitcode == 0
    moments, kills = random.Random(method), 0
    shutil.rmtree(tmp_path / "early-networks", ignore_errors=True)
    while kills < KILLS:
        shutil.rmtree(output, ignore_errors=True)  # it ended before the last kill: from the beginning
        process = start(arguments, {"ipc": 2})
        process.join(moments.uniform(0, 0.8 * seconds))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
    shutil.rmtree(output, ignore_errors=True)
    last = start(arguments, {"ipc": 2})
    last.join()
    assert last.exitcode == 0
    assert contents(output) == expected
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "early-networks"}
    if early:
        note = json.loads((output / "provenance.json").read_text())["note"]
        assert note.startswith("2 networks were trained early once and taken in turn")


def test_sets_that_are_made_at_once_train_their_early_networks_once(digits_folder, tmp_path):
    recipe = load_recipe("digits", [*SHORT, "idc.early_networks=2"])

    def started(folder: str, ipc: int) -> multiprocessing.process.BaseProcess:
        return start((recipe, "idc-1", digits_folder, tmp_path / folder / f"ipc{ipc}"), {"ipc": ipc})

    for ipc in (1, 2):
        alone = started("alone", ipc)
        alone.join()
        assert alone.exitcode == 0
    both = [started("together", ipc) for ipc in (1, 2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    expected, made = contents(tmp_path / "alone"), contents(tmp_path / "together")
    assert made.keys() == expected.keys()
    assert all(made[name] == content for name, content in expected.items() if name.startswith("ipc"))


@pytest.mark.parametrize(("method", "count"), [("dm", 2), ("idc-1", 3)])
def test_several_processes_make_the_images_of_one(method, count, unbroken, digits_folder, tmp_path, free_port):
    arguments = command(method, digits_folder, tmp_path / method)
    done = launch(count, arguments, env=environment(), cwd=ROOT, port=free_port)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    ours, expected = (json.loads((folder / method / "losses.json").read_text()) for folder in (tmp_path, unbroken))
    np.testing.assert_allclose(ours["matching"], expected["matching"], rtol=1e-3)
    gap = np.abs(pixels(tmp_path / method) - pixels(unbroken / method))
    assert gap.max() <= 2
    assert {path.name for path in tmp_path.iterdir()} == {method}


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_and_compilation_as_accelerate_is_told(method, unbroken, digits_folder, tmp_path):
    told = {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_DYNAMO_BACKEND": "EAGER"}
    done = run(command(method, digits_folder, tmp_path / method), env=environment(**told), cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    ours, expected = (json.loads((folder / method / "losses.json").read_text()) for folder in (tmp_path, unbroken))
    assert ours != expected
    np.testing.assert_allclose(ours["matching"], expected["matching"], rtol=0.1)


def write_originals(folder: Path) -> Path:
    """Six images of three sizes, of two classes with wnids."""
    generator = np.random.default_rng(0)
    sizes = [(20, 16), (16, 24), (40, 40)] * 2
    images = [PILImage.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    columns = {"image": images, "label": [1, 0] * 3, "wnid": ["n02", "n01"] * 3}
    features = Features(image=Image(), label=ClassLabel(names=["a", "b"]), wnid=Value("string"))
    write_rows(Dataset.from_dict(columns, features=features), folder)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_originals_of_any_size_become_images_of_one_and_keep_their_wnids(method, tmp_path):
    recipe = load_recipe("digits", [*SHORT, "dm.steps=2", "idc.outer_iterations=1", "idc.inner_loop=1"])
    make_matching(recipe, method, write_originals(tmp_path / "original"), tmp_path / "out", ipc=3)
    rows = read_rows(tmp_path / "out")
    assert (rows["label"][:], rows["wnid"][:]) == ([0, 0, 0, 1, 1, 1], ["n01"] * 3 + ["n02"] * 3)
    assert {image.size for image in rows["image"]} == {(16, 16)}


@pytest.mark.parametrize(
    ("values", "method", "message"),
    [
        (["dm.strategy=[color, flip]"], "dm", r"dm\.strategy has flip, and data\.flip of recipe digits is false"),
        (["idc.strategy=[flip]"], "idc-1", r"idc\.strategy has flip"),
        (["idc.training_strategy=[flip]"], "idc-1", r"idc\.training_strategy has flip"),
    ],
)
def test_flips_of_what_must_not_be_flipped_are_refused(values, method, message, digits_folder, tmp_path):
    with pytest.raises(InputError, match=message):
        make_matching(load_recipe("digits", values), method, digits_folder, tmp_path / "out", ipc=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", METHODS)
def test_a_class_with_fewer_images_than_ipc_is_named(method, tmp_path):
    original = write_originals(tmp_path / "original")
    with pytest.raises(InputError, match="a has 3 images, fewer than the 4 per class to start from"):
        make_matching(load_recipe("digits", SHORT), method, original, tmp_path / "out", ipc=4)
    assert [path.name for path in tmp_path.iterdir()] == ["original"]
