"""Accuracies as the Hub's own evaluation results: the `model-index` of a card's front matter.

The Hub also knows files `.eval_results/*.yaml`; those belong to the repository of a model that was tested on a
benchmark. Here it is the dataset that is judged, and its networks are not published: a dataset's card carries them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.front_matter import MOST_OF_A_CARD, join_card, split_card
from ddgs_hub.core.schema import read_bytes
from ddgs_hub.core.staging import hidden_sibling, locked_folder
from ddgs_hub.core.text import one_line
from ddgs_hub.hub.layout import CARD

if TYPE_CHECKING:
    from ddgs_hub.evaluation import Evaluation

MODEL_INDEX = "model-index"  # the key of the front matter


@dataclass(frozen=True, kw_only=True)
class EvaluatedOn:
    """The images that networks were tested on, as a card names them.

    Attributes:
        id: of the dataset on the Hub; of images that are not there, a name.
        name: for people.
        split: of the dataset; None where a share of another split was held out.
        revision: the commit; None where it is not known.
    """

    id: str
    name: str
    split: str | None = None
    revision: str | None = None


def model_index(results: "Sequence[tuple[Evaluation, EvaluatedOn]]") -> list[dict[str, Any]]:
    """The value of `model-index`: an entry for each network, with the means of its best and last accuracies in %.

    `args` of each metric says what the number is of: images per class, epochs, tests, repeats, seed, and the population
    standard deviation over the repeats. huggingface_hub's `model_index_to_eval_results` reads it.

    Args:
        results: evaluations, each with the images that it was tested on.
    """
    of_network: dict[str, list[EvalResult]] = {}
    for evaluation, evaluated_on in results:
        of_network.setdefault(evaluation.protocol.network_name, []).extend(_metrics(evaluation, evaluated_on))
    return [entry for name, metrics in of_network.items() for entry in eval_results_to_model_index(name, metrics)]


def _metrics(evaluation: "Evaluation", evaluated_on: EvaluatedOn) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=one_line(evaluated_on.id),
            dataset_name=one_line(evaluated_on.name),
            dataset_split=evaluated_on.split and one_line(evaluated_on.split),
            dataset_revision=evaluated_on.revision,
            metric_type="accuracy",
            metric_name=f"Top-1 accuracy (%), {meaning}, mean of {evaluation.protocol.repeats}",
            metric_value=round(evaluation.mean_std(which)[0], 2),
            metric_args={"which": which, "std": round(evaluation.mean_std(which)[1], 2), **_settings(evaluation)},
        )
        for which, meaning in (("best", "best test of each network"), ("last", "after the last epoch"))
    ]


def read_card(folder: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text of the card of a folder that is to be published.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = folder / CARD
    if not path.is_file():
        raise InputError(
            f"{folder} has no {CARD} that can be read: give the folder of a repository, such as `run` writes in hub/"
        )
    try:
        return split_card(read_bytes(path, str(path), MOST_OF_A_CARD).decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8: save it as that") from error


def add_results(folder: Path, added: Sequence[Mapping[str, Any]]) -> None:
    """Adds entries of a `model-index` to the card of a folder; those of the same networks are replaced.

    The card is replaced at once; a command that works in the folder, such as `publish`, is waited for.

    Raises:
        InputError: there is no card, or it cannot be read or written.
    """
    names = [entry["name"] for entry in added]
    with locked_folder(folder, wait=True):  # networks were trained for hours: that is not lost to a short wait
        metadata, text = read_card(folder)
        there = metadata.get(MODEL_INDEX)
        entries = there if isinstance(there, list) else []
        kept = [entry for entry in entries if isinstance(entry, Mapping) and entry.get("name") not in names]
        partial = hidden_sibling(folder, "card")  # not in the folder: what a kill leaves must not be published
        try:
            partial.parent.mkdir(exist_ok=True)
            partial.write_text(join_card({**metadata, MODEL_INDEX: [*kept, *added]}, text), encoding="utf-8")
            partial.replace(folder / CARD)
        except OSError as error:
            raise InputError(f"cannot write {folder / CARD}: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)


def _settings(evaluation: "Evaluation") -> dict[str, Any]:
    return {
        "ipc": evaluation.ipc,
        "image_size": evaluation.protocol.image_size,
        "epochs": evaluation.epochs,
        "tests": len(evaluation.evaluation_epochs),
        "repeats": evaluation.protocol.repeats,
        "seed": evaluation.seed,
    }
