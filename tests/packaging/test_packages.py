"""The wheel and the sdist: what is in them, and that the wheel alone does all that the demo does."""

import ast
import hashlib
import json
import sys
import tarfile
import zipfile
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from installed import ROOT, Environment, build, required, requirements
from packaging.utils import canonicalize_name

from ddgs_hub import __version__

pytest.importorskip("hatchling", reason="the package is built with hatchling: install the extra dev")
PACKAGE = ROOT / "ddgs_hub"
# Values of the recipe by which a run takes seconds; all its stages are those of the demo.
TOY = [
    *("finetune.epochs=0.1", "pool.size=1", "pool.num_steps=2", "score.training.folds=2", "score.training.epochs=1"),
    *("evaluate.epochs=1", "evaluate.evaluations=1", "evaluate.repeats=1", "evaluate.width=8", "sample.ipc=2"),
]

# Folders and files of the package that import what an extra names, and which; they say what to install if it is absent.
OPTIONAL = {"explore": "explore", "tracking.py": "dev"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    return Environment(tmp_path_factory.mktemp("clean"), wheel)


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"ddgs_hub-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = f"ddgs_hub-{__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"ddgs_hub", data}
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    templates = {
        f"ddgs_hub/hub/cards/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "model_cards").rglob("*.*")
    }
    assert {name for name in names if name.startswith("ddgs_hub/")} == ours | templates
    for needed in ("py.typed", "recipes/digits.yaml", "launch/slurm.sbatch", "recipes/studies/table1.yaml"):
        assert f"ddgs_hub/{needed}" in names
    assert any(name.startswith("ddgs_hub/diffusion/bases/digits/") for name in names)
    assert {f"{data}/{name}" for name in ("METADATA", "RECORD", "entry_points.txt", "licenses/LICENSE")} <= names


def test_the_sdist_makes_the_same_wheel_and_has_the_tests(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert source.name == f"ddgs_hub-{__version__}"
    tops = {path.name for path in source.iterdir()}
    assert {"ddgs_hub", "model_cards", "tests", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= tops
    assert tops & {".git", ".venv", "runs", "dist", "site", "build"} == set()
    assert list(source.rglob("*.pyc")) == []
    again = build("wheel", tmp_path / "dist", source)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_the_demo_outside_the_checkout_with_what_the_package_requires_alone(clean: Environment, tmp_path: Path) -> None:
    """The libraries are those of this environment, by links, as there is no network; those of extras are absent."""
    where = clean.run("python", "-c", "import ddgs_hub; print(ddgs_hub.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).parent == clean.packages / "ddgs_hub"
    done = clean.run("ddgs-hub", "run", "digits", "--json", *(f"--set={value}" for value in TOY), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["output"] == "runs/digits"
    assert len(result["stages"]) == 11
    for name, stage in result["stages"].items():
        assert (tmp_path / stage["values"]["output"]).is_dir(), name
    assert (tmp_path / result["repository"] / "README.md").is_file()


def test_the_environment_of_that_has_nothing_of_the_extras(clean: Environment, tmp_path: Path) -> None:
    extras = ("pytest", "gradio", "mkdocs", "playwright", "hatchling", "mypy", "ruff", "tensorboard", "trackio")
    code = f"import importlib.util as u; print([n for n in {extras} if u.find_spec(n)])"
    assert clean.run("python", "-c", code, cwd=tmp_path).stdout.strip() == "[]"
    assert clean.run("ddgs-hub", "--version", cwd=tmp_path).stdout == f"{__version__}\n"
    assert clean.run("hf-ddgs", "--version", cwd=tmp_path).stdout == f"{__version__}\n"


@cache
def declared(wheel: Path, extra: str = "") -> set[str]:
    """The distributions that the package requires, or that an extra does."""
    return {
        canonicalize_name(one.name)
        for one in requirements(wheel)
        if (one.marker.evaluate({"extra": extra}) if one.marker else not extra)
    }


def imported(path: Path) -> set[str]:
    """The top-level modules that a file imports, wherever in it that stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found - {"ddgs_hub", *sys.stdlib_module_names}


def test_every_import_is_of_what_is_declared(wheel: Path) -> None:
    """What another library happens to bring along can go with its next version; pydantic has its pydantic-core."""
    distributions, undeclared = packages_distributions(), []
    for path in sorted(PACKAGE.rglob("*.py")):
        extras = [declared(wheel, extra) for place, extra in OPTIONAL.items() if place in path.parts]
        allowed = declared(wheel).union(*extras)
        for module in imported(path):
            of = {canonicalize_name(name).removesuffix("-core") for name in distributions.get(module, [module])}
            if not of & allowed:
                undeclared.append(f"{path.relative_to(ROOT)} imports {module}")
    assert undeclared == []


def test_what_is_required_is_imported_somewhere(wheel: Path) -> None:
    used = set().union(*(imported(path) for path in PACKAGE.rglob("*.py")))
    distributions = packages_distributions()
    of_modules = {canonicalize_name(name) for module in used for name in distributions.get(module, [])}
    assert declared(wheel) - of_modules == set()
    assert set(required(wheel)) >= declared(wheel)
