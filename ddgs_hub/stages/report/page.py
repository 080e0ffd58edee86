"""The page of a run, from facts and pictures to one file."""

import base64
import hashlib
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ddgs_hub.core.files import put_in_place
from ddgs_hub.core.machine import in_gib
from ddgs_hub.core.made import Made
from ddgs_hub.core.markdown import literal
from ddgs_hub.core.text import one_line, printable
from ddgs_hub.hub.layout import RECIPE, SAMPLING
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.compare import METHODS
from ddgs_hub.stages.report.facts import RunFacts, read_facts
from ddgs_hub.stages.report.pictures import class_pictures, figures_of, histograms, shown_classes
from ddgs_hub.stages.run_folder import FINISHED, REPORT, RESULTS, SELECTIONS, RunFolder

HERE = Path(__file__).parent
# Nothing but what is inside of the page, and no script at all; the one style is named by its hash.
POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none';"
FIGURE_SPACE = "\N{FIGURE SPACE}"  # as wide as a digit
MOST_ROWS = 1_000  # classes in the table of selections
MOST_OF_A_RECIPE = 50_000  # characters
NAME_CHARACTERS = 80  # most of a class's name
MEMORIES = {"peak memory": "peak_memory", "GPU memory": "peak_gpu_memory"}  # columns, and where their values are


def make_report(recipe: Recipe, runs: Sequence[RunFolder]) -> Made:
    """Writes the page of a run, `report.html`.

    Args:
        recipe: of the run.
        runs: its folder, as each of its sets sees it, all stages finished.

    Returns:
        Where it lies, and its size.

    Raises:
        InputError: a stage of the run is missing, or a file of it is damaged.
        OSError: it cannot be written.
    """
    facts = read_facts(recipe, runs)
    content = _render(facts).encode("utf-8", errors="replace")
    path = facts.folder / REPORT
    put_in_place(path, content)
    return Made(f"{REPORT}, {len(content) / 1e6:.1f} MB", {"output": str(path), "bytes": len(content)})


def is_current(runs: Sequence[RunFolder]) -> bool:
    """Whether the page of a run is there, and not older than what it shows."""
    path = runs[0].path / REPORT
    return path.is_file() and all(file.stat().st_mtime_ns <= path.stat().st_mtime_ns for file in _shown_files(runs))


def _shown_files(runs: Sequence[RunFolder]) -> list[Path]:
    files = [runs[0].path / name for name in (RECIPE, FINISHED)]
    for run in runs:
        files += [run.evaluation / RESULTS, run.distilled / SELECTIONS, run.distilled / SAMPLING]
        files += run.figures.glob("*.*")
    return [file for file in files if file.is_file()]


def _made(facts: RunFacts) -> dict[str, list[str]]:
    """When and on what the stages ran, each value once."""
    stages = facts.finished.values()
    ended = sorted(stage.ended for stage in stages if stage.ended)
    return {
        "Made": list(dict.fromkeys([*ended[:1], *ended[-1:]])),
        "Device": list(dict.fromkeys(stage.device for stage in stages if stage.device)),
        "Code": list(dict.fromkeys(stage.commit for stage in stages if stage.commit)),
    }


def _render(facts: RunFacts) -> str:
    every_class = range(len(facts.names))
    style = (HERE / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    values = {
        "facts": facts,
        "style": Markup(style),
        "policy": f"{POLICY} style-src 'sha256-{digest}'",
        "every_class": every_class,
        "classes": class_pictures(facts, shown_classes(facts)),
        "figures": [figures_of(one.run.figures) for one in facts.sets],
        "histograms": [histograms(facts, one, every_class) for one in facts.sets],
        "methods": METHODS.replace("*", ""),
        "again": shlex.join(["ddgs-hub", "run", str(facts.folder / RECIPE), "--output", f"{facts.folder}-again"]),
        "made": _made(facts),
        "memories": {name: key for name, key in MEMORIES.items() if _is_known(facts, key)},
        "most_rows": MOST_ROWS,
        "most_of_a_recipe": MOST_OF_A_RECIPE,
    }
    return _environment().get_template("report.html.jinja").render(values)


def _is_known(facts: RunFacts, key: str) -> bool:
    return any(getattr(stage, key) is not None for stage in facts.finished.values())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "name": lambda text: one_line(text, NAME_CHARACTERS),
        "number": lambda value: f"{value:,}",
        "mean": lambda value: f"{value:.3f}",
        "literal": literal,
        "word": shlex.quote,
        "counts": lambda values, digits: " ".join(f"{value:{FIGURE_SPACE}>{digits}}" for value in values),
        "gib": in_gib,
    }
    environment.filters |= filters
    return environment


def _harmless(value: Any) -> Any:
    """A value of the template: what acts on a reader's screen, such as bidirectional marks, is replaced."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
