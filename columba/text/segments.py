"""How a text is sent: its encoding, how many parts it takes and what each part holds.

A text is `gsm7` when every character is in the GSM 7-bit alphabet, else `ucs2`. One part holds 140 octets: 160 septets
or 70 UTF-16 units. Parts of a longer text each give 6 octets to the header that joins them (153 or 67 are left), 7 with
a 16-bit reference (152 or 66); 3GPP 23.040 §9.2.3.24.1.

No part ends inside an escape sequence, a surrogate pair, or a grapheme cluster (what a person sees as one character,
Unicode UAX 29): each stands whole in the next part, even if that costs a part. Only a cluster that is larger than a
part is cut. The parts joined are the text.

Nothing here fails. A text of more than MAX_PARTS parts is planned like any other, but no header can join its parts.
"""

import re
from functools import cache
from typing import Literal

import msgspec

from . import gsm, tables, ucs2
from .header import Concat, Header

Encoding = Literal["gsm7", "ucs2"]

MAX_PARTS = 255
PART_OCTETS = 140

# Between two of these a cluster always ends, but for CR LF (UAX 29 has them as Other, Control, Extended_Pictographic).
_APART = re.compile(
    "[\0-\u02ff\u0370-\u0482\u048a-\u0530\u2010-\u2027\u20ac"  # Latin, Greek, Cyrillic and their punctuation
    "\u3000-\u3029\u3041-\u3096\u30a1-\u30fa\u3400-\u9fff\uff01-\uff9d]{2}"  # Chinese, Japanese
)


class Plan(msgspec.Struct, frozen=True):
    """How a text is sent. `units` are septets or UTF-16 units, headers not counted; `left` is how many the last part
    could still take; `cuts` are the places in the text where the parts after the first begin."""

    text: str
    encoding: Encoding
    segments: int
    units: int
    left: int
    cuts: tuple[int, ...] = ()
    locking: int = 0
    single: int = 0
    wide: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The text of each part."""
        if not self.cuts:
            return (self.text,)
        return tuple(self.text[start:end] for start, end in zip((0, *self.cuts), (*self.cuts, None), strict=True))

    def header(self, number: int, reference: int) -> Header:
        """The header of one part, counted from 1. `reference` is the same for all parts of a text."""
        concat = Concat(reference, self.segments, number, self.wide) if self.segments > 1 else None
        return Header(concat=concat, locking=self.locking, single=self.single)


def encoding_of(text: str) -> Encoding:
    """What the text is sent as: `plan(text).encoding`."""
    return "gsm7" if gsm.unfit(text) < 0 else "ucs2"


def segments_of(text: str) -> int:
    """How many parts the text takes: `plan(text).segments`."""
    septets = gsm.septets(text)
    if septets is not None:
        return 1 if len(septets) <= 160 else 1 + len(_cuts_gsm(text, septets, 153))
    return 1 if ucs2.units(text) <= 70 else 1 + len(_cuts_ucs2(text, 67))


def plan(text: str, *, unicode: bool = False, national: bool = False, wide: bool = False) -> Plan:
    """How the text is sent.

    `unicode` has it sent as UCS-2 even if it is in the GSM alphabet. `national` allows the national language tables
    where they take fewer parts than UCS-2; few networks and handsets read them. `wide` gives the parts a 16-bit
    reference.
    """
    if not unicode:
        septets = gsm.septets(text)
        if septets is not None:
            return _plan_gsm(text, septets, wide)
    best = _plan_ucs2(text, wide)
    if national and not unicode and best.segments > 1:
        for language in range(1, len(tables.LANGUAGES)):
            for locking, single in ((0, language), (language, 0), (language, language)):
                septets = gsm.septets(text, locking, single)
                if septets is not None:
                    other = _plan_gsm(text, septets, wide, locking, single)
                    best = min(best, other, key=_cost)
    return best


def _cost(planned: Plan) -> tuple[int, bool, int]:
    return planned.segments, planned.encoding == "gsm7", planned.units


def room(encoding: Encoding, header: int) -> int:
    """How many units fit a part beside a header of so many octets."""
    octets = PART_OCTETS - header
    return octets * 8 // 7 if encoding == "gsm7" else octets // 2


def _plan_gsm(text: str, septets: bytes, wide: bool, locking: int = 0, single: int = 0) -> Plan:
    units = len(septets)
    shifts = 3 * (locking > 0) + 3 * (single > 0)
    alone = room("gsm7", 1 + shifts) if shifts else 160
    if units <= alone:
        return Plan(text, "gsm7", 1, units, alone - units, (), locking, single, wide)
    joined = room("gsm7", 6 + wide + shifts)
    cuts = _cuts_gsm(text, septets, joined, locking, single)
    last = len(gsm.encode(text[cuts[-1] :], locking, single))
    return Plan(text, "gsm7", 1 + len(cuts), units, joined - last, tuple(cuts), locking, single, wide)


def _plan_ucs2(text: str, wide: bool) -> Plan:
    units = ucs2.units(text)
    if units <= 70:
        return Plan(text, "ucs2", 1, units, 70 - units, wide=wide)
    joined = room("ucs2", 6 + wide)
    cuts = _cuts_ucs2(text, joined)
    left = joined - ucs2.units(text[cuts[-1] :])
    return Plan(text, "ucs2", 1 + len(cuts), units, left, tuple(cuts), wide=wide)


def _cuts_gsm(text: str, septets: bytes, joined: int, locking: int = 0, single: int = 0) -> list[int]:
    cuts: list[int] = []
    start = at = 0  # where the part begins, in the text and in the septets
    while len(septets) - at > joined:
        end = at + joined
        if septets[end - 1] == gsm.ESCAPE:
            end -= 1
        reach = start + end - at - septets.count(gsm.ESCAPE, at, end)
        cut = _whole(text, start, reach)
        if cut < reach:
            end -= len(gsm.encode(text[cut:reach], locking, single))
        cuts.append(cut)
        start, at = cut, end
    return cuts


def _cuts_ucs2(text: str, joined: int) -> list[int]:
    cuts: list[int] = []
    start = 0
    astral = ucs2.units(text) > len(text)
    while (reach := _reach(text, start, joined) if astral else start + joined) < len(text):
        start = _whole(text, start, reach)
        cuts.append(start)
    return cuts


def _reach(text: str, start: int, joined: int) -> int:
    for reach in range(start, len(text)):
        joined -= 2 if text[reach] > "\uffff" else 1
        if joined < 0:
            return reach
    return len(text)


def _whole(text: str, start: int, reach: int) -> int:
    """Where a part ends that begins at `start` and can't go past `reach`: after its last whole cluster."""
    around = text[reach - 1 : reach + 1]
    if around == "\r\n":
        return reach - 1
    if _APART.match(around):
        return reach
    cut = start
    # One character past `reach` is enough to tell whether a cluster ends there: no rule looks further ahead.
    for cluster in _cluster().finditer(text, start, reach + 1):
        if cluster.end() > reach:
            break
        cut = cluster.end()
    return cut if cut > start else reach


@cache
def _cluster() -> re.Pattern[str]:
    import regex  # here, because it takes long to load and few texts need it

    pattern: re.Pattern[str] = regex.compile(r"\X")  # not quite one of re's, but it has the methods
    return pattern
