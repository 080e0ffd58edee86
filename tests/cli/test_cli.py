"""The command line where nothing is wrong: help, results as text and as JSON, and what overrides what."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PILImage
from timm.models import save_for_hf

from ddgs_hub.cli import main as cli
from ddgs_hub.core.rows import read_rows, undecoded, write_rows

Call = Callable[..., str]
COMMANDS = [command.name or getattr(command.callback, "__name__", "") for command in cli.app.registered_commands]


def make_rows(count: int) -> Dataset:
    def encoded(seed: int) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        PILImage.fromarray(pixels).save(buffer, "JPEG")
        return buffer.getvalue()

    columns = {
        "image": [{"bytes": encoded(k), "path": None} for k in range(count)],
        "label": [k % 2 for k in range(count)],
    }
    return Dataset.from_dict(columns, features=Features(image=Image(), label=ClassLabel(names=["cat", "dog"])))


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line in an empty folder and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(command: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ddgs-hub", *command.split()])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        return capsys.readouterr().out

    return call


@pytest.fixture
def scorer(tmp_path: Path) -> Path:
    """A tiny untrained classifier of cats and dogs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("test_resnet", num_classes=2)
    save_for_hf(model, tmp_path / "scorer", {"label_names": ["cat", "dog"]}, safe_serialization=True)
    return tmp_path / "scorer"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(call: Call, name: str) -> None:
    text = " ".join(call(f"{name} --help").split())
    assert re.search(rf"Example: (ddgs-hub|accelerate launch -m ddgs_hub) {name}\b", text)


@pytest.mark.parametrize("command", ["", "--help"])
def test_the_help_names_every_command(call: Call, command: str) -> None:
    text = call(command)
    assert text.startswith("Usage: ddgs-hub [OPTIONS] COMMAND [ARGS]...")
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in COMMANDS)


def test_a_source_of_ones_own_is_read_without_the_recipes_configuration(call: Call, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_rows(make_rows(4), tmp_path / "mine", split)
    (tmp_path / "recipe.yaml").write_text(
        "{name: x, data: {original: some/dataset, config: 160px, revision: main}, hub: {dataset: x, pretty_name: X}}"
    )
    printed = call("prepare --recipe recipe.yaml --original mine --output out")
    assert printed == "4 training and 4 validation images of 2 classes\n"
    assert len(read_rows(tmp_path / "out", "validation")) == 4


def test_score_then_sample(call: Call, tmp_path: Path, scorer: Path) -> None:
    for name, count in (("original", 12), ("pool", 8)):
        write_rows(make_rows(count), tmp_path / name)
        result = json.loads(call(f"score {name} --scorer scorer --output {name}-scored --json"))
        assert (result["images"], sum(result["histogram"])) == (count, count)
        scored = read_rows(tmp_path / f"{name}-scored")
        assert [row["image"] for row in undecoded(scored)] == [row["image"] for row in undecoded(make_rows(count))]
        np.testing.assert_allclose(np.mean(scored["difficulty"]), result["mean_difficulty"], rtol=1e-6)
    printed = call("sample --pool pool-scored --original original-scored --ipc 3 --output distilled --seed 1")
    assert printed.startswith("6 images, mean difficulty 0.")
    distilled = read_rows(tmp_path / "distilled")
    assert distilled["label"][:] == [0, 0, 0, 1, 1, 1]
    assert "selected" not in read_rows(tmp_path / "pool-scored").column_names  # the pool is the user's own


def test_score_as_text(call: Call, tmp_path: Path, scorer: Path) -> None:
    write_rows(make_rows(4), tmp_path / "rows")
    lines = call("score rows --scorer scorer --output out").splitlines()
    assert re.fullmatch(r"4 images, mean difficulty 0\.\d{3}, \d+ % above 0\.1", lines[0])
    assert re.fullmatch(r"\d+ images/s, \d+\.\d\d GiB at peak", lines[-1])


def test_baseline_at_random(call: Call, tmp_path: Path) -> None:
    write_rows(make_rows(10), tmp_path / "original")
    assert call("baseline random --original original --ipc 2 --seed 3 --output out") == "4 real images by random\n"
    first = read_rows(tmp_path / "out")
    call("baseline random --original original --ipc 2 --seed 3 --output again")
    assert [row["image"] for row in undecoded(first)] == [
        row["image"] for row in undecoded(read_rows(tmp_path / "again"))
    ]
    assert first["label"][:] == [0, 0, 1, 1]


def test_generate_scores_on_the_way_as_score_does_afterwards(call: Call, timm_folder: Path) -> None:
    settings = "--per-class 2 --set pool.num_steps=3 --set pool.batch_size=8"
    call(f"generate --recipe digits {settings} --scorer {timm_folder} --output scored")
    call(f"generate --recipe digits {settings} --output pool")
    call(f"score pool --scorer {timm_folder} --output afterwards")
    ours, expected = undecoded(read_rows("scored")), undecoded(read_rows("afterwards"))
    assert ours.column_names == expected.column_names
    assert ours.remove_columns("difficulty")[:] == expected.remove_columns("difficulty")[:]
    # Afterwards bfloat16 settles some, where the hardware has it: to 1e-3.
    np.testing.assert_allclose(ours["difficulty"], expected["difficulty"], atol=1e-3)
