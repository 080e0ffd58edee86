"""Whoever decodes a picture, a scorer, its training, the DiT's encoder, an evaluation or a trainer: the same pixels.

Each way is gone as a user goes it. What a network is given then is noted where torch calls it, and made pixels again.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from datasets import ClassLabel, Dataset, Features, Image
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import Encoder
from pictures import SIZE, Pixels, odd_pictures
from PIL import Image as PILImage
from timm.models import ResNet, save_for_hf
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.data import DataLoader

import ddgs_hub
from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.rows import write_rows
from ddgs_hub.difficulty import Scorer, extract_features, score, train_scorer
from ddgs_hub.difficulty.scorer import fold_of, image_digest
from ddgs_hub.diffusion import Codec, LatentCache, cropped_images
from ddgs_hub.diffusion.pixels import center_crop
from ddgs_hub.evaluation import Protocol, TrainTransform, ValidationTransform
from ddgs_hub.evaluation.augmentation import IMAGENET_MEAN, IMAGENET_STD
from ddgs_hub.evaluation.evaluate import evaluate
from ddgs_hub.evaluation.networks import ConvNet
from ddgs_hub.recipe import ScorerTraining
from ddgs_hub.stages.builders import ScoredBuilder

# Pillow's: pytest has warnings shown that the decoding keeps to itself.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ODD = odd_pictures()
NAMES = ["even", "odd"]
HALF = (0.5, 0.5, 0.5)
# Nothing is cropped, resized, flipped or coloured.
AS_THEY_ARE = {"network": "convnet", "width": 4, "image_size": SIZE, "crop_pct": 1, "epochs": 1, "repeats": 1}
UNCHANGED = {**AS_THEY_ARE, "crop_scale": 1, "flip": False, "color_jitter": 0, "lighting": 0, "cutmix": 0}


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """A row for each odd picture."""
    cells = [{"bytes": odd.encoded, "path": None} for odd in ODD.values()]
    features = Features(image=Image(), label=ClassLabel(names=NAMES))
    return Dataset.from_dict({"image": cells, "label": [k % 2 for k in range(len(cells))]}, features=features)


@pytest.fixture(scope="module")
def folder(rows: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as a dataset whose protocol leaves pictures as they are."""
    folder = tmp_path_factory.mktemp("odd")
    write_rows(rows, folder)
    (folder / "provenance.json").write_text(json.dumps({"recipe": {"evaluate": UNCHANGED}}))
    return folder


@pytest.fixture(scope="module")
def scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scorer")
    overlay = {"input_size": (3, SIZE, SIZE), "crop_pct": 1.0, "mean": HALF, "std": HALF}
    model = timm.create_model("test_resnet", num_classes=2, pretrained_cfg_overlay=overlay)
    save_for_hf(model, folder, model_config={"label_names": NAMES}, safe_serialization=True)
    return folder


@pytest.fixture
def seen() -> Iterator[Callable[[type], torch.Tensor]]:
    """`seen(kind)`: all that modules of this kind were given since, but in training."""
    inputs: list[tuple[torch.nn.Module, torch.Tensor]] = []

    def note(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(module, ResNet | Encoder | ConvNet) and not module.training:
            inputs.append((module, arguments[0].clone()))

    handle = register_module_forward_pre_hook(note)
    yield lambda kind: torch.cat([images for module, images in inputs if isinstance(module, kind)])
    handle.remove()


def pixels(images: torch.Tensor, mean: tuple[float, ...] = HALF, std: tuple[float, ...] = HALF) -> Pixels:
    """Normalised images as the pixels that they were."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (mean, std))
    return ((images * std + mean) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def assert_decoded(found: Pixels, rows: Dataset) -> None:
    for (what, odd), image in zip(ODD.items(), found, strict=True):
        decoded = np.asarray(decode_image({"bytes": odd.encoded}, what))
        np.testing.assert_array_equal(image, decoded, err_msg=what)
    assert len(found) == len(rows)


def test_scoring(rows: Dataset, scorer_folder: Path, seen: Callable[[type], torch.Tensor]) -> None:
    score(rows, Scorer.from_pretrained(str(scorer_folder)), num_workers=2)
    assert_decoded(pixels(seen(ResNet))[-len(rows) :], rows)


def test_features_of_baselines(rows: Dataset, scorer_folder: Path, seen: Callable[[type], torch.Tensor]) -> None:
    extract_features(rows, Scorer.from_pretrained(str(scorer_folder)))
    assert_decoded(pixels(seen(ResNet))[-len(rows) :], rows)  # a scorer that is loaded is tried first


def test_training_of_a_scorer(rows: Dataset, tmp_path: Path, seen: Callable[[type], torch.Tensor]) -> None:
    training = ScorerTraining(model="test_resnet", image_size=SIZE, folds=2, epochs=1, batch_size=4)
    train_scorer(rows, tmp_path / "scorer", training)
    folds = [fold_of(image_digest(odd.encoded), 2) for odd in ODD.values()]
    order = np.argsort(folds, kind="stable")  # each fold's pictures are tested when it is trained
    assert_decoded(pixels(seen(ResNet))[np.argsort(order)], rows)


def test_encoding_for_the_dit(rows: Dataset, tmp_path: Path, seen: Callable[[type], torch.Tensor]) -> None:
    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, sample_size=SIZE)
    LatentCache.encode(rows, Codec(vae), [0, 1], tmp_path, image_size=SIZE, flip=False)
    assert_decoded(pixels(seen(Encoder)), rows)
    assert_decoded(cropped_images(rows, SIZE).permute(0, 2, 3, 1).numpy(), rows)  # an autoencoder is trained on these


def test_evaluation(rows: Dataset, seen: Callable[[type], torch.Tensor]) -> None:
    evaluate(rows, rows, Protocol(**AS_THEY_ARE), ipc=len(rows) // 2, device="cpu")
    assert_decoded(pixels(seen(ConvNet), IMAGENET_MEAN, IMAGENET_STD), rows)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_a_trainer_loads(rows: Dataset, folder: Path, num_workers: int) -> None:
    loaded = ddgs_hub.load(folder)
    for given in (loaded.training_rows(), loaded.validation_rows(rows)):
        [batch] = DataLoader(given, batch_size=len(rows), num_workers=num_workers)
        assert_decoded(pixels(batch["image"], IMAGENET_MEAN, IMAGENET_STD), rows)


def test_a_builder(
    rows: Dataset, folder: Path, scorer_folder: Path, tmp_path: Path, seen: Callable[[type], torch.Tensor]
) -> None:
    builder = ScoredBuilder(source=str(folder), scorer=str(scorer_folder), splits=("train",), cache_dir=str(tmp_path))
    assert len(list(builder.as_streaming_dataset(split="train"))) == len(rows)
    assert_decoded(pixels(seen(ResNet))[-len(rows) :], rows)  # a scorer that is loaded is tried first


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (2, 3)])
def test_thin_and_small_pictures_pass_every_transform(size: tuple[int, int], scorer_folder: Path) -> None:
    picture, protocol = PILImage.new("RGB", size, (10, 20, 30)), Protocol(**{**AS_THEY_ARE, "crop_pct": 0.875})
    assert np.asarray(center_crop(picture, SIZE)).shape == (SIZE, SIZE, 3)
    for transform in (TrainTransform(protocol), ValidationTransform(protocol)):
        assert transform(picture).shape == (3, SIZE, SIZE)
    assert Scorer.from_pretrained(str(scorer_folder)).transform(picture).shape == (3, SIZE, SIZE)
