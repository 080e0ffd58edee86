"""What the cards of sets have in common that were selected from a pool, whoever generated that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ddgs_hub.core.text import one_line
from ddgs_hub.hub.cards.card import Card
from ddgs_hub.hub.cards.metadata import configuration, size_category
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
class SelectedCard(Card):
    """What the card of every selected set says.

    `export_dataset` fills in `info`, `rows_sha256` and `figures`.

    Attributes:
        classes: how each class was selected, in label order.
        chosen: a sentence on how the target `auto` came to the settings; empty for the others.
        info: features, sizes and number of rows.
        rows_sha256: of the Parquet files.
        figures: names of the pictures `figures/<name>.png`. `sheet` comes first in the text, the others with the
            difficulties.
    """

    classes: Sequence[ClassSelection] = ()
    chosen: str = ""
    info: DatasetInfo | None = None
    rows_sha256: str = ""
    figures: Sequence[str] = ()

    @property
    def num_rows(self) -> int | None:
        """Rows of the split `train`; None where they are not known."""
        return self.info.splits["train"].num_examples if self.info and self.info.splits else None

    def front_matter(
        self, title: str, license: str, ipc: int, sources: Sequence[str], *tags: str, **more: Any
    ) -> DatasetCardData:
        """The front matter.

        Args:
            title: the dataset's name for people.
            license: of the images.
            ipc: images per class.
            sources: Hub ids of the datasets that it was made of.
            *tags: beside those of every such set.
            **more: further keys.
        """
        rows = f"sha256:{self.rows_sha256}" if self.rows_sha256 else ""
        metadata = DatasetCardData(
            license=one_line(license),
            pretty_name=one_line(title),
            size_categories=None if self.num_rows is None else [size_category(self.num_rows)],
            task_categories=["image-classification"],
            source_datasets=list(sources) or None,
            tags=["dataset-distillation", "ddgs", f"ipc-{ipc}", *tags],
            configs=[configuration(DEFAULT, rows)],
            **more,
        )
        if self.info is not None:
            DatasetInfosDict({DEFAULT: self.info}).to_dataset_card_data(metadata)
        return metadata


def set_title(name: str, ipc: int) -> str:
    """The name of a set for people."""
    return f"{name}, distilled to {ipc} image{'' if ipc == 1 else 's'} a class"
