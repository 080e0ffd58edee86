"""How DM and IDC-1 learn their images: the published settings as defaults, shorter ones by recipe.

Recipes are read before heavy libraries are loaded, so this module does not import torch.
"""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ddgs_hub.recipe.protocol import NetworkName
from ddgs_hub.recipe.ranges import SECTION, Count, Decay, NonNegative, Positive

Operation = Literal["color", "crop", "cutout", "flip", "scale", "rotate"]  # of siamese augmentation
OPERATIONS: tuple[Operation, ...] = ("color", "crop", "cutout", "flip", "scale", "rotate")
Metric = Literal["l1", "mse"]


def _strategy(*operations: Operation) -> list[Operation]:
    return dataclasses.field(default_factory=lambda: list(operations))


@dataclass(frozen=True, kw_only=True, config=SECTION)
class DMSettings:
    """Distribution matching, as published for 32 px and up to 50 images a class; it knows no settings for ImageNet."""

    steps: Count = 20_001  # t = 0 … 20,000
    batch_real: Count = 256  # real images of each class in a step, without repetition; all where a class has fewer
    strategy: list[Operation] = _strategy(*OPERATIONS)  # of which each class and step draws one; no `flip` for digits
    lr: Positive = 1.0  # of the images; right because they are normalised and the loss is a sum over features
    momentum: Decay = 0.5
    # What embeds, anew in every step. A ConvNet has PyTorch's own initialisation, as published; a ResNet IDC's.
    network: NetworkName = "convnet"  # depth by image size: 3 at 32 px, 6 at 224 px, which is the paper's ConvNet-6
    network_width: Count = 128  # channels of a ConvNet, or of a ResNet's first stage
    save_every: NonNegative = 120  # seconds between checkpoints; a killed call resumes from the last


@dataclass(frozen=True, kw_only=True, config=SECTION)
class IDCSettings:
    """IDC-1, as published for ten classes of ImageNet."""

    # Outer iterations: clamp the images, take a fresh network, train it, then run the inner loop.
    outer_iterations: Count = 500
    early: Annotated[int, Field(ge=0)] = (
        10  # epochs of real images that a fresh network is trained for before it is matched
    )
    # None: every outer iteration trains a network of its own. k: k networks are trained, once for all sets
    # of the same images, and iteration i begins with number i mod k: the same rule on fewer random networks.
    early_networks: Count | None = None
    inner_loop: Count = 100  # times: one step for each class, then one pass of training
    # Matching.
    metric: Metric = "l1"
    batch_real: Count = 64  # real images of the class in a step, and of all classes in a batch of training
    batch_synthetic: Count = 128  # stored images of the class in a step, at most
    strategy: list[Operation] = _strategy("color", "crop", "cutout")  # one draw for real and synthetic images
    lr_images: Positive = 3e-3  # at 10 images a class and 224 px; see `image_lr`
    momentum_images: Decay = 0.5
    # The network, and its training on real images of all classes.
    network: NetworkName = "resnetap10"
    network_width: Count | None = None  # channels of its first stage, or of a ConvNet; None: 64 and 128
    images_per_pass: Count = 500  # a pass ends with the batch that reaches it
    training_strategy: list[Operation] = _strategy("color", "crop")  # a draw an image; CutMix replaces cutout
    lr: Positive = 0.01
    momentum: Decay = 0.9
    weight_decay: NonNegative = 5e-4
    save_every: NonNegative = 120  # seconds between checkpoints; a killed call resumes from the last

    def image_lr(self, ipc: int, image_size: int) -> float:
        """Learning rate of the images: `lr_images` · ipc / 10 · (image_size / 224)², for units of [0, 1].

        Proportional to ipc, because the cross-entropy is a mean over the synthetic images of a class.
        """
        return self.lr_images * (ipc / 10) * (image_size / 224) ** 2
