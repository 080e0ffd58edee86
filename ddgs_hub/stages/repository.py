"""What a run ends with: accuracies, figures, and the files of the Hub repository with their cards."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset

from ddgs_hub.core.decoding import decode_image
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.folders import staged_folder
from ddgs_hub.core.rows import class_names, read_rows, undecoded
from ddgs_hub.core.schema import Json, read_json, read_values
from ddgs_hub.original.mapped import load_rows
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.original import SELECTIONS, write_json
from ddgs_hub.stages.provenance import made_with, model_identity

if TYPE_CHECKING:
    from ddgs_hub.evaluation import Evaluation
    from ddgs_hub.hub import ClassSelection

METHODS = (  # what the rows of the table of a run are, see `Run`
    "*Random* are real images, *DiT* images of the base as it was, *Minimax* the first images of the fine-tuned DiT's "
    "pool, and *Ours* the images of this dataset, selected from that pool."
)


def evaluate_methods(recipe: Recipe, methods: Mapping[str, Dataset], validation: Dataset, output: Path) -> str:
    """Trains the networks on each method's images, all under the same budget and seeds; writes `results.json`.

    Each method's result is a file of its own as soon as it is there, so a killed evaluation goes on with the next.
    """
    from ddgs_hub.evaluation.evaluate import evaluate

    output.mkdir(parents=True, exist_ok=True)
    results = {}
    for k, (method, rows) in enumerate(methods.items()):
        path = output / f"{k}-{method.split()[0].lower()}.json"
        digest = fingerprint(rows)
        result = evaluated_before(path, digest)
        if result is None:
            result = evaluate(rows, validation, recipe.evaluate, ipc=recipe.sample.ipc, seed=recipe.seed)
            write_json(path, {"rows_fingerprint": digest, **result.to_dict()})
        results[method] = {"rows_fingerprint": digest, **result.to_dict()}
    write_json(output / "results.json", results)
    best = max(results, key=lambda method: results[method]["best_mean"])
    return f"{len(results)} × {recipe.evaluate.repeats} networks; highest {best}, {results[best]['best_mean']:.1f} %"


def evaluated_before(path: Path, digest: str) -> "Evaluation | None":
    """The result in a file, if it is that of these rows; None where it is damaged, too: then it is made again."""
    from ddgs_hub.evaluation import Evaluation

    try:
        values = read_json(path, Json, str(path)) if path.is_file() else {}
        return read_values(values, Evaluation, str(path)) if values.get("rows_fingerprint") == digest else None
    except InputError:
        return None


def evaluate_source(recipe: Recipe, source: str, validation: Path, *, revision: str | None = None) -> dict[str, Any]:
    """Evaluates one dataset; the result is `Evaluation.to_dict` with the table as text."""
    from ddgs_hub.evaluation import accuracy_table
    from ddgs_hub.evaluation.evaluate import evaluate

    rows = load_rows(source, revision=revision)
    tests = read_rows(validation, "validation")
    result = evaluate(rows, tests, recipe.evaluate, ipc=recipe.sample.ipc, seed=recipe.seed)
    return {**result.to_dict(), "text": accuracy_table({Path(source).name: result})}


def read_table(evaluation: Path) -> str:
    """The accuracy table of an evaluation folder."""
    from ddgs_hub.evaluation import Evaluation, accuracy_table

    path = evaluation / "results.json"
    return accuracy_table(read_json(path, dict[str, Evaluation], str(path)))


def make_figures(original: Path, pool: Path, distilled: Path, output: Path) -> str:
    """Draws the difficulty distributions (Fig. 2) and the sheet of distilled images (Fig. 3)."""
    from ddgs_hub.evaluation import ClassDifficulties, Difficulties, difficulty_figure
    from ddgs_hub.sampling import log_transform

    rows = {name: read_rows(folder) for name, folder in (("o", original), ("p", pool), ("d", distilled))}
    labels = {name: np.asarray(part["label"]) for name, part in rows.items()}
    raw = {name: np.asarray(part["difficulty"]) for name, part in rows.items()}
    log = {name: np.asarray(rows[name]["difficulty_log"]) for name in "pd"}
    selections = read_selections(distilled)
    # The two classes whose originals are easiest and hardest on average: what lies between looks like one of them.
    means = [raw["o"][labels["o"] == k].mean() for k in range(len(selections))]
    shown = []
    for k in sorted({int(np.argmin(means)), int(np.argmax(means))}):
        o, p, d = (raw[name][labels[name] == k] for name in "opd")
        transformed = log_transform(o, selections[k].bottom, selections[k].top)
        after = Difficulties(transformed, log["p"][labels["p"] == k], log["d"][labels["d"] == k])
        shown.append(ClassDifficulties(selections[k].name, Difficulties(o, p, d), after))
    with staged_folder(output) as folder:
        difficulty_figure(shown, folder / "difficulty.png")
        draw_sheet(rows["d"], folder / "sheet.png")
    return f"{output.name}/difficulty.png and {output.name}/sheet.png"


def read_selections(distilled: Path) -> list["ClassSelection"]:
    """How each class of a distilled set was selected.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    from ddgs_hub.hub import ClassSelection

    return read_json(distilled / SELECTIONS, list[ClassSelection], str(distilled / SELECTIONS))


def draw_sheet(rows: Dataset, path: Path) -> None:
    """Draws the images of each class, from easy to hard, with their difficulty (Fig. 3)."""
    from ddgs_hub.evaluation import SheetRow, image_sheet

    images = [decode_image(cell["image"], row) for row, cell in enumerate(undecoded(rows))]
    labels, difficulty = np.asarray(rows["label"]), np.asarray(rows["difficulty"])
    sheet = []
    for k, name in enumerate(class_names(rows)):
        own = np.flatnonzero(labels == k)
        sheet.append(SheetRow(name, [images[i] for i in own], difficulty[own].tolist()))
    image_sheet(sheet, path)


def make_repository(
    recipe: Recipe,
    distilled: Path,
    output: Path,
    *,
    pool: Path,
    dit: Path,
    scorer: str | Path,
    command: str,
    evaluation: Path,
    figures: Path,
) -> str:
    """Writes the files of the Hub repository of a distilled dataset."""
    from ddgs_hub.hub import (
        CONTENT,
        DistilledCard,
        describe_rows,
        export_dataset,
        hash_pool,
        hub_id,
    )

    rows = read_rows(distilled)
    identities = {"dit": model_identity(dit), "scorer": model_identity(scorer, recipe.score.revision)}
    content = {**describe_rows(rows), "pool": hash_pool(pool), **identities}
    provenance = {**made_with(recipe), CONTENT: content}
    card = DistilledCard(
        recipe=recipe,
        source_datasets=[name for name in (hub_id(recipe.data.original),) if name],
        classes=read_selections(distilled),
        evaluation=f"{read_table(evaluation)}\n\n{METHODS}",
        command=command,
        versions=provenance["versions"],
    )
    pictures = {path.stem: path for path in sorted(figures.glob("*.png"))}
    export_dataset(rows, output, card, provenance=provenance, figures=pictures)
    return f"{output}, with its card"
