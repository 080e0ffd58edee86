"""From the cells of a study to its table: as Markdown, LaTeX, CSV and JSON, and all cells as Parquet."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import put_in_place
from ddgs_hub.core.made import Made
from ddgs_hub.core.markdown import cell as markdown_cell
from ddgs_hub.evaluation.figures import improvements_figure, save_figure
from ddgs_hub.evaluation.improvement_table import ImprovementTable
from ddgs_hub.evaluation.networks import convnet_depth
from ddgs_hub.evaluation.paper_table import Cost, PaperTable, TableCell
from ddgs_hub.recipe import changed_keys, load_recipe, parse_network_name, recipe_names, recipe_to_dict
from ddgs_hub.recipe.study import Cell, Study
from ddgs_hub.stages.run_folder import write_json
from ddgs_hub.stages.study.cells import CellResult, Cells, write_cells

HEADERS = {"dataset": "dataset", "ipc": "IPC", "network": "network", "method": "method"}
# As the paper writes them; what is not here is written as it is.
NAMES = {
    "random": "Random",
    "k-center": "K-Center",
    "herding": "Herding",
    "dit": "DiT",
    "dm": "DM",
    "idc-1": "IDC-1",
    "minimax": "Minimax",
    "ours": "Ours",
    "full": "Full",
    "resnetap10": "ResNetAP-10",
    "resnet18": "ResNet-18",
    "imagewoof": "ImageWoof",
    "imagenette": "ImageNette",
    "imageidc": "ImageIDC",
}

Place = tuple[str, ...]  # values of the study's rows and columns


@dataclass(frozen=True)
class DatasetCells:
    """The cells of one dataset that belong to a study, and where their results are."""

    cells: Cells
    wanted: Sequence[Cell]
    ipcs: Sequence[int]  # of the study for this dataset: the full dataset stands at every one

    def results(self) -> Iterator[tuple[Cell, CellResult]]:
        """The cells that are done."""
        return ((cell, self.cells.read(cell)) for cell in self.wanted if self.cells.is_done(cell))


def write_report(study: Study, datasets: Sequence[DatasetCells], path: Path) -> tuple[Made, list[Path]]:
    """Writes the table of a study, and a line for each cell; where the study begins with improvements, these as well.

    Args:
        study: its layout, and what the paper reports.
        datasets: the cells of each dataset.
        path: of the files, without their suffix.

    Returns:
        The table as Markdown, with what its JSON has, and the files.
    """
    table = make_table(study, datasets)
    shown: PaperTable | ImprovementTable = table
    if study.headline == "improvement":
        shown = ImprovementTable(table, _controls(study), _about_draws(study), _pools(datasets))
    texts = {".md": shown.markdown() + "\n", ".tex": shown.latex(), ".csv": table.csv()}
    if isinstance(shown, ImprovementTable):
        texts["-improvement.csv"] = shown.csv()
    files = [path.with_name(f"{path.name}{suffix}") for suffix in (*texts, ".json", "-cells.parquet")]
    for file, text in zip(files, texts.values(), strict=False):
        put_in_place(file, text)
    write_json(files[-2], shown.to_dict())
    write_cells([result for dataset in datasets for _, result in dataset.results()], files[-1])
    if isinstance(shown, ImprovementTable) and shown.by_cell():
        pictures = [path.with_name(f"{path.name}-improvement{suffix}") for suffix in (".png", ".svg")]
        save_figure(improvements_figure(shown.by_cell(), table.reference), *pictures)
        files += pictures
    return Made(shown.markdown(), shown.to_dict()), files


def make_table(study: Study, datasets: Sequence[DatasetCells]) -> PaperTable:
    """Arranges the results that there are as the study lays them out."""
    places: dict[Place, TableCell] = {}
    for dataset in datasets:
        for cell in dataset.wanted:
            for ipc in _ipcs(cell, dataset):
                paper = study.paper_value(cell.dataset, cell.network.network, ipc, cell.method.label)
                places.setdefault(_place(study, dataset, cell, ipc), TableCell({}, {}, paper, study.repeats))
        for cell, result in dataset.results():
            for ipc in _ipcs(cell, dataset):
                place = _place(study, dataset, cell, ipc)
                found = places[place]
                if result.seed in found.best:
                    raise InputError(f"two networks of the study are both at {', '.join(place)}: leave one out")
                found.best[result.seed] = result.best
                found.last[result.seed] = result.last
                found.draws[result.seed] = result.draw
    order = [list(dict.fromkeys(values)) for values in zip(*places, strict=True)]  # of each axis, as the study has it
    ordered = sorted(
        places, key=lambda place: [values.index(value) for values, value in zip(order, place, strict=True)]
    )
    return PaperTable(
        title=study.title,
        axes=[HEADERS[axis] for axis in study.rows],
        rows=list(dict.fromkeys(place[:-1] for place in ordered)),
        column_axis=HEADERS[study.columns],
        columns=order[-1],
        cells={(place[:-1], place[-1]): cell for place, cell in places.items()},
        method_axis=[*study.rows, study.columns].index("method"),
        reference=_name(study.reference),
        upper_bound=[_name("full")],
        costs=_costs(datasets),
        notes=[*_not_run(datasets), *_mixed(datasets), *_about_the_paper(study, datasets)],
        accuracy="last" if study.headline == "improvement" else "best",
    )


def _controls(study: Study) -> dict[str, str]:
    """For each `ours` whose pool the study also draws from at random, that random draw."""
    of_pool = {
        method.samples_from: method.label
        for method in study.methods
        if method.distribution == "pool" and method.pool_size is None
    }
    return {
        _name(method.label): _name(of_pool[method.samples_from])
        for method in study.methods
        if method.samples_from in of_pool and method.label != of_pool[method.samples_from]
    }


def _pools(datasets: Sequence[DatasetCells]) -> dict[str, dict[str, Any]]:
    """What is known of the pools; of several datasets each under its name."""
    found: dict[str, dict[str, Any]] = {}
    for dataset in datasets:
        of_dataset = f"{_name(dataset.cells.recipe.name)}: " if len(datasets) > 1 else ""
        pools = dataset.cells.sets.pools(dataset.wanted)
        found |= {f"{of_dataset}{name}": values for name, values in pools.items()}
    return found


def _about_draws(study: Study) -> str:
    """What sets and accuracies are, as far as the study decides it."""
    drawn = f"{study.draws} draws of each set" if study.draws > 1 else "one draw of each set"
    halves = (
        " Half of the validation images chooses the best test, and the accuracies are those of the other half."
        if study.halves
        else ""
    )
    return f"{drawn.capitalize()} that is drawn by chance, {study.repeats} networks in each cell.{halves}"


def _ipcs(cell: Cell, dataset: DatasetCells) -> Sequence[int]:
    return [cell.ipc] if cell.ipc else dataset.ipcs


def _place(study: Study, dataset: DatasetCells, cell: Cell, ipc: int) -> Place:
    values = {
        "dataset": _name(cell.dataset),
        "ipc": str(ipc) if "ipc" in study.rows else f"IPC {ipc}",
        "network": _network_name(cell.network.network, dataset.cells.recipe.evaluate.image_size),
        "method": _name(cell.method.label),
    }
    return tuple(values[axis] for axis in (*study.rows, study.columns))


def _name(name: str) -> str:
    return NAMES.get(name, name)


def _network_name(network: str, image_size: int) -> str:
    """A ConvNet with its depth, others as the paper writes them."""
    family, depth = parse_network_name(network)
    return f"ConvNet-{depth or convnet_depth(image_size)}" if family == "convnet" else _name(network)


def _costs(datasets: Sequence[DatasetCells]) -> dict[tuple[str, str], Cost]:
    """By method, with the dataset where there are several, and IPC: means over networks and repeats."""
    measured: dict[tuple[str, str], list[tuple[float, CellResult]]] = {}
    for dataset in datasets:
        for cell, result in dataset.results():
            method = _name(cell.method.label)
            if len(datasets) > 1:
                method = f"{method}, {_name(cell.dataset)}"
            key = (method, str(cell.ipc or "all"))
            measured.setdefault(key, []).append((dataset.cells.sets.seconds(cell), result))
    return {
        key: Cost(
            making=found[0][0],
            training=float(np.mean([result.seconds for _, result in found])),
            images_seen=float(np.mean([result.images_seen for _, result in found])),
        )
        for key, found in measured.items()
    }


def _not_run(datasets: Sequence[DatasetCells]) -> list[str]:
    """A sentence on what is missing in the table."""
    wanted, missing = Counter[str](), Counter[str]()
    for dataset in datasets:
        for cell in dataset.wanted:
            method = _name(cell.method.label) if len(datasets) == 1 else f"{_name(cell.method.label)}, {cell.dataset}"
            wanted[method] += 1
            missing[method] += not dataset.cells.is_done(cell)
    parts = [f"{method} {missing[method]} of {wanted[method]}" for method in wanted if missing[method]]
    return [f"Networks that were not run, and are not in the means above: {'; '.join(parts)}."] if parts else []


def _mixed(datasets: Sequence[DatasetCells]) -> list[str]:
    """A sentence where cells were not all computed alike."""
    results = [result for dataset in datasets for _, result in dataset.results()]
    notes = []
    for what in ("commit", "device", "precision"):
        values = Counter(str(getattr(result, what)) for result in results)
        if len(values) > 1:
            counts = ", ".join(f"{value}: {count}" for value, count in values.items())
            notes.append(f"Networks were trained with more than one {what} ({counts}): compare with care.")
    return notes


def _about_the_paper(study: Study, datasets: Sequence[DatasetCells]) -> list[str]:
    """Sentences on what the paper has, and on settings that are not its own."""
    notes = []
    for dataset in datasets:
        recipe = dataset.cells.recipe
        if recipe.name not in study.paper:
            notes.append(f"The paper reports nothing for {_name(recipe.name)}.")
        elif recipe.name in recipe_names():
            usual = recipe_to_dict(load_recipe(recipe.name))
            changed = changed_keys(usual, recipe_to_dict(recipe))
            # Where the original lies, and the IPC of a run, say nothing about the table.
            apart = ("data.original", "data.config", "data.revision", "sample.ipc")
            values = [
                markdown_cell(f"{key} {new} instead of {old}")
                for key, (old, new) in changed.items()
                if key not in apart
            ]
            if values:
                notes.append(
                    f"Not comparable with the paper where settings differ, {recipe.name}: {', '.join(values)}."
                )
    return notes
