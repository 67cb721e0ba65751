"""A server of events for `columba listen`: it keeps to a script of how each connection goes.

    with Scripted([event(1), event(2)], [Cut(120), Refuse(503), Hold()]) as server: ...

Each connection to the stream takes the next act; the last one stays for all that follow. Events are sent from the one
after Last-Event-ID; with none, only those that are added later.
"""

import json
import socket
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit


class Cut(NamedTuple):
    """So many bytes of events, then the connection breaks."""

    after: int


class Refuse(NamedTuple):
    status: int
    headers: dict[str, str] = {}


class Again(NamedTuple):
    """All events from the first, whatever was asked; then the stream ends as it should."""


class Hold(NamedTuple):
    """All events that there are, and those that come, until the server is closed."""


class Missed(NamedTuple):
    """That some are not kept any more; then as Hold."""


Act = Cut | Refuse | Again | Hold | Missed


def event(number: int, kind: str = "message.delivered", **data: Any) -> dict[str, Any]:
    about = {"id": f"msg_{number:013}", "to": "+447700900123", "status": kind.partition(".")[2], **data}
    return {
        "id": f"evt_{number:013}",
        "type": kind,
        "timestamp": "2026-01-31T09:30:00.123Z",
        "account_id": "acc_1",
        "data": about,
    }


def frame(made: dict[str, Any]) -> bytes:
    return f"id: {made['id']}\nevent: {made['type']}\ndata: {json.dumps(made)}\n\n".encode()


class Scripted:
    def __init__(self, events: Iterable[dict[str, Any]] = (), acts: Sequence[Act] = (), port: int = 0) -> None:
        self.events = list(events)
        self.asked: list[str] = []  # the Last-Event-ID of each connection to the stream
        self.targets: list[str] = []
        self.acts: deque[Act] = deque(acts or [Hold()])
        self.news = threading.Condition()
        self.closing = False
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, *events: dict[str, Any]) -> None:
        with self.news:
            self.events += events
            self.news.notify_all()

    def after(self, last: str) -> int:
        """The place in `events` of what comes after this id."""
        ids = [made["id"] for made in self.events]
        return ids.index(last) + 1 if last in ids else 0 if last else len(ids)

    def connected(self, count: int) -> None:
        """Returns once there have been so many connections to the stream."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.asked) >= count, 10), self.asked

    def close(self) -> None:
        with self.news:
            self.closing = True
            self.news.notify_all()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


def _handler(server: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.targets.append(self.path)
            if urlsplit(self.path).path == "/v1/events":
                self._answer(200, {"data": server.events[-1:], "next_cursor": None})
                self.close_connection = True
                return
            last = self.headers.get("Last-Event-ID", "")
            place = server.after(last)
            with server.news:
                server.asked.append(last)
                act = server.acts.popleft() if len(server.acts) > 1 else server.acts[0]
                server.news.notify_all()
            self.close_connection = True
            match act:
                case Refuse(status, headers):
                    problem = {"title": "Not now", "code": "refused", "detail": "By the script.", "request_id": "req_1"}
                    self._answer(status, problem, headers)
                case Cut(after):
                    self._begin()
                    self._chunk(b":\n\n")
                    self._chunk(b"".join(map(frame, server.events[place:]))[:after])
                    self.connection.shutdown(socket.SHUT_RDWR)
                case Again():
                    self._begin()
                    self._chunk(b"".join(map(frame, server.events)))
                    self.wfile.write(b"0\r\n\r\n")
                case Hold() | Missed():
                    self._begin()
                    self._chunk(b":\n\n")
                    if isinstance(act, Missed):
                        self._chunk(b'event: missed\ndata: {"last_event_id":"evt_0"}\n\n')
                    self._follow(place)

        def _follow(self, place: int) -> None:
            while True:
                with server.news:
                    while len(server.events) <= place and not server.closing:
                        server.news.wait()
                    made, place = server.events[place:], len(server.events)
                if server.closing:
                    return
                self._chunk(b"".join(map(frame, made)))

        def _begin(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

        def _chunk(self, content: bytes) -> None:
            if content:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

        def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """The test looks at what was recorded."""

    return Handler
