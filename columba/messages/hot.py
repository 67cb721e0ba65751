"""`POST /v1/messages` and its batch: raw ASGI, before the framework, because they carry the load; and where a single
message comes whole and plain, which is nearly always, past ASGI.

Fails with problems like every other endpoint. Durable before it answers.
"""

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
from msgspec import UNSET
from starlette.types import Receive, Scope, Send

from columba.core import ids, model, status
from columba.core.accept import Accept, Idempotency, Repeated
from columba.core.ids import Ids
from columba.core.model import Message
from columba.core.submission import Caller, Submission
from columba.errors import FieldError, Refusal
from columba.http.body import decode, invalid
from columba.http.direct import Exchange, head_of
from columba.http.dispatch import Allowance
from columba.http.egress import Policy
from columba.http.problems import internal, problem, problem_headers, send_problem
from columba.http.query import NoQuery, decode_query
from columba.http.times import milliseconds
from columba.http.wire import (
    Disconnected,
    Headers,
    client_address,
    idempotency_key,
    read_body,
    request_id,
    send_answer,
)
from columba.messages.shapes import (
    CLASSES,
    Asking,
    BatchMessage,
    CheckedMessage,
    Make,
    NewBatch,
    NewMessage,
    RawRows,
    asking,
)
from columba.templates.room import Made

BODY_LIMIT: Final = 256 * 1024
BATCH_LIMIT: Final = 16 * 1024 * 1024

AT_ONCE: Final = 100  # rows that are read one by one
NOWHERE_PRIVATE: Final = Policy()

_LETTERS: Final = (b"\\u005", b"\\u006", b"\\u007")  # how escapes of a field's letters begin
_HEAD: Final = b"content-type: application/json\r\ncache-control: no-store\r\n"
_SCOPE: Final = {"method": "POST", "path": "/v1/messages"}
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]").search
_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")
_REPLAYED: Final = (b"idempotent-replayed", b"true")

_encode = msgspec.json.Encoder().encode
_read_batch = msgspec.json.Decoder(NewBatch).decode

Authenticate = Callable[[Headers, bytes | None, str], tuple[Caller, Allowance | None]]
"""From a request's headers, its Authorization and the client's address to who asks, scope checked, and their budget."""
MakeFor = Callable[[int, int, str, Mapping[str, Any] | None, str | None], Made]
"""From account, mode, a template's name, values and language to what it makes; raises Refusal."""
FirstAnswer = Callable[[Caller, str, str], Awaitable[tuple[int, bytes]]]
"""What the first request with an Idempotency-Key was answered; raises Refusal where its body had another hash."""


def no_templates(account_id: int, mode: int, name: str, params: Any, language: str | None) -> Made:
    """Where there are none."""
    raise invalid([FieldError("template", "unknown_template", "There are no templates.")])


class Hot:
    """The raw routes."""

    def __init__(
        self,
        accept: Accept,
        new_id: Ids,
        authenticate: Authenticate,
        first_answer: FirstAnswer,
        new_request_id: Callable[[], str],
        observe: Callable[[str, str, int, float], None],
        policy: Policy = NOWHERE_PRIVATE,
        make: MakeFor = no_templates,
    ) -> None:
        self._make = make
        self._accept = accept
        self._ids = new_id
        self._authenticate = authenticate
        self._first_answer = first_answer
        self._new_request_id = new_request_id
        self._observe = observe
        self._policy = policy

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
        work: Callable[[Caller, bytes, str | None], Awaitable[bytes]],
    ) -> None:
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        an_id = request_id(headers, self._new_request_id)
        lines = [_JSON, _NO_STORE, (b"x-request-id", an_id.encode())]
        code = 202
        try:
            caller, allowance = self._authenticate(headers, headers.get(b"authorization"), client_address(scope))
            if allowance is not None:
                lines += allowance.headers
                allowance.check()
            if scope["query_string"]:
                decode_query(NoQuery, scope["query_string"])
            body = await read_body(receive, limit, headers)
            if headers.get(b"content-type") != b"application/json" or b"content-encoding" in headers:
                _check_media(headers)
            key = idempotency_key(headers) if b"idempotency-key" in headers else None
            try:
                answer = await work(caller, body, key)
            except Repeated:
                code, answer = await self._first_answer(caller, key or "", hash_of(body))
                lines.append(_REPLAYED)
            await send_answer(send, code, answer, lines)
        except Refusal as refusal:
            code = refusal.kind.http
            await send_problem(send, refusal, an_id, lines[3:])
        except Disconnected:
            code = 499
        except Exception as error:
            code = 500
            await send_problem(send, internal(error, an_id, scope), an_id, lines[3:])
        self._observe("POST", name, code, time.perf_counter() - started)

    def direct(self, exchange: Exchange) -> None:
        """POST /v1/messages that came whole: nothing is awaited, and the answer is given when the store has told."""
        headers = dict(exchange.headers)
        body = exchange.body
        if (
            headers.get(b"content-type") != b"application/json"
            or b"idempotency-key" in headers
            or b"content-encoding" in headers
            or len(body) > BODY_LIMIT
            or _awaits(body)
        ):
            exchange.leave()
            return
        started = time.perf_counter()
        an_id = request_id(headers, self._new_request_id)
        budget: list[tuple[bytes, bytes]] = []

        def told(came: Message | Exception) -> None:
            if isinstance(came, Message):
                code = 202
                head = b"%bx-request-id: %b\r\n%b" % (_HEAD, an_id.encode(), head_of(budget) if budget else b"")
                exchange.answer(202, head, _encode(model.view(came)))
            else:
                refusal = came if isinstance(came, Refusal) else internal(came, an_id, _SCOPE)
                code = refusal.kind.http
                shown = _encode(problem(refusal, an_id))
                exchange.answer(code, head_of([*problem_headers(refusal, an_id), *budget]), shown)
            self._observe("POST", "/v1/messages", code, time.perf_counter() - started)

        try:
            client = exchange.client[0] if exchange.client else ""
            caller, allowance = self._authenticate(headers, headers.get(b"authorization"), client)
            if allowance is not None:
                budget += allowance.headers
                allowance.check()
            asked = None
            try:
                asked = self._read(caller, body)
                self._accept.start(caller, asked, told)
            except Refusal as refusal:
                if refusal.code == "invalid_request":
                    self._say_everything(caller, body, refusal, None if asked is None else asked.media)
                raise
        except Exception as error:
            told(error)

    def _read(self, caller: Caller, body: bytes) -> Submission:
        new = decode(NewMessage, body)
        if new.template is None and new.params is None and new.language is None:
            return new.submission()
        return new.submission(self._made(caller, new))

    async def _one(self, caller: Caller, body: bytes, key: str | None) -> bytes:
        asked = None
        try:
            asked = self._read(caller, body)
            if key is None:
                outcome: Message | Refusal = await self._accept.one(caller, asked)
            else:
                once = Idempotency(key, hash_of(body), _answer_one)
                (outcome,) = await self._accept(caller, (asked,), idempotency=once)
            if isinstance(outcome, Refusal):
                raise outcome
        except Refusal as refusal:
            if refusal.code == "invalid_request":
                self._say_everything(caller, body, refusal, None if asked is None else asked.media)
            raise
        return _encode(model.view(outcome))

    def _made(self, caller: Caller, new: NewMessage) -> Made:
        if new.template is None:
            raise Refusal("invalid_request")  # which says everything
        return self._make(caller.account_id, caller.mode, new.template, new.params, new.language)

    def _say_everything(self, caller: Caller, body: bytes, first: Refusal, media: Sequence[str] | None) -> NoReturn:
        """Raise the Refusal that names every problem of a message."""
        with self._asking(caller, media):
            decode(CheckedMessage, body)
        raise invalid(list(first.errors)) if first.errors else first

    @contextlib.contextmanager
    def _asking(self, caller: Caller, media: Sequence[str] | None = None) -> Iterator[None]:
        make = partial(self._make, caller.account_id, caller.mode)
        token = asking.set(Asking(lambda asked: self._accept.problems(caller, asked), self._policy, make, media))
        try:
            yield
        finally:
            asking.reset(token)

    async def _many(self, caller: Caller, body: bytes, key: str | None) -> bytes:
        batch_id = self._ids()
        with self._asking(caller):
            batch = await read_batch(body, partial(self._make, caller.account_id, caller.mode))

        def answer(outcomes: Sequence[Message | Refusal]) -> str:
            return _encode(batch_view(batch_id, batch, outcomes)).decode()

        once = None if key is None else Idempotency(key, hash_of(body), answer)
        outcomes = await self._accept(caller, batch.asked, batch_id=batch_id, idempotency=once)
        return _encode(batch_view(batch_id, batch, outcomes))


def _awaits(body: bytes) -> bool:
    """Whether a body may name what is looked up before a message is accepted, be it spelt with escapes."""
    return b'"media"' in body or b'"callback_url"' in body or any(escape in body for escape in _LETTERS)


def _check_media(headers: Headers) -> None:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise Refusal("unsupported_media_type", "Expected Content-Type: application/json.")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refusal("unsupported_media_type", "Expected a body without Content-Encoding.")


def _answer_one(outcomes: Sequence[Message | Refusal]) -> str:
    (outcome,) = outcomes
    if isinstance(outcome, Refusal):
        raise outcome
    return _encode(model.view(outcome)).decode()


def hash_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# -- Batches


class Batch(NamedTuple):
    """A batch as it was read: what is to be accepted, and the rows that are not even that, by their places."""

    asked: list[Submission]
    refused: dict[int, tuple[str | None, Refusal]]


async def read_batch(body: bytes, make: Make) -> Batch:
    """Where every row is right, which is nearly always, all are read at once; else one by one."""
    try:
        _read_batch(body)  # to find out quickly: telling what is wrong takes its time, and is not wanted of the whole
        whole = decode(NewBatch, body)
        return Batch([merged(row, whole.defaults, make) for row in whole.messages], {})
    except (ValueError, RecursionError, Refusal):
        return await _row_by_row(body, make)


async def _row_by_row(body: bytes, make: Make) -> Batch:
    try:
        batch = decode(RawRows, body)
    except Refusal as refusal:
        batch = _written_anew(body, refusal)
    defaults = msgspec.to_builtins(batch.defaults)
    asked: list[Submission] = []
    refused: dict[int, tuple[str | None, Refusal]] = {}
    for place, raw in enumerate(batch.messages):
        if place % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)  # others have their turn
        try:
            asked.append(merged(decode(BatchMessage, raw), batch.defaults, make))
        except Refusal as refusal:
            refused[place] = _refused(raw, defaults, refusal)
    return Batch(asked, refused)


def _written_anew(body: bytes, refusal: Refusal) -> RawRows:
    """One lone surrogate keeps the decoder from finding the rows at all: they are found without it, and each written
    again, so that only those that have one are refused."""
    if not _SURROGATE(body):
        raise refusal
    try:
        batch = json.loads(body)
        rows = [msgspec.Raw(json.dumps(row).encode()) for row in batch["messages"]]
        shell = json.dumps({**batch, "messages": [None] * len(rows)}).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        raise refusal from None
    return RawRows(messages=rows, defaults=decode(RawRows, shell).defaults)


def _refused(raw: msgspec.Raw, defaults: dict[str, Any], first: Refusal) -> tuple[str | None, Refusal]:
    """Whom a row was for, so that its sender recognises it, and everything that is wrong with it."""
    try:
        row = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None, first
    if not isinstance(row, dict):
        return None, first
    to = row.get("to")
    try:
        whole = {**defaults, **row}
        if isinstance(defaults.get("params"), dict) and isinstance(row.get("params"), dict):
            whole["params"] = defaults["params"] | row["params"]
        decode(CheckedMessage, _encode(whole))
    except Refusal as refusal:
        first = refusal
    return to[:64] if isinstance(to, str) else None, first


def merged(row: BatchMessage, defaults: BatchMessage, make: Make) -> Submission:
    """What a row asks for, with the batch's defaults where it says nothing."""
    d = defaults
    to = row.to if row.to is not UNSET else d.to
    text = row.text if row.text is not UNSET else d.text
    sender = row.from_ if row.from_ is not UNSET else d.from_
    klass = row.class_ if row.class_ is not UNSET else d.class_
    send_at = row.send_at if row.send_at is not UNSET else d.send_at
    valid_for = row.valid_for if row.valid_for is not UNSET else d.valid_for
    media = row.media if row.media is not UNSET else d.media
    callback = row.callback_url if row.callback_url is not UNSET else d.callback_url
    smart = row.smart_encoding if row.smart_encoding is not UNSET else d.smart_encoding
    tags = row.tags if row.tags is not UNSET else d.tags
    metadata = row.metadata if row.metadata is not UNSET else d.metadata
    if to is UNSET:
        raise invalid([FieldError("to", "required", "Expected a string, got nothing.")])
    text = None if text is UNSET else text
    sender = None if sender is UNSET else sender
    of_class = status.TRANSACTIONAL if klass is UNSET else CLASSES[klass]
    template = row.template if row.template is not UNSET else d.template
    if template is not UNSET and template is not None:
        params = d.params if row.params is UNSET or not row.params else row.params
        if row.params and d.params:
            params = {**d.params, **row.params}
        language = row.language if row.language is not UNSET else d.language
        made = make(template, None if params is UNSET else params, None if language is UNSET else language)
        text, of_class, sender = made.for_message(text, CLASSES.get(klass), sender)
    return Submission(
        to,
        text,
        sender,
        of_class,
        None if send_at is UNSET or send_at is None else milliseconds(send_at),
        None if valid_for is UNSET else valid_for,
        None if media is UNSET else media,
        None if callback is UNSET else callback,
        smart is not False,
        None if tags is UNSET else tags,
        None if metadata is UNSET else metadata,
    )


def batch_view(batch_id: int, batch: Batch, outcomes: Sequence[Message | Refusal]) -> dict[str, Any]:
    """The answer to a batch: a line for each row, in the order given."""
    show, names = ids.show, status.NAMES
    data: list[dict[str, Any]] = []
    accepted = 0
    for outcome, asked in zip(outcomes, batch.asked, strict=True):
        if isinstance(outcome, Refusal):
            data.append({"to": asked.to or None, "error": refusal_view(outcome)})
        else:
            accepted += 1
            data.append({"id": show("msg", outcome.id), "to": outcome.to, "status": names[outcome.status]})
    for place, (to, refusal) in batch.refused.items():  # in rising order, so each comes to stand where it was
        data.insert(place, {"to": to, "error": refusal_view(refusal)})
    return {
        "batch_id": show("bat", batch_id),
        "accepted": accepted,
        "refused": len(data) - accepted,
        "data": data,
    }


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
