"""Scores that were published without images, joined with the images of their source."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Image, concatenate_datasets

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.revisions import named_revision
from ddgs_hub.core.rows import checked_labels, class_names, require_columns
from ddgs_hub.hub.provenance import Provenance
from ddgs_hub.original import cached_rows


@dataclass(frozen=True)
class ScoredSource:
    """Where the images are that were scored.

    Attributes:
        id: a Hub id, a local folder, or `digits`.
        commit: of a Hub dataset, 40 hexadecimal digits; None for the newest.
        config: of a Hub dataset that has several.
        split: of the source.
        subset: a name of `subsets.SUBSETS` where its classes alone were scored.
    """

    id: str
    commit: str | None
    config: str | None
    split: str
    subset: str | None

    @classmethod
    def read(cls, provenance: Provenance, where: str, instead: str | None = None) -> "ScoredSource":
        """The source that a `provenance.json` names.

        Args:
            provenance: what it says.
            where: what was scored, for messages.
            instead: where to read the images, if not where they were scored.

        Raises:
            InputError: it names no source; or the images are not on the Hub, and `instead` is not given; or a file or
                folder here has the name of the dataset.
        """
        source = provenance.source
        if source is None:
            raise InputError(f"{where} has no column 'image', and its provenance.json names no source: load another")
        split = source.split or "train"
        if instead is not None:
            instead, commit = named_revision(instead)
            if commit is None and instead == source.id:
                commit = source.commit
            return cls(instead, commit, source.config, split, source.subset)
        if not source.id:
            raise InputError(
                f"{where} has scores of images that are not on the Hub: give their folder as `source`, if you have it"
            )
        if Path(source.id).exists():
            raise InputError(
                f"{where} has scores of the dataset {source.id}, and a file or folder here is called so, too: "
                "start in another folder, or give the images as `source`"
            )
        return cls(source.id, source.commit, source.config, split, source.subset)

    def images(self) -> Dataset:
        """All rows of the source, or of the subset in it, mapped from files in the cache of datasets.

        A Hub dataset is fetched once; after an interruption, the next call fetches only what is missing. A local source
        is copied by every call, because it may have changed.

        Raises:
            InputError: the source cannot be read, or no longer, or the subset is not in it.
            ConnectionLostError: the Hub does not answer.
        """
        return cached_rows(self.id, self.split, config=self.config, commit=self.commit, subset=self.subset)


def join_scores(scores: Dataset, images: Dataset, where: str, source: str) -> Dataset:
    """The scored rows in their order, with the column `image` in front; the images keep the bytes of the source.

    No image is copied: they stay mapped from where they are.

    Args:
        scores: `label` (ClassLabel), `source_index` and what else was published; no `image`.
        images: rows of the source: `image`, `label` and `source_index`; without it, the row numbers count.
        where: what the scores are, for messages.
        source: what the images are.

    Raises:
        InputError: a row of the source was scored twice, is not there, or has another label.
    """
    require_columns(scores, "source_index", where=where)
    names, labels = class_names(scores), checked_labels(scores, where).tolist()
    table = scores.with_format("arrow")[:]
    keys = [name for name in ("label", "source_index") if name in images.column_names]
    theirs = images.select_columns(keys).with_format("arrow")[:]
    their_labels = theirs["label"].to_pylist()
    source_indices = theirs["source_index"].to_pylist() if "source_index" in keys else range(len(images))
    place_of = {index: place for place, index in enumerate(source_indices)}  # of images that no row has scored yet
    places = []
    for row, (index, label) in enumerate(zip(table["source_index"].to_pylist(), labels, strict=True)):
        place = place_of.pop(index, None)
        if place is None:
            reason = "an earlier row has scored already" if index in source_indices else f"{source} does not have"
            raise InputError(f"row {row} of {where} scores image {index}, which {reason}: load another revision")
        if their_labels[place] != label:
            raise InputError(
                f"row {row} of {where} has label {label} ({names[label]}), and image {index} of {source} has label "
                f"{their_labels[place]}: these are not the images that were scored; give those as `source`"
            )
        places.append(place)
    # The scores are brought into the order of the images, not the other way round: only they are small.
    row_of = np.full(len(images), -1)
    row_of[places] = np.arange(len(places))
    aligned = Dataset(table.take(pa.array(row_of, mask=row_of < 0)), DatasetInfo(features=scores.features))
    pictures = images.select_columns("image").cast_column("image", Image())
    joined = concatenate_datasets([pictures, aligned], axis=1)
    return joined if places == list(range(len(images))) else joined.select(places)
