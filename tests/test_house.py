"""The house itself: how large its rooms and pieces are, what it shows, and what importing it costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ddgs_hub

PACKAGE = Path(ddgs_hub.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
BESIDE = {"__init__.py", "__main__.py", "py.typed", "launch", "recipes", "__pycache__"}


def test_the_package_has_twelve_entries_at_most() -> None:
    entries = {path.name for path in PACKAGE.iterdir()} - BESIDE
    assert len(entries) <= 12, entries


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pieces_are_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_the_package_shows_its_names_and_its_rooms() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(dir(ddgs_hub)) == {"LoadedDataset", "__version__", "load", "publish", "run", *rooms}
    for name in dir(ddgs_hub):
        assert getattr(ddgs_hub, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ddgs_hub.nothing  # noqa: B018
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: str(path.parent.name))
def test_a_room_has_all_that_it_says(path: Path) -> None:
    name = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
    room = importlib.import_module(name)
    assert len(room.__doc__ or "") > 80
    for public in getattr(room, "__all__", ()):
        assert getattr(room, public) is not None


@pytest.mark.parametrize(
    ("module", "name", "home"),
    [
        ("builder", "ScoredBuilder", "stages.builders"),
        ("codec", "load_autoencoder", "diffusion"),
        ("distill", "distill", "sampling.datasets"),
        ("sources", "write_original", "original"),
    ],
)
def test_modules_of_before_the_rooms_can_still_be_imported(module: str, name: str, home: str) -> None:
    before, now = (importlib.import_module(f"ddgs_hub.{place}") for place in (module, home))
    assert getattr(before, name) is getattr(now, name)
    assert {path.stem for path in PACKAGE.glob("moved/*.py")} == {"builder", "codec", "distill", "sources"}


LIGHT = ["ddgs_hub", "ddgs_hub.sampling", "ddgs_hub.baselines.coreset", "ddgs_hub.recipe", "ddgs_hub.cli.main"]


@pytest.mark.parametrize("module", LIGHT)
def test_what_is_imported_first_brings_no_heavy_library(module: str) -> None:
    heavy = ("torch", "datasets", "diffusers", "transformers", "timm", "pyarrow")
    code = f"import {module}, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"
