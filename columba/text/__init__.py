"""Text as SMS parts, and SMS parts as text: GSM 03.38 (3GPP TS 23.038), UCS-2, segments, headers, smart encoding.

Pure: no state, no clock, no other room. What can fail raises TextError; each module says what does. On the way out a
text goes through `check`, `smart` and `plan` (or `encoding_of` and `segments_of`, where the parts don't matter yet) and
each part through `encode_part`; on the way in octets go through `decode`, and a message's parts through `join`.
"""

from .errors import TextError
from .header import Concat, Header, Ports
from .header import parse as parse_header
from .problems import check
from .segments import MAX_PARTS, Encoding, Plan, encoding_of, plan, segments_of
from .tables import LANGUAGES
from .typography import Forced, forced_by, smart
from .wire import UDHI, Alphabet, Coding, Decoded, Wire, decode, encode_part, join

__all__ = [
    "LANGUAGES",
    "MAX_PARTS",
    "UDHI",
    "Alphabet",
    "Coding",
    "Concat",
    "Decoded",
    "Encoding",
    "Forced",
    "Header",
    "Plan",
    "Ports",
    "TextError",
    "Wire",
    "check",
    "decode",
    "encode_part",
    "encoding_of",
    "forced_by",
    "join",
    "parse_header",
    "plan",
    "segments_of",
    "smart",
]
