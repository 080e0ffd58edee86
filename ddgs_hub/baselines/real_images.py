"""The original images of a dataset on the device, as bytes: a quarter of what floats take."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ddgs_hub.core.errors import InputError


@dataclass(frozen=True)
class RealImages:
    """Real images, the classes one after the other, and how they are normalised.

    Attributes:
        images: uint8 `(N, 3, S, S)`, on the device, ordered by class and within a class as they were given.
        labels: int64 `(N,)`, on the same device.
        sizes: images of each class.
        class_names: of the classes, in label order.
        mean: of each channel, in [0, 1], `(3, 1, 1)`.
        std: likewise.
    """

    images: torch.Tensor
    labels: torch.Tensor
    sizes: tuple[int, ...]
    class_names: tuple[str, ...]
    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(
        cls,
        images: torch.Tensor,
        labels: torch.Tensor,
        class_names: Sequence[str],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
    ) -> "RealImages":
        """Orders images by class, and brings them to the device.

        Args:
            images: uint8 `(N, 3, S, S)`.
            labels: int64 `(N,)`, 0 … classes − 1.
            class_names: in label order.
            mean: of each channel, in [0, 1]; what networks see is (x − mean) / std.
            std: of each channel, likewise.
            device: where they are used.
        """
        order = labels.argsort(stable=True)
        sizes = torch.bincount(labels, minlength=len(class_names))
        channels = [torch.tensor(values, device=device)[:, None, None] for values in (mean, std)]
        return cls(
            images[order].to(device), labels[order].to(device), tuple(sizes.tolist()), tuple(class_names), *channels
        )

    @property
    def image_size(self) -> int:
        """Height and width, px."""
        return self.images.shape[-1]

    def require(self, ipc: int) -> None:
        """Refuses to learn more images of a class than there are to start from.

        Raises:
            InputError: `ipc` is below 1, or a class has fewer images; the message names it.
        """
        if ipc < 1:
            raise InputError(f"ipc is {ipc}: give the number of images per class, at least 1")
        for name, size in zip(self.class_names, self.sizes, strict=True):
            if size < ipc:
                raise InputError(
                    f"{name} has {size} images, fewer than the {ipc} per class to start from: "
                    "lower ipc or leave the class out"
                )

    def first_row(self, label: int) -> int:
        """Where the images of a class begin."""
        return sum(self.sizes[:label])

    def floats(self, rows: torch.Tensor) -> torch.Tensor:
        """Images of these rows in [0, 1], float32 `(B, 3, S, S)`."""
        return self.images[rows.to(self.images.device)].float() / 255

    def normalized(self, rows: torch.Tensor) -> torch.Tensor:
        """Images of these rows as networks see them, float32 `(B, 3, S, S)`."""
        return self.normalize(self.floats(rows))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1] as networks see them, `(…, 3, S, S)`."""
        return (images - self.mean) / self.std

    def unnormalize(self, images: torch.Tensor) -> torch.Tensor:
        """The inverse of `normalize`."""
        return images * self.std + self.mean
