"""`/echo`: an address of our own to aim a destination at first. It answers with the request that it was sent.

Public, keeps nothing, and tells a caller what it said itself and nothing else. `?status=503` has it answer with that.
"""

import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from columba.errors import Refusal
from columba.http.endpoint import Endpoint, describe
from columba.http.problems import send_problem
from columba.http.wire import Disconnected, encode, read_body, send_answer

PATH = "/echo"
BELOW = "/echo/"  # whatever stands below it is the same: a system's own paths
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
LARGEST = 65_536  # bytes of a body
_STATUS = re.compile(rb"(?:^|&)status=([2-5][0-9]{2})(?:&|$)")


class Echo(msgspec.Struct, kw_only=True):
    """What the address was sent.

    body: as text
    json: the same, where it is JSON
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    json: Any = None


def echo() -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, LARGEST)
        except Disconnected:
            return
        except Refusal as refusal:
            await send_problem(send, refusal, "")
            return
        asked = _STATUS.search(scope["query_string"])
        status = int(asked[1]) if asked is not None else 200
        pairs = parse_qsl(scope["query_string"].decode("utf-8", "replace"), keep_blank_values=True)
        told = Echo(
            method=scope["method"],
            path=scope["path"],
            query=dict(pairs[:200]),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body.decode("utf-8", "replace"),
        )
        try:
            told.json = msgspec.json.decode(body) if body else None
        except (msgspec.MsgspecError, RecursionError):
            pass
        await send_answer(send, status, b"" if status == 204 else encode(told))

    return app


def routes() -> dict[tuple[str, str], ASGIApp]:
    app = echo()
    return {(method, PATH): app for method in METHODS}


def endpoints() -> list[Endpoint]:
    """For the API's document; `routes` serves it."""
    return [
        describe(
            method,
            PATH,
            name=f"echo_{method.lower()}",
            public=True,
            idempotency="none",
            answer=Echo,
            tag="Destinations",
            summary=f"Echo a {method}",
            description="An address of our own to aim a destination at first: it answers with the request that it was "
            "sent, and with the status of `?status=`.",
        )
        for method in METHODS
    ]
