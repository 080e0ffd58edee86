"""The protocol's transforms for a data loader: decoded images → what `evaluate` feeds its networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from ddgs_hub.core.decoding import to_rgb
from ddgs_hub.evaluation.augmentation import augment, normalize
from ddgs_hub.evaluation.tensors import for_training, for_validation, pack
from ddgs_hub.recipe import Protocol


@dataclass(frozen=True)
class TrainTransform:
    """A random view of each image: crop, flip, jitter and lighting of the protocol, then ImageNet's normalisation.

    Random numbers are from torch's default generator, which a `DataLoader` seeds in each of its workers.
    """

    protocol: Protocol

    def __call__(self, image: Image) -> torch.Tensor:
        """float32 `(3, image_size, image_size)` of one image of any mode and size."""
        return self.batch([image])[0]

    def batch(self, images: Sequence[Image]) -> torch.Tensor:
        """float32 `(B, 3, image_size, image_size)` of a batch; quicker than one image at a time."""
        prepare = for_training(self.protocol)
        everything = torch.arange(len(images))
        examples = pack((prepare(to_rgb(image)) for image in images), everything)
        return normalize(augment(examples, everything, self.protocol))


@dataclass(frozen=True)
class ValidationTransform:
    """Shorter side resized, center cropped, ImageNet's normalisation."""

    protocol: Protocol

    def __call__(self, image: Image) -> torch.Tensor:
        """float32 `(3, image_size, image_size)` of one image of any mode and size."""
        return self.batch([image])[0]

    def batch(self, images: Sequence[Image]) -> torch.Tensor:
        """float32 `(B, 3, image_size, image_size)`."""
        prepare = for_validation(self.protocol)
        cropped = [pil_to_tensor(prepare(to_rgb(image))) for image in images]
        return normalize(torch.stack(cropped).float() / 255)
