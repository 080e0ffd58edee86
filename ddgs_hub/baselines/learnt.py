"""Images that are learnt: what DM and IDC-1 share. They move by SGD with momentum, as `torch.optim.SGD` has it."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LearntImages:
    """Synthetic images between two steps, and what a further step needs. One object holds the images of all classes."""

    images: torch.Tensor  # (C, ipc, 3, H, W)
    velocity: torch.Tensor  # of the same shape: the momentum buffer


def at_rest(images: torch.Tensor) -> LearntImages:
    """The start of learning: images `(C, ipc, 3, H, W)` without velocity."""
    return LearntImages(images.detach().clone(), torch.zeros_like(images))


def moved(learnt: LearntImages, gradient: torch.Tensor, lr: float, momentum: float) -> LearntImages:
    """One step: v ← μ v + g,  x ← x − η v.

    Every image moves, that of a class with gradient zero as well: its velocity decays, but is not yet zero.

    Args:
        learnt: before the step.
        gradient: `(C, ipc, 3, H, W)`, of the loss by the images.
        lr: η.
        momentum: μ, 0 … 1.
    """
    velocity = momentum * learnt.velocity + gradient
    return LearntImages(learnt.images - lr * velocity, velocity)


def clamped(learnt: LearntImages) -> LearntImages:
    """The images brought into [0, 1]; the velocity stays as it is."""
    return LearntImages(learnt.images.clamp(0, 1), learnt.velocity)
