"""Parts of the front matter of dataset cards."""

from bisect import bisect_right
from typing import Any

from datasets import DatasetInfo, List, Value

from ddgs_hub.hub.layout import config_pattern

SIZE_CATEGORIES = (  # as the Hub names them, each a power of ten wide from 1,000 rows on
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M"),
    *("100M<n<1B", "1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"),
)


def configuration(config: str, rows: str, split: str = "train") -> dict[str, Any]:
    """The entry of `configs` for the Parquet files of a configuration.

    Args:
        config: its name.
        rows: a hash of its rows, for the entry's description; empty: without one. load_dataset keys its cache of a
            local folder by the front matter and not by the files: without the hash, rows that were written anew would
            come back as the old ones.
        split: the split that its files are loaded as.
    """
    entry = {"config_name": config, "data_files": [{"split": split, "path": config_pattern(config, split)}]}
    return {**entry, "description": f"rows {rows}"} if rows else entry


def size_category(num_rows: int) -> str:
    """The Hub's name for a number of rows, such as `1K<n<10K`."""
    return SIZE_CATEGORIES[bisect_right([10**power for power in range(3, 13)], num_rows)]


def column_types(info: DatasetInfo) -> dict[str, str]:
    """Column → type as a reader names it; empty where the features are not known."""
    return {name: _type_name(feature) for name, feature in (info.features or {}).items()}


def _type_name(feature: Any) -> str:
    if isinstance(feature, List):
        return f"list of {_type_name(feature.feature)}"
    return feature.dtype if isinstance(feature, Value) else type(feature).__name__
