"""The network that IDC-1 matches with, and its training on real images of all classes."""

from collections.abc import Callable
from dataclasses import asdict

from accelerate import Accelerator
from torch import nn

from ddgs_hub.baselines.idc import draw_cutmix, network_optimizer, training_step
from ddgs_hub.baselines.learnt import Renewed
from ddgs_hub.baselines.real_images import RealImages
from ddgs_hub.baselines.shares import Shares
from ddgs_hub.baselines.siamese import draw_chain
from ddgs_hub.baselines.streams import Purpose, batches_per_epoch, generator_of, mixed_batch
from ddgs_hub.core.checkpoints import Stateful
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.processes import compiled
from ddgs_hub.recipe import IDCSettings

# What decides the early training of a network, of the settings.
EARLY_SETTINGS = (
    *("early", "batch_real", "network", "network_width", "training_strategy"),
    *("lr", "momentum", "weight_decay"),
)


class NetworkTraining:
    """One network on the device with its optimiser, both renewed for each outer iteration.

    Args:
        real: the original images.
        settings: of the training.
        build_network: see `learn_idc`.
        seed: of the learning.
        accelerator: of the launch.

    Attributes:
        network: from normalised images to logits.
        key: a fingerprint of what decides how a fresh network is trained early.
    """

    def __init__(
        self,
        real: RealImages,
        settings: IDCSettings,
        build_network: Callable[[int], nn.Module],
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        self.real, self.settings, self.seed, self.accelerator = real, settings, seed, accelerator
        self.shares = Shares.of(accelerator)
        self.renewed = Renewed(build_network, real.images.device)
        self.network = self.renewed.network
        # Matching differentiates twice, which compiled code cannot: training alone is compiled.
        self.compiled = compiled(self.network)
        self.optimizer = network_optimizer(self.network, settings)
        values = [[asdict(settings)[name] for name in EARLY_SETTINGS], seed, accelerator.mixed_precision]
        self.key = fingerprint(self.network, real.images, real.labels, real.mean, real.std, values)

    @property
    def early_batches(self) -> int:
        """Batches that a fresh network is trained on."""
        return self.settings.early * batches_per_epoch(len(self.real.labels), self.settings.batch_real)

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint holds."""
        return {"network": self.network, "optimizer": self.optimizer}

    def renew(self, seed: int) -> None:
        """Takes fresh weights, and an optimiser without momentum."""
        self.renewed.renew(seed)
        self.optimizer.state.clear()

    def step(self, position: int, *key: int) -> None:
        """One step on batch number `position` of the mixed stream of a key."""
        rows = mixed_batch(len(self.real.labels), self.settings.batch_real, position, *key)
        generator, side = generator_of(*key, position, Purpose.VIEW), self.real.image_size
        draws = draw_chain(self.settings.training_strategy, len(rows), side, side, generator)
        cutmix = draw_cutmix(len(rows), side, side, generator)
        rows = rows.to(self.real.labels.device)
        images, labels = self.real.normalized(rows), self.real.labels[rows]
        with self.accelerator.autocast():
            training_step(self.compiled, self.optimizer, images, labels, draws, cutmix, self.shares)
