"""What travels on the main path: submissions, messages, events, and how a message is shown to its owner.

`Message` is the record in memory while it is on its way; the store keeps the same facts as rows. `view` is the one
place that turns it into the JSON of the API, of webhooks and of the stream.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from columba.core import ids, status

Json = dict[str, Any]


class Raw(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part as a program encoded it, for networks that take it so. Without a text it is for nobody's eyes.

    `esm_class` tells whether the octets begin with a header; `alphabet` what the network's default one has to be for the
    data_coding to mean what it did, "" where it doesn't matter.
    """

    octets: bytes
    data_coding: int = 0
    esm_class: int = 0
    protocol_id: int = 0
    alphabet: str = ""
    tlvs: list[tuple[int, bytes]] = []


BINARY = 2  # the encoding of what is no text


def segments_of_raw(parts: Sequence[Raw]) -> int:
    """How many SMS they are: a part each, but for one that is too long for that."""
    if len(parts) != 1:
        return len(parts)
    octets = len(parts[0].octets)
    fits = 160 if parts[0].alphabet else 140  # septets come one an octet
    return 1 if octets <= fits else -(-octets // 134)


class Extra(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What most messages don't have: kept as one JSON text beside the body."""

    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    media: list[str] | None = None
    callback_url: str | None = None
    send_at: int | None = None
    redacted_at: int | None = None
    receipts: int | None = None  # which outcomes an SMPP program wants to hear of, where not all
    waits_for: str | None = None  # why it is scheduled, where nobody asked for that
    advice: tuple[int | str, ...] | None = None  # the score of its text, and the codes of what speaks against it
    raw: list[Raw] | None = None  # the parts, where a program has encoded them
    linked: bool = False  # the media are links in the text
    again: int | None = None  # how often it was sent anew after a carrier had taken it: for its owner it is `sent`


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
CARRIER_DOWN, CARRIER_UP = 111, 112
MEDIA_RECEIVED, MEDIA_FAILED = 120, 121
FORWARD_DELIVERED, FORWARD_FAILED, FORWARD_DEAD, ACTION_DONE, ACTION_FAILED = 130, 131, 132, 133, 134
DESTINATION_FAILING, DESTINATION_RECOVERED = 135, 136
CONSENT_OPTED_OUT, CONSENT_OPTED_IN, CONSENT_REQUESTED = 160, 161, 162
VERIFICATION_APPROVED, VERIFICATION_EXPIRED, VERIFICATION_CANCELED, VERIFICATION_BLOCKED = 180, 181, 182, 183
PRIVACY_ERASED = 190
MESSAGE_REROUTED = 110
TYPES: dict[int, str] = {
    **{number: f"message.{name}" for number, name in status.NAMES.items()},
    MESSAGE_REROUTED: "message.rerouted",
    WEBHOOK_FAILING: "webhook.failing",
    WEBHOOK_DISABLED: "webhook.disabled",
    WEBHOOK_RECOVERED: "webhook.recovered",
    DELIVERY_EXHAUSTED: "delivery.exhausted",
    WEBHOOK_TEST: "webhook.test",
    VERIFICATION_APPROVED: "verification.approved",
    VERIFICATION_EXPIRED: "verification.expired",
    VERIFICATION_CANCELED: "verification.canceled",
    VERIFICATION_BLOCKED: "verification.blocked",
    PRIVACY_ERASED: "privacy.erased",
    CONSENT_OPTED_OUT: "consent.opted_out",
    CONSENT_OPTED_IN: "consent.opted_in",
    CONSENT_REQUESTED: "consent.requested",
    FORWARD_DELIVERED: "forward.delivered",
    FORWARD_FAILED: "forward.failed",
    FORWARD_DEAD: "forward.dead",
    ACTION_DONE: "action.done",
    ACTION_FAILED: "action.failed",
    DESTINATION_FAILING: "destination.failing",
    DESTINATION_RECOVERED: "destination.recovered",
    CARRIER_DOWN: "carrier.down",
    CARRIER_UP: "carrier.up",
    MEDIA_RECEIVED: "media.received",
    MEDIA_FAILED: "media.failed",
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
_MILLIS = [f".{ms:03d}Z" for ms in range(1000)]


def rfc3339(ms: int) -> str:
    """2026-11-20T03:18:00.123Z. Seconds are remembered: most calls are about a few of them."""
    whole, rest = divmod(ms, 1000)
    text = _seconds.get(whole)
    if text is None:
        if len(_seconds) > 1_000:
            _seconds.clear()
        text = _seconds[whole] = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + _MILLIS[rest]


# What can go wrong with a message after it was accepted: `error.code` in its answer. Documented in docs/errors.md.
FAILURES: dict[str, str] = {
    "unknown_number": "The carrier says that the number does not exist.",
    "unreachable": "The phone could not be reached in time.",
    "filtered": "The carrier's spam filter stopped the message.",
    "opted_out": "The recipient has opted out, here or at the carrier.",
    "rejected": "The carrier rejected the message.",
    "carrier_failed": "The carrier failed while it handled the message.",
    "carrier_unavailable": "The carrier could not be reached until the last attempt, or it was deleted.",
    "throttled": "The carrier had no room for the message until the last attempt.",
    "expired": "The message's validity ended before it could be delivered.",
    "no_answer": "The carrier never answered: the message may or may not have been delivered.",
    "no_receipt": "The carrier took the message and never told what became of it.",
    "deleted": "The carrier deleted the message.",
    "not_approved": "Its text was held, and rejected by a person.",
}


def error_view(code: str | None, carrier_code: str | None) -> Json | None:
    if code is None:
        return None
    return {"code": code, "detail": FAILURES.get(code, code), "carrier_code": carrier_code}


def media_link(word: str) -> str:
    """What a message's media are shown as: a URL is itself, and what is kept here the link that `show_media` makes."""
    return _link(word) if word.startswith("med_") else word


_link: Callable[[str], str] = str


def show_media(link: Callable[[str], str]) -> None:
    """How kept media are shown from now on; said once, when the program starts."""
    global _link
    _link = link


# Why a message that should go now is scheduled: `waiting_for.reason`. Documented in docs/sending.md.
WAITS: dict[str, str] = {
    "quiet_hours": "It would have come in the recipient's quiet hours.",
    "approval": "Its text is held: approve or reject it.",
}
HELD_MS = 7_258_118_400_000  # 2200-01-01: when what waits for a person's word is due


def waiting_view(message: Message) -> Json | None:
    reason = message.extra.waits_for
    if message.status != status.SCHEDULED or reason is None:
        return None
    until = rfc3339(message.due_at) if message.due_at < HELD_MS else None
    return {"reason": reason, "detail": WAITS.get(reason, reason), "until": until}


def view(message: Message) -> Json:
    """The message as its owner sees it."""
    extra = message.extra
    an_id = message.id
    shown = {
        "id": ids.show("msg", an_id),
        "status": status.NAMES[message.status if extra.again is None else max(message.status, status.SENT)],
        "direction": status.DIRECTIONS[message.direction],
        "to": message.to,
        "from": message.sender or None,
        "text": message.text,
        "media": [media_link(word) for word in extra.media] if extra.media else [],
        "class": status.CLASSES[message.klass],
        "encoding": status.ENCODINGS[message.encoding],
        "segments": message.segments,
        "created_at": rfc3339(ids.time_of(an_id)),
        "updated_at": rfc3339(message.updated_at),
        "send_at": rfc3339(extra.send_at) if extra.send_at is not None else None,
        "expires_at": rfc3339(message.expires_at) if 0 < message.expires_at < HELD_MS else None,
        "tags": extra.tags or [],
        "metadata": extra.metadata or {},
        "callback_url": extra.callback_url,
        "batch_id": ids.show("bat", message.batch_id) if message.batch_id is not None else None,
        "redacted": extra.redacted_at is not None,
        "error": None if message.error is None else error_view(message.error, message.carrier_code),
    }
    if extra.waits_for is not None and (waiting := waiting_view(message)) is not None:
        shown["waiting_for"] = waiting
    if extra.advice is not None:
        shown["advice"] = {"score": extra.advice[0], "reasons": [*extra.advice[1:]]}
    return shown


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
