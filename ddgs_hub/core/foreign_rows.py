"""The one door for rows that a stranger may have written: our columns come in, in our types, images as bytes.

Nothing that a row names is ever opened, be it a path, an address or a file of another repository: an image comes in as
its bytes, and a row without them is refused. Columns that are not ours stay out, whatever is nested in them.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetInfo, Features, Image
from datasets.fingerprint import generate_random_fingerprint

from ddgs_hub.core.columns import ColumnMapping, can_hold_images, choose_columns, declared_classes, is_list
from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import one_line

IMAGE_TYPE: pa.StructType = Image().pa_type  # {bytes, path}


def sanitize_table(table: pa.Table, columns: ColumnMapping, *, first_row: int, where: str) -> pa.Table:
    """Rows under our names and in our types; images are `{bytes, path}` with bytes and without a path.

    Args:
        table: consecutive rows, with some of the columns in `columns.our_names`.
        columns: see `choose_columns`.
        first_row: the number of the first row, for messages.
        where: what the rows are, for messages.

    Raises:
        InputError: an image has no bytes, a label is outside the classes, or a value does not fit its column.
    """
    # A loop over the names: Parquet readers take a column `label.x` for a part of `label`, and return it, too.
    ours = {columns.our_names[name]: table.column(name) for name in table.column_names if name in columns.our_names}
    schema = columns.schema
    if list(ours) != schema.names:
        schema = Features({name: columns.features[name] for name in ours}).arrow_schema
    arrays = []
    for name, column in ours.items():
        if name == "image":
            arrays.append(image_bytes(column, first_row=first_row, where=where))
        else:
            kind = schema.field(name).type
            arrays.append(pa.chunked_array([_cast(chunk, kind, name, where) for chunk in column.chunks], type=kind))
        if name == "label":
            _check_labels(arrays[-1], columns.features[name], first_row, where)
    return pa.table(arrays, schema=schema)


def sanitize_dataset(rows: Dataset, where: str, classes: Mapping[str, ClassLabel] | None = None) -> Dataset:
    """A loaded dataset with only our columns, in our types; what is mapped from files stays mapped.

    Args:
        rows: as they were loaded.
        where: what they are, for messages.
        classes: column → its classes; None: those that the features of the dataset declare.

    Raises:
        InputError: see `choose_columns` and `sanitize_table`.
    """
    classes = declared_classes(rows.features, where) if classes is None else classes
    columns = choose_columns(rows.features.arrow_schema, where, classes)
    table = rows.with_format("arrow").select_columns(list(columns.our_names))[:]
    sanitized = sanitize_table(table, columns, first_row=0, where=where)
    # datasets would compute a fingerprint from the pickled table: a second copy of all images, and most of the time.
    return Dataset(sanitized, DatasetInfo(features=columns.features), fingerprint=generate_random_fingerprint())


def image_bytes(column: pa.ChunkedArray, *, first_row: int, where: str) -> pa.ChunkedArray:
    """A column of images as `{bytes, path}` without paths; the bytes are not copied.

    Args:
        column: bytes, or structs that have them.
        first_row: the number of the first row, for messages.
        where: what the rows are, for messages.

    Raises:
        InputError: a row has no bytes, or the column does not hold images.
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
        no_paths = pa.nulls(len(encoded), pa.string())
        chunks.append(pa.StructArray.from_arrays([encoded, no_paths], fields=list(IMAGE_TYPE)))
        row += len(chunk)
    return pa.chunked_array(chunks, type=IMAGE_TYPE)


def _encoded(chunk: pa.Array, where: str) -> pa.Array:
    """The bytes of images, null for a row that has none."""
    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    if not can_hold_images(chunk.type) and not pa.types.is_null(chunk.type):
        raise InputError(
            f"column 'image' of {where} is {one_line(chunk.type, 200)}, not the bytes of images: give rows that hold "
            "their images"
        )
    if pa.types.is_struct(chunk.type):
        chunk = pc.struct_field(chunk, "bytes")  # also null if the whole struct is
    return _cast(chunk, pa.binary(), "image", where)


def _cast(array: pa.Array, kind: pa.DataType, name: str, where: str) -> pa.Array:
    """The array in another type; an array that was forged to point outside of its own memory is refused."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    try:
        array.validate(full=True)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        # Floats may be rounded (a difficulty in float64); integers must fit.
        numbers = kind.value_type if is_list(kind) else kind
        return array.cast(kind, safe=not pa.types.is_floating(numbers))
    except (pa.ArrowException, ValueError) as error:
        reason = one_line(error, 200)
        raise InputError(f"column '{name}' of {where} does not hold {kind} ({reason}): mend that column") from error


def _check_labels(labels: pa.ChunkedArray, feature: object, first_row: int, where: str) -> None:
    """Refuses labels outside of the classes, and missing ones; labels without classes may be any number."""
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
