"""Front matter: what the Hub takes for it, and nothing that a few lines blow up. More is in test_hostile_cards.py."""

import pytest
from huggingface_hub import RepoCard

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import join_card, read_front_matter, read_mapping, split_card

CARDS = [
    "---\na: 1\n---\n# Text\n",
    "\n  \n---\na: 1\n---\n# Text\n",
    "---\r\na: 1\r\n---\r\n# Text\r\n",
    "---\na: 1\n---",
    "---\n---\na: 1\n---\n# Text\n",  # a document of YAML may begin so
    "# Text\n---\na: 1\n---\n",
    "--- \na: 1\n---\n",
    "",
]


@pytest.mark.parametrize("card", CARDS)
def test_front_matter_is_what_the_hub_takes_for_it(card: str) -> None:
    theirs = RepoCard(card)
    metadata, text = split_card(card, "it")
    assert metadata == theirs.data.to_dict()
    assert text == theirs.text.replace("\r\n", "\n")


def test_a_card_without_values_or_behind_a_byte_order_mark() -> None:
    assert split_card("---\n---\n# Text\n", "it") == ({}, "# Text\n")
    assert split_card("\ufeff---\na: 1\n---\n", "it") == ({"a": 1}, "")


def test_a_card_is_split_into_what_it_was_joined_from() -> None:
    metadata = {"license": "mit", "configs": [{"config_name": "---\nb: 2\n---\n"}], "tags": None}
    assert split_card(join_card(metadata, "\n# Text\n"), "it") == (metadata, "\n# Text\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a " + "x" * 10_000 + "\nb: [" + "*a, " * 1_000 + "]\n", "is too large, or nested too deeply"),
        ("a: &a [" + "x, " * 1_000 + "]\nb: [" + "*a, " * 1_000 + "]\n", "is too large, or nested too deeply"),
        ("[" * 40 + "]" * 40, "is no mapping"),
        ("a: " + "[" * 60 + "]" * 60, "is too large, or nested too deeply"),
        ("1: a", "has a key that is no text: quote it"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_what_is_refused_is_said_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"^README.md of acme/x {reason}.*(there first)$"):
        read_mapping(text, "README.md of acme/x")
    with pytest.raises(InputError, match=f"^the front matter of README.md of acme/x {reason}"):
        read_front_matter(f"---\n{text}\n---\n", "README.md of acme/x")


def test_aliases_of_little_are_read() -> None:
    assert read_mapping("a: &a [x]\nb: *a\n", "it") == {"a": ["x"], "b": ["x"]}
