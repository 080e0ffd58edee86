"""Which function answers which request, and what a caller must be allowed to do before it is asked."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hub_server.access import may_download, may_see, may_write
from hub_server.messages import Handler, HubError, Request, Response

if TYPE_CHECKING:
    from hub_server.server import HubServer

# A revision is one quoted segment, but HfFileSystem sends refs/pr/1 and refs/convert/parquet as they are.
PARTS = {
    "{api}": r"/api/(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)",
    "{page}": r"(?:/(?P<kind>dataset|space)s)?/(?P<repo_id>[^/]+/[^/]+?)",
    "{revision}": r"(?P<revision>refs/[^/]+/[^/]+|[^/]+)",
    "{name}": r"(?P<name>[^/]+)",
    "{path}": r"(?P<path>.+)",
    "{folder}": r"(?:/(?P<folder>.*))?",
}


@dataclass(frozen=True)
class Route:
    """`needs` is "see", "download" or "write" for a repository's routes, "propose" where create_pr=1 suffices."""

    method: str
    pattern: re.Pattern[str]
    needs: str | None
    handler: Handler


ROUTES: list[Route] = []


def route(methods: str, template: str, needs: str | None = None) -> Callable[[Handler], Handler]:
    """Registers a function `(hub, request, repository or user, **parts of the path)`."""

    def register(handler: Handler) -> Handler:
        pattern = template
        for part, expression in PARTS.items():
            pattern = pattern.replace(part, expression)
        ROUTES.extend(Route(method, re.compile(pattern), needs, handler) for method in methods.split())
        return handler

    return register


def dispatch(hub: "HubServer", request: Request) -> Response:
    """The answer to a request; raises HubError where the Hub would refuse."""
    for candidate in ROUTES:
        match = candidate.pattern.fullmatch(request.path)
        if match is None or candidate.method != request.method:
            continue
        parts: dict[str, Any] = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
        user = hub.accounts.who(request.token)
        if candidate.needs is None:
            return candidate.handler(hub, request, user, **parts)
        repository = may_see(hub.store.get(parts.pop("kind", "model"), parts.pop("repo_id")), user)
        if candidate.needs == "download":
            may_download(repository, user, hub.page(repository))
        if candidate.needs in ("write", "propose"):
            may_write(repository, user, pull_request=candidate.needs == "propose" and request.flag("create_pr"))
        return candidate.handler(hub, request, repository, **parts)
    # Not 404, which would say that the Hub has no such thing: it is this server that does not know.
    raise HubError(501, f"The Hub of the tests does not know {request.method} {request.path}")


def paged(request: Request, items: list, size: int, url: str) -> tuple[list, dict[str, str]]:
    """One page of a list, and the Link header that leads to the next as on the Hub."""
    start = int(request.query.get("cursor", ["0"])[-1])
    page = items[start : start + size]
    if start + size >= len(items):
        return page, {}
    query = [f"{key}={value}" for key, values in request.query.items() for value in values if key != "cursor"]
    following = f"{url}{request.path}?{'&'.join([*query, f'cursor={start + size}'])}"
    return page, {"Link": f'<{following}>; rel="next"'}
