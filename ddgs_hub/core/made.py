"""What a stage or a request to the Hub comes back with: a text for people, and the same as values for programs."""

import json
import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Made:
    """The result of a stage; every process of a launch gets one.

    Attributes:
        text: for people, one line or several.
        values: JSON values with the same content, for programs: counts, means, paths as they were given, repository
            ids, commits.
    """

    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def and_also(self, text: str, **values: Any) -> "Made":
        """This with one more text below its own, and more values."""
        return Made(f"{self.text}\n{text}", {**self.values, **values})

    def to_json(self) -> str:
        """The values as one JSON document, in ASCII: every terminal can show it. A number that is none is null."""
        return json.dumps(_finite(self.values), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON has no infinity, and Python would write one."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
