"""Where original images come from: a Hub dataset, a folder, images in folders by class, or the built-in digits.

`open_source` opens a split of any of them as `SourceRows`, which yields rows in order: the columns of ddgs-hub under
their own names, images as encoded bytes. `original_rows` makes the columns `image`, `label`, `wnid` and `source_index`
of them, for all classes or for those of a subset. `write_original` writes them to disk, a `Spool` keeps them there
while they are fetched, and `load_rows` gives all of them at once.

There is one door for rows that a stranger may have written (`core.foreign_rows`), and all rows of this room come
through it. A path or an address in a row is never opened.

The room knows the Hub as a reader does: it finds, pins and reads datasets, but publishes nothing. It knows nothing of
scorers, of DiTs, of recipes, or of what the images are used for.

The names below are imported when first used, so that a look at the subsets loads neither datasets nor torch.
"""

from typing import TYPE_CHECKING

from ddgs_hub.core.lazy import lazy_names

if TYPE_CHECKING:
    from ddgs_hub.original.class_names import check_every_class
    from ddgs_hub.original.digits import BUILT_IN, is_built_in
    from ddgs_hub.original.imagenet import imagenet_names, normalised_name, synonyms, wnids_by_order
    from ddgs_hub.original.labelling import ORIGINAL_COLUMNS, class_key, original_rows
    from ddgs_hub.original.looking import Look, look_at, short_sides
    from ddgs_hub.original.reading import ColumnNames, SourceRows
    from ddgs_hub.original.sources import find_dataset, open_source, pin_source
    from ddgs_hub.original.split_files import resolve_split
    from ddgs_hub.original.spool import BackgroundFetch, Spool
    from ddgs_hub.original.subsets import SUBSETS, Subset, get_subset, imagenet_index
    from ddgs_hub.original.whole_splits import cached_rows, load_pinned, load_rows
    from ddgs_hub.original.writing import SOURCE_FILE, ImageHashes, halves_mask, write_original

_MODULES = {
    "class_names": ("check_every_class",),
    "digits": ("BUILT_IN", "is_built_in"),
    "imagenet": ("imagenet_names", "normalised_name", "synonyms", "wnids_by_order"),
    "labelling": ("ORIGINAL_COLUMNS", "class_key", "original_rows"),
    "looking": ("Look", "look_at", "short_sides"),
    "reading": ("ColumnNames", "SourceRows"),
    "sources": ("find_dataset", "open_source", "pin_source"),
    "split_files": ("resolve_split",),
    "spool": ("BackgroundFetch", "Spool"),
    "subsets": ("SUBSETS", "Subset", "get_subset", "imagenet_index"),
    "whole_splits": ("cached_rows", "load_pinned", "load_rows"),
    "writing": ("SOURCE_FILE", "ImageHashes", "halves_mask", "write_original"),
}

__all__ = [
    "BUILT_IN",
    "ORIGINAL_COLUMNS",
    "SOURCE_FILE",
    "SUBSETS",
    "BackgroundFetch",
    "ColumnNames",
    "ImageHashes",
    "Look",
    "SourceRows",
    "Spool",
    "Subset",
    "cached_rows",
    "check_every_class",
    "class_key",
    "find_dataset",
    "get_subset",
    "halves_mask",
    "imagenet_index",
    "imagenet_names",
    "is_built_in",
    "load_pinned",
    "load_rows",
    "look_at",
    "normalised_name",
    "open_source",
    "original_rows",
    "pin_source",
    "resolve_split",
    "short_sides",
    "synonyms",
    "wnids_by_order",
    "write_original",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
