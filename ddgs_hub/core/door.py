"""The one door for rows that a stranger may have written: the columns that we define, in our types, images as bytes.

Whatever a row names (a path, an address, a file of another repository), nothing here or behind it opens: of an image
its bytes go on, and a row without them is refused. Other columns than ours do not pass, whatever is nested in them.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetInfo, Features, Image, Value
from datasets.fingerprint import generate_random_fingerprint
from pydantic import JsonValue
from typing_extensions import TypedDict

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import is_main
from ddgs_hub.core.schema import MOST_CLASSES, Name, read_json, read_values
from ddgs_hub.core.text import one_line, quoted

LOG = logging.getLogger(__name__)
# The columns of all boxes of the data flow; a label is a ClassLabel wherever its classes have names.
COLUMNS: Mapping[str, Image | Value] = {
    "image": Image(),
    "label": Value("int64"),
    "wnid": Value("string"),
    "source_index": Value("int64"),
    "pool_index": Value("int64"),
    "seed": Value("int64"),
    "difficulty": Value("float32"),
    "selected": Value("bool"),
    "difficulty_log": Value("float32"),
    "difficulty_bin": Value("int64"),
}
IMAGE: pa.StructType = Image().pa_type
METADATA = b"huggingface"  # the key of a file's metadata where datasets keeps the features
SHOWN = 8  # columns that a message lists


class _ClassNames(TypedDict):
    names: list[Name]


class _Info(TypedDict):
    features: dict[str, JsonValue]


class _Metadata(TypedDict):
    info: _Info


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are ours.

    Attributes:
        ours: name there → our name, in the order of the table.
        features: our name → its type.
        listed: all columns of the table, for messages.
    """

    ours: Mapping[str, str]
    features: Features
    listed: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        """Of rows under our names; made once, for it holds the names of all classes."""
        return self.features.arrow_schema

    def only(self, names: Sequence[str]) -> "Columns":
        """These of our columns, as far as they are there."""
        ours = {theirs: own for theirs, own in self.ours.items() if own in names}
        return Columns(ours, Features({own: self.features[own] for own in ours.values()}), self.listed)

    def theirs(self, names: Sequence[str]) -> list[str]:
        """What the table calls these columns of ours."""
        return [theirs for theirs, own in self.ours.items() if own in names]


def choose_columns(
    schema: pa.Schema,
    where: str,
    classes: Mapping[str, ClassLabel] | None = None,
    *,
    image: str | None = None,
    label: str | None = None,
) -> Columns:
    """Finds our columns in a table by name and type; no row is looked at.

    The image is the column `image`, or the only one that can hold images. The label is the column `label`, or a
    WebDataset's `cls`, or the only column of classes. All others must have our names; what is left out is said once.

    Args:
        schema: of the table.
        where: what it is, for messages.
        classes: the classes of its columns, where they are declared; None: what the schema's own metadata says.
        image: the column that is the image, whatever its name.
        label: the column that is the label, whatever its name.

    Raises:
        InputError: two columns have one name, or a column that is asked for is not there or of another type.
    """
    names = schema.names
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{where} has two columns {quoted(name)}: rename one of them")
    classes = class_columns(schema, where) if classes is None else classes
    for wanted in (image, label):
        if wanted is not None and wanted not in names:
            raise InputError(f"{where} has no column {quoted(wanted)}: it has {_listed(names)}")
    image = image or _image_column(schema)
    label = label or next((name for name in ("label", "cls") if name in names), None) or _only(list(classes))
    taken = {image: "image", label: "label"}
    ours = {name: taken.get(name, name) for name in names if name in taken or (name in COLUMNS and name != "image")}
    if label != "label":
        ours = {name: own for name, own in ours.items() if own != "label" or name == label}
    features = {}
    for name, own in ours.items():
        features[own] = classes[name] if own == "label" and name in classes else _own_type(schema, name, own, where)
    _say_dropped(where, tuple(name for name in names if name not in ours))
    return Columns(ours, Features(features), _listed(names))


def class_columns(schema: pa.Schema, where: str) -> dict[str, ClassLabel]:
    """The columns of classes that the metadata of datasets in a file names; other metadata is not read.

    Raises:
        InputError: the metadata is no JSON of that kind, or the names of a column's classes cannot be used.
    """
    text = (schema.metadata or {}).get(METADATA)
    if text is None:
        return {}
    features = read_json(text, _Metadata, f"the metadata of {where}")["info"]["features"]
    return {
        name: class_label(feature.get("names"), f"column {quoted(name)} of {where}")
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def class_label(names: object, where: str) -> ClassLabel:
    """A ClassLabel of these names.

    Raises:
        InputError: they are no names of classes, too many or too long, or two are the same.
    """
    named = read_values({"names": names}, _ClassNames, f"the class names of {where}")["names"]
    if not 0 < len(named) <= MOST_CLASSES:
        raise InputError(f"{where} has {len(named):,} classes: give between 1 and {MOST_CLASSES:,}")
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise InputError(f"{where} has two classes {quoted(twice)}: rename one of them")
    return ClassLabel(names=named)


def admit(table: pa.Table, columns: Columns, *, first_row: int, where: str) -> pa.Table:
    """Rows under our names and in our types; images are `{bytes, path}` with the bytes and no path.

    Args:
        table: rows that follow each other, with some of the columns of `columns.ours`.
        columns: see `choose_columns`.
        first_row: the number of the first of them, for messages.
        where: what they are, for messages.

    Raises:
        InputError: an image has no bytes, a label is outside the classes, or a value does not fit its column.
    """
    # Parquet readers take a column `label.x` for a part of `label`.
    ours = {columns.ours[name]: table.column(name) for name in table.column_names if name in columns.ours}
    schema = columns.schema
    if list(ours) != schema.names:
        schema = Features({own: columns.features[own] for own in ours}).arrow_schema
    arrays = []
    for own, column in ours.items():
        if own == "image":
            arrays.append(with_bytes(column, first_row=first_row, where=where))
        else:
            arrays.append(_converted(column, schema.field(own).type, own, where))
        if own == "label":
            _check_labels(arrays[-1], columns.features[own], first_row, where)
    return pa.table(arrays, schema=schema)


def declared_classes(features: Features, where: str) -> dict[str, ClassLabel]:
    """The columns of classes that features name, which somebody's card or file declared.

    Raises:
        InputError: the names of a column's classes cannot be used.
    """
    labels = {name: feature for name, feature in features.items() if isinstance(feature, ClassLabel)}
    return {name: class_label(label.names, f"column {quoted(name)} of {where}") for name, label in labels.items()}


def admit_rows(rows: Dataset, where: str, classes: Mapping[str, ClassLabel] | None = None) -> Dataset:
    """A dataset that was loaded, with our columns alone; what is mapped from files stays so.

    Args:
        rows: as they are.
        where: what they are, for messages.
        classes: the classes of its columns; None: those that it names.

    Raises:
        InputError: as `choose_columns` and `admit`.
    """
    classes = declared_classes(rows.features, where) if classes is None else classes
    columns = choose_columns(rows.features.arrow_schema, where, classes)
    table = rows.with_format("arrow").select_columns(list(columns.ours))[:]
    admitted = admit(table, columns, first_row=0, where=where)
    # Without a fingerprint one is made of the pickled table: a second copy of all images, and most of the time.
    return Dataset(admitted, DatasetInfo(features=columns.features), fingerprint=generate_random_fingerprint())


def with_bytes(column: pa.ChunkedArray, *, first_row: int, where: str) -> pa.ChunkedArray:
    """Images as `{bytes, path}` with no path: of bytes, or of structs that have them; nothing is copied.

    Raises:
        InputError: a row has no bytes, or the column holds something else than images.
    """
    chunks, row = [], first_row
    for chunk in column.chunks:
        encoded = _encoded(chunk, where)
        if encoded.null_count:
            missing = row + pc.index(encoded.is_null(), True).as_py()
            raise InputError(
                f"row {missing} of {where} has no bytes of an image: what a row only names is never opened; "
                "give rows that hold their images"
            )
        chunks.append(pa.StructArray.from_arrays([encoded, pa.nulls(len(encoded), pa.string())], fields=list(IMAGE)))
        row += len(chunk)
    return pa.chunked_array(chunks, type=IMAGE)


def can_hold_images(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold the bytes of images."""
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        return names.count("bytes") == 1 and set(names) <= {"bytes", "path"} and _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _encoded(chunk: pa.Array, where: str) -> pa.Array:
    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    if not can_hold_images(chunk.type) and not _is_null(chunk.type):
        raise InputError(
            f"column 'image' of {where} is {one_line(chunk.type, 200)}, not the bytes of images: give rows that hold "
            "their images"
        )
    if pa.types.is_struct(chunk.type):
        chunk = pc.struct_field(chunk, "bytes")  # null where the whole struct is
    return _validated(chunk, pa.binary(), "image", where)


def _converted(column: pa.ChunkedArray, kind: pa.DataType, own: str, where: str) -> pa.ChunkedArray:
    return pa.chunked_array([_validated(chunk, kind, own, where) for chunk in column.chunks], type=kind)


def _validated(array: pa.Array, kind: pa.DataType, own: str, where: str) -> pa.Array:
    """The array in another type; one that was written to lead out of its own memory is refused."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    try:
        array.validate(full=True)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        # A float64 of a difficulty is rounded; whole numbers must fit.
        return array.cast(kind, safe=not pa.types.is_floating(kind))
    except (pa.ArrowException, ValueError) as error:
        reason = one_line(error, 200)
        raise InputError(f"column '{own}' of {where} does not hold {kind} ({reason}): mend that column") from error


def _check_labels(labels: pa.ChunkedArray, feature: object, first_row: int, where: str) -> None:
    if not isinstance(feature, ClassLabel):
        return
    count = feature.num_classes
    outside = pc.or_kleene(pc.less(labels, 0), pc.greater_equal(labels, count))
    first = pc.index(pc.fill_null(outside, True), True).as_py()
    if first >= 0:
        raise InputError(
            f"row {first_row + first} of {where} has label {labels[first].as_py()}, outside its {count} classes: "
            "mend that row"
        )


def _image_column(schema: pa.Schema) -> str | None:
    if "image" in schema.names:
        return "image"
    for is_kind in (pa.types.is_struct, _is_binary):
        fitting = [field.name for field in schema if is_kind(field.type) and can_hold_images(field.type)]
        if fitting:
            return _only(fitting)
    return None


def _own_type(schema: pa.Schema, name: str, own: str, where: str) -> Image | Value:
    """The type that a column of ours gets; its own one must be of that kind."""
    kind, wanted = schema.field(name).type, COLUMNS[own]
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if own == "image":
        fits = can_hold_images(kind) or pa.types.is_string(kind)  # of paths, which `with_bytes` refuses by their row
    elif own == "label" and pa.types.is_string(kind):
        return Value("string")
    else:
        wanted_kind = wanted.pa_type
        same = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, _is_string)
        fits = any(is_kind(kind) and is_kind(wanted_kind) for is_kind in same)
    if not (fits or _is_null(kind)):
        raise InputError(f"column {quoted(name)} of {where} is {one_line(kind, 200)}, where '{own}' belongs: rename it")
    return wanted


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_null(kind: pa.DataType) -> bool:
    return pa.types.is_null(kind)


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return (", ".join(one_line(name, 80) for name in names[:SHOWN]) or "none") + more


@cache
def _say_dropped(where: str, names: tuple[str, ...]) -> None:
    """Once for each table in a process, however often it is opened."""
    if names and is_main():
        LOG.warning("of %s only the columns of ddgs-hub go on; left out: %s", where, _listed(names))
