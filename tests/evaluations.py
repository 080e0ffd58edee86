"""Evaluations at toy size, for tests of several rooms."""

from typing import Any

from ddgs_hub.evaluation import Evaluation
from ddgs_hub.recipe import Protocol


def an_evaluation(accuracies: list[list[float]], **changes: Any) -> Evaluation:
    """The evaluation of ten classes with these accuracies, [repeat][test] in %, one test an epoch."""
    tests = len(accuracies[0])
    values = {
        "protocol": Protocol(epochs=tests, repeats=len(accuracies)),
        "ipc": 10,
        "seed": 0,
        "epochs": tests,
        "num_classes": 10,
        "train_images": 100,
        "validation_images": 500,
        "evaluation_epochs": list(range(1, tests + 1)),
        "accuracies": accuracies,
    }
    return Evaluation(**{**values, **changes})
