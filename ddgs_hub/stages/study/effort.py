"""How much work a cell is, to tell how long the cells take: by those that are done, or by a few steps of training."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from datasets import ClassLabel

from ddgs_hub.core.files import expanded
from ddgs_hub.core.parquet import open_parquet
from ddgs_hub.core.rows import class_names, read_rows, row_files
from ddgs_hub.original import ColumnNames, get_subset, is_built_in, open_source
from ddgs_hub.recipe import Protocol, Recipe
from ddgs_hub.recipe.study import Cell
from ddgs_hub.stages.study.cells import Cells

BACKWARD = 3  # a step of training is about three forward passes
STEPS = 6  # that are timed, with one to warm up
TIMED = 16  # images of a step that is timed, at most: ImageNet's size is slow on a CPU


@dataclass(frozen=True)
class Counts:
    """How many images there are.

    Attributes:
        classes: that there are.
        train: for training.
        largest_class: of these, in the largest class.
        tests: for testing.
    """

    classes: int
    train: int
    largest_class: int
    tests: int


def prepared_counts(original: Path) -> Counts:
    """Those of a study's original images."""
    labels = read_rows(original, names=["label"])
    largest = int(np.bincount(np.asarray(labels["label"])).max())
    tests = len(read_rows(original, "validation", names=["label"]))
    return Counts(len(class_names(labels)), len(labels), largest, tests)


def source_counts(recipe: Recipe) -> Counts | None:
    """About those that a recipe's images will be; None where they are on the Hub, or their number is not known."""
    data = recipe.data
    if data.validation_share is not None or not (is_built_in(data.original) or expanded(data.original).is_dir()):
        return None
    columns, numbers = ColumnNames(data.image_column, data.label_column), []
    for split in (data.train_split, data.validation_split):
        rows = open_source(data.original, split, column_names=columns)
        files = row_files(expanded(data.original), split)
        numbers.append(sum(_rows_of(file, rows.where) for file in files) or rows.expected)
    label, (train, tests) = rows.features["label"], numbers
    if not train or not tests or not isinstance(label, ClassLabel):
        return None
    there = len(label.names)
    classes = min(len(get_subset(data.subset).class_names), there) if data.subset else there
    images = round(train * classes / there)
    return Counts(classes, images, -(-images // classes), round(tests * classes / there))


def _rows_of(file: Path, where: str) -> int:
    with open_parquet(file, where) as opened:
        return int(opened.metadata.num_rows)


class Effort:
    """The work of the cells of one dataset, and the speed at which it was done.

    Args:
        cells: of the dataset.
        counts: of its images.
    """

    def __init__(self, cells: Cells, counts: Counts) -> None:
        self.cells, self.counts = cells, counts

    @classmethod
    def of_study(cls, cells: Cells) -> "Effort | None":
        """By the original images as they are prepared, or as their source has them; None: it is not known."""
        original = cells.sets.folders.original
        if row_files(original) and row_files(original, "validation"):
            return cls(cells, prepared_counts(original))
        counts = source_counts(cells.recipe)
        return cls(cells, counts) if counts else None

    def images_seen(self, cell: Cell) -> tuple[int, int]:
        """How many images the network of a cell is trained on, all epochs together, and tested on."""
        protocol, counts = self.cells.protocol(cell), self.counts
        images = cell.ipc * counts.classes if cell.ipc else counts.train
        epochs = protocol.epochs_for(cell.ipc or counts.largest_class)
        return epochs * images, len(protocol.evaluation_epochs(epochs)) * counts.tests

    def of(self, cell: Cell) -> float:
        """Floating-point operations of training and testing the network of a cell."""
        protocol, (trained, tested) = self.cells.protocol(cell), self.images_seen(cell)
        flops = _forward_flops(protocol.network, protocol.width, protocol.image_size, self.counts.classes)
        return (BACKWARD * trained + tested) * flops

    def seconds_left(self, done: Iterable[Cell], left: Iterable[Cell]) -> float | None:
        """How long one worker takes for the cells that are left, by those that are done; None if none is."""
        measured = list(done)
        if not measured:
            return None
        seconds = sum(self.cells.read(cell).seconds for cell in measured)
        return seconds / sum(map(self.of, measured)) * sum(map(self.of, left))

    def predicted(self, cells: Iterable[Cell]) -> float:
        """How long one worker takes for the cells, by a few steps of each network on noise, which are timed now."""
        seconds = 0.0
        for cell in cells:
            trained, tested = self.images_seen(cell)
            training, testing = _seconds_per_image(self.cells.protocol(cell), self.counts.classes)
            seconds += trained * training + tested * testing
        return seconds


@cache
def _seconds_per_image(protocol: Protocol, num_classes: int) -> tuple[float, float]:
    """Of training and of testing a network."""
    import torch

    from ddgs_hub.evaluation.evaluate import accuracy, train_network
    from ddgs_hub.evaluation.networks import build_network
    from ddgs_hub.evaluation.tensors import Examples, default_device

    count, device = min(TIMED, protocol.batch_size), default_device()

    def noise(side: int) -> Examples:
        pixels = torch.randint(256, (count * 3 * side * side,), dtype=torch.uint8, device=device)
        return Examples(pixels, torch.full((count, 2), side), torch.arange(count, device=device) % num_classes)

    examples, tests = noise(round(protocol.image_size / protocol.crop_scale**0.5)), noise(protocol.image_size)
    network = build_network(protocol.network, num_classes, protocol.image_size, width=protocol.width).to(device)
    accuracy(network, tests)
    start = time.perf_counter()
    accuracy(network, tests)
    testing, ends = time.perf_counter() - start, [0.0]

    def note(*_: object) -> None:
        ends.append(time.perf_counter())

    train_network(examples, tests, protocol, num_classes, epochs=STEPS, seed=0, after_epoch=note)
    # The last epoch is tested, the first warms up.
    return (ends[-2] - ends[1]) / (STEPS - 2) / count, testing / count


@lru_cache
def _forward_flops(network: str, width: int | None, image_size: int, num_classes: int) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ddgs_hub.evaluation import build_network

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_network(network, num_classes, image_size, width=width)(torch.empty(1, 3, image_size, image_size))
    return int(counter.get_total_flops())
