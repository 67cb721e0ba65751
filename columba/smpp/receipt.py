"""Delivery receipts: reading them out of deliver_sm and data_sm, and writing our own.

SMPP 3.4 Appendix B gives the text as an example, "SMSC vendor specific", and vendors took it at its word: fields are
missing, in another order, in another case, with spaces after the colon, with seconds in the dates. What is found is
used. Ids stay the strings they are, for "0012", "12" and "C" may be three ids or one, and that is for who knows the
carrier to say. Reading never fails; what is no receipt gives None.
"""

import re
from datetime import datetime, tzinfo
from itertools import pairwise
from typing import Final

import msgspec

from .pdu import DataSm, ShortMessagePdu
from .tlv import MESSAGE_PAYLOAD, MESSAGE_STATE, NETWORK_ERROR_CODE, RECEIPTED_MESSAGE_ID, find
from .values import EsmClass, MessageState

# As a receipt's text says them, SMPP 3.4 Appendix B and 5.0 §4.7.15; then other words for them that are in use.
STATS: Final = {
    MessageState.SCHEDULED: "SCHEDLD",
    MessageState.ENROUTE: "ENROUTE",
    MessageState.DELIVERED: "DELIVRD",
    MessageState.EXPIRED: "EXPIRED",
    MessageState.DELETED: "DELETED",
    MessageState.UNDELIVERABLE: "UNDELIV",
    MessageState.ACCEPTED: "ACCEPTD",
    MessageState.UNKNOWN: "UNKNOWN",
    MessageState.REJECTED: "REJECTD",
    MessageState.SKIPPED: "SKIPPED",
}
_STATES: Final = {
    **{stat: state for state, stat in STATS.items()},
    "SCHEDULED": MessageState.SCHEDULED,
    "BUFFERED": MessageState.ENROUTE,
    "BUFFRED": MessageState.ENROUTE,
    "DELIVERED": MessageState.DELIVERED,
    "DELIVERD": MessageState.DELIVERED,
    "UNDELIVERED": MessageState.UNDELIVERABLE,
    "UNDELIVERABLE": MessageState.UNDELIVERABLE,
    "UNDELIVRD": MessageState.UNDELIVERABLE,
    "FAILED": MessageState.UNDELIVERABLE,
    "ACCEPTED": MessageState.ACCEPTED,
    "REJECTED": MessageState.REJECTED,
    "REJECT": MessageState.REJECTED,
}

_LONGEST = 2_000  # characters of a text that are looked at
_KEY = re.compile(
    r"[\s,;|](id|sub|dlvrd|submit[ _]*date|done[ _]*date|stat(?:us|e)?|err(?:or)?|text)[ \t]*:", re.IGNORECASE
)
_WORD = re.compile(r"[^\s,;|]*")
_DATE = re.compile(r"[0-9 :/.T-]*")
_NO_DIGIT = re.compile(r"[^0-9]")
_ALIASES = {"status": "stat", "state": "stat", "error": "err"}


class Receipt(msgspec.Struct, frozen=True):
    """What a receipt says. `stat` is its own word for the state; `state` that word understood, or the TLV's."""

    id: str = ""
    state: MessageState | None = None
    stat: str = ""
    err: str = ""
    sub: int | None = None
    dlvrd: int | None = None
    submit_date: datetime | None = None
    done_date: datetime | None = None
    text: str = ""
    text_id: str = ""  # the id that the text gives, where the TLV gave `id` and they differ
    final: bool = True  # False: an intermediate notification


def read_receipt(pdu: ShortMessagePdu | DataSm, zone: tzinfo) -> Receipt | None:
    """The receipt that this PDU is; TLVs win over the text. `zone` is the one that the SMSC writes its dates in."""
    kind = pdu.esm_class & EsmClass.TYPE
    message_id = find(pdu.tlvs, RECEIPTED_MESSAGE_ID)
    if kind not in (EsmClass.DELIVERY_RECEIPT, EsmClass.INTERMEDIATE_NOTIFICATION) and not message_id:
        return None
    octets = pdu.short_message if isinstance(pdu, ShortMessagePdu) else b""
    octets = octets or find(pdu.tlvs, MESSAGE_PAYLOAD) or b""
    if pdu.esm_class & EsmClass.UDHI and octets:
        octets = octets[octets[0] + 1 :]
    told = parse_receipt(octets.decode("utf-16-be" if pdu.data_coding == 8 else "latin-1", "replace"), zone)
    told = told or Receipt()
    number, code = find(pdu.tlvs, MESSAGE_STATE), find(pdu.tlvs, NETWORK_ERROR_CODE)
    state = told.state
    if number is not None:
        state = MessageState(number) if number in STATS else None
    return msgspec.structs.replace(
        told,
        id=message_id or told.id,
        state=state,
        err=told.err or (str(int.from_bytes(code[1:], "big")) if code and len(code) == 3 else ""),
        text_id=told.id if message_id and told.id != message_id else "",
        final=kind != EsmClass.INTERMEDIATE_NOTIFICATION,
    )


def parse_receipt(text: str, zone: tzinfo) -> Receipt | None:
    """The receipt that this text is: it has to give at least an id or a stat."""
    text = " " + text[:_LONGEST].strip("\0 \r\n\t")
    found: dict[str, str] = {}
    for key, following in pairwise([*_KEY.finditer(text), None]):
        assert key is not None
        name = key[1].lower()
        name = name[:4] + "date" if name.endswith("date") else _ALIASES.get(name, name)
        if name == "text" and "id" in found and "stat" in found:
            # What comes after is the message's own text, and whatever that says is not the carrier's word.
            found[name] = text[key.end() :].strip()
            break
        found.setdefault(name, text[key.end() : following.start() if following else None].strip())
    if not found.get("id") and not found.get("stat"):
        return None
    stat = _word(found.get("stat", "")).upper()
    return Receipt(
        id=_word(found.get("id", "")),
        state=_STATES.get(stat),
        stat=stat,
        err=_word(found.get("err", "")),
        sub=_number(found.get("sub", "")),
        dlvrd=_number(found.get("dlvrd", "")),
        submit_date=_date(found.get("submdate", ""), zone),
        done_date=_date(found.get("donedate", ""), zone),
        text=found.get("text", ""),
    )


def format_receipt(receipt: Receipt) -> bytes:
    """The text of Appendix B for a short_message; dates as they are, in the zone they carry."""
    stat = receipt.stat or (STATS[receipt.state] if receipt.state is not None else "UNKNOWN")
    delivered = receipt.state is MessageState.DELIVERED
    text = (
        f"id:{receipt.id} sub:{1 if receipt.sub is None else receipt.sub:03}"
        f" dlvrd:{int(delivered) if receipt.dlvrd is None else receipt.dlvrd:03}"
        f" submit date:{_minutes(receipt.submit_date)} done date:{_minutes(receipt.done_date)}"
        f" stat:{stat} err:{receipt.err or '000'} text:{receipt.text[:20]}"
    )
    return text.encode("latin-1", "replace")


def _minutes(when: datetime | None) -> str:
    return f"{when:%y%m%d%H%M}" if when else "0000000000"


def _word(value: str) -> str:
    match = _WORD.match(value)
    return match[0] if match else ""


def _number(value: str) -> int | None:
    word = _word(value)[:9]
    return int(word) if word.isascii() and word.isdigit() else None


def _date(value: str, zone: tzinfo) -> datetime | None:
    """Ten digits; twelve with seconds or the century; fourteen with both; with or without separators."""
    match = _DATE.match(value)
    digits = _NO_DIGIT.sub("", match[0]) if match else ""
    if len(digits) == 10:
        return _time("20" + digits, zone)
    if len(digits) == 12:
        return _time("20" + digits, zone) or _time(digits, zone)
    return _time(digits, zone) if len(digits) == 14 else None


def _time(digits: str, zone: tzinfo) -> datetime | None:
    pairs = [int(digits[at : at + 2]) for at in range(4, len(digits), 2)]
    try:
        return datetime(int(digits[:4]), *pairs, tzinfo=zone)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
