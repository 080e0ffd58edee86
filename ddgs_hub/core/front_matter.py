"""Cards, which a stranger may have written: YAML front matter within limits, the text, and the files that they name."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.utils import yaml_dump

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.text import one_line, quoted

MOST_OF_A_CARD = 2**23  # characters; the names of ImageNet-21k's classes take a million for each configuration
MOST_VALUES = 1_000_000  # of a front matter, each counted as often as it is referred to
DEEPEST = 50  # levels of a front matter; `dataset_info` has six
EMPTY_BLOCK = re.compile(r"(\s*---\n)()---[ \t]*(\n|$)")  # empty front matter: the Hub ignores it, and it is no text


class TooDeepError(yaml.YAMLError):
    """A front matter has more than `DEEPEST` levels."""


class BoundedLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader, compiled where it is, which is eight times as fast; refuses what is nested too deeply.

    The compiled one calls itself for each level, and where the stack is small a card could end the process so. It calls
    the two methods below at each level.
    """

    _depth = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Counts a level more; raises a TooDeepError beyond `DEEPEST`."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooDeepError
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        """Counts a level less."""
        self._depth -= 1
        super().ascend_resolver()


def split_card(card: str, where: str) -> tuple[dict[str, Any], str]:
    """The front matter of a card, empty where it has none, and the text below it.

    Args:
        card: the text of a README.md.
        where: what it is, for messages, such as "README.md of owner/name".

    Raises:
        InputError: the card is too large, or its front matter is not what `read_mapping` reads.
    """
    _refuse_large(card, where)
    card = card.replace("\r\n", "\n").removeprefix("\ufeff")
    match = REGEX_YAML_BLOCK.search(card) or EMPTY_BLOCK.match(card)  # as the Hub and its libraries find it
    if match is None:
        return {}, card
    return read_mapping(match[2], f"the front matter of {where}"), card[match.end() :]


def join_card(metadata: Mapping[str, Any], text: str) -> str:
    """The inverse of `split_card`."""
    return f"---\n{yaml_dump(dict(metadata), sort_keys=False).strip()}\n---\n{text}"


def read_front_matter(card: str, where: str) -> dict[str, Any]:
    """The front matter alone, see `split_card`."""
    return split_card(card, where)[0]


def read_mapping(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping of names to values; empty where there is nothing.

    Raises:
        InputError: it is not valid YAML, too large, nested too deeply, no mapping, or has a key that is no text. With
            aliases a few lines can stand for gigabytes: what they refer to counts each time.
    """
    _refuse_large(text, where)
    try:
        values = yaml.load(text, BoundedLoader) or {}
    except TooDeepError as error:
        raise _beyond_limits(where) from error
    except Exception as error:  # for invalid dates, numbers and tags, PyYAML can raise anything
        raise InputError(f"{where} is not valid YAML ({one_line(error, 300)}): mend it there first") from error
    if not isinstance(values, dict):
        raise InputError(f"{where} is no mapping: mend it there first")
    if not all(isinstance(key, str) for key in values):
        raise InputError(f"{where} has a key that is no text: quote it there first")
    size = 0
    for count, (depth, characters) in enumerate(_measure(values)):
        size += characters
        if count > MOST_VALUES or depth > DEEPEST or size > MOST_OF_A_CARD:
            raise _beyond_limits(where)
    return values


def _beyond_limits(where: str) -> InputError:
    return InputError(f"{where} is too large, or nested too deeply: mend it there first")


def _refuse_large(text: str, where: str) -> None:
    if len(text) > MOST_OF_A_CARD:
        raise InputError(f"{where} is larger than {MOST_OF_A_CARD // 2**20} MB: shorten it there first")


def _measure(value: Any, depth: int = 0) -> Iterator[tuple[int, int]]:
    """The depth of each value and the characters of each text, as often as aliases refer to it."""
    yield depth, len(value) if isinstance(value, str) else 0
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _measure(part, depth + 1)


def refuse_other_files(metadata: dict[str, Any], where: str) -> None:
    """Refuses a card whose configurations name files that are not of its own repository.

    datasets opens whatever is named there, with the reader's token: other repositories, addresses, local files.

    Raises:
        InputError: a path is absolute, an address, or leads out of the repository.
    """
    configs = metadata.get("configs") or []
    for config in configs if isinstance(configs, list) else [configs]:
        for path in _paths(config):
            parts = PurePosixPath(path.replace("\\", "/")).parts
            if "://" in path or "::" in path or path.startswith(("/", "~")) or ".." in parts or ":" in path[:2]:
                raise InputError(
                    f"the card of {where} names {quoted(path)}, which is not of its own repository: nothing else is "
                    "opened for it"
                )


def _paths(config: Any) -> Iterator[str]:
    """All texts with which a configuration names its files."""
    if isinstance(config, dict):
        for key in ("data_files", "data_dir"):
            yield from _texts(config.get(key))


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, list | dict):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _texts(value)
