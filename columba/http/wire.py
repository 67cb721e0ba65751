"""What every HTTP answer needs of ASGI: a body read within its limit, headers, request ids, one way to send.

Cheap enough for a raw ASGI endpoint. Fails with Refusal (Unread for a body that is too large or too slow, a header that
is not valid) or with Disconnected when nobody is left to answer.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from columba.errors import FieldError, Refusal

Headers = Mapping[bytes, bytes]
Pairs = Iterable[tuple[bytes, bytes]]

TYPE_JSON: Final = (b"content-type", b"application/json")
NO_STORE: Final = (b"cache-control", b"no-store")  # an answer holds one account's data: no cache may keep it
CLOSE: Final = (b"connection", b"close")

BODY_LIMIT: Final = 1_048_576
_BODY_SECONDS: Final = 30.0
_LINGER_BYTES: Final = 16_777_216
_LINGER_SECONDS: Final = 2.0

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_VISIBLE: Final = re.compile(rb"[!-~]{1,255}").fullmatch

encode = msgspec.json.Encoder().encode


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Unread(Refusal):
    """A refusal with part of the body still to come: the connection can't be used again."""


async def read_body(receive: Receive, limit: int = BODY_LIMIT, headers: Headers | None = None) -> bytes:
    """The whole body, however it is cut. With `headers`, a Content-Length beyond the limit is refused straight away."""
    declared = b"" if headers is None else headers.get(b"content-length", b"")
    oversize = bool(declared) and (len(declared) > 18 or (declared.isdigit() and int(declared) > limit))
    if oversize and headers is not None and b"expect" in headers:  # it waits for leave to send: no 100, no body
        raise _too_large(limit)
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected
    body: bytes = message.get("body", b"")
    more: bool = message.get("more_body", False)
    if more:
        body, more = await _read_on(receive, body, 0 if oversize else limit)
    if len(body) > limit or oversize:
        await _linger(receive, more)
        raise _too_large(limit)
    return body


async def _read_on(receive: Receive, first: bytes, limit: int) -> tuple[bytes, bool]:
    """What follows `first`, and whether it stopped short because the limit is passed."""
    chunks, size, more = [first], len(first), True
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while more and size <= limit:
                message = await receive()
                if message["type"] != "http.request":
                    raise Disconnected
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                more = message.get("more_body", False)
    except TimeoutError:
        raise Unread("invalid_json", f"The body did not come whole within {_BODY_SECONDS:.0f} seconds.") from None
    return b"".join(chunks), more


async def _linger(receive: Receive, more: bool) -> None:
    """Swallow a little of what still comes: a client busy sending would meet a reset instead of its answer."""
    swallowed = 0
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while more and swallowed < _LINGER_BYTES:
                message = await receive()
                if message["type"] != "http.request":
                    raise Disconnected
                swallowed += len(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        return


def _too_large(limit: int) -> Unread:
    return Unread("payload_too_large", f"The body may have at most {limit} bytes here.")


def request_id(headers: Headers, new: Callable[[], str]) -> str:
    """The caller's X-Request-Id where it is sane (letters, digits, `.`, `_`, `-`, at most 128), else a new one."""
    given = headers.get(b"x-request-id")
    return given.decode("ascii") if given and _SANE_ID(given) else new()


def idempotency_key(headers: Headers) -> str | None:
    """The Idempotency-Key, or None without one. Refuses one that is not 1 to 255 visible ASCII characters."""
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    if not _VISIBLE(given):
        detail = "Expected 1 to 255 visible ASCII characters."
        raise Refusal(
            "invalid_request",
            f"Idempotency-Key: {detail}",
            [FieldError("Idempotency-Key", "too_long" if len(given) > 255 else "invalid_value", detail)],
        )
    return given.decode("ascii")


def client_address(scope: Scope) -> str:
    """The address at the other end as the server knows it (behind a proxy: what the proxy is trusted to say)."""
    client = scope.get("client")
    return client[0] if client else ""


async def send_answer(send: Send, status: int, body: bytes, headers: Pairs = (TYPE_JSON, NO_STORE)) -> None:
    """One whole answer. A 204 and a 304 have neither body nor length (RFC 9110 §8.6)."""
    lines = [*headers] if status in (204, 304) else [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
