"""Accounts, and repositories as a whole: who am I, create, delete, settings."""

from typing import TYPE_CHECKING

import yaml

from hub_server.access import User, anonymous_refused, may_create, may_see, may_write
from hub_server.messages import HubError, Request, Response, answer
from hub_server.repositories import MAIN, Repository
from hub_server.routes import route

if TYPE_CHECKING:
    from hub_server.server import HubServer


@route("GET", "/api/whoami-v2")
def whoami(hub: "HubServer", request: Request, user: User | None) -> Response:
    if user is None:
        raise anonymous_refused(repository=False)
    orgs = [{"type": "org", "name": name, "fullname": name, "roleInOrg": "write"} for name in user.orgs]
    access = {"displayName": "a token", "role": user.role}
    if user.role == "fineGrained":  # one that may read only
        scope = {
            "entity": {"type": "user", "name": user.name},
            "permissions": ["repo.content.read", "discussion.write"],
        }
        access["fineGrained"] = {"global": [], "scoped": [scope]}
    names = {"type": "user", "id": user.name, "name": user.name, "fullname": user.name, "isPro": False}
    return answer({**names, "orgs": orgs, "auth": {"type": "access_token", "accessToken": access}})


@route("GET", "/api/agent-harnesses")
def agent_harnesses(hub: "HubServer", request: Request, user: User | None) -> Response:
    return answer({"standardEnvVars": [], "harnesses": {}})  # every client asks once; it knows no agent then


def card_metadata(text: str) -> dict | None:
    """The YAML block at the head of a card; None without one."""
    if not text.startswith("---\n") or "\n---" not in text[3:]:
        return None
    metadata = yaml.safe_load(text[4:].split("\n---", 1)[0])
    if not isinstance(metadata, dict):
        raise HubError(400, "Invalid metadata", errors=[{"message": "the metadata is not a mapping"}])
    return metadata


@route("POST", "/api/validate-yaml")
def validate_yaml(hub: "HubServer", request: Request, user: User | None) -> Response:
    try:
        metadata = card_metadata(request.json()["content"].replace("\r\n", "\n"))
    except yaml.YAMLError as error:
        raise HubError(400, "Invalid metadata", errors=[{"message": str(error)}], warnings=[]) from error
    warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    return answer({"errors": [], "warnings": warnings})


@route("POST", "/api/repos/create")
def create(hub: "HubServer", request: Request, user: User | None) -> Response:
    wanted = request.json()
    kind = wanted.get("type") or "model"
    namespace = may_create(wanted.get("organization"), kind, user)
    repo_id = f"{namespace}/{wanted['name']}"
    if existing := hub.store.get(kind, repo_id):
        raise HubError(409, f"You already created this {kind} repo", url=hub.page(existing))
    private = wanted.get("visibility") == "private" or wanted.get("private") is True
    author = user.name if user else "system"
    repository = hub.store.create(kind, repo_id, author=author, private=private)
    if kind == "space":  # it comes with a card
        card = repository.store(f"---\nsdk: {wanted['sdk']}\n---\n".encode())
        repository.commit(MAIN, repository.head.sha, {"README.md": card}, "initial commit", author=author)
    return answer({"url": hub.page(repository), "name": repo_id, "id": repo_id})


@route("DELETE", "/api/repos/delete")
def delete(hub: "HubServer", request: Request, user: User | None) -> Response:
    wanted = request.json()
    if user is None:
        raise anonymous_refused(repository=False)
    repo_id = f"{wanted.get('organization') or user.name}/{wanted['name']}"
    repository = may_see(hub.store.get(wanted.get("type") or "model", repo_id), user)
    may_write(repository, user)
    hub.store.delete(repository)
    return answer({})


@route("PUT", "{api}/settings", needs="write")
def settings(hub: "HubServer", request: Request, repository: Repository) -> Response:
    wanted, now = request.json(), repository.settings
    if "visibility" in wanted:
        now["private"] = wanted["visibility"] == "private"
    repository.save_settings({**now, "private": wanted.get("private", now["private"])})
    if "gated" in wanted:
        repository.save_settings({**repository.settings, "gated": wanted["gated"]})
    return answer(repository.settings)


@route("GET", "{api}/auth-check", needs="download")
def auth_check(hub: "HubServer", request: Request, repository: Repository) -> Response:
    return answer({})


@route("GET", "{api}/auth-check/write", needs="write")
def auth_check_write(hub: "HubServer", request: Request, repository: Repository) -> Response:
    return answer({})
