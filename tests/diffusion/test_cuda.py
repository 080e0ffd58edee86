"""What a GPU must give: what a CPU gives, up to its rounding. Without a GPU the comparisons are skipped."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ddgs_hub.diffusion import LatentCache, pretrain, train_autoencoder
from ddgs_hub.recipe import AutoencoderTraining, Pretraining

pytestmark = pytest.mark.cuda
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
DIT = Pretraining(hidden_size=16, depth=1, num_heads=2, steps=4, batch_size=4)


def test_autoencoder_is_trained_where_the_device_is():
    images = torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    training = AutoencoderTraining(block_out_channels=[8, 8], steps=30, batch_size=4)
    vae, losses = train_autoencoder(images, training, flip=True)
    assert next(vae.parameters()).device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert sum(losses[-5:]) < sum(losses[:5])


@NEEDS_GPU
def test_dit_is_trained_on_a_gpu_as_on_a_cpu():
    mean = torch.randn(1, 12, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    cache = LatentCache(mean, torch.full_like(mean, -4.0), torch.arange(3).repeat(4))
    losses = []
    for cpu in (True, False):
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = Accelerator(cpu=cpu, mixed_precision="no")
        losses.append(pretrain(cache, 3, DIT, accelerator=accelerator)[1])
    AcceleratorState._reset_state(reset_partial_state=True)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
