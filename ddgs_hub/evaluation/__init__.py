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
    from ddgs_hub.evaluation.augmentation import IMAGENET_MEAN, IMAGENET_STD, mix
    from ddgs_hub.evaluation.evaluate import Evaluation, train_network, train_networks
    from ddgs_hub.evaluation.figures import (
        ClassDifficulties,
        Difficulties,
        ScoredImages,
        SheetRow,
        difficulty_figure,
        distributions_figure,
        image_sheet,
        save_figure,
        scored_figure,
        spread_indices,
    )
    from ddgs_hub.evaluation.networks import Embedding, build_network, check_network
    from ddgs_hub.evaluation.tables import accuracy_table
    from ddgs_hub.evaluation.tensors import Examples, for_validation, images_per_class, load_examples, same_classes
    from ddgs_hub.evaluation.transforms import TrainTransform, ValidationTransform

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ClassDifficulties",
    "Difficulties",
    "Embedding",
    "Evaluation",
    "Examples",
    "Protocol",
    "ScoredImages",
    "SheetRow",
    "TrainTransform",
    "ValidationTransform",
    "accuracy_table",
    "build_network",
    "check_network",
    "difficulty_figure",
    "distributions_figure",
    "for_validation",
    "image_sheet",
    "images_per_class",
    "load_examples",
    "mix",
    "same_classes",
    "save_figure",
    "scored_figure",
    "spread_indices",
    "train_network",
    "train_networks",
]

_MODULES = {
    "augmentation": ("IMAGENET_MEAN", "IMAGENET_STD", "mix"),
    "evaluate": ("Evaluation", "train_network", "train_networks"),
    "figures": (
        *("ClassDifficulties", "Difficulties", "ScoredImages", "SheetRow"),
        *("difficulty_figure", "distributions_figure", "image_sheet", "scored_figure"),
        *("save_figure", "spread_indices"),
    ),
    "networks": ("Embedding", "build_network", "check_network"),
    "tables": ("accuracy_table",),
    "tensors": ("Examples", "for_validation", "images_per_class", "load_examples", "same_classes"),
    "transforms": ("TrainTransform", "ValidationTransform"),
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
