"""Pictures that are bombs, broken or none: one sentence with the row, wherever pictures are decoded.

The bad one is in row 3 of eight. Each way is gone in this process: `score`, `baseline`, `train-scorer`, `pretrain`,
`finetune`, `evaluate`, `ddgs_hub.load` with and without workers, and a builder; some of them by the command line too.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import timm
import yaml
from datasets import ClassLabel, Dataset, Features, Image
from diffusers import AutoencoderKL
from pictures import BAD, BOMB, SIZE, noise, saved
from timm.models import save_for_hf
from torch.utils.data import DataLoader

import ddgs_hub
from ddgs_hub.cli import main as cli
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import parquet_path, write_tables
from ddgs_hub.difficulty import Scorer, extract_features, score, train_scorer
from ddgs_hub.diffusion import Codec, LatentCache, cropped_images
from ddgs_hub.evaluation import Protocol
from ddgs_hub.evaluation.evaluate import evaluate
from ddgs_hub.recipe import ScorerTraining
from ddgs_hub.stages.builders import ScoredBuilder

# Pillow's: pytest has warnings shown that the decoding keeps to itself.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NAMES = ["even", "odd"]
BAD_ROW = 3
PROTOCOL = {"network": "convnet1", "width": 4, "image_size": SIZE, "epochs": 1, "repeats": 1}
TRAINING = {"model": "test_resnet", "image_size": SIZE, "folds": 2, "epochs": 1}
RECIPE = {
    "name": "tiny",
    "data": {"original": "original", "image_size": SIZE},
    "codec": {"encoder": None, "decoder": None, "training": {"block_out_channels": [8, 8], "steps": 1}},
    "model": {"base": None, "label_space": "dataset", "pretraining": {"hidden_size": 16, "depth": 1, "num_heads": 2}},
    "score": {"scorer": None, "training": TRAINING},
    "evaluate": PROTOCOL,
    "hub": {"dataset": "tiny", "pretty_name": "Tiny"},
}


def table_of(bad: dict[str, Any]) -> pa.Table:
    """Eight rows, as another program may have written them."""
    cells = [{"bytes": saved(noise(k, SIZE, SIZE, 3), "PNG"), "path": None} for k in range(8)]
    cells[BAD_ROW] = bad
    features = Features(image=Image(), label=ClassLabel(names=NAMES))
    return pa.table({"image": cells, "label": [k % 2 for k in range(8)]}, schema=features.arrow_schema)


def write(folder: Path, table: pa.Table) -> Path:
    for split in ("train", "validation"):
        write_tables([table], Features.from_arrow_schema(table.schema), parquet_path(folder, split))
    return folder


@pytest.fixture(scope="module")
def scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place") / "scorer"
    model = timm.create_model("test_resnet", num_classes=2, pretrained_cfg_overlay={"input_size": (3, SIZE, SIZE)})
    save_for_hf(model, folder, model_config={"label_names": NAMES}, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def scorer(scorer_folder: Path) -> Scorer:
    return Scorer.from_pretrained(str(scorer_folder))


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, sample_size=SIZE))


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_every_way_refuses_it(bad: dict, reason: str, tmp_path: Path, scorer: Scorer, codec: Codec) -> None:
    rows, output = Dataset(table_of(bad)), tmp_path / "output"
    ways: dict[str, Callable[[], Any]] = {
        "score": lambda: score(rows, scorer, num_workers=0),
        "baseline": lambda: extract_features(rows, scorer, num_workers=0),
        "train-scorer": lambda: train_scorer(rows, output / "scorer", ScorerTraining(**TRAINING)),
        "pretrain": lambda: cropped_images(rows, SIZE),
        "finetune": lambda: LatentCache.encode(rows, codec, [0, 1], output / "dit", image_size=SIZE, flip=False),
        "evaluate": lambda: evaluate(rows, rows, Protocol(**PROTOCOL), ipc=4, device="cpu"),
    }
    for way, go in ways.items():
        with pytest.raises(InputError, match=f"^the image of row {BAD_ROW}\\b.* cannot be decoded \\(.*{reason}"):
            go()
        assert [path for path in output.glob("*/*") if not path.name.startswith(".")] == [], way


@pytest.mark.parametrize("what", BAD)
def test_what_is_loaded_and_built_refuses_it(what: str, tmp_path: Path, scorer_folder: Path) -> None:
    folder = write(tmp_path / "rows", table_of(BAD[what][0]))

    def build() -> None:
        builder = ScoredBuilder(
            source=str(folder), scorer=str(scorer_folder), splits=("train",), cache_dir=str(tmp_path / "cache")
        )
        builder.download_and_prepare()

    for go in (lambda: ddgs_hub.load(folder).training_rows()[BAD_ROW], build):
        with pytest.raises(InputError, match=f"row {BAD_ROW}\\b"):
            go()
    assert list((tmp_path / "cache").rglob("*.arrow")) == []


def test_workers_of_a_trainer_say_it_in_the_same_sentence(tmp_path: Path) -> None:
    loaded = ddgs_hub.load(write(tmp_path, table_of({"bytes": BOMB})))
    with pytest.raises(InputError) as here:
        loaded.training_rows()[BAD_ROW]
    loader = DataLoader(loaded.training_rows(), batch_size=8, num_workers=1)
    with pytest.raises(InputError) as there:
        list(loader)
    assert str(there.value) == str(here.value)


def test_rows_keep_their_numbers_where_they_are_chosen_and_shuffled(tmp_path: Path) -> None:
    loaded = ddgs_hub.load(write(tmp_path, table_of({"bytes": b"no image"})))
    chosen = dataclasses.replace(loaded, rows=loaded.rows.select([7, BAD_ROW, 5, 0]))
    for rows in (loaded.training_rows().shuffle(seed=1), loaded.validation_rows(loaded.rows).select([1, BAD_ROW])):
        with pytest.raises(InputError, match=f"the image of row {BAD_ROW} cannot be decoded"):
            rows[:]
    with pytest.raises(InputError, match="the image of row 1 cannot be decoded"):  # of those that are chosen here
        chosen.training_rows().shuffle(seed=1)[:]
    assert chosen.training_rows().select([0, 2, 3])["label"] == [1, 1, 0]


@pytest.mark.parametrize(
    "command",
    [
        "score rows --scorer scorer --output made",
        "train-scorer --original rows --recipe tiny.yaml --output made",
        "pretrain --original rows --recipe tiny.yaml --output made",
        "baseline herding --original rows --scorer scorer --ipc 1 --output made",
        "evaluate rows --validation rows --protocol tiny.yaml --json",
    ],
    ids=lambda command: command.split()[0],
)
def test_commands_say_it_in_a_line(
    command: str, scorer_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = scorer_folder.parent
    write(place / "rows", table_of({"bytes": BOMB}))
    (place / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    there = sorted(place.rglob("*"))
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["ddgs-hub", *command.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capfd.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert f"the image of row {BAD_ROW}" in said
    assert sorted(place.rglob("*")) == there
