"""Cards as data: a dataclass → front matter by huggingface_hub → text by a Jinja template of `model_cards/`.

Nothing but the template is read here and nothing is written; `export` does that. A section without data disappears.
"""

import re
import shlex
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from datasets import DatasetInfo, Value
from datasets.info import DatasetInfosDict
from huggingface_hub import CardData, DatasetCardData, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ddgs_hub.core import markdown
from ddgs_hub.core.text import one_line
from ddgs_hub.hub.layout import DEFAULT, config_pattern, public_name
from ddgs_hub.original import BUILT_IN, SUBSETS
from ddgs_hub.recipe import Recipe

# A wheel has the templates inside the package, a source checkout beside it.
TEMPLATES = tuple(Path(__file__).resolve().parents[level] / "model_cards" for level in (2, 3))
OWNER = "OWNER"  # stands for the account while there is none
VERSION = "VERSION"  # stands for the version while there is none
OWNER_NOTE = f"`{OWNER}` stands for the account that publishes it, `{VERSION}` for a version such as `v1.0.0`.\n"
WIDTH = 88  # characters of code that the Hub shows without a scroll bar
HAND_WRITTEN = "<!-- What is below this line is yours: `ddgs-hub publish` keeps it. -->"
SIZE_CATEGORIES = (  # as the Hub names them, each a power of ten wide from 1,000 rows on
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M"),
    *("100M<n<1B", "1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"),
)
CITATION = """\
@article{li2025difficulty,
  title   = {Task-Specific Generative Dataset Distillation
             with Difficulty-Guided Sampling},
  author  = {Li, Mingzhuo and Li, Guang and Mao, Jiafeng and Ye, Linfeng
             and Ogawa, Takahiro and Haseyama, Miki},
  journal = {arXiv preprint arXiv:2507.03331},
  year    = {2025},
}"""


@dataclass(frozen=True, kw_only=True)
class ClassSelection:
    """How the images of one class were selected.

    Attributes:
        name: of the class.
        bottom: b*, the rank of the pool's floor (Eq. 7).
        top: t*, the rank of its ceiling, from the hard end.
        objective: of Eq. 9 at b* and t*, in bits.
        target_counts: images that each bin should give, easy to hard.
        available: images of the pool in each bin.
        shortfall: images that each bin lacked; the rest of the pool gave them.
        mean_difficulty: of the selected images, 0 … 1, before the transformation.
        smoothed: no finite objective was found, so histograms were smoothed with ε.
    """

    name: str
    bottom: int
    top: int
    objective: float
    target_counts: Sequence[int]
    available: Sequence[int]
    shortfall: Sequence[int]
    mean_difficulty: float
    smoothed: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishedPool:
    """The pool of another published set, from which these rows were selected.

    Attributes:
        repo_id: of that set.
        commit: at which its pool was read.
        per_class: how many of its images of a class were candidates.
    """

    repo_id: str
    commit: str
    per_class: int


@dataclass(frozen=True, kw_only=True)
class DistilledCard:
    """What the card of a distilled dataset says.

    Attributes:
        recipe: what made it, and how it is named.
        owner: the account on the Hub; empty: not published yet, the text shows a placeholder.
        version: the tag that the examples load; empty: not published yet, the text shows a placeholder.
        source_datasets: Hub ids of the original images; see `export.hub_id`.
        info: features, sizes and number of rows; `export_dataset` fills it in from the rows.
        rows_sha256: of the Parquet file; `export_dataset` fills it in.
        classes: how each class was selected, in label order.
        figures: names of the pictures `figures/<name>.png`; `export_dataset` fills them in. `sheet` comes first in the
            text, the others with the difficulties.
        evaluation: the table of accuracies, Markdown.
        reported: which accuracy that table puts first.
        command: the command line that makes the dataset again.
        versions: library → version.
        published_pool: where the pool was taken from; None: it was generated for these rows, `recipe.pool.size` × IPC.
    """

    recipe: Recipe
    owner: str = ""
    version: str = ""
    source_datasets: Sequence[str] = ()
    info: DatasetInfo | None = None
    rows_sha256: str = ""
    classes: Sequence[ClassSelection] = ()
    figures: Sequence[str] = ()
    evaluation: str = ""
    reported: Literal["best", "last"] = "best"
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    published_pool: PublishedPool | None = None

    @property
    def repo_id(self) -> str:
        """Of the repository on the Hub, with a placeholder for an account that is not known."""
        return f"{self.owner or OWNER}/{self.recipe.hub.dataset.replace('{ipc}', str(self.recipe.sample.ipc))}"

    @property
    def title(self) -> str:
        """The dataset's name for people."""
        ipc = self.recipe.sample.ipc
        return f"{self.recipe.hub.pretty_name}, distilled to {ipc} image{'' if ipc == 1 else 's'} a class"


@dataclass(frozen=True, kw_only=True)
class DiTCard:
    """What the card of a fine-tuned DiT says.

    Attributes:
        recipe: what made it.
        name: of the repository.
        owner: the account on the Hub; empty: not published yet, the text shows a placeholder.
        version: the tag that the examples load; empty: not published yet, the text shows a placeholder.
        license: of the base, which the fine-tuned model inherits.
        license_name: where `license` is "other".
        license_link: where `license` is "other".
        base_model: Hub id of the base; None where it is local or was trained from scratch. See `export.hub_id`.
        datasets: Hub ids of the original images.
        class_ids: class name → class index of the DiT.
        steps: optimiser steps that were made.
        pipeline: the folder is a `DiTPipeline`.
        adapter: the folder holds `adapter.safetensors`.
        command: the command line that makes the model again.
        versions: library → version.
    """

    recipe: Recipe
    name: str
    owner: str = ""
    version: str = ""
    license: str = "other"
    license_name: str | None = None
    license_link: str | None = None
    base_model: str | None = None
    datasets: Sequence[str] = ()
    class_ids: Mapping[str, int] = field(default_factory=dict)
    steps: int | None = None
    pipeline: bool = True
    adapter: bool = False
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def repo_id(self) -> str:
        """Of the repository on the Hub, with a placeholder for an account that is not known."""
        return f"{self.owner or OWNER}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class ScorerCard:
    """What the card of a cross-fitted scorer says.

    Attributes:
        recipe: what made it; `recipe.score.training` is how.
        name: of the repository.
        owner: the account on the Hub; empty: not published yet, the text shows a placeholder.
        version: the tag that the examples load; empty: not published yet, the text shows a placeholder.
        datasets: Hub ids of the original images.
        classes: names, in the order of the logits.
        fold_accuracies: of each fold the share of its images that its model, which never saw them, classifies rightly.
        accuracy: the same of all images.
        command: the command line that makes the scorer again.
        versions: library → version.
    """

    recipe: Recipe
    name: str
    owner: str = ""
    version: str = ""
    datasets: Sequence[str] = ()
    classes: Sequence[str] = ()
    fold_accuracies: Sequence[float] = ()
    accuracy: float | None = None
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def repo_id(self) -> str:
        """Of the repository on the Hub, with a placeholder for an account that is not known."""
        return f"{self.owner or OWNER}/{self.name}"


def render_card(card: DistilledCard | DiTCard | ScorerCard) -> str:
    """The whole text of a README.md: YAML front matter, then Markdown. The same card gives the same text."""
    values: dict[str, Any] = {"card": card, "recipe": card.recipe, "citation": CITATION, "built_in": BUILT_IN}
    values |= {"owner_note": "" if card.owner and card.version else OWNER_NOTE, "hand_written": HAND_WRITTEN}
    values["pin"] = f"revision={markdown.literal(card.version or VERSION)}"
    values["subset"] = SUBSETS[card.recipe.data.subset] if card.recipe.data.subset else None
    if isinstance(card, DistilledCard):
        values |= {"columns": column_types(card.info), "num_rows": _num_rows(card)}
        return render_template("distilled_dataset.md.jinja", values, _dataset_metadata(card))
    if isinstance(card, DiTCard):
        return render_template("dit.md.jinja", values, _model_metadata(card))
    return render_template("scorer.md.jinja", values, _scorer_metadata(card))


def render_template(name: str, values: Mapping[str, Any], metadata: CardData) -> str:
    """A README.md out of a template of `TEMPLATES`, the values that it shows, and the front matter."""
    return f"---\n{metadata.to_yaml()}\n---\n\n{_environment().get_template(name).render(values)}"


def with_repository(card: str, repo_id: str, version: str = "") -> str:
    """A rendered card with the names of its repository and version in place of the placeholders'.

    Without a version its examples load whatever is newest.
    """
    pin = f', revision="{version}"' if version else ""
    named = re.sub(rf"\b{OWNER}/[\w.-]+", repo_id, card).replace(OWNER_NOTE, "")
    return named.replace(f', revision="{VERSION}"', pin)


def configuration(name: str, rows_sha256: str) -> dict[str, Any]:
    """The entry of `configs` for the Parquet files of a configuration."""
    entry = {"config_name": name, "data_files": [{"split": "train", "path": config_pattern(name)}]}
    # load_dataset keys its cache of a local folder by the front matter and not by the files: without a mark of the
    # rows in it, rows that were written anew into the same folder come back as the old ones.
    return {**entry, "description": f"rows sha256:{rows_sha256}"} if rows_sha256 else entry


def render_pool_section(repo_id: str, *, per_class: int, ipc: int) -> str:
    """What a card says of the pool of `per_class` images a class; its example samples `ipc` of them."""
    return _environment().get_template("pool_section.md.jinja").render(repo_id=repo_id, per_class=per_class, ipc=ipc)


def size_category(num_rows: int) -> str:
    """The Hub's name for a number of rows, such as `1K<n<10K`."""
    return SIZE_CATEGORIES[bisect_right([10**power for power in range(3, 13)], num_rows)]


def _dataset_metadata(card: DistilledCard) -> DatasetCardData:
    num_rows = _num_rows(card)
    metadata = DatasetCardData(
        license=one_line(card.recipe.hub.license),
        pretty_name=one_line(card.title),
        size_categories=None if num_rows is None else [size_category(num_rows)],
        task_categories=["image-classification"],
        source_datasets=list(card.source_datasets) or None,
        tags=["dataset-distillation", "ddgs", f"ipc-{card.recipe.sample.ipc}", "synthetic"],
        configs=[configuration(DEFAULT, card.rows_sha256)],
    )
    if card.info is not None:
        DatasetInfosDict({DEFAULT: card.info}).to_dataset_card_data(metadata)
    return metadata


def _model_metadata(card: DiTCard) -> ModelCardData:
    metadata = ModelCardData(
        license=one_line(card.license),
        license_name=card.license_name and one_line(card.license_name),
        license_link=card.license_link and one_line(card.license_link),
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",  # of the Hub's tasks the one for class-conditional models
        base_model=card.base_model,
        datasets=list(card.datasets) or None,
        tags=["dataset-distillation", "ddgs", "dit", "class-conditional"],
    )
    if card.base_model:
        metadata["base_model_relation"] = "finetune" if card.pipeline else "adapter"
    return metadata


def _scorer_metadata(card: ScorerCard) -> ModelCardData:
    return ModelCardData(
        license=one_line(card.recipe.hub.license),
        library_name="timm",
        pipeline_tag="image-classification",
        datasets=list(card.datasets) or None,
        tags=["dataset-distillation", "ddgs", "difficulty", "timm"],
    )


def _num_rows(card: DistilledCard) -> int | None:
    """Rows of the split `train`; None where they are not known."""
    return None if card.info is None or card.info.splits is None else card.info.splits["train"].num_examples


def column_types(info: DatasetInfo | None) -> dict[str, str]:
    """Column → type as a reader names it."""
    features = {} if info is None or info.features is None else info.features
    return {name: kind.dtype if isinstance(kind, Value) else type(kind).__name__ for name, kind in features.items()}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Every value that is no number of ours goes through one of the first six: a stranger may have written it.
    filters: dict[str, Any] = {
        "prose": markdown.prose,
        "cell": markdown.cell,
        "code": markdown.code,
        "literal": markdown.literal,
        "word": lambda text: shlex.quote(markdown.block(text)),
        "shell": _shell,
        "counts": _counts,
        "number": lambda value: f"{value:g}",
        "public": public_name,
    }
    environment.filters |= filters
    return environment


def _counts(values: Sequence[int]) -> str:
    """The counts of ten bins, which a narrow table breaks in the middle or not at all."""
    halves = values[: len(values) // 2], values[len(values) // 2 :]
    return " ".join("\N{NO-BREAK SPACE}".join(map(str, half)) for half in halves)


def _shell(command: str) -> str:
    """A command line, over several lines where it is long."""
    command = markdown.block(command)
    return command if len(command) <= WIDTH else command.replace(" --", " \\\n    --")
