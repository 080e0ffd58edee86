"""The card of a distilled dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datasets import DatasetInfo
from huggingface_hub import DatasetCardData

from ddgs_hub.hub.cards.card import RecipeCard
from ddgs_hub.hub.cards.metadata import column_types
from ddgs_hub.hub.cards.results import MODEL_INDEX
from ddgs_hub.hub.cards.selected import SelectedCard, set_title


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
class DistilledCard(RecipeCard, SelectedCard):
    """What the card of a distilled dataset says.

    Attributes:
        source_datasets: Hub ids of the original images; see `layout.hub_id`.
        evaluation: the table of accuracies, Markdown.
        reported: which accuracy that table puts first.
        results: the accuracies of networks that were trained on these images, see `model_index`.
        published_pool: the source of the pool; None: it was generated for these rows, `recipe.pool.size` × IPC.
        matched_with: the scored original whose difficulties were followed, where it is not the recipe's.
        matched_commit: of that, where it is on the Hub.
    """

    template = "distilled_dataset.md.jinja"

    source_datasets: Sequence[str] = ()
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
        return set_title(self.recipe.hub.pretty_name, self.recipe.sample.ipc)

    def template_values(self) -> dict[str, Any]:
        """The recipe, its subset, and the columns."""
        return {**super().template_values(), "columns": column_types(self.info or DatasetInfo())}

    def metadata(self) -> DatasetCardData:
        """The front matter."""
        hub, ipc = self.recipe.hub, self.recipe.sample.ipc
        results = {MODEL_INDEX: list(self.results)} if self.results else {}
        return self.front_matter(self.title, hub.license, ipc, self.source_datasets, "synthetic", **results)
