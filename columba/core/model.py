"""What travels on the main path: submissions, messages, events, and how a message is shown to its owner.

`Message` is the record in memory while it is on its way; the store keeps the same facts as rows. `view` is the one
place that turns it into the JSON of the API, of webhooks and of the stream.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from columba.core import ids, status

Json = dict[str, Any]


class Extra(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What most messages don't have: kept as one JSON text beside the body."""

    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    media: list[str] | None = None
    callback_url: str | None = None
    send_at: int | None = None
    redacted_at: int | None = None
    receipts: int | None = None  # which outcomes an SMPP program wants to hear of, where not all


NO_EXTRA = Extra()


class Message(msgspec.Struct, gc=False):
    """One text to or from one person."""

    id: int
    account_id: int
    mode: int
    direction: int
    klass: int
    lane: int
    to: str
    sender: str
    text: str | None
    encoding: int
    segments: int
    status: int
    due_at: int
    expires_at: int
    updated_at: int
    attempts: int = 0
    batch_id: int | None = None
    error: str | None = None
    carrier_code: str | None = None
    extra: Extra = NO_EXTRA
    callback: int | None = None
    sent_parts: tuple[int, ...] = ()
    maybe_sent: bool = False

    @property
    def cost(self) -> int:
        return self.segments


class Event(msgspec.Struct, gc=False):
    """A fact with a stable id. `message` is there when it is about one; else `data` says what it is about."""

    id: int
    account_id: int
    mode: int
    type: int
    subject: int
    at: int
    data: Json | None = None
    message: Message | None = None


WEBHOOK_FAILING, WEBHOOK_DISABLED, WEBHOOK_RECOVERED, DELIVERY_EXHAUSTED, WEBHOOK_TEST = 100, 101, 102, 103, 104
TYPES: dict[int, str] = {
    **{number: f"message.{name}" for number, name in status.NAMES.items()},
    WEBHOOK_FAILING: "webhook.failing",
    WEBHOOK_DISABLED: "webhook.disabled",
    WEBHOOK_RECOVERED: "webhook.recovered",
    DELIVERY_EXHAUSTED: "delivery.exhausted",
    WEBHOOK_TEST: "webhook.test",
}
TYPE_NUMBERS = {name: number for number, name in TYPES.items()}

_decode_extra = msgspec.json.Decoder(Extra).decode
_encode = msgspec.json.Encoder().encode

# The columns of `message_columns` in core.sql, in order.
COLUMNS = (
    "m.id, m.account_id, m.mode, m.direction, m.class, m.lane, m.to_addr, m.from_addr, b.text, m.encoding, m.segments, "
    "m.status, m.due_at, m.expires_at, m.updated_at, m.attempts, m.batch_id, m.error, m.carrier_code, b.extra"
)


def message_of(row: Any) -> Message:
    """From a row that starts with COLUMNS."""
    message = Message(*row[:19])
    if row[19] is not None:
        message.extra = _decode_extra(row[19])
    return message


def extra_text(extra: Extra) -> str | None:
    return None if extra is NO_EXTRA else _encode(extra).decode()


_seconds: dict[int, str] = {}


def rfc3339(ms: int) -> str:
    """2026-11-20T03:18:00.123Z. Seconds are remembered: most calls are about a few of them."""
    whole, rest = divmod(ms, 1000)
    text = _seconds.get(whole)
    if text is None:
        if len(_seconds) > 1_000:
            _seconds.clear()
        text = _seconds[whole] = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}Z"


# What can go wrong with a message after it was accepted: `error.code` in its answer. Documented in docs/errors.md.
FAILURES: dict[str, str] = {
    "unknown_number": "The carrier says that the number does not exist.",
    "unreachable": "The phone could not be reached in time.",
    "filtered": "The carrier's spam filter stopped the message.",
    "opted_out": "The recipient has opted out at the carrier.",
    "rejected": "The carrier rejected the message.",
    "carrier_failed": "The carrier failed while it handled the message.",
    "carrier_unavailable": "The carrier could not be reached until the last attempt, or it was deleted.",
    "throttled": "The carrier had no room for the message until the last attempt.",
    "expired": "The message's validity ended before it could be delivered.",
    "no_answer": "The carrier never answered: the message may or may not have been delivered.",
    "no_receipt": "The carrier took the message and never told what became of it.",
    "deleted": "The carrier deleted the message.",
}


def error_view(code: str | None, carrier_code: str | None) -> Json | None:
    if code is None:
        return None
    return {"code": code, "detail": FAILURES.get(code, code), "carrier_code": carrier_code}


def view(message: Message) -> Json:
    """The message as its owner sees it."""
    extra = message.extra
    an_id = message.id
    return {
        "id": ids.show("msg", an_id),
        "status": status.NAMES[message.status],
        "direction": status.DIRECTIONS[message.direction],
        "to": message.to,
        "from": message.sender or None,
        "text": message.text,
        "media": extra.media or [],
        "class": status.CLASSES[message.klass],
        "encoding": status.ENCODINGS[message.encoding],
        "segments": message.segments,
        "created_at": rfc3339(ids.time_of(an_id)),
        "updated_at": rfc3339(message.updated_at),
        "send_at": rfc3339(extra.send_at) if extra.send_at is not None else None,
        "expires_at": rfc3339(message.expires_at) if message.expires_at else None,
        "tags": extra.tags or [],
        "metadata": extra.metadata or {},
        "callback_url": extra.callback_url,
        "batch_id": ids.show("bat", message.batch_id) if message.batch_id is not None else None,
        "redacted": extra.redacted_at is not None,
        "error": error_view(message.error, message.carrier_code),
    }


OTHER_EVENTS = 100  # types below are the statuses of messages
_WITH_ERROR = (status.UNKNOWN, status.UNDELIVERED, status.FAILED, status.EXPIRED)


def event_view(event: Event) -> Json:
    """The event as webhooks, the list and the stream show it: the message as it was at that moment."""
    message = event.message
    if message is not None:
        data = view(message)
        if event.type < OTHER_EVENTS:  # the message may have gone on since
            data["status"] = status.NAMES[event.type]
            data["updated_at"] = rfc3339(event.at)
            if event.type not in _WITH_ERROR:
                data["error"] = None
        if event.data:
            data.update(event.data)
    else:
        data = event.data or {}
    return {
        "id": ids.show("evt", event.id),
        "type": TYPES[event.type],
        "timestamp": rfc3339(event.at),
        "account_id": ids.show("acc", event.account_id),
        "data": data,
    }
