"""Text that a stranger may have written, as it stands in Markdown: a reader sees its characters, and none acts."""

import json
import re

from ddgs_hub.core.text import one_line

# What Markdown, HTML or formulas would be made of. An underscore within a word is one.
ACTING = re.compile(r"[\\`*\[\]<>&~$|]|(?<![^\W_])_|_(?![^\W_])")
IN_CODE = re.compile("```|~~~|<!--")  # what ends a block of code, or would be taken for a mark of ours


def prose(text: object) -> str:
    """As words of a heading or a sentence, behind words of ours: what would act at the start of a line stands there."""
    return ACTING.sub(lambda found: f"&#{ord(found[0])};", one_line(text))


def cell(text: object) -> str:
    """As words in a cell of a table."""
    return prose(text).replace("&#124;", "\\|")


def code(text: object) -> str:
    """As code in a sentence or in a cell: between backticks, or where they do not hold it between tags."""
    words = one_line(text)
    return f"<code>{prose(words)}</code>" if not words or set(words) & set("`|") else f"`{words}`"


def literal(text: str) -> str:
    """As a string of Python in a block of code."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def block(text: object) -> str:
    """As a line in a block of code."""
    return IN_CODE.sub(lambda found: " ".join(found[0]), one_line(text, 20_000))
