"""How much work a cell is, to tell from those that are done how long the others take."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from ddgs_hub.core.rows import class_names, read_rows
from ddgs_hub.recipe.study import Cell
from ddgs_hub.stages.study.cells import Cells

BACKWARD = 3  # a step of training is about three forward passes


class Effort:
    """The work of the cells of one dataset, and the speed at which it was done.

    Args:
        cells: of the dataset, whose original images are there.
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        original = cells.sets.folders.original
        labels = read_rows(original, names=["label"])
        self.num_classes = len(class_names(labels))
        self.largest_class = int(np.bincount(np.asarray(labels["label"])).max())
        self.images = len(labels)
        self.tests = len(read_rows(original, "validation", names=["label"]))

    def of(self, cell: Cell) -> float:
        """Floating-point operations of training and testing the network of a cell."""
        protocol = self.cells.protocol(cell)
        images = cell.ipc * self.num_classes if cell.ipc else self.images
        epochs = protocol.epochs_for(cell.ipc or self.largest_class)
        passes = BACKWARD * epochs * images + len(protocol.evaluation_epochs(epochs)) * self.tests
        return passes * _forward_flops(protocol.network, protocol.width, protocol.image_size, self.num_classes)

    def seconds_left(self, done: Iterable[Cell], left: Iterable[Cell]) -> float | None:
        """How long one worker takes for the cells that are left, by those that are done; None if none is."""
        measured = list(done)
        if not measured:
            return None
        seconds = sum(self.cells.read(cell).seconds for cell in measured)
        return seconds / sum(map(self.of, measured)) * sum(map(self.of, left))


@lru_cache
def _forward_flops(network: str, width: int | None, image_size: int, num_classes: int) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ddgs_hub.evaluation import build_network

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_network(network, num_classes, image_size, width=width)(torch.empty(1, 3, image_size, image_size))
    return int(counter.get_total_flops())
