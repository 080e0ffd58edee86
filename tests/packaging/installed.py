"""What is built of the package, and an environment that has it with what it requires, and with nothing else."""

import email
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import hatchling.build as backend, sys; print(getattr(backend, 'build_' + sys.argv[1])(sys.argv[2]))"


def build(kind: str, output: Path, source: Path = ROOT) -> Path:
    """Builds the `wheel` or the `sdist` of a source folder, as pip and `python -m build` have the backend do it."""
    output.mkdir(parents=True, exist_ok=True)
    python = [sys.executable, "-c", BUILD, kind, str(output)]
    done = subprocess.run(python, cwd=source, capture_output=True, text=True, check=True)
    return output / done.stdout.split()[-1]


def requirements(wheel: Path) -> list[Requirement]:
    """What the metadata of a wheel name, with the extras' own."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    return [Requirement(line) for line in metadata.get_all("Requires-Dist") or ()]


def required(wheel: Path) -> dict[str, Distribution]:
    """What the package requires without its extras, and what that requires, of what is installed here."""
    found: dict[str, Distribution] = {}
    waiting = requirements(wheel)
    while waiting:
        requirement = waiting.pop()
        marks = [{"extra": extra} for extra in (*requirement.extras, "")]
        if requirement.marker and not any(requirement.marker.evaluate(mark) for mark in marks):
            continue
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of another platform, such as the libraries of a GPU
            continue
        waiting += [Requirement(line) for line in found[name].requires or ()]
    return found


def _entries(found: Distribution) -> Iterator[Path]:
    """The files and folders at the top of site-packages that belong to a distribution."""
    tops = {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}
    return (Path(str(found.locate_file(top))) for top in sorted(tops))


class Environment:
    """A virtual environment with the package from a wheel, and links to the libraries that it requires.

    Args:
        folder: where it is made.
        wheel: the package.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", symlinks=True)
        self.bin = folder / "venv" / "bin"
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True, timeout=120)
        (self.packages,) = (folder / "venv").glob("lib/python*/site-packages")
        for library in required(wheel).values():
            for entry in _entries(library):
                if entry.exists() and not (self.packages / entry.name).exists():
                    (self.packages / entry.name).symlink_to(entry)

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment, without network and without the variables of this process."""
        home = str(self.folder)
        environ = {"PATH": str(self.bin), "HOME": home, "HF_HOME": home, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environ |= {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TMPDIR")}
        words = [str(self.bin / command[0]), *command[1:]]
        return subprocess.run(words, env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
