"""The reference of the command line, as Markdown, from the program itself: what `--help` says, for all commands."""

import re
from html import escape
from typing import Any

import typer

from ddgs_hub.cli.main import app
from ddgs_hub.cli.verbosity import add_verbosity

PROGRAM = "ddgs-hub"
EXAMPLE = "Example: "


def program() -> Any:
    """The program with all its commands, as `main` runs it."""
    group: Any = typer.main.get_command(app)
    add_verbosity(group)
    return group


def command_reference() -> str:
    """A table of all commands, what they have in common, and a section for each."""
    group = program()
    context = typer.Context(group, info_name=PROGRAM)
    sections = [
        _Section(command, typer.Context(command, info_name=name, parent=context))
        for name, command in group.commands.items()
        if not command.hidden
    ]
    common = [record for record in sections[0].options if all(record in section.options for section in sections)]
    rows = [f"| [`{section.name}`](#{section.name}) | {section.summary} |" for section in sections]
    return "\n".join(
        [
            *("| command | what it does |", "|---|---|", *rows, ""),
            *("Every command has", "", *(_item(*record) for record in common), ""),
            *(section.text(common) for section in sections),
        ]
    )


def examples_of(command: Any) -> list[str]:
    """The command lines that the help of a command gives as examples."""
    return [part.removeprefix(EXAMPLE) for part in _paragraphs(command) if part.startswith(EXAMPLE)]


def _paragraphs(command: Any) -> list[str]:
    return [" ".join(part.split()) for part in (command.help or "").split("\n\n")]


class _Section:
    """One command.

    Args:
        command: of the program.
        context: its own, below that of the program.
    """

    def __init__(self, command: Any, context: Any) -> None:
        self.name = context.info_name
        self.examples = examples_of(command)
        self.paragraphs = [plain(part) for part in _paragraphs(command) if not part.startswith(EXAMPLE)]
        self.usage = " ".join([PROGRAM, self.name, *command.collect_usage_pieces(context)])
        records = [(parameter, parameter.get_help_record(context)) for parameter in command.get_params(context)]
        shown = [(parameter.param_type_name, record) for parameter, record in records if record]
        self.arguments = [record for kind, record in shown if kind == "argument"]
        self.options = [record for kind, record in shown if kind == "option"]

    @property
    def summary(self) -> str:
        return self.paragraphs[0].replace("|", r"\|") if self.paragraphs else ""

    def text(self, common: list[tuple[str, str]]) -> str:
        """The section, as Markdown, without the options that all commands have in common."""
        own = [record for record in self.options if record not in common]
        lines = [f"## {self.name}", "", *"\n\n".join(self.paragraphs).split("\n"), "", *_code([self.usage])]
        for title, records in (("Arguments", self.arguments), ("Options", own)):
            if records:
                lines += [f"**{title}**", "", *(_item(*record) for record in records), ""]
        if self.examples:
            lines += ["**Example**" if len(self.examples) == 1 else "**Examples**", "", *_code(self.examples)]
        return "\n".join(lines)


def _item(names: str, text: str) -> str:
    """An option: its names, what it is for, and in italics its default and range."""
    found = re.fullmatch(r"(.*?)\s*(?:\[([^\]]*)\])?", text, re.DOTALL)
    said, facts = found.groups() if found else (text, None)
    words = re.sub(r"(\d\S*)<=x<=(\S*)", r"\1 … \2", facts or "").replace("x>=", "≥ ").replace("x<=", "≤ ")
    return (
        f"- `{names.replace(' range>', '>')}` {plain(' '.join(said.split()))}{f' *({escape(words)})*' if words else ''}"
    )


def _code(lines: list[str]) -> list[str]:
    return ["```text", *lines, "```", ""]


def plain(text: str) -> str:
    """Text of a help message that Markdown shows as it is, but for its `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_{}\[\]<>#|])", r"\\\1", part) for part in parts)
