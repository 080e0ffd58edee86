"""From a distilled set and what it is compared with to accuracies: the stages `baseline` and `evaluate`."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset

from ddgs_hub.baselines import herding, k_center, random_selection
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import expanded
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.made import Made
from ddgs_hub.core.progress import Progress, stage
from ddgs_hub.core.rows import class_names, read_rows, read_selected, write_rows
from ddgs_hub.core.schema import Json, read_json, read_values
from ddgs_hub.core.staging import staged_folder
from ddgs_hub.hub import add_results, model_index, read_card
from ddgs_hub.recipe import Protocol, Recipe
from ddgs_hub.stages.evaluated_sets import ValidationSet, evaluated_on, open_sets, validation_sets
from ddgs_hub.stages.run_folder import RESULTS, RunFolder, write_json

if TYPE_CHECKING:
    from ddgs_hub.evaluation import Evaluation, Examples

OURS = "Ours"  # what the distilled set of a run is called
METHODS = (  # explains the rows of a run's table, see `make_evaluation`
    "*Random* are real images, *DiT* images of the base as it was, *Minimax* the first images of the fine-tuned DiT's "
    "pool, and *Ours* the images of this dataset, selected from that pool."
)


def make_baseline(
    method: str,
    original: Path,
    output: Path,
    *,
    ipc: int,
    scorer: str | None,
    seed: int,
    revision: str | None = None,
) -> Made:
    """Selects real images at random, or by herding or k-center on a scorer's features.

    Args:
        method: `random`, `herding` or `k-center`.
        original: folder of the original images.
        output: where to write the selected ones.
        ipc: images per class.
        scorer: a Hub id or a folder; random selection needs none.
        seed: of the random selection.
        revision: of a scorer on the Hub: commit, tag or branch.

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

        features = extract_features(read_rows(original), Scorer.from_pretrained(scorer, revision=revision))
        indices = {"herding": herding, "k-center": k_center}[method](features, labels, ipc, class_names=names)
    with staged_folder(output) as folder:
        write_rows(read_selected(original, indices), folder)
    values = {
        "output": str(output),
        "method": method,
        "images": len(indices),
        "ipc": ipc,
        "scorer": scorer,
        "seed": seed,
    }
    return Made(f"{len(indices)} real images by {method}", values)


def make_evaluation(recipe: Recipe, run: RunFolder) -> Made:
    """Evaluates the distilled set of a run and what it is compared with, see `METHODS`."""
    ipc = recipe.sample.ipc
    labels = read_rows(run.original, names=["label"])["label"]
    indices = (read_rows(folder, names=["pool_index"])["pool_index"] for folder in (run.base_pool, run.pool))
    plain_index, pool_index = map(np.asarray, indices)
    methods = {
        "Random (real images)": read_selected(run.original, random_selection(labels, ipc, recipe.seed)),
        # What each would have generated for this IPC: the first images of each class.
        "DiT": read_selected(run.base_pool, np.flatnonzero(plain_index < ipc)),
        "Minimax": read_selected(run.pool, np.flatnonzero(pool_index < ipc)),
        OURS: read_rows(run.distilled),
    }
    return evaluate_methods(recipe, methods, read_rows(run.original, "validation"), run.evaluation)


def evaluate_methods(recipe: Recipe, methods: Mapping[str, Dataset], validation: Dataset, output: Path) -> Made:
    """Trains the networks on each method's images, all under the same budget and seeds; writes `results.json`.

    Each method's result is written to its own file at once, so a killed evaluation resumes with the next one.

    Args:
        recipe: `evaluate` is the protocol; each set's own images per class decide its number of epochs.
        methods: name of the method → its images.
        validation: real images.
        output: folder of the results.

    Returns:
        Which method has the highest accuracy, and the accuracies of each in %.

    Raises:
        InputError: an image cannot be decoded, or the classes of two sets differ.
    """
    output.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(validation, [recipe.evaluate], recipe.seed, output)
    results = {}
    for method, rows in Progress("evaluate", len(methods), unit="set").over(methods.items()):
        with stage(method):
            [result] = comparison.on(rows, "the training images")
        results[method] = {"rows_fingerprint": fingerprint(rows), **result.to_dict()}
    write_json(output / RESULTS, results)
    best = max(results, key=lambda method: results[method]["best_mean"])
    text = f"{len(results)} × {recipe.evaluate.repeats} networks; highest {best}, {results[best]['best_mean']:.1f} %"
    keys = ("best_mean", "best_std", "last_mean", "last_std")
    accuracies = {method: {key: result[key] for key in keys} for method, result in results.items()}
    return Made(text, {"output": str(output), "repeats": recipe.evaluate.repeats, "accuracies": accuracies})


class Comparison:
    """Networks that are trained on several sets and tested on the same images, which are decoded once.

    Args:
        validation: real images.
        protocols: one for each network, alike in the images and labels that they take.
        seed: of the first repeat of each.
        kept: a folder in which every result is written at once, so that a kill costs one network with its
            repeats; None: nowhere.
    """

    def __init__(self, validation: Dataset, protocols: Sequence[Protocol], seed: int, kept: Path | None) -> None:
        self.validation, self.protocols, self.seed, self.kept = validation, protocols, seed, kept

    @cached_property
    def tests(self) -> "Examples":
        """The validation images, decoded."""
        from ddgs_hub.evaluation import load_examples

        return load_examples(self.validation, self.protocols[0], training=False, where="the validation images")

    @cached_property
    def identity(self) -> str:
        """A fingerprint of the validation images."""
        return fingerprint(self.validation)

    def on(
        self, rows: Dataset, where: str, protocols: Sequence[Protocol] | None = None, seed: int | None = None
    ) -> "list[Evaluation]":
        """The evaluation of a set by each network; one that is kept already is read.

        Args:
            rows: the set.
            where: its name in messages.
            protocols: instead of the comparison's, and alike in the images and labels that they take.
            seed: instead of the comparison's.

        Raises:
            InputError: an image cannot be decoded, or the classes differ from the validation images'.
        """
        from ddgs_hub.evaluation import images_per_class, load_examples, same_classes, train_networks

        classes = same_classes(rows, self.validation, where)
        digest, examples, results = fingerprint(rows), None, []
        seed = self.seed if seed is None else seed
        for protocol in self.protocols if protocols is None else protocols:
            # Two networks of one name differ in their digests.
            name = fingerprint(digest, self.identity, protocol.to_values(), seed) if self.kept else ""
            path = self.kept / f"{protocol.network}-{name}.json" if self.kept else None
            result = evaluated_before(path, digest) if path else None
            if result is None:
                examples = examples or load_examples(rows, protocol, training=True, where=where)
                ipc = images_per_class(rows)
                result = train_networks(examples, self.tests, protocol, len(classes), ipc=ipc, seed=seed)
                if path:
                    write_json(path, {"rows_fingerprint": digest, **result.to_dict()})
            results.append(result)
        return results


def evaluated_before(path: Path, digest: str) -> "Evaluation | None":
    """The result in a file, if it belongs to these rows; None if it does not, or if the file is damaged."""
    from ddgs_hub.evaluation import Evaluation

    try:
        values = read_json(path, Json, str(path)) if path.is_file() else {}
        return read_values(values, Evaluation, str(path)) if values.get("rows_fingerprint") == digest else None
    except InputError:
        return None


def evaluate_sources(
    recipe: Recipe,
    protocols: Sequence[Protocol],
    sources: Sequence[str],
    validation: Sequence[str] = (),
    *,
    output: Path | None = None,
    cards: bool = False,
) -> Made:
    """Trains networks on several sets, each a folder or on the Hub, and tests them on the same real images.

    Each validation set has trainings of its own, from the same seeds.

    Args:
        recipe: says the seed, the split that validates, and the subset whose classes are taken of sets on the Hub.
        protocols: one for each network, alike in the images that they take.
        sources: folders in Hub layout, or `OWNER/NAME` or `OWNER/NAME@REVISION`.
        validation: likewise, sets of real images; empty: the validation split of the recipe's original.
        output: a folder for the results; those that are in it already are not made again. None: they are returned only.
        cards: also write the results into the `README.md` of every source, each a folder that is to be published.

    Returns:
        The table; as values `evaluations`, a list of `Evaluation.to_dict` with `data`, the name of the set, and
        `validation`, that of the images that were tested on.

    Raises:
        InputError: a set cannot be read or has other classes, a network cannot take the images, or a card cannot be
            written.
        ConnectionLostError: the Hub does not answer.
    """
    from ddgs_hub.evaluation import accuracy_table, check_network

    sources = list(dict.fromkeys(sources))
    for protocol in protocols:  # all that is wrong is said before the first network is trained
        check_network(protocol)
    for source in sources if cards else ():
        read_card(expanded(source))
    tests = validation_sets(recipe, validation)
    places = {test.name: evaluated_on(test.pinned, recipe) for test in tests} if cards else {}
    sets = open_sets(sources, recipe.data.subset, [test.rows for test in tests], protocols)
    if output:
        output.mkdir(parents=True, exist_ok=True)
    results = [result for test in tests for result in _tested_on(test, sets, protocols, recipe.seed, output)]
    values = {"evaluations": [{"data": source, "validation": name, **one.to_dict()} for source, name, one in results]}
    if output:
        write_json(output / RESULTS, values)
    for source in sources if cards else ():
        add_results(expanded(source), model_index([(one, places[name]) for of, name, one in results if of == source]))
    pairs, names = [(source, one) for source, _, one in results], [name for _, name, _ in results]
    text = accuracy_table(pairs, heading="dataset", tested_on=names if len(tests) > 1 else ())
    return Made(text, values)


def _tested_on(
    test: ValidationSet, sets: Mapping[str, Dataset], protocols: Sequence[Protocol], seed: int, kept: Path | None
) -> "list[tuple[str, str, Evaluation]]":
    """The evaluations by each network, set by set: the set's name, that of the validation images, and what came out."""
    comparison = Comparison(test.rows, protocols, seed, kept)
    of_set = {}
    for name, rows in sets.items():
        with stage(name):
            of_set[name] = comparison.on(rows, name)
    return [(name, test.name, of_set[name][k]) for k in range(len(protocols)) for name in sets]


def read_results(evaluation: Path) -> "dict[str, Evaluation]":
    """The results in an evaluation folder, by the names of the methods.

    Raises:
        InputError: there are no results, or they are damaged.
    """
    from ddgs_hub.evaluation import Evaluation

    return read_json(evaluation / RESULTS, dict[str, Evaluation], str(evaluation / RESULTS))


def read_table(evaluation: Path) -> str:
    """The accuracy table of an evaluation folder; see `read_results`."""
    from ddgs_hub.evaluation import accuracy_table

    return accuracy_table(read_results(evaluation))


def read_evaluation(evaluation: Path) -> "Evaluation":
    """What the evaluation folder of a run says of its distilled set.

    Raises:
        InputError: as `read_results`, or it says nothing of that set.
    """
    if (ours := read_results(evaluation).get(OURS)) is None:
        raise InputError(f"{evaluation / RESULTS} says nothing of {OURS}: remove {evaluation}, and run again")
    return ours
