"""Endpoints, each declared once: routing, decoding, auth, paging and its place in the API's document follow from it.

    @endpoint("POST", "/v1/webhooks", body=NewWebhook, answer=Webhook, status=201, scope="webhooks:write",
              tag="Webhooks", summary="Add a webhook endpoint", refusals=("invalid_url", "forbidden_url"))
    async def create_webhook(call: Call[NewWebhook, None]) -> Webhook: ...

A handler returns its answer's value, an `Answer` where status or headers differ, or a whole Response or EventStream. It
raises Refusal for what it does not do. A declaration that makes no sense raises ValueError when it is made.
"""

import hashlib
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, Required, TypedDict, TypeVar, Unpack

import msgspec
from starlette.types import Scope

from columba.errors import CATALOGUE
from columba.http.wire import BODY_LIMIT, Headers, Pairs, idempotency_key

Body = TypeVar("Body")
Query = TypeVar("Query")

Keeper = Literal["auto", "own", "none"]
"""Who keeps the first answer to a POST for its Idempotency-Key: this toolbox, the handler itself, nobody."""

PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")


class Caller(Protocol):
    """Who asks: whatever the auth hook returned, with the scopes that it has in the end."""

    @property
    def account_id(self) -> int: ...
    @property
    def mode(self) -> int: ...
    @property
    def scopes(self) -> Collection[str]: ...
    @property
    def key_id(self) -> str: ...


class Call(Generic[Body, Query]):
    """One request, as its endpoint's handler sees it."""

    __slots__ = ("_caller", "body", "client", "context", "headers", "path", "query", "raw", "request_id", "scope")

    def __init__(
        self,
        caller: Caller | None,
        body: Body,
        query: Query,
        path: dict[str, str],
        request_id: str,
        headers: Headers,
        client: str,
        context: Any,
        raw: bytes,
        scope: Scope,
    ) -> None:
        self._caller = caller
        self.body = body
        self.query = query
        self.path = path
        self.request_id = request_id
        self.headers = headers
        self.client = client
        self.context = context
        self.raw = raw
        self.scope = scope

    @property
    def caller(self) -> Caller:
        """Who asks. A public endpoint has nobody to name."""
        assert self._caller is not None
        return self._caller

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        value = self.headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    @property
    def idempotency_key(self) -> str | None:
        """The Idempotency-Key, checked: for endpoints that keep their first answers themselves."""
        return idempotency_key(self.headers)

    @property
    def fingerprint(self) -> bytes:
        """What a repeated request must share with the first."""
        return fingerprint(self.scope, self.raw)


def fingerprint(scope: Scope, raw: bytes) -> bytes:
    """A hash of method, path, query and body."""
    place = f"{scope['method']} {scope['path']}?".encode("utf-8", "surrogateescape") + scope["query_string"]
    return hashlib.sha256(b"%d %b%b" % (len(place), place, raw)).digest()


class Answer(NamedTuple):
    """A value with a status or headers other than the declared ones."""

    value: Any
    status: int | None = None
    headers: Pairs = ()


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


class Declared(TypedDict, total=False):
    """What can be said of an endpoint besides its method, path and name."""

    tag: Required[str]
    summary: Required[str]
    description: str
    body: Any  # its type; none is read without one
    body_limit: int
    body_may_be_missing: bool
    form: bool  # the body is an HTML form
    files: bool  # the body may also be of another type, a file itself or a form that has it: `raw` is it, `body` None
    query: type[msgspec.Struct]
    answer: Any  # its type; 204 without one
    status: int
    media: str  # of an answer that is not JSON
    scope: str  # that a key must have
    public: bool  # needs no key
    refusals: Sequence[str]  # codes beyond those that every endpoint has
    errors: Mapping[int, Any]  # by their status: what it answers where another standard has a shape for errors
    idempotency: Keeper
    example: Any  # a body
    answer_example: Any


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint: all that routing, serving and documenting it take. Without a handler it is documented only."""

    method: str
    path: str
    name: str
    handler: Handler | None
    tag: str
    summary: str
    description: str = ""
    body: Any = None
    body_limit: int = BODY_LIMIT
    body_may_be_missing: bool = False
    form: bool = False
    files: bool = False
    query: type[msgspec.Struct] | None = None
    answer: Any = None
    status: int
    media: str = "application/json"
    scope: str | None = None
    public: bool = False
    refusals: Sequence[str] = ()
    errors: Mapping[int, Any] = {}
    idempotency: Keeper
    example: Any = None
    answer_example: Any = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(PARAMETER.findall(self.path))


def describe(
    method: str, path: str, *, name: str, handler: Handler | None = None, **declared: Unpack[Declared]
) -> Endpoint:
    """An Endpoint. Called by itself for what a raw route serves: then it is documented only."""
    parts = path.split("/")[1:]
    if not path.startswith("/") or not all(PARAMETER.fullmatch(part) or (part and "{" not in part) for part in parts):
        raise ValueError(f"{path} is no path: a parameter is a whole segment, and no segment is empty")
    if unknown := [code for code in declared.get("refusals", ()) if code not in CATALOGUE]:
        raise ValueError(f"{method} {path} names refusals that the catalogue lacks: {', '.join(unknown)}")
    public = declared.get("public", False)
    if public and ("scope" in declared or declared.get("idempotency") == "auto"):
        raise ValueError(f"{method} {path} is public: there is no key to ask for its scope or to keep an answer for")
    silent = declared.get("answer") is None and "media" not in declared
    declared.setdefault("status", 204 if silent else 200)
    declared.setdefault("idempotency", "auto" if method == "POST" and not public else "none")
    return Endpoint(method=method, path=path, name=name, handler=handler, **declared)


def endpoint(method: str, path: str, *, name: str = "", **declared: Unpack[Declared]) -> Callable[[Handler], Endpoint]:
    """Declare the function below as an endpoint. Its name and its description are the function's, if not given."""

    def declare(handler: Handler) -> Endpoint:
        declared.setdefault("description", inspect.getdoc(handler) or "")
        return describe(method, path, name=name or handler.__name__, handler=handler, **declared)

    return declare
