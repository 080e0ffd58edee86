"""WebDatasets: tar files in which the files of a sample follow each other: `<key>.jpg`, `<key>.cls`."""

import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel
from datasets.packaged_modules.webdataset.webdataset import WebDataset
from huggingface_hub import HfFileSystem, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from typing_extensions import TypedDict

from ddgs_hub.core.columns import choose_columns
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import Pinned, patiently, reading
from ddgs_hub.core.rows import ROWS_PER_GROUP
from ddgs_hub.core.schema import MOST_CLASSES, NonNegativeInt, read_json
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.core.tokens import given_token
from ddgs_hub.original.reading import (
    CLASS_COLUMNS,
    ColumnNames,
    ReadPosition,
    RowBatch,
    RowBatches,
    RowFilter,
    SourceRows,
)
from ddgs_hub.original.split_files import SplitFiles

# How repositories and shards name the ImageNet they hold: `timm/imagenet-12k-wds`, `imagenet1k-train-0000.tar`.
IMAGENET = re.compile(r"(?<![a-z0-9])(?:imagenet|in)[-_]?(1k|12k|22k)(?![a-z0-9])", re.IGNORECASE)
IMAGE_EXTENSIONS = frozenset(WebDataset.IMAGE_EXTENSIONS)
LABEL_EXTENSIONS = ("label", "cls")
MOST_BYTES = 2**28  # of an image; the largest of ImageNet has 15 million
INSPECTED = 5  # first samples, which show the files that each sample has
SAMPLE = re.compile(r"((?:.*/)?[^./][^.]*)\.([^/]+)")  # key and extension of a file


@dataclass(frozen=True)
class Sample:
    """One sample of a WebDataset: the files with the same key.

    Attributes:
        extensions: of all its files.
        image: encoded; None if it has no image of the extension that is read.
        label: class number; None if it has none.
    """

    extensions: frozenset[str]
    image: bytes | None
    label: int | None


class _SplitInfo(TypedDict, total=False):
    num_samples: NonNegativeInt


class _Info(TypedDict, total=False):
    splits: dict[str, _SplitInfo]


def number_of_samples(pinned: Pinned, split: str) -> int | None:
    """The number of images of a split by `_info.json`, which timm puts beside its shards; None if it does not say."""
    try:
        path = patiently(
            lambda: hf_hub_download(
                pinned.id, "_info.json", repo_type="dataset", revision=pinned.commit, token=given_token()
            )
        )
    except EntryNotFoundError:
        return None
    info = read_json(Path(path), _Info, f"_info.json of {pinned.id}")
    return info.get("splits", {}).get(split, {}).get("num_samples")


class ShardRows(SourceRows):
    """The samples of tar files, here or on the Hub, one shard after the other.

    Of each sample only the image and the label are read. Its key and the contents of its other files are never taken
    for paths, and formats that could hold code are not decoded.

    Args:
        split: its shards; classes that the card does not declare are found by `named_classes`.
        where: see `SourceRows`.
        column_names: which extensions are image and label, if the user says so.
        pinned: see `SourceRows`.

    Raises:
        InputError: the first shard is damaged or no WebDataset, or nothing names the classes; while samples are read:
            one of them is malformed.
        ConnectionLostError: the Hub does not answer.
    """

    def __init__(
        self, split: SplitFiles, where: str, column_names: ColumnNames = ColumnNames(), *, pinned: Pinned | None
    ) -> None:
        self.shards, self._where = split.files, where
        extensions = self._inspect(column_names)
        image = column_names.image or next((name for name in extensions if name in IMAGE_EXTENSIONS), None)
        label = column_names.label or next((name for name in LABEL_EXTENSIONS if name in extensions), None)
        types = {image: pa.binary(), label: pa.int64()}
        schema = pa.schema([(name, types.get(name, pa.null())) for name in extensions])
        classes = dict(split.classes or {})
        if label is not None:
            class_label = classes[label] if label in classes else named_classes(label, [where, *self.shards], where)
            classes = {label: class_label}
        columns = choose_columns(schema, where, classes, image=image, label=label)
        super().__init__(columns, where, expected=split.expected, pinned=pinned)
        self._image, self._label = columns.source_names(["image"])[0], columns.source_names(["label"])[0]

    def _inspect(self, column_names: ColumnNames) -> list[str]:
        """The extensions of the first samples, which must be the same in each of them."""
        with reading(self._where):
            first = list(islice(self._samples(self.shards[0], column_names.image, column_names.label), INSPECTED))
        if not first or any(sample.extensions != first[0].extensions for sample in first):
            raise InputError(
                f"cannot read {self._where}: its first samples have not the same files, as those of a WebDataset have; "
                "check its shards"
            )
        return sorted(first[0].extensions)

    def _batches(self, names: list[str], row_filter: RowFilter | None, position: ReadPosition | None) -> RowBatches:
        first, skipped, row = (position["shard"], position["sample"], position["row"]) if position else (0, 0, 0)
        for number in range(first, len(self.shards)):
            samples = self._samples(self.shards[number], self._image, self._label)
            done = skipped if number == first else 0
            for _ in range(done):
                next(samples)
            while batch := list(islice(samples, ROWS_PER_GROUP)):
                done += len(batch)
                behind = {"shard": number, "sample": done, "row": row + len(batch)}
                yield from self._batch(batch, names, row_filter, row, behind)
                row += len(batch)
                self._progress.update(len(batch))
        return row

    def _batch(
        self, samples: list[Sample], names: list[str], row_filter: RowFilter | None, row: int, behind: ReadPosition
    ) -> Iterator[RowBatch]:
        """The samples that are kept, as one batch; none if there are none."""
        columns = {
            self._image: pa.array([sample.image for sample in samples], pa.binary()),
            self._label: pa.array([sample.label for sample in samples], pa.int64()),
        }
        table = self._sanitize(pa.table(columns), row)
        filter_columns = table.select([name for name in CLASS_COLUMNS if name in table.column_names])
        kept = np.asarray(row_filter(filter_columns, row) if row_filter else range(len(table)), dtype=np.int64)
        if len(kept):
            yield RowBatch(table.take(kept).select(names), row + kept, behind)

    def _samples(self, shard: str, image: str | None, label: str | None) -> Iterator[Sample]:
        """The samples of one shard; errors name the sample.

        Args:
            shard: path or address.
            image: extension of the images; None: the first that is one of an image.
            label: extension of the labels; None: the first of `LABEL_EXTENSIONS`.
        """
        number, key = 0, None
        files: dict[str, bytes | None] = {}

        def sample() -> Sample:
            images = [image] if image else [name for name in files if name in IMAGE_EXTENSIONS]
            labels = [label] if label else [name for name in LABEL_EXTENSIONS if name in files]
            encoded = files.get(images[0]) if images else None
            return Sample(frozenset(files), encoded, self._class_number(files, labels, number, shard))

        for name, member in _members(shard, self._where):
            match = SAMPLE.fullmatch(name)
            if match is None:
                continue
            if key not in (None, match[1]):
                yield sample()
                files, number = {}, number + 1
            key, extension = match[1], match[2].lower()
            if extension in files:
                raise self._malformed(number, shard, f"it has two files {quoted(extension)}")
            is_image = extension == image or (image is None and extension in IMAGE_EXTENSIONS)
            is_read = is_image or extension == label or extension in LABEL_EXTENSIONS
            files[extension] = member.read() if is_read else None
        if files:
            yield sample()

    def _class_number(
        self, files: Mapping[str, bytes | None], labels: list[str], number: int, shard: str
    ) -> int | None:
        text = files.get(labels[0]) if labels else None
        try:
            label = None if text is None else int(text)
        except ValueError as error:
            raise self._malformed(number, shard, str(error)) from error
        if text is not None and not re.fullmatch(rb"-?\d+\s*", text):  # Python also takes 1_0 and +1 for numbers
            raise self._malformed(number, shard, f"{text[:20]!r} is no number of a class")
        if label is not None and abs(label) > MOST_CLASSES:
            raise self._malformed(number, shard, f"there is no class {label}")
        return label

    def _malformed(self, number: int, shard: str, reason: str) -> InputError:
        where = f"sample {number} of {PurePosixPath(shard).name} of {self._where}"
        return InputError(f"{where} is malformed: {one_line(reason, 200)}; mend that sample")


def named_classes(column: str, names: Iterable[str], where: str) -> ClassLabel:
    """The classes of a column of numbers: those of the ImageNet after which the repository or a shard is named.

    Args:
        column: name of the column, for messages.
        names: of the repository and its shards.
        where: the source, for messages.

    Raises:
        InputError: none of the names is that of an ImageNet.
    """
    from timm.data import ImageNetInfo  # imported here: timm loads torch

    match = next(filter(None, map(IMAGENET.search, names)), None)
    if match is None:
        raise InputError(
            f"nothing says which classes column {quoted(column)} of {where} counts: declare it in the card's "
            "dataset_info as a class_label with their names"
        )
    return ClassLabel(names=ImageNetInfo(f"imagenet-{match[1].lower()}").label_names())


class _Member:
    """A file in a tar file, which must be read before the next one is asked for."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> None:
        self._tar, self._member, self._where = tar, member, where

    def read(self) -> bytes:
        if self._member.size > MOST_BYTES:
            raise InputError(f"{quoted(self._member.name)} in {self._where} has {self._member.size:,} bytes: remove it")
        file = self._tar.extractfile(self._member)
        return b"" if file is None else file.read()


def _members(shard: str, where: str) -> Iterator[tuple[str, _Member]]:
    """The plain files in a tar file, in order; links and devices are skipped."""
    with _opened(shard) as handle, tarfile.open(fileobj=handle, mode="r|*", tarinfo=_Header) as tar:
        for member in tar:
            if member.isreg():
                yield member.name, _Member(tar, member, where)
        while rest := tar.fileobj.read(2**20) if tar.fileobj else b"":
            if rest.strip(b"\0"):
                raise tarfile.ReadError(f"{PurePosixPath(shard).name} goes on behind its end")


class _Header(tarfile.TarInfo):
    """A header that is damaged is an error. tarfile itself takes it for the end, and loses the files behind it."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # blocks of zeros: the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("unexpected end of data" if not str(error) else str(error)) from error


@contextmanager
def _opened(shard: str) -> Iterator[IO[bytes]]:
    if not shard.startswith("hf://"):
        with Path(shard).open("rb") as handle:
            yield handle
        return
    # block_size=0: one request for the whole shard, which the client continues if the connection breaks.
    with HfFileSystem(token=given_token()).open(shard, "rb", block_size=0) as stream:
        try:
            yield stream
        finally:
            # Closing the file does not close the response. The garbage collector would close it, maybe in the middle
            # of another request: then httpx (of huggingface_hub before 2.0) waits for its own lock for ever.
            if stream.response is not None:
                stream.response.close()
