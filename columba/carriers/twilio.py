"""Carriers of kind `twilio`: Twilio's Programmable Messaging (API 2010-04-01), SMS and MMS.

One request a message, whatever its length: Twilio cuts it. Callbacks are forms signed with X-Twilio-Signature.
"""

import base64
import hashlib
import hmac
import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from columba.carriers import SECRET
from columba.carriers.over_http import (
    ACCOUNT,
    EXPIRED,
    FILTERED,
    FORM,
    NO_CONTENT,
    NO_SUCH_NUMBER,
    NOT_HERE,
    OPTED_OUT,
    REJECTED,
    TOO_FAST,
    TROUBLE,
    UNREACHABLE,
    About,
    Api,
    Callback,
    Reply,
    Request,
    Said,
    Unsendable,
    Unsigned,
    Url,
    Way,
    basic,
    by_status,
    form,
    http_kind,
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
LONGEST_S: Final = 36_000  # ValidityPeriod


class Config(Api, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account at Twilio."""

    account_sid: Annotated[str, Meta(min_length=1, max_length=64, description="AC...")]
    auth_token: Annotated[
        str,
        Meta(min_length=1, max_length=200, description="It also proves callbacks.", extra_json_schema=SECRET),
    ]
    api_key: Annotated[str, Meta(max_length=64, description="SK..., to send with instead of the token.")] | None = None
    api_secret: Annotated[str, Meta(max_length=200, extra_json_schema=SECRET)] | None = None
    shared_key: (
        Annotated[
            str,
            Meta(
                max_length=200,
                description="What callbacks are signed with, if not the token.",
                extra_json_schema=SECRET,
            ),
        ]
        | None
    ) = None
    messaging_service_sid: (
        Annotated[str, Meta(max_length=64, description="MG...: it chooses the sender, for messages that name none.")]
        | None
    ) = None
    base_url: Url = "https://api.twilio.com"

    def __post_init__(self) -> None:
        if (self.api_key is None) != (self.api_secret is None):
            raise ValueError("api_key and api_secret go together.")


# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
STATUSES: Final[dict[str, int | None]] = {
    "accepted": None,
    "scheduled": None,
    "queued": None,
    "sending": None,
    "sent": None,
    "receiving": None,
    "received": None,
    "delivered": status.DELIVERED,
    "read": status.DELIVERED,
    "undelivered": status.UNDELIVERED,
    "failed": status.FAILED,
    "canceled": status.CANCELED,
    "partially_delivered": status.UNKNOWN,  # of a group: nobody knows who has it
}
# https://www.twilio.com/docs/api/errors: those that concern messages.
ERRORS: Final = table(
    {
        NO_SUCH_NUMBER: "21211 21217 21401 21421 21604 21614 14101 14111 30005 30006 60205 63003 63024 90032",
        UNREACHABLE: "21214 30003 30009 30011 63036",
        FILTERED: "30004 30007 30038 30039 30044 30450 30451 30452 30453 60410 60605 63013 63026",
        OPTED_OUT: "21610 63014 63033",
        EXPIRED: "30036 30012 30013",
        TOO_FAST: "20429 14107 30001 30022 30023 30027 21611 63017 63018 63038",
        ACCOUNT: "20003 20005 20006 20008 20010 20403 20404 10001 30002 30010 30037 21470 21471 21472 21702 90010",
        NOT_HERE: "21212 21213 21216 21408 21601 21603 21606 21607 21608 21612 21616 21621 21622 21635 21659 21660 21661 "
        "21215 21219 21701 21703 21704 21705 21709 21712 21713 21714 21715 21717 21719 30016 30018 30024 30032 30033 "
        "30034 30035 30040 30041 30042 30125 30128 63002 63007 14102 14108",
        REJECTED: "20001 20422 21602 21605 21609 21617 21618 21619 21620 21623 21624 21626 21627 21652 21653 21654 21655 "
        "21656 21900 21901 21910 14103 30014 30015 30019 30028 30029 30030 30031 30124 30127 30400 30409 11200 11751 "
        "35111 35114 35115 35116 35118 35119 35125 35126 63005 63006 63011 63015 63016 63019 63021 63027 63028 63029 "
        "63030 63031 63032 63034 90007 90014",
        TROUBLE: "20500 20503 30008 30017 30020 30021 30410 30500 63009 63010 63012 63023",
    }
)  # fmt: skip


def request(config: Config, part: Part, way: Way) -> Request:
    pairs = [("To", part.to)]
    sender = sender_of(config, part)
    if sender and not (config.messaging_service_sid and not part.sender):
        pairs.append(("MessagingServiceSid" if sender.startswith("MG") and len(sender) == 34 else "From", sender))
    elif config.messaging_service_sid:
        pairs.append(("MessagingServiceSid", config.messaging_service_sid))
    else:
        raise Unsendable("The message names no sender, and neither does the carrier.")
    if part.text:
        pairs.append(("Body", part.text))
    pairs += [("MediaUrl", url) for url in part.media[:MOST_MEDIA]]
    if callback := way.callback("status"):
        pairs.append(("StatusCallback", callback))
    if left := seconds_left(part, way.now, 1, LONGEST_S):
        pairs.append(("ValidityPeriod", str(left)))
    path = f"/2010-04-01/Accounts/{config.account_sid}/Messages.json"
    return Request("POST", config.at(path), FORM | _credentials(config), form(pairs))


def probe(config: Config) -> Request:
    return Request("GET", config.at(f"/2010-04-01/Accounts/{config.account_sid}.json"), _credentials(config))


def _credentials(config: Config) -> dict[str, str]:
    if config.api_key and config.api_secret:
        return basic(config.api_key, config.api_secret)
    return basic(config.account_sid, config.auth_token)


class Resource(msgspec.Struct):
    """A message as it is answered, or an error: `status` is a word there, and the HTTP status here."""

    sid: str | None = None
    status: str | int | None = None
    error_code: int | None = None
    code: int | None = None


def answer(config: Config, part: Part, answer: Answer) -> Outcome:
    said = msgspec.json.decode(answer.body, type=Resource)
    if answer.status in (200, 201, 202) and said.sid:
        if said.status in ("failed", "undelivered", "canceled"):
            code = str(said.error_code or said.status)
            return ERRORS.get(code, REJECTED)._replace(kind="failed").outcome(code)
        return Outcome("sent", said.sid)
    if said.code is None:
        return by_status(answer.status)
    meaning = ERRORS.get(str(said.code))
    return meaning.outcome(str(said.code)) if meaning is not None else by_status(answer.status, str(said.code))


def parse(config: Config, callback: Callback) -> Said:
    pairs = callback.pairs()
    _check(config, callback, pairs)
    fields = dict(pairs)
    if callback.name == "status":
        an_id, word, code = fields["MessageSid"], fields["MessageStatus"], fields.get("ErrorCode", "")
        return told(an_id, word, STATUSES, callback.now, ERRORS, code, NO_CONTENT)
    media = tuple(fields[f"MediaUrl{n}"] for n in range(int(fields.get("NumMedia") or 0)) if f"MediaUrl{n}" in fields)
    text = Inbound(fields["From"], fields["To"], fields.get("Body", ""), media, fields["MessageSid"])
    word = fields.get("OptOutType", "").lower()  # Twilio has answered it
    if word in ("stop", "start", "help"):
        text = text._replace(opt_out=word)
    return Said(inbound=(text,), reply=TWIML)


TWIML: Final = Reply(200, b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>', "text/xml")
_ALGORITHM: Final = re.compile(r"(?:^|,)\s*algorithm=(\w+)")
_HASHES: Final = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}


def _check(config: Config, callback: Callback, pairs: list[tuple[str, str]]) -> None:
    given = callback.header("x-twilio-signature")
    settings = callback.header("x-twilio-webhooks-signature-settings")
    found = _ALGORITHM.search(settings)
    algorithm = found[1] if found else "HMAC_SHA1"
    if not given or algorithm not in _HASHES:
        raise Unsigned("X-Twilio-Signature is missing.")
    secret = config.shared_key if settings and config.shared_key else config.auth_token
    signed = "".join(name + value for name, value in sorted(set(pairs))) if callback.body else ""
    # Whether the port is part of the address is not certain: Twilio's own libraries try both.
    for url in dict.fromkeys(each for written in callback.urls for each in (written, *_ports(written))):
        if same(given, signature(secret, url + signed, algorithm)):  # type: ignore[arg-type]
            return
    raise Unsigned("X-Twilio-Signature is wrong.")


def signature(secret: str, text: str, algorithm: Literal["HMAC_SHA1", "HMAC_SHA256"] = "HMAC_SHA1") -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), _HASHES[algorithm])).decode()


def _ports(url: str) -> tuple[str, ...]:
    """The address without its port, or with the usual one."""
    parts = urlsplit(url)
    if parts.port is not None:
        return (urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0])),)
    return (urlunsplit(parts._replace(netloc=f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}")),)


KIND = http_kind(
    "twilio",
    Config,
    request=request,
    answer=answer,
    parse=parse,
    probe=probe,
    can=lambda _config: Can(media=True),
    fetch=_credentials,
    domains=("twilio.com",),
    about=About(
        "Twilio",
        "`X-Twilio-Signature`, with the account's auth token. It covers the address: set `--public-url` where a proxy "
        "stands before Columba.",
        STATUSES,
        {"`code`, `ErrorCode`": ERRORS},
        "Set the address of `inbound` at the number, or at the messaging service. A carrier for each subaccount.",
    ),
)
