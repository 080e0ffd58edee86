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
    from ddgs_hub.evaluation.evaluate import Evaluation
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
    from ddgs_hub.evaluation.networks import build_network
    from ddgs_hub.evaluation.tables import accuracy_table
    from ddgs_hub.evaluation.tensors import same_classes
    from ddgs_hub.evaluation.transforms import TrainTransform, ValidationTransform

__all__ = [
    "ClassDifficulties",
    "Difficulties",
    "Evaluation",
    "Protocol",
    "ScoredImages",
    "SheetRow",
    "TrainTransform",
    "ValidationTransform",
    "accuracy_table",
    "build_network",
    "difficulty_figure",
    "distributions_figure",
    "image_sheet",
    "mix",
    "same_classes",
    "save_figure",
    "scored_figure",
    "spread_indices",
]

_MODULES = {
    "augmentation": ("mix",),
    "evaluate": ("Evaluation",),
    "figures": (
        *("ClassDifficulties", "Difficulties", "ScoredImages", "SheetRow"),
        *("difficulty_figure", "distributions_figure", "image_sheet", "scored_figure"),
        *("save_figure", "spread_indices"),
    ),
    "networks": ("build_network",),
    "tables": ("accuracy_table",),
    "tensors": ("same_classes",),
    "transforms": ("TrainTransform", "ValidationTransform"),
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
