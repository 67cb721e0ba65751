"""A carrier's message ids: the one that submit_sm_resp gives, and the one that the receipt has for the same message.

SMPP 3.4 has them equal; carriers write one in hexadecimal and the other in decimal, pad with zeros, or change the case.
`Ids` knows how a carrier does, as it was configured or as it turns out. What a part is stored under depends on its own
id alone, never on what has been learned since; what a receipt may mean is told as candidates, the likeliest first, and
is one alone as soon as the carrier's way is known. Numbers are ints of any size, never floats. Nothing here fails.
"""

import re
from collections import OrderedDict
from typing import Final, Literal
from weakref import WeakValueDictionary

from .config import Config

_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,64}").fullmatch
_DECIMAL: Final = re.compile(r"[0-9]{1,64}").fullmatch
ENOUGH: Final = 32  # ids without a letter, until a carrier's ids are taken to be decimal
_REMEMBERED: Final = 10_000

# same: receipts write ids as submit_sm_resp does. hex-dec: that is hexadecimal there and decimal in receipts. dec-hex:
# the other way round.
Way = Literal["same", "hex-dec", "dec-hex"]


def plain(written: str) -> str:
    """An id without what carriers change: case and leading zeros."""
    return written.lstrip("0").lower() or "0"


class Ids:
    """How one carrier writes its ids. `known` is None while that is being found out."""

    __slots__ = ("__weakref__", "_config", "_exact", "_given", "_last", "_told", "_ways", "known")

    def __init__(self, config: Config) -> None:
        self._config = config  # kept, so that no other one gets its place in memory
        submit, receipt = config.message_id, config.receipt_id
        self._exact = "as-is" in (submit, receipt)
        ways: list[Way] = ["same"]
        if (submit, receipt) in (("hex", "dec"), ("dec", "hex")):
            ways = ["hex-dec" if submit == "hex" else "dec-hex"]
        elif not self._exact and "auto" in (submit, receipt):
            if submit != "dec" and receipt != "hex":
                ways.append("hex-dec")
            if submit != "hex" and receipt != "dec":
                ways.append("dec-hex")
        self._ways = ways
        self.known: Way | None = ways[0] if len(ways) == 1 else None
        # How many ids were seen without a letter; -1 once one had one.
        self._given = -1 if submit == "hex" else ENOUGH if submit == "dec" else 0
        self._told = -1 if receipt == "hex" else ENOUGH if receipt == "dec" else 0
        self._last: OrderedDict[str, None] = OrderedDict()  # what was given last, while the way is not known

    def given(self, written: str) -> str:
        """What the part with this id of submit_sm_resp is stored under."""
        if self._exact:
            return written
        key = plain(written)
        if self.known is None:
            if len(self._last) >= _REMEMBERED:
                self._last.popitem(last=False)
            self._last[key] = None
            if self._given >= 0:
                self._given = self._given + 1 if _DECIMAL(written) else -1
                self._conclude()
            if not _HEX(written):
                self._settle("same")  # no number at all
        return key

    def told(self, written: str) -> tuple[str, ...]:
        """What the part may be stored under that a receipt with this id is about, the likeliest first."""
        if self._exact:
            return (written,)
        if self.known is not None:
            return (_as(self.known, written),)
        if self._told >= 0:
            self._told = self._told + 1 if _DECIMAL(written) else -1
            self._conclude()
            if self.known is not None:
                return (_as(self.known, written),)
        candidates = tuple(dict.fromkeys(_as(way, written) for way in self._ways))
        for candidate in candidates:
            if candidate in self._last:
                return (candidate,)
        return candidates

    def _conclude(self) -> None:
        """Hexadecimal numbers have letters before long, decimal ones never."""
        given_hex, told_hex = self._given < 0, self._told < 0
        if given_hex and told_hex:
            self._settle("same")
        elif given_hex and self._told >= ENOUGH:
            self._settle("hex-dec")
        elif self._given >= ENOUGH and told_hex:
            self._settle("dec-hex")
        elif self._given >= ENOUGH and self._told >= ENOUGH:
            self._settle("same")

    def _settle(self, way: Way) -> None:
        if way in self._ways:
            self.known = way
            self._last.clear()


def _as(way: Way, written: str) -> str:
    if way == "hex-dec" and _DECIMAL(written):
        return format(int(written), "x")
    if way == "dec-hex" and _HEX(written):
        return str(int(written, 16))
    return plain(written)


_shared: WeakValueDictionary[int, Ids] = WeakValueDictionary()


def ids_of(config: Config) -> Ids:
    """The binds of a carrier share what they learn: its receipts come on any of them."""
    found = _shared.get(id(config))
    if found is None:
        found = _shared[id(config)] = Ids(config)
    return found
