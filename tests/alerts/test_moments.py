"""Quiet hours and digests keep to the clock on the wall, on days when the clocks change too."""

from datetime import datetime

import pytest

from columba.alerts.moments import next_digest, quiet_until
from columba.alerts.shapes import Day, Digest, Quiet

NIGHT = Quiet(from_="22:00", until="07:00", time_zone="Europe/Berlin")
NOON = Quiet(from_="12:00", until="13:00")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (NIGHT, "2026-01-10T20:59:59Z", None),  # 21:59 there
        (NIGHT, "2026-01-10T21:00:00Z", "2026-01-11T06:00:00Z"),
        (NIGHT, "2026-01-11T03:00:00Z", "2026-01-11T06:00:00Z"),
        (NIGHT, "2026-01-11T06:00:00Z", None),
        (NIGHT, "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"),  # the clocks go forward that night
        (NIGHT, "2026-10-24T21:00:00Z", "2026-10-25T06:00:00Z"),  # and back
        (NOON, "2026-01-10T12:30:00Z", "2026-01-10T13:00:00Z"),
        (NOON, "2026-01-10T13:00:00Z", None),
        (None, "2026-01-10T12:30:00Z", None),
    ],
)
def test_quiet_ends_when_it_says(quiet: Quiet | None, now: str, until: str | None) -> None:
    assert quiet_until(quiet, ms(now)) == (None if until is None else ms(until))


@pytest.mark.parametrize(("day", "is_quiet"), [("fri", True), ("sat", False)])
def test_a_night_belongs_to_the_day_on_which_it_begins(day: Day, is_quiet: bool) -> None:
    night = Quiet(from_="22:00", until="07:00", days=[day])
    assert (quiet_until(night, ms("2026-01-10T03:00:00Z")) is not None) is is_quiet  # a Saturday's small hours


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-01-10T06:59:00Z", "2026-01-10T07:00:00Z"),
        ("2026-01-10T07:00:00Z", "2026-01-10T07:00:00Z"),
        ("2026-01-10T07:00:01Z", "2026-01-10T16:30:00Z"),
        ("2026-01-10T17:00:00Z", "2026-01-11T07:00:00Z"),
        ("2026-03-28T18:00:00Z", "2026-03-29T06:00:00Z"),  # 08:00 there, an hour earlier here
    ],
)
def test_a_digest_is_due_at_the_next_of_its_times(now: str, then: str) -> None:
    assert next_digest(Digest(at=["17:30", "08:00"], time_zone="Europe/Berlin"), ms(now)) == ms(then)
