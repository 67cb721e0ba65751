"""A provider for kind `http`: answers after a while, then sends its receipts back.  python -m bench.provider PORT MS

POST anywhere: the `reference` of the JSON body becomes the message's id, `dlr` is where its receipt goes. GET /stats tells
what has been; GET /reset forgets it; GET /die ends it. It knows as little of HTTP as it can, to leave the machine to others.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import uvloop

SECRET = "a secret of the provider's"
CONNECTIONS = 32
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.I)
_REFERENCE = re.compile(rb'"reference":"([^"]+)"')
_DLR = re.compile(rb'"dlr":"([^"]+)"')


class Stats:
    def __init__(self) -> None:
        self.taken: dict[bytes, int] = {}
        self.receipts = self.refused = 0
        self.first = self.last = 0.0


class Caller(asyncio.Protocol):
    """A connection to whoever gets receipts: one at a time."""

    def __init__(self, out: "Out") -> None:
        self.out = out
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.out.free(self)

    def data_received(self, data: bytes) -> None:
        stats = self.out.stats
        if data[9:10] == b"2":
            stats.receipts += 1
        else:
            stats.refused += 1
        stats.last = time.monotonic()
        self.out.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.out.lost(self)


class Out:
    def __init__(self, loop: asyncio.AbstractEventLoop, stats: Stats) -> None:
        self.loop, self.stats = loop, stats
        self.waiting: deque[bytes] = deque()
        self.idle: list[Caller] = []
        self.open = 0
        self.host, self.port, self.head = "", 0, b""

    def call(self, url: bytes, body: bytes) -> None:
        if not self.head:
            parts = urlsplit(url.decode())
            self.host, self.port = parts.hostname or "", parts.port or 80
            self.head = (
                f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
                f"X-Secret: {SECRET}\r\nContent-Length: "
            ).encode()
        self.waiting.append(self.head + b"%d\r\n\r\n" % len(body) + body)
        if self.idle:
            self.free(self.idle.pop())
        elif self.open < CONNECTIONS:
            self.open += 1
            self.loop.create_task(self.connect())

    async def connect(self) -> None:
        try:
            await self.loop.create_connection(lambda: Caller(self), self.host, self.port)
        except OSError:
            self.open -= 1

    def free(self, caller: Caller) -> None:
        if self.waiting:
            caller.transport.write(self.waiting.popleft())
        else:
            self.idle.append(caller)

    def lost(self, caller: Caller) -> None:
        self.open -= 1
        if caller in self.idle:
            self.idle.remove(caller)


class Provider(asyncio.Protocol):
    def __init__(self, loop: asyncio.AbstractEventLoop, stats: Stats, out: Out, wait: float) -> None:
        self.loop, self.stats, self.out, self.wait = loop, stats, out, wait
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            found = _LENGTH.search(head)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < size:
                return
            body, self.buffer = self.buffer[end + 4 : size], self.buffer[size:]
            self.asked(head, body)

    def asked(self, head: bytes, body: bytes) -> None:
        stats = self.stats
        if head.startswith(b"GET"):
            if head.startswith(b"GET /die"):
                self.loop.stop()
            elif head.startswith(b"GET /reset"):
                stats.__init__()  # type: ignore[misc]
            told = {
                "taken": sum(stats.taken.values()), "distinct": len(stats.taken), "receipts": stats.receipts,
                "refused": stats.refused, "first": stats.first, "last": stats.last,
            }  # fmt: skip
            self.say(json.dumps(told).encode())
            return
        reference, dlr = _REFERENCE.search(body), _DLR.search(body)
        assert reference is not None
        stats.first = stats.first or time.monotonic()
        stats.taken[reference[1]] = stats.taken.get(reference[1], 0) + 1
        self.loop.call_later(self.wait, self.answer, reference[1], dlr[1] if dlr else b"")

    def answer(self, reference: bytes, dlr: bytes) -> None:
        self.say(b'{"id":"%s"}' % reference)
        if dlr:
            self.out.call(dlr, b'{"id":"%s","status":"delivered"}' % reference)

    def say(self, body: bytes) -> None:
        if not self.transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.transport.write(head + body)


def config(url: str) -> dict[str, Any]:
    """The carrier that fits it."""
    body = {"to": "{{ to_digits }}", "from": "{{ from }}", "text": "{{ text }}", "reference": "{{ id }}"}
    return {
        "request": {"url": f"{url}/send", "body": {"json": {**body, "dlr": "{{ callback }}"}}},
        "auth": {"kind": "bearer", "token": "a token"},
        "id": "$.id",
        "callbacks": {
            "check": {"kind": "header", "name": "X-Secret", "value": SECRET},
            "status": {"id": "id", "status": "status"},
        },
    }


def main() -> None:
    port, wait = int(sys.argv[1]), float(sys.argv[2]) / 1000
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    stats = Stats()
    out = Out(loop, stats)
    loop.run_until_complete(loop.create_server(lambda: Provider(loop, stats, out, wait), "127.0.0.1", port))
    loop.run_forever()


if __name__ == "__main__":
    main()
