"""The endpoints of messages, but for the two that carry the load (`hot`), which are described here."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from columba.core import ids, model, status
from columba.core.model import Message
from columba.core.submission import examine
from columba.errors import FieldError, Refusal
from columba.http import times
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, describe, endpoint
from columba.http.paging import Page
from columba.keys import Key
from columba.messages import shapes
from columba.messages.cancel import SQL, Canceling, find
from columba.messages.hot import BATCH_LIMIT, BODY_LIMIT
from columba.messages.listing import list_messages as page_of
from columba.messages.preview import preview
from columba.messages.redact import Redacting
from columba.numbers import Description, NumberError
from columba.numbers import describe as describe_number
from columba.spend import money
from columba.store import Store

TAG: Final = "Messages"

EXAMPLE: Final[model.Json] = {
    "to": "+447700900123",
    "from": "+12025550100",
    "text": "Your code is 1234",
    "class": "otp",
    "valid_for": 600,
    "tags": ["login"],
    "metadata": {"user": "42"},
}
MESSAGE: Final[model.Json] = {
    "id": "msg_0ajk7w2kn0401",
    "status": "queued",
    "direction": "outbound",
    "to": "+447700900123",
    "from": "+12025550100",
    "text": "Your code is 1234",
    "media": [],
    "class": "otp",
    "encoding": "gsm7",
    "segments": 1,
    "created_at": "2026-01-31T09:30:00.000Z",
    "updated_at": "2026-01-31T09:30:00.000Z",
    "send_at": None,
    "expires_at": "2026-01-31T09:40:00.000Z",
    "tags": ["login"],
    "metadata": {"user": "42"},
    "callback_url": None,
    "batch_id": None,
    "redacted": False,
    "error": None,
}
BATCH: Final[model.Json] = {
    "defaults": {"from": "+12025550100", "class": "transactional"},
    "messages": [
        {"to": "+447700900123", "text": "Your parcel comes today"},
        {"to": "+44", "text": "Your parcel comes tomorrow"},
    ],
}
BATCH_ANSWER: Final[model.Json] = {
    "batch_id": "bat_0ajk7w2kn0402",
    "accepted": 1,
    "refused": 1,
    "data": [
        {"id": "msg_0ajk7w2kn0403", "to": "+447700900123", "status": "queued"},
        {"to": "+44", "error": {"code": "invalid_number", "detail": "to: The number is too short."}},
    ],
}

SEND: Final = """
It is safe once it is answered: the message is on the disk, and reaches a final status or `unknown`. What becomes of it
is told by webhooks, by the stream of events and by `GET /v1/messages/{id}`.

A text is sent as GSM 7-bit where it can be, 160 characters a part, else as UCS-2, 70 characters a part; at most 10
parts. `smart_encoding` replaces quotes, dashes and the like where that makes a text cheaper.
""".strip()
SEND_BATCH: Final = """
Each row is accepted or refused by itself: `data` has one line for each, in the order given, with an `id` or an `error`.
The accepted ones are safe once this is answered.
""".strip()
LIST: Final = """
The newest first. Filters can be combined. A page may hold fewer messages than `limit`, even none, while `next_cursor` is
not null: go on until it is.
""".strip()


def endpoints(
    store: Store,
    cancel: Canceling,
    redact: Redacting,
    clock: Callable[[], int],
    country: Callable[[int], str | None] = lambda _account_id: None,
) -> list[Endpoint]:
    """`country` gives an account's default country."""

    send_message = describe(
        "POST", "/v1/messages", name="send_message", tag=TAG, summary="Send a message", description=SEND,
        body=shapes.NewMessage, body_limit=BODY_LIMIT, answer=shapes.Message, status=202, scope="messages:write",
        refusals=(
            "invalid_number", "invalid_sender", "invalid_text", "invalid_time", "invalid_url", "forbidden_url",
            "no_route", "no_recipient", "opted_out", "sender_not_allowed", "not_a_template", "insufficient_balance",
            "daily_cap_reached", "no_price", "store_unavailable",
        ),
        idempotency="own", example=EXAMPLE, answer_example=MESSAGE,
    )  # fmt: skip
    send_batch = describe(
        "POST", "/v1/messages/batch", name="send_batch", tag=TAG, summary="Send up to 10,000 messages",
        description=SEND_BATCH, body=shapes.NewBatch, body_limit=BATCH_LIMIT, answer=shapes.BatchAnswer, status=202,
        scope="messages:write", refusals=("too_many", "store_unavailable"), idempotency="own", example=BATCH,
        answer_example=BATCH_ANSWER,
    )  # fmt: skip

    async def load(call: Call[Any, Any]) -> Message:
        who = caller_of(call)
        an_id = ids.read("msg", call.path["id"])
        found = None if an_id is None else await find(store, who.account_id, who.mode, an_id)
        if found is None:
            raise Refusal("not_found", "There is no such message.")
        return found

    @endpoint(
        "GET", "/v1/messages", query=shapes.Messages, answer=Page[shapes.Message], scope="messages:read", tag=TAG,
        summary="List messages", description=LIST,
    )  # fmt: skip
    async def list_messages(call: Call[None, shapes.Messages]) -> Page[model.Json]:
        who = caller_of(call)
        return await page_of(store, who.account_id, who.mode, country(who.account_id), call.query)

    @endpoint(
        "GET", "/v1/messages/{id}", answer=shapes.MessageDetail, scope="messages:read", tag=TAG,
        summary="Get a message",
    )  # fmt: skip
    async def get_message(call: Call[None, None]) -> model.Json:
        """The message with its parts on the wire and its timeline."""
        return await detail(store, await load(call))

    @endpoint(
        "POST", "/v1/messages/{id}/cancel", answer=shapes.Message, scope="messages:write", tag=TAG,
        summary="Cancel a message", refusals=("not_cancelable",),
    )  # fmt: skip
    async def cancel_message(call: Call[None, None]) -> model.Json:
        """A message that is scheduled, or queued and not yet on its way, is never sent. One that is just leaving may
        take a moment to answer; when it has left, it is refused with `not_cancelable`."""
        return model.view(await cancel(await load(call)))

    @endpoint(
        "POST", "/v1/messages/{id}/redact", answer=shapes.Message, scope="messages:write", tag=TAG,
        summary="Redact a message", refusals=("conflict",),
    )  # fmt: skip
    async def redact_message(call: Call[None, None]) -> model.Json:
        """Removes the text and the media for good, here and from events that are shown or sent from now on; the record
        stays. A message that has not left yet needs its text: cancel it first. Doing it again changes nothing."""
        return model.view(await redact(await load(call)))

    @endpoint(
        "POST", "/v1/messages/preview", body=shapes.NewPreview, answer=shapes.Preview, tag=TAG,
        summary="See how a text would be sent",
        example={"text": "It’s ready – come by…", "to": "+447700900123"},
    )  # fmt: skip
    async def preview_message(call: Call[shapes.NewPreview, None]) -> shapes.Preview:
        """Encoding, parts and price-doubling characters of a text, and what a number's digits tell. Nothing is sent or
        kept. `problems` are the reasons for which the message would be refused."""
        of_account = country(caller_of(call).account_id)
        return preview(call.body, of_account, lambda asked: examine(asked, of_account, clock()).problems)

    @endpoint(
        "GET", "/v1/numbers/{number}", answer=Description, tag="Numbers", summary="Look up a number",
        refusals=("invalid_number",),
    )  # fmt: skip
    async def look_up_number(call: Call[None, None]) -> Description:
        """What its digits tell: country, kind of line, time zones. No network is asked: numbers may have been ported."""
        try:
            return describe_number(call.path["number"], country(caller_of(call).account_id))
        except NumberError as error:
            raise invalid([FieldError("number", "invalid_number", error.detail)]) from None

    return [
        send_message,
        send_batch,
        list_messages,
        get_message,
        cancel_message,
        redact_message,
        preview_message,
        look_up_number,
    ]


async def detail(store: Store, message: Message) -> model.Json:
    """The message with its parts and its timeline."""
    shown = model.view(message)
    rows = await store.read(SQL["parts"], id=message.id)
    shown["parts"] = [
        {
            "n": n,
            "hop": hop + 1,
            "carrier": ids.show("car", carrier_id),
            "carrier_message_id": carrier_message_id,
            "status": status.NAMES[part_status],
            "error": model.error_view(error, code),
            "sent_at": times.rfc3339(sent_at),
            "done_at": None if done_at is None else times.rfc3339(done_at),
            "price": None if price is None else money.show(price),
        }
        for hop, n, carrier_id, carrier_message_id, part_status, error, code, sent_at, done_at, price, _ in rows
    ]
    priced = [row[9] for row in rows if row[9] is not None]
    shown["price"] = money.show(sum(priced)) if priced else None
    shown["currency"] = next((row[10] for row in rows if row[10] is not None), None)
    shown["timeline"] = [
        {
            "status": status.NAMES.get(kind),
            "type": model.TYPES.get(kind, "other"),
            "at": times.rfc3339(at),
            "event": ids.show("evt", an_id),
            "data": None if data is None else msgspec.json.decode(data),
        }
        for an_id, kind, at, data in await store.read(SQL["timeline"], id=message.id)
    ]
    return shown


def caller_of(call: Call[Any, Any]) -> Key:
    """Who asks."""
    assert isinstance(call.caller, Key)
    return call.caller
