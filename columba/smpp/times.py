"""Times as SMPP writes them: SMPP 3.4 §7.1.1, for schedule_delivery_time, validity_period and final_date.

Sixteen characters, "YYMMDDhhmmsstnnp": with p "+" or "-" an absolute time, t in tenths of a second and nn quarters of
an hour from UTC; with p "R" a span from now. Fails with InvalidTime.
"""

import calendar
from datetime import UTC, datetime, timedelta, timezone

from .errors import InvalidTime

_QUARTER = timedelta(minutes=15)


def format_absolute(when: datetime) -> str:
    """An aware time, in its own offset where SMPP can say it, else in UTC."""
    offset = when.utcoffset()
    if offset is None:
        raise InvalidTime("the time has no time zone")
    if offset % _QUARTER or abs(offset) > 48 * _QUARTER:
        when, offset = when.astimezone(UTC), timedelta()
    quarters = offset // _QUARTER
    return f"{when:%y%m%d%H%M%S}{when.microsecond // 100_000}{abs(quarters):02}{'-' if quarters < 0 else '+'}"


def format_relative(span: timedelta) -> str:
    """A span of up to 31 days: months and years have no length of their own. For more, say when it ends."""
    if not timedelta() <= span < timedelta(days=32):
        raise InvalidTime("a relative time has 0 to 31 days here")
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"0000{span.days:02}{hours:02}{minutes:02}{seconds:02}000R"


def parse_time(text: str, now: datetime) -> datetime | None:
    """The time in UTC; None for the empty field. `now` is what a span counts from and what decides the century."""
    if not text:
        return None
    if len(text) != 16 or not (text[:15].isascii() and text[:15].isdigit()) or text[15] not in "+-R":
        raise InvalidTime("not of the form YYMMDDhhmmsstnnp")
    now = now.astimezone(UTC)
    year, month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 12, 2))
    tenths, quarters = int(text[12]), int(text[13:15])
    try:
        if text[15] == "R":
            months = now.year * 12 + now.month - 1 + year * 12 + month
            then_year, then_month = months // 12, months % 12 + 1
            last = calendar.monthrange(then_year, then_month)[1]
            then = now.replace(year=then_year, month=then_month, day=min(now.day, last))
            return then + timedelta(days=day, hours=hour, minutes=minute, seconds=second)
        if quarters > 48:
            raise InvalidTime("more than 48 quarters of an hour from UTC")
        # Two digits of a year mean the one nearest to now.
        year += now.year - now.year % 100
        year += 100 if year < now.year - 50 else -100 if year > now.year + 50 else 0
        zone = timezone((-quarters if text[15] == "-" else quarters) * _QUARTER)
        return datetime(year, month, day, hour, minute, second, tenths * 100_000, zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidTime("there is no such time") from None
