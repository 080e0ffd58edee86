"""What was chosen on the page, as the command line that makes it, as the folder that this writes, and on the Hub."""

import shlex
from dataclasses import asdict
from pathlib import Path

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.schema import read_json
from ddgs_hub.core.staging import locked_folder, refuse_existing
from ddgs_hub.core.text import quoted
from ddgs_hub.hub import check_push, publish
from ddgs_hub.hub.layout import SAMPLING
from ddgs_hub.recipe import SampleSettings
from ddgs_hub.stages.explore.opened import Opened
from ddgs_hub.stages.sample import make_distilled


def sample_line(opened: Opened, sample: SampleSettings, seed: int, folder: str) -> str:
    """The command line that writes the set that the page shows."""
    usual = asdict(SampleSettings())
    changed = {name: value for name, value in asdict(sample).items() if name == "ipc" or value != usual[name]}
    words = ["ddgs-hub", "sample", "--pool", opened.pool]
    if opened.original:
        words += ["--original", opened.original]
    for name, value in changed.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--seed", str(seed), "--output", folder])


def publish_line(folder: str, repo_id: str, *, private: bool) -> str:
    """The command line that publishes it."""
    return shlex.join(["ddgs-hub", "publish", folder, "--repo", repo_id, *(["--private"] if private else [])])


def save(opened: Opened, sample: SampleSettings, seed: int, folder: str) -> str:
    """Writes the set into a new folder, as `sample_line` does.

    Returns:
        What was written, for people.

    Raises:
        InputError: there is no name, the folder is not empty or cannot be written, or the pool cannot be read.
    """
    output = _named(folder)
    refuse_existing(output)
    with locked_folder(output):
        made = make_distilled(sample, opened.pool, opened.original, output, seed=seed)
    return f"{output}: {made.text}"


def save_and_publish(
    opened: Opened, sample: SampleSettings, seed: int, folder: str, repo_id: str, *, private: bool
) -> str:
    """Publishes the set, see `publish`; writes it first, where its folder is new.

    Raises:
        InputError: the folder holds another set or something else, or as `save`, `check_push` and `publish`.
    """
    output, repo_id, lines = _named(folder), repo_id.strip(), []
    is_there = output.is_dir() and any(output.iterdir())
    if is_there:
        _require_same(opened, sample, seed, output)
    check_push(repo_id, private=private)  # before anything is written
    if not is_there:
        lines.append(save(opened, sample, seed, folder))
    lines.append(publish(output, repo_id, private=private).text)
    return "\n".join(lines)


def _named(folder: str) -> Path:
    if not folder.strip():
        raise InputError("there is no folder to write to: give one that is new or empty")
    return expanded(folder.strip())


def _require_same(opened: Opened, sample: SampleSettings, seed: int, output: Path) -> None:
    """Refuses a folder that does not hold the set that the page shows."""
    path = output / SAMPLING
    if not path.is_file():
        raise InputError(f"{quoted(output)} holds something else than a distilled set: give a new folder")
    values = read_json(path, dict, str(path))
    wanted = {**opened.rows.sources, "sample": asdict(sample), "seed": seed}
    if {name: values.get(name) for name in wanted} != wanted:
        raise InputError(f"{quoted(output)} holds a set of other settings: give a new folder")
