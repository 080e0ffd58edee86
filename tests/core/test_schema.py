from dataclasses import dataclass
from pathlib import Path

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.schema import MOST_BYTES, Json, Line, read_json, read_values


@dataclass
class Facts:
    rows: int
    share: float = 0.0
    changes: Line = ""
    recipe: Json | None = None


def test_json_is_read_by_its_schema_and_other_keys_are_left_out() -> None:
    facts = read_json(b'{"rows": 3, "share": 1, "changes": "a\\nb", "more": [1]}', Facts, "facts.json")
    assert facts == Facts(rows=3, share=1.0, changes="a b")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"rows": "3"}',
        b'{"rows": 3.5}',
        b'{"rows": true}',
        b'{"rows": null}',
        b'{"rows": ' + b"9" * 6000 + b"}",
        b'{"rows": 1, "recipe": {"seed": ' + b"9" * 6000 + b"}}",
        b'{"rows": 1, "recipe": {"seed": 9223372036854775808}}',
        b'{"rows": 1, "recipe": {"seed": NaN}}',
        b'{"rows": 1, "recipe": {"seed": [1e999]}}',
        b'{"rows": 1, "recipe": ' + b'{"a": ' * 5000 + b"1" + b"}" * 5001,
        b'{"rows": 1, "recipe": []}',
        b'{"rows": 1' + b" " * MOST_BYTES + b"}",
    ],
)
def test_anything_else_is_refused_in_one_sentence(text: bytes) -> None:
    with pytest.raises(InputError, match=r"^facts\.json of ada/set ") as refused:
        read_json(text, Facts, "facts.json of ada/set")
    assert len(str(refused.value)) < 400


def test_a_file_that_cannot_be_read_or_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path / "none.json", Facts, "none.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(InputError, match="larger than 16 MB"):
        read_json(tmp_path / "large.json", Facts, "large.json")


def test_values_are_read_as_json_is() -> None:
    assert read_values({"rows": 3}, Facts, "facts").rows == 3
    with pytest.raises(InputError, match="'rows'"):
        read_values({"rows": "3"}, Facts, "facts")
