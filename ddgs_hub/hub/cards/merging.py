"""The card that is published: what was generated, with what people wrote into the one that is there."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from ddgs_hub.core.front_matter import join_card, split_card
from ddgs_hub.hub.cards.rendering import HAND_WRITTEN
from ddgs_hub.hub.layout import DEFAULT

# A later card that lacks one of these means it so: the old value was generated, too.
GENERATED = (
    *("license", "pretty_name", "size_categories", "task_categories", "source_datasets"),
    *("base_model", "base_model_relation", "datasets", "library_name", "pipeline_tag"),
)
MARK = re.compile(rf"^{re.escape(HAND_WRITTEN)}$", re.MULTILINE)  # a line, which no value of a card is
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
        known = [DEFAULT, *dropped, *(entry["config_name"] for entry in ours)]
        if values := ours + [entry for entry in _named(old_metadata.get(key)) if entry["config_name"] not in known]:
            merged[key] = values if key == "configs" or len(values) > 1 else metadata.get(key, values)
    body, *tail = MARK.split(text, maxsplit=1)
    hand_written = MARK.split(old_text, maxsplit=1)[-1].strip() or "".join(tail).strip()
    below = f"\n{hand_written}\n" if hand_written else ""
    return join_card(merged, f"\n{body.strip()}\n\n{HAND_WRITTEN}\n{below}")


def _tags(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """The generated tags, then those that people added; `ipc-10` of an earlier version is not one of them."""
    ours, theirs = (list(tags) if isinstance(tags, list) else [] for tags in (new.get("tags"), old.get("tags")))
    return ours + [tag for tag in theirs if tag not in ours and not re.fullmatch(r"ipc-\d+", str(tag))]


def _named(values: Any) -> list[dict[str, Any]]:
    """`configs` or `dataset_info` as a list in which each entry has its name."""
    entries = values if isinstance(values, list) else [values] if isinstance(values, dict) else []
    named = [entry for entry in entries if isinstance(entry, dict)]
    return [entry if "config_name" in entry else {"config_name": DEFAULT, **entry} for entry in named]
