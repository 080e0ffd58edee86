"""The bytes: downloads with ranges, and LFS objects, which live at another address as on the Hub."""

import hashlib
import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hub_server.access import User
from hub_server.messages import FileSlice, HubError, Request, Response, answer
from hub_server.repositories import Repository
from hub_server.routes import route

if TYPE_CHECKING:
    from hub_server.server import HubServer


def _slice(request: Request, path: Path, headers: dict[str, str]) -> Response:
    """A file, or the range of it that was asked for."""
    size = path.stat().st_size
    headers = {**headers, "Accept-Ranges": "bytes"}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if match is None or match.groups() == ("", ""):
        return Response(200, headers, FileSlice(path, 0, size))
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size or start >= stop:
        raise HubError(416, "The range cannot be satisfied", headers={"Content-Range": f"bytes */{size}"})
    return Response(206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}, FileSlice(path, start, stop))


@route("GET HEAD", "{page}/resolve/{revision}/{path}", needs="download")
@route("GET HEAD", "{page}/raw/{revision}/{path}", needs="download")
def resolve(hub: "HubServer", request: Request, repository: Repository, revision: str, path: str) -> Response:
    """A text file itself; for an LFS file its hash and size, and the address of its bytes."""
    commit = repository.at(revision)
    headers = {"X-Repo-Commit": commit.sha}
    if (file := commit.files.get(path)) is None:
        raise HubError(404, "Entry not found", "EntryNotFound", headers=headers)
    headers["Content-Type"] = mimetypes.guess_type(path)[0] or "text/plain; charset=utf-8"
    if not file.lfs:
        return _slice(request, repository.blob(file.sha256), {**headers, "ETag": f'"{file.oid}"'})
    headers.update({"ETag": f'"{file.oid}"', "X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)})
    return Response(302, {**headers, "Location": _address(hub, repository, file.sha256)})


def _signature(hub: "HubServer", path: str) -> str:
    return hashlib.sha256(f"{hub.secret}{path}".encode()).hexdigest()[:16]


def _address(hub: "HubServer", repository: Repository, sha256: str) -> str:
    """Where an object is put and fetched: another origin, and whoever has the signed address needs no token."""
    path = f"/lfs/{repository.kind}s/{repository.id}/{sha256}"
    return f"{hub.storage_url}{path}?signature={_signature(hub, path)}"


@route("GET HEAD PUT", r"/lfs/(?P<kind>\w+)s/(?P<repo_id>[^/]+/[^/]+)/(?P<sha256>\w{64})")
def storage(hub: "HubServer", request: Request, user: User | None, kind: str, repo_id: str, sha256: str) -> Response:
    if request.token is not None:
        raise HubError(400, "Only one auth mechanism allowed")  # as S3 says: the token must not leave the Hub
    repository = hub.store.get(kind, repo_id)
    if repository is None or request.query.get("signature") != [_signature(hub, request.path)]:
        raise HubError(403, "SignatureDoesNotMatch")
    if request.method == "PUT":
        repository.receive(request.body, sha256)
        return Response(200, {"ETag": f'"{sha256}"'})
    if not repository.blob(sha256).is_file():
        raise HubError(404, "NoSuchKey")
    headers = {"ETag": f'"{sha256}"', "Content-Type": "application/octet-stream"}
    return _slice(request, repository.blob(sha256), headers)


@route("POST", r"{page}\.git/info/lfs/objects/batch", needs="see")
def lfs_batch(hub: "HubServer", request: Request, repository: Repository) -> Response:
    """Where to put each object; nothing to do for those that are there."""
    user = hub.accounts.who(request.token)
    if user is None or user.role != "write":
        raise HubError(403, "Authorization error.")
    objects = []
    for wanted in request.json()["objects"]:
        entry = {"oid": wanted["oid"], "size": wanted["size"]}
        if not repository.blob(wanted["oid"]).is_file():
            verify = {"href": f"{hub.page(repository)}.git/info/lfs/objects/verify"}
            entry["actions"] = {"upload": {"href": _address(hub, repository, wanted["oid"])}, "verify": verify}
        objects.append(entry)
    return answer({"transfer": "basic", "objects": objects})


@route("POST", r"{page}\.git/info/lfs/objects/verify", needs="see")
def lfs_verify(hub: "HubServer", request: Request, repository: Repository) -> Response:
    wanted = request.json()
    if repository.stored(wanted["oid"]).size != wanted["size"]:
        raise HubError(400, "The object has another size")
    return answer({})
