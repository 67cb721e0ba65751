"""The ASGI app: raw routes first, then the endpoints, then what Starlette routes there are, and a problem for the rest.

A raw route is an ASGI coroutine under an exact method and path; it costs one look-up in a dictionary. Below a raw prefix
one coroutine has all methods and paths. Nothing that is raised below passes this module: a Refusal is answered as such,
all else as `internal`; a client that left is let go.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from columba.errors import Refusal
from columba.http.body import decode
from columba.http.endpoint import Answer, Call, Caller, Endpoint
from columba.http.problems import TYPE_PROBLEM, code_of, internal, problem, send_problem, trace
from columba.http.query import NoQuery, decode_form, decode_query
from columba.http.routing import NotAllowed, Routes
from columba.http.sse import EventStream
from columba.http.wire import (
    NO_STORE,
    TYPE_JSON,
    Disconnected,
    Headers,
    Pairs,
    client_address,
    encode,
    read_body,
    request_id,
    send_answer,
)

GONE: Final = 499  # what `observe` hears of a client that left

_JSON: Final = b"application/json"
_FORM: Final = b"application/x-www-form-urlencoded"
_log = structlog.get_logger(__name__)


class Stored(NamedTuple):
    """A first answer as it was sent."""

    status: int
    body: bytes


class Idempotency(Protocol):
    """Keeps the first answers to requests with an Idempotency-Key."""

    async def begin(self, caller: Caller, key: str, fingerprint: bytes) -> Stored | Refusal | None:
        """The first answer; a Refusal (`idempotency_mismatch`, `idempotency_in_progress`); None to go ahead."""

    async def finish(self, caller: Caller, key: str, status: int, body: bytes) -> None:
        """This is the answer to give again."""

    async def abandon(self, caller: Caller, key: str) -> None:
        """Nothing came of it that is worth giving again: the key is free."""


class Allowance(NamedTuple):
    """A caller's budget of requests. A negative `remaining` refuses this one; `reset` is in seconds."""

    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The RateLimit fields of an answer."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % max(self.remaining, 0)),
            (b"ratelimit-reset", b"%d" % self.reset),
        ]

    def check(self) -> None:
        """Refuse what is over the limit."""
        if self.remaining < 0:
            wait = max(self.reset, 1)
            raise Refusal("rate_limited", f"At most {self.limit} at once; go on in {wait} s.", retry_after=wait)


Authenticate = Callable[[Headers, str], Caller | Awaitable[Caller]]
"""From the headers and the client's address to whoever asks; raises Refusal `unauthorized`."""

Limit = Callable[[Caller, Endpoint], Allowance | None]
Observe = Callable[[Endpoint | None, str, int, float], None]
"""Told of each answer but a raw route's: the endpoint, the method, the status, the seconds it took."""


class _Hooks(NamedTuple):
    authenticate: Authenticate
    idempotency: Idempotency | None
    limit: Limit | None
    context: Any
    lesser: Mapping[str, str]


class _Request(NamedTuple):
    scope: Scope
    receive: Receive
    send: Send
    headers: Headers
    id: str
    more: list[tuple[bytes, bytes]]  # headers for whatever the answer will be


def build(
    endpoints: Iterable[Endpoint],
    *,
    authenticate: Authenticate,
    new_request_id: Callable[[], str],
    clock: Callable[[], float],
    idempotency: Idempotency | None = None,
    limit: Limit | None = None,
    lesser: Mapping[str, str] | None = None,
    observe: Observe | None = None,
    context: Any = None,
    raw_routes: Mapping[tuple[str, str], ASGIApp] | None = None,
    raw_prefixes: Mapping[str, ASGIApp] | None = None,
    routes: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """All that is declared as one ASGI app. `context` is what handlers find in their Call, `clock` is in seconds, `lesser`
    says which scope lets in too where another one is asked for."""
    endpoints = list(endpoints)
    raw = dict(raw_routes or {})
    prefixes = tuple((raw_prefixes or {}).items())
    for method, path in [*raw]:
        if method == "GET":
            raw.setdefault(("HEAD", path), raw[method, path])
    if unserved := [f"{e.method} {e.path}" for e in endpoints if not e.handler and (e.method, e.path) not in raw]:
        raise ValueError(f"described, but neither handled nor a raw route: {', '.join(unserved)}")
    hooks = _Hooks(authenticate, idempotency, limit, context, lesser or {})
    tree = Routes((endpoint for endpoint in endpoints if endpoint.handler), elsewhere=raw)
    rest = Router(routes, default=_nothing_here, redirect_slashes=False)

    async def comfortable(scope: Scope, receive: Receive, send: Send) -> None:
        began = clock()
        headers = dict(scope["headers"])
        request = _Request(scope, receive, send, headers, request_id(headers, new_request_id), [])
        endpoint = None
        try:
            found = tree.find(scope["method"], scope["path"])
            if found is None:
                status = await _stream(rest, request)
            else:
                endpoint = found.endpoint
                status = await _serve(endpoint, found.path, hooks, request)
        except Exception as error:
            status = await _fail(error, scope, send, request.id, request.more)
        if observe is not None:
            observe(endpoint, scope["method"], status, clock() - began)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_protocol(scope, receive, send)
            return
        handler = raw.get((scope["method"], scope["path"]))
        if handler is None:
            for prefix, below in prefixes:
                if scope["path"].startswith(prefix):
                    handler = below
        if handler is None:
            scope["app"] = app  # so that Starlette raises its 404 and 405 instead of answering them
            await comfortable(scope, receive, send)
            return
        try:
            await handler(scope, receive, send)
        except Exception as error:
            await _fail(error, scope, send, request_id(dict(scope["headers"]), new_request_id), [])

    return app


async def _refuse_protocol(scope: Scope, receive: Receive, send: Send) -> None:
    """A lifespan has nothing to do here: who builds the app starts and stops its parts. WebSockets are not spoken."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refusal("not_found", "There is nothing at this address.")


# -- One request


async def _serve(endpoint: Endpoint, path: dict[str, str], hooks: _Hooks, request: _Request) -> int:
    """Everything from a request that has its endpoint to the status that it was answered with."""
    client = client_address(request.scope)
    caller = None
    if not endpoint.public:
        asked = hooks.authenticate(request.headers, client)
        caller = await asked if inspect.isawaitable(asked) else asked
        _admit(endpoint, caller, hooks, request)
    query = decode_query(endpoint.query or NoQuery, request.scope["query_string"])
    raw, body = b"", None
    if endpoint.body is not None:
        raw = await read_body(request.receive, endpoint.body_limit, request.headers)
        body = _decode_body(endpoint, request.headers, raw)
    call = Call(
        caller=caller,
        body=body,
        query=query,
        path=path,
        request_id=request.id,
        headers=request.headers,
        client=client,
        context=hooks.context,
        raw=raw,
        scope=request.scope,
    )
    if endpoint.idempotency == "auto" and hooks.idempotency is not None:
        key = call.idempotency_key
        if key is not None:
            return await _once(endpoint, call, key, hooks.idempotency, request)
    assert endpoint.handler is not None
    result = await endpoint.handler(call)
    if isinstance(result, Response | EventStream):
        return await _stream(result, request)
    return await _send(request, *_made(endpoint, result))


def _admit(endpoint: Endpoint, caller: Caller, hooks: _Hooks, request: _Request) -> None:
    if hooks.limit is not None:
        allowance = hooks.limit(caller, endpoint)
        if allowance is not None:
            request.more.extend(allowance.headers)
            allowance.check()
    scope = endpoint.scope
    if scope is not None and scope not in caller.scopes and hooks.lesser.get(scope) not in caller.scopes:
        raise Refusal("forbidden", f"The key lacks the scope {endpoint.scope}.")


def _decode_body(endpoint: Endpoint, headers: Headers, raw: bytes) -> Any:
    if not raw and endpoint.body_may_be_missing:
        return None
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    wanted = _FORM if endpoint.form else _JSON
    if endpoint.files and kind != _JSON:
        return None
    if raw and kind != wanted and not (wanted is _JSON and kind.endswith(b"+json")):
        raise Refusal("unsupported_media_type", f"Expected Content-Type: {wanted.decode()}.")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refusal("unsupported_media_type", "Expected a body without Content-Encoding.")
    return decode_form(endpoint.body, raw) if endpoint.form else decode(endpoint.body, raw)


def _made(endpoint: Endpoint, result: Any) -> tuple[int, bytes, Pairs]:
    """Status, body and further headers of a handler's result."""
    answer = result if isinstance(result, Answer) else Answer(result)
    status = answer.status or endpoint.status
    return status, b"" if status == 204 else encode(answer.value), answer.headers


async def _send(request: _Request, status: int, body: bytes, more: Pairs, kind: tuple[bytes, bytes] = TYPE_JSON) -> int:
    own = (b"x-request-id", request.id.encode("ascii"))
    await send_answer(request.send, status, body, (kind, NO_STORE, own, *request.more, *more))
    return status


async def _once(endpoint: Endpoint, call: Call[Any, Any], key: str, keeper: Idempotency, request: _Request) -> int:
    """Do it once for this key, and answer as then every other time."""
    caller = call.caller
    first = await keeper.begin(caller, key, call.fingerprint)
    if isinstance(first, Refusal):
        raise first
    if first is not None:
        kind = TYPE_PROBLEM if first.status >= 400 else TYPE_JSON
        return await _send(request, first.status, first.body, [(b"idempotent-replayed", b"true")], kind)
    assert endpoint.handler is not None
    try:
        result = await endpoint.handler(call)
        made = None if isinstance(result, Response | EventStream) else _made(endpoint, result)
    except Exception as error:
        if isinstance(error, Refusal) and error.kind.http < 500 and error.kind.http != 429:
            body = encode(problem(error, request.id))
            await _settle(keeper.finish(caller, key, error.kind.http, body), request)
        else:
            await _settle(keeper.abandon(caller, key), request)
        raise
    if made is None:
        await _settle(keeper.abandon(caller, key), request)
        return await _stream(result, request)
    await _settle(keeper.finish(caller, key, made[0], made[1]), request)
    return await _send(request, *made)


async def _settle(settling: Awaitable[None], request: _Request) -> None:
    """What was done is done: that the key could not be settled must not change its answer."""
    try:
        await settling
    except Exception as error:
        _log.error("idempotency_not_settled", request_id=request.id, exception=trace(error))


async def _stream(answer: ASGIApp, request: _Request) -> int:
    """An answer that sends itself, with the headers that every answer has."""
    status = 0

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            own = (b"x-request-id", request.id.encode("ascii"))
            message = {**message, "headers": [*message.get("headers", ()), own, *request.more]}
        await request.send(message)

    try:
        await answer(request.scope, request.receive, send)
    except Exception as error:
        if not status:
            raise
        internal(error, request.id, request.scope)  # too late to answer: the server cuts the connection
    return status


async def _fail(error: Exception, scope: Scope, send: Send, id_: str, more: list[tuple[bytes, bytes]]) -> int:
    """Answer an exception, and say with which status."""
    if isinstance(error, Disconnected):
        return GONE
    if isinstance(error, NotAllowed):
        refusal = Refusal("method_not_allowed", f"Allowed here: {error.allow}.")
        more.append((b"allow", error.allow.encode("ascii")))
    elif isinstance(error, HTTPException):
        refusal = Refusal(code_of(error.status_code))
        more += [
            (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in (error.headers or {}).items()
        ]
    elif isinstance(error, Refusal):
        refusal = error
    else:
        refusal = internal(error, id_, scope)
    try:
        await send_problem(send, refusal, id_, more)
    except RuntimeError:  # a raw route had begun its answer: the server cuts the connection
        _log.warning("answer_cut", request_id=id_, path=scope["path"])
    return refusal.kind.http
