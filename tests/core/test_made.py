"""Results of stages, for people and for programs."""

import json
import math

from ddgs_hub.core.made import Made


def test_a_result_grows_by_lines_and_values() -> None:
    made = Made("3 images", {"images": 3}).and_also("published", commit="0123")
    assert made == Made("3 images\npublished", {"images": 3, "commit": "0123"})


def test_the_document_is_strict_json_in_ascii() -> None:
    text = Made("", {"losses": [1.5, math.nan], "class": {"λ\x1b": math.inf}}).to_json()
    assert text.isascii()
    assert json.loads(text, parse_constant=lambda name: f"not JSON: {name}") == {
        "losses": [1.5, None],
        "class": {"λ\x1b": None},
    }
