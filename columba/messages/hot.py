"""`POST /v1/messages` and its batch: raw ASGI, before the framework, because they carry the load.

Fails with problems like every other endpoint. Durable before it answers.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from columba.core import ids, model, status
from columba.core.accept import Accept, Caller, Idempotency, Repeated, Submission
from columba.core.ids import Ids
from columba.core.model import Message
from columba.errors import FieldError, Refusal
from columba.http.body import decode
from columba.http.problems import internal, send_problem
from columba.http.wire import Disconnected, idempotency_key, read_body, send_answer
from columba.messages.shapes import BatchDefaults, CheckedMessage, NewBatch, NewMessage, country

BODY_LIMIT = 256 * 1024
BATCH_LIMIT = 16 * 1024 * 1024

_encode = msgspec.json.Encoder().encode
_decode_rows = msgspec.json.Decoder(list[NewMessage]).decode
log = structlog.get_logger()

Authenticate = Callable[[dict[bytes, bytes], str], Awaitable[Any]]


class Hot:
    """The raw routes. `authenticate` gives the caller of a request's headers, limits and scope checked."""

    def __init__(
        self,
        accept: Accept,
        new_id: Ids,
        authenticate: Callable[[dict[bytes, bytes], bytes | None], tuple[Caller, Any]],
        first_answer: Callable[[Caller, str, str], Awaitable[tuple[int, bytes]]],
        new_request_id: Callable[[], str],
        observe: Callable[[str, int, float], None],
    ) -> None:
        self._accept = accept
        self._ids = new_id
        self._authenticate = authenticate
        self._first_answer = first_answer
        self._new_request_id = new_request_id
        self._observe = observe

    async def message(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /v1/messages"""
        await self._serve(scope, receive, send, "/v1/messages", BODY_LIMIT, self._one)

    async def batch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /v1/messages/batch"""
        await self._serve(scope, receive, send, "/v1/messages/batch", BATCH_LIMIT, self._many)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        name: str,
        limit: int,
        work: Callable[[Caller, bytes, str | None], Awaitable[tuple[int, bytes]]],
    ) -> None:
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        request_id = given.decode("latin-1")[:128] if given is not None and given.isalnum() else self._new_request_id()
        code = 500
        lines = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            (b"x-request-id", request_id.encode()),
        ]
        try:
            caller, allowance = self._authenticate(headers, headers.get(b"authorization"))
            if allowance is not None:
                lines += allowance.headers
                allowance.check()
            body = await read_body(receive, limit, headers)
            key = idempotency_key(headers) if b"idempotency-key" in headers else None
            code, answer = await work(caller, body, key)
            await send_answer(send, code, answer, lines)
        except Refusal as refusal:
            code = refusal.kind.http
            await send_problem(send, refusal, request_id, lines[3:])
        except Disconnected:
            code = 499
        except Exception as error:
            await send_problem(send, internal(error, request_id, scope), request_id)
        self._observe(name, code, time.perf_counter() - started)

    async def _one(self, caller: Caller, body: bytes, key: str | None) -> tuple[int, bytes]:
        try:
            new = decode(NewMessage, body)
            asked = new.submission()
            if key is None:
                (outcome,) = await self._accept(caller, (asked,))
            else:
                (outcome,) = await self._once(caller, [asked], key, body, None, _answer_one)
            if isinstance(outcome, Refusal):
                raise outcome
        except Repeated:
            return await self._first_answer(caller, key or "", _hash(body))
        except Refusal as refusal:
            if refusal.code == "invalid_request":
                _everything(caller, body)
            raise
        return 202, _encode(model.view(outcome))

    def _once(
        self,
        caller: Caller,
        asked: Sequence[Submission],
        key: str,
        body: bytes,
        batch_id: int | None,
        answer: Callable[[Sequence[Message | Refusal]], str],
    ) -> Awaitable[list[Message | Refusal]]:
        return self._accept(caller, asked, batch_id=batch_id, idempotency=Idempotency(key, _hash(body), answer))

    async def _many(self, caller: Caller, body: bytes, key: str | None) -> tuple[int, bytes]:
        asked, refused = read_batch(body)
        batch_id = self._ids()
        wanted = [each for each in asked if each is not None]
        rows = [each.to if each is not None else "" for each in asked]

        def answer(outcomes: Sequence[Message | Refusal]) -> str:
            return _encode(batch_view(batch_id, rows, asked, refused, outcomes)).decode()

        try:
            if key is None:
                outcomes = await self._accept(caller, wanted, batch_id=batch_id)
            else:
                outcomes = await self._once(caller, wanted, key, body, batch_id, answer)
        except Repeated:
            return await self._first_answer(caller, key or "", _hash(body))
        return 202, answer(outcomes).encode()


def _answer_one(outcomes: Sequence[Message | Refusal]) -> str:
    (outcome,) = outcomes
    if isinstance(outcome, Refusal):
        raise outcome
    return _encode(model.view(outcome)).decode()


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _everything(caller: Caller, body: bytes) -> None:
    """Raise the Refusal that names every problem of a body."""
    token = country.set(caller.default_country)
    try:
        decode(CheckedMessage, body)
    finally:
        country.reset(token)


def read_batch(body: bytes) -> tuple[list[Submission | None], dict[int, Refusal]]:
    """The submissions of a batch in their order, None where a row is not one; the refusals of those, by place."""
    batch = decode(NewBatch, body)
    defaults = {
        name: value
        for name in BatchDefaults.__struct_fields__
        if (value := getattr(batch.defaults, name)) is not msgspec.UNSET
    }
    asked: list[Submission | None] = []
    refused: dict[int, Refusal] = {}
    written = msgspec.json.decode(_encode(batch.defaults)) if defaults else {}
    for place, raw in enumerate(batch.messages):
        try:
            if written:
                row = decode(dict[str, Any], raw)
                new = decode(NewMessage, _encode({**written, **row}))
            else:
                new = decode(NewMessage, raw)
            asked.append(new.submission())
        except Refusal as refusal:
            asked.append(None)
            refused[place] = refusal
    return asked, refused


def batch_view(
    batch_id: int,
    rows: Sequence[str],
    asked: Sequence[Submission | None],
    refused: dict[int, Refusal],
    outcomes: Sequence[Message | Refusal],
) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    accepted = 0
    following = iter(outcomes)
    for place, each in enumerate(asked):
        outcome = refused[place] if each is None else next(following)
        if isinstance(outcome, Refusal):
            data.append({"to": rows[place] or None, "error": refusal_view(outcome)})
        else:
            accepted += 1
            data.append({"id": ids.show("msg", outcome.id), "to": outcome.to, "status": _name(outcome.status)})
    return {
        "batch_id": ids.show("bat", batch_id),
        "accepted": accepted,
        "refused": len(data) - accepted,
        "data": data,
    }


def _name(number: int) -> str:
    return status.NAMES[number]


def refusal_view(refusal: Refusal) -> dict[str, Any]:
    """Why one row was refused: its first problem, and all of them where there are more."""
    errors: Sequence[FieldError] = refusal.errors
    if not errors:
        return {"code": refusal.code, "detail": refusal.detail}
    first = errors[0]
    shown: dict[str, Any] = {
        "code": first.code,
        "detail": f"{first.field}: {first.detail}" if first.field else first.detail,
    }
    if len(errors) > 1:
        shown["errors"] = [{"field": e.field, "code": e.code, "detail": e.detail} for e in errors]
    return shown
