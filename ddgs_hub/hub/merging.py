"""The card that is published: what was generated, with what people wrote into the one that is there."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml
from huggingface_hub.utils import yaml_dump

from ddgs_hub.errors import InputError
from ddgs_hub.hub.cards import HAND_WRITTEN

DEFAULT = "default"  # the configuration that is always ours
# A later card that lacks one of these means it so: the old value was generated, too.
GENERATED = (
    *("license", "pretty_name", "size_categories", "task_categories", "source_datasets"),
    *("base_model", "base_model_relation", "datasets", "library_name", "pipeline_tag"),
)
LICENSE_DETAILS = ("license_name", "license_link")  # somebody's, as long as the license is the same


def merge_cards(generated: str, existing: str, dropped: Collection[str] = ()) -> str:
    """The generated card, with the hand-written parts of the one that is on the Hub.

    Kept are the text below the line `HAND_WRITTEN`, or the whole text of a card without that line, the configurations
    that the generated card does not have with their `dataset_info`, tags, and keys of the front matter that no
    generated card has. Merging again changes nothing.

    Args:
        generated: a whole README.md.
        existing: the one that is there; empty: none.
        dropped: configurations that are not kept.

    Raises:
        InputError: the front matter of one of them is no YAML mapping.
    """
    metadata, text = split_card(generated, "the generated card")
    old_metadata, old_text = split_card(existing, "the card on the Hub")
    replaced = {*GENERATED, "configs", "dataset_info"}
    if metadata.get("license") != old_metadata.get("license"):
        replaced.update(LICENSE_DETAILS)
    kept = {key: value for key, value in old_metadata.items() if key not in replaced}
    merged = {**kept, **metadata}
    merged = {key: merged[key] for key in (*metadata, *(key for key in kept if key not in metadata))}
    if tags := _tags(metadata, old_metadata):
        merged["tags"] = tags
    for key in ("configs", "dataset_info"):
        ours = _named(metadata.get(key))
        known = {DEFAULT, *dropped, *(entry["config_name"] for entry in ours)}
        if values := ours + [entry for entry in _named(old_metadata.get(key)) if entry["config_name"] not in known]:
            merged[key] = values if key == "configs" or len(values) > 1 else metadata.get(key, values)
    body, _, tail = text.partition(HAND_WRITTEN)
    _, marked, old_tail = old_text.partition(HAND_WRITTEN)
    hand_written = (old_tail if marked else old_text).strip() or tail.strip()
    front_matter = yaml_dump(merged, sort_keys=False).strip()
    below = f"\n{hand_written}\n" if hand_written else ""
    return f"---\n{front_matter}\n---\n\n{body.strip()}\n\n{HAND_WRITTEN}\n{below}"


def split_card(card: str, name: str) -> tuple[dict[str, Any], str]:
    """Front matter and text of a card; `name` says in an error which card it is.

    Raises:
        InputError: the front matter is no YAML mapping.
    """
    card = card.replace("\r\n", "\n").removeprefix("\ufeff")
    match = re.match(r"---[ \t]*\n(.*?)^---[ \t]*$\n?", card, re.DOTALL | re.MULTILINE)
    if match is None:
        return {}, card
    try:
        metadata = yaml.safe_load(match[1]) or {}
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the front matter of {name} is not valid YAML ({reason}): mend it there first") from error
    if not isinstance(metadata, dict):
        raise InputError(f"the front matter of {name} is no mapping: mend it there first")
    return metadata, card[match.end() :]


def _tags(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """The generated tags, then those that people added; `ipc-10` of an earlier version is not one of them."""
    ours, theirs = (list(tags) if isinstance(tags, list) else [] for tags in (new.get("tags"), old.get("tags")))
    return ours + [tag for tag in theirs if tag not in ours and not re.fullmatch(r"ipc-\d+", str(tag))]


def _named(values: Any) -> list[dict[str, Any]]:
    """`configs` or `dataset_info` as a list in which each entry has its name."""
    entries = values if isinstance(values, list) else [values] if isinstance(values, dict) else []
    named = [entry for entry in entries if isinstance(entry, dict)]
    return [entry if "config_name" in entry else {"config_name": DEFAULT, **entry} for entry in named]
