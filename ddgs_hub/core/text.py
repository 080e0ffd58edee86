"""Text that a stranger may have written, made harmless before it is shown in a terminal or a message."""

import unicodedata

MOST_CHARACTERS = 2_000  # of a message; a sentence that names a value has a few hundred
MOST_OF_A_NAME = 80
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # in place of each character that a terminal would obey
# Control characters, formatting (among it bidirectional marks), lone surrogates, private use, unassigned, separators.
ACTING_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def one_line(text: object, most: int = MOST_CHARACTERS) -> str:
    """The text in one line, without anything that acts on a terminal.

    Terminal escapes, control characters and bidirectional marks are replaced, each by one visible character. Runs of
    blanks and line ends become single blanks. Of a longer text, the first `most` characters are kept, with a note of
    how many follow.
    """
    words = _cut(str(text), most).split()
    return "".join(REPLACEMENT if _acts(character) else character for character in " ".join(words))


def printable(text: str) -> str:
    """Several lines that may quote a stranger: everything but their line ends is made harmless, and nothing is cut."""
    characters = text.expandtabs(4)
    return "".join(REPLACEMENT if character != "\n" and _acts(character) else character for character in characters)


def quoted(name: object) -> str:
    """A name in quotation marks, for messages; long names are cut."""
    return f"'{one_line(name, MOST_OF_A_NAME)}'"


def _acts(character: str) -> bool:
    return unicodedata.category(character) in ACTING_CATEGORIES


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"
