"""Writing to a repository: commits, pull requests, branches, tags."""

import base64
import json
from typing import TYPE_CHECKING, Any

from hub_server.access import User
from hub_server.messages import HubError, Request, Response, answer
from hub_server.repositories import MAIN, Commit, File, Repository, is_lfs
from hub_server.routes import route

if TYPE_CHECKING:
    from hub_server.server import HubServer


@route("POST", "{api}/preupload/{revision}", needs="propose")
def preupload(hub: "HubServer", request: Request, repository: Repository, revision: str) -> Response:
    """Which files go through LFS, and what is there already: the client leaves out what did not change."""
    present = repository.at(revision).files
    plan = []
    for wanted in request.json()["files"]:
        path, sample = wanted["path"], base64.b64decode(wanted.get("sample", ""))
        mode = "lfs" if is_lfs(path, wanted["size"], sample) else "regular"
        plan.append({"path": path, "uploadMode": mode, "shouldIgnore": False})
        if old := present.get(path):
            plan[-1]["oid"] = old.sha256 if old.lfs else old.oid
    return answer({"files": plan})


def _changes(repository: Repository, old: Commit, lines: list[dict[str, Any]]) -> dict[str, File | None]:
    """What the lines of a commit's payload do: path → new file, or None for a removed one."""
    changes: dict[str, File | None] = {}
    for line in lines:
        key, value = line["key"], line["value"]
        if key == "file":
            changes[value["path"]] = repository.store(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            changes[value["path"]] = repository.stored(value["oid"])
        elif key in ("deletedFile", "deletedFolder"):
            prefix = value["path"].rstrip("/") + "/"
            gone = [path for path in old.files if path == value["path"] or path.startswith(prefix)]
            if not gone:
                raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            changes.update(dict.fromkeys(gone))
        else:
            raise HubError(400, f"{key} is not known")
    return changes


@route("POST", "{api}/commit/{revision}", needs="propose")
def commit(hub: "HubServer", request: Request, repository: Repository, revision: str) -> Response:
    header, *lines = [json.loads(line) for line in request.body if line.strip()]
    about, author = header["value"], hub.accounts.who(request.token)
    head, parent = repository.find(revision), about.get("parentCommit")
    pull_request = request.flag("create_pr")
    if pull_request:
        ref = f"refs/pr/{len(repository.pull_requests) + 1}"
        head = repository.find(parent) if parent else head
    else:
        ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        if ref not in repository.refs:  # a tag or a hash: nothing can be put on top of it
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if parent and not head.startswith(parent):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
    changes = _changes(repository, repository.at(head), lines)
    new = repository.commit(ref, head, changes, about["summary"], about.get("description", ""), _name(author))
    found = {"success": True, "commitOid": new.sha, "commitUrl": f"{hub.page(repository)}/commit/{new.sha}"}
    if pull_request:
        found["pullRequestUrl"] = f"{hub.page(repository)}/discussions/{ref.rsplit('/', 1)[1]}"
    return answer(found)


def _name(user: User | None) -> str:
    return user.name if user else "system"


@route("GET", "{api}/discussions", needs="see")
def discussions(hub: "HubServer", request: Request, repository: Repository) -> Response:
    """The pull requests, newest first: here nobody discusses anything else."""
    closed = repository.settings["closed"]
    numbers = sorted(map(int, repository.pull_requests), reverse=True)
    start = int(request.query.get("p", ["0"])[-1]) * hub.page_size
    found = [
        {
            "num": number,
            "title": repository.at(f"refs/pr/{number}").message,
            "status": "closed" if number in closed else "open",
            "author": {"name": repository.at(f"refs/pr/{number}").author},
            "isPullRequest": True,
            "createdAt": repository.at(f"refs/pr/{number}").date,
            "repo": {"name": repository.id, "type": repository.kind},
        }
        for number in numbers[start : start + hub.page_size]
    ]
    return answer({"discussions": found, "count": len(numbers), "start": start})


@route("POST", "{api}/tag/{revision}", needs="write")
def create_tag(hub: "HubServer", request: Request, repository: Repository, revision: str) -> Response:
    ref = f"refs/tags/{request.json()['tag']}"
    sha = repository.find(revision)
    if ref in repository.refs:
        raise HubError(409, "Tag reference exists already")
    repository.set_ref(ref, sha)
    return answer({})


@route("DELETE", "{api}/tag/{name}", needs="write")
def delete_tag(hub: "HubServer", request: Request, repository: Repository, name: str) -> Response:
    return _delete_ref(repository, f"refs/tags/{name}")


@route("POST", "{api}/branch/{name}", needs="write")
def create_branch(hub: "HubServer", request: Request, repository: Repository, name: str) -> Response:
    if name.startswith("refs/"):
        raise HubError(400, f"Invalid reference for a branch: {name}")
    wanted = request.json()
    sha = repository.find(wanted.get("startingPoint") or "main")
    if f"refs/heads/{name}" in repository.refs:
        raise HubError(409, "Reference already exists")
    repository.set_ref(f"refs/heads/{name}", sha)
    return answer({})


@route("DELETE", "{api}/branch/{name}", needs="write")
def delete_branch(hub: "HubServer", request: Request, repository: Repository, name: str) -> Response:
    return _delete_ref(repository, f"refs/heads/{name}")


def _delete_ref(repository: Repository, ref: str) -> Response:
    if ref == MAIN:
        raise HubError(403, "The main branch cannot be deleted")
    if ref not in repository.refs:
        raise HubError(404, f"Invalid rev id: {ref.split('/', 2)[2]}", "RevisionNotFound")
    repository.set_ref(ref, None)
    return answer({})
