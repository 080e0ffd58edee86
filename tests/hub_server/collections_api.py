"""Collections: lists of repositories with a title, in a namespace."""

import re
from typing import TYPE_CHECKING, Any

from hub_server.access import User, may_create, may_see
from hub_server.messages import HubError, Request, Response, answer
from hub_server.routes import route

if TYPE_CHECKING:
    from hub_server.server import HubServer


def _found(hub: "HubServer", slug: str, user: User | None) -> dict[str, Any]:
    collection = hub.collections.get(slug)
    if collection is None or (collection["private"] and not (user and user.belongs_to(collection["owner"]))):
        raise HubError(404, "Collection not found")
    return collection


@route("POST", "/api/collections")
def create(hub: "HubServer", request: Request, user: User | None) -> Response:
    wanted = request.json()
    namespace = may_create(wanted["namespace"], "collection", user)
    for slug, collection in hub.collections.items():
        if (collection["owner"], collection["title"]) == (namespace, wanted["title"]):
            raise HubError(409, "This collection already exists", slug=slug)
    name = re.sub(r"[^a-z0-9]+", "-", wanted["title"].lower())
    slug = f"{namespace}/{name}-{len(hub.collections):024x}"
    hub.collections[slug] = {
        "slug": slug,
        "title": wanted["title"],
        "owner": namespace,
        "description": wanted.get("description"),
        "private": wanted["private"],
        "items": [],
        "lastUpdated": "2026-01-01T00:00:00.000Z",
        "position": 0,
        "theme": "green",
        "upvotes": 0,
    }
    return answer(hub.collections[slug])


@route("GET", "/api/collections/(?P<slug>[^/]+/[^/]+)")
def read(hub: "HubServer", request: Request, user: User | None, slug: str) -> Response:
    return answer(_found(hub, slug, user))


@route("POST", "/api/collections/(?P<slug>[^/]+/[^/]+)/items")
def add(hub: "HubServer", request: Request, user: User | None, slug: str) -> Response:
    collection, item = _found(hub, slug, user), request.json()["item"]
    may_create(collection["owner"], "collection", user)
    may_see(hub.store.get(item["type"], item["id"]), user)
    items = collection["items"]
    if any((there["id"], there["type"]) == (item["id"], item["type"]) for there in items):
        raise HubError(409, "This item is already in the collection")
    items.append({"_id": f"{len(items):024x}", **item, "position": len(items)})
    return answer(collection)
