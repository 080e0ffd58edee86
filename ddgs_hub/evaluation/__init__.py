"""Evaluation: networks trained from scratch on a dataset under the reference's protocol, tables and figures.

Takes rows (`image`, `label`) and a `Protocol` and gives accuracies over repeats. This room does not know how a dataset
was selected, nor what a run folder looks like: figures get arrays of difficulties, tables get evaluations.

The names below are imported on first use, so that a look at the room loads neither torch nor matplotlib. The function
`evaluate` is in the module of its name: `from ddgs_hub.evaluation.evaluate import evaluate`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddgs_hub.recipe import Protocol

if TYPE_CHECKING:
    from ddgs_hub.evaluation.augmentation import mix
    from ddgs_hub.evaluation.evaluate import Evaluation
    from ddgs_hub.evaluation.figures import (
        ClassDifficulties,
        Difficulties,
        SheetRow,
        difficulty_figure,
        image_sheet,
        scored_figure,
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
    "SheetRow",
    "TrainTransform",
    "ValidationTransform",
    "accuracy_table",
    "build_network",
    "difficulty_figure",
    "image_sheet",
    "mix",
    "same_classes",
    "scored_figure",
]

_MODULES = {
    "mix": "augmentation",
    "Evaluation": "evaluate",
    "ClassDifficulties": "figures",
    "Difficulties": "figures",
    "SheetRow": "figures",
    "difficulty_figure": "figures",
    "image_sheet": "figures",
    "scored_figure": "figures",
    "build_network": "networks",
    "accuracy_table": "tables",
    "same_classes": "tensors",
    "TrainTransform": "transforms",
    "ValidationTransform": "transforms",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
