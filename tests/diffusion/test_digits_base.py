"""The base that is shipped for the digits, and the recipe that makes it, agree."""

import json
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
import pytest
import torch

from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import read_rows
from ddgs_hub.diffusion import (
    Codec,
    LatentCache,
    cropped_images,
    load_dit,
    pretrain,
    train_autoencoder,
)
from ddgs_hub.diffusion.bases import base_path
from ddgs_hub.diffusion.ddpm import Schedule, diffusion_losses
from ddgs_hub.diffusion.latents import BatchSource
from ddgs_hub.diffusion.pixels import to_float
from ddgs_hub.recipe import load_recipe
from ddgs_hub.stages.run_folder import LOSSES

FIRST = 25  # steps that are made again


@pytest.fixture(scope="module")
def base() -> str:
    return base_path("digits")


@pytest.fixture(scope="module")
def losses(base: str) -> dict[str, list[float]]:
    """The losses of every step that made the shipped base."""
    from pathlib import Path

    return json.loads((Path(base) / LOSSES).read_text())


@pytest.fixture
def first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends a training after its first steps: its schedules are those of the whole."""

    whole = Progress.over

    def short(progress: Progress, steps: Iterable) -> Iterable:
        return whole(progress, steps[:FIRST] if isinstance(steps, range) else steps)  # not the images that are decoded

    monkeypatch.setattr(Progress, "over", short)


def test_shipped_files_are_small_and_made_with_the_recipe(base):
    from pathlib import Path

    recipe = load_recipe("digits")
    made_with = json.loads((Path(base) / "recipe.json").read_text())
    expected = {"seed": recipe.seed, "codec": asdict(recipe.codec), "pretraining": asdict(recipe.model.pretraining)}
    assert made_with == expected
    assert sum(path.stat().st_size for path in Path(base).rglob("*.safetensors")) < 3_000_000


def test_recipe_makes_the_same_first_steps_of_the_autoencoder(losses, digits_folder, first_steps):
    recipe = load_recipe("digits")
    images = cropped_images(read_rows(digits_folder), 16)
    _, again = train_autoencoder(images, recipe.codec.training, flip=False, seed=recipe.seed)
    np.testing.assert_allclose(again[:FIRST], losses["autoencoder"][:FIRST], rtol=5e-3)


def test_recipe_makes_the_same_first_steps_of_the_dit(base, losses, digits_folder, first_steps, tmp_path):
    recipe = load_recipe("digits")
    cache = LatentCache.encode(
        read_rows(digits_folder), Codec.from_pretrained(base), range(10), tmp_path, image_size=16, flip=False
    )
    _, again = pretrain(cache, 10, recipe.model.pretraining, seed=recipe.seed)
    np.testing.assert_allclose(again[:FIRST], losses["pretraining"][:FIRST], rtol=5e-3)


def test_shipped_weights_have_the_loss_that_the_training_ended_with(base, losses, digits_folder, tmp_path):
    recipe = load_recipe("digits")
    codec, dit, schedule = Codec.from_pretrained(base), load_dit(base), Schedule.linear()
    cache = LatentCache.encode(read_rows(digits_folder), codec, range(10), tmp_path, image_size=16, flip=False)
    batches = BatchSource(cache=cache, batch_size=64, label_dropout=0.1, null_class=10, seed=recipe.seed + 1)
    found = []
    for step in range(40):
        batch = batches.draw(step)
        z_t = schedule.add_noise(batch.z, batch.noise, batch.steps)
        with torch.inference_mode():
            output = dit(z_t, batch.steps, batch.conditions, return_dict=False)[0]
        mse, bound, _ = diffusion_losses(schedule, output, batch.z, z_t, batch.noise, batch.steps)
        found.append((mse + bound).mean().item())
    # The mean of 40 batches of 64 is known to about 2 %; an untrained or damaged model is far off.
    assert np.mean(found) == pytest.approx(np.mean(losses["pretraining"][-500:]), rel=0.08)
    images = cropped_images(read_rows(digits_folder), 16)[:200]
    reconstruction = codec.decode(codec.encode(to_float(images))[0])
    error = (reconstruction / 127.5 - 1 - to_float(images).permute(0, 2, 3, 1).numpy()) ** 2
    assert error.mean() < 1.2 * np.mean(losses["autoencoder"][-50:])
