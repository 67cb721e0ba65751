"""The endpoints of events: the list, one, and the stream."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from columba.core import ids, model
from columba.core.model import TYPES
from columba.errors import FieldError, Refusal
from columba.events.feed import SQL, Feed, shown
from columba.http import times
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, encode_cursor
from columba.http.sse import EventStream, StreamEvent
from columba.http.times import Timestamp
from columba.keys import Key, Keys
from columba.messages.sift import sift
from columba.store import Row, Store
from columba.webhooks.endpoints import matches

TAG: Final = "Events"
LAST_ID: Final = (1 << 63) - 1
EVERY_TYPE: Final = frozenset(TYPES)

Patterns = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1_000,
        description="Event types, apart by commas; `message.*` is all of a kind.",
        examples=["message.delivered,webhook.*"],
    ),
]


class Event(msgspec.Struct):
    """A fact with an id that never changes: what webhooks are sent, too.

    data: what it is about: the message as it was at that moment, for `message.*`
    """

    id: str
    type: str
    timestamp: Timestamp
    account_id: str
    data: dict[str, Any]


class Events(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events.

    message_id: those of one message
    """

    type: Patterns | None = None
    message_id: Annotated[str, Meta(max_length=64)] | None = None


class Following(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to follow.

    last_event_id: the last event that was seen; the header Last-Event-ID, where there is one, wins
    """

    type: Patterns | None = None
    last_event_id: Annotated[str, Meta(max_length=64)] | None = None


LIST: Final = """
The newest first. A page may hold fewer events than `limit`, even none, while `next_cursor` is not null: go on until it
is.
""".strip()
STREAM: Final = """
Server-Sent Events, as they happen: `id` is the event's id, `event` its type, `data` the event as webhooks get it. It goes
on until you leave. A client that comes back says in `Last-Event-ID` (browsers do so by themselves) or `last_event_id`
which event it has seen last, and gets every later one, once; without it the stream begins now. If that event is no
longer there, the stream begins with the oldest one after it that is, and may repeat a few. If it is older than events are
kept (`keep_events`), others after it may have gone too: then the stream begins with a message `missed`, which has no id
and says as data which event was asked for, `last_event_id`, and since when events are kept, `kept_since`.
""".strip()


def endpoints(
    store: Store, feed: Feed, keys: Keys, stopping: asyncio.Event, kept_since: Callable[[], int]
) -> list[Endpoint]:
    """`stopping` ends the streams; `kept_since` is the time before which events are let go, 0 for none."""

    @endpoint(
        "GET", "/v1/events", query=Events, answer=Page[Event], scope="messages:read", tag=TAG, summary="List events",
        description=LIST,
    )  # fmt: skip
    async def list_events(call: Call[None, Events]) -> Page[model.Json]:
        who, query = _caller(call), call.query
        types = types_of("type", query.type)
        of_message = None if query.message_id is None else ids.read("msg", query.message_id)
        if query.message_id is not None and of_message is None:
            raise invalid([FieldError("message_id", "invalid_value", "Expected the id of a message (msg_...).")])
        statement = SQL["newest"] if of_message is None else SQL["newest_of_message"]
        cursor = decode_cursor(query.cursor, tuple[int])

        async def newest(below: int, most: int) -> Sequence[Row]:
            return await store.read(
                statement, account_id=who.account_id, mode=who.mode, subject=of_message, before=below, most=most
            )

        async def pick(rows: Sequence[Row], most: int) -> list[Any]:
            wanted = [row[0] for row in rows if row[1] in types][:most]
            return [(each.id, each) for each in await shown(store, who.account_id, who.mode, wanted)] if wanted else []

        found, then = await sift(newest, pick, LAST_ID if cursor is None else cursor[0], query.limit)
        return Page([model.event_view(event) for _, event in found], None if then is None else encode_cursor(then))

    @endpoint(
        "GET", "/v1/events/{id}", answer=Event, scope="messages:read", tag=TAG, summary="Get an event",
    )  # fmt: skip
    async def get_event(call: Call[None, None]) -> model.Json:
        """The event as it was sent to webhooks; without the text, if its message was redacted since."""
        who = _caller(call)
        an_id = ids.read("evt", call.path["id"])
        found = [] if an_id is None else await shown(store, who.account_id, who.mode, [an_id])
        if not found:
            raise Refusal("not_found", "There is no such event.")
        return model.event_view(found[0])

    @endpoint(
        "GET", "/v1/events/stream", query=Following, media="text/event-stream", scope="messages:read", tag=TAG,
        summary="Follow events", description=STREAM,
    )  # fmt: skip
    async def stream_events(call: Call[None, Following]) -> EventStream:
        who = _caller(call)
        types = types_of("type", call.query.type)
        last = last_event(call)
        feed.check_room()
        place = now = await feed.now()
        if last is not None:
            place = await feed.place(who.account_id, who.mode, last)

        follow = feed.follow(who.account_id, who.mode, place, now, types, lambda: keys.still(who))
        since = kept_since()
        if last and ids.time_of(last) < since and not await feed.is_there(who.account_id, who.mode, last):
            follow = _after_a_gap(follow, {"last_event_id": ids.show("evt", last), "kept_since": times.rfc3339(since)})
        return EventStream(follow, stopping)

    return [list_events, get_event, stream_events]


async def _after_a_gap(
    events: AsyncGenerator[StreamEvent, None], said: model.Json
) -> AsyncGenerator[StreamEvent, None]:
    try:
        yield StreamEvent("", "missed", msgspec.json.encode(said))
        async for each in events:
            yield each
    finally:
        await events.aclose()


def types_of(field: str, patterns: str | None) -> frozenset[int]:
    """The event types that patterns name. One that names none is refused."""
    if patterns is None:
        return EVERY_TYPE
    found: set[int] = set()
    for pattern in patterns.split(","):
        numbers = {number for number, name in TYPES.items() if matches(pattern.strip(), name)}
        if not numbers:
            raise invalid([FieldError(field, "invalid_value", f"There is no event type {pattern.strip()[:40]!r}.")])
        found |= numbers
    return frozenset(found)


def last_event(call: Call[None, Following]) -> int | None:
    """The event after which to begin, if one is named."""
    header = call.header("last-event-id")
    field, text = ("Last-Event-ID", header) if header else ("last_event_id", call.query.last_event_id)
    if not text:
        return None
    an_id = ids.read("evt", text)
    if an_id is None:
        raise invalid([FieldError(field, "invalid_value", "Expected the id of an event (evt_...).")])
    return an_id


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
