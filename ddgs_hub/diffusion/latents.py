"""Latents for training: encoded once, sampled from the autoencoder's posterior at every step."""

from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from tqdm.auto import tqdm

from ddgs_hub.codec import Codec, cropped_images, to_float
from ddgs_hub.diffusion.ddpm import TRAIN_STEPS
from ddgs_hub.rows import checked_labels


@dataclass(frozen=True)
class LatentCache:
    """The posteriors of all images of a dataset; sampling from them is the same in distribution as encoding anew.

    Attributes:
        mean, log_variance: `(F, N, C, h, w)`: F is 2 where the mirrored images are encoded as well, else 1.
        labels: `(N,)`, the class index that the DiT knows.
    """

    mean: Tensor
    log_variance: Tensor
    labels: Tensor

    @classmethod
    def encode(cls, rows: Dataset, codec: Codec, class_ids: list[int], *, image_size: int, flip: bool) -> "LatentCache":
        """Encodes a dataset of `image` and `label`.

        Args:
            rows: the images.
            codec: its encoder is used, on its own device.
            class_ids: the DiT's class index of each label.
            image_size: px, after the center crop.
            flip: whether to encode the mirrored images too.

        Raises:
            InputError: a label is outside the classes or an image cannot be decoded; the message names the row.
        """
        known = torch.from_numpy(checked_labels(rows))
        device = next(codec.encoder.parameters()).device
        images = cropped_images(rows, image_size)
        views = []
        for mirrored in (False, True) if flip else (False,):
            batches = tqdm(images.split(64), desc="encode", unit="batch", leave=False, delay=2, disable=None)
            parts = [codec.encode(to_float(b.flip(-1) if mirrored else b).to(device)) for b in batches]
            views.append([torch.cat(tensors) for tensors in zip(*parts, strict=True)])
        mean, log_variance = (torch.stack(tensors).clone() for tensors in zip(*views, strict=True))
        labels = torch.tensor(class_ids, device=device)[known.to(device)]
        return cls(mean, log_variance, labels)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Batch:
    """What a training step draws at random: everything is decided by (seed, step), not by the number of processes.

    Attributes:
        z: clean latents, `(B, C, h, w)`.
        noise: of the same shape.
        steps: diffusion timestep, 0 … 999, `(B,)`.
        labels: `(B,)`, the true classes.
        conditions: `(B,)`, the labels with some replaced by the null class.
    """

    z: Tensor
    noise: Tensor
    steps: Tensor
    labels: Tensor
    conditions: Tensor


def steps_per_epoch(cache: LatentCache, batch_size: int) -> int:
    """Full batches in a pass over the data; the images that are left over wait for the next pass."""
    return max(len(cache) // batch_size, 1)


def draw_batch(
    cache: LatentCache,
    step: int,
    *,
    batch_size: int,
    label_dropout: float,
    null_class: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
) -> Batch:
    """The part of step `step`'s batch that process `rank` of `world` works on.

    The whole batch is drawn everywhere and then cut, so N processes see what one would.
    """
    epoch, position = divmod(step, steps_per_epoch(cache, batch_size))
    order = np.random.default_rng([seed, 0, epoch]).permutation(len(cache))
    chosen = torch.from_numpy(order[position * batch_size : (position + 1) * batch_size])
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 1, step]).generate_state(1)[0]))
    shape = (2, len(chosen), *cache.mean.shape[2:])
    flips = torch.randint(cache.mean.shape[0], (len(chosen),), generator=generator)
    spread, noise = torch.randn(shape, generator=generator)
    steps = torch.randint(TRAIN_STEPS, (len(chosen),), generator=generator)
    dropped = torch.rand(len(chosen), generator=generator) < label_dropout
    mine = slice(rank * len(chosen) // world, (rank + 1) * len(chosen) // world)
    device = cache.mean.device
    chosen, flips, spread, noise, steps, dropped = (
        tensor[mine].to(device) for tensor in (chosen, flips, spread, noise, steps, dropped)
    )
    z = cache.mean[flips, chosen] + (cache.log_variance[flips, chosen] / 2).exp() * spread
    labels = cache.labels[chosen]
    return Batch(z, noise, steps, labels, torch.where(dropped, null_class, labels))
