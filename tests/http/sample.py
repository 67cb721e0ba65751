"""A small API with something of everything; `python -m tests.http.sample PORT` shows it in a browser."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from columba.errors import FieldError, Refusal
from columba.http import openapi
from columba.http.dispatch import Allowance, Stored, build
from columba.http.docs_page import docs_routes
from columba.http.endpoint import Answer, Call, Caller, Endpoint, describe, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.sse import EventStream, StreamEvent
from columba.http.times import Moment, Timestamp, milliseconds, rfc3339
from columba.http.wire import Headers, read_body, send_answer


class Key(NamedTuple):
    """A caller."""

    account_id: int
    mode: int
    scopes: frozenset[str]
    key_id: str


KEYS = {
    b"Bearer ck_test_all": Key(1, 0, frozenset({"birds:read", "birds:write"}), "key_1"),
    b"Bearer ck_test_reads": Key(1, 0, frozenset({"birds:read"}), "key_2"),
}


class Perch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="perch"):
    """Rest somewhere.

    place: where
    """

    place: Annotated[str, Meta(min_length=1, max_length=20)]


class Fly(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="fly"):
    """Go somewhere."""

    heading: Annotated[int, Meta(ge=0, lt=360, description="Degrees from north.")]
    speed: Annotated[float, Meta(gt=0)] | None = None


class NewBird(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bird to keep.

    name: what to call it
    ring: its number, two letters and digits; one of
      `ring` and `chip` is needed
    """

    name: Annotated[str, Meta(min_length=1, max_length=20, examples=["Alba"])]
    ring: Annotated[str, Meta(pattern=r"^[A-Z]{2}[0-9]+$", max_length=12)] | None = None
    chip: Annotated[int, Meta(ge=1, le=999_999)] | None = None
    sex: Literal["hen", "cock"] | None = None
    hatched_at: Moment | None = None
    tags: Annotated[list[Annotated[str, Meta(max_length=10)]], Meta(max_length=3)] = []
    metadata: dict[Annotated[str, Meta(max_length=8)], str] = {}
    plan: Annotated[list[Perch | Fly], Meta(max_length=5)] = []
    homing: bool = True

    def check_name(self) -> Iterable[FieldError]:
        """No bird is called Nobody."""
        if self.name == "Nobody":
            yield FieldError("name", "invalid_value", "Expected another name.")

    def check_mark(self) -> Iterable[FieldError]:
        """A bird has a mark."""
        if self.ring is None and self.chip is None:
            yield FieldError("ring", "required", "Expected one of ring, chip.")


class Bird(msgspec.Struct, frozen=True, kw_only=True):
    """A bird that is kept."""

    id: str
    name: str
    hatched_at: Timestamp | None
    tags: list[str]


class Birds(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which birds.

    name: only those of this name
    """

    name: Annotated[str, Meta(max_length=20)] | None = None
    sex: Literal["hen", "cock"] | None = None
    tag: list[str] = []
    hatched_after: Moment | None = None


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for a token."""

    grant_type: Literal["client_credentials"]
    client_id: Annotated[str, Meta(max_length=64)]


class Token(msgspec.Struct, frozen=True):
    """A token."""

    access_token: str
    expires_in: int


class Loft:
    """What the handlers share."""

    def __init__(self) -> None:
        self.made = 0
        self.stopping = asyncio.Event()
        self.left = asyncio.Event()  # set when a stream's generator is closed


def fail(what: str) -> None:
    """Fail as a handler's own code might."""
    raise RuntimeError(f"the secret of {what}")


@endpoint(
    "POST",
    "/v1/birds",
    tag="Birds",
    summary="Keep a bird",
    body=NewBird,
    answer=Bird,
    status=201,
    scope="birds:write",
    refusals=("conflict", "invalid_time"),
    body_limit=4096,
    example={"name": "Alba", "ring": "GB123", "tags": ["white"]},
)
async def create_bird(call: Call[NewBird, None]) -> Bird | Answer:
    """Keeps a bird under a new id. A bird has a `ring` or a `chip`.

    A second paragraph, to see it:

        {"name": "Alba"}
    """
    match call.body.name:
        case "Taken":
            raise Refusal("conflict", "There is such a bird.")
        case "Broken":
            fail("the loft")
        case "Full":
            raise Refusal("overloaded", retry_after=7)
    call.context.made += 1
    bird = call.body
    hatched = None if bird.hatched_at is None else rfc3339(milliseconds(bird.hatched_at))
    made = Bird(id=f"brd_{call.context.made}", name=bird.name, hatched_at=hatched, tags=bird.tags)
    return Answer(made, headers=[(b"location", f"/v1/birds/{made.id}".encode())])


@endpoint("GET", "/v1/birds", tag="Birds", summary="List birds", query=Birds, answer=Page[Bird], scope="birds:read")
async def list_birds(call: Call[None, Birds]) -> Page[Bird]:
    """Lists birds, the newest first."""
    after = decode_cursor(call.query.cursor, tuple[int])
    first = after[0] + 1 if after else 0
    rows = list(range(first, min(first + call.query.limit + 1, 120)))
    return page(
        rows,
        call.query.limit,
        lambda row: Bird(id=f"brd_{row}", name=call.query.name or "Alba", hatched_at=None, tags=call.query.tag),
        lambda row: (row,),
    )


@endpoint("GET", "/v1/birds/{id}", tag="Birds", summary="Read a bird", answer=Bird, scope="birds:read")
async def read_bird(call: Call[None, None]) -> Bird:
    """Reads one bird."""
    if call.path["id"] == "brd_0":
        raise Refusal("not_found", "There is no such bird.")
    return Bird(id=call.path["id"], name=call.caller.key_id, hatched_at=rfc3339(0), tags=[call.request_id])


@endpoint("DELETE", "/v1/birds/{id}", tag="Birds", summary="Let a bird go", scope="birds:write")
async def delete_bird(call: Call[None, None]) -> None:
    """Lets one go."""


@endpoint(
    "POST",
    "/v1/birds/{id}/release",
    tag="Birds",
    summary="Release a bird",
    answer=Bird,
    body=Fly | Perch,
    body_may_be_missing=True,
)
async def release_bird(call: Call[Fly | Perch | None, None]) -> Bird:
    """Releases one."""
    name = "nowhere" if call.body is None else type(call.body).__name__
    return Bird(id=call.path["id"], name=name, hatched_at=None, tags=[])


@endpoint("GET", "/v1/birds/stream", tag="Birds", summary="Follow the birds", media="text/event-stream")
async def stream_birds(call: Call[None, None]) -> EventStream:
    """A stream of what birds do."""
    loft: Loft = call.context

    async def events() -> AsyncGenerator[StreamEvent, None]:
        first = int(call.header("last-event-id") or 0)
        try:
            for number in range(first + 1, first + 4):
                yield StreamEvent(str(number), "bird.seen", b'{"n":%d}' % number)
            await asyncio.Event().wait()
        finally:
            loft.left.set()

    return EventStream(events(), loft.stopping, heartbeat=0.02)


@endpoint(
    "POST", "/v1/oauth/token", tag="Auth", summary="Get a token", body=Grant, answer=Token, form=True, public=True
)
async def create_token(call: Call[Grant, None]) -> Token:
    """Gives a token."""
    return Token(f"token of {call.body.client_id}", 3600)


@endpoint("GET", "/v1/plain", tag="Auth", summary="Plain text", media="text/plain", public=True)
async def read_plain(call: Call[None, None]) -> PlainTextResponse:
    """Not JSON."""
    return PlainTextResponse("coo", headers={"x-own": "1"})


ENDPOINTS: list[Endpoint] = [
    create_bird,
    list_birds,
    read_bird,
    delete_bird,
    release_bird,
    stream_birds,
    create_token,
    read_plain,
    describe(
        "POST",
        "/v1/raw",
        name="send_raw",
        tag="Raw",
        summary="A raw route",
        body=NewBird,
        answer=Bird,
        status=202,
        idempotency="own",
    ),
]


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """A raw route: says how long its body was; fails as the body asks it to."""
    body = await read_body(receive, 1000, dict(scope["headers"]))
    if body == b"refuse":
        raise Refusal("no_route")
    if body == b"fail":
        fail("the raw route")
    await send_answer(send, 202, b"%d" % len(body))
    if body == b"fail late":
        fail("the raw route")


async def authenticate(headers: Headers, client: str) -> Caller:
    """By a fixed table."""
    key = KEYS.get(headers.get(b"authorization", b""))
    if key is None:
        raise Refusal("unauthorized")
    return key


class Kept:
    """First answers in a dictionary."""

    def __init__(self) -> None:
        self.answers: dict[tuple[int, str], tuple[bytes, Stored | None]] = {}

    async def begin(self, caller: Caller, key: str, fingerprint: bytes) -> Stored | Refusal | None:
        """As the protocol has it."""
        known = self.answers.get((caller.account_id, key))
        if known is None:
            self.answers[caller.account_id, key] = (fingerprint, None)
            return None
        if known[0] != fingerprint:
            return Refusal("idempotency_mismatch")
        return known[1] or Refusal("idempotency_in_progress", retry_after=1)

    async def finish(self, caller: Caller, key: str, status: int, body: bytes) -> None:
        """As the protocol has it."""
        self.answers[caller.account_id, key] = (self.answers[caller.account_id, key][0], Stored(status, body))

    async def abandon(self, caller: Caller, key: str) -> None:
        """As the protocol has it."""
        del self.answers[caller.account_id, key]


class Budget:
    """So many requests for everyone."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, caller: Caller, endpoint: Endpoint) -> Allowance:
        self.left -= 1
        return Allowance(10, self.left, 4)


def document() -> dict[str, Any]:
    """The sample's own description."""
    return openapi.document(
        ENDPOINTS,
        title="Loft",
        version="1.2.3",
        description="Keeps `birds`.\n\nSend them out and they come back.",
        tags={"Birds": "All about birds."},
        scopes={"birds:read": "See the birds."},
        webhooks=[openapi.Webhook("bird.seen", "A bird was seen", Bird)],
    )


def app(loft: Loft, *, budget: Budget | None = None, observed: list[Any] | None = None) -> ASGIApp:
    """The sample as an ASGI app."""
    ids = itertools.count(1)

    async def old(request: Any) -> PlainTextResponse:
        return PlainTextResponse("old")

    return build(
        ENDPOINTS,
        authenticate=authenticate,
        new_request_id=lambda: f"req_{next(ids)}",
        clock=lambda: 0.0,
        idempotency=Kept(),
        limit=budget,
        observe=None if observed is None else lambda *seen: observed.append(seen),
        context=loft,
        raw_routes={("POST", "/v1/raw"): raw, **docs_routes(document)},
        routes=[Mount("/old", routes=[Route("/page", old)])],
    )


if __name__ == "__main__":
    import sys

    import uvicorn

    uvicorn.run(app(Loft()), port=int(sys.argv[1]), log_level="warning", lifespan="off")
