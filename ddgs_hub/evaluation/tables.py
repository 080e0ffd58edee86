"""The table of accuracies, for a terminal and for a card."""

from collections.abc import Mapping
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.markdown import cell, table
from ddgs_hub.evaluation.evaluate import Evaluation

MEANINGS = {
    "best": "the highest of a repeat's evaluations on the validation images",
    "last": "the evaluation after the last epoch",
}


def accuracy_table(results: Mapping[str, Evaluation], which: str = "best") -> str:
    """A Markdown table, aligned so that it also reads in a terminal, under a caption with the settings.

    Settings that all methods share are in the caption. A setting in which they differ, such as the number of images, is
    a column of the table, so that a reader sees which rows cannot be compared.

    Args:
        results: method → evaluation, in the order of the rows.
        which: `best` or `last`: the accuracy that comes first and whose highest mean is printed bold.

    Returns:
        Caption, empty line and table, each accuracy as "mean ± population std" in %.

    Raises:
        InputError: there are no results, or `which` is neither of the two.
    """
    if which not in MEANINGS:
        raise InputError(f"which is '{which}': choose best or last")
    if not results:
        raise InputError("there are no evaluations to make a table of: evaluate at least one dataset")
    second = "last" if which == "best" else "best"
    settings = [_settings(evaluation) for evaluation in results.values()]
    differing = [key for key in settings[0] if any(other[key] != settings[0][key] for other in settings)]
    highest = max(_rounded(evaluation, which) for evaluation in results.values())
    rows = [["method", *differing, f"{which} (%)", f"{second} (%)"]]
    for (method, evaluation), values in zip(results.items(), settings, strict=True):
        accuracies = [_mean_std(evaluation, which), _mean_std(evaluation, second)]
        if _rounded(evaluation, which) == highest:
            accuracies[0] = f"**{accuracies[0]}**"
        rows.append([cell(method), *(str(values[key]) for key in differing), *accuracies])
    shared = ", ".join(f"{key} {value}" for key, value in settings[0].items() if key not in differing)
    meaning = f"{which.capitalize()}: {MEANINGS[which]}; {second}: {MEANINGS[second]}."
    return f"Top-1 accuracy, mean ± standard deviation over the repeats ({shared}).\n{meaning}\n\n{table(rows)}"


def _settings(evaluation: Evaluation) -> dict[str, Any]:
    """The settings that a reader must know to compare two rows."""
    protocol = evaluation.protocol
    return {
        "network": f"{protocol.network} of width {protocol.width}" if protocol.width else protocol.network,
        "image size": f"{protocol.image_size} px",
        "IPC": evaluation.ipc,
        "training images": evaluation.train_images,
        "validation images": evaluation.validation_images,
        "epochs": evaluation.epochs,
        "evaluations": len(evaluation.evaluation_epochs),
        "repeats": protocol.repeats,
        "seed": evaluation.seed,
        "chance": f"{100 / evaluation.num_classes:.3g} %",
    }


def _rounded(evaluation: Evaluation, which: str) -> float:
    return round(evaluation.mean_std(which)[0], 1)


def _mean_std(evaluation: Evaluation, which: str) -> str:
    mean, std = evaluation.mean_std(which)
    return f"{mean:.1f} ± {std:.1f}"
