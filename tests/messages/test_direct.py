"""Which messages go past ASGI: those that nothing has to be looked up for."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from columba.http.direct import Exchange
from tests.api import Columba, running
from tests.messages.conftest import hold


class Connection:
    """What comes back of one request."""

    def __init__(self) -> None:
        self.came: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def answered(self, data: bytes, keep: bool) -> None:
        self.came.set_result(data)

    def leave(self, exchange: Exchange) -> None:
        self.came.set_result(None)


async def went(columba: Columba, body: bytes, **more: str) -> bytes | None:
    """The answer, or None for what goes the long way."""
    headers = {
        "authorization": f"Bearer {await columba.key()}", "content-type": "application/json",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }  # fmt: skip
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    connection = Connection()
    columba.app.direct[b"/v1/messages"](Exchange(connection, pairs, body, ("127.0.0.1", 1), True))
    async with asyncio.timeout(10):
        return await connection.came


async def test_a_plain_message_is_durable_before_it_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as columba:
        hold(columba)
        answer = await went(columba, b'{"to": "+447700900123", "text": "Caf\\u00e9", "metadata": {"a": "b"}}')
        assert answer is not None
        assert answer.startswith(b"HTTP/1.1 202 Accepted\r\n")
        shown = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
        read = await columba.whole("GET", f"/v1/messages/{shown['id']}")
        assert shown["text"] == "Café"
        assert {name: read.json[name] for name in shown} == shown


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (b'{"to": "+447700900123", "text": "Hello", "media": ["https://example.org/a.png"]}', {}),
        (b'{"to": "+447700900123", "text": "Hello", "m\\u0065dia": ["https://example.org/a.png"]}', {}),
        (b'{"to": "+447700900123", "text": "Hello", "callback_url": "https://example.org/a"}', {}),
        (b'{"to": "+447700900123", "text": "Hello", "callback\\u005Furl": "https://example.org/a"}', {}),
        (b'{"to": "+447700900123", "text": "Hello"}', {"idempotency_key": "once"}),
        (b'{"to": "+447700900123", "text": "Hello"}', {"content_type": "application/json; charset=utf-8"}),
        (b'{"to": "+447700900123", "text": "Hello"}', {"content_encoding": "gzip"}),
        (b'{"to": "+447700900123", "text": "' + b"x" * 262_144 + b'"}', {}),
    ],
)
async def test_what_needs_more_goes_the_long_way(tmp_path: Path, body: bytes, more: dict[str, str]) -> None:
    async with running(tmp_path) as columba:
        assert await went(columba, body, **more) is None
