"""uvicorn as we run it.

The head and the body of an answer leave in one write: uvicorn writes them one after the other, and each write is a system
call. A connection has one timer for its idle time, set anew when it has run out, not twice for each request. And some
routes are served past ASGI (`direct`).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from columba.http.direct import Direct, Exchange

PATIENCE_S = 1.0  # for a body that didn't come with its head


class _Corked:
    """A transport that writes, once a turn of the loop, all that was handed to it in that turn."""

    __slots__ = ("_loop", "_transport", "_waiting", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def whole(self, data: bytes) -> None:
        """An answer by itself: the loop has its own turn for writing."""
        if self._waiting:
            self._waiting.append(data)
        else:
            self._transport.write(data)

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol over a corked transport, with routes past ASGI."""

    direct: Mapping[bytes, Direct] = {}
    _corked: _Corked
    _taker: Direct | None = None  # of the request that is being read
    _patience: asyncio.TimerHandle | None = None  # for the rest of it
    _idle_since = 0.0  # 0: it is busy

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._corked = _Corked(transport, self.loop)
        self._pieces: list[bytes] = []
        super().connection_made(self._corked)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self._take()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._give_back()
        super().shutdown()

    # Reading

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._taker is not None:  # many clients send head and body by themselves
            if self._patience is None:
                self._patience = self.loop.call_later(PATIENCE_S, self._give_back)
            else:
                self._give_back()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """With a head and its first body, at most one more read is waited for, and not for long."""
        taker = self.direct.get(self.url)
        if (
            taker is not None
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
        ):
            self._taker = taker
            self._pieces = []
        else:
            self._by_asgi()

    def on_body(self, body: bytes) -> None:
        if self._taker is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        taker = self._take()
        if taker is None:
            super().on_message_complete()
            return
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        exchange = Exchange(self, self.headers, body, self.client, self.parser.should_keep_alive())
        self.cycle = exchange  # type: ignore[assignment]
        taker(exchange)

    def _take(self) -> Direct | None:
        """Who takes the request that was being read."""
        taker, self._taker = self._taker, None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        return taker

    def _give_back(self) -> None:
        """It is long in coming: its rest is read by ASGI's ways and limits."""
        if self._take() is not None and not self._corked.is_closing():
            self._by_asgi(b"".join(self._pieces))

    def _by_asgi(self, body: bytes = b"") -> None:
        """What was read of this request goes the long way, and so will its rest."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def leave(self, exchange: Exchange) -> None:
        exchange.response_complete = True
        self._by_asgi(exchange.body)
        super().on_message_complete()

    # Answering

    def answered(self, data: bytes, keep: bool) -> None:
        if self._corked.is_closing():
            return
        self._corked.whole(data)
        if not keep:
            self._corked.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._corked.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_in(self.timeout_keep_alive)

    # Idle time

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = 0.0

    def _look_again_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._idle_since:
            return  # the next answer sets it again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_again_in(left)
        else:
            super().timeout_keep_alive_handler()


def with_direct(routes: Mapping[bytes, Direct]) -> type[Protocol]:
    """The protocol with these routes, by their paths."""
    return type("Protocol", (Protocol,), {"direct": dict(routes)})
