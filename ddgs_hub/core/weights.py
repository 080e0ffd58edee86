"""Weights that a stranger may have written: the tensors in a file before it is loaded, and models that must fit them.

A configuration of a few bytes can ask for a model of any size. So a model is first built on torch's meta device, where
tensors have shapes and no numbers, and refused as soon as it is larger than its weights justify.
"""

import argparse
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as schema
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules import module as registration

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import require_file
from ddgs_hub.core.schema import FOREIGN, Name, read_json
from ddgs_hub.core.text import quoted

DAMAGED = "it is damaged, or no checkpoint: download or save it again"
# Types of numbers in safetensors that all versions of torch know.
TYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16", "I8", "U8", "BOOL")
MOST_TENSORS = 50_000  # of a model; the largest image classifiers have 3,000
LARGEST_SETTING = 2**20  # for numbers in a configuration: no width and no count is larger
# Keys for the number of layers: libraries make lists of that length before they make a layer.
LAYERS = re.compile("depth|layers|blocks|repeat|stages")
# Keys for the size of images in pixels: libraries count the positions in them before they make a tensor.
SIDES, LARGEST_SIDE = re.compile("image_size|img_size|input_size|resolution|window_size"), 2048
# How much larger than its weights a model may be: parameters may be shared, or resized when they are loaded, and some
# tensors are computed from the configuration, such as the positions of patches. The spare amounts are for small models.
FACTOR, PARTS_OF_A_TENSOR = 4, 50
SPARE_NUMBERS, SPARE_PARTS = 2**24, 2_000


@dataclass(frozen=True)
class TensorShapes:
    """The tensors in files of weights.

    Attributes:
        shapes: name of a tensor → its shape.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def numbers(self) -> int:
        """The number of elements of all tensors."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())


@schema(config=FOREIGN)
class _Index:
    """The index of weights in several files: name of a tensor → file, which must lie beside the index."""

    weight_map: dict[Name, Annotated[str, Field(pattern=r"^[\w-][\w.-]*\.safetensors$", max_length=200)]]


def read_headers(files: Iterable[Path]) -> TensorShapes:
    """The tensors in safetensors files, by the headers of the files; no weights are read.

    Raises:
        InputError: a file is damaged, is no safetensors file, or has too many tensors or unknown types; the message
            does not name the file.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        require_file(path, "it")
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
                if len(names) > MOST_TENSORS:
                    raise InputError(f"it has {len(names):,} tensors, which no model has: get another one")
                for name in names:
                    tensor = file.get_slice(name)
                    if tensor.get_dtype() not in TYPES:
                        raise InputError(f"its tensor {quoted(name)} is of a type that is not read: save it as float32")
                    shapes[name] = tuple(tensor.get_shape())
        except (OSError, SafetensorError) as error:
            raise InputError(DAMAGED) from error
    return TensorShapes(shapes)


def read_shards(index: Path, where: str) -> list[str]:
    """The names of the safetensors files in an index; they lie beside it.

    Raises:
        InputError: the file is no index, or names a file elsewhere.
    """
    return sorted(set(read_json(index, _Index, where).weight_map.values()))


def read_pickle(path: Path) -> dict[str, Any]:
    """The tensors and plain values in a file that `torch.save` wrote; objects in it are never unpickled.

    Raises:
        InputError: the file holds objects, is damaged, or is no checkpoint; the message does not name the file.
    """
    try:
        # The training scripts of DiT and Minimax save their arguments beside the weights: a namespace of plain values.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is said below
            # Mapped: the state of the optimizer beside the weights, three times as large, is not read.
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # for bytes that are no checkpoint torch can raise anything, even OSError
        if match := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"besides tensors it holds {match[1]}, and objects are not loaded, since that can run any code: "
                "save its 'ema' or 'model' in a file of its own"
            ) from error
        raise InputError(DAMAGED) from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"it holds a {type(checkpoint).__name__}: save the state_dict() of a model")
    return checkpoint


def shapes_of(tensors: Mapping[str, Tensor]) -> TensorShapes:
    """The tensors of a state dict.

    Raises:
        InputError: a tensor is sparse, quantized or complex, or claims more numbers than the file has for it.
    """
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
            raise InputError(f"its tensor {quoted(name)} is no plain one: save the state_dict() of a model")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(f"its tensor {quoted(name)} claims more numbers than there are: download or save it again")
    return TensorShapes({str(name): tuple(tensor.shape) for name, tensor in tensors.items()})


def check_settings(values: Any, weights: TensorShapes | None, where: str, *, largest: int = LARGEST_SETTING) -> None:
    """Refuses a configuration with numbers that no model has, or with more layers than there are tensors.

    Args:
        values: the configuration.
        weights: of the model; None: the configuration does not describe layers.
        where: the configuration, for messages.
        largest: the largest number that is allowed; for sizes of images it is `LARGEST_SIDE`, if that is smaller.

    Raises:
        InputError: the message names the key.
    """
    layers: dict[str, float] = {}
    for key, number in _numbers(values):
        if abs(number) > (min(largest, LARGEST_SIDE) if SIDES.search(key) else largest):
            raise InputError(f"{where} has {number:.9g} for {quoted(key)}, which no model has: get another one")
        if weights is not None and LAYERS.search(key):
            layers[key] = layers.get(key, 0) + abs(number)
            if layers[key] > len(weights.shapes):
                has = f"more than the {len(weights.shapes)} tensors of its weights"
                raise InputError(f"{where} has {layers[key]:.9g} for {quoted(key)}, {has}: get another one")


@contextmanager
def building_within(weights: TensorShapes, where: str) -> Iterator[None]:
    """In the block, models are built on the meta device, and refused as soon as they are too large for the weights.

    Args:
        weights: of the model.
        where: what is built, for messages.

    Raises:
        InputError: the model is too large, see `FACTOR`.
    """
    budget = _Budget(weights, where)
    with ExitStack() as stack:
        for register, count in (
            (registration.register_module_parameter_registration_hook, budget.tensor),
            (registration.register_module_buffer_registration_hook, budget.tensor),
            (registration.register_module_module_registration_hook, budget.part),
        ):
            stack.callback(register(count).remove)
        stack.enter_context(torch.device("meta"))
        yield


def require_fit(model: nn.Module, weights: TensorShapes) -> None:
    """Checks that tensors of the same name have the same shape in a model and in its weights.

    Raises:
        InputError: the message names the first tensor with two shapes.
    """
    for name, tensor in model.state_dict().items():
        shape = weights.shapes.get(name)
        if shape is not None and shape != tuple(tensor.shape):
            raise InputError(
                f"its weights have {quoted(name)} as {list(shape)}, its configuration as {list(tensor.shape)}: "
                "get both from the same place"
            )


def require_finite(tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Checks that all numbers are finite.

    Args:
        tensors: name and tensor.

    Raises:
        InputError: a number is NaN or infinite; the message names its tensor.
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            # If a number is NaN, so are the smallest and the largest. isfinite() would take a quarter more memory.
            smallest, largest = torch.aminmax(tensor.detach())
            if not (smallest.isfinite() and largest.isfinite()):
                raise InputError(f"its tensor {quoted(name)} has numbers that are NaN or infinite: get another one")


class _Budget:
    """Counts down what a model may still register while it is built."""

    def __init__(self, weights: TensorShapes, where: str) -> None:
        self.where = where
        self.numbers = FACTOR * weights.numbers + SPARE_NUMBERS
        self.parts = PARTS_OF_A_TENSOR * len(weights.shapes) + SPARE_PARTS

    def tensor(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        """Counts a parameter or a buffer."""
        self.numbers -= tensor.numel() if tensor is not None else 0
        self.part()

    def part(self, *args: object) -> None:
        """Counts anything that has a name in a module."""
        self.parts -= 1
        if self.numbers < 0 or self.parts < 0:
            raise InputError(f"{self.where} asks for more than its weights hold: get both from the same place")


def _numbers(values: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """All numbers in JSON values, each with the nearest key above it."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _numbers(value, name)
    elif isinstance(values, list):
        for value in values:
            yield from _numbers(value, key)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield key, values
