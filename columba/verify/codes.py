"""Codes: derived from the id of what they verify with a secret key, so that none is kept and each send says the same.

Pure. A hash names the key that it was made with, so that keys can be replaced; one that is not here gives None.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Alphabet = Literal["digits", "letters", "alphanumeric"]

# Letters that look like digits, or like each other, are left out.
ALPHABETS: Final[Mapping[str, str]] = {
    "digits": "0123456789",
    "letters": "ABCDEFGHJKMNPQRSTUVWXYZ",
    "alphanumeric": "23456789ABCDEFGHJKMNPQRSTUVWXYZ",
}
_FILLING: Final = re.compile(r"[\s-]+")


class _Key(NamedTuple):
    tag: str
    code: bytes
    hash: bytes


class Codes:
    """`keys`: the current one first."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        made = [
            _Key(hashlib.sha256(key).hexdigest()[:8], *(hmac.digest(key, use, "sha256") for use in (b"code", b"hash")))
            for key in keys
        ]
        self._current = made[0]
        self._keys = {each.tag: each for each in made}

    def new(self, an_id: int, length: int, alphabet: str) -> tuple[str, str]:
        """A code and its hash."""
        code = _code(self._current, an_id, length, alphabet)
        return code, _hash(self._current, an_id, code)

    def again(self, an_id: int, length: int, alphabet: str, hashed: str) -> str | None:
        """The code that has this hash."""
        key = self._keys.get(hashed.partition(".")[0])
        return None if key is None else _code(key, an_id, length, alphabet)

    def entered(self, an_id: int, code: str, hashed: str) -> str:
        """The hash of what was entered, to be compared with this one. It takes the same time whatever they are."""
        key = self._keys.get(hashed.partition(".")[0], self._current)
        return _hash(key, an_id, _FILLING.sub("", code).upper())


def _code(key: _Key, an_id: int, length: int, alphabet: str) -> str:
    letters = ALPHABETS[alphabet]
    number = int.from_bytes(hmac.digest(key.code, b"%d %d %b" % (an_id, length, alphabet.encode()), "sha256"), "big")
    code = ""
    for _ in range(length):
        number, place = divmod(number, len(letters))
        code += letters[place]
    return code


def _hash(key: _Key, an_id: int, code: str) -> str:
    return f"{key.tag}.{hmac.digest(key.hash, b'%d %b' % (an_id, code.encode()), 'sha256').hex()}"
