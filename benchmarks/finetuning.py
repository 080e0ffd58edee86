"""Fine-tuning steps: latents encoded once and an EMA of what is trained, against encoding anew and a full EMA.

The plain way is the published recipe's, written by us: each step encodes its images with the autoencoder and averages
all weights. Model and autoencoder are small ones whose costs stand to each other as DiT-XL/2's and Stable Diffusion's
do at 256 px (encoding 136.4 GMAC an image, forward and backward with DiffFit 241.5), which is printed and checked.
"""

import copy
import time

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel
from torch.utils.flop_counter import FlopCounterMode

from ddgs_hub.codec import Codec
from ddgs_hub.diffusion import LatentCache, MinimaxCriterion, Schedule, add_difffit, diffusion_losses, finetune
from ddgs_hub.diffusion.difffit import trained_parameters
from ddgs_hub.diffusion.dit import new_dit
from ddgs_hub.recipe import Finetune

IMAGES, BATCH, STEPS = 24, 4, 4
REAL_RATIO = 136.4 / 241.5


def models() -> tuple[DiTTransformer2DModel, AutoencoderKL]:
    """A DiT of width 384 and an autoencoder of a quarter of Stable Diffusion's width, both for 128 px."""
    torch.manual_seed(0)
    dit = new_dit(num_attention_heads=6, attention_head_dim=64, num_layers=16, sample_size=16)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        norm_num_groups=32,
        sample_size=128,
    )
    return dit, vae.eval().requires_grad_(False)


def cost_ratio(dit: DiTTransformer2DModel, vae: AutoencoderKL) -> float:
    """Floating-point operations of encoding an image over those of a forward and backward pass on it."""
    dit = add_difffit(copy.deepcopy(dit))
    with FlopCounterMode(display=False) as encoding:
        vae.encode(torch.zeros(1, 3, 128, 128))
    with FlopCounterMode(display=False) as training:
        dit(torch.zeros(1, 4, 16, 16), torch.zeros(1), torch.zeros(1, dtype=torch.long)).sample.sum().backward()
    return encoding.get_total_flops() / training.get_total_flops()


def plain(dit: DiTTransformer2DModel, vae: AutoencoderKL, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Seconds a step of the published way."""
    add_difffit(dit).train()
    average = copy.deepcopy(dit)
    optimizer = torch.optim.AdamW(trained_parameters(dit).values(), lr=1e-3, weight_decay=0)
    criterion, schedule = MinimaxCriterion(), Schedule.linear()
    start = time.perf_counter()
    for step in range(STEPS):
        chosen = torch.arange(step * BATCH, (step + 1) * BATCH) % len(images)
        with torch.no_grad():
            z = vae.encode(images[chosen]).latent_dist.sample() * vae.config.scaling_factor
        noise, t = torch.randn_like(z), torch.randint(1000, (BATCH,))
        z_t = schedule.add_noise(z, noise, t)
        output = dit(z_t, t, labels[chosen], return_dict=False)[0]
        mse, bound, z_hat = diffusion_losses(schedule, output, z, z_t, noise, t)
        loss = (mse + bound).mean() + sum(criterion(z_hat, z, labels[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, value in zip(average.parameters(), dit.parameters(), strict=True):
                mean.mul_(0.9999).add_(value, alpha=1e-4)
    return (time.perf_counter() - start) / STEPS


def cached(dit: DiTTransformer2DModel, vae: AutoencoderKL, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Seconds a step of `finetune` on a latent cache that is already there: it is filled once for all epochs."""
    mean, log_variance = Codec(vae).encode(images)
    cache = LatentCache(mean[None].clone(), log_variance[None].clone(), labels)
    start = time.perf_counter()
    finetune(dit, cache, Finetune(epochs=STEPS * BATCH / len(images), batch_size=BATCH))
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    """Prints the seconds a step of both ways and their ratio: the best of three, in turn."""
    dit, vae = models()
    print(f"encoding : training cost of an image {cost_ratio(dit, vae):.2f} (DiT-XL/2 at 256 px: {REAL_RATIO:.2f})")
    images, labels = torch.rand(IMAGES, 3, 128, 128) * 2 - 1, torch.arange(IMAGES) % 10
    seconds: dict[str, list[float]] = {"plain": [], "cached": []}
    for _ in range(3):
        seconds["plain"].append(plain(copy.deepcopy(dit), vae, images, labels))
        seconds["cached"].append(cached(copy.deepcopy(dit), vae, images, labels))
    best = {name: min(values) for name, values in seconds.items()}
    print(f"re-encoding, full EMA             {best['plain']:.3f} s a step of {BATCH}")
    print(f"latent cache, EMA of the trained  {best['cached']:.3f} s a step of {BATCH}")
    print(f"ratio                             {best['plain'] / best['cached']:.2f}x")


if __name__ == "__main__":
    main()
