"""UCS-2, which on every network means UTF-16 big-endian: characters to octets and back.

`encode` raises TextError at a lone surrogate, which no octets stand for. `decode` never fails: U+FFFD takes the place
of a lone surrogate and of a last octet without its half.
"""

from .errors import TextError


def encode(text: str) -> bytes:
    """The text's octets."""
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise TextError(f"a lone surrogate stands at {error.start}") from None


def decode(octets: bytes) -> str:
    """The octets' text. A byte order mark is obeyed, and is not part of the text."""
    if octets[:2] == b"\xff\xfe":
        return octets[2:].decode("utf-16-le", "replace")
    if octets[:2] == b"\xfe\xff":
        octets = octets[2:]
    return octets.decode("utf-16-be", "replace")


def units(text: str) -> int:
    """How many 16-bit units the text takes."""
    return len(text.encode("utf-16-be", "surrogatepass")) // 2
