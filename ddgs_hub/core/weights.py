"""Weights that a stranger may have written: what files hold, before they are loaded, and models held against it.

A configuration of a few bytes can ask for a model of any size. So a model is first built where tensors have shapes and
no numbers (torch's meta device), and refused as soon as it has more than its weights can fill.
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
# Of numbers in safetensors, as it calls them: what torch knows in all its versions.
TYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16", "I8", "U8", "BOOL")
MOST_TENSORS = 50_000  # of a model; the largest image classifiers have 3,000
LARGEST_SETTING = 2**20  # a number in a configuration: no width, and no count, is larger
# Keys of configurations that say how many layers there are: libraries make lists of that length before any layer.
LAYERS = re.compile("depth|layers|blocks|repeat|stages")
# Keys that say how large images are, in pixels: positions in them are counted before there is any tensor.
SIDES, LARGEST_SIDE = re.compile("image_size|img_size|input_size|resolution|window_size"), 2048
# What a model may have beyond its weights: parameters that are shared or resized when they are loaded, and what is
# computed of the configuration, such as the positions of patches. A classifier of a few kilobytes has its own, too.
FACTOR, PARTS_OF_A_TENSOR = 4, 50
SPARE_NUMBERS, SPARE_PARTS = 2**24, 2_000


@dataclass(frozen=True)
class Weights:
    """What files hold.

    Attributes:
        shapes: of each tensor, by its name.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def numbers(self) -> int:
        """Numbers in all tensors."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())


@schema(config=FOREIGN)
class _Index:
    """Which file of several holds a tensor; only files beside it."""

    weight_map: dict[Name, Annotated[str, Field(pattern=r"^[\w-][\w.-]*\.safetensors$", max_length=200)]]


def read_headers(files: Iterable[Path]) -> Weights:
    """What safetensors files hold, by their headers; no weights are read.

    Raises:
        InputError: a file is damaged, or no such file; the message does not name it.
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
    return Weights(shapes)


def read_shards(index: Path, where: str) -> list[str]:
    """The names of the safetensors files that an index names, which lie beside it.

    Raises:
        InputError: it names a file elsewhere, or is no index.
    """
    return sorted(set(read_json(index, _Index, where).weight_map.values()))


def read_pickle(path: Path) -> dict[str, Any]:
    """What is in a file that torch saved: tensors and plain values; objects in it are never unpickled.

    Raises:
        InputError: it holds other objects, is damaged, or is no checkpoint; the message does not name it.
    """
    try:
        # The training scripts of DiT and Minimax put their arguments beside the weights: a namespace of plain values.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what there is to say of a file that torch finds odd is said below
            # Mapped, so that the optimizer beside the weights, three times as large, is not read.
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # bytes that are no checkpoint can end in any exception, even in OSError
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"besides tensors it holds {found[1]}, and objects are not loaded, since that can run any code: "
                "save its 'ema' or 'model' in a file of its own"
            ) from error
        raise InputError(DAMAGED) from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"it holds a {type(checkpoint).__name__}: save the state_dict() of a model")
    return checkpoint


def weights_of(tensors: Mapping[str, Tensor]) -> Weights:
    """What a state dict holds.

    Raises:
        InputError: a tensor is sparse or of no real numbers, or claims more numbers than the file has for it.
    """
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
            raise InputError(f"its tensor {quoted(name)} is no plain one: save the state_dict() of a model")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(f"its tensor {quoted(name)} claims more numbers than there are: download or save it again")
    return Weights({str(name): tuple(tensor.shape) for name, tensor in tensors.items()})


def check_settings(values: Any, weights: Weights | None, where: str, *, largest: int = LARGEST_SETTING) -> None:
    """Refuses numbers of a configuration that no model has, and more layers than there are weights.

    Args:
        values: JSON.
        weights: of the model; None: the configuration is not of a model's layers.
        where: what it is, for messages.
        largest: number that may be in it; sides of images are smaller.

    Raises:
        InputError: names the key.
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
def justified_by(weights: Weights, where: str) -> Iterator[None]:
    """What is built within is on the meta device, and refused as soon as it has more than the weights can fill.

    Args:
        weights: of the model.
        where: what is built, for messages.

    Raises:
        InputError: it is too large.
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


def require_fit(model: nn.Module, weights: Weights) -> None:
    """Compares a model with the weights that have its names.

    Raises:
        InputError: a tensor is of another shape.
    """
    for name, tensor in model.state_dict().items():
        found = weights.shapes.get(name)
        if found is not None and found != tuple(tensor.shape):
            raise InputError(
                f"its weights have {quoted(name)} as {list(found)}, its configuration as {list(tensor.shape)}: "
                "get both from the same place"
            )


def require_finite(tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Looks at every number of the tensors, by name.

    Raises:
        InputError: one is NaN or infinite.
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            # The smallest and the largest are NaN where any is; isfinite() would take a quarter more memory.
            smallest, largest = torch.aminmax(tensor.detach())
            if not (smallest.isfinite() and largest.isfinite()):
                raise InputError(f"its tensor {quoted(name)} has numbers that are NaN or infinite: get another one")


class _Budget:
    """Counts what is registered in modules while a model is built."""

    def __init__(self, weights: Weights, where: str) -> None:
        self.where = where
        self.numbers = FACTOR * weights.numbers + SPARE_NUMBERS
        self.parts = PARTS_OF_A_TENSOR * len(weights.shapes) + SPARE_PARTS

    def tensor(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        """A parameter or a buffer."""
        self.numbers -= tensor.numel() if tensor is not None else 0
        self.part()

    def part(self, *args: object) -> None:
        """Anything that has a name in a module."""
        self.parts -= 1
        if self.numbers < 0 or self.parts < 0:
            raise InputError(f"{self.where} asks for more than its weights hold: get both from the same place")


def _numbers(values: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _numbers(value, name)
    elif isinstance(values, list):
        for value in values:
            yield from _numbers(value, key)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield key, values
