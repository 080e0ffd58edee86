"""From a distilled set to its label-robust and augmentation-robust scores (DD-Ranking): `evaluate --robust`."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset

from ddgs_hub.baselines import random_selection
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.made import Made
from ddgs_hub.core.progress import stage
from ddgs_hub.core.rows import class_names
from ddgs_hub.recipe import Protocol, Recipe
from ddgs_hub.stages.compare import Comparison
from ddgs_hub.stages.evaluated_sets import open_sets, validation_sets
from ddgs_hub.stages.run_folder import write_json

if TYPE_CHECKING:
    from ddgs_hub.evaluation import Evaluation
    from ddgs_hub.evaluation.robust_scores import Accuracies

LEAST_ROUNDS = 3  # each with a random draw of its own: fewer say nothing of the draws
ROBUST = "robust.json"  # in the folder of the results
WHICH = ("last", "best")


class Rounds:
    """The trainings that the scores of sets are made of, with one network and one set of validation images.

    Round r trains each network from seed + r, and compares with the random images of that seed. All are trained under
    one protocol; DD-Ranking tunes the learning rate of some, and trains hard labels without augmentation by default.

    Args:
        comparison: trains and keeps results.
        original: the real images that random ones are drawn from.
        protocol: says the network, the labels that sets are judged by, and the number of rounds.
        full_accuracy: of all the real images on hard labels, %; None: networks are trained on them.
    """

    def __init__(
        self, comparison: Comparison, original: Dataset, protocol: Protocol, full_accuracy: float | None
    ) -> None:
        self.comparison, self.original, self.protocol = comparison, original, protocol
        self.full_accuracy, self._names = full_accuracy, class_names(original)
        self._labels = list(original.with_format(None)["label"])
        self._drawn: dict[tuple[Protocol, int], list[Evaluation]] = {}  # sets of one IPC share their random images

    def of(self, rows: Dataset, where: str) -> "tuple[dict[str, list[Accuracies]], Evaluation]":
        """The accuracies of each round by the last and by the best tests, and the evaluation on hard labels."""
        from ddgs_hub.evaluation import images_per_class
        from ddgs_hub.evaluation.robust_scores import Accuracies

        hard, plain, ipc = self._hard, self.protocol.without_augmentation(), images_per_class(rows)
        on_hard, on_plain = (self._on(rows, where, protocol) for protocol in (hard, plain))
        on_any = on_hard if self.protocol == hard else self._on(rows, where, self.protocol)
        random, random_plain = (self._on_random(protocol, ipc) for protocol in (self.protocol, plain))
        rounds: dict[str, list[Accuracies]] = {}
        for which in WHICH:
            full = self._full(which)
            columns = [getattr(one, which) for one in (on_hard, on_any, on_plain)]
            columns += [[getattr(one, which)[0] for one in drawn] for drawn in (random, random_plain)]
            names = ("full_hard", "set_hard", "set_any", "set_plain", "random_any", "random_plain")
            rounds[which] = [
                Accuracies(**dict(zip(names, (value / 100 for value in values), strict=True)))
                for values in zip(full, *columns, strict=True)
            ]
        return rounds, on_hard

    def _on(self, rows: Dataset, where: str, protocol: Protocol, seed: int | None = None) -> "Evaluation":
        return self.comparison.on(rows, where, [protocol], seed)[0]

    def _on_random(self, protocol: Protocol, ipc: int) -> "list[Evaluation]":
        """Of each round the network on that round's random images."""
        if (protocol, ipc) in self._drawn:
            return self._drawn[protocol, ipc]
        drawn = self._drawn[protocol, ipc] = []
        for seed in range(self.comparison.seed, self.comparison.seed + protocol.repeats):
            rows = self.original.select(random_selection(self._labels, ipc, seed, class_names=self._names))
            with stage(f"Random {seed}"):
                drawn.append(self._on(rows, f"the random images of seed {seed}", replace(protocol, repeats=1), seed))
        return drawn

    @cached_property
    def _on_full(self) -> "Evaluation":
        with stage("full dataset"):
            return self._on(self.original, "the original dataset", self._hard)

    @property
    def _hard(self) -> Protocol:
        return replace(self.protocol, labels="hard")

    def _full(self, which: str) -> list[float]:
        if self.full_accuracy is not None:
            return [self.full_accuracy] * self.protocol.repeats
        return list(getattr(self._on_full, which))


def evaluate_robust(
    recipe: Recipe,
    protocols: Sequence[Protocol],
    sources: Sequence[str],
    validation: Sequence[str] = (),
    *,
    original: str,
    full_accuracy: float | None = None,
    output: Path | None = None,
) -> Made:
    """Label-Robust and Augmentation-Robust Score of each set, by each network, see `evaluation.robust_scores`.

    Args:
        recipe: as `evaluate_sources` has it.
        protocols: one for each network, alike in the images and labels that they take; `labels` are those that a set is
            judged by, beside the hard ones.
        sources: as `evaluate_sources` has them.
        validation: likewise.
        original: a folder or a Hub dataset: the real images that random ones are drawn from, with soft labels by the
            same scorer where `labels` are soft.
        full_accuracy: of networks trained on all of them, on hard labels, %, above 1 (a fraction would be a mistake);
            None: they are trained.
        output: a folder for the results; those that are in it already are not made again.

    Returns:
        A table for each set, network and validation set; as values `robust`, a list with what `robust_values` says
        of the last and of the best tests, all fractions.

    Raises:
        InputError: there are fewer than three rounds, `full_accuracy` is no such percentage, or as `evaluate_sources`.
        ConnectionLostError: the Hub does not answer.
    """
    from ddgs_hub.evaluation import images_per_class

    # All that is wrong is said before the first network is trained.
    _check(protocols, full_accuracy)
    tests = validation_sets(recipe, validation)
    sets = open_sets([original, *sources], recipe.data.subset, [test.rows for test in tests], protocols)
    labels = list(sets[original].with_format(None)["label"])
    for source in sources:
        random_selection(labels, images_per_class(sets[source]), class_names=class_names(sets[original]))
    if output:
        output.mkdir(parents=True, exist_ok=True)
    texts, values = [], []
    for test in tests:
        comparison = Comparison(test.rows, protocols, recipe.seed, output)
        for protocol in protocols:
            rounds = Rounds(comparison, sets[original], protocol, full_accuracy)
            for source in dict.fromkeys(sources):
                with stage(source) if len(sets) > 1 else nullcontext():
                    text, one = _scores(rounds, sets[source], source, test.name)
                texts.append(text)
                values.append(one)
    if output:
        write_json(output / ROBUST, {"robust": values})
    return Made("\n\n".join(texts), {"robust": values})


def _check(protocols: Sequence[Protocol], full_accuracy: float | None) -> None:
    from ddgs_hub.evaluation import check_network

    if full_accuracy is not None and not 1 < full_accuracy <= 100:  # written so that NaN is refused
        raise InputError(f"the accuracy of the full dataset is {full_accuracy:g}: give percent, such as 92.3")
    for protocol in protocols:
        check_network(protocol)
        if protocol.repeats < LEAST_ROUNDS:
            raise InputError(
                f"evaluate.repeats is {protocol.repeats}, and robust scores are of {LEAST_ROUNDS} rounds at least, "
                f"each with its own random images: --set evaluate.repeats={LEAST_ROUNDS}"
            )


def _scores(rounds: Rounds, rows: Dataset, source: str, tested_on: str) -> tuple[str, dict[str, Any]]:
    from ddgs_hub.evaluation.robust_table import robust_table, robust_values

    protocol = rounds.protocol
    accuracies, on_hard = rounds.of(rows, source)
    by_test = {which: robust_values(accuracies[which]) for which in WHICH}
    heading = (
        f"{source}, {protocol.network_name}, IPC {on_hard.ipc}, tested on {tested_on}: mean ± standard deviation of "
        f"{protocol.repeats} rounds, each with its own random images."
    )
    facts = {
        "data": source,
        "validation": tested_on,
        "network": protocol.network,
        "width": protocol.width,
        "labels": protocol.labels,
        "ipc": on_hard.ipc,
        "rounds": protocol.repeats,
        "seed": on_hard.seed,
        "full_accuracy": "given" if rounds.full_accuracy is not None else "trained",
    }
    text = f"{heading}\n\n{robust_table(by_test['last'], by_test['best'], protocol.labels)}"
    return text, {**facts, **by_test}
