"""The one client of the Hub: finds repositories, checks access, pins them to commits, and explains refusals.

Takes names and revisions, gives `Pinned` and files in the cache of huggingface_hub. If the Hub is busy or the
connection breaks, it is asked again. Knows nothing of what the files hold.
"""

from ddgs_hub.core.hub_client.cache import (
    cached_commit,
    cached_model_commit,
    cached_snapshot,
    dataset_file,
    dataset_files,
    not_cached,
)
from ddgs_hub.core.hub_client.clients import make_client, page_of, used_token
from ddgs_hub.core.hub_client.patience import patiently, persist
from ddgs_hub.core.hub_client.pinned import Pinned, is_repo_id, require_id
from ddgs_hub.core.hub_client.pinning import pin_dataset, pin_repository, why_no_model
from ddgs_hub.core.hub_client.refusals import may_not_write, reading

__all__ = [
    "Pinned",
    "cached_commit",
    "cached_model_commit",
    "cached_snapshot",
    "dataset_file",
    "dataset_files",
    "is_repo_id",
    "make_client",
    "may_not_write",
    "not_cached",
    "page_of",
    "patiently",
    "persist",
    "pin_dataset",
    "pin_repository",
    "reading",
    "require_id",
    "used_token",
    "why_no_model",
]
