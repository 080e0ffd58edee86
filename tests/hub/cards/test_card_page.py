"""The cards of a run of the digits, published, as pages in a real browser, which takes pictures to be looked at.

CARD_PICTURES=folder python -m pytest tests/hub/test_card_page.py    # keeps them
"""

import os
import re
from pathlib import Path

import pytest
from card_page import BROWSER, look, write_page
from hub_server import HubServer
from huggingface_hub import HfApi
from PIL import Image as PILImage

from ddgs_hub.hub import publish
from ddgs_hub.hub.cards import with_repository
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages.run import Run

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium: apt-get install chromium")

REPO = "acme/digits-ddgs-ipc10"
QUICK = [
    *("finetune.epochs=0.1", "pool.size=2", "pool.num_steps=4", "score.training.folds=2", "score.training.epochs=1"),
    *("evaluate.epochs=2", "evaluate.evaluations=2", "evaluate.repeats=2", "evaluate.width=8"),
]
HEADINGS = {
    "dataset": [
        "Digits, distilled to 10 images a class",
        *("How to load", "Columns", "How it was made", "Difficulty", "Evaluation", "Limits", "How to reproduce"),
        *("Versions", "Citation"),
    ],
    "dit": [
        "digits-ddgs-dit",
        *("How to generate", "The adapter", "Classes", "How it was trained", "Limits", "How to reproduce"),
        *("Versions", "Citation"),
    ],
}
# Of each table the numbers of cells that its rows have, which must be one, and the number of rows.
TABLES = {"dataset": [([3], 8), ([2], 11), ([8], 10), ([3], 4)], "dit": [([2], 10), ([2], 11)]}
PICTURES = {"dataset": ["figures/sheet.png", "figures/difficulty.png", "figures/distributions.png"], "dit": []}
RAW = r"\|-|\{[{%]|%\}|\*\*|```|^#+ |^\||!\[|\]\(|<!--|OWNER|VERSION|None"  # markup and placeholders


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the digits with few steps."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    Run(load_recipe("digits", QUICK), folder)()
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the browser's pictures go."""
    folder = Path(os.environ.get("CARD_PICTURES", tmp_path / "pictures")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def pages(run: Path, hub: HubServer, tmp_path: Path) -> dict[str, Path]:
    """The pages of the two cards: the dataset's out of its repository, the DiT's as it will be there."""
    hub.add_user("alice", "hf_alice", orgs=["acme"])
    publish(run, REPO, api=HfApi(endpoint=hub.url, token="hf_alice"))
    repository = hub.repository("dataset", REPO)
    (tmp_path / "figures").mkdir()
    for name in PICTURES["dataset"]:
        (tmp_path / name).write_bytes(repository.read(name))
    cards = {
        "dataset": repository.read("README.md").decode(),
        "dit": with_repository((run / "dit/README.md").read_text(encoding="utf-8"), "acme/digits-dit", "v1.0.0"),
    }
    return {name: write_page(card, tmp_path / f"{name}.html") for name, card in cards.items()}


@pytest.mark.parametrize("width", [1200, 500])
def test_cards_look_right(pages: dict[str, Path], width: int, pictures: Path, run: Path, tmp_path: Path) -> None:
    for name, page in pages.items():
        picture = pictures / f"{name}-{width}.png"
        facts = look(page, width, picture, tmp_path / f"profile-{name}")
        assert facts["overflow"] == 0
        assert facts["headings"] == HEADINGS[name]
        assert [(table["columns"], table["rows"]) for table in facts["tables"]] == TABLES[name]
        if width == 1200:  # on a telephone the difficulties and the code scroll in their boxes
            assert [table["overflow"] for table in facts["tables"]] == [0] * len(TABLES[name])
            assert facts["cut"] == []
        assert [source for source, _, _ in facts["images"]] == PICTURES[name]
        assert all(own > 300 and on_page > width / 3 for _, own, on_page in facts["images"])
        assert re.findall(RAW, facts["text"], re.MULTILINE) == []
        assert str(run.parent) not in facts["text"]
        with PILImage.open(picture) as taken:
            assert taken.width == width
            assert taken.height >= facts["height"]
            assert len(taken.convert("L").getcolors()) > 50  # something is on it


def test_a_page_that_is_wrong_is_seen_to_be(tmp_path: Path) -> None:
    card = "---\ntags:\n- one\n---\n# Title\n\n![gone](figures/gone.png)\n\n| a |\n|---|---|\n\n" + "x" * 300 + "\n"
    facts = look(write_page(card, tmp_path / "page.html"), 500, tmp_path / "page.png", tmp_path / "profile")
    assert facts["overflow"] > 0
    assert facts["images"][0][:2] == ["figures/gone.png", 0]
    assert facts["tables"] == []
    assert "|---|---|" in facts["text"]
