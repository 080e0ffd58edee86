"""The card that is published: the generated one, with what people wrote into the one on the Hub."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from ddgs_hub.core.front_matter import join_card, split_card
from ddgs_hub.hub.cards.rendering import HAND_WRITTEN
from ddgs_hub.hub.cards.results import MODEL_INDEX
from ddgs_hub.hub.layout import DEFAULT

# Keys that only a generated card sets: if a later card lacks one, its old value is dropped.
GENERATED = (
    *("license", "pretty_name", "size_categories", "task_categories", "source_datasets"),
    *("base_model", "base_model_relation", "datasets", "library_name", "pipeline_tag"),
    MODEL_INDEX,
)
BY_CONFIGURATION = ("configs", "dataset_info")  # keys with an entry for each configuration
LICENSE_DETAILS = ("license_name", "license_link")  # people add them; they stay as long as the license does
MARK = re.compile(rf"^{re.escape(HAND_WRITTEN)}$", re.MULTILINE)  # on a line of its own, which no value of a card has


def merge_cards(generated: str, existing: str, dropped: Collection[str] = ()) -> str:
    """The generated card, with the hand-written parts of the one that is on the Hub.

    Kept are the text below the line `HAND_WRITTEN`, or the whole text of a card without that line; configurations that
    the generated card does not have, with their `dataset_info`; tags; and keys of the front matter that no generated
    card has. Merging again changes nothing.

    Args:
        generated: a whole README.md.
        existing: the one on the Hub; empty: none.
        dropped: configurations that are not kept.

    Raises:
        InputError: the front matter of one of them cannot be read, see `split_card`.
    """
    metadata, text = split_card(generated, "the generated card")
    old_metadata, old_text = split_card(existing, "the card on the Hub")
    body, *below = MARK.split(text, maxsplit=1)
    hand_written = MARK.split(old_text, maxsplit=1)[-1].strip() or "".join(below).strip()
    end = f"\n{hand_written}\n" if hand_written else ""
    return join_card(_merged(metadata, old_metadata, dropped), f"\n{body.strip()}\n\n{HAND_WRITTEN}\n{end}")


def _merged(new: Mapping[str, Any], old: Mapping[str, Any], dropped: Collection[str]) -> dict[str, Any]:
    """The front matter: the new one, and what is kept of the old one behind it."""
    replaced = {*new, *GENERATED, *BY_CONFIGURATION}
    if new.get("license") != old.get("license"):
        replaced.update(LICENSE_DETAILS)
    merged = {**new, **{key: value for key, value in old.items() if key not in replaced}}
    if tags := _tags(new, old):
        merged["tags"] = tags
    for key in BY_CONFIGURATION:
        ours = _named(new.get(key))
        names = [DEFAULT, *dropped, *(entry["config_name"] for entry in ours)]
        if entries := ours + [entry for entry in _named(old.get(key)) if entry["config_name"] not in names]:
            # `dataset_info` of a single configuration is not a list.
            merged[key] = entries if key == "configs" or len(entries) > 1 else new.get(key, entries)
    return merged


def _tags(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """The generated tags, then those that people added; `ipc-10` of an earlier version is not one of them."""
    ours, theirs = (list(tags) if isinstance(tags, list) else [] for tags in (new.get("tags"), old.get("tags")))
    return ours + [tag for tag in theirs if tag not in ours and not re.fullmatch(r"ipc-\d+", str(tag))]


def _named(values: Any) -> list[dict[str, Any]]:
    """`configs` or `dataset_info` as a list in which each entry has its name."""
    entries = values if isinstance(values, list) else [values] if isinstance(values, dict) else []
    named = [entry for entry in entries if isinstance(entry, dict)]
    return [entry if "config_name" in entry else {"config_name": DEFAULT, **entry} for entry in named]
