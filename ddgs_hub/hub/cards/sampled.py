"""The card of a set that was sampled from a pool of another generator: it says what is known, and nothing else."""

import re
from dataclasses import dataclass
from typing import Any

from datasets import DatasetInfo
from huggingface_hub import DatasetCardData

from ddgs_hub.hub.cards.metadata import column_types
from ddgs_hub.hub.cards.selected import SelectedCard, set_title
from ddgs_hub.hub.provenance import Described
from ddgs_hub.recipe import SampleSettings


@dataclass(frozen=True, kw_only=True)
class SampledCard(SelectedCard):
    """What the card of a set says whose pool ddgs-hub did not generate.

    Attributes:
        described: what only the person who sampled knows of the pool.
        sample: the settings.
        seed: of the draw.
        per_class: how many images of a class were candidates.
        pool_id: the dataset on the Hub where the pool is; None: it is local.
        pool_commit: of that.
        source: the dataset on the Hub whose images were scored to make the pool; None: they were in none.
        source_commit: of that.
        scorer: Hub id or name of the classifier that scored the pool; None: not recorded.
        scorer_commit: of a classifier of the Hub.
        original: Hub id or name of the scored original whose difficulties were followed; None: the pool's own.
        original_commit: of a dataset of the Hub.
    """

    template = "sampled_dataset.md.jinja"

    described: Described
    sample: SampleSettings
    seed: int
    per_class: int
    pool_id: str | None = None
    pool_commit: str | None = None
    source: str | None = None
    source_commit: str | None = None
    scorer: str | None = None
    scorer_commit: str | None = None
    original: str | None = None
    original_commit: str | None = None

    @property
    def repository(self) -> str:
        """A name for the repository, which publishing replaces."""
        name = re.sub(r"[^a-z0-9]+", "-", self.described.pretty_name.lower()).strip("-")[:60].strip("-") or "set"
        return f"{name}-ddgs-ipc{self.sample.ipc}"

    @property
    def title(self) -> str:
        """The dataset's name for people."""
        return set_title(self.described.pretty_name, self.sample.ipc)

    def template_values(self) -> dict[str, Any]:
        """The columns."""
        return {"columns": column_types(self.info or DatasetInfo())}

    def metadata(self) -> DatasetCardData:
        """The front matter."""
        sources = [name for name in (self.pool_id, self.source) if name]
        return self.front_matter(self.title, self.described.license, self.sample.ipc, sources)
