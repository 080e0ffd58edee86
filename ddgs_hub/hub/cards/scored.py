"""The card of a scored original."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import DatasetInfo, Image
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.card import Card
from ddgs_hub.hub.cards.metadata import column_types, configuration, size_category
from ddgs_hub.hub.layout import DEFAULT
from ddgs_hub.original import BUILT_IN, SUBSETS

IMAGENET_TERMS = "https://image-net.org/download"


@dataclass(frozen=True, kw_only=True)
class ScoredCard(Card):
    """What the card of a scored original says.

    `write_scored` fills in `info`, `rows_hash` and `figures`.

    Attributes:
        source: Hub id of the images, `digits`, or the name of a local folder.
        commit: of the Hub dataset; None: the source is not on the Hub.
        split: of the source.
        config: of a Hub dataset that has several.
        subset: a name of `subsets.SUBSETS` where its classes alone were scored.
        license: of the source, as its card says it.
        imagenet: the images are ImageNet's, or those of a part of it.
        withheld: why the images are not published, in words; empty where they are.
        scorer: Hub id of the classifier, or the name of a local folder.
        scorer_commit: of a classifier of the Hub.
        folds: number of its models; above 1, the scorer is cross-fitted.
        mean_difficulty: of all rows, 0 … 1.
        info: features, sizes and number of rows of the split.
        rows_hash: hash of the rows, see `hash_scored`.
        figures: names of the pictures `figures/<name>.png`.
    """

    template = "scored_dataset.md.jinja"

    source: str
    commit: str | None = None
    split: str = "train"
    config: str | None = None
    subset: str | None = None
    license: str | None = None
    imagenet: bool = False
    withheld: str = ""
    scorer: str
    scorer_commit: str | None = None
    folds: int = 1
    mean_difficulty: float
    info: DatasetInfo = field(default_factory=DatasetInfo)
    rows_hash: str = ""
    figures: Sequence[str] = ()

    @property
    def repository(self) -> str:
        """A name for the repository, which publishing replaces."""
        name = re.sub(r"[^\w.-]+", "-", self.subset or self.source.split("/")[-1])
        return f"{name}-difficulty"

    @property
    def of(self) -> str:
        """What was scored, for people."""
        if self.subset:
            return SUBSETS[self.subset].pretty_name
        return "scikit-learn's handwritten digits" if self.source == BUILT_IN else self.source.split("/")[-1]

    @property
    def title(self) -> str:
        """The dataset's name for people."""
        return f"{self.of}, with difficulties" if self.images else f"Difficulties of {self.of}"

    @property
    def images(self) -> bool:
        """Whether the images are among the columns."""
        return isinstance((self.info.features or {}).get("image"), Image)

    @property
    def num_rows(self) -> int:
        """Rows of the split."""
        return self.info.splits[self.split].num_examples if self.info.splits else 0

    def template_values(self) -> dict[str, Any]:
        """The subset, the columns, and where ImageNet's terms are."""
        subset = SUBSETS[self.subset] if self.subset else None
        return {"subset": subset, "columns": column_types(self.info), "terms_page": IMAGENET_TERMS}

    def metadata(self) -> DatasetCardData:
        """The front matter."""
        metadata = DatasetCardData(
            license="other" if self.imagenet else self.license and one_line(self.license),
            pretty_name=one_line(self.title),
            size_categories=[size_category(self.num_rows)],
            task_categories=["image-classification"],
            source_datasets=[self.source] if self.commit else None,
            tags=["dataset-distillation", "ddgs", "difficulty"],
            configs=[configuration(DEFAULT, self.rows_hash, self.split)],
        )
        if self.imagenet:
            metadata["license_name"], metadata["license_link"] = "imagenet", IMAGENET_TERMS
        DatasetInfosDict({DEFAULT: self.info}).to_dataset_card_data(metadata)
        return metadata
