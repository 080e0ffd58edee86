"""The front matter of a card that a stranger may have written: YAML within limits, and the files that it names."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.schema import MOST_BYTES
from ddgs_hub.core.text import one_line, quoted

DEEPEST = 50  # levels; datasets' own features have fewer than ten
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a card of ImageNet-21k has megabytes


def read_front_matter(card: str, where: str) -> dict[str, Any]:
    """The front matter of a card; empty where it has none.

    Args:
        card: the text of a README.md.
        where: what it is, for messages, such as "README.md of owner/name".

    Raises:
        InputError: the front matter is no YAML mapping, too large or nested too deeply, or has aliases, with which a
            few lines stand for gigabytes.
    """
    match = REGEX_YAML_BLOCK.search(card)  # what the Hub's libraries take for it
    return read_mapping(match[2], where) if match else {}


def read_mapping(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping, within the limits of `read_front_matter`; empty where there is nothing."""
    if len(text) > MOST_BYTES:
        raise InputError(f"{where} is larger than {MOST_BYTES // 2**20} MB, which none is: mend it there first")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=Loader):
            if isinstance(event, yaml.AliasEvent):
                raise InputError(f"{where} has the alias {quoted(f'*{event.anchor}')}: write its value there instead")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise InputError(f"{where} is nested more than {DEEPEST} levels deep: mend it there first")
        values = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none, a number of thousands of digits
        raise InputError(f"{where} is not valid YAML ({one_line(error, 200)}): mend it there first") from error
    if not isinstance(values or {}, dict):
        raise InputError(f"{where} is no mapping: mend it there first")
    return values or {}


def refuse_other_files(metadata: dict[str, Any], where: str) -> None:
    """Refuses a card whose configurations name files that are not of its own repository.

    datasets opens what is named there, with the token of who loads it: other repositories, addresses, local files.

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
    """All texts in what a configuration says of its files."""
    if isinstance(config, dict):
        for key in ("data_files", "data_dir"):
            yield from _texts(config.get(key))


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, list | dict):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _texts(value)
