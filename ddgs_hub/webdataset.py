"""WebDatasets on the Hub: what datasets leaves open of them, such as which classes `cls` counts."""

import gc
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from datasets import ClassLabel, Features, IterableDataset, Value
from datasets.packaged_modules.webdataset.webdataset import WebDataset
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from ddgs_hub.errors import InputError
from ddgs_hub.hub_sources import NoAnswer, Pinned, patiently, reading

# How repositories and shards say whose classes theirs are: `timm/imagenet-12k-wds`, `imagenet1k-train-0000.tar`.
IMAGENET = re.compile(r"(?<![a-z0-9])(?:imagenet|in)[-_]?(1k|12k|22k)(?![a-z0-9])", re.IGNORECASE)

Sample = dict[str, Any]


def number_of_samples(pinned: Pinned, split: str) -> int | None:
    """How many images a split has, by the `_info.json` that timm puts beside its shards; None where it does not say."""
    try:
        path = patiently(lambda: hf_hub_download(pinned.id, "_info.json", repo_type="dataset", revision=pinned.commit))
    except EntryNotFoundError:
        return None
    splits = json.loads(Path(path).read_text(encoding="utf-8")).get("splits", {})
    return splits.get(split, {}).get("num_samples")


def open_shards(builder: WebDataset, where: str, split: str) -> tuple[IterableDataset, Features]:
    """The samples of a split, and their features with the names of the classes.

    Args:
        builder: of the repository.
        where: the split's name in messages, with that of the repository in it.
        split: its name.

    Raises:
        InputError: the first shard is damaged or no WebDataset, or nothing names the classes; while samples are read:
            one of them is malformed.
        ConnectionLostError: the Hub does not answer.
    """
    # datasets lets the errors of its decoders through, without a word about where in the shards they are.
    builder._get_pipeline_from_tar = partial(_named_samples, where, builder._get_pipeline_from_tar)
    with reading(where):
        try:
            samples = builder.as_streaming_dataset(split=split)
        except (InputError, NoAnswer):
            raise
        except ValueError as error:
            raise InputError(f"cannot read {where}: {error}; check its shards") from error
    # The shard that datasets has looked into is still open, in a cycle of references. httpx, which huggingface_hub had
    # before 2.0, waits for itself for ever where the collector closes it in the middle of a request.
    gc.collect()
    features = with_class_names(samples.features or Features(), builder.config.data_files[split], where)
    if isinstance(features.get("cls"), ClassLabel):
        # As a class, datasets would refuse a number that is none without a word about which sample has it.
        samples = samples.cast_column("cls", Value("int64"))
    return samples, features


def with_class_names(features: Features, shards: Iterable[str], where: str) -> Features:
    """The features, in which an integer `cls` that is the label has the names of its classes.

    Shards name no classes. The card's `dataset_info` may; without one they are those of the ImageNet that the
    repository or a shard is named after.

    Raises:
        InputError: nothing names them.
    """
    label = features.get("cls")
    if "label" in features or not (isinstance(label, Value) and label.dtype.startswith(("int", "uint"))):
        return features
    from timm.data import ImageNetInfo  # imported here: timm brings torch

    found = next(filter(None, map(IMAGENET.search, [where, *shards])), None)
    if found is None:
        raise InputError(
            f"nothing says which classes column 'cls' of {where} counts: declare it in the card's dataset_info as a "
            "class_label with their names"
        )
    return Features({**features, "cls": ClassLabel(names=ImageNetInfo(f"imagenet-{found[1].lower()}").label_names())})


def _named_samples(
    where: str, read: Callable[..., Iterator[Sample]], path: str, files: Iterable[tuple[str, Any]]
) -> Iterator[Sample]:
    """The samples of one shard; an error says which of them it is in."""
    row = 0
    try:
        for sample in read(path, files):
            yield sample
            row += 1
    except NoAnswer:  # some of them are ValueErrors
        raise
    except ValueError as error:
        shard = PurePosixPath(path).name
        raise InputError(f"sample {row} of {shard} of {where} is malformed: {error}; mend that sample") from error
