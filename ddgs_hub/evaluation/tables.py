"""The table of accuracies, for a terminal, a card and a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.markdown import cell, table
from ddgs_hub.evaluation.evaluate import Evaluation

MEANINGS = {
    "best": "the highest of a repeat's evaluations on the validation images",
    "last": "the evaluation after the last epoch",
}


@dataclass(frozen=True)
class AccuracyTable:
    """A table of accuracies, as plain text.

    Attributes:
        settings: those that all rows share.
        meaning: what the two accuracies are.
        header: of the columns.
        rows: the first cell of each is the method, the last two are accuracies, "mean ± population std" in %.
        best: whether a row has the highest mean of those that it is compared with, in the first accuracy.
    """

    settings: str
    meaning: str
    header: list[str]
    rows: list[list[str]]
    best: list[bool]

    @property
    def caption(self) -> str:
        """What the numbers are."""
        return f"Top-1 accuracy, mean ± standard deviation over the repeats ({self.settings})."

    def markdown(self) -> str:
        """Caption, empty line and table, aligned so that it also reads in a terminal; the highest means are bold."""
        lines = [self.header]
        for row, best in zip(self.rows, self.best, strict=True):
            *words, first, second = row
            lines.append([*map(cell, words), f"**{first}**" if best else first, second])
        return f"{self.caption}\n{self.meaning}\n\n{table(lines)}"


def accuracy_table(
    results: Mapping[str, Evaluation] | Sequence[tuple[str, Evaluation]],
    which: str = "best",
    heading: str = "method",
    tested_on: Sequence[str] = (),
) -> str:
    """The Markdown of `tabulate`."""
    return tabulate(results, which, heading, tested_on).markdown()


def tabulate(
    results: Mapping[str, Evaluation] | Sequence[tuple[str, Evaluation]],
    which: str = "best",
    heading: str = "method",
    tested_on: Sequence[str] = (),
) -> AccuracyTable:
    """A table of accuracies under a caption with the settings.

    Settings that all rows share are in the caption. A setting in which they differ, such as the number of images, is
    a column of the table, so that a reader sees which rows cannot be compared.

    Args:
        results: method → evaluation, in the order of the rows; pairs, where a method has several networks.
        which: `best` or `last`: the accuracy that comes first. Its highest mean is printed bold, among the rows of one
            network, image size and IPC that were tested on the same images.
        heading: of the first column.
        tested_on: the name of each row's validation images, where they are not the same: a column; empty: they are.

    Raises:
        InputError: there are no results, or `which` is neither of the two.
    """
    if which not in MEANINGS:
        raise InputError(f"which is '{which}': choose best or last")
    if not results:
        raise InputError("there are no evaluations to make a table of: evaluate at least one dataset")
    pairs = list(results.items() if isinstance(results, Mapping) else results)
    second = "last" if which == "best" else "best"
    names: list[dict[str, Any]] = [{"tested on": name} for name in tested_on] or [{}] * len(pairs)
    settings = [{**name, **_settings(evaluation)} for name, (_, evaluation) in zip(names, pairs, strict=True)]
    differing = [key for key in settings[0] if any(other[key] != settings[0][key] for other in settings)]
    rows = [
        [method, *(str(values[key]) for key in differing), _mean_std(evaluation, which), _mean_std(evaluation, second)]
        for (method, evaluation), values in zip(pairs, settings, strict=True)
    ]
    return AccuracyTable(
        settings=", ".join(f"{key} {value}" for key, value in settings[0].items() if key not in differing),
        meaning=f"{which.capitalize()}: {MEANINGS[which]}; {second}: {MEANINGS[second]}.",
        header=[heading, *differing, f"{which} (%)", f"{second} (%)"],
        rows=rows,
        best=_highest(pairs, which, tested_on),
    )


def _highest(pairs: Sequence[tuple[str, Evaluation]], which: str, tested_on: Sequence[str]) -> list[bool]:
    """Which rows have the highest mean of those that are compared with them; a row alone is compared with none."""
    groups = [
        (name, result.protocol.network_name, result.protocol.image_size, result.ipc)
        for name, (_, result) in zip(tested_on or [""] * len(pairs), pairs, strict=True)
    ]
    means = [_rounded(result, which) for _, result in pairs]
    highest = {group: max(m for m, other in zip(means, groups, strict=True) if other == group) for group in groups}
    sizes = Counter(groups)
    return [sizes[group] > 1 and mean == highest[group] for mean, group in zip(means, groups, strict=True)]


def _settings(evaluation: Evaluation) -> dict[str, Any]:
    """The settings that a reader must know to compare two rows."""
    protocol = evaluation.protocol
    return {
        "network": protocol.network_name,
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
