"""The lines for `hf jobs` in the documentation, given to `hf` itself, which says what it would send."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from ddgs_hub.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINES = [
    line.strip() for page in PAGES for line in re.findall(r"^ *hf jobs run .*$", page.read_text("utf-8"), re.MULTILINE)
]


def hf(*arguments: str, home: Path) -> str:
    """What `hf` prints, in an account of its own that reaches no server."""
    environment = {"HOME": str(home), "HF_HOME": str(home), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_none"}
    environment |= {"HF_HUB_DISABLE_UPDATE_CHECK": "1", "COLUMNS": "500"}
    python = [sys.executable, "-m", "huggingface_hub.cli.hf", *arguments]
    done = subprocess.run(python, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_some() -> None:
    assert LINES


@pytest.mark.parametrize("line", LINES)
def test_a_job_is_what_its_line_says(line: str, tmp_path: Path) -> None:
    if "--dry-run" not in hf("jobs", "run", "--help", home=tmp_path):
        pytest.skip("this version of huggingface_hub cannot say what it would send")
    said = hf("jobs", "run", "--dry-run", *shlex.split(line)[3:], home=tmp_path)
    assert "Job not submitted" in said
    job = dict(re.findall(r"^ +(\w+) +(\S.*)$", said, re.MULTILINE))
    assert {"image", "command", "flavor"} <= set(job)
    assert "hf_none" not in said
    program, name, *arguments = shlex.split(job["command"])
    assert program == "ddgs-hub"
    group: Any = typer.main.get_command(app)
    context = group.commands[name].make_context(name, arguments)
    places = [volume.rpartition(":")[2] for volume in job.get("volumes", "").split()]
    assert any(str(context.params["output"]).startswith(place) for place in places)
