"""Terms of published data and models: those of ImageNet, of a gated source, or of the fine-tuned base."""

import re
from dataclasses import asdict
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HTTPError

from ddgs_hub.core.front_matter import MOST_OF_A_CARD, read_front_matter
from ddgs_hub.core.hub_client import page_of
from ddgs_hub.core.schema import read_bytes, read_values
from ddgs_hub.core.tokens import given_token
from ddgs_hub.hub.layout import CARD
from ddgs_hub.hub.provenance import License

IMAGENET = re.compile(r"imagenet(?!te)", re.IGNORECASE)  # but not ImageNette


def is_imagenet(source: str) -> bool:
    """Whether a Hub id names ImageNet or a part of it: ILSVRC/imagenet-1k, timm's WebDatasets, copies of others."""
    return IMAGENET.search(source) is not None


def why_withheld(source: str, *, gated: bool) -> str:
    """Why the images of a Hub dataset are not published unless the user asks for it; empty if they are.

    ImageNet gives its images to those who agree to its terms, and so does every gated dataset. A published copy would
    be open to everybody.

    Args:
        source: the Hub id.
        gated: whether the dataset is gated.
    """
    if is_imagenet(source):
        return "ImageNet's terms do not allow them to be passed on"
    return f"{source} is gated, and gives them to those who agree to its terms" if gated else ""


def license_of(base: str, revision: str | None = None) -> dict[str, str]:
    """The license that the card of a model on the Hub names: `license`, and `license_name` and `license_link`.

    If the card cannot be read or names none: "other", with a link to the model.
    """
    page = page_of(base, "model")
    try:
        file = Path(hf_hub_download(base, CARD, revision=revision, token=given_token()))
        card = read_bytes(file, CARD, MOST_OF_A_CARD).decode("utf-8")
        metadata = read_front_matter(card, f"the card of {base}")
        terms = asdict(read_values(metadata, License, f"the license in the card of {base}"))
    except (OSError, ValueError, HTTPError):  # there is none, the Hub cannot be reached, or it is no YAML
        return {"license": "other", "license_name": f"that of {base}", "license_link": page}
    terms = {key: value for key, value in terms.items() if value}
    link = terms.get("license_link", "")
    if link and not link.startswith(("https://", "http://")):
        terms["license_link"] = f"{page}/blob/main/{link}"  # a file of that repository
    return terms
