"""The GSM 7-bit alphabet: characters to septets and back, and the packing of septets into octets.

Septets are unpacked, one an octet, unless a function says packed. `locking` and `single` are national language
identifiers (`tables.LANGUAGES`); 0 is the default alphabet, and so is one that the standard does not define.

`encode` raises TextError at the first character that has no septet. `decode` never fails: where the standard says
nothing (an octet above 127, a place that a national table leaves empty) it puts U+FFFD. Where it does say, that is
followed: a septet behind an escape that the extension lacks is its character without the escape, and an escape before
an escape, or at the end, is a space (3GPP 23.038 §6.2.1, §6.2.1.1).
"""

from codecs import charmap_build, charmap_decode, charmap_encode
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from . import tables
from .errors import TextError

if TYPE_CHECKING:
    from _codecs import _EncodingMap

ESCAPE = 0x1B
REPLACEMENT = "\ufffd"

_UNUSED = "\ufffe"  # what charmap_build takes for an empty place
_PLAIN = bytes(range(0x80, 0x100))
_TO_SEPTETS = bytes(octet & 0x7F for octet in range(0x100))


class _Alphabet(NamedTuple):
    # A character's septet: with the high bit set if it stands for itself, without if it needs an escape.
    encoding: "dict[int, int] | _EncodingMap"
    plain: str  # octet -> character
    escaped: tuple[str, ...]  # octet behind an escape -> character


@cache
def _alphabet(locking: int, single: int) -> _Alphabet:
    base, extension = tables.locking(locking), tables.single(single)
    # CPython encodes many times faster from a table whose first place is NUL, which the default extension has free.
    low = extension.get(0, "\0") + "".join(extension.get(septet, _UNUSED) for septet in range(1, 128))
    high = "".join(base.get(septet, _UNUSED) for septet in range(128))
    plain = high.replace(_UNUSED, REPLACEMENT) + REPLACEMENT * 128
    return _Alphabet(
        charmap_build(low + high), plain, tuple(extension.get(octet, char) for octet, char in enumerate(plain))
    )


_DEFAULT = _alphabet(0, 0)


def _chosen(locking: int, single: int) -> _Alphabet:
    if not locking and not single:
        return _DEFAULT
    known = range(len(tables.LANGUAGES))
    return _alphabet(locking if locking in known else 0, single if single in known else 0)


def septets(text: str, locking: int = 0, single: int = 0) -> bytes | None:
    """The text's septets, or None if a character has none."""
    try:
        coded = charmap_encode(text, "strict", _chosen(locking, single).encoding)[0]
    except UnicodeEncodeError:
        return None
    behind_escape = coded.translate(None, _PLAIN)
    if behind_escape:
        if 0 in behind_escape and "\0" in text:
            return None
        for octet in set(behind_escape):
            coded = coded.replace(bytes((octet,)), bytes((ESCAPE, octet)))
    return coded.translate(_TO_SEPTETS)


def unfit(text: str, locking: int = 0, single: int = 0) -> int:
    """Where the first character without a septet is; -1 if all have one."""
    try:
        charmap_encode(text, "strict", _chosen(locking, single).encoding)
    except UnicodeEncodeError as error:
        nul = text.find("\0", 0, error.start)
        return error.start if nul < 0 else nul
    return text.find("\0")


def encode(text: str, locking: int = 0, single: int = 0) -> bytes:
    """The text's septets."""
    encoded = septets(text, locking, single)
    if encoded is None:
        raise TextError(f"the character at {unfit(text, locking, single)} is not in the GSM 7-bit alphabet")
    return encoded


def decode(encoded: bytes, locking: int = 0, single: int = 0) -> str:
    """The septets' text."""
    alphabet = _chosen(locking, single)
    if ESCAPE not in encoded:
        return charmap_decode(encoded, "strict", alphabet.plain)[0]
    first, *pieces = encoded.split(b"\x1b")
    out = [charmap_decode(first, "strict", alphabet.plain)[0]]
    escaped = True
    for index, piece in enumerate(pieces):
        if not escaped:  # the escape before this piece was the second of a pair
            escaped = True
        elif piece:
            out.append(alphabet.escaped[piece[0]])
            piece = piece[1:]
        else:
            out.append(" ")
            escaped = index == len(pieces) - 1
        out.append(charmap_decode(piece, "strict", alphabet.plain)[0])
    return "".join(out)


def pack(unpacked: bytes, fill: int = 0) -> bytes:
    """Septets as octets, seven bits each, the first in the lowest bits (§6.1.2.1.1).

    `fill` zero bits come first: those that align the first septet after a user data header (3GPP 23.040 §9.2.3.24).
    """
    out = bytearray()
    for start in range(0, len(unpacked), 8):
        group = 0
        for place, septet in enumerate(unpacked[start : start + 8]):
            group |= (septet & 0x7F) << 7 * place
        out += group.to_bytes(7, "little")
    bits = fill + 7 * len(unpacked)
    return (int.from_bytes(out, "little") << fill).to_bytes(len(out) + 1, "little")[: (bits + 7) // 8]


def unpack(packed: bytes, fill: int = 0, count: int | None = None) -> bytes:
    """The septets that `pack` packed: the first `count` of them.

    With no count, all that are whole; but if one ends with the last octet and is CR or seven zero bits, it is taken for
    fill, since there is no telling that from `@` (§6.1.2.3.1).
    """
    bits = max(8 * len(packed) - fill, 0)
    aligned = (int.from_bytes(packed, "little") >> fill).to_bytes(len(packed), "little")
    out = bytearray()
    for start in range(0, len(aligned), 7):
        group = int.from_bytes(aligned[start : start + 7], "little")
        out += bytes(group >> 7 * place & 0x7F for place in range(8))
    del out[bits // 7 :]
    if count is not None:
        return bytes(out[:count])
    if out and bits % 7 == 0 and out[-1] in b"\x00\r":
        out.pop()
    return bytes(out)
