"""What mkdocs calls when it builds the site: fills in what is made from the code, and draws equations."""

from pathlib import Path
from typing import Any

from documentation.commands import command_reference
from documentation.equations import draw_equations
from documentation.recipes import recipe_reference, study_reference

ROOT = Path(__file__).parents[1]
# Markers in the pages → what takes their place.
MADE = {
    "<!-- made: commands -->": command_reference,
    "<!-- made: recipes -->": recipe_reference,
    "<!-- made: studies -->": study_reference,
    "<!-- made: contributing -->": lambda: (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
}
# What a block needs that is marked so; the tests run those that are not.
NEEDS = {
    "gpu": "Needs a GPU.",
    "hub": "Needs the real Hub.",
    "network": "Needs the network.",
    "minutes": "Takes minutes.",
    "browser": "Runs until Ctrl-C.",
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of a page, with what its markers stand for."""
    for marker, make in MADE.items():
        if marker in markdown:
            markdown = markdown.replace(marker, make())
    for need, said in NEEDS.items():
        markdown = markdown.replace(f"<!-- needs: {need} -->\n", f"*{said}*{{ .needs }}\n\n")
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """The body of a page, with its equations as pictures."""
    return draw_equations(html)
