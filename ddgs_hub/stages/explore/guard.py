"""Who may use a page that saves and publishes in its user's name: who has the address that the command printed.

Other users of this machine reach the loopback address, too, and so do pages of other addresses in the user's browser.
"""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

HERE = ("127.0.0.1", "localhost")
KEY = "key"  # in the address
OPEN = ("/gradio_api/startup-events",)  # gradio asks itself for this, and nothing comes of it


class Guard:
    """Answers only whoever knows its key: once by the address, then by a cookie that no other page can send.

    Args:
        app: what answers them.
        key: the secret.
    """

    def __init__(self, app: App, key: str) -> None:
        self.app, self.key = app, key

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Passes a request on, or refuses it."""
        refusal = self._refuse(scope) if scope["type"] in ("http", "websocket") else None
        await (refusal or self.app)(scope, receive, send)

    def _refuse(self, scope: Message) -> Response | None:
        request = HTTPConnection(scope)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        # Ports count: cookies and `samesite` do not tell apart what is served from other ports of this machine.
        if host.partition(":")[0] not in HERE or origin not in (None, f"http://{host}"):
            return PlainTextResponse(f"this page is served to {HERE[0]} alone\n", 403)
        name = f"ddgs-hub-{(scope.get('server') or ('', 0))[1]}"  # cookies do not tell ports apart
        if self._is_key(request.cookies.get(name, "")) or scope["path"] in OPEN:
            return None
        if not self._is_key(request.query_params.get(KEY, "")):
            return PlainTextResponse("open the address that ddgs-hub explore printed, with its key\n", 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(name, self.key, httponly=True, samesite="strict")
        return response

    def _is_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.key.encode())
