"""One HTTP/1.1 connection: a request written, its answer read, and whether it can carry another.

A connection has one request in flight. What goes wrong ends it, and is told once, as the EgressError that settles the
request. The answer is bounded while it is read: its body by the caller's cap (the rest is cut off, and the connection
with it), all that is not body by `_OVERHEAD`. Nothing is decompressed.
"""

import asyncio
import re
import select
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias, cast

import httptools

from columba import __version__
from columba.http.egress.errors import EgressError, Kind
from columba.http.egress.url import Target

_OVERHEAD = 65_536  # bytes of head, chunk framing and trailers, ...
_OVERHEAD_PER_BYTE = 16  # ... and for each byte of body: a chunk may hold a single one
_IDLE = 55.0  # seconds; below what most servers and balancers keep
_OLDEST = 300.0  # seconds that a connection is used: a name that has moved is followed

_METHODS = {method: method.encode() for method in ("GET", "POST", "PUT", "PATCH", "DELETE")}
_BODILESS = frozenset(("GET", "DELETE"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 §5.5
# What this module writes, or what would change the framing.
_OWN = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_DEFAULTS = {"User-Agent": f"Columba/{__version__}", "Accept": "*/*"}
_PERSISTENCE = re.compile(rb"timeout=([0-9]{1,6})", re.IGNORECASE)


class Answer(NamedTuple):
    """What the peer answered. `fields` are its header fields as they came."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes  # at most max_answer bytes, still encoded if the answer has a Content-Encoding
    truncated: bool
    latency: float  # seconds, from the call to the last byte

    @property
    def headers(self) -> dict[str, str]:
        """The fields by lower-cased name; those of one name are joined (RFC 9110 §5.3)."""
        headers: dict[str, str] = {}
        for field, value in self.fields:
            name, text = field.decode("latin-1").lower(), value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        return headers

    def header(self, name: str) -> str | None:
        """The first field of a lower-case name: for a single look, cheaper than `headers`."""
        wanted = name.encode()
        return next((value.decode("latin-1") for field, value in self.fields if field.lower() == wanted), None)


# status, fields, body, truncated
Reply: TypeAlias = tuple[int, tuple[tuple[bytes, bytes], ...], bytes, bool]


def compose(method: str, target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """The request as it goes over the wire."""
    verb = _METHODS.get(method)
    if verb is None:
        raise EgressError("invalid_request", f"The method is none of {', '.join(_METHODS)}.")
    constant = _constant_fields(tuple(headers))
    if not "".join(headers.values()).isprintable():  # quick, and a little stricter than needed
        for name, value in headers.items():
            if _CONTROL.search(value):
                raise EgressError("invalid_request", f"Header {name} has a control character.")
    try:
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()
    except UnicodeEncodeError:
        raise EgressError("invalid_request", "A header has half of a surrogate pair.") from None
    end = b"\r\n" if method in _BODILESS and not body else b"Content-Length: %d\r\n\r\n" % len(body)
    return b"".join((verb, target.head, constant, fields, end, body))


@lru_cache(maxsize=1024)
def _constant_fields(names: tuple[str, ...]) -> bytes:
    """Checks the caller's header names, and gives our own fields to go before them."""
    given = set()
    for name in names:
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            raise EgressError("invalid_request", "A header's name is not a token.")
        if lower in _OWN:
            raise EgressError("invalid_request", f"Header {name} can't be set.")
        if lower in given:
            raise EgressError("invalid_request", f"Header {name} is given twice.")
        given.add(lower)
    fields = [f"{name}: {value}\r\n" for name, value in _DEFAULTS.items() if name.lower() not in given]
    return "".join([*fields, "Accept-Encoding: identity\r\n"]).encode()


class Connection(asyncio.Protocol):
    """Open from connection_made until `lost`; idle whenever no answer is awaited.

    Its only timer is set late: it rings at a deadline that has usually moved on, and is then set to the next.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Reply | EgressError] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_for = 0.0
        self._reusable = True
        self.deadline = 0.0  # of the request in flight, or of being idle
        self.lost: asyncio.Future[None] = loop.create_future()

    # What the pool does with it

    def send(self, request: bytes, max_body: int, deadline: float) -> "asyncio.Future[Reply | EgressError]":
        """Writes a request. The future settles with the reply, or with the error that took its place; never raises."""
        waiter = self._waiter = self._loop.create_future()
        if self._transport.is_closing():
            self._settle(EgressError("disconnected", "The server closed the connection at once."))
            return waiter
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = self._received = 0
        self._max_body = max_body
        self._status = 0
        self._done = False
        self._watch(deadline)
        self._transport.write(request)
        return waiter

    def rest(self) -> bool:
        """Becomes idle. False if it can't carry another request; it is ended then."""
        now = self._loop.time()
        self._idle_for = self._idle_for or self._persistence()
        if not self._reusable or not self._idle_for or now - self._born > _OLDEST:
            self.end()
            return False
        self._watch(now + self._idle_for)
        return True

    def usable(self) -> bool:
        """Whether it can carry another request: its peer has not closed it while idle, nor said anything unasked."""
        if self._reusable and not self._transport.is_closing() and not self._poll.poll(0):
            return True
        self.end()
        return False

    def end(self, kind: Kind = "disconnected", detail: str = "The connection was closed by us.") -> None:
        self._settle(EgressError(kind, detail, sent=True))
        self._reusable = False
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._born = self._loop.time()
        # A FIN that the loop has not come to yet must not cost the next request. (select() ends at descriptor 1023.)
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:  # unasked
            self.end()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.end("protocol", "The answer is not HTTP/1.1.")
            return
        if self._received - self._size > _OVERHEAD + _OVERHEAD_PER_BYTE * self._size:
            self.end("protocol", "The answer's head is too large.")
        elif self._done:
            self._reply()
        elif self._size > self._max_body:
            self._reusable = False
            self._reply()

    def connection_lost(self, error: Exception | None) -> None:
        self._reusable = False
        if self._timer:
            self._timer.cancel()
        if self._waiter:
            if self._status and error is None and not self._framed():  # RFC 9112 §6.3: the body ends here
                self._reply()
            else:
                when = "while it answered" if self._received else "before it answered"
                self._settle(EgressError("disconnected", f"The server closed the connection {when}.", sent=True))
        self.lost.set_result(None)
        self._on_lost(self)

    # The parser's callbacks; nothing that follows the answer counts as part of it

    def on_message_begin(self) -> None:
        if self._done:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # else a trailer
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer (RFC 9110 §15.2)
            self._fields.clear()
        elif not self._status:
            self._status = status

    def on_body(self, data: bytes) -> None:
        if not self._done:
            if self._size <= self._max_body:
                self._body.append(data)
            self._size += len(data)

    def on_message_complete(self) -> None:
        if self._status and not self._done:
            self._done = True
            if not self._parser.should_keep_alive():
                self._reusable = False

    # Inside

    def _reply(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._transport.get_write_buffer_size():  # answered before all was sent
            self._reusable = False
        truncated = self._size > self._max_body
        self._settle((self._status, tuple(self._fields), body[: self._max_body], truncated))

    def _settle(self, outcome: "Reply | EgressError") -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_result(outcome)

    def _framed(self) -> bool:
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._fields)

    def _persistence(self) -> float:
        """Seconds that the peer keeps an idle connection, by its first answer's word, less one for the way."""
        for name, value in self._fields:
            match = _PERSISTENCE.search(value) if name.lower() == b"keep-alive" else None
            if match:
                return min(max(float(match[1]) - 1, 0.0), _IDLE)
        return _IDLE

    def _watch(self, deadline: float) -> None:
        self.deadline = deadline
        timer = self._timer
        if timer and timer.when() > deadline:
            timer.cancel()
            timer = None
        if timer is None:
            self._timer = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self.deadline - self._loop.time() > 0.002:  # a loop's clock is as coarse as a millisecond
            self._watch(self.deadline)
        else:  # where it was idle, nobody hears it
            self.end("timeout", "The server took too long to answer.")
