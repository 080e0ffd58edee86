"""Collections of the Hub: what was published is put into one, which a family of sets shares."""

import re
from dataclasses import replace
from functools import partial
from typing import Literal

from huggingface_hub import HfApi

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.hub_client import persist
from ddgs_hub.core.text import one_line
from ddgs_hub.hub.publishing.publication import Publication

SLUG = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)  # OWNER/SLUG, as the address of a collection ends
DESCRIPTION = "Datasets distilled by difficulty-guided sampling (arXiv 2507.03331), and what they were made with"


def check_collection(api: HfApi, collection: str, *, create_pr: bool = False) -> None:
    """Refuses a collection that nothing can be put into, before anything is sent.

    Args:
        api: the client.
        collection: a title, or `OWNER/SLUG`, which must exist.
        create_pr: what is published is only proposed.

    Raises:
        InputError: there is no such collection, no title, or the Hub does not answer.
    """
    if create_pr:
        raise InputError("what a pull request proposes is in no collection: leave out --create-pr or --collection")
    if not collection.strip():
        raise InputError("the collection has no title: give one, or OWNER/SLUG of one that exists")
    if SLUG.fullmatch(collection):
        persist(collection, partial(api.get_collection, collection), repo_type="collection")


def put_into_collection(
    api: HfApi,
    made: Publication,
    repo_type: Literal["dataset", "model"],
    collection: str,
    *,
    private: bool = False,
) -> Publication:
    """Puts a published repository into a collection, once; again, it changes nothing.

    Args:
        api: the client.
        made: what was published.
        repo_type: of the repository.
        collection: `OWNER/SLUG`, or a title: the collection of the repository's owner that has it is made if needed.
        private: make it private.

    Returns:
        `made` with the page of the collection.

    Raises:
        InputError: the Hub refuses or does not answer. What was published stays, and the message says so.
    """
    owner, title = made.repo_id.split("/")[0], one_line(collection)
    slug = collection if SLUG.fullmatch(collection) else None

    def put() -> str:
        there = slug or _make(api, owner, title, private=private)
        return api.add_collection_item(there, made.repo_id, repo_type, exists_ok=True).url

    try:
        page = persist(slug or f"{owner}/{title}", put, repo_type="collection")
    except InputError as error:
        done = f"{made.repo_id} {made.version} is published ({made.url})"
        raise InputError(f"{done}, but in no collection: {error}") from error
    return replace(made, collection=page)


def _make(api: HfApi, owner: str, title: str, *, private: bool) -> str:
    """The slug of the owner's collection of this title, new or not."""
    return api.create_collection(title, namespace=owner, description=DESCRIPTION, private=private, exists_ok=True).slug
