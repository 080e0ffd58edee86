"""WebDatasets: tar files in which what belongs to one sample follows each other, `<key>.jpg`, `<key>.cls`."""

import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
from ddgs_hub.core.schema import MOST_CLASSES, Count, read_json
from ddgs_hub.core.text import one_line, quoted
from ddgs_hub.core.tokens import given_token
from ddgs_hub.original.reading import KEYS, ColumnNames, ReadPosition, RowBatch, RowBatches, RowFilter, SourceRows

# How repositories and shards say whose classes theirs are: `timm/imagenet-12k-wds`, `imagenet1k-train-0000.tar`.
IMAGENET = re.compile(r"(?<![a-z0-9])(?:imagenet|in)[-_]?(1k|12k|22k)(?![a-z0-9])", re.IGNORECASE)
IMAGES = frozenset(WebDataset.IMAGE_EXTENSIONS)
LABELS = ("label", "cls")
LARGEST = 2**28  # bytes of an image; ImageNet's largest has 15 million
INSPECTED = 5  # samples that tell which files a sample has
SAMPLE = re.compile(r"((?:.*/)?[^./][^.]*)\.([^/]+)")  # key and extension of a file


@dataclass(frozen=True)
class Sample:
    """One sample: of all its files those that are ours.

    Attributes:
        extensions: of all its files.
        image: encoded; None where it has no file of that extension.
        label: None where it has none.
    """

    extensions: frozenset[str]
    image: bytes | None
    label: int | None


class _Split(TypedDict, total=False):
    num_samples: Count


class _Info(TypedDict, total=False):
    splits: dict[str, _Split]


def number_of_samples(pinned: Pinned, split: str) -> int | None:
    """How many images a split has, by the `_info.json` that timm puts beside its shards; None where it does not say."""
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
    """The samples of tar files, here or on the Hub, one after the other.

    Of a sample its image and its label are read, and nothing else: neither its name nor what other files hold is taken
    for a path, and no format that could hold code is decoded.

    Args:
        shards: paths here, or addresses on the Hub.
        where: see `SourceRows`.
        wanted: which extensions are image and label, where the user says so.
        classes: of the extensions, where a card declares them.
        expected: see `SourceRows`.
        pinned: see `SourceRows`.

    Raises:
        InputError: the first shard is damaged or no WebDataset, or nothing names the classes; while samples are read:
            one of them is malformed.
        ConnectionLostError: the Hub does not answer.
    """

    def __init__(
        self,
        shards: Iterable[str],
        where: str,
        column_names: ColumnNames = ColumnNames(),
        classes: Mapping[str, ClassLabel] | None = None,
        *,
        expected: int | None,
        pinned: Pinned | None,
    ) -> None:
        self.shards, self._where = list(shards), where
        extensions = self._inspect(column_names)
        image = column_names.image or next((name for name in extensions if name in IMAGES), None)
        label = column_names.label or next((name for name in LABELS if name in extensions), None)
        kinds = {image: pa.binary(), label: pa.int64()}
        schema = pa.schema([(name, kinds.get(name, pa.null())) for name in extensions])
        known = dict(classes or {})
        if label is not None:
            known = {label: known[label] if label in known else named_classes(label, [where, *self.shards], where)}
        columns = choose_columns(schema, where, known, image=image, label=label)
        super().__init__(columns, where, expected=expected, pinned=pinned)
        self._image, self._label = columns.source_names(["image"])[0], columns.source_names(["label"])[0]

    def _inspect(self, column_names: ColumnNames) -> list[str]:
        """The extensions of the first samples, which must be the same in all."""
        first: list[Sample] = []
        with reading(self._where):
            for sample in self._samples(self.shards[0], column_names.image, column_names.label):
                first.append(sample)
                if len(first) == INSPECTED:
                    break
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
            begun = skipped if number == first else 0
            for _ in range(begun):
                next(samples)
            for part in _parts(samples, ROWS_PER_GROUP):
                begun += len(part)
                position = {"shard": number, "sample": begun, "row": row + len(part)}
                yield from self._batch(part, names, row_filter, row, position)
                row += len(part)
                self._bar.update(len(part))
        return row

    def _batch(
        self, samples: list[Sample], names: list[str], row_filter: RowFilter | None, row: int, position: ReadPosition
    ) -> Iterator[RowBatch]:
        columns = {
            self._image: pa.array([sample.image for sample in samples], pa.binary()),
            self._label: pa.array([sample.label for sample in samples], pa.int64()),
        }
        table = self._admit(pa.table(columns), row)
        keys = table.select([name for name in KEYS if name in table.column_names])
        kept = np.asarray(row_filter(keys, row) if row_filter else range(len(table)), dtype=np.int64)
        if len(kept):
            yield RowBatch(table.take(kept).select(names), row + kept, position)

    def _samples(self, shard: str, image: str | None, label: str | None) -> Iterator[Sample]:
        """The samples of one shard; an error says which of them it is in."""
        number, key = 0, None
        files: dict[str, bytes | None] = {}

        def sample() -> Sample:
            images = [image] if image else [name for name in files if name in IMAGES]
            labels = [label] if label else [name for name in LABELS if name in files]
            encoded = files.get(images[0]) if images else None
            return Sample(frozenset(files), encoded, self._number(files, labels, number, shard))

        for name, content in _members(shard, self._where):
            match = SAMPLE.fullmatch(name)
            if match is None:
                continue
            if key not in (None, match[1]):
                yield sample()
                files, number = {}, number + 1
            key, extension = match[1], match[2].lower()
            if extension in files:
                raise self._malformed(number, shard, f"it has two files {quoted(extension)}")
            read = extension in (image, label, *LABELS) or (image is None and extension in IMAGES)
            files[extension] = content.read() if read else None
        if files:
            yield sample()

    def _number(self, files: Mapping[str, bytes | None], labels: list[str], number: int, shard: str) -> int | None:
        text = files.get(labels[0]) if labels else None
        try:
            label = None if text is None else int(text)
        except ValueError as error:
            raise self._malformed(number, shard, str(error)) from error
        if text is not None and not re.fullmatch(rb"-?\d+\s*", text):  # Python takes 1_0 and +1 for numbers, too
            raise self._malformed(number, shard, f"{text[:20]!r} is no number of a class")
        if label is not None and abs(label) > MOST_CLASSES:
            raise self._malformed(number, shard, f"there is no class {label}")
        return label

    def _malformed(self, number: int, shard: str, reason: str) -> InputError:
        where = f"sample {number} of {PurePosixPath(shard).name} of {self._where}"
        return InputError(f"{where} is malformed: {one_line(reason, 200)}; mend that sample")


def named_classes(column: str, named_after: Iterable[str], where: str) -> ClassLabel:
    """The classes that a column of numbers counts: those of the ImageNet that its repository or a shard is named after.

    Raises:
        InputError: nothing names them.
    """
    from timm.data import ImageNetInfo  # imported here: timm brings torch

    found = next(filter(None, map(IMAGENET.search, named_after)), None)
    if found is None:
        raise InputError(
            f"nothing says which classes column {quoted(column)} of {where} counts: declare it in the card's "
            "dataset_info as a class_label with their names"
        )
    return ClassLabel(names=ImageNetInfo(f"imagenet-{found[1].lower()}").label_names())


class _Member:
    """A file in a tar file, to be read before the next one."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> None:
        self._tar, self._member, self._where = tar, member, where

    def read(self) -> bytes:
        if self._member.size > LARGEST:
            raise InputError(f"{quoted(self._member.name)} in {self._where} has {self._member.size:,} bytes: remove it")
        file = self._tar.extractfile(self._member)
        return b"" if file is None else file.read()


def _members(shard: str, where: str) -> Iterator[tuple[str, _Member]]:
    """The plain files in a tar file, in order; links lead nowhere."""
    with _opened(shard) as handle, tarfile.open(fileobj=handle, mode="r|*", tarinfo=_Header) as tar:
        for member in tar:
            if member.isreg():
                yield member.name, _Member(tar, member, where)
        while rest := tar.fileobj.read(2**20) if tar.fileobj else b"":
            if rest.strip(b"\0"):
                raise tarfile.ReadError(f"{PurePosixPath(shard).name} goes on behind its end")


class _Header(tarfile.TarInfo):
    """What stands before a file. tarfile takes one that is damaged, or none, for the end, and what follows is lost."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # blocks of zeros: its end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("unexpected end of data" if not str(error) else str(error)) from error


@contextmanager
def _opened(shard: str) -> Iterator[IO[bytes]]:
    if not shard.startswith("hf://"):
        with Path(shard).open("rb") as handle:
            yield handle
        return
    # Without blocks it is one request for all of the shard, which goes on where it broke.
    with HfFileSystem(token=given_token()).open(shard, "rb", block_size=0) as stream:
        try:
            yield stream
        finally:
            # Closing the file does not end the answer: the garbage collector would, and where it comes in the middle of
            # another request, httpx (of huggingface_hub before 2.0) waits for its own lock for ever.
            if stream.response is not None:
                stream.response.close()


def _parts(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    part: list[Sample] = []
    for sample in samples:
        part.append(sample)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
