"""From a scored original, pool and distilled set to the paper's Figures 2 and 3: the stage `figures`."""

from pathlib import Path

import numpy as np
from datasets import Dataset

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.rows import class_names, read_rows, undecoded
from ddgs_hub.core.schema import read_json
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub import ClassSelection
from ddgs_hub.stages.run_folder import DIFFICULTY_FIGURE, SELECTIONS, SHEET


def make_figures(original: Path, pool: Path, distilled: Path, output: Path) -> str:
    """Draws the difficulty distributions (Fig. 2) and the sheet of distilled images (Fig. 3).

    Args:
        original: folder with the column `difficulty`.
        pool: folder with `difficulty` and `difficulty_log`.
        distilled: folder of the distilled set.
        output: folder of the pictures.

    Returns:
        The names of the pictures, for people.

    Raises:
        InputError: a folder or a column is missing.
    """
    from ddgs_hub.evaluation import ClassDifficulties, Difficulties, difficulty_figure
    from ddgs_hub.sampling import log_transform

    rows = {
        "original": read_rows(original, names=["label", "difficulty"]),
        "pool": read_rows(pool, names=["label", "difficulty", "difficulty_log"]),
        "distilled": read_rows(distilled),
    }
    labels = {name: np.asarray(part["label"]) for name, part in rows.items()}
    raw = {name: np.asarray(part["difficulty"]) for name, part in rows.items()}
    log = {name: np.asarray(rows[name]["difficulty_log"]) for name in ("pool", "distilled")}
    selections = read_selections(distilled)
    # The two classes whose originals are easiest and hardest on average; all others lie between them.
    means = [raw["original"][labels["original"] == k].mean() for k in range(len(selections))]
    panels = []
    for k in sorted({int(np.argmin(means)), int(np.argmax(means))}):
        before = {name: values[labels[name] == k] for name, values in raw.items()}
        after = {name: values[labels[name] == k] for name, values in log.items()}
        after["original"] = log_transform(before["original"], selections[k].bottom, selections[k].top)
        panels.append(ClassDifficulties(selections[k].name, Difficulties(**before), Difficulties(**after)))
    with staged_folder(output) as folder:
        difficulty_figure(panels, folder / DIFFICULTY_FIGURE)
        draw_sheet(rows["distilled"], folder / SHEET)
    return f"{output.name}/{DIFFICULTY_FIGURE} and {output.name}/{SHEET}"


def read_selections(distilled: Path) -> list[ClassSelection]:
    """How each class of a distilled set was selected.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    return read_json(distilled / SELECTIONS, list[ClassSelection], str(distilled / SELECTIONS))


def draw_sheet(rows: Dataset, path: Path) -> None:
    """Draws the images of each class, from easy to hard, with their difficulty (Fig. 3)."""
    from ddgs_hub.evaluation import SheetRow, image_sheet

    images = [decode_image(cell["image"], row) for row, cell in enumerate(undecoded(rows))]
    labels, difficulty = np.asarray(rows["label"]), np.asarray(rows["difficulty"])
    sheet = []
    for k, name in enumerate(class_names(rows)):
        of_class = np.flatnonzero(labels == k)
        sheet.append(SheetRow(name, [images[i] for i in of_class], difficulty[of_class].tolist()))
    image_sheet(sheet, path)
