"""The card of a set that was sampled from a pool of another generator: it says what is known, and nothing else."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.card import Card
from ddgs_hub.hub.cards.distilled import ClassSelection
from ddgs_hub.hub.cards.metadata import column_types, configuration, size_category
from ddgs_hub.hub.layout import DEFAULT
from ddgs_hub.hub.provenance import Described
from ddgs_hub.recipe import SampleSettings


@dataclass(frozen=True, kw_only=True)
class SampledCard(Card):
    """What the card of a set says whose pool ddgs-hub did not generate.

    `export_dataset` fills in `info`, `rows_sha256` and `figures`.

    Attributes:
        described: what only the person who sampled knows of the pool.
        sample: the settings.
        seed: of the draw.
        per_class: how many images of a class were candidates.
        classes: how each class was selected, in label order.
        pool_id: the dataset on the Hub where the pool is; None: it is local.
        pool_commit: of that.
        source: the dataset on the Hub whose images were scored to make the pool; None: they were in none.
        source_commit: of that.
        scorer: Hub id or name of the classifier that scored the pool; None: not recorded.
        scorer_commit: of a classifier of the Hub.
        original: Hub id or name of the scored original whose difficulties were followed; None: the pool's own.
        original_commit: of a dataset of the Hub.
        info: features, sizes and number of rows.
        rows_sha256: of the Parquet files.
        figures: names of the pictures `figures/<name>.png`.
    """

    template = "sampled_dataset.md.jinja"

    described: Described
    sample: SampleSettings
    seed: int
    per_class: int
    classes: Sequence[ClassSelection] = ()
    pool_id: str | None = None
    pool_commit: str | None = None
    source: str | None = None
    source_commit: str | None = None
    scorer: str | None = None
    scorer_commit: str | None = None
    original: str | None = None
    original_commit: str | None = None
    info: DatasetInfo | None = None
    rows_sha256: str = ""
    figures: Sequence[str] = ()

    @property
    def repository(self) -> str:
        """A name for the repository, which publishing replaces."""
        name = re.sub(r"[^a-z0-9]+", "-", self.described.pretty_name.lower()).strip("-")[:60].strip("-") or "set"
        return f"{name}-ddgs-ipc{self.sample.ipc}"

    @property
    def title(self) -> str:
        """The dataset's name for people."""
        ipc = self.sample.ipc
        return f"{self.described.pretty_name}, distilled to {ipc} image{'' if ipc == 1 else 's'} a class"

    @property
    def num_rows(self) -> int | None:
        """Rows of the split `train`; None where they are not known."""
        return self.info.splits["train"].num_examples if self.info and self.info.splits else None

    def template_values(self) -> dict[str, Any]:
        """The columns."""
        return {"columns": column_types(self.info or DatasetInfo())}

    def metadata(self) -> DatasetCardData:
        """The front matter."""
        rows = f"sha256:{self.rows_sha256}" if self.rows_sha256 else ""
        metadata = DatasetCardData(
            license=one_line(self.described.license),
            pretty_name=one_line(self.title),
            size_categories=None if self.num_rows is None else [size_category(self.num_rows)],
            task_categories=["image-classification"],
            source_datasets=[name for name in (self.pool_id, self.source) if name] or None,
            tags=["dataset-distillation", "ddgs", f"ipc-{self.sample.ipc}"],
            configs=[configuration(DEFAULT, rows)],
        )
        if self.info is not None:
            DatasetInfosDict({DEFAULT: self.info}).to_dataset_card_data(metadata)
        return metadata
