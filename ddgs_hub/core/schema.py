"""JSON that a stranger may have written: read by a schema and within limits, or refused in one sentence."""

import json
import math
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import require_file
from ddgs_hub.core.text import one_line, quoted

T = TypeVar("T")

MOST_BYTES = 2**24  # of a file; the class names of ImageNet-21k take two million
LARGEST = 2**63  # integers must be smaller: no column holds larger ones
MOST_CLASSES = 100_000
# Of schemas: other keys than ours are ignored, and numbers are finite.
FOREIGN = ConfigDict(extra="ignore", allow_inf_nan=False)


def _bounded(value: JsonValue) -> JsonValue:
    """Refuses numbers that are not finite, and integers that no column holds: Python cannot print very long ones."""
    if isinstance(value, dict):
        for part in value.values():
            _bounded(part)
    elif isinstance(value, list):
        for part in value:
            _bounded(part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is infinite, or none")
    elif isinstance(value, int) and abs(value) >= LARGEST:
        raise ValueError("a whole number is too large")
    return value


Line = Annotated[str, AfterValidator(one_line)]  # text that is shown: a version, what changed, a license
Name = Annotated[str, Field(min_length=1, max_length=1_000)]  # of a class or a tensor: kept as it is, to be found again
NonNegativeInt = Annotated[int, Field(ge=0, lt=LARGEST)]
Json = Annotated[dict[str, JsonValue], AfterValidator(_bounded)]  # any object, such as a recipe
Index = Annotated[int, Field(ge=0, lt=MOST_CLASSES)]  # of a class


def read_json(source: Path | bytes, schema: type[T], where: str) -> T:
    """Reads JSON by a schema.

    Types are not converted: a string in place of a number is refused. So is JSON with more than 200 levels.

    Args:
        source: a file, or its content.
        schema: a pydantic model, a dataclass or a type.
        where: what the JSON is, for messages.

    Raises:
        InputError: the file is missing or too large, or its content is no JSON or does not fit the schema.
    """
    if isinstance(source, Path):
        source = read_bytes(source, where)
    if len(source) > MOST_BYTES:
        raise InputError(f"{where} is larger than {MOST_BYTES // 2**20} MB, which none is: get it from elsewhere")
    return _validated(schema, source, where)


def read_values(values: Any, schema: type[T], where: str) -> T:
    """Reads values by a schema that come from YAML or are a part of other JSON; see `read_json`."""
    try:
        text = json.dumps(values, default=str)
    except (ValueError, RecursionError) as error:  # numbers with thousands of digits, or too many levels
        raise InputError(f"{where} cannot be used ({one_line(error, 200)}): get another one") from error
    return read_json(text.encode("utf-8", errors="replace"), schema, where)


def read_bytes(path: Path, where: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: it cannot be read, or has more than `most` bytes.
    """
    try:
        require_file(path, where)
        with path.open("rb") as file:
            content = file.read(most + 1)  # not by its size: a device, behind a link, does not tell it
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror}): get it again") from error
    if len(content) > most:
        raise InputError(f"{where} is larger than {most // 2**20} MB, which none is: get it from elsewhere")
    return content


def _validated(schema: type[T], text: bytes, where: str) -> T:
    try:
        return TypeAdapter(schema).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = one_line(first["msg"].removeprefix("Value error, "), 200)
        details = f"{quoted(key)}: {reason}" if key else reason
        raise InputError(f"{where} cannot be used ({details}): get one that ddgs-hub or its library wrote") from error
