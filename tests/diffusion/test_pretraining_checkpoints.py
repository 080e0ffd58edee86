"""A pre-training that is interrupted goes on from its last checkpoint and ends with the same weights."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from ddgs_hub.diffusion import LatentCache, autoencoder, pretrain, train_autoencoder
from ddgs_hub.diffusion.latents import BatchSource
from ddgs_hub.recipe import AutoencoderTraining, Pretraining

DIT = Pretraining(hidden_size=16, depth=1, num_heads=2, steps=9, batch_size=4, ema_decay=0.9, save_every=2)
AUTOENCODER = AutoencoderTraining(block_out_channels=[8, 8], steps=7, batch_size=4, save_every=2)


@pytest.fixture
def cut(monkeypatch):
    """Makes a training lose its power before its n-th draw, once."""

    def before(owner, name: str, number: int):
        whole, drawn = getattr(owner, name), []

        def draw(*arguments):
            drawn.append(None)
            if len(drawn) == number:
                raise KeyboardInterrupt
            return whole(*arguments)

        monkeypatch.setattr(owner, name, draw)
        return drawn

    return before


def same(found, expected) -> None:
    (model, losses), (other, other_losses) = found, expected
    assert losses == other_losses
    for ours, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_dit_goes_on_and_ends_with_the_same_weights(tmp_path, cut):
    mean = torch.randn(1, 12, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    cache = LatentCache(mean, torch.full_like(mean, -4.0), torch.arange(3).repeat(4))

    def train(training=DIT, folder=None):
        return pretrain(cache, 3, training, accelerator=Accelerator(cpu=True), checkpoints=folder)

    expected = train()
    drawn = cut(BatchSource, "draw", 6)
    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path / "c")
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["step-2.pt", "step-4.pt"]
    same(train(replace(DIT, save_every=4), tmp_path / "c"), expected)
    assert len(drawn) == 6 + 5  # steps 4 … 8
    other = replace(DIT, learning_rate=1e-4)  # another training's checkpoints are not taken over
    same(train(other, tmp_path / "c"), train(other))


def test_autoencoder_goes_on_and_is_not_trained_again_when_it_has_ended(tmp_path, cut):
    images = torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def train(folder=None):
        return train_autoencoder(images, AUTOENCODER, flip=True, checkpoints=folder)

    expected = train()
    drawn = cut(autoencoder, "_draw", 6)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "c")
    same(train(tmp_path / "c"), expected)
    assert len(drawn) == 6 + 3  # steps 4 … 6
    same(train(tmp_path / "c"), expected)
    assert len(drawn) == 6 + 3
