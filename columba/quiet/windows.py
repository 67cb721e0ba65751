"""When a person may be texted: windows by country, state and class, in the time of every zone that the number may be in.

Pure. Windows of one scope (a country, a state of it, everywhere; the program's or the account's own) add up; scopes
narrow each other, so that a state's law counts besides its country's. A number is open only while all of its candidates
are. What can't be placed in a state keeps the windows of all of them. Fails with ValueError where the system has no data
of a time zone.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from columba.numbers import country_of, time_zones

DATA: Final = Path(__file__).with_name("data") / "windows.json"
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AHEAD: Final = 8  # days after which a window that has not opened never will
BLOCKS: Final = 200_000  # of numbers whose place is remembered
EVERYWHERE: Final = "*"


class Window(msgspec.Struct, frozen=True):
    """A time of day at which texts of some classes may go out. `country` `*` is everywhere; `close` may be 24:00."""

    country: str
    classes: tuple[str, ...]
    days: tuple[str, ...]
    open: str
    close: str
    state: str | None = None
    source: str = ""
    date: str = ""


class Place(NamedTuple):
    """Where a number may be."""

    country: str
    state: str | None
    zones: tuple[str, ...]


class Span(NamedTuple):
    """From `start` until `end` nothing changes: it is open, or opens at `opens` (None: never)."""

    start: int
    end: int
    is_open: bool
    opens: int | None


Minutes = tuple[tuple[tuple[int, int], ...], ...]  # by weekday, the open times of a day


class _Data(NamedTuple):
    windows: tuple[Window, ...]
    areas: dict[str, dict[str, str]]  # by country, from area code to state
    source: dict[str, str]


@cache
def data() -> _Data:
    """What comes with the program."""
    raw = json.loads(DATA.read_text(encoding="utf-8"))
    areas = {
        country: {code: state for state, codes in states.items() for code in codes.split()}
        for country, states in raw["areas"].items()
    }
    return _Data(tuple(msgspec.convert(raw["windows"], list[Window])), areas, raw["areas_source"])


_places: dict[str, Place] = {}


def place_of(number: str) -> Place:
    """Numbers that differ in their last four digits alone were given out at one place."""
    block = number[:-4]
    found = _places.get(block)
    if found is None:
        if len(_places) >= BLOCKS:
            _places.clear()
        country = country_of(number)
        areas = data().areas.get(country)
        state = areas.get(number[2:5], "") if areas is not None else None
        found = _places[block] = Place(country, state, time_zones(number))
    return found


@cache
def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except Exception as error:
        raise ValueError(f"there is no data of the time zone {name}: install the package tzdata") from error


def minutes(text: str) -> int:
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


class Windows:
    """The windows that an account has to keep, ready to be asked."""

    def __init__(self, groups: Sequence[Sequence[Window]]) -> None:
        """Groups narrow each other, even where their scope is the same: the program's, the account's own."""
        self._groups = groups
        self._scopes: dict[tuple[str, str, str | None], tuple[Minutes, ...]] = {}
        self._spans: dict[tuple[tuple[Minutes, ...], tuple[str, ...]], Span] = {}

    def next_open(self, klass: str, number: str, at: int) -> int | None:
        """The first ms from `at` on at which the number may be texted; None if there never is one."""
        place = place_of(number)
        scope = (klass, place.country, place.state)
        needs = self._scopes.get(scope)
        if needs is None:
            needs = self._scopes[scope] = self._needs(*scope)
        if not needs:
            return at
        span = self._spans.get((needs, place.zones))
        if span is None or not span.start <= at < span.end:
            span = self._spans[(needs, place.zones)] = span_at(needs, place.zones, at)
        return at if span.is_open else span.opens

    def _needs(self, klass: str, country: str, state: str | None) -> tuple[Minutes, ...]:
        """The week of each scope that applies."""
        weeks: list[Minutes] = []
        for group in self._groups:
            scopes: dict[tuple[str, str | None], list[Window]] = {}
            for window in group:
                here = window.country in (EVERYWHERE, country)
                # '' is a state that is not known: it might be any.
                if here and klass in window.classes and (window.state in (None, state) or state == ""):
                    scopes.setdefault((window.country, window.state), []).append(window)
            weeks += map(_week, scopes.values())
        return tuple(dict.fromkeys(weeks))


def _week(windows: Sequence[Window]) -> Minutes:
    days: list[list[tuple[int, int]]] = [[] for _ in DAYS]
    for window in windows:
        for day in window.days:
            days[DAYS.index(day)].append((minutes(window.open), minutes(window.close)))
    return tuple(tuple(sorted(set(times))) for times in days)


def span_at(needs: Sequence[Minutes], zones: Sequence[str], at: int) -> Span:
    """What holds at a moment, and for how long."""
    pairs = [(week, zone(name)) for week in needs for name in zones or ("UTC",)]
    opens: int | None = at
    limit = at + AHEAD * 86_400_000
    while opens is not None:
        later = opens
        for week, in_zone in pairs:
            found = _opens(week, in_zone, later)
            if found is None or found > limit:
                return Span(at, at + 3_600_000, False, None)
            later = found
        if later == opens:
            break
        opens = later
    if opens != at:
        assert opens is not None
        return Span(at, opens, False, opens)
    return Span(at, min(_closes(week, in_zone, at) for week, in_zone in pairs), True, None)


def _times(week: Minutes, in_zone: ZoneInfo, day: date) -> list[tuple[int, int]]:
    """A day's open times in ms."""
    return [(_ms(day, first, in_zone), _ms(day, last, in_zone)) for first, last in week[day.weekday()]]


def _ms(day: date, minute: int, in_zone: ZoneInfo) -> int:
    days, rest = divmod(minute, 1440)
    whole = datetime.combine(day + timedelta(days), datetime.min.time(), in_zone).replace(
        hour=rest // 60, minute=rest % 60
    )
    return int(whole.timestamp()) * 1000


def _day(at: int, in_zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at / 1000, in_zone).date()


def _opens(week: Minutes, in_zone: ZoneInfo, at: int) -> int | None:
    """The first ms from `at` on that is open."""
    today = _day(at, in_zone)
    for ahead in range(AHEAD + 1):
        for first, last in _times(week, in_zone, today + timedelta(ahead)):
            if at < last:
                return max(at, first)
    return None


def _closes(week: Minutes, in_zone: ZoneInfo, at: int) -> int:
    return max(last for first, last in _times(week, in_zone, _day(at, in_zone)) if first <= at < last)
