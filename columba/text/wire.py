"""A part of a text as the octets that SMPP carries, and octets that came in as text.

`encode_part` raises TextError when the part does not fit, or is not in the encoding named. `decode` never fails: what
is not text comes back as octets alone, what is damaged as text with U+FFFD in it. Text that comes out of here can be
stored anywhere: it has no NUL and no lone surrogate.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from . import gsm, ucs2
from .errors import TextError
from .header import NONE, Header, parse
from .segments import Encoding, room

UDHI = 0x40  # esm_class: the octets begin with a user data header, SMPP 3.4 §5.2.12

# What a carrier's data_coding 0 means. GSM septets come one an octet, unless a carrier packs them.
Alphabet = Literal["gsm7", "gsm7-packed", "ascii", "latin1", "utf8"]
Coding = Literal[
    "gsm7", "ucs2", "binary", "ascii", "latin1", "utf8", "cyrillic", "hebrew", "shift-jis", "jis", "korean"
]


class Wire(NamedTuple):
    """What goes into a submit_sm or deliver_sm: `esm_class` has UDHI set, or is 0."""

    data_coding: int
    octets: bytes
    esm_class: int


class Decoded(msgspec.Struct, frozen=True):
    """What came in. `text` is None for what is not text: binary, and text compressed after 3GPP 23.042. `data` is the
    content without its header, septets unpacked."""

    text: str | None
    coding: Coding
    data: bytes
    header: Header = NONE


def encode_part(part: str, encoding: Encoding, header: Header = NONE, *, packed: bool = False) -> Wire:
    """One part of a planned text. `packed` is for carriers that want GSM septets packed.

    Packed septets that leave seven bits of the last octet free are filled with a CR, since SMPP carries no count of
    septets and zeros would read as `@` (3GPP 23.038 §6.1.2.3.1).
    """
    begin = b"" if header is NONE else header.build()
    if encoding == "gsm7":
        octets = gsm.encode(part, header.locking, header.single)
        units = len(octets)
    else:
        octets = ucs2.encode(part)
        units = len(octets) // 2
    if units > (fits := room(encoding, len(begin))):
        raise TextError(f"the part takes {units} units where {fits} fit")
    if packed and encoding == "gsm7":
        fill = _fill(begin)
        if (fill + 7 * units) % 8 == 1:
            octets += b"\r"
        octets = gsm.pack(octets, fill)
    return Wire(0x00 if encoding == "gsm7" else 0x08, begin + octets, UDHI if begin else 0)


def decode(data_coding: int, octets: bytes, udhi: bool = False, *, alphabet: Alphabet = "gsm7") -> Decoded:
    """What `octets` with this data_coding say. `udhi` tells that they begin with a header; if what stands there
    can't be one, they are read as if it were not set, as some carriers set it on every message."""
    header, length = NONE, 0
    if udhi:
        try:
            header, length = parse(octets)
        except TextError:
            pass
    begin, data = octets[:length], octets[length:]
    coding = _CODINGS[data_coding & 0xFF]
    if coding is None:
        if alphabet == "gsm7-packed":
            coding, data = "gsm7", gsm.unpack(data, _fill(begin))
        else:
            coding = alphabet
    return Decoded(_text(coding, data, header), coding, data, header)


def join(parts: Sequence[Decoded]) -> str | None:
    """The text of a message's parts, in their order; None if a part is not text.

    Parts of one coding are joined before they are read: senders do cut characters in two.
    """
    if not parts:
        return ""
    first = parts[0]
    tables = (first.coding, first.header.locking, first.header.single)
    if all((part.coding, part.header.locking, part.header.single) == tables for part in parts):
        return _text(first.coding, b"".join(part.data for part in parts), first.header)
    texts = [part.text for part in parts if part.text is not None]
    return "".join(texts) if len(texts) == len(parts) else None


def _fill(begin: bytes) -> int:
    """The bits between a header and the first packed septet, which starts on a septet boundary (23.040 §9.2.3.24)."""
    return -8 * len(begin) % 7


def _text(coding: Coding, data: bytes, header: Header) -> str | None:
    if coding == "binary":
        return None
    if coding == "gsm7":
        return gsm.decode(data, header.locking, header.single)
    text = ucs2.decode(data) if coding == "ucs2" else data.decode(_CODECS[coding], "replace")
    return text.replace("\0", "")  # some carriers end a text with it


_CODECS = {
    "ascii": "ascii",
    "latin1": "latin-1",
    "utf8": "utf-8",
    "cyrillic": "iso8859-5",
    "hebrew": "iso8859-8",
    "shift-jis": "shift_jis",
    "jis": "iso2022_jp",
    "korean": "euc_kr",
}


def _coding(data_coding: int) -> Coding | None:
    """The coding that a data_coding names, None for the carrier's default alphabet."""
    if data_coding in _NAMED:
        return _NAMED[data_coding]
    group = data_coding >> 4
    if group < 0b1000:  # general data coding, and the same marked for deletion after reading
        if data_coding & 0x20:  # compressed
            return "binary"
        return _CHARACTER_SETS[data_coding >> 2 & 3]
    if group == 0b1110:  # message waiting
        return "ucs2"
    if group == 0b1111:  # a message class
        return "binary" if data_coding & 0x04 else None
    return None  # message waiting, or reserved, which is to be read as the default alphabet


_CHARACTER_SETS: tuple[Coding | None, ...] = (None, "binary", "ucs2", None)  # the last is reserved

# SMPP 3.4 §5.2.19 gives these meanings of their own; those it leaves reserved are read as 3GPP 23.038 §4 has them.
# Pictograms (9) and JIS X 0212 (13) have no codec and stay binary.
_NAMED: dict[int, Coding | None] = {
    0x00: None,
    0x01: "ascii",
    0x02: "binary",
    0x03: "latin1",
    0x04: "binary",
    0x05: "shift-jis",
    0x06: "cyrillic",
    0x07: "hebrew",
    0x08: "ucs2",
    0x09: "binary",
    0x0A: "jis",
    0x0D: "binary",
    0x0E: "korean",
}
_CODINGS = tuple(map(_coding, range(256)))
