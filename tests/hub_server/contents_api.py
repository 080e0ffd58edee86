"""Reading a repository: info, trees, paths, references, history."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import yaml

from hub_server.access import User, anonymous_refused
from hub_server.accounts_api import card_metadata
from hub_server.messages import HubError, Request, Response, answer
from hub_server.repositories import Commit, File, Repository, lfs_pointer
from hub_server.routes import paged, route

if TYPE_CHECKING:
    from hub_server.server import HubServer


def _lfs(file: File, name_of_hash: str) -> dict[str, Any]:
    if not file.lfs:
        return {}
    pointer = len(lfs_pointer(file.sha256, file.size))
    return {"lfs": {name_of_hash: file.sha256, "size": file.size, "pointerSize": pointer}}


def _card(repository: Repository, commit: Commit) -> tuple[dict[str, Any], str]:
    """The card's metadata, none where it cannot be read (the Hub shows such repositories, too), and its whole text."""
    if "README.md" not in commit.files:
        return {}, ""
    text = repository.read("README.md", commit.sha).decode()
    try:
        return card_metadata(text) or {}, text
    except (yaml.YAMLError, HubError):
        return {}, text


def arxiv_tags(card: str) -> list[str]:
    """The tags that the Hub adds for links in a card to papers, which lead to the papers' pages and back."""
    links = re.findall(r"(?:arxiv\.org/(?:abs|pdf)|huggingface\.co/papers)/(\d{4}\.\d{4,5})", card)
    return [f"arxiv:{number}" for number in dict.fromkeys(links)]


@route("GET", "{api}", needs="see")
@route("GET", "{api}/revision/{revision}", needs="see")
def info(hub: "HubServer", request: Request, repository: Repository, revision: str = "main") -> Response:
    commit, settings = repository.at(revision), repository.settings
    card, text = _card(repository, commit)
    history = repository.history(commit.sha)
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in commit.files]
    if request.flag("blobs"):
        siblings = [
            {"rfilename": file.path, "size": file.size, "blobId": file.oid, **_lfs(file, "sha256")}
            for file in commit.files.values()
        ]
    facts = {
        "author": repository.id.split("/")[0],
        "sha": commit.sha,
        "createdAt": history[0].date,
        "lastModified": commit.date,
        "private": settings["private"],
        "gated": settings["gated"],
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [*(card.get("tags") or ()), *arxiv_tags(text)],
        "cardData": card,
        "siblings": siblings,
        "usedStorage": sum(file.size for file in commit.files.values()),
    }
    if repository.kind == "model":
        facts.update({key: card[key] for key in ("library_name", "pipeline_tag") if key in card})
    wanted = request.query.get("expand", facts)
    return answer({"_id": repository.id, "id": repository.id, **{k: v for k, v in facts.items() if k in wanted}})


@route("GET", r"/api/datasets/{name}(?P<rest>(?:/revision/[^/]+)?)")
def moved(hub: "HubServer", request: Request, user: User | None, name: str, rest: str) -> Response:
    """A dataset that had no namespace once: `imagenet-1k` is now ILSVRC/imagenet-1k."""
    if name not in hub.moved:
        raise anonymous_refused(repository=True)
    return Response(307, {"Location": f"{hub.url}/api/datasets/{hub.moved[name]}{rest}"})


def _entry(repository: Repository, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """A file or a folder as the tree shows it."""
    file = commit.files.get(path)
    entry: dict[str, Any] = {"type": "directory", "size": 0, "path": path}
    entry["oid"] = Repository.listing_oid(commit, path)
    if file:
        entry.update({"type": "file", "size": file.size, **_lfs(file, "oid")})
    if expand:
        last = repository.last_change(commit, path)
        entry["lastCommit"] = {"id": last.sha, "title": last.message, "date": last.date}
    return entry


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


@route("GET", "{api}/tree/{revision}{folder}", needs="see")
def tree(hub: "HubServer", request: Request, repository: Repository, revision: str, folder: str = "") -> Response:
    commit, prefix = repository.at(revision), f"{folder.strip('/')}/".lstrip("/")
    names = {name for path in commit.files for name in [path, *_folders(path)] if name.startswith(prefix)}
    if prefix and not names:
        message = f'{folder} does not exist on "{revision}"'
        raise HubError(404, message, "EntryNotFound", headers={"X-Repo-Commit": commit.sha})
    if not request.flag("recursive"):
        names = {name for name in names if "/" not in name[len(prefix) :]}
    page, headers = paged(request, sorted(names), hub.page_size, hub.url)
    entries = [_entry(repository, commit, name, request.flag("expand")) for name in page]
    return answer(entries, headers=headers)


@route("POST", "{api}/paths-info/{revision}", needs="see")
def paths_info(hub: "HubServer", request: Request, repository: Repository, revision: str) -> Response:
    commit, body = repository.at(revision), request.body.read().decode()
    wanted = parse_qs(body)  # the client sends a form
    expand = wanted.get("expand", ["false"])[0].lower() == "true"
    known = {name for path in commit.files for name in [path, *_folders(path)]}
    paths = [path.rstrip("/") for path in wanted.get("paths", [])]
    return answer([_entry(repository, commit, path, expand) for path in paths if path in known])


@route("GET", "{api}/refs", needs="see")
def refs(hub: "HubServer", request: Request, repository: Repository) -> Response:
    kinds = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "refs/convert/"}
    if request.flag("include_prs"):
        kinds["pullRequests"] = "refs/pr/"
    return answer(
        {
            # A pull request goes by its whole name, everything else by its own.
            kind: [
                {"name": ref if kind == "pullRequests" else ref[len(prefix) :], "ref": ref, "targetCommit": sha}
                for ref, sha in repository.refs.items()
                if ref.startswith(prefix)
            ]
            for kind, prefix in kinds.items()
        }
    )


@route("GET", "{api}/commits/{revision}", needs="see")
def commits(hub: "HubServer", request: Request, repository: Repository, revision: str) -> Response:
    history = repository.history(revision)[::-1]
    page, headers = paged(request, history, hub.page_size, hub.url)
    items = [
        {
            "id": commit.sha,
            "title": commit.message,
            "message": commit.description,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in page
    ]
    return answer(items, headers={"X-Total-Count": str(len(history)), **headers})
