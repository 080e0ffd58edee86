"""Evaluation: networks trained from scratch on a dataset under the reference's protocol, tables and figures.

Takes rows (`image`, `label`) and a `Protocol` and gives accuracies over repeats. This room does not know how a dataset
was selected, nor what a run folder looks like: figures get arrays of difficulties, tables get evaluations.

The names below are imported on first use, so that a look at the room loads neither torch nor matplotlib. The function
`evaluate` is in the module of its name: `from ddgs_hub.evaluation.evaluate import evaluate`.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.lazy import lazy_names
from ddgs_hub.recipe import Protocol

if TYPE_CHECKING:
    from ddgs_hub.evaluation.augmentation import mix
    from ddgs_hub.evaluation.evaluate import Evaluation, train_network, train_networks
    from ddgs_hub.evaluation.figures import (
        ClassDifficulties,
        Difficulties,
        SheetRow,
        difficulty_figure,
        image_sheet,
        scored_figure,
    )
    from ddgs_hub.evaluation.networks import build_network, check_network
    from ddgs_hub.evaluation.tables import accuracy_table
    from ddgs_hub.evaluation.tensors import Examples, images_per_class, load_examples, same_classes
    from ddgs_hub.evaluation.transforms import TrainTransform, ValidationTransform

__all__ = [
    "ClassDifficulties",
    "Difficulties",
    "Evaluation",
    "Examples",
    "Protocol",
    "SheetRow",
    "TrainTransform",
    "ValidationTransform",
    "accuracy_table",
    "build_network",
    "check_network",
    "difficulty_figure",
    "image_sheet",
    "images_per_class",
    "load_examples",
    "mix",
    "same_classes",
    "scored_figure",
    "train_network",
    "train_networks",
]

_MODULES = {
    "augmentation": ("mix",),
    "evaluate": ("Evaluation", "train_network", "train_networks"),
    "figures": (
        *("ClassDifficulties", "Difficulties", "SheetRow"),
        *("difficulty_figure", "image_sheet", "scored_figure"),
    ),
    "networks": ("build_network", "check_network"),
    "tables": ("accuracy_table",),
    "tensors": ("Examples", "images_per_class", "load_examples", "same_classes"),
    "transforms": ("TrainTransform", "ValidationTransform"),
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
