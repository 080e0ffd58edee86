"""JSON that a stranger may have written: read by a schema, within limits, or refused in one sentence."""

import json
import math
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.files import require_file
from ddgs_hub.core.text import one_line, quoted

T = TypeVar("T")

MOST_BYTES = 2**24  # of a file; the names of ImageNet-21k's classes take two million
LARGEST = 2**63  # of a number: what a column can hold
MOST_CLASSES = 100_000
# For the schemas: keys that are not ours are left out, and no number is infinite.
FOREIGN = ConfigDict(extra="ignore", allow_inf_nan=False)


def _bounded(value: JsonValue) -> JsonValue:
    """Refuses numbers that are infinite, and those that no column holds: Python gives up on thousands of digits."""
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


Line = Annotated[str, AfterValidator(one_line)]  # what is shown: a version, what changed, a license
Name = Annotated[str, Field(min_length=1, max_length=1_000)]  # of a class: as it is, for it must be found again
Text = Annotated[str, Field(max_length=100_000)]  # as it is
NonNegativeInt = Annotated[int, Field(ge=0, lt=LARGEST)]
Json = Annotated[dict[str, JsonValue], AfterValidator(_bounded)]  # values of another schema, such as a recipe
Index = Annotated[int, Field(ge=0, lt=MOST_CLASSES)]  # of a class


def read_json(source: Path | bytes, schema: type[T], where: str) -> T:
    """Reads JSON by a schema: a pydantic model, a dataclass or a type.

    Types are not converted: a string where a number belongs is refused. JSON that is nested more than 200 levels deep
    is refused, too.

    Args:
        source: a file, or what is in it.
        schema: what is read of it.
        where: what it is, for messages.

    Raises:
        InputError: there is no such file, it is too large, it is no JSON, or not as the schema says.
    """
    if isinstance(source, Path):
        source = read_bytes(source, where)
    if len(source) > MOST_BYTES:
        raise InputError(f"{where} is larger than {MOST_BYTES // 2**20} MB, which none is: get it from elsewhere")
    return _validated(schema, source, where)


def read_values(values: Any, schema: type[T], where: str) -> T:
    """Reads values that were YAML or are a part of other JSON by a schema; see `read_json`."""
    try:
        text = json.dumps(values, default=str)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and deep nesting
        raise InputError(f"{where} cannot be used ({one_line(error, 200)}): get another one") from error
    return read_json(text.encode("utf-8", errors="replace"), schema, where)


def read_bytes(path: Path, where: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: it cannot be read, or has more than `most`.
    """
    try:
        require_file(path, where)
        with path.open("rb") as file:
            content = file.read(most + 1)  # a link may lead to a device, which does not say how large it is
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
        found = f"{quoted(key)}: {reason}" if key else reason
        raise InputError(f"{where} cannot be used ({found}): get one that ddgs-hub or its library wrote") from error
