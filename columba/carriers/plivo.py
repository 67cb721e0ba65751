"""Carriers of kind `plivo`: Plivo's Messaging API, SMS and MMS.

One request a message: Plivo cuts long texts. Callbacks are forms. Their signature of version 2 covers neither fields nor
query, so its nonce is good for one body only; version 3 covers the fields too, and counts where it is there.
"""

import base64
import hmac
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec
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
    basic,
    by_status,
    digits,
    dlt,
    encode,
    http_kind,
    number,
    same,
    seconds_left,
    sender_of,
    table,
    told,
)
from columba.core import status
from columba.core.contract import Can, Inbound, Outcome, Part
from columba.http.egress import Answer

MOST_MEDIA: Final = 10
LONGEST_S: Final = 10_800  # message_expiry


class Config(Api, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account at Plivo."""

    auth_id: Annotated[str, Meta(min_length=1, max_length=64)]
    auth_token: Annotated[
        str, Meta(min_length=1, max_length=200, description="It also proves callbacks.", extra_json_schema=SECRET)
    ]
    powerpack_uuid: (
        Annotated[str, Meta(max_length=64, description="It chooses the sender, for messages that name none.")] | None
    ) = None
    base_url: Url = "https://api.plivo.com"


# https://www.plivo.com/docs/messaging/concepts/message-states
STATUSES: Final[dict[str, int | None]] = {
    "queued": None,
    "sent": None,
    "delivered": status.DELIVERED,
    "read": status.DELIVERED,
    "undelivered": status.UNDELIVERED,
    "failed": status.FAILED,
    "rejected": status.FAILED,
}
# https://www.plivo.com/docs/messaging/troubleshooting/error-codes. Those above 201 (but 420, 900 and 1000) are not in
# every list of theirs: what they mean was taken from their names.
ERRORS: Final = table(
    {
        REJECTED: "10 110 450 1000",
        TROUBLE: "20",
        FILTERED: "30 140 160",
        NOT_HERE: "40 60 90 100 120 201 300 451",
        NO_SUCH_NUMBER: "50 70",
        UNREACHABLE: "80",
        OPTED_OUT: "200",
        EXPIRED: "420",
        ACCOUNT: "900 910 950 960",
    }
)


def request(config: Config, part: Part, way: Way) -> Request:
    body: dict[str, Any] = {"dst": digits(part.to), "text": part.text, "type": "mms" if part.media else "sms"}
    sender = sender_of(config, part)
    if config.powerpack_uuid and not part.sender:
        body["powerpack_uuid"] = config.powerpack_uuid
    elif sender:
        body["src"] = digits(sender)
    else:
        raise Unsendable("The message names no sender, and neither does the carrier.")
    if part.media:
        body["media_urls"] = part.media[:MOST_MEDIA]
    if callback := way.callback("status"):
        body |= {"url": callback, "method": "POST"}
    if left := seconds_left(part, way.now, 5, LONGEST_S):
        body["message_expiry"] = left
    body |= dlt(part, "dlt_entity_id", "dlt_template_id")
    headers = JSON | basic(config.auth_id, config.auth_token)
    return Request("POST", config.at(f"/v1/Account/{config.auth_id}/Message/"), headers, encode(body))


def probe(config: Config) -> Request:
    return Request("GET", config.at(f"/v1/Account/{config.auth_id}/"), JSON | basic(config.auth_id, config.auth_token))


class Queued(msgspec.Struct):
    message_uuid: list[str] = []


def answer(config: Config, part: Part, answer: Answer) -> Outcome:
    if answer.status in (200, 202):
        (an_id,) = msgspec.json.decode(answer.body, type=Queued).message_uuid
        return Outcome("sent", an_id)
    return by_status(answer.status)


def parse(config: Config, callback: Callback) -> Said:
    fields = callback.fields()
    _check(config, callback, fields)
    if callback.name == "status":
        # The parts of a long text may be told of one by one; the answer named the first.
        an_id = fields.get("ParentMessageUUID") or fields["MessageUUID"]
        code = fields.get("ErrorCode", "")
        code = "" if code in ("000", "0") else code
        return told(an_id, fields["Status"].lower(), STATUSES, callback.now, ERRORS, code)
    media = tuple(fields[f"Media{n}"] for n in range(int(fields.get("MediaCount") or 0)) if f"Media{n}" in fields)
    text = fields.get("Text") or fields.get("Body") or ""
    said = Inbound(number(fields["From"]), number(fields["To"]), text, media, fields["MessageUUID"])
    return Said(inbound=(said,))


def _check(config: Config, callback: Callback, fields: dict[str, str]) -> None:
    third, second = callback.header("x-plivo-signature-v3"), callback.header("x-plivo-signature-v2")
    if third:
        nonce = callback.header("x-plivo-signature-v3-nonce")
        given = third.split(",")
        bases = [_covered(url, fields if callback.body else {}) + "." for url in callback.urls]
    elif second:
        nonce = callback.header("x-plivo-signature-v2-nonce")
        given = second.split(",")
        bases = [urlunsplit((*urlsplit(url)[:3], "", "")) for url in callback.urls]
    else:
        raise Unsigned("X-Plivo-Signature-V2 is missing.")
    wanted = [signature(config.auth_token, base + nonce) for base in bases]
    if not nonce or not any(same(each, good) for each in given for good in wanted):
        raise Unsigned("The signature is wrong.")
    if callback.used(nonce):
        raise Unsigned("The nonce of the signature came before, with another body.")


def signature(token: str, text: str) -> str:
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha256")).decode()


def _covered(url: str, fields: dict[str, str]) -> str:
    """The address with its query in order, then the fields in theirs."""
    parts = urlsplit(url)
    query = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True)))
    base = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    if query or fields:
        base += f"?{query}"
    if query and fields:
        base += "."
    return base + "".join(name + value for name, value in sorted(fields.items()))


KIND = http_kind(
    "plivo",
    Config,
    request=request,
    answer=answer,
    parse=parse,
    probe=probe,
    fetch=lambda config: basic(config.auth_id, config.auth_token),
    domains=("plivo.com",),
    can=lambda _config: Can(media=True),
    about=About(
        "Plivo",
        "`X-Plivo-Signature-V3` where it is there, else `X-Plivo-Signature-V2`, with the account's auth token. Both cover "
        "the address: set `--public-url` where a proxy stands before Columba. A nonce of the latter, which doesn't cover "
        "the body, is good for one body only.",
        STATUSES,
        {"`ErrorCode`": ERRORS},
        "Set the address of `inbound` as the message URL of the application that the number belongs to.",
    ),
)
