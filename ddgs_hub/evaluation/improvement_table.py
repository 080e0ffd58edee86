"""A table that begins with the improvement over a reference, with intervals; the accuracies stand below it."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ddgs_hub.core.markdown import cell as markdown_cell
from ddgs_hub.core.markdown import table as markdown_table
from ddgs_hub.evaluation.improvement import Improvement, improvement
from ddgs_hub.evaluation.paper_table import Accuracy, Coordinates, PaperTable, TableCell, tex

ACCURACIES: tuple[Accuracy, Accuracy] = ("last", "best")
POOL_COLUMNS = {  # value of a pool → header and format
    "images": ("images", "{:,}"),
    "mean_difficulty": ("mean difficulty", "{:.3f}"),
    "accuracy": ("scorer's accuracy (%)", "{:.1f}"),
    "precision": ("precision", "{:.2f}"),
    "recall": ("recall", "{:.2f}"),
}
ALL = ""  # in CSV, in the place of a cell: over all cells


@dataclass(frozen=True)
class ImprovementTable:
    """Improvements over the reference of a table, and over each method's control.

    Attributes:
        table: the accuracies; its reference is what methods are compared with.
        controls: method → the method that differs by the choice of its images alone: a random one from the same pool.
        about: what sets and accuracies are, for the text above the table.
        pools: name of a pool → what was measured of it; `POOL_COLUMNS` are shown.
    """

    table: PaperTable
    controls: Mapping[str, str]
    about: str = ""
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def methods(self) -> list[str]:
        """Those that are compared with the reference."""
        apart = (self.table.reference, *self.table.upper_bound)
        return [method for method in self.table.by_method() if method not in apart]

    def cells(self) -> list[Coordinates]:
        """What tells places apart besides the method, in the order of the table."""
        places = [(*row, column) for row in self.table.rows for column in self.table.columns]
        axis = self.table.method_axis
        return list(dict.fromkeys(place[:axis] + place[axis + 1 :] for place in places))

    def over(
        self, method: str, control: str, accuracy: Accuracy = "last", cell: Coordinates | None = None
    ) -> Improvement | None:
        """The improvement of a method over another, in one cell or over all; None where nothing is comparable."""
        by_method = self.table.by_method()
        cells = self.cells() if cell is None else [cell]
        empty = TableCell({}, {})
        ours, theirs = ([by_method.get(name, {}).get(one, empty) for one in cells] for name in (method, control))
        return improvement(ours, theirs, accuracy)

    def markdown(self) -> str:
        """Caption, improvements, accuracies, improvements cell by cell, costs and notes."""
        reference, title = self.table.reference, self.table.title
        parts = [title, f"{self._meaning()} {self.about}".strip(), self._headline()]
        parts += self.table.accuracies()
        parts += [f"Improvement over {reference} in each cell, last epoch:", self._cell_by_cell(reference)]
        if self.controls:
            parts += [
                "Over random images of the same pool, last epoch: mean difference ± its standard error, in bold where "
                "it is larger than that:",
                self._over_controls(),
            ]
        if self.pools:
            parts += ["The pools, and the original images; precision and recall in the scorer's features:"]
            parts += [self._pool_table()]
        return "\n\n".join([*parts, *self.table.costs_and_notes()])

    def latex(self) -> str:
        """The improvements, and below them the accuracies, for the package booktabs."""
        lines = [r"\begin{tabular}{lcc}", r"\toprule"]
        lines.append(rf"method & over {tex(self.table.reference)}, last & best \\")
        lines.append(r"\midrule")
        for method in self.methods():
            found = [self.over(method, self.table.reference, accuracy) for accuracy in ACCURACIES]
            lines.append(" & ".join([tex(method), *(_formula(one) for one in found)]) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "", self.table.latex()])

    def csv(self) -> str:
        """A line for each method and cell, and one for each method over all cells, with both comparisons."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        numbers = ["mean", "standard_error", "low", "high", "groups", "cells"]
        axes = self._axes()
        writer.writerow(["method", *axes, "over", "accuracy", *numbers])
        for record in self._records():
            place = record["cell"] or [ALL] * len(axes)
            values = ["" if record[name] is None else record[name] for name in numbers]
            writer.writerow([record["method"], *place, record["over"], record["accuracy"], *values])
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values: `improvements`, where `cell` null stands for all, and what the table has."""
        verdicts = {
            method: {"over": control, "cells": len(found), "better": better, "worse": worse}
            for method, control in self.controls.items()
            for found, better, worse in [self._verdict(method, control)]
        }
        pools = {
            name: {key: values[key] for key in (*POOL_COLUMNS, "easy_bias") if key in values}
            for name, values in self.pools.items()
        }
        return {"improvements": self._records(), "over_pool": verdicts, "pools": pools, **self.table.to_dict()}

    def by_cell(self) -> dict[str, dict[str, Improvement]]:
        """Name of a cell → method → improvement over the reference after the last epoch, as a figure shows it."""
        reference, by_cell = self.table.reference, {}
        for cell in self.cells():
            found = {method: self.over(method, reference, cell=cell) for method in self.methods()}
            by_cell["\n".join(self._told(cell))] = {method: one for method, one in found.items() if one}
        return {cell: of_cell for cell, of_cell in by_cell.items() if of_cell}

    def _axes(self) -> list[str]:
        axes = [*self.table.axes, self.table.column_axis]
        return [axis for number, axis in enumerate(axes) if number != self.table.method_axis]

    def _records(self) -> list[dict[str, Any]]:
        records = []
        for method in self.methods():
            controls = dict.fromkeys([self.table.reference, self.controls.get(method, self.table.reference)])
            for control in controls:
                for cell in (None, *self.cells()):
                    for accuracy in ACCURACIES:
                        if found := self.over(method, control, accuracy, cell):
                            place = {"method": method, "cell": list(cell) if cell else None}
                            records.append({**place, "over": control, "accuracy": accuracy, **asdict(found)})
        return records

    def _verdict(self, method: str, control: str) -> tuple[list[Improvement], int, int]:
        """The improvements over a control in each cell, and in how many the method is clearly better, and worse."""
        every = [self.over(method, control, cell=cell) for cell in self.cells()]
        found = [one for one in every if one]
        return found, sum(one.is_better for one in found), sum(one.is_worse for one in found)

    def _meaning(self) -> str:
        found = [self.over(method, self.table.reference) for method in self.methods()]
        groups = max((one.groups for one in found if one), default=0)
        return (
            f"Improvement over {self.table.reference} in points of top-1 accuracy, paired by seed, mean over the cells "
            f"of the table, with a 95 % interval: Student's t over {groups} draws of the sets (seeds, where there is "
            "one draw), whose differences are averaged over cells first."
        )

    def _headline(self) -> str:
        lines = [["method", f"over {self.table.reference}: last [95 %]", "best [95 %]"]]
        if self.controls:
            lines[0] += ["over random of its pool: last [95 %]", "cells better / worse than that by > 1 SE"]
        for method in self.methods():
            line = [markdown_cell(method)]
            line += [_with_interval(self.over(method, self.table.reference, accuracy)) for accuracy in ACCURACIES]
            if control := self.controls.get(method):
                every, better, worse = self._verdict(method, control)
                line += [_with_interval(self.over(method, control)), f"{better} / {worse} of {len(every)}"]
            elif self.controls:
                line += ["–", "–"]
            lines.append(line)
        return markdown_table(lines)

    def _cell_by_cell(self, control: str) -> str:
        lines = [self._header()]
        for method in self.methods():
            found = [self.over(method, control, cell=cell) for cell in self.cells()]
            lines.append([markdown_cell(method), *map(_with_interval, found)])
        return markdown_table(lines)

    def _over_controls(self) -> str:
        lines = [self._header()]
        for method, control in self.controls.items():
            found = [self.over(method, control, cell=cell) for cell in self.cells()]
            lines.append([markdown_cell(method), *map(_with_error, found)])
        return markdown_table(lines)

    def _pool_table(self) -> str:
        lines = [["pool", *(title for title, _ in POOL_COLUMNS.values())]]
        for name, values in self.pools.items():
            found = [(values.get(key), form) for key, (_, form) in POOL_COLUMNS.items()]
            lines.append(
                [markdown_cell(name), *("–" if value is None else form.format(value) for value, form in found)]
            )
        return markdown_table(lines)

    def _header(self) -> list[str]:
        return ["method", *(markdown_cell(", ".join(self._told(cell))) for cell in self.cells())]

    def _told(self, cell: Coordinates) -> list[str]:
        """A cell as a header names it: numbers alone get the name of their axis."""
        return [f"{axis} {value}" if value.isdigit() else value for axis, value in zip(self._axes(), cell, strict=True)]


def _with_interval(found: Improvement | None) -> str:
    if found is None:
        return "–"
    ends = "" if found.low is None else f" [{found.low:+.1f}, {found.high:+.1f}]"
    return f"{found.mean:+.1f}{ends}"


def _with_error(found: Improvement | None) -> str:
    if found is None:
        return "–"
    text = f"{found.mean:+.1f}" + ("" if found.standard_error is None else f" ± {found.standard_error:.1f}")
    return f"**{text}**" if found.is_better or found.is_worse else text


def _formula(found: Improvement | None) -> str:
    return "--" if found is None else f"${_with_interval(found)}$"
