"""What strangers write into `provenance.json` is read by a schema, or refused in one sentence that names the key."""

import json
from pathlib import Path
from typing import Any

import pytest

from ddgs_hub.core.errors import InputError
from ddgs_hub.hub.joining import ScoredSource
from ddgs_hub.hub.provenance import Provenance, parse_provenance, provenance_values, read_provenance

WHERE = "acme/set at 12345678"
CONTENT = {"rows": "0" * 64, "num_rows": 4, "mean_difficulty": 0.5, "pool": "a pool", "dit": "a DiT", "scorer": "s@1"}


def read(folder: Path, text: str | bytes) -> Provenance:
    path = folder / "provenance.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_provenance(path, WHERE)


def test_what_ours_tells(tmp_path: Path) -> None:
    values = {
        "kind": "scored",
        "recipe": {"seed": 3},
        "content": CONTENT,
        "published": {"version": "v1.0.0", "changes": "a\x1b[2Jb\nc", "files": ["data/a.parquet"]},
        "source": {"id": "acme/in1k", "commit": "5b" * 20, "split": "validation", "more": 1},
        "of_tomorrow": [1],
    }
    told = read(tmp_path, json.dumps(values))
    assert told.content is not None
    assert told.content.to_dict() == CONTENT
    assert told.published.changes == "a\N{REPLACEMENT CHARACTER}[2Jb c"
    assert told.row_pattern == "data/validation-*.parquet"
    assert Provenance().row_pattern == "data/train-*.parquet"
    # To be compared with ours, all is kept.
    assert provenance_values(tmp_path / "provenance.json", WHERE) == values


@pytest.mark.parametrize(
    "text",
    ["", "{", "made by hand", "[1]", "3", "null", b"\xff\xfe", '{"recipe": "flour", "published": 1}', '{"a": {}}'],
)
def test_a_file_of_somebody_else_tells_nothing(tmp_path: Path, text: str | bytes) -> None:
    assert read(tmp_path, text) == Provenance()
    assert read_provenance(tmp_path / "none.json", WHERE) == Provenance()


DEEP = '{"content": {}, "a": ' + "[" * 100_000 + "]" * 100_000 + "}"
REFUSED: dict[str, Any] = {
    "nested deeply": DEEP,
    "nested below": '{"content": {}, "recipe": ' + '{"a": ' * 300 + "1" + "}" * 301,
    "a number of 6,000 digits": '{"content": {"num_rows": ' + "9" * 6000 + "}}",
    "one that is not ours": '{"content": {}, "a": ' + "9" * 6000 + "}",
    "a number that no column holds": '{"content": {"num_rows": 9223372036854775808}}',
    "no number": '{"content": {"mean_difficulty": NaN}}',
    "too large": '{"content": {}}' + " " * 2**24,
    "content.rows": {"rows": "0"},
    "content.num_rows": {"num_rows": "4"},
    "content.num_rows ": {"num_rows": -1},
    "content.num_rows  ": {"num_rows": True},
    "content.mean_difficulty": {"mean_difficulty": "0.5"},
    "content.mean_difficulty ": {"mean_difficulty": 1.5},
    "content.pool": {"pool": {"a": 1}},
    "kind": {"kind": ["dit"], "content": {}},
    "recipe": {"recipe": {"note": "x" * 200_000}},
    "versions": {"versions": {str(k): "1" for k in range(1000)}, "content": {}},
    "published.version": {"published": {"version": 1}},
    "published.files": {"published": {"files": "README.md"}},
    "published.files ": {"published": {"files": ["a"] * 100_001}},
    "published.files.0": {"published": {"files": ["../../.ssh/id_rsa"]}},
    "published.files.0 ": {"published": {"files": ["/etc/passwd"]}},
    "published.files.0  ": {"published": {"files": ["data\\..\\x"]}},
    "published.files.0   ": {"published": {"files": [""]}},
    "source.commit": {"source": {"commit": "main"}},
    "source.split": {"source": {"split": "../../*"}},
    "source.split ": {"source": {"split": "[a-z]*"}},
    "source.split  ": {"source": {"split": ""}},
    "source.config": {"source": {"config": 1}},
    "datasets.0": {"datasets": ["/home/me/images"], "content": {}},
    "base_model": {"base_model": "../base", "content": {}},
    "steps": {"steps": "3", "content": {}},
    "license": {"license": "mit", "content": {}},
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_none_of_ours_tells_is_refused_in_one_sentence(tmp_path: Path, key: str) -> None:
    values = REFUSED[key]
    if isinstance(values, dict):
        values = {"content": values} if key.startswith("content.") else values
        values = json.dumps(values)
    with pytest.raises(InputError, match=f"^provenance.json of {WHERE} ") as refused:
        read(tmp_path, values)
    assert len(str(refused.value)) < 500
    assert isinstance(REFUSED[key], str) or f"'{key.strip()}'" in str(refused.value)


PATHS = ["/etc/passwd", "./runs", "../runs", "~/images", "~", ".", "..", "C:\\images", "C:/images", "\\\\host\\share"]
PATHS += [
    "hf://datasets/a/b",
    "http://203.0.113.1/a",
    "file:///etc/passwd",
    "a/b/c",
    "a b",
    "",
    "a/b\n",
    "a//b",
    "a/../b",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_source_is_on_the_hub_and_no_path(path: str) -> None:
    with pytest.raises(InputError, match=r"'source\.id': it is no id of a repository on the Hub"):
        parse_provenance({"source": {"id": path}}, WHERE)


@pytest.mark.parametrize("name", ["runs", "digits", "acme/images", "canary.parquet"])
def test_a_source_that_is_called_like_something_here_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = parse_provenance({"source": {"id": name}}, WHERE)
    assert ScoredSource.read(told, "acme/scores").id == name
    Path(name).mkdir(parents=True)
    with pytest.raises(InputError, match=f"^acme/scores has scores of the dataset {name}, and a file or folder here"):
        ScoredSource.read(told, "acme/scores")
    assert ScoredSource.read(told, "acme/scores", instead=f"./{name}").id == f"./{name}"
