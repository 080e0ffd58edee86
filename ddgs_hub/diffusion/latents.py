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
    """What a training step draws at random.

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


@dataclass(frozen=True, kw_only=True)
class BatchSource:
    """Draws the batches of a training: step t's is decided by (seed, t) alone, so a training can go on anywhere.

    Attributes:
        cache: what to draw from.
        batch_size: over all processes.
        label_dropout: share of the labels that become the null class.
        null_class: of the DiT.
        seed: of the training.
        rank: of this process.
        world: number of processes.
    """

    cache: LatentCache
    batch_size: int
    label_dropout: float
    null_class: int
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in a pass over the data; the images that are left over wait for the next pass."""
        return max(len(self.cache) // self.batch_size, 1)

    def draw(self, step: int) -> Batch:
        """The part of step `step`'s batch that this process works on.

        The whole batch is drawn everywhere and then cut, so N processes see what one would.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.cache))
        chosen = torch.from_numpy(order[position * self.batch_size : (position + 1) * self.batch_size])
        state = np.random.SeedSequence([self.seed, 1, step]).generate_state(1)
        generator, count = torch.Generator().manual_seed(int(state[0])), len(chosen)
        mean, log_variance = self.cache.mean, self.cache.log_variance
        flips = torch.randint(mean.shape[0], (count,), generator=generator)
        spread, noise = torch.randn((2, count, *mean.shape[2:]), generator=generator)
        steps = torch.randint(TRAIN_STEPS, (count,), generator=generator)
        dropped = torch.rand(count, generator=generator) < self.label_dropout
        mine = slice(self.rank * count // self.world, (self.rank + 1) * count // self.world)
        chosen, flips, spread, noise, steps, dropped = (
            tensor[mine].to(mean.device) for tensor in (chosen, flips, spread, noise, steps, dropped)
        )
        z = mean[flips, chosen] + (log_variance[flips, chosen] / 2).exp() * spread
        labels = self.cache.labels[chosen]
        return Batch(z, noise, steps, labels, torch.where(dropped, self.null_class, labels))
