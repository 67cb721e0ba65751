"""Ids: 63-bit, time-ordered integers inside, a prefix and 13 base-32 characters outside.

41 bits of ms since 2024, 10 bits of the process's node number (leased in the store), 12 bits of sequence. A clock that
goes back doesn't take the ids with it.
"""

from collections.abc import Callable

EPOCH = 1_704_067_200_000  # 2024-01-01T00:00:00Z in ms
DAY_MS = 86_400_000
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, without i l o u
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}


class Ids:
    """Draws ids. `clock` gives ms since 1970. They come after the id `after`, unless that is of more than a day from now:
    then the clock was wrong when it was drawn."""

    __slots__ = ("_clock", "_last", "_node")

    def __init__(self, node: int, clock: Callable[[], int], after: int = 0) -> None:
        self._node = (node & 1023) << 12
        self._clock = clock
        self._last = 0
        if after < first_at(clock() + DAY_MS):
            self._last = ((after >> 22) + 1 << 22 | self._node) - 1

    @property
    def node(self) -> int:
        return self._node >> 12

    def renumber(self, node: int) -> None:
        self._node = (node & 1023) << 12

    def __call__(self) -> int:
        drawn = (self._clock() - EPOCH) << 22 | self._node
        if drawn <= self._last:
            drawn = self._last + 1
            if not drawn & 4095:  # this ms is used up: borrow the next
                drawn = ((self._last >> 22) + 1) << 22 | self._node
        self._last = drawn
        return drawn


def time_of(an_id: int) -> int:
    """When it was drawn, in ms since 1970."""
    return (an_id >> 22) + EPOCH


def first_at(ms: int) -> int:
    """The smallest id of a moment: turns a time into a bound on ids."""
    return max(0, ms - EPOCH) << 22


def show(prefix: str, an_id: int) -> str:
    """`msg_01j9...`"""
    pairs = _PAIRS
    return (
        f"{prefix}_{_ALPHABET[an_id >> 60 & 31]}{pairs[an_id >> 50 & 1023]}{pairs[an_id >> 40 & 1023]}"
        f"{pairs[an_id >> 30 & 1023]}{pairs[an_id >> 20 & 1023]}{pairs[an_id >> 10 & 1023]}{pairs[an_id & 1023]}"
    )


def read(prefix: str, text: str) -> int | None:
    """The number inside, or None when it is no id of this kind."""
    if len(text) != len(prefix) + 14 or not text.startswith(prefix) or text[len(prefix)] != "_":
        return None
    number = 0
    for letter in text[len(prefix) + 1 :]:
        value = _VALUES.get(letter)
        if value is None:
            return None
        number = number << 5 | value
    return number if number < 1 << 63 else None
