"""The card of a scored original as data; see `cards`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datasets import DatasetInfo, Image
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.cards import (
    CITATION,
    HAND_WRITTEN,
    OWNER,
    OWNER_NOTE,
    VERSION,
    column_types,
    render_template,
    size_category,
)
from ddgs_hub.hub.layout import DEFAULT, config_pattern
from ddgs_hub.original import BUILT_IN, SUBSETS

IMAGENET_TERMS = "https://image-net.org/download"


@dataclass(frozen=True, kw_only=True)
class ScoredCard:
    """What the card of a scored original says.

    Attributes:
        source: Hub id of the images, `digits`, or of a local folder the name.
        commit: of the Hub dataset; None: the source is not on the Hub.
        split: of the source.
        config: of a Hub dataset that has several.
        subset: a name of `subsets.SUBSETS` where its classes alone were scored.
        license: of the source, as its card says it.
        imagenet: the images are ImageNet's, or those of a part of it.
        withheld: why the images are not there, in words; empty where they are.
        scorer: Hub id of the classifier, or of a local folder the name.
        scorer_commit: of a classifier of the Hub.
        folds: number of its models; more than one: it was cross-fitted.
        mean_difficulty: of all rows, 0 … 1.
        info: features, sizes and number of rows of the split; `write_scored` fills it in from the rows.
        rows_hash: by which the rows are known; `write_scored` fills it in.
        figures: names of the pictures `figures/<name>.png`; `write_scored` fills them in.
        command: the command line that makes the dataset again.
        versions: library → version.
    """

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
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def of(self) -> str:
        """What was scored, for people."""
        if self.subset:
            return SUBSETS[self.subset].pretty_name
        return "scikit-learn's handwritten digits" if self.source == BUILT_IN else self.source.split("/")[-1]

    @property
    def repo_id(self) -> str:
        """Of the repository, with a placeholder for the account, and a name that publishing replaces, too."""
        name = re.sub(r"[^\w.-]+", "-", self.subset or self.source.split("/")[-1])
        return f"{OWNER}/{name}-difficulty"

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


def render_scored_card(card: ScoredCard) -> str:
    """The whole text of a README.md: YAML front matter, then Markdown. The same card gives the same text."""
    values = {
        "card": card,
        "columns": column_types(card.info),
        "subset": SUBSETS[card.subset] if card.subset else None,
        "terms_page": IMAGENET_TERMS,
        "citation": CITATION,
        "owner_note": OWNER_NOTE,
        "pin": f'revision="{VERSION}"',
        "hand_written": HAND_WRITTEN,
    }
    return render_template("scored_dataset.md.jinja", values, _metadata(card))


def _metadata(card: ScoredCard) -> DatasetCardData:
    metadata = DatasetCardData(
        license="other" if card.imagenet else card.license and one_line(card.license),
        pretty_name=one_line(card.title),
        size_categories=[size_category(card.num_rows)],
        task_categories=["image-classification"],
        source_datasets=[card.source] if card.commit else None,
        tags=["dataset-distillation", "ddgs", "difficulty"],
        configs=[
            {
                "config_name": DEFAULT,
                "data_files": [{"split": card.split, "path": config_pattern(DEFAULT, card.split)}],
                # A mark of the rows, for load_dataset's cache of a local folder: see `DistilledCard`.
                "description": f"rows {card.rows_hash}",
            }
        ],
    )
    if card.imagenet:
        metadata["license_name"], metadata["license_link"] = "imagenet", IMAGENET_TERMS
    DatasetInfosDict({DEFAULT: card.info}).to_dataset_card_data(metadata)
    return metadata
