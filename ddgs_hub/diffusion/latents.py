"""Latents for training: images are encoded once, latents are sampled from the posterior at every step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset, Features, List, Value
from PIL.Image import Image
from torch import Tensor, nn

from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.image_batches import image_batches
from ddgs_hub.core.parts import Parts
from ddgs_hub.core.processes import get_state, run_on_main
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import checked_labels, parquet_path
from ddgs_hub.core.staging import locked_for_launch
from ddgs_hub.diffusion.codec import Codec
from ddgs_hub.diffusion.ddpm import TRAIN_STEPS, Schedule, diffusion_losses
from ddgs_hub.diffusion.pixels import center_crop, to_float
from ddgs_hub.recipe import FinetuneSettings, Pretraining

ENCODED_TOGETHER = 32  # images of a batch, and of a part on disk
POSTERIOR = ("mean", "log_variance")


@dataclass(frozen=True)
class LatentCache:
    """The posteriors of all images of a dataset. Samples from them are distributed as if the images were encoded again.

    Attributes:
        mean, log_variance: `(F, N, C, h, w)`: F is 2 where the mirrored images are encoded as well, else 1.
        labels: `(N,)`, the class index that the DiT knows, on the CPU.
    """

    mean: Tensor
    log_variance: Tensor
    labels: Tensor

    @classmethod
    def encode(
        cls,
        rows: Dataset,
        codec: Codec,
        class_ids: Sequence[int],
        folder: str | Path,
        *,
        image_size: int,
        flip: bool,
    ) -> "LatentCache":
        """Encodes a dataset of `image` and `label`, or reads the posteriors if they were encoded before.

        The posteriors are stored in `folder/<fingerprint>` as a dataset in Hub layout: `label`, and `mean` and
        `log_variance`, each a list of F·C·h·w numbers. The fingerprint is that of the images and labels, the crop, the
        flip and the encoder. The processes of a launch share the work, and a killed call resumes where it was. While
        another command encodes the same images, this one waits for it.

        Args:
            rows: the images.
            codec: its encoder is used, on its own device.
            class_ids: the DiT's class index of each label.
            folder: of the encoded datasets.
            image_size: px, after the center crop.
            flip: whether to encode the mirrored images too.

        Raises:
            InputError: a label is outside the classes, an image cannot be decoded (the message names the row), or
                `folder` cannot be written.
        """
        checked_labels(rows)
        key = fingerprint(rows, codec.encoder, [image_size, flip])
        path = Path(folder) / key[:16]
        if not run_on_main(path.is_dir):
            with locked_for_launch(path, wait=True):  # trainings of the same images encode them once
                if not run_on_main(path.is_dir):
                    _encode(rows, codec, path, key, image_size, (False, True) if flip else (False,))
        encoded = pq.read_table(parquet_path(path))
        shape = (len(encoded), 2 if flip else 1, *codec.latent_shape(image_size))
        mean, log_variance = (
            torch.tensor(encoded.column(name).combine_chunks().flatten().to_numpy()).view(shape).transpose(0, 1)
            for name in POSTERIOR
        )
        return cls(mean, log_variance, torch.tensor(class_ids)[torch.tensor(encoded["label"].to_numpy())])

    def near(self, device: torch.device) -> "LatentCache":
        """The same on a GPU if it takes less than a quarter of the memory there; else unchanged."""
        if device.type != "cuda" or 2 * self.mean.nbytes > torch.cuda.mem_get_info(device)[1] / 4:
            return self
        return LatentCache(self.mean.to(device), self.log_variance.to(device), self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def _encode(rows: Dataset, codec: Codec, path: Path, key: str, image_size: int, mirrored: tuple[bool, ...]) -> None:
    """Writes the posteriors of all images to `path`."""
    size = len(mirrored) * int(np.prod(codec.latent_shape(image_size)))
    features = Features(label=Value("int64"), **{name: List(Value("float32"), length=size) for name in POSTERIOR})
    batches = np.split(np.arange(len(rows)), range(ENCODED_TOGETHER, len(rows), ENCODED_TOGETHER))
    parts = Parts(path, key, len(batches))
    mine = parts.todo()
    labels, device = np.asarray(rows["label"]), next(codec.encoder.parameters()).device
    crop = partial(_cropped, size=image_size)
    world = get_state().num_processes
    done = max(len(rows) - world * sum(len(batches[k]) for k in mine), 0)
    progress = Progress("encode", len(rows), unit="image", done=done, processes=world)
    stream = image_batches(rows, crop, [batches[k] for k in mine], progress=progress)
    for k, (indices, images) in zip(mine, stream, strict=True):
        pixels = to_float(images.to(device))
        views = [codec.encode(pixels.flip(-1) if flipped else pixels) for flipped in mirrored]
        columns: dict[str, object] = {"label": labels[indices]}
        for name, view in zip(POSTERIOR, zip(*views, strict=True), strict=True):
            flat = torch.stack(view, dim=1).float().cpu().numpy().ravel()
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat), size)
        parts.write(k, pa.table(columns, schema=features.arrow_schema))
    parts.finish(features)


def _cropped(image: Image, size: int) -> Tensor:
    return torch.from_numpy(np.array(center_crop(image, size))).permute(2, 0, 1)


@dataclass(frozen=True)
class Batch:
    """The random draws of a training step.

    Attributes:
        z: clean latents, `(B, C, h, w)`.
        noise: of the same shape.
        steps: diffusion timestep, 0 … 999, `(B,)`.
        labels: `(B,)`, the true classes, on the CPU.
        conditions: `(B,)`, the labels with some replaced by the null class.
    """

    z: Tensor
    noise: Tensor
    steps: Tensor
    labels: Tensor
    conditions: Tensor

    def share(self, rank: int, world: int) -> "Batch":
        """The rows for one of several processes."""
        count = len(self.labels)
        mine = slice(rank * count // world, (rank + 1) * count // world)
        return Batch(self.z[mine], self.noise[mine], self.steps[mine], self.labels[mine], self.conditions[mine])


@dataclass(frozen=True, kw_only=True)
class BatchSource:
    """Draws the batches of a training. (seed, t) alone decides the batch of step t, so a training can resume anywhere.

    Attributes:
        cache: posteriors and labels of the images.
        batch_size: over all processes.
        label_dropout: share of the labels that become the null class.
        null_class: of the DiT.
        seed: of the training.
        device: where the batches are used.
    """

    cache: LatentCache
    batch_size: int
    label_dropout: float
    null_class: int
    seed: int
    device: torch.device | str = "cpu"

    @classmethod
    def of(
        cls,
        cache: LatentCache,
        training: FinetuneSettings | Pretraining,
        null_class: int,
        seed: int,
        device: torch.device,
    ) -> "BatchSource":
        """The batches of a training, on its device."""
        return cls(
            cache=cache.near(device),
            batch_size=training.batch_size,
            label_dropout=training.label_dropout,
            null_class=null_class,
            seed=seed,
            device=device,
        )

    @property
    def size(self) -> int:
        """Images in a batch, over all processes: the whole dataset where it is smaller than `batch_size`."""
        return min(self.batch_size, len(self.cache))

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; the images of an incomplete batch are left out until the next epoch."""
        return max(len(self.cache) // self.batch_size, 1)

    def draw(self, step: int) -> Batch:
        """The batch of step `step`, the same in every process; see `Batch.share`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.cache))
        indices = torch.from_numpy(order[position * self.batch_size : (position + 1) * self.batch_size])
        state = np.random.SeedSequence([self.seed, 1, step]).generate_state(1)
        generator, count = torch.Generator().manual_seed(int(state[0])), len(indices)
        mean, log_variance = self.cache.mean, self.cache.log_variance
        # Drawn on the CPU, so that a seed gives the same batches on every device.
        flips = torch.randint(mean.shape[0], (count,), generator=generator)
        spread, noise = torch.randn((2, count, *mean.shape[2:]), generator=generator).to(self.device)
        steps = torch.randint(TRAIN_STEPS, (count,), generator=generator)
        dropped = torch.rand(count, generator=generator) < self.label_dropout
        labels = self.cache.labels[indices]
        conditions = torch.where(dropped, self.null_class, labels)
        where = flips.to(mean.device), indices.to(mean.device)
        mean, log_variance = mean[where].to(self.device), log_variance[where].to(self.device)
        z = mean + (log_variance / 2).exp() * spread
        return Batch(z, noise, steps.to(self.device), labels, conditions.to(self.device))


def diffusion_loss(model: nn.Module, schedule: Schedule, batch: Batch) -> tuple[Tensor, Tensor]:
    """The diffusion loss (Eq. 2, and the bound of the variance) of a batch, a scalar, and ẑ `(B, C, h, w)`."""
    z_t = schedule.add_noise(batch.z, batch.noise, batch.steps)
    output = model(z_t, batch.steps, batch.conditions)
    mse, bound, z_hat = diffusion_losses(schedule, output, batch.z, z_t, batch.noise, batch.steps)
    return (mse + bound).mean(), z_hat
