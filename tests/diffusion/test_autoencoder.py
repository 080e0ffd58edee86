import numpy as np
import pytest
import torch

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows
from ddgs_hub.diffusion import Codec, cropped_images, load_autoencoder, train_autoencoder
from ddgs_hub.diffusion.pixels import to_float
from ddgs_hub.recipe import AutoencoderTraining


def test_trained_autoencoder_reconstructs_with_unit_latents(digits_folder, tmp_path):
    images = cropped_images(read_rows(digits_folder).select(range(64)), 16)
    assert images.shape == (64, 3, 16, 16)
    training = AutoencoderTraining(
        block_out_channels=[8, 8], norm_groups=4, steps=60, batch_size=16, learning_rate=5e-3
    )
    vae, losses = train_autoencoder(images, training, flip=False)
    assert len(losses) == 60
    codec = Codec(vae)
    mean, log_variance = codec.encode(to_float(images))
    assert mean.shape == log_variance.shape == (64, 4, 8, 8)
    assert mean.std().item() == pytest.approx(1, abs=0.05)
    error = np.abs(codec.decode(mean).astype(float) - images.permute(0, 2, 3, 1).numpy()).mean()
    assert error < 0.5 * np.abs(images.float() - images.float().mean()).mean().item()
    vae.save_pretrained(tmp_path)
    again = Codec.from_pretrained(tmp_path)
    torch.testing.assert_close(again.encode(to_float(images))[0], mean)


def test_what_is_no_autoencoder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot load an autoencoder"):
        load_autoencoder(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(InputError, match="is UNet2DModel"):
        load_autoencoder(tmp_path)
