"""Carriers of kind `smsgate`: the open-source SMS Gateway for Android (sms-gate.app): a phone of one's own.

Over its cloud, a private server, or the phone itself in the local network. A message has an id of ours, so that asking
again never sends it twice. Callbacks are JSON, signed with HMAC-SHA256 over the body and the moment.
"""

import hashlib
import hmac
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from columba.carriers import SECRET
from columba.carriers.over_http import (
    ACCOUNT,
    JSON,
    NO_SUCH_NUMBER,
    REJECTED,
    TOO_FAST,
    TROUBLE,
    UNREACHABLE,
    About,
    Api,
    Callback,
    Request,
    Said,
    Unsigned,
    Url,
    Way,
    basic,
    by_status,
    encode,
    http_kind,
    number,
    receipt,
    same,
    seconds_left,
    table,
)
from columba.core import status
from columba.core.contract import Can, Inbound, Outcome, Part
from columba.core.inbound import data_uri
from columba.http.egress import Answer

# Phones' clocks are wrong, and what they could not deliver they try again for two days. A repeated callback does nothing.
OLDEST_S: Final = 3 * 86_400
AT_ONCE: Final = 100  # a priority that knows no limits and pauses


class Config(Api, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A phone."""

    username: Annotated[str, Meta(max_length=200)] | None = None
    password: Annotated[str, Meta(max_length=200, extra_json_schema=SECRET)] | None = None
    token: (
        Annotated[str, Meta(max_length=4_000, description="JWT, instead of the two.", extra_json_schema=SECRET)] | None
    ) = None
    signing_key: (
        Annotated[str, Meta(max_length=200, description="Of the phone's webhooks.", extra_json_schema=SECRET)] | None
    ) = None
    device_id: Annotated[str, Meta(max_length=64, description="Which phone, where there are several.")] | None = None
    sim: Annotated[int, Meta(ge=1, le=3, description="Which SIM card.")] | None = None
    number: Annotated[str, Meta(max_length=20, description="The phone's own, for texts that don't tell.")] = ""
    base_url: Annotated[
        Url,
        Meta(description="The cloud's; the phone's own is http://ADDRESS:8080, a private server's .../3rdparty/v1."),
    ] = "https://api.sms-gate.app/3rdparty/v1"

    def __post_init__(self) -> None:
        if not self.token and not (self.username and self.password):
            raise ValueError("username and password are missing.")


# https://docs.sms-gate.app/features/status-tracking, and the events of its webhooks
STATUSES: Final[dict[str, int | None]] = {
    "Pending": None,
    "Processed": None,
    "Sent": None,
    "Delivered": status.DELIVERED,
    "Failed": status.FAILED,
    "sms:sent": None,
    "sms:delivered": status.DELIVERED,
    "sms:failed": status.FAILED,
}
# `reason`: what Android said (SmsManager.RESULT_...), or words.
ERRORS: Final = table(
    {
        NO_SUCH_NUMBER: "RESULT_INVALID_SMSC_ADDRESS Invalid_number",
        UNREACHABLE: "RESULT_ERROR_NO_SERVICE RESULT_NETWORK_REJECT RESULT_RECEIVE_WHILE_ENCRYPTED",
        TOO_FAST: "RESULT_ERROR_LIMIT_EXCEEDED RESULT_REQUEST_NOT_SUPPORTED",
        ACCOUNT: "RESULT_ERROR_RADIO_OFF RESULT_RADIO_NOT_AVAILABLE RESULT_NO_DEFAULT_SMS_APP RESULT_INVALID_STATE "
        "RESULT_SMS_BLOCKED_DURING_EMERGENCY",
        REJECTED: "RESULT_ERROR_FDN_CHECK_FAILURE RESULT_ERROR_SHORT_CODE_NOT_ALLOWED RESULT_ERROR_SHORT_CODE_NEVER_ALLOWED "
        "RESULT_OPERATION_NOT_ALLOWED RESULT_INVALID_ARGUMENTS RESULT_INVALID_SMS_FORMAT RESULT_ENCODING_ERROR "
        "RESULT_CANCELLED RESULT_ERROR_NULL_PDU",
        TROUBLE: "RESULT_ERROR_GENERIC_FAILURE RESULT_MODEM_ERROR RESULT_NETWORK_ERROR RESULT_INTERNAL_ERROR "
        "RESULT_NO_MEMORY RESULT_NO_RESOURCES RESULT_SYSTEM_ERROR RESULT_RIL_MODEM_ERR RESULT_RIL_NETWORK_ERR "
        "RESULT_RIL_SYSTEM_ERR RESULT_RIL_INTERNAL_ERR RESULT_RIL_SMS_SEND_FAIL_RETRY RESULT_RIL_NETWORK_NOT_READY "
        "RESULT_RIL_RADIO_NOT_AVAILABLE RESULT_RIL_REQUEST_RATE_LIMITED RESULT_REMOTE_EXCEPTION "
        "RESULT_UNEXPECTED_EVENT_STOP_SENDING RESULT_BLUETOOTH_DISCONNECTED",
    }
)


def request(config: Config, part: Part, way: Way) -> Request:
    body: dict[str, Any] = {
        "id": _id(part),
        "textMessage": {"text": part.text},
        "phoneNumbers": [part.to],
        "withDeliveryReport": True,
    }
    if part.klass == status.OTP:
        body["priority"] = AT_ONCE
    if config.device_id:
        body["deviceId"] = config.device_id
    if config.sim:
        body["simNumber"] = config.sim
    if part.expires_at:
        body["ttl"] = seconds_left(part, way.now, 5, 10 * 86_400)
    return Request("POST", config.at("/messages"), JSON | _credentials(config), encode(body))


def _id(part: Part) -> str:
    return f"{part.message_id:016x}"


def _credentials(config: Config) -> dict[str, str]:
    if config.token:
        return {"Authorization": f"Bearer {config.token}"}
    return basic(config.username or "", config.password or "")


def probe(config: Config) -> Request:
    return Request("GET", config.at("/webhooks"), JSON | _credentials(config))


class Taken(msgspec.Struct):
    id: str
    state: str = "Pending"


def answer(config: Config, part: Part, answer: Answer) -> Outcome:
    if answer.status == 409:  # it has a message of this id: our first try arrived after all
        return Outcome("sent", _id(part))
    if answer.status not in (200, 201, 202):
        return by_status(answer.status)
    taken = msgspec.json.decode(answer.body, type=Taken)
    return REJECTED.outcome(taken.state) if taken.state == "Failed" else Outcome("sent", taken.id)


class Payload(msgspec.Struct, rename="camel"):
    message_id: str = ""
    sender: str | None = None
    recipient: str | None = None
    phone_number: str | None = None  # the other one's, whichever way it went; older than the two above
    message: str | None = None
    data: str | None = None
    subject: str | None = None
    reason: str | None = None


class Hook(msgspec.Struct):
    id: str
    event: str
    payload: Payload


def parse(config: Config, callback: Callback) -> Said:
    _check(config, callback)
    hook = callback.read(Hook)
    event, payload = hook.event, hook.payload
    if event in STATUSES:
        became = STATUSES[event]
        if became is None:
            return Said()
        code = (payload.reason or "").strip()
        word = next((each for each in code.replace(" ", "_").split(":") if each in ERRORS), "")
        said = receipt(payload.message_id, became, callback.now, ERRORS, word)
        return Said((said._replace(code=code[:200] or None),) if became != status.DELIVERED else (said,))
    if event not in ("sms:received", "sms:data-received", "mms:received", "mms:downloaded"):
        return Said()
    media: tuple[str, ...] = ()
    text = payload.message or ""
    if event == "sms:data-received":
        media = (f"data:application/octet-stream;base64,{payload.data or ''}",) if payload.data else (data_uri(b""),)
    elif event != "sms:received":  # what came with it stays on the phone
        text = text or payload.subject or ""
    said_by = number(payload.sender or payload.phone_number or "")
    # Their ids of texts are made from the content alone, so that a repeated text would be lost.
    return Said(inbound=(Inbound(said_by, number(payload.recipient or config.number), text, media, hook.id),))


def _check(config: Config, callback: Callback) -> None:
    if not config.signing_key:
        raise Unsigned("Callbacks of this carrier are refused: its signing_key is not set.")
    at = callback.header("x-timestamp")
    mac = hmac.new(config.signing_key.encode(), callback.body + at.encode(), hashlib.sha256)
    if not at.isdigit() or not same(callback.header("x-signature").lower(), mac.hexdigest()):
        raise Unsigned("X-Signature is missing or wrong.")
    if abs(int(at) - callback.now // 1000) > OLDEST_S:
        raise Unsigned("It was signed too long ago, or one of the clocks is wrong.")


KIND = http_kind(
    "smsgate",
    Config,
    request=request,
    answer=answer,
    parse=parse,
    probe=probe,
    callbacks=("events",),
    can=lambda _config: Can(names=False),
    about=About(
        "SMS Gateway for Android",
        "`X-Signature` with the phone's `signing_key` (Settings, Webhooks).",
        STATUSES,
        {"`reason`": ERRORS},
        "The phone is the sender, whatever a message says. A phone sends some ten texts a minute before its network takes "
        "offence: set `rate`. Register the address of `events` at the gateway for each of `sms:received`, `sms:delivered` "
        "and `sms:failed`. Of an MMS it tells the subject only.",
    ),
    window=20,
)
