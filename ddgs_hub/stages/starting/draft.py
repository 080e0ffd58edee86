"""A recipe that is being written: values, each with its reason, and the YAML in which the reasons are comments."""

import textwrap
from typing import Any

import yaml

from ddgs_hub.core.text import one_line
from ddgs_hub.recipe import Recipe, parse_recipe

WIDTH = 110  # characters of a line: a comment that is longer stands above its value


class Draft:
    """Values and reasons, in the order in which they are put.

    Attributes:
        values: nested dictionaries, as `parse_recipe` takes them.
        reasons: dotted key → why it has this value.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.reasons: dict[str, str] = {}

    def put(self, key: str, value: Any, why: str = "") -> None:
        """Sets a value.

        Args:
            key: dotted, as `finetune.epochs`.
            value: of YAML's types; an empty dictionary begins a section.
            why: it is so; the comment of the value.
        """
        *sections, last = key.split(".")
        inside = self.values
        for name in sections:
            inside = inside.setdefault(name, {})
        inside[last] = value
        if why:
            self.reasons[key] = one_line(why)

    def recipe(self) -> Recipe:
        """The recipe that it is.

        Raises:
            InputError: a value is wrong, such as one that the command line sets.
        """
        return parse_recipe(self.values, "the recipe for these images")

    def to_yaml(self, heading: list[str]) -> str:
        """The recipe as YAML.

        Args:
            heading: lines of the comment at the top.
        """
        top = [f"# {part}" for line in heading for part in textwrap.wrap(one_line(line), WIDTH) or [""]]
        return "\n".join([*top, *self._lines(self.values, "", 0)]) + "\n"

    def _lines(self, values: dict[str, Any], prefix: str, depth: int) -> list[str]:
        lines, indent = [], "  " * depth
        for key, value in values.items():
            why = self.reasons.get(f"{prefix}{key}", "")
            nested = isinstance(value, dict) and value and key != "model_args"
            written = f"{indent}{key}:" if nested else f"{indent}{key}: {_scalar(value)}"
            if why and len(written) + len(why) + 4 > WIDTH:
                lines += [f"{indent}# {part}" for part in textwrap.wrap(why, WIDTH - len(indent))]
                why = ""
            lines.append(f"{written}  # {why}" if why else written)
            if nested:
                lines += self._lines(value, f"{prefix}{key}.", depth + 1)
        return lines


def _scalar(value: Any) -> str:
    """A value in one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**20, sort_keys=False)
    return text.removesuffix("...\n").strip()
