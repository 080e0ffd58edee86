"""One connection of a client: reads requests, meets faults, writes answers, keeps the record."""

import contextlib
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, unquote, urlsplit

from hub_server.faults import Fault
from hub_server.messages import CHUNK, HubError, Recorded, Request, Response
from hub_server.routes import dispatch

if TYPE_CHECKING:
    from hub_server.server import HubServer, _Listener


class Connection(BaseHTTPRequestHandler):
    """Handles the requests of one connection, one after the other, in a thread."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = CHUNK

    def setup(self) -> None:
        super().setup()
        self.thread = threading.current_thread()
        self.hub: HubServer = cast("_Listener", self.server).hub
        self.hub.connections.add(self)

    def finish(self) -> None:
        self.hub.connections.discard(self)
        super().finish()

    def hang_up(self) -> None:
        """Ends the connection from another thread, whatever it waits for."""
        with contextlib.suppress(OSError):  # the client was faster
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the record is in `hub.requests`."""

    def respond(self) -> None:
        """Serves one request."""
        url = urlsplit(self.path)
        elsewhere = self.command == "CONNECT" or bool(url.scheme)
        path = self.path if elsewhere else url.path
        token = re.fullmatch(r"Bearer (\S+)", self.headers.get("Authorization", ""))
        recorded = Recorded(self.command, unquote(path), url.query, bool(token), self.headers.get("Range"))
        self.hub.requests.append(recorded)
        fault = self.hub.faults.of(f"{self.command} {self.path}") or Fault("")
        self.hub.closing.wait(fault.delay)
        with tempfile.SpooledTemporaryFile(max_size=2**20) as body:
            try:
                for chunk in self._body(half=fault.drop == "upload"):
                    recorded.received += len(chunk)
                    body.write(chunk)
                gone = False
            except ConnectionAbortedError:  # the client was killed
                gone = True
            body.seek(0)
            if gone or fault.drop in ("before", "upload"):
                self.close_connection = True
                return
            request = Request(
                self.command, path, parse_qs(url.query), self.headers, body, token.group(1) if token else None
            )
            answer = self._answer(request, elsewhere, fault)
        if fault.drop == "after":
            self.close_connection = True
            return
        self._send(answer, recorded, half=fault.drop == "during")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = respond  # noqa: N815

    def _answer(self, request: Request, elsewhere: bool, fault: Fault) -> Response:
        try:
            if elsewhere:
                raise HubError(502, "There is nobody else on this network")
            if fault.status is None or fault.served:
                with self.hub.lock:
                    answer = dispatch(self.hub, request)
            if fault.status is None:
                return answer
            raise HubError(fault.status, "A fault on demand", headers=fault.headers)
        except HubError as error:
            return error.response()

    def _send(self, answer: Response, recorded: Recorded, *, half: bool) -> None:
        recorded.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.length))
        self.end_headers()
        length = 0 if self.command == "HEAD" else answer.length // (2 if half else 1)
        for chunk in answer.chunks(length):
            recorded.sent += len(chunk)  # before it is written: a test may look as soon as its client has it
            self.wfile.write(chunk)
        self.wfile.flush()
        self.close_connection = self.close_connection or half

    def _body(self, *, half: bool) -> Iterator[bytes]:
        """The body of the request in pieces: the whole of it, or half of what has a length.

        Raises:
            ConnectionAbortedError: the client does not send all of it.
        """
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0] or b"-1", 16):
                chunk = self.rfile.read(size) if size > 0 else b""
                if len(chunk) != size:
                    raise ConnectionAbortedError
                yield chunk
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0)) // (2 if half else 1)
        while left > 0 and (chunk := self.rfile.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
        if left:
            raise ConnectionAbortedError
