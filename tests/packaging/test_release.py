"""The workflow that releases: what it may do, and in which order."""

import re
import subprocess
import sys

import pytest
import yaml
from installed import ROOT

from ddgs_hub import __version__

WORKFLOWS = ROOT / ".github" / "workflows"


@pytest.fixture(scope="module")
def release() -> dict:
    return yaml.safe_load((WORKFLOWS / "release.yml").read_text(encoding="utf-8"))


def steps(job: dict, key: str) -> list[str]:
    return [step[key] for step in job["steps"] if key in step]


def test_it_starts_with_a_tag_alone(release: dict) -> None:
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads the key `on` so


def test_what_is_published_was_built_once_and_tested(release: dict) -> None:
    jobs = release["jobs"]
    assert list(jobs) == ["build", "test", "publish"]
    assert jobs["test"]["needs"] == "build"
    assert jobs["publish"]["needs"] == "test"
    assert any("python -m build" in command for command in steps(jobs["build"], "run"))
    for job in ("test", "publish"):
        assert not any("build" in command for command in steps(jobs[job], "run"))
        assert any(action.startswith("actions/download-artifact@") for action in steps(jobs[job], "uses"))
    assert any("ddgs-hub demo" in command for command in steps(jobs["test"], "run"))
    assert not any(action.startswith("actions/checkout@") for action in steps(jobs["publish"], "uses"))


def test_the_publisher_is_trusted_and_has_no_secret(release: dict) -> None:
    publish = release["jobs"]["publish"]
    assert release["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"]["name"] == "pypi"
    (step,) = [step for step in publish["steps"] if step.get("uses", "").startswith("pypa/gh-action-pypi-publish@")]
    assert step["with"] == {"attestations": True}
    assert [name for name, job in release["jobs"].items() if "permissions" in job] == ["publish"]
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("tag", "code"), [(f"v{__version__}", 0), ("v99.0.0", 1), (__version__, 1)])
def test_the_tag_is_the_version_of_the_package(release: dict, tag: str, code: int) -> None:
    (command,) = [command for command in steps(release["jobs"]["build"], "run") if "GITHUB_REF_NAME" in command]
    command = re.sub(r"\bpython\b", sys.executable, command)
    environ = {"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-ec", command], cwd=ROOT, env=environ, capture_output=True, check=False)
    assert done.returncode == code


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_every_workflow_says_what_it_may_do_and_how_long(path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert all(re.search(r"@(v\d+|release/v\d+)$", action) for action in steps(job, "uses"))
