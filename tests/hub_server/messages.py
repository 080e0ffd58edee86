"""What goes to and fro: requests, answers, errors in the Hub's form, and the record of a request that tests read."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, Any

CHUNK = 64 * 1024


@dataclass
class Request:
    """One request, its body already received (on disk when it is large)."""

    method: str
    path: str  # as sent: still quoted, without the query
    query: dict[str, list[str]]
    headers: Message
    body: IO[bytes]
    token: str | None

    def json(self) -> Any:
        return json.load(self.body)

    def flag(self, name: str) -> bool:
        """Whether the query says `name=1` or `name=true`."""
        return self.query.get(name, [""])[-1].lower() in ("1", "true")


@dataclass
class FileSlice:
    """Bytes `start` to `stop` of a file: the body of an answer that is never in memory as a whole."""

    path: Path
    start: int
    stop: int


@dataclass
class Response:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | FileSlice = b""

    @property
    def length(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.stop - self.body.start

    def chunks(self, length: int) -> Iterator[bytes]:
        """The first `length` bytes of the body, in pieces."""
        if isinstance(self.body, bytes):
            yield self.body[:length]
            return
        with self.body.path.open("rb") as file:
            file.seek(self.body.start)
            while length > 0 and (chunk := file.read(min(CHUNK, length))):
                length -= len(chunk)
                yield chunk


def answer(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    body = json.dumps(payload).encode()
    return Response(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


class HubError(Exception):
    """A request that is refused. `code` becomes `X-Error-Code`, from which the client chooses the exception."""

    def __init__(
        self, status: int, message: str, code: str | None = None, /, headers: dict | None = None, **fields: Any
    ):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers, self.fields = headers or {}, fields

    def response(self) -> Response:
        headers = {"X-Error-Message": self.message, **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return answer({"error": self.message, **self.fields}, self.status, headers)


@dataclass
class Recorded:
    """A request as tests see it in `hub.requests`, in the order of arrival.

    `sent` counts the bytes of the answer's body handed to the network: a client that hangs up in the middle may have
    read a little less, by what the operating system's buffers hold.
    """

    method: str
    path: str  # unquoted, without the query; a whole URL for what the client asked of somebody else
    query: str
    token: bool  # whether the request carried one
    range: str | None  # the Range header
    received: int = 0  # bytes of the request's body
    sent: int = 0
    status: int | None = None  # None: no answer was sent


Handler = Callable[..., Response]
