"""The columns of ddgs-hub, and which columns of a foreign table they are, by name and type; no row is looked at."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import pyarrow as pa
from datasets import ClassLabel, Features, Image, List, Value
from pydantic import JsonValue
from typing_extensions import TypedDict

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.processes import is_main
from ddgs_hub.core.schema import MOST_CLASSES, Name, read_json, read_values
from ddgs_hub.core.text import one_line, quoted

LOG = logging.getLogger(__name__)
# The columns of all datasets that the stages read and write. `label` is a ClassLabel if its classes have names.
COLUMNS: Mapping[str, Image | List | Value] = {
    "image": Image(),
    "label": Value("int64"),
    "wnid": Value("string"),
    "source_index": Value("int64"),
    "pool_index": Value("int64"),
    "seed": Value("int64"),
    "difficulty": Value("float32"),
    "soft_label_classes": List(Value("int32")),
    "soft_label_probabilities": List(Value("float16")),
    "selected": Value("bool"),
    "difficulty_log": Value("float32"),
    "difficulty_bin": Value("int64"),
}
METADATA = b"huggingface"  # the key under which datasets keeps the features in a file's metadata
SHOWN = 8  # columns that a message lists


class _ClassNames(TypedDict):
    names: list[Name]


class _Info(TypedDict):
    features: dict[str, JsonValue]


class _Metadata(TypedDict):
    info: _Info


@dataclass(frozen=True)
class ColumnMapping:
    """Which columns of a table are ours.

    Attributes:
        our_names: name in the table → our name, in the order of the table.
        features: our name → type.
        description: all columns of the table, for messages.
    """

    our_names: Mapping[str, str]
    features: Features
    description: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of rows under our names; made once, because it holds the names of all classes."""
        return self.features.arrow_schema

    def restricted_to(self, names: Sequence[str]) -> "ColumnMapping":
        """The same mapping with only these of our columns; those that the table lacks are ignored."""
        our_names = {source_name: name for source_name, name in self.our_names.items() if name in names}
        features = Features({name: self.features[name] for name in our_names.values()})
        return ColumnMapping(our_names, features, self.description)

    def source_names(self, names: Sequence[str]) -> list[str]:
        """What the table calls these of our columns."""
        return [source_name for source_name, name in self.our_names.items() if name in names]


def choose_columns(
    schema: pa.Schema,
    where: str,
    classes: Mapping[str, ClassLabel] | None = None,
    *,
    image: str | None = None,
    label: str | None = None,
) -> ColumnMapping:
    """Finds our columns in a table by name and type.

    The image is the column `image`, or the only one that can hold images. The label is the column `label`, or `cls` of
    a WebDataset, or the only column of classes. All others must have our names. Columns that are left out are logged
    once.

    Args:
        schema: of the table.
        where: what the table is, for messages.
        classes: column → its classes, if they are declared; None: those that the schema's metadata declares.
        image: the column that holds the images, whatever its name.
        label: the column that holds the labels, whatever its name.

    Raises:
        InputError: two columns have the same name, or `image` or `label` is missing or of another type.
    """
    names = schema.names
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{where} has two columns {quoted(name)}: rename one of them")
    classes = class_columns(schema, where) if classes is None else classes
    for given in (image, label):
        if given is not None and given not in names:
            raise InputError(f"{where} has no column {quoted(given)}: it has {_listed(names)}")
    image = image or _image_column(schema)
    label = label or next((name for name in ("label", "cls") if name in names), None) or _if_single(list(classes))
    renamed = {image: "image", label: "label"}
    mapped = [name for name in names if name in renamed or (name in COLUMNS and name != "image")]
    our_names = {name: renamed.get(name, name) for name in mapped}
    # The user may have named another column than `label`: that one is left out then.
    our_names = {name: our_name for name, our_name in our_names.items() if our_name != "label" or name == label}
    features = {}
    for name, our_name in our_names.items():
        is_class = our_name == "label" and name in classes
        features[our_name] = classes[name] if is_class else _feature(schema.field(name), our_name, where)
    _log_left_out(where, tuple(name for name in names if name not in our_names))
    return ColumnMapping(our_names, Features(features), _listed(names))


def class_columns(schema: pa.Schema, where: str) -> dict[str, ClassLabel]:
    """The columns of classes that a file declares in the metadata that datasets writes; other metadata is not read.

    Raises:
        InputError: the metadata is not the JSON that datasets writes, or the class names of a column are unusable.
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


def declared_classes(features: Features, where: str) -> dict[str, ClassLabel]:
    """The columns of classes among features that a foreign card or file declares.

    Raises:
        InputError: the class names of a column are unusable.
    """
    labels = {name: feature for name, feature in features.items() if isinstance(feature, ClassLabel)}
    return {name: class_label(label.names, f"column {quoted(name)} of {where}") for name, label in labels.items()}


def class_label(names: object, where: str) -> ClassLabel:
    """A ClassLabel with these names.

    Raises:
        InputError: they are not a list of names, there are too many of them, one is too long, or two are the same.
    """
    class_names = read_values({"names": names}, _ClassNames, f"the class names of {where}")["names"]
    if not 0 < len(class_names) <= MOST_CLASSES:
        raise InputError(f"{where} has {len(class_names):,} classes: give between 1 and {MOST_CLASSES:,}")
    if len(set(class_names)) < len(class_names):
        repeated = next(name for name in class_names if class_names.count(name) > 1)
        raise InputError(f"{where} has two classes {quoted(repeated)}: rename one of them")
    return ClassLabel(names=class_names)


def can_hold_images(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold encoded images: bytes, or structs of `bytes` and `path`."""
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        return names.count("bytes") == 1 and set(names) <= {"bytes", "path"} and _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _image_column(schema: pa.Schema) -> str | None:
    """The column `image`, or the only one that can hold images: structs of datasets before plain bytes."""
    if "image" in schema.names:
        return "image"
    for is_kind in (pa.types.is_struct, _is_binary):
        fitting = [field.name for field in schema if is_kind(field.type) and can_hold_images(field.type)]
        if fitting:
            return _if_single(fitting)
    return None


def _feature(field: pa.Field, our_name: str, where: str) -> Image | List | Value:
    """The feature that a column gets as our column `our_name`; its type must be of the same kind."""
    kind, feature = field.type, COLUMNS[our_name]
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if our_name == "image":
        # Strings are paths: those are refused later, with the number of their row.
        fits = can_hold_images(kind) or pa.types.is_string(kind)
    elif our_name == "label" and pa.types.is_string(kind):
        return Value("string")
    elif isinstance(feature, List):
        fits = is_list(kind) and _alike(kind.value_type, feature.feature.pa_type)
    else:
        fits = _alike(kind, feature.pa_type)
    if not (fits or pa.types.is_null(kind)):
        raise InputError(
            f"column {quoted(field.name)} of {where} is {one_line(kind, 200)}, where '{our_name}' belongs: rename it"
        )
    return feature


def is_list(kind: pa.DataType) -> bool:
    """Whether each cell of a column of this type is a list of values."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _alike(kind: pa.DataType, our_kind: pa.DataType) -> bool:
    """Whether two types are of one kind: whole numbers, floats, truth values or texts."""
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, _is_string)
    return any(is_kind(kind) and is_kind(our_kind) for is_kind in checks)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _if_single(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return (", ".join(one_line(name, 80) for name in names[:SHOWN]) or "none") + more


@cache
def _log_left_out(where: str, names: tuple[str, ...]) -> None:
    """Logs columns that are left out: once for each table in a process, however often it is opened."""
    if names and is_main():
        LOG.warning("of %s only the columns of ddgs-hub go on; left out: %s", where, _listed(names))
