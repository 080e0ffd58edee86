"""The reference of recipes and studies, as Markdown, from their dataclasses: types, ranges, defaults and comments."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from ddgs_hub.recipe import Recipe, reading
from ddgs_hub.recipe.study import STUDIES, Study

TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "mapping",
}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def recipe_reference() -> str:
    """The recipes of the package, and a table for each section of a recipe."""
    return "\n\n".join([_files(reading.RECIPES, "ddgs-hub run"), *_sections(Recipe, "")])


def study_reference() -> str:
    """The studies of the package, and a table of their keys."""
    return "\n\n".join([_files(STUDIES, "ddgs-hub reproduce"), *_sections(Study, "", title="Keys of a study")])


def _files(folder: Path, command: str) -> str:
    """The YAML files of a folder, with the comment that each begins with."""
    items = []
    for path in sorted(folder.glob("*.yaml")):
        comment = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))
        said = " ".join(line.lstrip("# ") for line in comment[0].splitlines()) if comment else ""
        items.append(f"- `{command} {path.stem}`: {_words(said)}")
    return "\n".join(items)


def _sections(section: type, path: str, title: str = "") -> list[str]:
    """The keys of a dataclass, followed by those of the dataclasses in it."""
    schema = TypeAdapter(section).json_schema()
    hints, remarks = inspect.get_annotations(section), comments(section)
    items, inner = [], []
    for field in dataclasses.fields(section):
        name = f"{path}{field.name}"
        if found := _dataclass(hints[field.name]):
            inner += _sections(found, f"{name}.", title=name)
            if field.default is None:
                items.append(f"- `{name}` a [section](#{_anchor(name)}), or null. *(default:* `null`*)*")
            continue
        value = _value(schema["properties"][field.name], schema.get("$defs", {}))
        said = f" {_words(remarks[field.name].rstrip('.'))}." if remarks[field.name] else ""
        items.append(f"- `{name}`{said} *({_words(value)}; {_default(field)})*")
    heading = [f"## {title}", _plain(section.__doc__)] if title else ["## Of the whole recipe"]
    return [*heading, "\n".join(items), *inner]


def _dataclass(annotation: Any) -> Any:
    """The dataclass that a field holds, alone or beside None."""
    candidates = getattr(annotation, "__args__", ()) or (annotation,)
    return next((kind for kind in candidates if dataclasses.is_dataclass(kind)), None)


def _value(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a key takes, in words: type, range, choices."""
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        options = [_value(part, definitions) for part in schema["anyOf"]]
        return ", or ".join(dict.fromkeys(options))
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of: {_value(schema['items'], definitions)}"
    if schema.get("type") == "null":
        return "null"
    bounds = [f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema]
    return " ".join([TYPES.get(schema.get("type", ""), "any value"), ", ".join(bounds)]).strip()


def _default(field: "dataclasses.Field[Any]") -> str:
    """The default of a key, as YAML."""
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "must be given"
    if type(value).__name__ == "FieldInfo":  # pydantic's own way to give a default
        value = value.get_default(call_default_factory=True)
    written = yaml.safe_dump(to_jsonable_python(value), default_flow_style=True, width=1000, allow_unicode=True)
    return f"default: `{written.removesuffix(chr(10)).removesuffix(chr(10) + '...')}`"


def comments(section: type) -> dict[str, str]:
    """The comments above and beside each field of a dataclass, by its name."""
    lines = inspect.getsource(section).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    found = {}
    for node in tree.body if isinstance(tree, ast.ClassDef) else ():
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above: list[str] = []
            first = node.lineno - 1
            while lines[first - 1].lstrip().startswith("#"):
                first -= 1
                above.insert(0, lines[first].strip().lstrip("# "))
            beside = [part[1] for line in lines[node.lineno - 1 : node.end_lineno] if (part := _comment(line))]
            found[node.target.id] = " ".join([*above, *beside])
    return found


def _comment(line: str) -> "re.Match[str] | None":
    """The comment that ends a line; of `#` in a text it knows that two blanks stand before a comment."""
    return re.search(r"(?:^\s*|\s\s)# (.*)$", line)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _words(text: str) -> str:
    """Text that Markdown shows as it is, but for its `code`; what is None in Python is null in YAML."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\bNone\b", "null", text))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _anchor(title: str) -> str:
    """What the site calls the heading of this title."""
    return re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-")
