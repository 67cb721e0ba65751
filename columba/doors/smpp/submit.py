"""What programs submit, as submissions: pure. Fails with Wrong, which has the command_status to answer.

A text comes as short_message or message_payload, in any data_coding that is text; it is what `accept` gets, character by
character. What has more than a text to it (a header, a class, ports, vendors' TLVs), or is none, goes along as it came as
well, for networks that take it so.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from columba.core import status
from columba.core.model import Raw
from columba.core.submission import MOST_AHEAD_MS, MOST_VALID_S, Submission
from columba.errors import CATALOGUE, Refusal
from columba.smpp.errors import InvalidTime
from columba.smpp.pdu import DataSm, SubmitMulti, SubmitSm
from columba.smpp.status import Status
from columba.smpp.times import parse_time
from columba.smpp.tlv import (
    DESTINATION_PORT,
    MESSAGE_PAYLOAD,
    QOS_TIME_TO_LIVE,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    find,
)
from columba.smpp.values import EsmClass, RegisteredDelivery, Ton
from columba.text import Alphabet, Decoded, decode

Submit: TypeAlias = SubmitSm | SubmitMulti | DataSm
_IA5: Final = 1
_HIGHEST_PRIORITY: Final = 3
_SHORTEST_NUMBER: Final = 7
# Octets that no text in IA5 has: some programs write GSM septets and call them IA5.
_NOT_IA5: Final = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]|\x00(?!\x00*\Z)")
_CLASSES: Final = {"OTP": status.OTP, "MKT": status.MARKETING}


class Wrong(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"0x{code:08x}")
        self.status = code


class Place(NamedTuple):
    """Which part of a longer text it is: the `n`th of `of`, of those with the same `ref`."""

    ref: str
    n: int
    of: int


def status_of(refusal: Refusal) -> int:
    """The command_status of a refusal; where fields are wrong, that of the first."""
    return CATALOGUE[refusal.errors[0].code].smpp if refusal.errors else refusal.kind.smpp


def octets_of(pdu: Submit) -> bytes:
    octets = b"" if isinstance(pdu, DataSm) else pdu.short_message
    if not octets and pdu.tlvs:
        octets = find(pdu.tlvs, MESSAGE_PAYLOAD) or b""
    if not octets:
        raise Wrong(Status.ESME_RINVMSGLEN)
    return octets


def body_of(pdu: Submit, octets: bytes, alphabet: Alphabet) -> Decoded:
    """What they say. What is for an application, and not for a person, is no text."""
    udhi = pdu.esm_class & EsmClass.UDHI != 0
    body = decode(pdu.data_coding, octets, udhi, alphabet=alphabet)
    if pdu.data_coding == _IA5 and _NOT_IA5.search(body.data):
        body = decode(0, octets, udhi, alphabet="gsm7")
    if body.header.ports is not None or (pdu.tlvs and find(pdu.tlvs, DESTINATION_PORT) is not None):
        return msgspec.structs.replace(body, text=None, coding="binary")
    return body


def place_of(pdu: Submit, body: Decoded) -> Place | None:
    concat = body.header.concat
    if concat is not None:
        place = Place(f"{'w' if concat.wide else 'n'}{concat.reference}", concat.number, concat.total)
        return place if place.of > 1 else None
    if not pdu.tlvs:
        return None
    ref, of = find(pdu.tlvs, SAR_MSG_REF_NUM), find(pdu.tlvs, SAR_TOTAL_SEGMENTS)
    n = find(pdu.tlvs, SAR_SEGMENT_SEQNUM)
    # SMPP 3.4 §5.3.2.22: the three are there together, or count for nothing.
    if ref is None or of is None or n is None or not 1 <= n <= of <= 255 or of == 1:
        return None
    return Place(f"s{ref}", n, of)


def person(ton: int, written: str, default_country: str | None) -> str:
    """Whom it is to. Many programs leave the type of number away: without a default country all are international."""
    if written[:1] == "+" or not written.isdigit():
        return written
    if ton == Ton.INTERNATIONAL:
        return "+" + written.removeprefix("00")
    if written[:2] == "00":
        return "+" + written[2:]
    if ton == Ton.NATIONAL or (default_country and written[0] == "0"):
        return written
    return "+" + written


def sender(ton: int, written: str) -> str | None:
    """What it comes from. Short codes often come as international numbers, which they can't be."""
    if ton == Ton.INTERNATIONAL and written.isdigit() and len(written) >= _SHORTEST_NUMBER:
        return "+" + written.removeprefix("00")
    return written or None


def submission(pdu: Submit, text: str | None, raw: Raw | None, to: str, lane: int, now: int) -> Submission:
    """What is asked for with a message to one person; `lane` is where its receipts go."""
    if not text and raw is None:
        raise Wrong(Status.ESME_RINVMSGLEN)
    asked = Submission(to, text or None, sender(pdu.source_addr_ton, pdu.source_addr), smart=False)
    if raw is not None:
        asked.raw = [raw]
    if pdu.registered_delivery & RegisteredDelivery.RECEIPT:
        asked.callback = lane
        if pdu.registered_delivery & RegisteredDelivery.RECEIPT != RegisteredDelivery.FINAL:
            asked.receipts = pdu.registered_delivery & RegisteredDelivery.RECEIPT
    if pdu.service_type:
        asked.klass = _CLASSES.get(pdu.service_type.upper(), status.TRANSACTIONAL)
    if isinstance(pdu, DataSm):
        seconds = find(pdu.tlvs, QOS_TIME_TO_LIVE) if pdu.tlvs else None
        if seconds:
            asked.valid_for = min(seconds, MOST_VALID_S)
        return asked
    if pdu.priority_flag:
        if pdu.priority_flag > _HIGHEST_PRIORITY:
            raise Wrong(Status.ESME_RINVPRTFLG)
        if pdu.priority_flag == _HIGHEST_PRIORITY:
            asked.klass = status.OTP
    if pdu.schedule_delivery_time:
        asked.send_at = _time(pdu.schedule_delivery_time, now, Status.ESME_RINVSCHED)
        if not now < asked.send_at <= now + MOST_AHEAD_MS:
            raise Wrong(Status.ESME_RINVSCHED)
    if pdu.validity_period:
        ends = _time(pdu.validity_period, now, Status.ESME_RINVEXPIRY)
        seconds = (ends - (asked.send_at or now)) // 1000
        if seconds <= 0:
            raise Wrong(Status.ESME_RINVEXPIRY)
        asked.valid_for = min(seconds, MOST_VALID_S)
    return asked


def _time(written: str, now: int, refusal: int) -> int:
    try:
        when = parse_time(written, datetime.fromtimestamp(now / 1000, UTC))
    except InvalidTime:
        raise Wrong(refusal) from None
    return 0 if when is None else int(when.timestamp() * 1000)


Answer: TypeAlias = Callable[[int, str], Any]  # a command_status and a message_id
