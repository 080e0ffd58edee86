import ast

import pytest
from markdown_it import MarkdownIt

from ddgs_hub.core.markdown import block, cell, code, literal, prose

HOSTILE = [
    "a|b",
    "a\\|b",
    "`x` ``y``",
    "``` ",
    "<script>alert(1)</script>",
    "<!-- x",
    "](javascript:alert(1))",
    "![x](http://203.0.113.1/x.png)",
    "[a]: http://203.0.113.1",
    "<http://203.0.113.1>",
    "**b** _i_ __b__ *i* ~~s~~ $x$",
    "{{ 7*7 }}{% raw %}",
    "&lt;b&gt; &amp;",
    "a\\",
    "\\`",
]
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def leaves(text: str) -> tuple[list[str], str]:
    """The kinds of tokens of a text, and its words as they are read."""
    tokens = [one for token in MARKDOWN.parse(text) for one in (token, *(token.children or ()))]
    kept = [token for token in tokens if token.type != "html_inline" or token.content not in ("<code>", "</code>")]
    return [token.type for token in kept], "".join(t.content for t in kept if t.type in ("text", "code_inline"))


@pytest.mark.parametrize("value", HOSTILE)
def test_what_would_act_is_read_as_it_is_written(value: str) -> None:
    words = " ".join(value.split())
    for escape, kinds in ((prose, {"text"}), (code, {"text", "code_inline"})):
        found, read = leaves(f"Of {escape(value)} are")
        assert set(found) <= {"paragraph_open", "inline", "paragraph_close", *kinds}, found
        assert read == f"Of {words} are"
    for escape in (cell, code):
        found, read = leaves(f"| a | b |\n|---|---|\n| {escape(value)} | 1 |\n")
        assert found.count("td_open") == 2
        assert read == f"ab{words}1"


@pytest.mark.parametrize("value", ["a\nb", "# a", "---", "- a", "\x1b[2J\u202ea\x00"])
def test_nothing_begins_a_line_or_acts_on_a_terminal(value: str) -> None:
    for escape in (prose, cell, code, block):
        assert escape(value).isprintable()


@pytest.mark.parametrize("name", ["Old English sheepdog", "n02086240", "a_b", "St. Bernard", "jack-o'-lantern", "犬"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert (prose(name), cell(name), code(name), block(name)) == (name, name, f"`{name}`", name)


@pytest.mark.parametrize("value", ['"); import os', "a\nb", "\\", "\u2028", "größe", "```"])
def test_a_literal_is_the_string(value: str) -> None:
    assert ast.literal_eval(literal(value)) == value
    assert literal(value).isprintable()


def test_a_line_of_code_does_not_end_its_block() -> None:
    text = block("```\n<!-- What is below")
    assert "```" not in text
    assert "<!--" not in text


def test_what_is_empty_is_seen_as_such() -> None:
    assert code("") == "<code></code>"
