"""All rows of a split at once, mapped from files: of a local folder in Hub layout, or of a Hub dataset in a cache."""

from pathlib import Path

from datasets import Dataset
from datasets import config as datasets_config
from datasets.exceptions import DatasetsError
from datasets.packaged_modules.arrow.arrow import Arrow
from datasets.packaged_modules.parquet.parquet import Parquet
from filelock import FileLock
from huggingface_hub import constants
from huggingface_hub.errors import HTTPError

from ddgs_hub.core.door import admit_rows
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.fingerprint import fingerprint
from ddgs_hub.core.hub_client import Pinned, cached_snapshot, patiently
from ddgs_hub.core.places import expanded
from ddgs_hub.core.rows import read_rows
from ddgs_hub.original.reading import require_same_classes
from ddgs_hub.original.resolving import has_card, reason_of, resolve_split
from ddgs_hub.original.sources import find_dataset, rows_in_cache
from ddgs_hub.original.spool import Spool

CACHE = "ddgs_hub"  # in the cache of datasets: the rows of sources


def load_rows(
    source: str | Path, split: str = "train", *, config: str | None = None, revision: str | None = None
) -> Dataset:
    """All rows of a split, with all columns of ours: of a local folder in Hub layout, or of a Hub dataset.

    Raises:
        InputError: there is no such source, configuration or split.
    """
    folder = expanded(source)
    if not folder.is_dir():
        return load_pinned(find_dataset(str(source), config, revision), split, config)
    if config is None and not has_card(folder):
        return read_rows(folder, split)
    found = resolve_split(folder, None, split, config)
    require_same_classes(found.files, f"{source} ({split})", found.classes)
    return read_rows(folder, split, [Path(file) for file in found.files], classes=found.classes)


def load_pinned(pinned: Pinned, split: str, config: str | None = None) -> Dataset:
    """All rows of a split of a Hub dataset at one commit, with all columns of ours, mapped from a cache.

    Raises:
        InputError: there is no such configuration or split, or, with HF_HUB_OFFLINE, it is not in the caches.
        ConnectionLostError: the Hub does not answer.
    """
    cached = cached_snapshot(pinned.id, pinned.commit) if constants.HF_HUB_OFFLINE else None
    if constants.HF_HUB_OFFLINE and not cached:
        return rows_in_cache(pinned, split, config)
    found = resolve_split(cached, pinned, split, config)
    builder, where = found.builder, f"{pinned.id} ({split})"
    if isinstance(builder, Parquet) and not Path(builder.cache_dir).is_dir():  # what is prepared was looked at before
        require_same_classes(found.files, where, found.classes)
    if not isinstance(builder, Parquet | Arrow):
        # datasets takes the names in tar files and tables of metadata for paths on this machine.
        return cached_rows(pinned.id, split, config=config, commit=pinned.commit)
    try:
        patiently(builder.download_and_prepare)
        rows = builder.as_dataset(split)
    except (ValueError, OSError, HTTPError, DatasetsError) as error:
        raise InputError(f"cannot load split '{split}' of {pinned.id}: {reason_of(error)}") from error
    return admit_rows(rows, where)


def cached_rows(
    source: str, split: str, *, config: str | None = None, commit: str | None = None, subset: str | None = None
) -> Dataset:
    """All rows of a source, or of a subset in it, mapped from files in the cache of datasets.

    A Hub dataset is fetched once; a call that goes on where another was cut off fetches what is missing. A local source
    is copied at every call, for it may have changed.

    Raises:
        InputError: the source cannot be read, or not any more, or the subset is not in it.
        ConnectionLostError: the Hub does not answer.
    """
    folder = expanded(source)
    name = str(folder.resolve()) if folder.is_dir() else source
    key = fingerprint([name, commit, config, split, subset])
    cache = Path(datasets_config.HF_DATASETS_CACHE, CACHE, f"{Path(source).name}-{key}")
    cache.parent.mkdir(parents=True, exist_ok=True)
    spool = Spool(source, split, cache, subset=subset, config=config, revision=commit)
    with FileLock(f"{cache}.lock"):  # the processes of a launch load the same
        spool.open()
        spool.fetch()
        return spool.rows()
