"""Links to what is kept: signed, and good for a while only.

`/media/{id}/{name}?expires=&sig=` is what programs and carriers get, `/m/{...}`, as short as it can be, what stands in a
text. Whoever has a link may read, so it names one file and ends. The end is on a full hour: the same event is shown with
the same link for an hour, and a proxy may keep it. Pure; never fails.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final

from columba.core import ids

PREFIX: Final = "med"
HOUR_MS: Final = 3_600_000
_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def word_of(media_id: int, name: str) -> str:
    """How a message refers to what is kept."""
    return f"{ids.show(PREFIX, media_id)}/{name}"


def id_in(word: str) -> int | None:
    """The id in a word of a message, or None where it is a URL."""
    return ids.read(PREFIX, word.partition("/")[0]) if word.startswith("med_") else None


class Links:
    """`keys`: the first one signs, all are good. `base` is how the outside reaches us; `lasts_s` how long a link is good."""

    def __init__(self, keys: tuple[bytes, ...], base: str, clock: Callable[[], int], lasts_s: int) -> None:
        self._keys = keys
        self.base = base
        self._clock = clock
        self._lasts_ms = lasts_s * 1000

    def until(self, at: int = 0) -> int:
        """When a link that is given now, or at a later moment, ends; in ms."""
        end = max(self._clock(), at) + self._lasts_ms
        return end + -end % HOUR_MS

    def of(self, word: str) -> str:
        """The link for a word; a word that is a URL stays what it is."""
        media_id = id_in(word)
        if media_id is None:
            return word
        shown, _, name = word.partition("/")
        seconds = self.until() // 1000
        sig = _sign(self._keys[0], media_id, seconds)
        return f"{self.base}/media/{shown}/{name or 'file'}?expires={seconds}&sig={sig}"

    def short(self, word: str, at: int = 0) -> str:
        """The same for a text that people read at a moment, where every character may cost."""
        media_id = id_in(word)
        if media_id is None:
            return word
        hours = self.until(at) // HOUR_MS
        stamp = "".join(_LETTERS[hours >> shift & 31] for shift in (20, 15, 10, 5, 0))
        return f"{self.base}/m/{ids.show('', media_id)[1:]}{stamp}{_sign(self._keys[0], media_id, hours * 3600)[:16]}"

    def check(self, shown: str, expires: str, sig: str) -> int | None:
        """The id that a link is good for; 0 where it was and has ended; None where it never was."""
        media_id = ids.read(PREFIX, shown)
        if media_id is None or not expires.isascii() or not expires.isdecimal() or len(expires) > 12:
            return None
        return self._good(media_id, int(expires), sig, 22)

    def check_short(self, text: str) -> int | None:
        media_id = ids.read("", f"_{text[:13]}")
        if media_id is None or len(text) != 34 or not set(text[13:18]) <= set(_LETTERS):
            return None
        hours = 0
        for letter in text[13:18]:
            hours = hours << 5 | _LETTERS.index(letter)
        return self._good(media_id, hours * 3600, text[18:], 16)

    def _good(self, media_id: int, seconds: int, sig: str, length: int) -> int | None:
        try:
            given = sig.encode("ascii")
        except UnicodeEncodeError:
            return None
        for key in self._keys:
            if hmac.compare_digest(_sign(key, media_id, seconds)[:length].encode(), given):
                return media_id if self._clock() < seconds * 1000 else 0
        return None


def _sign(key: bytes, media_id: int, seconds: int) -> str:
    mac = hmac.new(key, b"%d.%d" % (media_id, seconds), hashlib.sha256).digest()
    return urlsafe_b64encode(mac[:16]).rstrip(b"=").decode()
