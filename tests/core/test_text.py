import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import one_line, printable, quoted


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J\x1b[31m",
        "\x1b]0;title\x07",
        "\u202eevil",
        "\u2066a\u2069",
        "\u200b",
        "\x9b31m",
        "\x00",
        "\u2028",
        "\udce9",
    ],
)
def test_what_a_terminal_would_obey_is_replaced(text: str) -> None:
    for shown in (one_line(f"a{text}b"), printable(f"a{text}b"), str(InputError(f"a{text}b")), quoted(f"a{text}b")):
        assert shown.isprintable(), shown


def test_one_line_has_no_ends_of_lines_and_an_end() -> None:
    assert one_line("a\r\n  b\tc\u2029d") == "a b c d"
    assert one_line("x" * 3_000_000).endswith("x… (2,998,000 more characters)")
    assert len(one_line("x" * 3_000_000)) < 2_100


def test_printable_lines_keep_their_ends_and_letters_of_all_languages() -> None:
    assert printable("Käse\n→ 犬 0.5 ± 0.1 λ\n") == "Käse\n→ 犬 0.5 ± 0.1 λ\n"
    assert printable("a\tb\rc") == "a   b\N{REPLACEMENT CHARACTER}c"
