"""Text that a stranger may have written, in Markdown: a reader sees its characters, and none of them acts."""

import json
import re
from collections.abc import Sequence

from ddgs_hub.core.text import one_line

# Characters of Markdown, HTML and formulas. An underscore inside a word is harmless.
ACTING = re.compile(r"[\\`*\[\]<>&~$|]|(?<![^\W_])_|_(?![^\W_])")
IN_CODE = re.compile("```|~~~|<!--")  # the end of a block of code, or what could be taken for one of our own marks


def prose(text: object) -> str:
    """As words of a heading or a sentence. Put words of ours before them: what acts only at a line's start is kept."""
    return ACTING.sub(lambda match: f"&#{ord(match[0])};", one_line(text))


def cell(text: object) -> str:
    """As words in the cell of a table."""
    return prose(text).replace("&#124;", "\\|")


def code(text: object) -> str:
    """As code in a sentence or a cell: between backticks, or between tags if the text could end the backticks."""
    words = one_line(text)
    return f"<code>{prose(words)}</code>" if not words or set(words) & set("`|") else f"`{words}`"


def literal(text: str) -> str:
    """As a Python string in a block of code."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def block(text: object) -> str:
    """As a line in a block of code."""
    return IN_CODE.sub(lambda match: " ".join(match[0]), one_line(text, 20_000))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first one the header, padded to columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for first, *others in [rows[0], rule, *rows[1:]]:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
