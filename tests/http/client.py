"""A client that says exactly what a test wants said, byte for byte."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

ALL = "Bearer ck_test_all"
READS = "Bearer ck_test_reads"


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Of a problem: each field that is wrong, and how."""
        return [(error["field"], error["code"]) for error in self.json["errors"]]


def head(method: str, target: str, headers: dict[str, str], key: str | None) -> bytes:
    """A request as far as its empty line."""
    given = {"host": "loft", **({"authorization": key} if key else {}), **headers}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    return int(first.split(" ")[1]), headers


async def ask(
    port: int,
    method: str,
    target: str,
    body: bytes | str | dict[str, Any] | None = None,
    *,
    key: str | None = ALL,
    headers: dict[str, str] | None = None,
    chunks: Iterable[bytes] | None = None,
) -> Reply:
    """One request on a connection of its own; a dict goes as JSON, `chunks` go chunked."""
    more = {} if body is None else {"content-type": "application/json"}
    if isinstance(body, dict):
        body = json.dumps(body)
    raw = body.encode() if isinstance(body, str) else body
    if chunks is not None:
        more["transfer-encoding"] = "chunked"
    elif raw is not None:
        more["content-length"] = str(len(raw))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head(method, target, {**more, "connection": "close", **(headers or {})}, key))
        if chunks is not None:
            for chunk in chunks:
                writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        elif raw is not None:
            writer.write(raw)
        status, kept = await read_head(reader)
        rest = await reader.read()
    finally:
        writer.close()
    if kept.get("transfer-encoding") == "chunked":
        rest = unchunk(rest)
    return Reply(status, kept, rest)


def unchunk(raw: bytes) -> bytes:
    """A chunked body put together."""
    whole = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        whole, raw = whole + raw[: int(size, 16)], raw[int(size, 16) + 2 :]
    return whole
