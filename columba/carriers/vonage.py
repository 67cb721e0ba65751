"""Carriers of kind `vonage`: the Messages API (SMS and MMS), and the older SMS API.

One request a message. The SMS API cuts long texts and tells the fate of each part; parts of texts from people it leaves
to us to join. Its callbacks have a signature among their fields, those of the Messages API come with a signed token.
"""

import base64
import hashlib
import hmac
import mimetypes
import re
from functools import lru_cache
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from columba.carriers import SECRET
from columba.carriers.over_http import (
    ACCOUNT,
    EXPIRED,
    FILTERED,
    FORM,
    JSON,
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
    Request,
    Said,
    Unsendable,
    Unsigned,
    Way,
    basic,
    by_status,
    check_secret,
    digits,
    dlt,
    encode,
    form,
    http_kind,
    number,
    same,
    seconds_left,
    sender_of,
    table,
    told,
)
from columba.core import status
from columba.core.contract import Can, Fragment, Inbound, Outcome, Part
from columba.core.inbound import data_uri
from columba.http.egress import Answer
from columba.text import Decoded

JOIN_MS: Final = 120_000
MOST_URL: Final = 100  # of `callback`, in the SMS API
TOKEN_S: Final = 600

Secret = Annotated[str, Meta(max_length=200, extra_json_schema=SECRET)]


class Config(Api, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account at Vonage."""

    api: Annotated[Literal["messages", "sms"], Meta(description="Which of its two APIs.")] = "messages"
    api_key: Annotated[str, Meta(min_length=1, max_length=64)]
    api_secret: Secret | None = None
    application_id: (
        Annotated[str, Meta(max_length=64, description="With its private_key: instead of api_secret, Messages API.")]
        | None
    ) = None
    private_key: Annotated[str, Meta(max_length=10_000, description="PEM.", extra_json_schema=SECRET)] | None = None
    signature_secret: (
        Annotated[str, Meta(max_length=200, description="What callbacks are signed with.", extra_json_schema=SECRET)]
        | None
    ) = None
    signature_method: Annotated[
        Literal["md5hash", "md5", "sha1", "sha256", "sha512"], Meta(description="As set in the dashboard, SMS API.")
    ] = "sha256"
    callback_secret: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="SMS API without signatures: `?secret=` of callbacks.",
                extra_json_schema=SECRET,
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if (self.application_id is None) != (self.private_key is None):
            raise ValueError("application_id and private_key go together.")
        instead = self.private_key if self.api == "messages" else self.signature_secret
        if not self.api_secret and not instead:
            raise ValueError("api_secret is missing.")

    def home(self) -> str:
        usual = "https://rest.nexmo.com" if self.api == "sms" else "https://api.nexmo.com"
        return (self.base_url or usual).rstrip("/")


# https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts; the Messages API's webhook reference
STATUSES: Final[dict[str, int | None]] = {
    "accepted": None,
    "buffered": None,
    "submitted": None,
    "delivered": status.DELIVERED,
    "read": status.DELIVERED,
    "expired": status.EXPIRED,
    "failed": status.FAILED,
    "rejected": status.FAILED,
    "undeliverable": status.UNDELIVERED,
    "unknown": status.UNKNOWN,
}
# https://developer.vonage.com/en/api-errors/sms
SUBMIT_ERRORS: Final = table(
    {
        TOO_FAST: "1 10",
        REJECTED: "2 3 12 22 23",
        ACCOUNT: "4 8 9 11 14 32",
        TROUBLE: "5",
        NO_SUCH_NUMBER: "6 33",
        OPTED_OUT: "7",
        NOT_HERE: "15 29",
    }
)
# `err-code` of receipts
RECEIPT_ERRORS: Final = table(
    {
        REJECTED: "1 10 13 54 99",
        UNREACHABLE: "2 5 7 11 12 15",
        NO_SUCH_NUMBER: "3",
        OPTED_OUT: "4 9 53",
        FILTERED: "6 14 50 51 52",
        TROUBLE: "8",
        TOO_FAST: "16",
    }
)
# https://developer.vonage.com/en/api-errors/messages
MESSAGES_ERRORS: Final = table(
    {
        TOO_FAST: "1000 1241",
        REJECTED: "1010 1020 1021 1022 1090 1130 1150 1270 1310 1320 1330 1340 1350 1380 1381 1382 1400 1420 1430 1440 1460",
        TROUBLE: "1030 1100 1230 1331 1410 1450",
        NO_SUCH_NUMBER: "1040 1170 1190 1300",
        OPTED_OUT: "1050 1240",
        ACCOUNT: "1060 1070 1080 1370",
        NOT_HERE: "1120 1140 1160 1250 1470",
        UNREACHABLE: "1180 1200 1220 1260 1290",
        FILTERED: "1210 1280 1390",
        EXPIRED: "1360",
    }
)


# -- Out


def request(config: Config, part: Part, way: Way) -> Request:
    sender = sender_of(config, part)
    if not sender:
        raise Unsendable("The message names no sender, and neither does the carrier.")
    if config.api == "sms":
        return _sms(config, part, way, digits(sender))
    body: dict[str, Any] = {"to": digits(part.to), "from": digits(sender)}
    body |= _media(part) if part.media else {"channel": "sms", "message_type": "text", "text": part.text}
    # The bounds of `ttl` are SMS's; those of MMS are 300 s to 3 days.
    if (left := seconds_left(part, way.now, *((300, 259_200) if part.media else (20, 259_200)))) is not None:
        body["ttl"] = left
    if (registered := dlt(part, "entity_id", "content_id")) and not part.media:
        body["sms"] = registered
    if callback := way.callback("status"):
        body |= {"webhook_url": callback, "webhook_version": "v1"}
    return Request("POST", f"{config.home()}/v1/messages", JSON | _credentials(config, way.now), encode(body))


def _media(part: Part) -> dict[str, Any]:
    items = [{"type": _type(url), "url": url} for url in part.media]
    if part.text:
        items[0]["caption"] = part.text
    if len(items) > 1:
        return {"channel": "mms", "message_type": "content", "content": items}
    kind = items[0].pop("type")
    return {"channel": "mms", "message_type": kind, kind: items[0]}


def _type(url: str) -> str:
    media_type = mimetypes.guess_type(urlsplit(url).path)[0] or "application/octet-stream"
    if media_type in ("text/vcard", "text/x-vcard"):
        return "vcard"
    kind = media_type.partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "file"


def _sms(config: Config, part: Part, way: Way, sender: str) -> Request:
    fields = {"from": sender, "to": digits(part.to), "text": part.text, "type": "unicode" if part.encoding else "text"}
    if (left := seconds_left(part, way.now, 20, 259_200)) is not None:
        fields["ttl"] = str(left * 1000)
    fields |= dlt(part, "entity-id", "content-id")
    callback = way.callback("status")
    if callback and config.callback_secret and not config.signature_secret:
        callback = f"{callback}?secret={config.callback_secret}"
    if callback and len(callback) <= MOST_URL:
        fields["callback"] = callback
    headers = FORM
    if config.api_secret:
        headers = FORM | basic(config.api_key, config.api_secret)
    else:
        fields |= {"api_key": config.api_key, "timestamp": str(way.now // 1000)}
        fields["sig"] = signature(fields, config.signature_secret or "", config.signature_method)
    return Request("POST", f"{config.home()}/sms/json", headers, form(fields.items()))


def _credentials(config: Config, now: int) -> dict[str, str]:
    if config.application_id and config.private_key:
        slot = now // 1000 // (TOKEN_S // 2)
        return {"Authorization": f"Bearer {_token(config.application_id, config.private_key, slot)}"}
    return basic(config.api_key, config.api_secret or "")


@lru_cache(maxsize=64)
def _token(application_id: str, private_key: str, slot: int) -> str:
    """A token that is good for ten minutes, and used for five: signing takes a ms."""
    from joserfc import jwt
    from joserfc.jwk import RSAKey

    issued = slot * (TOKEN_S // 2)
    jti = hashlib.sha256(f"{application_id} {slot} {private_key}".encode()).hexdigest()[:32]
    claims = {"application_id": application_id, "iat": issued, "jti": jti, "exp": issued + TOKEN_S}
    return jwt.encode({"alg": "RS256", "typ": "JWT"}, claims, RSAKey.import_key(private_key))


def probe(config: Config) -> Request | None:
    """The balance, which is known to the account's secret only."""
    if not config.api_secret:
        return None
    usual = "https://rest.nexmo.com"
    return Request(
        "GET", f"{config.base_url or usual}/account/get-balance", JSON | basic(config.api_key, config.api_secret)
    )


class Sent(msgspec.Struct, rename="kebab"):
    status: str
    message_id: str | None = None
    error_text: str = ""


class SentSms(msgspec.Struct):
    messages: list[Sent]


class SentMessage(msgspec.Struct):
    message_uuid: str


class Problem(msgspec.Struct):
    type: str = ""
    title: str | int = ""


def answer(config: Config, part: Part, answer: Answer) -> Outcome:
    if answer.status in (200, 202):
        if config.api == "messages":
            return Outcome("sent", msgspec.json.decode(answer.body, type=SentMessage).message_uuid)
        return _parts([_part(each) for each in msgspec.json.decode(answer.body, type=SentSms).messages])
    code = _code(msgspec.json.decode(answer.body, type=Problem)) if config.api == "messages" else ""
    meaning = MESSAGES_ERRORS.get(code)
    return meaning.outcome(code) if meaning is not None else by_status(answer.status, code)


def _part(each: Sent) -> Outcome:
    if each.status == "0" and each.message_id:
        return Outcome("sent", each.message_id)
    wait = _WAIT.search(each.error_text)
    return SUBMIT_ERRORS.get(each.status, REJECTED).outcome(each.status, wait_ms=int(wait[1]) if wait else 0)


_WAIT: Final = re.compile(r"please wait \[ *([0-9]{1,5}) *\]")


def _parts(outcomes: list[Outcome]) -> Outcome:
    first = outcomes[0]
    if len(outcomes) == 1 or all(each.kind != "sent" for each in outcomes):
        return first
    # Those that were not taken won't go again: it would be the whole text that does.
    told = (
        each if each.kind == "sent" else msgspec.structs.replace(each, kind="failed", error=each.error or "rejected")
        for each in outcomes
    )
    return Outcome("sent", first.id, parts=tuple(told))


_NUMBER: Final = re.compile(r"#?([0-9]{4})$")


def _code(problem: Problem) -> str:
    """The number of an error: a title in the first version of the API, else the end of its type."""
    found = _NUMBER.search(str(problem.title)) or _NUMBER.search(problem.type)
    return found[1] if found else ""


# -- In


def parse(config: Config, callback: Callback) -> Said:
    return _parse_sms(config, callback) if config.api == "sms" else _parse_messages(config, callback)


def _parse_sms(config: Config, callback: Callback) -> Said:
    fields = callback.fields()
    if config.signature_secret:
        given = fields.pop("sig", "")
        if not given or not same(given.lower(), signature(fields, config.signature_secret, config.signature_method)):
            raise Unsigned("The field `sig` is missing or wrong.")
    else:
        check_secret(callback, config.callback_secret)
    if callback.name == "status":
        code = fields.get("err-code", "").removeprefix("0")
        return told(fields["messageId"], fields["status"], STATUSES, callback.now, RECEIPT_ERRORS, code, NO_CONTENT)
    text, media = fields.get("text", ""), ()
    body = Decoded(text, "utf8", text.encode())
    if fields.get("type") == "binary":
        body = Decoded(None, "binary", bytes.fromhex(fields.get("data", "")))
        text, media = "", (data_uri(body.data),)  # type: ignore[assignment]
    fragment = None
    if fields.get("concat") == "true":
        n, of = int(fields["concat-part"]), int(fields["concat-total"])
        if 1 <= n <= of <= 255 and of > 1:
            fragment = Fragment(f"v{fields['concat-ref']}", n, of, body, JOIN_MS)
    said_by, to = number(fields["msisdn"]), number(fields["to"])
    return Said(inbound=(Inbound(said_by, to, text, media, fields["messageId"], fragment),), reply=NO_CONTENT)


def signature(fields: dict[str, str], secret: str, method: str) -> str:
    """Over the fields but `sig`, in their order, with `&` and `=` of their values made `_`."""
    text = "".join(f"&{name}={fields[name].replace('&', '_').replace('=', '_')}" for name in sorted(fields))
    if method == "md5hash":
        return hashlib.md5((text + secret).encode()).hexdigest()  # noqa: S324  what accounts have that never chose
    return hmac.new(secret.encode(), text.encode(), method).hexdigest()


class Web(msgspec.Struct):
    """What a resource is found at."""

    url: str


class Hook(msgspec.Struct):
    """A webhook of the Messages API, version 1: a status, or a text from a person."""

    message_uuid: str
    to: str
    sender: str = msgspec.field(name="from")
    status: str | None = None
    error: Problem | None = None
    text: str | None = None
    image: Web | None = None
    vcard: Web | None = None
    audio: Web | None = None
    video: Web | None = None
    file: Web | None = None
    content: list[Web] = []


class Claims(msgspec.Struct):
    payload_hash: str | None = None
    api_key: str | None = None


class Head(msgspec.Struct):
    alg: str


def _parse_messages(config: Config, callback: Callback) -> Said:
    _check_token(config, callback)
    hook = callback.read(Hook)
    if callback.name == "status":
        code = _code(hook.error) if hook.error else ""
        return told(hook.message_uuid, hook.status or "", STATUSES, callback.now, MESSAGES_ERRORS, code)
    found = (*(each for each in (hook.image, hook.vcard, hook.audio, hook.video, hook.file) if each), *hook.content)
    media = tuple(each.url for each in found)
    return Said(inbound=(Inbound(number(hook.sender), number(hook.to), hook.text or "", media, hook.message_uuid),))


def _check_token(config: Config, callback: Callback) -> None:
    """A JSON Web Token, HS256 (RFC 7519): it is theirs, and it is of this body."""
    if not config.signature_secret:
        raise Unsigned("Callbacks of this carrier are refused: its signature_secret is not set.")
    head, _, rest = callback.header("authorization").removeprefix("Bearer ").partition(".")
    claims, _, signed = rest.partition(".")
    mac = hmac.digest(config.signature_secret.encode(), f"{head}.{claims}".encode(), "sha256")
    if not same(signed, base64.urlsafe_b64encode(mac).rstrip(b"=").decode()):
        raise Unsigned("The token in Authorization is missing or wrong.")
    if msgspec.json.decode(_octets(head), type=Head).alg != "HS256":
        raise Unsigned("The token is not of HS256.")
    said = msgspec.json.decode(_octets(claims), type=Claims)
    if not same(said.payload_hash or "", hashlib.sha256(callback.body).hexdigest()):
        raise Unsigned("The token is not of this body.")
    if said.api_key is not None and said.api_key != config.api_key:
        raise Unsigned("The token is of another account.")


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


KIND = http_kind(
    "vonage",
    Config,
    request=request,
    answer=answer,
    parse=parse,
    probe=probe,
    # With the account's secret: a token of the application would need the time.
    fetch=lambda config: basic(config.api_key, config.api_secret) if config.api_secret else {},
    domains=("nexmo.com", "vonage.com"),
    can=lambda config: Can(media=config.api == "messages"),
    urls=lambda config: {"base_url": config.home()},
    about=About(
        "Vonage",
        "Messages API: the token in `Authorization`, with `signature_secret`. SMS API: the field `sig`, with "
        "`signature_secret` and `signature_method`; an account without signatures gives `callback_secret` and adds "
        "`?secret=` to the address of `inbound`.",
        STATUSES,
        {
            "SMS API, `status`": SUBMIT_ERRORS,
            "SMS API, `err-code`": RECEIPT_ERRORS,
            "Messages API, number of the error": MESSAGES_ERRORS,
        },
        "An account sends 30 requests a second if nothing else was agreed on: set `rate`. In the dashboard, SMS webhooks "
        "must be set to the API that is used here.",
    ),
)
