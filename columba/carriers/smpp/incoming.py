"""Texts from people: deliver_sm and data_sm as what the main path takes.

Fails never: what is no text (binary) comes as a data: URI in `media`, so that nothing a person sent is lost.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from columba.core.contract import Fragment, Inbound
from columba.core.inbound import data_uri
from columba.core.model import Raw
from columba.numbers import NumberError, normalise, sender
from columba.smpp.pdu import DataSm, ShortMessagePdu
from columba.smpp.tlv import MESSAGE_PAYLOAD, SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS, find
from columba.smpp.values import EsmClass, Ton
from columba.text import Alphabet, Decoded, decode

from .config import Config, InboundAlphabet, coding_of

_DEFAULT: Final = 0
_IA5: Final = 1
_UCS2: Final = 8
# Octets that no text in IA5 has. Some gateways write GSM septets and call them IA5.
_NOT_IA5: Final = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]|\x00(?!\x00*\Z)")

Meaning = tuple[int, Alphabet]  # a data_coding, and the alphabet that 0 stands for


def reader(config: Config) -> Callable[[ShortMessagePdu | DataSm], Inbound]:
    """How this carrier's texts are read."""
    wait_ms = int(config.join_seconds * 1000)
    default = _meaning(config.inbound_alphabet or config.alphabet)
    meanings = {0: default}
    meanings |= {coding_of(coding): _meaning(alphabet) for coding, alphabet in config.inbound_data_codings.items()}

    def body_of(pdu: ShortMessagePdu | DataSm, octets: bytes) -> Decoded:
        coding, alphabet = meanings.get(pdu.data_coding, (pdu.data_coding, default[1]))
        headed = bool(pdu.esm_class & EsmClass.UDHI)
        body = decode(coding, octets, headed, alphabet=alphabet)
        if coding == _IA5 and _NOT_IA5.search(body.data):
            return decode(_DEFAULT, octets, headed, alphabet="gsm7")
        return body

    def read(pdu: ShortMessagePdu | DataSm) -> Inbound:
        octets = pdu.short_message if isinstance(pdu, ShortMessagePdu) else b""
        octets = octets or find(pdu.tlvs, MESSAGE_PAYLOAD) or b""
        body = body_of(pdu, octets)
        said_by = address(pdu.source_addr_ton, pdu.source_addr)
        to = destination(pdu.dest_addr_ton, pdu.destination_addr)
        fragment = _fragment(pdu, body, wait_ms)
        if body.text is not None:
            return Inbound(said_by, to, body.text, fragment=fragment)
        raw = Raw(octets, pdu.data_coding, pdu.esm_class & EsmClass.UDHI) if fragment is None else None
        return Inbound(said_by, to, "", (data_uri(body.data),), fragment=fragment, raw=raw)

    return read


def _meaning(alphabet: InboundAlphabet) -> Meaning:
    return (_UCS2, "gsm7") if alphabet == "ucs2" else (_DEFAULT, alphabet)


def _fragment(pdu: ShortMessagePdu | DataSm, body: Decoded, wait_ms: int) -> Fragment | None:
    concat = body.header.concat
    if concat is not None:
        if concat.total == 1:
            return None
        return Fragment(f"{'w' if concat.wide else 'n'}{concat.reference}", concat.number, concat.total, body, wait_ms)
    if not pdu.tlvs:
        return None
    total, number = find(pdu.tlvs, SAR_TOTAL_SEGMENTS), find(pdu.tlvs, SAR_SEGMENT_SEQNUM)
    reference = find(pdu.tlvs, SAR_MSG_REF_NUM)
    # SMPP 3.4 §5.3.2.22: the three are there together, or count for nothing.
    if total is None or number is None or reference is None or not 1 <= number <= total <= 255 or total == 1:
        return None
    return Fragment(f"s{reference}", number, total, body, wait_ms)


def address(ton: int, written: str) -> str:
    """Whom a text is from: an international number with its `+`, anything else as it is written."""
    written = _printable(written)
    if ton == Ton.INTERNATIONAL and written.isdigit():
        plus = "+" + written.removeprefix("00")
        try:
            return normalise(plus)
        except NumberError:
            return written
    return written


@lru_cache(maxsize=4_096)  # they are few, and short codes that call themselves international take long to read
def destination(ton: int, written: str) -> str:
    """A number of ours, written as messages from it are."""
    found = address(ton, written)
    try:
        return found if found[:1] == "+" else sender(found).value
    except NumberError:
        return found


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
