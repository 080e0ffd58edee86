"""From a distilled set and what it is compared with to accuracies: the stages `baseline` and `evaluate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset

from ddgs_hub.baselines import herding, k_center, random_selection
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.rows import class_names, read_rows, read_selected, write_rows
from ddgs_hub.core.schema import Json, read_json, read_values
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.original import load_rows
from ddgs_hub.recipe import Recipe
from ddgs_hub.stages.run_folder import RESULTS, RunFolder, write_json

if TYPE_CHECKING:
    from ddgs_hub.evaluation import Evaluation

METHODS = (  # explains the rows of a run's table, see `make_evaluation`
    "*Random* are real images, *DiT* images of the base as it was, *Minimax* the first images of the fine-tuned DiT's "
    "pool, and *Ours* the images of this dataset, selected from that pool."
)


def make_baseline(method: str, original: Path, output: Path, *, ipc: int, scorer: str | None, seed: int) -> str:
    """Selects real images at random, or by herding or k-center on a scorer's features; returns a line for people.

    Args:
        method: `random`, `herding` or `k-center`.
        original: folder of the original images.
        output: where to write the selected ones.
        ipc: images per class.
        scorer: a Hub id or a folder; random selection needs none.
        seed: of the random selection.

    Raises:
        InputError: there is no scorer and the method needs one, or a class has fewer images than IPC.
    """
    labelled = read_rows(original, names=["label"])
    labels, names = labelled["label"], class_names(labelled)
    if method == "random":
        indices = random_selection(labels, ipc, seed, class_names=names)
    elif scorer is None:
        raise InputError(f"{method} needs the features of a classifier: give --scorer")
    else:
        from ddgs_hub.difficulty import Scorer, extract_features

        features = extract_features(read_rows(original), Scorer.from_pretrained(scorer))
        indices = {"herding": herding, "k-center": k_center}[method](features, labels, ipc, class_names=names)
    with staged_folder(output) as folder:
        write_rows(read_selected(original, indices), folder)
    return f"{len(indices)} real images by {method}"


def make_evaluation(recipe: Recipe, run: RunFolder) -> str:
    """Evaluates the distilled set of a run and what it is compared with, see `METHODS`; returns a line for people."""
    ipc = recipe.sample.ipc
    labels = read_rows(run.original, names=["label"])["label"]
    pool_index = np.asarray(read_rows(run.pool, names=["pool_index"])["pool_index"])
    methods = {
        "Random (real images)": read_selected(run.original, random_selection(labels, ipc, recipe.seed)),
        "DiT": read_rows(run.base_pool),
        # What Minimax Diffusion would have generated for this IPC: the first images of each class.
        "Minimax": read_selected(run.pool, np.flatnonzero(pool_index < ipc)),
        "Ours": read_rows(run.distilled),
    }
    return evaluate_methods(recipe, methods, read_rows(run.original, "validation"), run.evaluation)


def evaluate_methods(recipe: Recipe, methods: Mapping[str, Dataset], validation: Dataset, output: Path) -> str:
    """Trains the networks on each method's images, all under the same budget and seeds; writes `results.json`.

    Each method's result is written to its own file at once, so a killed evaluation resumes with the next one.

    Args:
        recipe: `evaluate` is the protocol; each set's own images per class decide its number of epochs.
        methods: name of the method → its images.
        validation: real images.
        output: folder of the results.

    Returns:
        Which method has the highest accuracy, for people.

    Raises:
        InputError: an image cannot be decoded, or the classes of two sets differ.
    """
    from ddgs_hub.evaluation.evaluate import evaluate

    output.mkdir(parents=True, exist_ok=True)
    results = {}
    for k, (method, rows) in enumerate(methods.items()):
        path = output / f"{k}-{method.split()[0].lower()}.json"
        digest = fingerprint(rows)
        result = evaluated_before(path, digest)
        if result is None:
            result = evaluate(rows, validation, recipe.evaluate, seed=recipe.seed)
            write_json(path, {"rows_fingerprint": digest, **result.to_dict()})
        results[method] = {"rows_fingerprint": digest, **result.to_dict()}
    write_json(output / RESULTS, results)
    best = max(results, key=lambda method: results[method]["best_mean"])
    return f"{len(results)} × {recipe.evaluate.repeats} networks; highest {best}, {results[best]['best_mean']:.1f} %"


def evaluated_before(path: Path, digest: str) -> "Evaluation | None":
    """The result in a file, if it belongs to these rows; None if it does not, or if the file is damaged."""
    from ddgs_hub.evaluation import Evaluation

    try:
        values = read_json(path, Json, str(path)) if path.is_file() else {}
        return read_values(values, Evaluation, str(path)) if values.get("rows_fingerprint") == digest else None
    except InputError:
        return None


def evaluate_source(recipe: Recipe, source: str, validation: Path, *, revision: str | None = None) -> dict[str, Any]:
    """Evaluates one dataset, a folder or a Hub id; the result is `Evaluation.to_dict` with the table as text."""
    from ddgs_hub.evaluation import accuracy_table
    from ddgs_hub.evaluation.evaluate import evaluate

    rows = load_rows(source, revision=revision)
    tests = read_rows(validation, "validation")
    result = evaluate(rows, tests, recipe.evaluate, seed=recipe.seed)
    return {**result.to_dict(), "text": accuracy_table({Path(source).name: result})}


def read_table(evaluation: Path) -> str:
    """The accuracy table of an evaluation folder.

    Raises:
        InputError: there are no results, or they are damaged.
    """
    from ddgs_hub.evaluation import Evaluation, accuracy_table

    path = evaluation / RESULTS
    return accuracy_table(read_json(path, dict[str, Evaluation], str(path)))
