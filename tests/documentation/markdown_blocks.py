"""What the README and the pages of docs/ tell their readers to type, block by block, in the order of the site."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SHELLS, PYTHON = ("bash", "console"), "python"
MARK = re.compile(r"<!-- (?P<key>needs|file): (?P<value>\S+) -->")
# How a line begins that is to be typed, wherever it stands.
TYPED = re.compile(r"\$? ?((ddgs-hub|accelerate|hf|make|sbatch|pip|python) [a-z-]|python -m |git clone )")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: its path in the repository.
        line: the number of its first line.
        language: after the fence.
        lines: its text.
        needs: what its mark says that it needs: one of `NEEDS`, or None.
        file: the name of the file that its mark says it is, or None.
    """

    page: str
    line: int
    language: str
    lines: tuple[str, ...]
    needs: str | None
    file: str | None

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a block for a shell, each split as a shell does; outputs are not among them."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [words for line in lines if (words := shlex.split(line, comments=True))]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def blocks() -> tuple[Block, ...]:
    """All blocks of the pages in the order of the site's navigation, and then those of the README."""
    return tuple(block for page in pages() for block in blocks_of(page))


def pages() -> list[Path]:
    """The README and all pages, in the order of the navigation."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    ordered = [ROOT / "docs" / name for name in re.findall(r"[\w/-]+\.md\b", str(yaml.safe_load(text)["nav"]))]
    more = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")} - set(ordered)
    return [*ordered, *sorted(more)]


def blocks_of(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page, with the mark that stands on the line before each."""
    page = str(path.relative_to(ROOT))
    lines, block = path.read_text(encoding="utf-8").splitlines(), None
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            if block is not None:
                block = replace(block, lines=(*block.lines, line))
        elif block is None:
            mark = MARK.fullmatch(lines[number - 2]) if number > 1 else None
            marks = {mark["key"]: mark["value"]} if mark else {}
            block = Block(page, number + 1, line.lstrip("`").split()[0], (), marks.get("needs"), marks.get("file"))
        else:
            yield block
            block = None


def typed_elsewhere(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a page that look as if they were to be typed, and stand in no block for a shell."""
    inside = {line for block in blocks_of(path) for line in range(block.line, block.line + len(block.lines))}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if number not in inside and line.startswith("    ") and TYPED.match(line.strip()):
            yield number, line.strip()
    for block in blocks_of(path):
        if block.language not in SHELLS:
            yield from ((block.line + k, line) for k, line in enumerate(block.lines) if TYPED.match(line))


def inline_commands(path: Path) -> Iterator[tuple[int, list[str]]]:
    """What begins with `ddgs-hub COMMAND` in the running text of a page."""
    inside = {line for block in blocks_of(path) for line in range(block.line, block.line + len(block.lines))}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if number not in inside:
            for text in re.findall(r"`(?:ddgs-hub|hf ddgs) ([a-z][^`]*)`", line):
                yield number, text.split()
