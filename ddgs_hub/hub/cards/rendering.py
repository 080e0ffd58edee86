"""From a card to the text of its README.md: the templates of `model_cards/`, and the filters that every value passes.

Knows no kind of card: a card gives its template, its front matter, and the values for the template.
"""

import re
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ddgs_hub.core import markdown
from ddgs_hub.core.front_matter import join_card
from ddgs_hub.hub.cards.card import OWNER, Card
from ddgs_hub.hub.layout import PUBLISHED_RECIPE, public_name
from ddgs_hub.original import BUILT_IN

# A wheel has the templates inside the package, a source checkout beside it.
HERE = Path(__file__).resolve()
TEMPLATES = (HERE.parent / "model_cards", HERE.parents[3] / "model_cards")
VERSION = "VERSION"  # stands for the version until the card is published
OWNER_NOTE = f"`{OWNER}` stands for the account that publishes it, `{VERSION}` for a version such as `v1.0.0`.\n"
WIDTH = 88  # characters of code that the Hub shows without a scroll bar
HAND_WRITTEN = "<!-- What is below this line is yours: `ddgs-hub publish` keeps it. -->"
CITATION = """\
@article{li2025difficulty,
  title   = {Task-Specific Generative Dataset Distillation
             with Difficulty-Guided Sampling},
  author  = {Li, Mingzhuo and Li, Guang and Mao, Jiafeng and Ye, Linfeng
             and Ogawa, Takahiro and Haseyama, Miki},
  journal = {arXiv preprint arXiv:2507.03331},
  year    = {2025},
}"""


def render_card(card: Card) -> str:
    """The whole text of a README.md: YAML front matter, then Markdown. Equal cards give equal texts.

    A section without data is left out. The account and the version are placeholders, see `with_repository`.
    """
    text = render_template(card.template, card=card, **card.template_values())
    return join_card(card.metadata().to_dict(), f"\n{text}")


def render_template(name: str, **values: Any) -> str:
    """The text of a template with these values in it."""
    return _environment().get_template(name).render(values)


def with_repository(card: str, repo_id: str, version: str = "") -> str:
    """A rendered card with the names of its repository and version in the place of the placeholders.

    Without a version, its examples load the newest one.
    """
    pin = f', revision="{version}"' if version else ""
    card = card.replace(PUBLISHED_RECIPE, f"{repo_id}@{version}" if version else repo_id)
    named = re.sub(rf"\b{OWNER}/[\w.-]+", repo_id, card).replace(OWNER_NOTE, "")
    return named.replace(f', revision="{VERSION}"', pin)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Every value that is not a number of ours passes one of the first six: a stranger may have written it.
    filters: dict[str, Any] = {
        "prose": markdown.prose,
        "cell": markdown.cell,
        "code": markdown.code,
        "literal": markdown.literal,
        "word": lambda text: shlex.quote(markdown.block(text)),
        "shell": _shell,
        "counts": _counts,
        "number": lambda value: f"{value:g}",
        "public": public_name,
    }
    environment.filters |= filters
    texts = {"citation": CITATION, "owner_note": OWNER_NOTE, "hand_written": HAND_WRITTEN, "built_in": BUILT_IN}
    environment.globals |= {**texts, "pin": f"revision={markdown.literal(VERSION)}"}
    return environment


def _counts(values: Sequence[int]) -> str:
    """The counts of ten bins; a narrow table can break them only in the middle."""
    halves = values[: len(values) // 2], values[len(values) // 2 :]
    return " ".join("\N{NO-BREAK SPACE}".join(map(str, half)) for half in halves)


def _shell(command: str) -> str:
    """A command line, over several lines where it is long."""
    command = markdown.block(command)
    return command if len(command) <= WIDTH else command.replace(" --", " \\\n    --")
