"""What a bound program is told: receipts and texts from people as deliver_sm. Pure; fails never.

A receipt is the text of SMPP 3.4 Appendix B in Latin-1 (data_coding 3: message ids have an underscore, which the GSM
alphabet has elsewhere), and the same as TLVs. A text goes in the login's alphabet where that has all of it, else as UCS-2;
a long one as message_payload, or in parts with a header for programs of an interface_version that has no TLVs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from columba.core import ids, status
from columba.core.model import Event, Message, media_link
from columba.smpp.pdu import DeliverSm
from columba.smpp.receipt import Receipt, format_receipt
from columba.smpp.tlv import MESSAGE_PAYLOAD, MESSAGE_STATE, RECEIPTED_MESSAGE_ID
from columba.smpp.values import DataCoding, EsmClass, MessageState, Npi, RegisteredDelivery, Ton
from columba.text import Alphabet, encode_part, encoding_of, plan

LONGEST: Final = 254  # octets of a short_message
STATES: Final = {
    status.SCHEDULED: MessageState.SCHEDULED,
    status.QUEUED: MessageState.ENROUTE,
    status.SENT: MessageState.ENROUTE,
    status.UNKNOWN: MessageState.UNKNOWN,
    status.DELIVERED: MessageState.DELIVERED,
    status.UNDELIVERED: MessageState.UNDELIVERABLE,
    status.FAILED: MessageState.UNDELIVERABLE,
    status.EXPIRED: MessageState.EXPIRED,
    status.CANCELED: MessageState.DELETED,
}
# What a receipt's `err` says where the carrier gave no number of up to three digits.
ERRORS: Final = {
    "unknown_number": 1,
    "unreachable": 2,
    "filtered": 3,
    "opted_out": 4,
    "rejected": 5,
    "carrier_failed": 6,
    "carrier_unavailable": 7,
    "throttled": 8,
    "expired": 9,
    "no_answer": 10,
    "no_receipt": 11,
    "deleted": 12,
}
_REJECTED: Final = ("filtered", "opted_out", "rejected")
_TLVS_FROM: Final = 0x34


def state_of(now: int, error: str | None) -> MessageState:
    if now == status.FAILED and error in _REJECTED:
        return MessageState.REJECTED
    return STATES.get(now, MessageState.UNKNOWN)


def error_of(error: str | None, carrier_code: str | None) -> int:
    if error is None:
        return 0
    if carrier_code is not None and carrier_code.isascii() and carrier_code.isdigit() and len(carrier_code) <= 3:
        return int(carrier_code)
    return ERRORS.get(error, 99)


def address(value: str) -> tuple[int, int, str]:
    """A number, short code or name as type, plan and digits."""
    if value[:1] == "+":
        return Ton.INTERNATIONAL, Npi.ISDN, value[1:21]
    if value.isascii() and value.isdigit():
        return Ton.UNKNOWN, Npi.ISDN, value[:20]
    if not value:
        return Ton.UNKNOWN, Npi.UNKNOWN, ""
    return Ton.ALPHANUMERIC, Npi.UNKNOWN, value[:20].encode("latin-1", "replace").decode("latin-1")


def told(event: Event, alphabet: Alphabet, version: int) -> Sequence[DeliverSm]:
    """What an event is to a bound program: nothing, one deliver_sm, or the parts of a text."""
    message = event.message
    if message is None:
        return ()
    if event.type == status.RECEIVED:
        return _text(message, alphabet, version)
    if event.type < status.UNKNOWN or event.type > status.CANCELED or not _wanted(event.type, message.extra.receipts):
        return ()
    return (_receipt(event, message, version),)


def _wanted(kind: int, receipts: int | None) -> bool:
    """SMPP 3.4 §5.2.17: for all outcomes, or for failures alone; 5.0 has one for successes alone."""
    if receipts == RegisteredDelivery.FAILURE:
        return kind != status.DELIVERED
    if receipts == RegisteredDelivery.SUCCESS:
        return kind == status.DELIVERED
    return True


def _receipt(event: Event, message: Message, version: int) -> DeliverSm:
    an_id = ids.show("msg", message.id)
    error = None if event.type in (status.DELIVERED, status.CANCELED) else message.error
    state = state_of(event.type, error)
    text = format_receipt(
        Receipt(
            id=an_id,
            state=state,
            err=f"{error_of(error, message.carrier_code):03}",
            submit_date=_utc(ids.time_of(message.id)),
            done_date=_utc(event.at),
        )
    )
    from_ton, from_npi, from_address = address(message.to)
    to_ton, to_npi, to_address = address(message.sender)
    return DeliverSm(
        source_addr_ton=from_ton, source_addr_npi=from_npi, source_addr=from_address,
        dest_addr_ton=to_ton, dest_addr_npi=to_npi, destination_addr=to_address,
        esm_class=EsmClass.DELIVERY_RECEIPT, data_coding=DataCoding.LATIN1, short_message=text,
        tlvs=(RECEIPTED_MESSAGE_ID(an_id), MESSAGE_STATE(state)) if version >= _TLVS_FROM else (),
    )  # fmt: skip


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _text(message: Message, alphabet: Alphabet, version: int) -> Sequence[DeliverSm]:
    raw = message.extra.raw
    text = message.text or "\n".join(media_link(word) for word in message.extra.media or ())
    if not text and not raw:  # it was redacted meanwhile
        return ()
    from_ton, from_npi, from_address = address(message.sender)
    to_ton, to_npi, to_address = address(message.to)

    def deliver(coding: int, octets: bytes, esm_class: int = 0) -> DeliverSm:
        short = len(octets) <= LONGEST
        return DeliverSm(
            source_addr_ton=from_ton, source_addr_npi=from_npi, source_addr=from_address,
            dest_addr_ton=to_ton, dest_addr_npi=to_npi, destination_addr=to_address,
            esm_class=esm_class, data_coding=coding, short_message=octets if short else b"",
            tlvs=() if short else (MESSAGE_PAYLOAD(octets),),
        )  # fmt: skip

    if raw:  # it is no text
        return [deliver(part.data_coding, part.octets, part.esm_class) for part in raw]
    coding, octets = encoded(text, alphabet)
    if len(octets) <= LONGEST or version >= _TLVS_FROM:
        return (deliver(coding, octets[:0xFFFF]),)
    planned = plan(text)
    if planned.segments > 255:
        return (deliver(coding, octets[:LONGEST]),)
    pieces = []
    for n, part in enumerate(planned.parts, 1):
        wire = encode_part(part, planned.encoding, planned.header(n, message.id >> 22 & 0xFF))
        pieces.append(deliver(wire.data_coding, wire.octets, wire.esm_class))
    return pieces


def encoded(text: str, alphabet: Alphabet) -> tuple[int, bytes]:
    """A text's data_coding and octets, as long as they are."""
    if alphabet in ("gsm7", "gsm7-packed"):
        if encoding_of(text) == "gsm7":
            return DataCoding.DEFAULT, b"".join(encode_part(part, "gsm7").octets for part in plan(text).parts)
    else:
        try:
            return DataCoding.DEFAULT, text.encode({"latin1": "latin-1"}.get(alphabet, alphabet))
        except UnicodeEncodeError:
            pass
    return DataCoding.UCS2, text.encode("utf-16-be")
