"""The card of a distilled dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.card import RecipeCard
from ddgs_hub.hub.cards.metadata import column_types, configuration, size_category
from ddgs_hub.hub.cards.results import MODEL_INDEX
from ddgs_hub.hub.layout import DEFAULT


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
    """The pool from which these rows were selected, where it was not generated for them alone.

    Attributes:
        repo_id: of the set that it was published with; None: it is that of a run.
        commit: at which it was read.
        per_class: how many of its images of a class were candidates.
    """

    repo_id: str | None = None
    commit: str | None = None
    per_class: int


@dataclass(frozen=True, kw_only=True)
class DistilledCard(RecipeCard):
    """What the card of a distilled dataset says.

    `export_dataset` fills in `info`, `rows_sha256` and `figures`.

    Attributes:
        source_datasets: Hub ids of the original images; see `layout.hub_id`.
        info: features, sizes and number of rows.
        rows_sha256: of the Parquet files.
        classes: how each class was selected, in label order.
        figures: names of the pictures `figures/<name>.png`. `sheet` comes first in the text, the others with the
            difficulties.
        evaluation: the table of accuracies, Markdown.
        reported: which accuracy that table puts first.
        results: the accuracies of networks that were trained on these images, see `model_index`.
        published_pool: the source of the pool; None: it was generated for these rows, `recipe.pool.size` × IPC.
        matched_with: the scored original whose difficulties were followed, where it is not the recipe's.
        matched_commit: of that, where it is on the Hub.
    """

    template = "distilled_dataset.md.jinja"

    source_datasets: Sequence[str] = ()
    info: DatasetInfo | None = None
    rows_sha256: str = ""
    classes: Sequence[ClassSelection] = ()
    figures: Sequence[str] = ()
    evaluation: str = ""
    reported: Literal["best", "last"] = "best"
    results: Sequence[Mapping[str, Any]] = ()
    published_pool: PublishedPool | None = None
    matched_with: str | None = None
    matched_commit: str | None = None

    @property
    def repository(self) -> str:
        """The name of the repository."""
        return self.recipe.hub.repository(self.recipe.sample.ipc)

    @property
    def title(self) -> str:
        """The dataset's name for people."""
        ipc = self.recipe.sample.ipc
        return f"{self.recipe.hub.pretty_name}, distilled to {ipc} image{'' if ipc == 1 else 's'} a class"

    @property
    def num_rows(self) -> int | None:
        """Rows of the split `train`; None where they are not known."""
        return self.info.splits["train"].num_examples if self.info and self.info.splits else None

    def template_values(self) -> dict[str, Any]:
        """The recipe, its subset, and the columns."""
        return {**super().template_values(), "columns": column_types(self.info or DatasetInfo())}

    def metadata(self) -> DatasetCardData:
        """The front matter."""
        rows = f"sha256:{self.rows_sha256}" if self.rows_sha256 else ""
        metadata = DatasetCardData(
            license=one_line(self.recipe.hub.license),
            pretty_name=one_line(self.title),
            size_categories=None if self.num_rows is None else [size_category(self.num_rows)],
            task_categories=["image-classification"],
            source_datasets=list(self.source_datasets) or None,
            tags=["dataset-distillation", "ddgs", f"ipc-{self.recipe.sample.ipc}", "synthetic"],
            configs=[configuration(DEFAULT, rows)],
        )
        if self.results:
            metadata[MODEL_INDEX] = list(self.results)
        if self.info is not None:
            DatasetInfosDict({DEFAULT: self.info}).to_dataset_card_data(metadata)
        return metadata
