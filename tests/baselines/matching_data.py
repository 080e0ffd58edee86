"""What the tests of learning share: a few real images of three classes, networks for them, and short settings."""

import torch
from torch import nn

from ddgs_hub.baselines import RealImages
from ddgs_hub.evaluation import Embedding, build_network
from ddgs_hub.recipe import DMSettings, IDCSettings

SIDE = 16
DM = DMSettings(steps=6, batch_real=4, strategy=["color", "crop", "cutout"], network_width=4, save_every=0)
IDC = IDCSettings(
    outer_iterations=2,
    early=1,
    inner_loop=2,
    batch_real=4,
    network="convnet",
    network_width=4,
    images_per_pass=6,
    save_every=0,
)


def real_images(sizes: tuple[int, ...] = (5, 3, 6), device: str = "cpu") -> RealImages:
    """Images of classes a, b, …, which were shuffled."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    images = torch.randint(256, (len(labels), 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    order = torch.randperm(len(labels), generator=generator)
    names = [chr(ord("a") + label) for label in range(len(sizes))]
    return RealImages.of(images[order], labels[order], names, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), device=device)


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network("convnet", 3, SIDE, width=4)


def embedding(seed: int) -> nn.Module:
    return Embedding(network(seed))
