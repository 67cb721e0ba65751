"""When to tell: quiet hours and digests, by the clock on the wall of a time zone. Pure; never fails."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from columba.alerts.shapes import DAYS, Digest, Quiet


def quiet_until(quiet: Quiet | None, now: int) -> int | None:
    """When the quiet that there is now ends, in ms; None if there is none."""
    if quiet is None:
        return None
    zone = ZoneInfo(quiet.time_zone)
    moment = datetime.fromtimestamp(now / 1000, UTC)
    today = moment.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        if quiet.days is not None and DAYS[day.weekday()] not in quiet.days:
            continue
        begins = _at(zone, day, quiet.from_)
        ends = _at(zone, day + timedelta(days=1) if quiet.until <= quiet.from_ else day, quiet.until)
        if begins <= moment < ends:
            return round(ends.timestamp() * 1000)
    return None


def next_digest(digest: Digest, now: int) -> int:
    """The next of its times, in ms; that of now is one."""
    zone = ZoneInfo(digest.time_zone)
    moment = datetime.fromtimestamp(now / 1000, UTC)
    today = moment.astimezone(zone).date()
    times = [_at(zone, today + timedelta(days=more), hour) for more in (0, 1, 2) for hour in digest.at]
    return round(min(time for time in times if time >= moment).timestamp() * 1000)


def _at(zone: ZoneInfo, day: object, hour: str) -> datetime:
    """A time on the wall as a moment. One that a change of clocks leaves out is taken an hour later."""
    return datetime.fromisoformat(f"{day}T{hour}:00").replace(tzinfo=zone).astimezone(UTC)
