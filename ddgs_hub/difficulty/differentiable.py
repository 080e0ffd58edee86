"""Margins of images that are tensors, with gradients: for what is to make images of a wanted difficulty."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.data.transforms import MaybePILToTensor, MaybeToTensor
from torch import Tensor
from torchvision import transforms

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.difficulty.margins import margin
from ddgs_hub.difficulty.scorer import Scorer

CONVERSIONS = (MaybePILToTensor, MaybeToTensor, transforms.PILToTensor, transforms.ToTensor)


class DifferentiableMargins:
    """Images → margins, whose sigmoid is the difficulty (Eq. 6), differentiable in the images.

    The steps of the scorer's own preprocessing are applied to tensors. What Pillow rounds to grey levels is not rounded
    here, so a margin is near the one that `score` computes, and not the same. Of a cross-fitted scorer it is the mean
    of all models': which one will score an image follows from its bytes, and there are none yet.

    Args:
        scorer: of timm.
        names: the dataset's class names, in label order.
        wnids: the dataset's wnids, in label order, where it has them.

    Raises:
        InputError: the scorer does not know a class, or its preprocessing is not timm's.
    """

    def __init__(self, scorer: Scorer, names: Sequence[str], wnids: Sequence[str | None] | None = None) -> None:
        self.scorer = scorer
        self.targets = torch.from_numpy(scorer.class_indices(names, wnids)).to(scorer.device)
        self.steps = _tensor_steps(scorer)
        self.mean, self.std = (torch.tensor(v, device=scorer.device)[:, None, None] for v in scorer.normalization)

    @property
    def identity(self) -> str:
        """A fingerprint of all that decides the margins."""
        how = [str(self.scorer.transform), self.scorer.normalization, self.targets.tolist()]
        return fingerprint(*self.scorer.models, how)

    def __call__(self, images: Tensor, labels: Sequence[int]) -> Tensor:
        """Margins of images −1 … 1, `(B, 3, H, W)`, of labels of the dataset: float32, `(B,)`."""
        images = ((images.float() + 1) / 2).clamp(0, 1).to(self.scorer.device)
        for step in self.steps:
            images = step(images)
        images = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        classes = self.targets[torch.tensor(labels, device=self.targets.device)]
        return torch.stack([margin(model(images).float(), classes) for model in self.scorer.models]).mean(0)


def _tensor_steps(scorer: Scorer) -> list[Any]:
    """The steps of a timm scorer's transform that change an image's size: they take tensors, too."""
    if not isinstance(scorer.transform, transforms.Compose):
        raise InputError(
            f"the scorer {scorer.name} has a preprocessing of transformers, which no gradient goes through: "
            "take a scorer of timm to guide by difficulty"
        )
    return [step for step in scorer.transform.transforms if not isinstance(step, CONVERSIONS)]
