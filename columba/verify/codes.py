"""Codes: derived from the id of what they verify with a secret key, so that none is kept and each send says the same.

Pure. A hash names the key that it was made with, so that keys can be replaced; one that is not here gives None.
"""

import hashlib
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
    """BLAKE2b with the key taken in already: HMAC would cost ten times as much."""

    tag: str
    code: "hashlib.blake2b"
    hash: "hashlib.blake2b"

    def of_code(self, message: bytes) -> bytes:
        keyed = self.code.copy()
        keyed.update(message)
        return keyed.digest()

    def of_hash(self, message: bytes) -> str:
        keyed = self.hash.copy()
        keyed.update(message)
        return f"{self.tag}.{keyed.hexdigest()}"


class Codes:
    """`keys`: the current one first."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        made = [
            _Key(
                hashlib.sha256(key).hexdigest()[:8],
                *(hashlib.blake2b(key=key, person=use, digest_size=32) for use in (b"code", b"hash")),
            )
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
    number = int.from_bytes(key.of_code(b"%d %d %b" % (an_id, length, alphabet.encode())), "big")
    code = ""
    for _ in range(length):
        number, place = divmod(number, len(letters))
        code += letters[place]
    return code


def _hash(key: _Key, an_id: int, code: str) -> str:
    return key.of_hash(b"%d %b" % (an_id, code.encode()))
