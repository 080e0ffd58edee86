"""What was found, in `gpu.json`, and the same as a Markdown table, `gpu.md`: written after each part."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pydantic.dataclasses import dataclass

from ddgs_hub.core.schema import FOREIGN, read_json
from ddgs_hub.stages.run_folder import write_json

RESULTS, TABLE = "gpu.json", "gpu.md"
SHOWN = 2000  # characters, the last ones, of what a part that failed wrote
BASE_SHOWN = ("state", "seconds", "bytes", "fits")
COUNTED = ("passed", "failed", "skipped")  # tests
STATES = ("done", "failed", "too slow")


@dataclass(config=FOREIGN)
class Record:
    """All that was found so far.

    Attributes:
        machine: name of the device, versions, and whether the sizes are those of a toy.
        total_minutes: that all calls together were planned for, fixed by the first one.
        spent: seconds that all parts took.
        parts: for each that was started: its `command`, `state`, `seconds`, `result`, and `output` where it failed.
        base: of the base: the `plan`, its `state`, its size in bytes; empty before that.
    """

    machine: dict[str, Any] = field(default_factory=dict)
    total_minutes: float = 25.0
    spent: float = 0.0
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, output: Path) -> "Record | None":
        """That of a call before; None: there was none.

        Raises:
            InputError: the file is damaged.
        """
        path = output / RESULTS
        return read_json(path, cls, str(path)) if path.exists() else None

    def write(self, output: Path) -> None:
        """Writes both files."""
        write_json(output / RESULTS, asdict(self))
        (output / TABLE).write_text("\n".join(_lines(self)) + "\n", encoding="utf-8")


def run(command: Sequence[str], limit: float, environment: Mapping[str, str]) -> dict[str, Any]:
    """Runs a command with all that it starts, `limit` seconds at most.

    Returns:
        `state` (of `STATES`), `seconds`, and `output`, what it wrote, all of it.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
        state = "failed" if process.returncode else "done"
    except subprocess.TimeoutExpired:
        state = "too slow"
    finally:
        _end(process)  # also where this process is ended
    if state == "too slow":
        output, _ = process.communicate()
    return {"state": state, "seconds": round(time.monotonic() - began, 1), "output": output}


def _end(process: "subprocess.Popen[str]") -> None:
    """Kills the group of a process: its workers, too."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def last_object(text: str) -> dict[str, Any] | None:
    """The result that a process of `benchmarks.measure` printed: libraries may warn behind it, as they end.

    Difficulties are left out. None: there is no such line.
    """
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            return {name: value for name, value in found.items() if name != "difficulty"}
    return None


def read_report(path: Path) -> dict[str, Any]:
    """What a JUnit report says: `passed`, `failed`, `skipped`, and the text of each failure, by its test."""
    counts, failures = dict.fromkeys(COUNTED, 0), {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):  # written by our own pytest
        wrong = [child for child in case if child.tag in ("failure", "error")]
        skipped = any(child.tag == "skipped" for child in case)
        counts["failed" if wrong else "skipped" if skipped else "passed"] += 1
        for child in wrong:
            failures[f"{case.get('classname')}::{case.get('name')}"] = (child.text or "")[-SHOWN:]
    return {**counts, "failures": failures}


def _lines(record: Record) -> Iterator[str]:
    """Of the Markdown file."""
    machine = record.machine
    sizes = "toy sizes, which say nothing of speed" if machine["toy"] else "DiT-XL/2 at 256 px, random weights"
    yield f"{machine['name']}, PyTorch {machine['torch']}, {sizes}."
    yield ""
    memory = "GPU memory" if machine["device"] == "cuda" else "memory"
    yield f"| benchmark | way | speed | against plain | {memory} at peak |"
    yield "| --- | --- | ---: | ---: | ---: |"
    plain: dict[str, float | None] = {}
    for name, part in record.parts.items():
        if "/" not in name:
            continue
        (benchmark, way), result = name.split("/"), part.get("result")
        if not isinstance(result, dict):
            yield f"| {benchmark} | {way} | {part['state']} | – | – |"
            continue
        rate = speed(result)
        plain.setdefault(benchmark, rate if way == "plain" else None)
        slow = plain[benchmark]
        against = f"{rate / slow:.2f}×" if slow else "–"
        unit = {"generation": "images/s", "finetuning": "steps/s", "scoring": "images/s", "evaluation": "trainings/s"}
        yield f"| {benchmark} | {way} | {rate:.4g} {unit[benchmark]} | {against} | {result['peak_memory']:.2f} GiB |"
    yield ""
    if isinstance(found := record.parts.get("tests", {}).get("result"), dict):
        yield f"Tests that can use CUDA: {', '.join(f'{found[kind]} {kind}' for kind in COUNTED)}."
    elif "tests" in record.parts:
        yield f"Tests that can use CUDA: {record.parts['tests']['state']}."
    if record.base:
        yield f"Base: {', '.join(f'{name} {value}' for name, value in record.base.items() if name in BASE_SHOWN)}."


def speed(result: dict[str, Any]) -> float:
    """Of a benchmark's result, per second."""
    return float(result["rate"]) if "rate" in result else 1 / float(result["seconds"])
