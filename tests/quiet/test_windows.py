"""When a number may be texted: in each of its zones, by country, state and class."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columba.core import status
from columba.quiet import Document, in_force
from columba.quiet.windows import DAYS, Window, Windows, data, minutes, place_of

USUAL = Windows([data().windows])


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def shown(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%a %d %H:%M")


@pytest.mark.parametrize(
    ("number", "at", "opens"),
    [
        ("+12025550123", "2026-11-20T13:00+00:00", "Fri 20 13:00"),  # 8:00 in Washington
        ("+12025550123", "2026-11-20T12:59+00:00", "Fri 20 13:00"),
        ("+12025550123", "2026-11-20T02:00+00:00", "Fri 20 13:00"),  # 21:00
        ("+12025550123", "2026-07-20T12:00+00:00", "Mon 20 12:00"),  # summer time
        ("+13055550123", "2026-11-20T01:30+00:00", "Fri 20 13:00"),  # Florida until 20:00
        ("+12145550123", "2026-11-22T15:30+00:00", "Sun 22 18:00"),  # Texas, on Sunday from 12:00
        ("+18085550123", "2026-11-20T17:00+00:00", "Fri 20 18:00"),  # Honolulu
        ("+18005550123", "2026-11-20T13:30+00:00", "Fri 20 19:00"),  # nowhere: all zones, all states
        ("+919876543210", "2026-11-22T16:00+00:00", "Mon 23 04:30"),
        ("+447700900123", "2026-11-22T03:00+00:00", "Sun 22 03:00"),  # no rule
        ("+14165550123", "2026-11-22T09:00+00:00", "Sun 22 09:00"),  # Canada is another country
    ],
)  # fmt: skip
def test_when_it_opens(number: str, at: str, opens: str) -> None:
    assert shown(USUAL.next_open("marketing", number, ms(at))) == opens
    assert USUAL.next_open("transactional", number, ms(at)) == ms(at)


def otp(country: str, opens: str, closes: str) -> Window:
    return Window(country, ("otp",), DAYS, opens, closes)


def test_windows_of_one_scope_add_up_and_scopes_narrow_each_other() -> None:
    morning, evening = (
        otp("GB", "08:00", "10:00"),
        otp("GB", "18:00", "24:00"),
    )
    both = Windows([[morning, evening]])
    assert shown(both.next_open("otp", "+447700900123", ms("2026-11-20T11:00+00:00"))) == "Fri 20 18:00"
    assert shown(both.next_open("otp", "+447700900123", ms("2026-11-20T23:59+00:00"))) == "Fri 20 23:59"
    assert shown(both.next_open("otp", "+447700900123", ms("2026-11-21T00:00+00:00"))) == "Sat 21 08:00"
    everywhere = otp("*", "09:00", "20:00")
    narrowed = Windows([[morning, evening], [everywhere]])
    assert shown(narrowed.next_open("otp", "+447700900123", ms("2026-11-20T08:30+00:00"))) == "Fri 20 09:00"
    assert shown(narrowed.next_open("otp", "+447700900123", ms("2026-11-20T20:30+00:00"))) == "Sat 21 09:00"


def test_windows_that_are_never_open_at_once() -> None:
    never = Windows([[otp("*", "08:00", "09:00")], [otp("GB", "10:00", "11:00")]])
    assert never.next_open("otp", "+447700900123", ms("2026-11-20T08:30+00:00")) is None
    assert never.next_open("otp", "+33612345678", ms("2026-11-20T07:30+00:00")) == ms("2026-11-20T07:30+00:00")


def test_what_is_covered_by_mode_and_class() -> None:
    assert in_force(Document(), status.LIVE).covers == (False, False, True)
    assert in_force(Document(), status.TEST).covers == (False, False, False)
    assert in_force(Document(enabled=True, defaults=False), status.TEST).covers == (False, False, False)


def test_places() -> None:
    assert place_of("+13055550123").state == "FL"
    assert place_of("+14165550123").country == "CA"
    assert place_of("+447700900123").state is None
    assert place_of("+18005550123").state == ""


def test_data_has_sources_and_no_area_code_twice() -> None:
    assert all(window.source and window.date for window in data().windows)
    assert len(data().areas["US"]) > 350


def open_by_the_clock(windows: list[Window], zones: tuple[str, ...], state: str | None, at: int) -> bool:
    """The same, told by looking at a clock in each zone."""
    scopes = {(w.country, w.state) for w in windows if w.state in (None, state) or state == ""}
    for name in zones:
        local = datetime.fromtimestamp(at / 1000, ZoneInfo(name))
        minute, day = local.hour * 60 + local.minute, DAYS[local.weekday()]
        for scope in scopes:
            if not any(
                minutes(w.open) <= minute < minutes(w.close) and day in w.days
                for w in windows
                if (w.country, w.state) == scope
            ):
                return False
    return True


@settings(max_examples=60)
@given(
    number=st.sampled_from(
        ["+12025550123", "+13055550123", "+12145550123", "+18005550123", "+19075550123", "+12085550100"]
    ),
    at=st.integers(0, 365 * 24 * 60),
)
def test_it_opens_at_the_first_minute_that_is_open_everywhere(number: str, at: int) -> None:
    moment = int((datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=at)).timestamp()) * 1000
    windows = [w for w in data().windows if w.country == "US"]
    place = place_of(number)
    opens = Windows([windows]).next_open("marketing", number, moment)
    assert opens is not None
    assert open_by_the_clock(windows, place.zones, place.state, opens)
    assert open_by_the_clock(windows, place.zones, place.state, moment) is (opens == moment)
    for before in range(moment, opens, 900_000):
        assert not open_by_the_clock(windows, place.zones, place.state, before)


@settings(max_examples=20)
@given(ats=st.lists(st.integers(0, 7 * 24 * 60), min_size=1, max_size=30))
def test_what_is_remembered_changes_no_answer(ats: list[int]) -> None:
    shared = Windows([data().windows])
    for at in ats:
        moment = ms("2026-03-05T00:00+00:00") + at * 60_000
        fresh = Windows([data().windows])
        assert shared.next_open("marketing", "+12145550123", moment) == fresh.next_open(
            "marketing", "+12145550123", moment
        )
