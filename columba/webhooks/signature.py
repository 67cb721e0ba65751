"""Standard Webhooks 1.0.0 signatures, scheme v1: HMAC-SHA256 of `id.timestamp.body`. Pure.

Keys are the bytes that a secret stands for. Fails with ValueError, for a secret that is none; `verify` never fails.
"""

import re
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _hashlib import HASH

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a key
TOLERANCE = 300  # seconds between a signature's time and the receiver's clock
_MOST_SIGNATURES = 16
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def new_secret(random: bytes) -> str:
    """The secret made of random bytes, as its owner is shown it."""
    if not SHORTEST <= len(random) <= LONGEST:
        raise ValueError(f"A secret has {SHORTEST} to {LONGEST} bytes.")
    return PREFIX + b2a_base64(random, newline=False).decode()


def decode_secret(secret: str) -> bytes:
    """The key of a secret as it is shown; its padding may be missing."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"A secret begins with {PREFIX}.")
    text = secret.removeprefix(PREFIX).rstrip("=")
    try:
        key = a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (Error, ValueError):
        raise ValueError("A secret is Base64.") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"A secret has {SHORTEST} to {LONGEST} bytes.")
    return key


def sign(message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]) -> str:
    """The webhook-signature header: one signature a key, so that a secret can be rotated. The id has no dot."""
    content = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return b" ".join([_signature(key, content) for key in keys]).decode()


def verify(
    message_id: str,
    timestamp: str,
    signatures: str,
    body: bytes,
    keys: Sequence[bytes],
    now: float,
    tolerance: float = TOLERANCE,
) -> bool:
    """Whether a signature is by one of the keys, and its time near `now`. The headers are given as they came."""
    if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > tolerance:
        return False
    try:
        content = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), body)
        given = [signature.encode() for signature in signatures.split(" ")[:_MOST_SIGNATURES]]
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    expected = [_signature(key, content) for key in keys]
    # All pairs are compared: how long it takes tells nothing.
    return sum([compare_digest(ours, theirs) for ours in expected for theirs in given]) > 0


def _signature(key: bytes, content: bytes) -> bytes:
    inner, outer = _begun(key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(content)
    outer.update(inner.digest())
    return b"v1," + b2a_base64(outer.digest(), newline=False)


@lru_cache(maxsize=1024)
def _begun(key: bytes) -> "tuple[HASH, HASH]":
    """The two hashes that the key begins (RFC 2104 §4): to copy them is half the cost of a whole HMAC."""
    padded = key.ljust(64, b"\0")  # SHA-256's block; no key is longer
    return sha256(padded.translate(_INNER)), sha256(padded.translate(_OUTER))
