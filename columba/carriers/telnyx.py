"""Carriers of kind `telnyx`: Telnyx's Messaging API v2, SMS and MMS.

One request a message: Telnyx cuts long texts. Callbacks are JSON, signed with Ed25519 over the moment and the body.
"""

import base64
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from columba.carriers import SECRET
from columba.carriers.over_http import (
    ACCOUNT,
    EXPIRED,
    FILTERED,
    JSON,
    NO_SUCH_NUMBER,
    NOT_HERE,
    OPTED_OUT,
    REJECTED,
    TOLERANCE_S,
    TOO_FAST,
    TROUBLE,
    UNREACHABLE,
    About,
    Api,
    Callback,
    Request,
    Said,
    Unsendable,
    Unsigned,
    Url,
    Way,
    by_status,
    encode,
    http_kind,
    sender_of,
    table,
    told,
)
from columba.core import status
from columba.core.contract import Can, Inbound, Outcome, Part
from columba.http.egress import Answer

MOST_MEDIA: Final = 10


class Config(Api, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account at Telnyx."""

    api_key: Annotated[str, Meta(min_length=1, max_length=200, description="KEY...", extra_json_schema=SECRET)]
    public_key: (
        Annotated[str, Meta(max_length=100, description="Of the account, base64: it proves callbacks.")] | None
    ) = None
    messaging_profile_id: (
        Annotated[str, Meta(max_length=64, description="Needed for senders with letters, and where none is named.")]
        | None
    ) = None
    base_url: Url = "https://api.telnyx.com"

    def __post_init__(self) -> None:
        if self.public_key is not None:
            _key(self.public_key)


# https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
STATUSES: Final[dict[str, int | None]] = {
    "queued": None,
    "sending": None,
    "sent": None,
    "delivered": status.DELIVERED,
    "delivery_failed": status.UNDELIVERED,
    "sending_failed": status.FAILED,
    "gw_timeout": status.FAILED,
    "gw_reject": status.FAILED,
    "expired": status.EXPIRED,
    "dlr_timeout": status.UNKNOWN,
    "delivery_unconfirmed": status.UNKNOWN,
    "webhook_delivered": None,
}
# https://developers.telnyx.com/docs/messaging/messages/error-codes
ERRORS: Final = table(
    {
        NO_SUCH_NUMBER: "10002 10016 40001 40012 40310",
        UNREACHABLE: "40006 40008 40004",
        FILTERED: "40002 40003 40015 40017 40020 40322",
        OPTED_OUT: "40300",
        EXPIRED: "40005 40014",
        TOO_FAST: "10011 40011 40016 40018 40318",
        ACCOUNT: "10001 10006 10009 10010 20002 20012 20013 20014 40311 40312 40314 40333",
        NOT_HERE: "10005 10039 40010 40013 40019 40100 40150 40151 40155 40301 40305 40306 40307 40308 40309 40315 40319 "
        "40320 40325 40328 40329 40330 40331",
        REJECTED: "10003 10004 10014 10015 10017 10019 10020 10023 10024 10025 10027 40007 40009 40302 40303 40304 40313 "
        "40316 40317 40321 40323 40324",
        TROUBLE: "10007 10008 10026 10503 50000 50001",
    }
)


def request(config: Config, part: Part, way: Way) -> Request:
    body: dict[str, Any] = {"to": part.to}
    sender = sender_of(config, part)
    if sender:
        body["from"] = sender
    if config.messaging_profile_id:
        body["messaging_profile_id"] = config.messaging_profile_id
    elif not sender:
        raise Unsendable("The message names no sender, and neither does the carrier.")
    if part.text:
        body["text"] = part.text
    if part.media:
        body |= {"media_urls": part.media[:MOST_MEDIA], "type": "MMS"}
    if callback := way.callback("status"):
        body["webhook_url"] = callback
    return Request("POST", config.at("/v2/messages"), JSON | _bearer(config), encode(body))


def probe(config: Config) -> Request:
    return Request("GET", config.at("/v2/balance"), JSON | _bearer(config))


def _bearer(config: Config) -> dict[str, str]:
    return {"Authorization": f"Bearer {config.api_key}"}


class Recipient(msgspec.Struct):
    phone_number: str = ""
    status: str = ""


class Sender(msgspec.Struct):
    phone_number: str = ""


class Resource(msgspec.Struct):
    """Where something is found, or a message."""

    url: str


class Error(msgspec.Struct):
    code: str | int


class Message(msgspec.Struct):
    id: str
    to: list[Recipient] = []
    sender: Sender = msgspec.field(name="from", default_factory=Sender)
    text: str | None = None
    media: list[Resource] | None = None
    errors: list[Error] | None = None


class Taken(msgspec.Struct):
    data: Message


class Refused(msgspec.Struct):
    errors: list[Error]


def answer(config: Config, part: Part, answer: Answer) -> Outcome:
    if answer.status in (200, 201, 202):
        return Outcome("sent", msgspec.json.decode(answer.body, type=Taken).data.id)
    code = str(msgspec.json.decode(answer.body, type=Refused).errors[0].code)
    meaning = ERRORS.get(code)
    return meaning.outcome(code) if meaning is not None else by_status(answer.status, code)


class Event(msgspec.Struct):
    event_type: str
    payload: Message


class Hook(msgspec.Struct):
    data: Event


def parse(config: Config, callback: Callback) -> Said:
    _check(config, callback)
    event = callback.read(Hook).data
    message = event.payload
    if event.event_type == "message.received":
        media = tuple(each.url for each in message.media or ())
        return Said(
            inbound=(
                Inbound(message.sender.phone_number, message.to[0].phone_number, message.text or "", media, message.id),
            )
        )
    if event.event_type not in ("message.sent", "message.finalized"):
        return Said()
    code = str(message.errors[0].code) if message.errors else ""
    return told(message.id, message.to[0].status, STATUSES, callback.now, ERRORS, code)


def _check(config: Config, callback: Callback) -> None:
    if config.public_key is None:
        raise Unsigned("Callbacks of this carrier are refused: its public_key is not set.")
    at = callback.header("telnyx-timestamp")
    try:
        signature = base64.b64decode(callback.header("telnyx-signature-ed25519"), validate=True)
        _key(config.public_key).verify(signature, at.encode() + b"|" + callback.body)
    except (InvalidSignature, ValueError):
        raise Unsigned("telnyx-signature-ed25519 is missing or wrong.") from None
    if abs(int(at) - callback.now // 1000) > TOLERANCE_S:
        raise Unsigned("It was signed too long ago, or one of the clocks is wrong.")


@lru_cache(maxsize=256)
def _key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise ValueError("public_key is not an Ed25519 key in base64.") from None


KIND = http_kind(
    "telnyx",
    Config,
    request=request,
    answer=answer,
    parse=parse,
    probe=probe,
    can=lambda _config: Can(media=True),
    about=About(
        "Telnyx",
        "`telnyx-signature-ed25519`, with the account's `public_key`; signed at most 5 minutes ago.",
        STATUSES,
        {"`code`": ERRORS},
        "Set the address of `inbound` as the webhook of the messaging profile.",
    ),
)
