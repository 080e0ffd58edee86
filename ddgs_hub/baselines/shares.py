"""Rows of a batch that are shared out among the processes of a launch, and sums over what they computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast


@dataclass(frozen=True)
class Shares:
    """The part of one process in what several compute together.

    Attributes:
        rank: number of this process.
        world: number of processes.
        accelerator: which connects them; None where there is one.
    """

    rank: int = 0
    world: int = 1
    accelerator: Accelerator | None = None

    @classmethod
    def of(cls, accelerator: Accelerator) -> "Shares":
        """The part of this process of a launch."""
        return cls(accelerator.process_index, accelerator.num_processes, accelerator)

    def rows(self, count: int) -> slice:
        """The rows of a batch of `count` that this process computes; none where there are fewer rows than processes."""
        return slice(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The sums over the processes, sent together; the tensors themselves where there is one process."""
        if self.accelerator is None or self.world == 1:
            return list(tensors)
        total = self.accelerator.reduce(torch.cat([tensor.flatten() for tensor in tensors]), "sum")
        parts = total.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def of_the_first(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The tensors of the first process: what all compute alike can drift apart by a rounding on a GPU."""
        return list(tensors) if self.world == 1 else broadcast(list(tensors))


ALONE = Shares()
