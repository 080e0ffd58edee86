"""Finds a repository on the Hub, asks whether its files may be read, and pins it to a commit; downloads nothing."""

from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client.cache import not_cached
from ddgs_hub.core.hub_client.clients import LOG_IN, make_client, page_of, used_token
from ddgs_hub.core.hub_client.patience import patiently
from ddgs_hub.core.hub_client.pinned import Pinned, require_id
from ddgs_hub.core.hub_client.refusals import NO_ANSWER, why_not_opened


def pin_dataset(source: str, revision: str | None = None) -> Pinned:
    """The commit that a revision of a dataset is at, where its files may be read.

    Raises:
        InputError: there is no such dataset or revision, it is private or gated, or the token is wrong.
        ConnectionLostError: the Hub cannot be reached.
    """
    return pin_repository(source, revision, "dataset")


def why_no_model(name: str, revision: str | None, error: Exception) -> str:
    """Why a model could not be loaded: the Hub's reason, or else the first line of the error.

    The Hub is asked only after the attempt: if it cannot be reached, its clients use their cache.
    """
    if not Path(name).exists():
        try:
            require_id(name, "model")
            if not constants.HF_HUB_OFFLINE:
                pin_repository(name, revision, "model")
            elif isinstance(error, LocalEntryNotFoundError):
                raise not_cached(name, revision, "model")
        except InputError as refused:
            return str(refused)
    return " ".join(str(error).strip().split("\n")[0].split())


def pin_repository(source: str, revision: str | None, repo_type: str) -> Pinned:
    """`pin_dataset` of a repository of any type, "dataset" or "model"."""
    api = make_client(odd_token=f"the token of the Hub has characters that no token has: {LOG_IN}")
    require_id(source, repo_type)
    repo_id = source
    try:
        info = patiently(lambda: api.repo_info(source, revision=revision, repo_type=repo_type))
        repo_id = info.id
        patiently(lambda: api.auth_check(repo_id, repo_type=repo_type))
    except NO_ANSWER as error:
        page = page_of(repo_id, repo_type)
        raise why_not_opened(error, source, repo_type, revision, page=page, token=used_token(api)) from error
    card = getattr(info, "card_data", None) or {}
    license, gated = card.get("license"), bool(getattr(info, "gated", False))
    return Pinned(info.id, str(info.sha), gated, license if isinstance(license, str) else None)
