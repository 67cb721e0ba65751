"""Regular expressions by users: RE2, whose time grows with the text alone, with a program of bounded size.

Fails with UserCodeError when a pattern is saved. Matching never fails; it looks at the first MOST_SEARCHED characters.
"""

import re
from functools import lru_cache
from typing import Any, Final

import re2

from columba.usercode.errors import UserCodeError

LONGEST: Final = 1_000  # characters of a pattern
MOST_PROGRAM: Final = 300  # instructions
MOST_SEARCHED: Final = 10_000  # characters
MOST_MEMORY: Final = 1 << 18

_OPTIONS: Final = re2.Options()
_OPTIONS.max_mem = MOST_MEMORY
_OPTIONS.log_errors = False
# What Perl's have and RE2 hasn't, for better words than "invalid perl operator".
_ABSENT: Final = {
    "(?=": "lookahead",
    "(?!": "lookahead",
    "(?<=": "lookbehind",
    "(?<!": "lookbehind",
    "(?>": "an atomic group",
}
_BACKREFERENCE: Final = re.compile(r"\\[1-9]")


class Pattern:
    """A pattern that is ready to use. `names` are its groups' names."""

    __slots__ = ("_compiled", "_named", "_numbers", "_search", "names", "price", "source")

    def __init__(self, source: str, compiled: Any) -> None:
        self.source = source
        self._compiled = compiled
        self._search = compiled.search
        self._named: tuple[tuple[str, int], ...] = tuple(compiled.groupindex.items())
        self._numbers = range(compiled.groups + 1)
        self.names = tuple(name for name, _ in self._named)
        self.price: int = 8 + compiled.programsize // 2  # units of work (work.py) for a character, at the worst

    @staticmethod
    def parse(source: str) -> "Pattern":
        return _parse(source)

    def match(self, text: str) -> dict[str, str] | None:
        """The groups of the first place that matches: by number from "1" on, "0" is all of it, and by name.

        A group that took no part is "". None when nothing matches.
        """
        raw = _raw(text)
        found = self._search(raw)
        if found is None:
            return None
        groups = {
            str(n): raw[start:end].decode() if start >= 0 else ""
            for n, (start, end) in enumerate(map(found.span, self._numbers))
        }
        for name, number in self._named:
            groups[name] = groups[str(number)]
        return groups

    def matches(self, text: str) -> bool:
        return self._search(_raw(text)) is not None

    def replace(self, text: str, replacement: str, most: int) -> str:
        r"""Each match replaced; `\1`, `\g<name>` and `\0` stand for groups. Stops once it has made `most` characters."""
        raw = _raw(text)
        out: list[bytes] = []
        made = at = 0
        for found in self._compiled.finditer(raw):
            start, end = found.span()
            piece = raw[at:start] + self._fill(raw, [*map(found.span, self._numbers)], replacement)
            out.append(piece)
            made += len(piece)
            at = end
            if made > most:
                break
        return b"".join([*out, raw[at:]]).decode("utf-8", "replace") + text[MOST_SEARCHED:]

    def _fill(self, raw: bytes, spans: list[tuple[int, int]], replacement: str) -> bytes:
        if "\\" not in replacement:
            return replacement.encode("utf-8", "replace")

        def part(reference: re.Match[str]) -> str:
            name = reference[1] or reference[2]
            number = int(name) if name.isdecimal() else dict(self._named).get(name, len(spans))
            start, end = spans[number] if number < len(spans) else (-1, -1)
            return raw[start:end].decode("utf-8", "replace") if start >= 0 else ""

        return _REFERENCE.sub(part, replacement).encode("utf-8", "replace")


def _raw(text: str) -> bytes:
    """What RE2 looks at: with bytes it counts no characters."""
    return (text if len(text) <= MOST_SEARCHED else text[:MOST_SEARCHED]).encode("utf-8", "replace")


_REFERENCE: Final = re.compile(r"\\(?:([0-9])|g<(\w{1,64})>)")


@lru_cache(maxsize=2048)
def _parse(source: str) -> Pattern:
    if len(source) > LONGEST:
        raise UserCodeError(1, LONGEST + 1, f"The pattern is longer than {LONGEST} characters.")
    try:
        compiled = re2.compile(source, _OPTIONS)
    except re2.error as error:
        raise _refused(source, error.args[0] if error.args else "") from None
    except UnicodeEncodeError as error:
        raise UserCodeError(*_place(source, error.start), "Half of a surrogate pair can't be matched.") from None
    if compiled.programsize > MOST_PROGRAM:
        raise UserCodeError(
            1, 1, f"The pattern is too large: {compiled.programsize} steps, {MOST_PROGRAM} at most. Repeat less."
        )
    return Pattern(source, compiled)


def _refused(source: str, why: Any) -> UserCodeError:
    text = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
    what, _, where = text.partition(": ")
    at = source.find(where) if where else -1
    for sign, name in _ABSENT.items():
        if where.startswith(sign[:3]) and (place := source.find(sign)) >= 0:
            return UserCodeError(*_place(source, place), f"RE2 has no {name} ({sign}...): match without it.")
    reference = _BACKREFERENCE.search(source)
    if what == "invalid escape sequence" and reference is not None:
        return UserCodeError(
            *_place(source, reference.start()), "RE2 has no backreferences: a group can't be repeated."
        )
    return UserCodeError(*_place(source, max(at, 0)), f"{what}{': ' + where if where else ''}"[:200])


def _place(source: str, at: int) -> tuple[int, int]:
    return source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)
