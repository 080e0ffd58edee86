"""The card of a distilled set whose pool is published with it: two more configurations, and a section."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ddgs_hub.core.front_matter import join_card, split_card
from ddgs_hub.hub.cards.metadata import configuration
from ddgs_hub.hub.cards.rendering import render_template
from ddgs_hub.hub.layout import POOL_CONFIGS

# The section on the pool, before the next heading; empty in a card without a pool.
_PLACE = re.compile(r"(^## The pool\n.*?)?(?=^## How it was made\n)", re.DOTALL | re.MULTILINE)


class ConfigFiles(NamedTuple):
    """What the front matter says of the files of a configuration."""

    info: DatasetInfo
    rows_sha256: str


def with_pool(card: str, files: Mapping[str, ConfigFiles], section: str) -> str:
    """A rendered card with the configurations of `POOL_CONFIGS` and their section; those that it has are replaced."""
    metadata, text = split_card(card, "the generated card")
    data = DatasetCardData(**metadata)
    others = [entry for entry in data["configs"] if entry["config_name"] not in POOL_CONFIGS]
    data["configs"] = others + [configuration(name, f"sha256:{files[name].rows_sha256}") for name in POOL_CONFIGS]
    DatasetInfosDict({name: files[name].info for name in POOL_CONFIGS}).to_dataset_card_data(data)
    return join_card(data.to_dict(), with_pool_section(text, section))


def render_pool_section(repo_id: str, *, per_class: int, ipc: int) -> str:
    """What a card says of the pool of `per_class` images a class; its example samples `ipc` of them."""
    return render_template("pool_section.md.jinja", repo_id=repo_id, per_class=per_class, ipc=ipc)


def with_pool_section(card: str, section: str) -> str:
    """The card with `section` as its section on the pool; the configurations stay as they are."""
    return _PLACE.sub(lambda _: section, card, count=1)


def pool_section(card: str) -> str:
    """The section of a card on the pool; empty where there is none."""
    match = _PLACE.search(card)
    return match[1] or "" if match else ""
