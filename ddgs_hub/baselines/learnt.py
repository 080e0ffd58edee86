"""Images that are learnt: what DM and IDC-1 share. They move by SGD with momentum, as `torch.optim.SGD` has it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ddgs_hub.core.errors import InputError

PRECISIONS = ("no", "bf16")  # of accelerate: fp16 would need the losses scaled


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


class Learning:
    """What changes while images are learnt, for a checkpoint.

    Args:
        learnt: the start.
        steps: losses that are noted.

    Attributes:
        learnt: the images as they are.
        log: `(steps,)`, the loss of each step. It stays on the device: reading one would wait for that.
        position: batches that a network was trained on so far.
    """

    def __init__(self, learnt: LearntImages, steps: int) -> None:
        self.learnt = learnt
        self.log = torch.zeros(steps, device=learnt.images.device)
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and counters."""
        return {**vars(self.learnt), "log": self.log, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        device = self.log.device
        self.learnt = LearntImages(state["images"].to(device), state["velocity"].to(device))
        self.log, self.position = state["log"].to(device), state["position"]


class Renewed:
    """One network that gets fresh weights again and again: it is moved to its device, and compiled, once.

    Args:
        build: a seed → a network of fresh weights, on the CPU.
        device: where it is used.
    """

    def __init__(self, build: Callable[[int], nn.Module], device: torch.device) -> None:
        self.build = build
        self.network = build(0).to(device)

    def renew(self, seed: int) -> None:
        """Gives the network the weights that `build` draws from a seed."""
        self.network.load_state_dict(self.build(seed).state_dict())


def require_precision(accelerator: Accelerator) -> None:
    """Refuses a precision that images cannot be learnt in.

    Raises:
        InputError: it is neither float32 nor bfloat16.
    """
    if accelerator.mixed_precision not in PRECISIONS:
        raise InputError(
            f"images are learnt in float32 or bfloat16, not in {accelerator.mixed_precision}: "
            "give `accelerate launch --mixed_precision bf16` or `no`"
        )
