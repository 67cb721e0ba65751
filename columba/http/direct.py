"""Requests that are served past ASGI: whole in one read or two, for a route that answers by itself.

At ten thousand requests a second a task, a scope and a cycle for each cost as much as the work. A route that carries the
load takes an Exchange instead: the request, and the way to answer it, now or later. Whatever is not plain (a body in many
pieces, an `Expect`, a request behind another) goes the long way, and so does what the route leaves.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol

from columba.http.wire import Pairs

STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}


class Connection(Protocol):
    """What an Exchange needs of the connection that it came over."""

    def answered(self, data: bytes, keep: bool) -> None: ...

    def leave(self, exchange: "Exchange") -> None: ...


class _Nobody:
    """Waits for nothing."""

    def set(self) -> None:
        pass


class Exchange:
    """One request and its answer. It stands where uvicorn has a cycle of its own, and has what uvicorn looks for there."""

    __slots__ = ("_connection", "body", "client", "disconnected", "headers", "keep_alive", "response_complete")
    message_event: Final = _Nobody()

    def __init__(
        self, connection: Connection, headers: list[tuple[bytes, bytes]], body: bytes, client: Any, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.headers = headers
        self.body = body
        self.client = client
        self.keep_alive = keep_alive
        self.disconnected = self.response_complete = False

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """`head` are the lines of its headers but for the length. A client that has gone away hears nothing."""
        self.response_complete = True
        if not self.disconnected:
            keep = self.keep_alive
            close = b"" if keep else b"connection: close\r\n"
            data = b"%b%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINES[status], head, close, len(body), body)
            self._connection.answered(data, keep)

    def leave(self) -> None:
        """To the route of the same name in ASGI."""
        self._connection.leave(self)


Direct = Callable[[Exchange], None]
"""Answers an exchange or leaves it; raises nothing."""


def head_of(headers: Pairs) -> bytes:
    """Headers as they go over the wire."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
