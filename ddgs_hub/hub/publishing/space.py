"""Publishes the page of a pool as a Space: three small texts, pinned to one version of the dataset beside it."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import yaml_dump

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.extras import extra_version
from ddgs_hub.core.front_matter import read_front_matter
from ddgs_hub.core.hub_client import make_client, page_of, persist
from ddgs_hub.core.markdown import prose
from ddgs_hub.hub.folders.kinds import DISTILLED, kind_of
from ddgs_hub.hub.layout import CARD, POOL, PROVENANCE, config_files
from ddgs_hub.hub.provenance import read_provenance
from ddgs_hub.hub.publishing.access import check_name, check_privacy, require_token
from ddgs_hub.hub.publishing.publication import Publication, SpacePage
from ddgs_hub.hub.publishing.publish import find_folder
from ddgs_hub.hub.publishing.remote import Remote, Snapshot

SPACE: Literal["space"] = "space"
APP, REQUIREMENTS = "app.py", "requirements.txt"
THE_HUBS = {CARD, ".gitattributes"}  # what a new Space has
TAG = "ddgs-hub"  # by which a Space is known to be ours

_APP = '''"""The page of {source}, written by ddgs-hub. Nothing can be saved or published from it."""

from ddgs_hub.stages.explore import space

space("{source}")
'''
_REQUIREMENTS = """# PyTorch without CUDA, which the page does not need
--extra-index-url https://download.pytorch.org/whl/cpu
ddgs-hub[explore]=={version}
"""
_TEXT = """# {name}

The pool of [{repo_id}]({page}) at `{version}`: difficulties, images from easy to hard, and what another IPC,
distribution, weight or seed would select. The page only shows: the command line under the pictures writes the set.
"""


def check_space(
    folder: str | Path,
    repo_id: str,
    *,
    pool: bool,
    ipc: int | None = None,
    token: str | None = None,
    api: HfApi | None = None,
) -> None:
    """Refuses a page without a pool to show, before anything is published.

    Args:
        folder: what is to be published, as `publish` takes it.
        repo_id: where.
        pool: whether the pool goes with it.
        ipc: which set of the folder, as `publish` takes it.
        token: instead of that of the environment or the login.
        api: a client to use instead of a new one.

    Raises:
        InputError: it is no distilled set; the pool is neither to be published, nor in the folder, nor in the
            repository; or the Hub refuses.
    """
    check_name(repo_id)
    extra_version("gradio", "explore")
    repository = find_folder(Path(folder), repo_id, ipc)
    kind = kind_of(read_provenance(repository / PROVENANCE, str(repository)), str(repository))
    if kind != DISTILLED:
        raise InputError(f"{folder} holds a {kind.called}, and only a distilled set has a page: leave --space away")
    if pool or config_files(repository, POOL):
        return
    remote = Remote(make_client(api, token), repo_id)
    head = persist(repo_id, lambda: (remote.snapshot(),))[0]
    if head is None or not head.pool_files:
        raise InputError(f"the page shows the pool, which {repo_id} lacks: give --with-pool, too")


def publish_space(
    dataset: Publication, *, private: bool = False, token: str | None = None, api: HfApi | None = None
) -> SpacePage:
    """Makes or renews the Space of a published dataset, under the same name: one commit, or none.

    What stands in the Space's README.md is written anew; other files that were added there stay.

    Args:
        dataset: what was published. Where it is only planned, nothing is written.
        private: a new Space is made private; one that exists must be. That of a private dataset always is.
        token: instead of that of the environment or the login.
        api: a client to use instead of a new one.

    Raises:
        InputError: the version has no pool, the Space of that name is another's work, gradio is not installed, or the
            Hub refuses or does not answer. The dataset stays published, and the message says so.
    """
    api = make_client(api, token)
    require_token(api)
    repo_id = dataset.repo_id
    files = space_files(dataset, api.endpoint)
    url, data = page_of(repo_id, SPACE, api.endpoint), Remote(api, repo_id)
    if dataset.action == "planned":
        return SpacePage(url=url, action="planned", files=list(files), private=private)
    try:
        snapshot = persist(repo_id, lambda: data.snapshot_of(dataset.version))
        if not snapshot.pool_files:
            raise InputError(f"{dataset.version} has no pool, which its page shows: publish it with --with-pool")
        private = private or snapshot.private
        written = _write(Remote(api, repo_id, SPACE), files, f"the page of {dataset.version}", private=private)
    except InputError as error:
        done = f"{repo_id} {dataset.version} is published ({dataset.url})"
        raise InputError(f"{done}, but not its page: {error}") from error
    return SpacePage(url=url, action="published" if written else "unchanged", files=list(files), private=private)


def _write(space: Remote, files: Mapping[str, str], message: str, *, private: bool) -> bool:
    """Brings a Space to hold these texts; whether anything was to be done."""
    repo_id, url = space.repo_id, page_of(space.repo_id, SPACE, space.api.endpoint)
    written = False

    def advance() -> bool | None:
        nonlocal written
        head = space.snapshot()
        if head is None:
            space.api.create_repo(repo_id, repo_type=SPACE, space_sdk="gradio", private=private, exist_ok=True)
            return None
        check_privacy(f"the Space {url}", wanted=private, private=head.private)
        _require_ours(head, url)
        changed = {path: text for path, text in files.items() if head.hashes.get(path) not in _hashes(text)}
        if not changed:
            return written
        written = True
        operations = [CommitOperationAdd(path, text.encode()) for path, text in changed.items()]
        space.api.create_commit(repo_id, operations, commit_message=message, repo_type=SPACE, parent_commit=head.commit)
        return None

    return persist(repo_id, advance, repo_type=SPACE)


def space_files(dataset: Publication, endpoint: str | None = None) -> dict[str, str]:
    """The texts of a Space by their paths.

    Raises:
        InputError: gradio, whose version they name, is not installed.
    """
    repo_id, name = dataset.repo_id, dataset.repo_id.split("/")[1]
    metadata = {
        "title": name,
        "sdk": "gradio",
        "sdk_version": extra_version("gradio", "explore"),
        "app_file": APP,
        "datasets": [repo_id],
        "tags": ["dataset-distillation", TAG],
        "short_description": "A pool of generated images, by difficulty",
    }
    license_name = read_front_matter(dataset.card, f"the card of {repo_id}").get("license")
    if isinstance(license_name, str):
        metadata["license"] = license_name
    page = page_of(repo_id, "dataset", endpoint)
    text = _TEXT.format(name=prose(name), repo_id=prose(repo_id), page=page, version=dataset.version)
    return {
        CARD: f"---\n{yaml_dump(metadata)}---\n\n{text}",
        APP: _APP.format(source=f"{repo_id}@{dataset.version}"),
        REQUIREMENTS: _REQUIREMENTS.format(version=version("ddgs-hub")),
    }


def _require_ours(head: Snapshot, url: str) -> None:
    """Refuses a Space that holds something else."""
    tags = read_front_matter(head.card, f"the card of {url}").get("tags")
    if set(head.hashes) - THE_HUBS and not (isinstance(tags, list) and TAG in tags):
        raise InputError(f"the Space {url} holds something else: rename it in its settings first")


def _hashes(text: str) -> tuple[str, str]:
    """By which the Hub may know a text: SHA-256, and git's SHA-1 of the blob."""
    data = text.encode()
    return hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
