"""The base of the recipe `imagenette64`, in the time that is left: small images, a plan, a training that goes on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage
from sklearn.datasets import load_sample_images

from benchmarks.measure import best_device, synchronize
from ddgs_hub.core.rows import read_rows, write_rows
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.diffusion import Codec, LatentCache, cropped_images, new_dit, pretrain, train_autoencoder
from ddgs_hub.diffusion.pixels import center_crop
from ddgs_hub.original import SUBSETS
from ddgs_hub.recipe import Pretraining, load_recipe
from ddgs_hub.stages.base import make_base
from ddgs_hub.stages.original import make_original

RECIPE = "imagenette64"
SUBSET = SUBSETS["imagenette"]
SPLITS = ("train", "validation")
MOST_BYTES = 15 * 2**20  # of all weights, in half precision
HEADERS = 2**16  # bytes, of both files
QUALITY = 90  # of JPEGs
AUTOENCODER_SHARE = 0.25  # of the time that is planned for training, at most
TRAINED_SHARE = 0.85  # of the time: the rest is for starting, encoding and writing
SAVED_EVERY = 20.0  # seconds
FEWEST = 20  # steps, where no time is left
MADE_UP = 4  # images of a class and split


def pack(source: str, output: Path) -> None:
    """Writes ImageNette in small: JPEGs of the recipe's size, cropped as the training crops, in Hub layout.

    Raises:
        InputError: there are no such images, or `output` cannot be written.
    """
    recipe = load_recipe(RECIPE, [f"data.original={source}"])
    with TemporaryDirectory() as whole, staged_folder(output) as folder:
        make_original(recipe, Path(whole) / "original")
        for split in SPLITS:
            rows = read_rows(Path(whole) / "original", split)
            cells = [_jpeg(center_crop(row["image"], recipe.data.image_size)) for row in rows]
            write_rows(_rows(cells, list(rows["label"])), folder, split)


def make_up(output: Path) -> None:
    """Writes a few cuts of two photographs with ImageNette's labels: enough to try the training, and no more."""
    photos = load_sample_images().images
    with staged_folder(output) as folder:
        for number, split in enumerate(SPLITS):
            labels = [k % len(SUBSET.wnids) for k in range(MADE_UP * len(SUBSET.wnids))]
            cuts = [photos[k % 2][5 * k : 5 * k + 64, 100 * number : 100 * number + 64] for k in range(len(labels))]
            write_rows(_rows([_jpeg(PILImage.fromarray(cut)) for cut in cuts], labels), folder, split)


def _rows(cells: list[dict[str, Any]], labels: list[int]) -> Dataset:
    features = Features(image=Image(), label=ClassLabel(names=list(SUBSET.class_names)), wnid=Value("string"))
    wnids = [SUBSET.wnids[label] for label in labels]
    return Dataset.from_dict({"image": cells, "label": labels, "wnid": wnids}, features=features)


def _jpeg(image: PILImage.Image) -> dict[str, Any]:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    return {"bytes": buffer.getvalue(), "path": None}


def plan(original: str, folder: str, seconds: float, timed_steps: int, values: list[str]) -> dict[str, Any]:
    """Prepares the images, times both trainings, and chooses how long they are.

    Args:
        original: folder of the images.
        folder: where they are written, as `prepare` does.
        seconds: that are left, for all that is to come.
        timed_steps: how many steps are timed.
        values: of the recipe that are others, as `--set` takes them.

    Returns:
        `values`, with those that were chosen; `depth`; steps and seconds a step of both trainings.
    """
    recipe = load_recipe(RECIPE, [*values, f"data.original={original}"])
    make_original(recipe, Path(folder))
    autoencoder, training = recipe.codec.training, recipe.model.pretraining
    assert autoencoder is not None
    assert training is not None
    images = cropped_images(read_rows(folder), recipe.data.image_size)
    vae, _ = train_autoencoder(images, replace(autoencoder, steps=1), flip=True)
    shape = Codec(vae).latent_shape(recipe.data.image_size)
    training = replace(training, depth=_depth(training, shape, _bytes(vae)))
    mean = torch.randn(2, len(images), *shape)
    cache = LatentCache(mean, torch.full_like(mean, -5.0), torch.arange(len(images)) % len(SUBSET.wnids))
    classes = len(SUBSET.wnids)
    slow = _per_step(lambda steps: train_autoencoder(images, replace(autoencoder, steps=steps), flip=True), timed_steps)
    step = _per_step(lambda steps: pretrain(cache, classes, replace(training, steps=steps)), timed_steps)
    left = TRAINED_SHARE * seconds
    first = max(min(autoencoder.steps, int(AUTOENCODER_SHARE * left / slow)), FEWEST)
    steps = max(min(training.steps, int((left - first * slow) / step)), FEWEST)
    chosen = {
        "codec.training.steps": first,
        "codec.training.save_every": max(int(SAVED_EVERY / slow), 1),
        "model.pretraining.depth": training.depth,
        "model.pretraining.steps": steps,
        "model.pretraining.save_every": max(int(SAVED_EVERY / step), 1),
    }
    return {
        "values": [*values, *(f"{name}={value}" for name, value in chosen.items())],
        "depth": training.depth,
        "autoencoder_steps": first,
        "autoencoder_seconds_a_step": slow,
        "steps": steps,
        "seconds_a_step": step,
    }


def train(folder: str, base: str, values: list[str]) -> dict[str, Any]:
    """`pretrain`, as a user calls it; a call after one that was killed goes on."""
    return make_base(load_recipe(RECIPE, values), Path(folder), Path(base)).values


def _per_step(train: Callable[[int], object], steps: int) -> float:
    """Seconds a step: the difference of a longer and a shorter training."""
    seconds = []
    for count in (1, 1, 1 + steps):  # the first warms up
        synchronize(best_device())
        began = time.perf_counter()
        train(count)
        synchronize(best_device())
        seconds.append(time.perf_counter() - began)
    return max(seconds[2] - seconds[1], 1e-4) / steps


def _depth(training: Pretraining, latent: Sequence[int], others: int) -> int:
    """The recipe's depth, or less where the weights would be more than `MOST_BYTES` with `others` bytes."""
    for depth in range(training.depth, 1, -1):
        with torch.device("meta"):
            dit = new_dit(
                num_attention_heads=training.num_heads,
                attention_head_dim=training.hidden_size // training.num_heads,
                num_layers=depth,
                in_channels=latent[0],
                sample_size=latent[-1],
                patch_size=training.patch_size,
                num_embeds_ada_norm=len(SUBSET.wnids),
            )
        if _bytes(dit) + others + HEADERS <= MOST_BYTES:
            return depth
    return 1


def _bytes(model: torch.nn.Module) -> int:
    """Of the weights in half precision, as they are saved: a tensor that blocks share once for each."""
    return 2 * sum(tensor.numel() for tensor in model.state_dict().values())
