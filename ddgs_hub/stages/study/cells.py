"""One cell of a study: a network that is trained on one set of images and tested on the validation images."""

import io
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as checked_dataclass

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import put_in_place
from ddgs_hub.core.parquet import write_parquet
from ddgs_hub.core.processes import get_accelerator, get_state, is_distributed
from ddgs_hub.core.progress import Progress
from ddgs_hub.core.rows import class_names, read_rows
from ddgs_hub.core.schema import FOREIGN, read_json
from ddgs_hub.original import ImageHashes, halves_mask
from ddgs_hub.recipe import Protocol, Recipe
from ddgs_hub.recipe.study import Cell, Study
from ddgs_hub.stages.provenance import code_commit
from ddgs_hub.stages.run_folder import write_json
from ddgs_hub.stages.study.sets import ImageSet, Sets, of_draw
from ddgs_hub.stages.study.tasks import Task

if TYPE_CHECKING:
    import torch

    from ddgs_hub.evaluation.tensors import Examples


@checked_dataclass(frozen=True, kw_only=True, config=FOREIGN)
class CellResult:
    """What a cell gave: a line of `cells.parquet`."""

    dataset: str
    method: str
    distribution: str | None  # of `ours`, like the size of the pool: the recipe's, where the study gives none
    pool_size: int | None
    ipc: int | None  # as the study asks for it; None: the full dataset
    network: str
    width: int | None
    repeat: int
    seed: int  # of weights, batches and augmentation
    train_images: int
    epochs: int
    best: float  # the highest of all tests, %: chosen on the validation images
    last: float  # the test after the last epoch, %
    accuracies: list[float]  # of all tests, %
    seconds: float
    commit: str  # of the code
    device: str  # `cpu` or `cuda`
    precision: str  # as accelerate has it: `no` is float32
    divergence: str | None = None  # of `ours`, as the study gives it, like the two that follow
    mixture: float | None = None
    pool: str | None = None  # what it samples from
    draw: int = 0  # of the set, see `Study.draws`
    # With halves, see `Study.halves`: the tests on the half that chooses, %; then all above are of the other half.
    choosing: list[float] = field(default_factory=list)

    @property
    def images_seen(self) -> int:
        """How many images the training showed the network."""
        return self.epochs * self.train_images


# A column without a value would have no type of its own.
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "method", "distribution")),
        *((name, pa.int64()) for name in ("pool_size", "ipc")),
        ("network", pa.string()),
        *((name, pa.int64()) for name in ("width", "repeat", "seed", "train_images", "epochs")),
        *((name, pa.float64()) for name in ("best", "last")),
        ("accuracies", pa.list_(pa.float64())),
        ("seconds", pa.float64()),
        *((name, pa.string()) for name in ("commit", "device", "precision")),
        ("divergence", pa.string()),
        ("mixture", pa.float64()),
        ("pool", pa.string()),
        ("draw", pa.int64()),
        ("choosing", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class Loaded:
    """Images on the device, for all networks of one image size."""

    examples: "Examples"
    ipc: int  # images per class, by the rows
    num_classes: int


@dataclass(frozen=True)
class Tests:
    """The validation images on the device: those that accuracies are of, and the half that chooses, if one does."""

    reporting: "Examples"
    choosing: "Examples | None" = None


class Cells:
    """The cells of one dataset: their files, and how one is computed.

    Args:
        recipe: of the dataset; its `evaluate` is the protocol.
        sets: the sets of images.
        study: how they are trained and tested.
    """

    def __init__(self, recipe: Recipe, sets: Sets, study: Study) -> None:
        self.recipe, self.sets, self.study = recipe, sets, study
        self._load = lru_cache(maxsize=1)(self._load_images)  # cells of one set come one after the other
        self._load_tests = lru_cache(maxsize=1)(self._load_validation)

    def tasks(self, cells: Iterable[Cell]) -> list[Task]:
        """A task for each cell; it needs the set."""
        return [self._task(cell) for cell in cells]

    def path(self, cell: Cell) -> Path:
        """The file of a cell's result."""
        return self.sets.folders.cells / f"{self._name(cell)}.json"

    def is_done(self, cell: Cell) -> bool:
        """Whether there is a result."""
        return self.path(cell).is_file()

    def read(self, cell: Cell) -> CellResult:
        """The result of a cell.

        Raises:
            InputError: it is not done, or its file is damaged.
        """
        return read_json(self.path(cell), CellResult, str(self.path(cell)))

    def protocol(self, cell: Cell) -> Protocol:
        """How the network of a cell is trained."""
        protocol = self.recipe.evaluate.with_network(cell.network.network, cell.network.width)
        return replace(protocol, repeats=1, epochs=self.study.epochs.get(cell.ipc or 0, protocol.epochs))

    def _name(self, cell: Cell) -> str:
        images = f"{cell.method.method}-ipc{cell.ipc}{of_draw(cell)}" if cell.ipc else cell.method.method
        if cell.method.method == "ours":
            images = self.sets.image_set(cell).task  # its name tells all settings
        width = self.protocol(cell).width
        of_width = f"-w{width}" if width else ""
        epochs = f"-e{self.study.epochs[cell.ipc]}" if cell.ipc in self.study.epochs else ""
        halves = "-halves" if self.study.halves else ""
        return f"{images}-{cell.network.network}{of_width}{epochs}-{cell.repeat}{halves}"

    def _task(self, cell: Cell) -> Task:
        name = self._name(cell)
        return Task(name, lambda: self.is_done(cell), lambda: self._compute(cell), (self.sets.image_set(cell).task,))

    def _compute(self, cell: Cell) -> None:
        """Trains and tests the network of a cell, and writes its result."""
        from ddgs_hub.evaluation.evaluate import accuracy, train_network

        protocol, start = self.protocol(cell), time.perf_counter()
        images, tests = self._load(self.sets.image_set(cell)), self._load_tests()
        epochs, seed = protocol.epochs_for(images.ipc), self.recipe.seed + cell.repeat
        choosing: list[float] = []

        def test_choosing(network: "torch.nn.Module") -> None:
            if tests.choosing is not None:
                choosing.append(accuracy(network, tests.choosing))

        with Progress("train", epochs, unit="epoch", images=len(images.examples)) as progress:

            def after_epoch(_: int, values: Mapping[str, Any]) -> None:
                progress.add(**values)
                progress.update()

            arguments = (images.examples, tests.reporting, protocol, images.num_classes)
            train = partial(train_network, after_epoch=after_epoch, on_test=test_choosing)
            accuracies = train(*arguments, epochs=epochs, seed=seed)
        is_ours = cell.method.method == "ours"
        best = int(np.argmax(choosing or accuracies))  # the first of equal ones
        result = CellResult(
            dataset=cell.dataset,
            method=cell.method.method,
            distribution=self.sets.distribution(cell) if is_ours else None,
            pool_size=self.sets.pool_size(cell) if is_ours else None,
            ipc=cell.ipc,
            network=cell.network.network,
            width=protocol.width,
            repeat=cell.repeat,
            seed=seed,
            train_images=len(images.examples),
            epochs=epochs,
            best=accuracies[best],
            last=accuracies[-1],
            accuracies=accuracies,
            seconds=round(time.perf_counter() - start, 2),
            commit=code_commit(),
            device=str(images.examples.labels.device.type),
            precision=get_accelerator().mixed_precision,
            divergence=cell.method.divergence,
            mixture=cell.method.mixture,
            pool=cell.method.samples_from,
            draw=cell.draw,
            choosing=choosing,
        )
        self.path(cell).parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path(cell), asdict(result))

    def _load_images(self, images: ImageSet) -> "Loaded":
        from ddgs_hub.evaluation.tensors import images_per_class, load_examples, same_classes

        rows, protocol = images.read(), self.recipe.evaluate
        where = f"the images in {images.folder}"
        same_classes(rows, read_rows(self.sets.folders.original, "validation", names=["label"]))
        examples = load_examples(rows, protocol, training=True, where=where, device=_device())
        return Loaded(examples, images_per_class(rows), len(class_names(rows)))

    def _load_validation(self) -> Tests:
        from ddgs_hub.evaluation.tensors import load_examples

        rows = read_rows(self.sets.folders.original, "validation")
        where = "the validation images"

        def load(part: Dataset) -> "Examples":
            return load_examples(part, self.recipe.evaluate, training=False, where=where, device=_device())

        if not self.study.halves:
            return Tests(load(rows))
        chooses = choosing_half(rows)
        return Tests(load(rows.select(np.flatnonzero(~chooses))), load(rows.select(np.flatnonzero(chooses))))


def choosing_half(rows: Dataset) -> NDArray[np.bool_]:
    """Which validation images choose, `(N,)`: of each class the half with the smallest hashes of their bytes.

    Raises:
        InputError: a class has too few different images to be divided.
    """
    images = ImageHashes()
    for _ in images.record([rows.with_format("arrow")[:]]):
        pass
    names = class_names(rows)
    chooses = halves_mask(images.hashes, images.labels, len(names))
    missing = set(range(len(names))) - set(images.labels[~chooses].tolist())
    if missing:
        raise InputError(
            f"class '{names[min(missing)]}' has fewer than two different validation images, and the study divides "
            "them into halves: add some, or set halves: false"
        )
    return chooses


def _device() -> "torch.device":
    """The device of this process: in a launch each has its own."""
    from ddgs_hub.evaluation.tensors import default_device

    return get_state().device if is_distributed() else default_device()


def write_cells(results: Sequence[CellResult], path: Path) -> None:
    """Writes results as one Parquet file, whole or not at all."""
    buffer = io.BytesIO()
    write_parquet([pa.Table.from_pylist([asdict(result) for result in results], SCHEMA)], SCHEMA, buffer)
    put_in_place(path, buffer.getvalue())
