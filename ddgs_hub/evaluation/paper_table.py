"""A table in the paper's layout: accuracies, what the paper reports, a paired test, and what they cost."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.stats import ttest_rel

from ddgs_hub.core.markdown import cell as markdown_cell
from ddgs_hub.core.markdown import table as markdown_table

Coordinates = tuple[str, ...]
Accuracy = Literal["best", "last"]  # the highest test of a repeat, or the one after the last epoch
ROUNDING = 1e-9  # points: differences that differ by less are alike


@dataclass(frozen=True)
class TableCell:
    """What one place of a table holds.

    Attributes:
        best: highest test of each repeat, %, by its seed; empty as long as nothing is run.
        last: the test after the last epoch likewise.
        paper: mean and standard deviation that the paper reports, %; None where it reports nothing.
        repeats: how many there are to be.
        draws: which draw of the method's set each seed was trained on; of a seed that is not here, the first.
    """

    best: dict[int, float]
    last: dict[int, float]
    paper: tuple[float, float] | None = None
    repeats: int = 0
    draws: dict[int, int] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether all repeats are there: otherwise a mean is not compared with others."""
        return bool(self.best) and len(self.best) >= self.repeats

    def of(self, accuracy: Accuracy) -> dict[int, float]:
        """`best` or `last`."""
        return self.best if accuracy == "best" else self.last

    def mean_std(self, accuracy: Accuracy = "best") -> tuple[float, float] | None:
        """Mean and population standard deviation of `best` or `last`, %; None where nothing was run."""
        values = list(self.of(accuracy).values())
        return (float(np.mean(values)), float(np.std(values))) if values else None


@dataclass(frozen=True)
class PairedTest:
    """Whether the reference differs from a method: a paired t-test over the networks that both have.

    Attributes:
        pairs: how many.
        difference: mean of the reference's accuracy minus the method's, in points.
        p: two-sided; None where it is not defined: below two pairs, or all differences alike.
    """

    pairs: int
    difference: float
    p: float | None


@dataclass(frozen=True)
class Cost:
    """What a method took.

    Attributes:
        making: seconds to make its set, with all that it is made of.
        training: mean seconds to train and test a network on it.
        images_seen: mean number of images that training showed a network.
    """

    making: float
    training: float
    images_seen: float


@dataclass(frozen=True)
class PaperTable:
    """A table of accuracies.

    Attributes:
        title: its caption.
        axes: names of what tells the rows apart.
        rows: their coordinates.
        column_axis: what tells the columns apart.
        columns: their headers.
        cells: by row and column.
        method_axis: the place of the method among `(*axes, column_axis)`.
        reference: the method that the others are compared with.
        upper_bound: methods that are not compared, nor printed bold.
        costs: by method and IPC.
        notes: sentences below the table.
        accuracy: which is shown and compared; beside `last` the mean of `best` stands in brackets. The paper's is
            `best`.
    """

    title: str
    axes: Sequence[str]
    rows: Sequence[Coordinates]
    column_axis: str
    columns: Sequence[str]
    cells: Mapping[tuple[Coordinates, str], TableCell]
    method_axis: int
    reference: str
    upper_bound: Sequence[str]
    costs: Mapping[tuple[str, str], Cost]
    notes: Sequence[str]
    accuracy: Accuracy = "best"

    def bold(self) -> set[tuple[Coordinates, str]]:
        """The places with the highest mean among all that differ by the method alone."""
        groups: dict[Coordinates, list[tuple[float, tuple[Coordinates, str]]]] = {}
        for (row, column), found in self.cells.items():
            place = (*row, column)
            value = found.mean_std(self.accuracy)
            if value and found.is_whole and place[self.method_axis] not in self.upper_bound:
                rest = place[: self.method_axis] + place[self.method_axis + 1 :]
                groups.setdefault(rest, []).append((round(value[0], 1), (row, column)))
        rivals = [group for group in groups.values() if len(group) > 1]
        return {place for group in rivals for mean, place in group if mean == max(group)[0]}

    def at(self, row: Coordinates, column: str) -> TableCell:
        """What a place holds; nothing where the study has no such cell."""
        return self.cells.get((row, column), TableCell({}, {}))

    def tests(self) -> dict[str, PairedTest]:
        """A paired test of the reference against each other method, over all places and seeds that both have."""
        by_method: dict[str, dict[tuple[Coordinates, int], float]] = {}
        for method, cells in self.by_method().items():
            by_method[method] = {
                (rest, seed): accuracy
                for rest, cell in cells.items()
                for seed, accuracy in cell.of(self.accuracy).items()
            }
        ours = by_method.get(self.reference, {})
        tests = {}
        for method, theirs in by_method.items():
            both = [key for key in ours if key in theirs]
            if method not in (self.reference, *self.upper_bound) and both:
                tests[method] = paired_test([ours[key] for key in both], [theirs[key] for key in both])
        return tests

    def by_method(self) -> dict[str, dict[Coordinates, TableCell]]:
        """The places of each method, by what else tells them apart."""
        found: dict[str, dict[Coordinates, TableCell]] = {}
        for (row, column), cell in self.cells.items():
            place = (*row, column)
            rest = place[: self.method_axis] + place[self.method_axis + 1 :]
            found.setdefault(place[self.method_axis], {})[rest] = cell
        return found

    def markdown(self) -> str:
        """Caption, table, paired tests, costs and notes, for a terminal and a page."""
        parts = [self.title, *self.accuracies(), *self._compared()]
        return "\n\n".join([*parts, *self.costs_and_notes()])

    def accuracies(self) -> list[str]:
        """The table itself in Markdown, and what its numbers mean."""
        return [_meaning(self.accuracy), markdown_table(self._text_rows())]

    def _compared(self) -> list[str]:
        """The paired tests in Markdown."""
        parts = []
        if tests := self.tests():
            lines = [["against", "pairs", f"{self.reference} higher by (points)", "p"]]
            for method, test in tests.items():
                p = "–" if test.p is None else f"{test.p:.2g}"
                lines.append([markdown_cell(method), str(test.pairs), f"{test.difference:+.1f}", p])
            parts += [
                f"Paired t-test of {self.reference} over networks (same IPC, network and seed), two-sided. Networks of "
                "one set are not independent draws of the method, so p is too small rather than too large:"
            ]
            parts += [markdown_table(lines)]
        return parts

    def costs_and_notes(self) -> list[str]:
        """What stands below the table in Markdown."""
        parts = []
        if self.costs:
            lines = [["method", "IPC", "making the set (s)", "training a network (s)", "images seen in training"]]
            for (method, ipc), cost in self.costs.items():
                seconds = [f"{cost.making:,.0f}", f"{cost.training:,.1f}", f"{cost.images_seen:,.0f}"]
                lines.append([markdown_cell(method), ipc, *seconds])
            caption = (
                "Cost, as measured where and when it was made. What a set is made of counts whole, also where sets "
                "share it; of what a kill interrupted the last call counts:"
            )
            parts += [caption, markdown_table(lines)]
        return [*parts, *self.notes]

    def latex(self) -> str:
        """The table alone, for the package booktabs."""
        bold = self.bold()
        lines = [r"\begin{tabular}{" + "l" * len(self.axes) + "c" * len(self.columns) + "}", r"\toprule"]
        lines.append(" & ".join(tex(name) for name in (*self.axes, *self.columns)) + r" \\")
        lines.append(r"\midrule")
        for row in self.rows:
            found = [self.at(row, column) for column in self.columns]
            marks = [r"\mathbf{%s}" if (row, column) in bold else "%s" for column in self.columns]
            texts = [_formula(part, self.accuracy, mark) for part, mark in zip(found, marks, strict=True)]
            lines.append(" & ".join([*(tex(name) for name in row), *texts]) + r" \\")
            if any(part.paper for part in found):
                paper = [_formula(TableCell({}, {}, part.paper), self.accuracy) for part in found]
                differences = [f"${_difference(part)}$" for part in found]
                lines.append(" & ".join([*self._below("paper"), *paper]) + r" \\")
                lines.append(" & ".join([*self._below("difference"), *differences]) + r" \\")
        notes = [f"% {line}" for note in self.notes for line in note.splitlines()]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes]) + "\n"

    def csv(self) -> str:
        """A line for each place: coordinates, means and deviations, and the paper's."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        names = ["repeats", "best_mean", "best_std", "last_mean", "last_std", "paper_mean", "paper_std", "difference"]
        writer.writerow([*self.axes, self.column_axis, *names])
        for record in self._records():
            writer.writerow(["" if value is None else value for value in record.values()])
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        tests = {method: vars(test) for method, test in self.tests().items()}
        costs = [{"method": method, "ipc": ipc, **vars(cost)} for (method, ipc), cost in self.costs.items()]
        places = []
        for record, (row, column) in zip(self._records(), self._places(), strict=True):
            found = self.at(row, column)
            places.append({**record, "best": dict(found.best), "last": dict(found.last)})
        return {
            "title": self.title,
            "cells": places,
            "reference": self.reference,
            "paired_tests": tests,
            "costs": costs,
            "notes": list(self.notes),
        }

    def _places(self) -> list[tuple[Coordinates, str]]:
        return [(row, column) for row in self.rows for column in self.columns]

    def _records(self) -> list[dict[str, Any]]:
        records = []
        for row, column in self._places():
            found = self.at(row, column)
            best, last = list(found.best.values()), list(found.last.values())
            record: dict[str, Any] = dict(zip((*self.axes, self.column_axis), (*row, column), strict=True))
            record["repeats"] = len(best)
            for name, values in (("best", best), ("last", last)):
                record[f"{name}_mean"] = float(np.mean(values)) if values else None
                record[f"{name}_std"] = float(np.std(values)) if values else None
            record["paper_mean"], record["paper_std"] = found.paper or (None, None)
            comparable = found.is_whole and found.paper
            record["difference"] = record["best_mean"] - record["paper_mean"] if comparable else None
            records.append(record)
        return records

    def _text_rows(self) -> list[list[str]]:
        """Rows of cells for Markdown: measured, and below it the paper's values and the differences."""
        bold = self.bold()
        lines = [[*self.axes, *self.columns]]
        for row in self.rows:
            found = [self.at(row, column) for column in self.columns]
            values = [_measured(part, self.accuracy) for part in found]
            emphasis = ["**" if (row, column) in bold else "" for column in self.columns]
            marked = [f"{stars}{text}{stars}" for stars, text in zip(emphasis, values, strict=True)]
            lines.append([*(markdown_cell(name) for name in row), *marked])
            if any(part.paper for part in found):
                lines.append([*self._below("paper"), *(_text(part.paper) for part in found)])
                lines.append([*self._below("difference"), *(_difference(part) for part in found)])
        return lines

    def _below(self, text: str) -> list[str]:
        return [*[""] * (len(self.axes) - 1), text]


def paired_test(reference: Sequence[float], other: Sequence[float]) -> PairedTest:
    """Student's t-test of paired accuracies, %, two-sided."""
    gaps = np.subtract(reference, other)
    defined = len(gaps) > 1 and bool(np.ptp(gaps) > ROUNDING)
    return PairedTest(len(gaps), float(gaps.mean()), float(ttest_rel(reference, other).pvalue) if defined else None)


def _meaning(accuracy: Accuracy) -> str:
    if accuracy == "last":
        return (
            "Mean ± standard deviation over the repeats, each after its last epoch, and in brackets the mean of the "
            "best tests, %."
        )
    return (
        "Mean ± standard deviation over the repeats, each the best of its tests on the validation images, as the paper "
        "reports it."
    )


def _text(value: tuple[float, float] | None) -> str:
    return f"{value[0]:.1f} ± {value[1]:.1f}" if value else "–"


def _measured(cell: TableCell, accuracy: Accuracy) -> str:
    """Mean and deviation; of some of the repeats only, the mean and how many they are."""
    value = cell.mean_std(accuracy)
    if value and not cell.is_whole:
        return f"{value[0]:.1f} ({len(cell.best)} of {cell.repeats})"
    return _text(value) + _best_beside(cell, accuracy)


def _best_beside(cell: TableCell, accuracy: Accuracy) -> str:
    best = cell.mean_std("best")
    return f" ({best[0]:.1f})" if best and accuracy == "last" else ""


def _formula(cell: TableCell, accuracy: Accuracy, mark: str = "%s") -> str:
    """The same for LaTeX; of a cell that has only the paper's value, that."""
    value = cell.mean_std(accuracy) or cell.paper
    if value is None:
        return "--"
    if cell.best and not cell.is_whole:
        return f"${value[0]:.1f}$ ({len(cell.best)} of {cell.repeats})"
    formula = rf"{value[0]:.1f} \pm {value[1]:.1f}"
    return f"${mark % formula}${_best_beside(cell, accuracy)}"


def _difference(cell: TableCell) -> str:
    value = cell.mean_std()
    return f"{value[0] - cell.paper[0]:+.1f}" if value and cell.paper and cell.is_whole else "–"


def tex(text: str) -> str:
    """A text as LaTeX shows it."""
    for character in "\\&%$#_{}":
        text = text.replace(character, f"\\{character}" if character != "\\" else r"\textbackslash ")
    return text
