"""Carriers of kind `infobip`: Infobip's SMS API v3 and MMS API v2.

One request a message: Infobip cuts long texts. Its callbacks are JSON and carry no signature of their own: a secret in
their address, or as the password of Basic authentication, proves them.
"""

import mimetypes
from itertools import chain
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

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
    TOO_FAST,
    TROUBLE,
    UNREACHABLE,
    About,
    Api,
    Callback,
    Request,
    Said,
    Unsendable,
    Url,
    Way,
    by_status,
    check_secret,
    digits,
    dlt,
    encode,
    http_kind,
    number,
    seconds_left,
    sender_of,
    table,
    told,
)
from columba.core import status
from columba.core.contract import Can, Inbound, Outcome, Part
from columba.http.egress import Answer

LONGEST_S: Final = 172_800  # their own validity, 48 h


class Config(Api, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account at Infobip."""

    api_key: Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=SECRET)]
    base_url: Annotated[Url, Meta(description="The account's own: https://xxxxx.api.infobip.com")]
    callback_secret: (
        Annotated[
            str,
            Meta(
                min_length=8,
                max_length=64,
                pattern="^[A-Za-z0-9._~-]*$",
                description="`?secret=` of callbacks.",
                extra_json_schema=SECRET,
            ),
        ]
        | None
    ) = None

    @property
    def elsewhere(self) -> bool:
        return not (urlsplit(self.base_url).hostname or "").endswith("infobip.com")


# https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes: by the name of the group, and
# by the name of the status where it says more than its group does.
STATUSES: Final[dict[str, int | None]] = {
    "ACCEPTED": None,
    "PENDING": None,
    "UNDELIVERABLE": status.UNDELIVERED,
    "DELIVERED": status.DELIVERED,
    "EXPIRED": status.EXPIRED,
    "REJECTED": status.FAILED,
    "EXPIRED_DLR_UNKNOWN": status.UNKNOWN,
}
REFUSALS: Final = table(
    {
        NOT_HERE: "REJECTED_NETWORK REJECTED_SOURCE REJECTED_SENDER REJECTED_ROUTE_NOT_AVAILABLE "
        "REJECTED_DESTINATION_NOT_REGISTERED REJECTED_OPERATOR UNDELIVERABLE_REJECTED_OPERATOR",
        NO_SUCH_NUMBER: "REJECTED_PREFIX_MISSING REJECTED_INVALID_DESTINATION MISSING_TO INVALID_DESTINATION_ADDRESS",
        OPTED_OUT: "REJECTED_DND REJECTED_DESTINATION",
        ACCOUNT: "REJECTED_NOT_ENOUGH_CREDITS REJECTED_PREPAID_PACKAGE_EXPIRED",
        FILTERED: "REJECTED_FLOODING_FILTER",
        TROUBLE: "REJECTED_SYSTEM_ERROR",
        REJECTED: "REJECTED_DUPLICATE_MESSAGE_ID REJECTED_INVALID_UDH REJECTED_MESSAGE_TOO_LONG MISSING_FROM "
        "REJECTED_VALIDATION_FAILED",
        UNREACHABLE: "UNDELIVERABLE_NOT_DELIVERED",
        EXPIRED: "EXPIRED_EXPIRED",
    }
)
_PROTOCOL: Final = (
    "EC_DATA_MISSING EC_UNEXPECTED_DATA_VALUE EC_PROVIDER_GENERAL_ERROR EC_INVALID_RESPONSE_RECEIVED EC_NO_RESPONSE "
    "EC_SERVICE_COMPLETION_FAILURE EC_UNEXPECTED_RESPONSE_FROM_PEER EC_MISTYPED_PARAMETER EC_NOT_SUPPORTED_SERVICE "
    "EC_DUPLICATED_INVOKE_ID EC_INITIATING_RELEASE EC_OR_APPCONTEXTNOTSUPPORTED EC_OR_INVALIDDESTINATIONREFERENCE "
    "EC_OR_INVALIDORIGINATINGREFERENCE EC_OR_ENCAPSULATEDAC_NOTSUPPORTED EC_OR_TRANSPORTPROTECTIONNOTADEQUATE "
    "EC_OR_NOREASONGIVEN EC_OR_POTENTIALVERSIONINCOMPATIBILITY EC_OR_REMOTENODENOTREACHABLE "
    "EC_NNR_NOTRANSLATIONFORANADDRESSOFSUCHNATURE EC_NNR_NOTRANSLATIONFORTHISSPECIFICADDRESS EC_NNR_SUBSYSTEMCONGESTION "
    "EC_NNR_SUBSYSTEMFAILURE EC_NNR_UNEQUIPPEDUSER EC_NNR_MTPFAILURE EC_NNR_NETWORKCONGESTION EC_NNR_UNQUALIFIED "
    "EC_NNR_ERRORINMESSAGETRANSPORTXUDT EC_NNR_ERRORINLOCALPROCESSINGXUDT "
    "EC_NNR_DESTINATIONCANNOTPERFORMREASSEMBLYXUDT EC_NNR_SCCPFAILURE EC_NNR_HOPCOUNTERVIOLATION "
    "EC_NNR_SEGMENTATIONNOTSUPPORTED EC_NNR_SEGMENTATIONFAILURE EC_UA_USERSPECIFICREASON EC_UA_USERRESOURCELIMITATION "
    "EC_UA_RESOURCEUNAVAILABLE EC_UA_APPLICATIONPROCEDURECANCELLATION EC_PA_PROVIDERMALFUNCTION "
    "EC_PA_SUPPORTINGDIALOGORTRANSACTIONREALEASED EC_PA_RESSOURCELIMITATION EC_PA_MAINTENANCEACTIVITY "
    "EC_PA_VERSIONINCOMPATIBILITY EC_PA_ABNORMALMAPDIALOG EC_NC_ABNORMALEVENTDETECTEDBYPEER EC_NC_RESPONSEREJECTEDBYPEER "
    "EC_NC_ABNORMALEVENTRECEIVEDFROMPEER EC_NC_MESSAGECANNOTBEDELIVEREDTOPEER EC_NC_PROVIDEROUTOFINVOKE EC_TIME_OUT "
    "EC_SYSTEM_FAILURE EC_RESOURCE_LIMITATION EC_SS_INCOMPATIBILITY EC_UNKNOWN_ALPHABET EC_INVALIDMSCADDRESS "
    "EC_NOTSUBMITTEDTOGMSC EC_NOTSUBMITTEDTOSMPPCHANNEL EC_USSD_BUSY"
)
# `error.name` of receipts. Written in large letters here: theirs differ.
ERRORS: Final = table(
    {
        NO_SUCH_NUMBER: "EC_UNKNOWN_SUBSCRIBER EC_UNIDENTIFIED_SUBSCRIBER EC_ILLEGAL_SUBSCRIBER "
        "EC_INVALID_DESTINATION_ADDRESS EC_DEACTIVATED_LIST EC_BEARER_SERVICE_NOT_PROVISIONED "
        "EC_TELESERVICE_NOT_PROVISIONED EC_FACILITY_NOT_SUPPORTED",
        UNREACHABLE: "EC_ABSENT_SUBSCRIBER_SM EC_ABSENT_SUBSCRIBER EC_ILLEGAL_EQUIPMENT EC_SUBSCRIBER_BUSY_FOR_MT_SMS "
        "EC_SM_DELIVERY_FAILURE EC_MESSAGE_WAITING_LIST_FULL EC_SM_DF_MEMORYCAPACITYEXCEEDED "
        "EC_SM_DF_EQUIPMENTPROTOCOLERROR EC_SM_DF_EQUIPMENTNOTSM_EQUIPPED EC_SM_DF_UNKNOWNSERVICECENTRE "
        "EC_SM_DF_SC_CONGESTION EC_SM_DF_INVALIDSME_ADDRESS EC_SM_DF_SUBSCRIBERNOTSC_SUBSCRIBER",
        OPTED_OUT: "EC_CALL_BARRED EC_DEST_ADDRESS_BLACKLISTED EC_BLACKLISTED_DESTINATIONADDRESS EC_CONTENT_BLOCKED",
        FILTERED: "EC_REJECTED_SPAM_BY_OPERATOR EC_CONTENT_BLOCKED_BY_OPERATOR EC_BLOCKED_BY_CAMPAIGN_BLACKLIST "
        "EC_DESTINATION_FLOODING EC_DESTINATION_TXT_FLOODING EC_SIGNALS_BLOCKED EC_SC_BLOCKED "
        "EC_SC_BLOCKED_FOR_END_USER",
        NOT_HERE: "EC_BLACKLISTED_SENDERADDRESS EC_SOURCE_ADDRESS_BLACKLISTED EC_SOURCE_ADDRESS_IS_BLOCKED "
        "EC_IMSI_BLACKLISTED EC_CANNOT_RECEIVE_SC",
        TOO_FAST: "EC_LIMIT_REACHED EC_QUOTA_REACHED EC_10DLC_LIMIT_REACHED",
        EXPIRED: "EC_VALIDITYEXPIRED",
        REJECTED: "EC_INVALID_PDU_FORMAT EC_INVALIDPDUFORMAT EC_MESSAGE_CANCELED EC_CANCELLED EC_UNKNOWN_ERROR",
        TROUBLE: _PROTOCOL,
    }
)


def request(config: Config, part: Part, way: Way) -> Request:
    sender = sender_of(config, part)
    if not sender:
        raise Unsendable("The message names no sender, and neither does the carrier.")
    message: dict[str, Any] = {
        "sender": digits(sender),
        "destinations": [{"to": digits(part.to)}],
        "content": _segments(part) if part.media else {"text": part.text},
    }
    options: dict[str, Any] = {}
    if left := seconds_left(part, way.now, 60, LONGEST_S):
        options["validityPeriod"] = {"amount": left, "timeUnit": "SECONDS"}
    if registered := dlt(part, "principalEntityId", "contentTemplateId"):
        options["regional"] = {"indiaDlt": registered}
    if options:
        message["options"] = options
    if callback := way.callback("status"):
        url = f"{callback}?secret={config.callback_secret}" if config.callback_secret else callback
        message["webhooks"] = {"delivery": {"url": url}}
    path = "/mms/2/messages" if part.media else "/sms/3/messages"
    return Request("POST", config.at(path), JSON | _key(config), encode({"messages": [message]}))


def _segments(part: Part) -> dict[str, Any]:
    segments: list[dict[str, str]] = [{"type": "TEXT", "text": part.text}] if part.text else []
    for url in part.media:
        media_type = mimetypes.guess_type(urlsplit(url).path)[0] or "application/octet-stream"
        segments.append({"type": "LINK", "contentUrl": url, "contentType": media_type})
    return {"title": "", "messageSegments": segments}


def _key(config: Config) -> dict[str, str]:
    return {"Authorization": f"App {config.api_key}"}


def probe(config: Config) -> Request:
    return Request("GET", config.at("/account/1/balance"), JSON | _key(config))


class Status(msgspec.Struct, rename="camel"):
    group_name: str
    name: str = ""


class Sent(msgspec.Struct, rename="camel"):
    status: Status
    message_id: str | None = None


class Answered(msgspec.Struct):
    messages: list[Sent]


def answer(config: Config, part: Part, answer: Answer) -> Outcome:
    if answer.status not in (200, 201, 202):
        return by_status(answer.status)
    (sent,) = msgspec.json.decode(answer.body, type=Answered).messages
    if sent.status.group_name in ("ACCEPTED", "PENDING", "DELIVERED") and sent.message_id:
        return Outcome("sent", sent.message_id)
    return REFUSALS.get(sent.status.name, REJECTED).outcome(sent.status.name or sent.status.group_name)


class Fault(msgspec.Struct):
    name: str = ""


class Report(msgspec.Struct, rename="camel"):
    message_id: str
    status: Status
    error: Fault | None = None


class Reports(msgspec.Struct):
    results: list[Report]


class Segment(msgspec.Struct, rename="camel"):
    content_type: str = ""
    url: str | None = None
    value: str | None = None


class Text(msgspec.Struct, rename="camel"):
    """A text from a person; `message` is there in place of `text` where it is an MMS."""

    message_id: str
    to: str
    sender: str = msgspec.field(name="from")
    text: str | None = None
    message: list[Segment] = []


class Texts(msgspec.Struct):
    results: list[Text]


def parse(config: Config, callback: Callback) -> Said:
    check_secret(callback, config.callback_secret)
    if callback.name == "inbound":
        return Said(inbound=tuple(map(_text, callback.read(Texts).results)))
    said = [_told(report, callback.now) for report in callback.read(Reports).results]
    return Said(
        tuple(chain.from_iterable(each.receipts for each in said)), strange=" ".join(each.strange for each in said)
    )


def _told(report: Report, now: int) -> Said:
    name = report.status.name
    error = report.error.name.upper() if report.error is not None else ""
    word = name if name in STATUSES else report.status.group_name
    if error in ERRORS:
        return told(report.message_id, word, STATUSES, now, ERRORS, error)
    return told(report.message_id, word, STATUSES, now, REFUSALS, name)


def _text(each: Text) -> Inbound:
    words = [segment.value for segment in each.message if segment.value is not None]
    media = tuple(segment.url for segment in each.message if segment.url)
    text = each.text if each.text is not None else "\n".join(words)
    return Inbound(number(each.sender), number(each.to), text, media, each.message_id)


KIND = http_kind(
    "infobip",
    Config,
    request=request,
    answer=answer,
    parse=parse,
    probe=probe,
    can=lambda _config: Can(media=True),
    fetch=_key,
    domains=("infobip.com",),
    about=About(
        "Infobip",
        "`callback_secret`, as `?secret=` of the address or as the password of Basic authentication: Infobip signs "
        "nothing by itself.",
        STATUSES,
        {"name of the status, where it is sent": REFUSALS, "`error.name` of receipts": ERRORS},
        "Give the address of `inbound`, with `?secret=...`, as the forwarding address of the number.",
    ),
)
