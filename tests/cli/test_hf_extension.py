"""`hf ddgs …`: the checkout installed by `hf extensions install`, and run by `hf`, is the same application."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_github import COMMIT, loopback_github

from ddgs_hub import __version__

CHECKOUT = Path(__file__).resolve().parents[2]
Hf = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def hf(tmp_path_factory: pytest.TempPathFactory) -> Hf:
    """Runs `hf` in an account of its own, in which `hf extensions install acme/hf-ddgs` was run."""
    if shutil.which("openssl") is None:
        pytest.skip("GitHub's certificate is made with openssl, which is not here")
    hatchling = pytest.importorskip("hatchling", reason="the package is built with hatchling: install the extra dev")
    home = tmp_path_factory.mktemp("home")
    environment = {  # and nothing of the environment of the tests; with uv on the path, hf would not use pip
        "PATH": str(tmp_path_factory.mktemp("bin")),
        "HOME": str(home),
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }

    def hf(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "huggingface_hub.cli.hf", *arguments]
        environ = {**environment, **more}
        return subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, timeout=300, check=False)

    # The libraries are those of this environment, for there is no network: for the build, and then for what was built.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(Path(hatchling.__file__).parents[1])}
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    with loopback_github("acme/hf-ddgs", CHECKOUT, tmp_path_factory.mktemp("certificate")) as github:
        done = hf(
            "extensions", "install", "acme/hf-ddgs", PYTHONPATH=os.pathsep.join(sorted(libraries)), **offline, **github
        )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = home / ".local/share/hf/extensions/hf-ddgs"
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(sorted(libraries)))
    assert (packages / "ddgs_hub/hub/cards/model_cards").is_dir()
    return hf


def test_it_is_listed(hf: Hf) -> None:
    (listed,) = json.loads(hf("extensions", "list", "--format", "json").stdout)
    assert (listed["command"], listed["source"], listed["type"]) == ("hf ddgs", "acme/hf-ddgs", "python")
    assert listed["description"] == description()
    assert listed.get("version", COMMIT[:7]) == COMMIT[:7]  # older hf lists none
    assert re.search(r"^ +ddgs +.*Difficulty-guided", hf("--help").stdout, re.MULTILINE)


def description() -> str:
    (line,) = re.findall(r'^description = "(.*)"$', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE)
    return line


def test_version(hf: Hf) -> None:
    assert hf("ddgs", "--version").stdout == f"{__version__}\n"
    assert hf("extensions", "exec", "ddgs", "--version").stdout == f"{__version__}\n"


def test_the_help_names_the_command_as_it_was_called(hf: Hf) -> None:
    assert hf("ddgs", "--help").stdout.startswith("Usage: hf ddgs [OPTIONS] COMMAND [ARGS]...")
    text = hf("ddgs", "sample", "--help").stdout
    assert text.startswith("Usage: hf ddgs sample [OPTIONS]")
    assert "Example: hf ddgs sample --pool" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "--pool", "nowhere", "--original", "nowhere", "--output", "out"], "hf ddgs: .*nowhere"),
        (["sample", "--weight", "none"], "hf ddgs: Invalid value for '--weight': "),
        (["smaple"], "hf ddgs: No such command 'smaple'"),
    ],
)
def test_a_users_mistake(hf: Hf, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = hf("ddgs", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"{message}.*\n", done.stderr), done.stderr
