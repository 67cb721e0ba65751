"""Parts as submit_sm, the way a carrier wants them. What a program has encoded goes as it came: its octets, data_coding,
esm_class, protocol_id and TLVs; addresses, validity, priority and receipts are ours all the same.

Fails with TextError when a part can't be encoded; the codec has the last word on what fits a PDU (Unsendable).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from columba.core.contract import Part
from columba.smpp.pdu import SubmitSm
from columba.smpp.times import format_absolute, format_relative
from columba.smpp.tlv import MESSAGE_PAYLOAD, SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS, Tlvs
from columba.text import UDHI, Concat, Encoding, Header, TextError, Wire, encode_part, gsm, ucs2

from .config import Config, tag_of

_REMEMBERED: Final = 4_096
_ENCODINGS: Final[tuple[Encoding, Encoding]] = ("gsm7", "ucs2")
_ONE: Final = (160, 140)  # octets that are one SMS: GSM septets come one an octet
_LONGEST: Final = 254  # octets of a short_message, SMPP 3.4 §5.2.22
_CODECS: Final = {"latin1": "latin-1", "ascii": "ascii"}

Write = Callable[[Part, int], SubmitSm]


def writer(config: Config) -> Write:
    """How parts are written; the second argument is the time in ms."""
    source = _sources(config)
    validity = _validities(config)
    encode = _encoder(config)
    tlvs: Tlvs = tuple((tag_of(tag), each.value) for tag, each in config.tlvs.items())
    priorities = (config.priority.otp, config.priority.transactional, config.priority.marketing)
    registered = {name: tag_of(tag) for name, tag in config.registration_tlvs.items()}
    if config.interface_version == "3.3":  # it has no TLVs
        registered = {}
    codings = (config.data_coding, config.ucs2_data_coding)
    ton, npi = config.types.destination
    plus = config.plus
    service_type, protocol_id, receipts = config.service_type, config.protocol_id, config.registered_delivery

    def write(part: Part, now: int) -> SubmitSm:
        source_ton, source_npi, source_addr = source(part.sender)
        if (raw := part.raw) is None:
            octets, esm_class, more = encode(part)
            longest, pid, coding, own = _ONE[part.encoding], protocol_id, codings[part.encoding], tlvs
        else:
            octets, esm_class, more = raw.octets, raw.esm_class, tuple(raw.tlvs)
            there = {tag for tag, _ in more}
            longest, pid, coding = _LONGEST, raw.protocol_id, raw.data_coding
            own = tuple(each for each in tlvs if each[0] not in there)
        if part.registration is not None:
            there = {tag for tag, _ in (*more, *own)}
            for name, value in part.registration.items():
                tag = registered.get(name)
                if tag is not None and tag not in there:
                    own = (*own, (tag, value.encode("ascii", "replace")))
        if len(octets) > longest:
            more, octets = (MESSAGE_PAYLOAD(octets), *more), b""
        return SubmitSm(
            more + own,
            service_type,
            source_ton,
            source_npi,
            source_addr,
            ton,
            npi,
            part.to if plus else part.to.removeprefix("+"),
            esm_class,
            pid,
            priorities[part.klass],
            "",
            validity(part.expires_at, now),
            receipts,
            0,
            coding,
            0,
            octets,
        )

    return write


def _encoder(config: Config) -> Callable[[Part], tuple[bytes, int, Tlvs]]:
    """A part's octets, its esm_class, and the TLVs that join it to the others."""
    codec = _CODECS.get(config.alphabet, "")
    packed = config.alphabet == "gsm7-packed"
    wide, sar, payload = config.long == "udh16", config.long == "sar", config.long == "payload"

    def own(text: str) -> bytes:
        try:
            return text.encode(codec)
        except UnicodeEncodeError:
            raise TextError("the text has a character that the carrier's alphabet lacks") from None

    def encode(part: Part) -> tuple[bytes, int, Tlvs]:
        text, encoding = part.text, part.encoding
        if not text:
            raise TextError("there is no text, and SMPP carries nothing else")
        if payload:
            return ucs2.encode(text) if encoding else own(text) if codec else gsm.encode(text), 0, ()
        header = Header(Concat(part.ref, part.of, part.n, wide)) if part.of > 1 and not sar else None
        if codec and not encoding:
            begin = b"" if header is None else header.build()
            wire = Wire(0, begin + own(text), UDHI if begin else 0)
        elif header is not None:
            wire = encode_part(text, _ENCODINGS[encoding], header, packed=packed)
        else:
            wire = encode_part(text, _ENCODINGS[encoding], packed=packed)
        if part.of == 1 or not sar:
            return wire.octets, wire.esm_class, ()
        place = (SAR_MSG_REF_NUM(part.ref & 0xFFFF), SAR_TOTAL_SEGMENTS(part.of), SAR_SEGMENT_SEQNUM(part.n))
        return wire.octets, wire.esm_class, place

    return encode


def _sources(config: Config) -> Callable[[str], tuple[int, int, str]]:
    """The source address, with its type by what it is."""
    types = config.types
    known: dict[str, tuple[int, int, str]] = {}

    def source(sender: str) -> tuple[int, int, str]:
        found = known.get(sender)
        if found is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            found = known[sender] = read(sender or config.sender)
        return found

    def read(sender: str) -> tuple[int, int, str]:
        if sender[:1] == "+":
            return (*types.number, sender if config.plus else sender[1:])
        if sender.isdigit():
            return (*(types.short_code if len(sender) <= 8 else types.number), sender)
        return (*(types.name if sender else (0, 0)), sender)

    return source


def _validities(config: Config) -> Callable[[int, int], str]:
    """validity_period, SMPP 3.4 §5.2.16; the empty one is the carrier's own."""
    most, absolute = config.validity_most, config.validity == "absolute"
    known: dict[int, str] = {}

    def validity(expires_at: int, now: int) -> str:
        seconds = min(most, max(1, (expires_at - now) // 1000))
        moment = now // 1000 + seconds if absolute else seconds
        written = known.get(moment)
        if written is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            if absolute:
                written = format_absolute(datetime.fromtimestamp(moment, UTC))
            else:
                written = format_relative(timedelta(seconds=seconds))
            known[moment] = written
        return written

    if config.validity == "off":
        return lambda _expires_at, _now: ""
    return lambda expires_at, now: validity(expires_at, now) if expires_at else ""
