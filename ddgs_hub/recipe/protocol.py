"""How a distilled dataset is validated: the reference protocol as defaults, shorter ones by recipe.

Recipes are read before heavy libraries are loaded, so this module does not import torch.
"""

import math
import re
from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from ddgs_hub.core.errors import InputError
from ddgs_hub.recipe.ranges import SECTION, Count, Decay, Labels, NonNegative, Positive, PositiveShare, Share

NETWORK_FAMILIES = ("convnet", "resnetap10", "resnet18")
EPOCHS_BY_IPC = ((1, 3000), (10, 2000), (50, 1500), (200, 1000), (500, 500))  # (largest IPC, epochs) of the reference
EPOCHS_BEYOND = 300


def parse_network_name(name: str) -> tuple[str, int | None]:
    """Family and depth of a network's name: `convnet6` is `("convnet", 6)`, `resnet18` is `("resnet18", None)`.

    Raises:
        InputError: no network has that name.
    """
    if name in NETWORK_FAMILIES:
        return name, None
    numbered = re.fullmatch(r"convnet([1-9]\d?)", name)
    if not numbered:
        raise InputError(
            f"unknown network '{name}': choose convnet (depth by image size), convnet1, convnet2, … (that depth), "
            "resnetap10 or resnet18"
        )
    return "convnet", int(numbered[1])


def _known(network: str) -> str:
    parse_network_name(network)
    return network


NetworkName = Annotated[str, AfterValidator(_known)]


@dataclass(frozen=True, kw_only=True, config=SECTION)
class Protocol:
    """Training a classifier from scratch on a distilled dataset: IDC's protocol (arXiv 2205.14959), as published."""

    network: NetworkName = "resnetap10"  # convnet (depth by image size), convnet6 …, resnetap10 or resnet18
    width: Count | None = None  # channels of a ConvNet, or of a ResNet's first stage; None: the reference's 128 and 64
    image_size: Annotated[int, Field(ge=4)] = 224  # px, both sides of what the network sees
    crop_pct: PositiveShare = 0.875  # validation: image_size / side before the center crop
    epochs: Count | None = None  # at any IPC; None: 3000 at 1, 2000 to 10, 1500 to 50, 1000 to 200, 500 to 500, 300
    epochs_scale: Positive = 1.0  # the share of that table to train for, where `epochs` is None; rounded, at least 1
    repeats: Count = 3  # networks, each from its own seed
    evaluations: Count = 100  # on the validation images, evenly spread over the epochs, the last after the last one
    batch_size: Count = 64
    learning_rate: Positive = 0.01  # SGD
    lr_decay: PositiveShare = 0.2  # factor on the learning rate at 2/3 and 5/6 of the epochs
    momentum: Decay = 0.9
    weight_decay: NonNegative = 5e-4
    cutmix: Share = 1.0  # probability that CutMix is applied to a batch
    cutmix_beta: Positive = 1.0  # both parameters of the Beta distribution of the mixed share
    crop_scale: PositiveShare = 0.5  # smallest area of the random resized crop
    flip: bool = True  # horizontal flips are the same class (not so for digits)
    color_jitter: Share = 0.4  # brightness, contrast and saturation × U(1 − this, 1 + this)
    lighting: NonNegative = 0.1  # standard deviation of the PCA lighting noise
    labels: Labels = "hard"  # the class of an image, or the probabilities that a scorer gave it (score.soft_labels)

    @property
    def network_name(self) -> str:
        """The network for people, such as `resnetap10`, `convnet of width 32` or `resnet18 on soft labels`."""
        name = f"{self.network} of width {self.width}" if self.width else self.network
        return name if self.labels == "hard" else f"{name} on soft labels"

    def with_network(self, network: str, width: int | None = None) -> "Protocol":
        """The same protocol for a network; the width that is given here belongs to its own network alone.

        Args:
            network: its name, see `parse_network_name`.
            width: channels, as `width`; None: those given here if it is the same network, or else the reference's.

        Raises:
            InputError: no network has that name.
        """
        parse_network_name(network)
        return replace(self, network=network, width=width or (self.width if network == self.network else None))

    def without_augmentation(self) -> "Protocol":
        """The same protocol on each image as it is: whole, not flipped, its colors unchanged, and unmixed."""
        return replace(self, crop_scale=1.0, flip=False, color_jitter=0.0, lighting=0.0, cutmix=0.0)

    def to_values(self) -> dict[str, Any]:
        """All values, of which `labels` only where they are not hard: as they were before there were soft ones."""
        return {key: value for key, value in asdict(self).items() if (key, value) != ("labels", "hard")}

    def epochs_for(self, ipc: int) -> int:
        """Epochs at `ipc` images a class: `epochs`, or where that is None `epochs_scale` of the reference's table.

        A full dataset is one set among others: beyond 500 images a class the table has 300.
        """
        if self.epochs is not None:
            return self.epochs
        table = next((epochs for largest, epochs in EPOCHS_BY_IPC if ipc <= largest), EPOCHS_BEYOND)
        return max(1, round(table * self.epochs_scale))

    def milestones(self, epochs: int) -> tuple[int, int]:
        """Finished epochs after which the learning rate is multiplied by `lr_decay`: 2/3 and 5/6 of `epochs`."""
        return max(1, 2 * epochs // 3), max(1, 5 * epochs // 6)

    def evaluation_epochs(self, epochs: int) -> list[int]:
        """Finished epochs after which the network is tested: `evaluations` of them at most, and always the last."""
        count = min(self.evaluations, epochs)
        return [math.ceil(k * epochs / count) for k in range(1, count + 1)]

    @property
    def resize(self) -> int:
        """Shorter side in px that a validation image is resized to before its center is cropped."""
        return math.floor(self.image_size / self.crop_pct)
