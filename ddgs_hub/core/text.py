"""Text that a stranger may have written, made harmless before anybody is shown it."""

import unicodedata

MOST = 2_000  # characters of a message; a sentence that names a value has a few hundred
MOST_OF_A_NAME = 80
UNSEEN = "\N{REPLACEMENT CHARACTER}"  # stands where something was that a terminal would have obeyed
# Control characters, formatting (bidirectional marks among it), lone surrogates, private use, unassigned, separators.
OBEYED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def one_line(text: object, most: int = MOST) -> str:
    """The text in one line of at most `most` characters and a note of what was cut, without anything that acts.

    Terminal escapes, control characters and bidirectional marks are replaced, each by one visible character; blanks
    and line ends become single blanks.
    """
    words = _cut(str(text), most).split()
    return "".join(UNSEEN if unicodedata.category(c) in OBEYED else c for c in " ".join(words))


def printable(text: str) -> str:
    """Lines of our own, which may quote a stranger's, with all but their line ends made harmless; nothing is cut."""
    return "".join(UNSEEN if c != "\n" and unicodedata.category(c) in OBEYED else c for c in text.expandtabs(4))


def quoted(name: object) -> str:
    """A name as a message quotes it: in one short line, between quotation marks."""
    return f"'{one_line(name, MOST_OF_A_NAME)}'"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"
