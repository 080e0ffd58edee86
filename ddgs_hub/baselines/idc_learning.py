"""The images of IDC-1: outer and inner iterations of `idc`, from the first real images of each class.

The work is a row of units, so that it can stop and go on between any two: a unit is a batch of the early training of a
network, or one turn of the inner loop, which is a step for each class and one pass of training.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from ddgs_hub.baselines.early_networks import EarlyNetworks
from ddgs_hub.baselines.idc import gradient_distance, idc_step
from ddgs_hub.baselines.learnt import Learning, LearntImages, at_rest, clamped, require_precision
from ddgs_hub.baselines.network_training import NetworkTraining
from ddgs_hub.baselines.real_images import RealImages
from ddgs_hub.baselines.siamese import Draws, draw_chain
from ddgs_hub.baselines.streams import Purpose, class_batch, generator_of, pass_length, seed_of, without_repetition
from ddgs_hub.core.checkpoints import Checkpoints
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.processes import get_accelerator
from ddgs_hub.core.progress import Progress
from ddgs_hub.recipe import IDCSettings


def learn_idc(
    real: RealImages,
    settings: IDCSettings,
    build_network: Callable[[int], nn.Module],
    *,
    ipc: int,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    checkpoints: str | Path | None = None,
    early_networks: str | Path | None = None,
) -> tuple[torch.Tensor, list[float]]:
    """Learns images as IDC-1 does; they start as the first real ones of each class.

    Args:
        real: the original images, on the accelerator's device.
        settings: iterations, batches, learning rates and augmentation.
        build_network: a seed → a network with fresh weights, on the CPU: a module from normalised images
            `(N, 3, S, S)` to logits `(N, C)`. Each outer iteration has its own.
        ipc: images per class.
        seed: with the position it decides every draw.
        accelerator: of the launch; None makes one. Its processes share out the real images of every batch; they compute
            what one would, but for rounding.
        checkpoints: as for `learn_dm`.
        early_networks: where `settings.early_networks` networks are kept; sets of the same images share the folder,
            also while they are learnt at the same time. Needed where the settings have such networks.

    Returns:
        Images in [0, 1], clipped, float32 `(C, ipc, 3, S, S)` on the CPU; and the loss of every turn of the inner
        loops, a mean over the classes.

    Raises:
        InputError: a class has fewer than `ipc` images, images cannot be learnt in the launch's precision, or the
            settings have early networks and there is no folder for them, or none that can be written.
    """
    accelerator = accelerator or get_accelerator()
    require_precision(accelerator)
    real.require(ipc)
    training = NetworkTraining(real, settings, build_network, seed, accelerator)
    kept = None
    if settings.early_networks is not None:
        if early_networks is None:
            raise InputError(f"idc.early_networks is {settings.early_networks}: give a folder to keep the networks in")
        kept = EarlyNetworks(early_networks, training, settings.early_networks)
        kept.train()
    work = _Work(real, settings, training, kept, ipc, seed)
    values = [asdict(replace(settings, save_every=0)), ipc, seed]
    key = fingerprint(training.key, values) if checkpoints else ""
    store = Checkpoints(checkpoints, key, {"learning": work.learning, **training.parts()})
    done = store.restore()
    progress = Progress("IDC-1", work.units, unit="step", done=done)
    for unit in progress.over(range(done, work.units)):
        loss = work(unit)
        if loss is not None:
            progress.add(loss=loss)
        store.save_when_due(unit + 1, settings.save_every)
    return work.learning.learnt.images.clamp(0, 1).cpu(), work.learning.log.tolist()


class _Work:
    """The units of a learning, and what they change.

    Args:
        real: see `learn_idc`.
        settings: see `learn_idc`.
        training: the network that is matched, and its training.
        kept: networks that were trained early; None: each outer iteration trains its own.
        ipc: images per class.
        seed: see `learn_idc`.
    """

    def __init__(
        self,
        real: RealImages,
        settings: IDCSettings,
        training: NetworkTraining,
        kept: EarlyNetworks | None,
        ipc: int,
        seed: int,
    ) -> None:
        self.real, self.settings, self.training, self.kept = real, settings, training, kept
        self.ipc, self.seed = ipc, seed
        self.early = 0 if kept else training.early_batches
        self.units = settings.outer_iterations * (self.early + settings.inner_loop)
        self.learning = Learning(at_rest(_start(real, ipc)), settings.outer_iterations * settings.inner_loop)
        self.step = partial(idc_step, lr=settings.image_lr(ipc, real.image_size), momentum=settings.momentum_images)

    def __call__(self, unit: int) -> torch.Tensor | None:
        """Carries out one unit; at the first of an outer iteration the images are clamped and the network changes.

        Returns:
            The loss of a turn of the inner loop, a scalar; None for a batch of the early training.
        """
        iteration, place = divmod(unit, self.early + self.settings.inner_loop)
        if place == 0:
            self._begin(iteration)
        if place < self.early:
            self._train(1)
            return None
        turn = iteration * self.settings.inner_loop + place - self.early
        self.learning.log[turn] = self._match(turn)
        size, position = self.settings.images_per_pass, self.learning.position
        self._train(pass_length(len(self.real.labels), self.settings.batch_real, position, size))
        return self.learning.log[turn]

    def _begin(self, iteration: int) -> None:
        before = clamped(self.learning.learnt)
        self.learning.learnt = LearntImages(*self.training.shares.of_the_first([before.images, before.velocity]))
        if self.kept:
            self.kept.load(iteration)
        else:
            self.training.renew(seed_of(self.seed, Purpose.NETWORK, iteration))

    def _train(self, batches: int) -> None:
        for _ in range(batches):
            self.training.step(self.learning.position, self.seed, Purpose.TRAINING)
            self.learning.position += 1

    def _match(self, turn: int) -> torch.Tensor:
        """A step for each class, one after the other; the mean of their losses."""
        losses, side, settings = [], self.real.image_size, self.settings
        for label, size in enumerate(self.real.sizes):
            rows = class_batch(size, settings.batch_real, turn, self.seed, Purpose.REAL, label)
            batch = self.real.normalized(self.real.first_row(label) + rows)
            draws = draw_chain(settings.strategy, 1, side, side, generator_of(self.seed, Purpose.VIEW, turn, label))
            stored = torch.arange(self.ipc)
            if self.ipc > settings.batch_synthetic:
                stored = without_repetition(self.ipc, settings.batch_synthetic, self.seed, Purpose.STORED, turn, label)
            distance = partial(self._distance, batch, label, draws)
            with self.training.accelerator.autocast():
                learnt, loss = self.step(self.learning.learnt, label, stored.to(batch.device), distance)
            self.learning.learnt = learnt
            losses.append(loss)
        return torch.stack(losses).mean()

    def _distance(self, batch: torch.Tensor, label: int, draws: Draws, images: torch.Tensor) -> torch.Tensor:
        synthetic, training = self.real.normalize(images), self.training
        return gradient_distance(
            training.network, batch, synthetic, label, draws, self.settings.metric, training.shares
        )


def _start(real: RealImages, ipc: int) -> torch.Tensor:
    """The first images of each class, as the published code starts: in [0, 1], `(C, ipc, 3, S, S)`."""
    return torch.stack([real.floats(real.first_row(label) + torch.arange(ipc)) for label in range(len(real.sizes))])
