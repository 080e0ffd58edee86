"""A path of what is not here is said to be missing, in every command: the Hub is not asked for it."""

import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants
from test_bad_input import TINY

from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import refuse_missing

# Every argument and option that takes a folder; `{}` is the place. What comes before it is in the folder of the test.
CALLS = {
    "init": ["{} --output new.yaml"],
    "run": ["tiny.yaml --original {}"],
    "prepare": ["--recipe tiny.yaml --output out --original {}"],
    "train-scorer": ["--recipe tiny.yaml --output out --original {}"],
    "pretrain": ["--recipe tiny.yaml --output out --original {}"],
    "finetune": [
        "--recipe tiny.yaml --output out --original {}",
        "--recipe tiny.yaml --output out --original here --base {}",
    ],
    "generate": ["--recipe tiny.yaml --output out --dit {}", "--recipe tiny.yaml --output out --scorer {}"],
    "score": ["{} --output out", "here --output out --scorer {}"],
    "sample": ["--output out --pool {}", "--output out --pool here --original {}"],
    "baseline": ["random --output out --original {}", "herding --output out --original here --scorer {}"],
    "evaluate": [
        "{} --protocol tiny.yaml",
        "here {} --protocol tiny.yaml",
        "here --protocol tiny.yaml --validation {}",
    ],
    "figures": ["{}"],
    "explore": ["{}", "here --original {}"],
    "reproduce": ["table1 --recipe tiny.yaml --original {}"],
    "publish": ["{} --repo acme/rows"],
}
NO_PLACE = {"demo", "recipes", "versions", "diff"}  # these take names alone
PLACES = ["./nowhere", "/nowhere/at/all", "here/nothing", "nowhere/", "~/nowhere", "no/thing/here"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty folder `here` and a recipe."""
    place = tmp_path_factory.mktemp("place")
    (place / "here").mkdir()
    (place / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return place


def test_all_commands_are_among_these() -> None:
    assert set(CALLS) | NO_PLACE == set(cli.COMMANDS)


@pytest.mark.parametrize("missing", PLACES)
@pytest.mark.parametrize("command", [f"{name} {line}" for name, lines in CALLS.items() for line in lines])
def test_it_is_said(
    place: Path, command: str, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setattr(sys, "argv", ["ddgs-hub", *command.format(missing).split()])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1), err
    said = {missing, str(Path(missing))}  # as it was given, or as Python writes a path
    assert any(err.startswith(f"ddgs-hub: there is no folder {name}: check the path") for name in said), err
    assert sorted(path.name for path in place.iterdir()) == ["here", "tiny.yaml"]


@pytest.mark.parametrize(
    "name", ["digits", "acme/rows", "acme/rows@v1.0.0", "here/rows@main", "hf-hub:timm/resnet50", ""]
)
def test_what_can_be_a_repository_may_pass(place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    refuse_missing(name)


def test_the_way_out_where_a_folder_here_has_the_name_of_an_owner(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(InputError, match="there is no folder here/rows: check the path, or give here/rows@main if a"):
        refuse_missing("here/rows")
