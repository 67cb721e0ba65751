"""Whether this machine's clock can be relied on: ids, schedules and validity come from it."""

import time
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from columba.cli.admin import clock
from columba.cli.doctor.finding import Finding, State
from columba.cli.options import Settings
from columba.cli.show import seconds
from columba.core import ids

CLOCKS_APART_S, CLOCKS_FAR_APART_S = 1.0, 30.0


def clocks(apart: float) -> Iterator[Finding]:
    """This machine's clock and the database's."""
    text = f"this clock and the database's are {seconds(apart)} apart"
    if apart < CLOCKS_APART_S:
        yield Finding("store", "clock", "ok", text)
    else:
        state: State = "warn" if apart < CLOCKS_FAR_APART_S else "fail"
        yield Finding("store", "clock", state, text, "Keep both machines' clocks by NTP (chrony, systemd-timesyncd).")


def clock_against_ids(newest: int | None, now: int | None = None) -> Iterator[Finding]:
    """An id tells when it was drawn: one from the future means that the clock was wrong, or is."""
    now = clock() if now is None else now
    ahead = 0 if newest is None else (ids.time_of(newest) - now) / 1000
    if ahead > CLOCKS_APART_S:
        yield Finding(
            "store", "ids", "warn", f"The newest message was made {seconds(ahead)} from now: the clock was set back.",
            "Keep the clock by NTP. New messages are listed before those until that time has come.",
        )  # fmt: skip


def time_zones(settings: Settings) -> Iterator[Finding]:
    """Quiet hours need them."""
    try:
        ZoneInfo("America/New_York")
    except Exception:
        yield Finding(
            "clock", "time zones", "fail", "There is no data of time zones: quiet hours can't be told.",
            "Install the system's package tzdata, or Python's: pip install tzdata.",
        )  # fmt: skip
    else:
        yield Finding("clock", "time zones", "ok", "there is data of time zones")


def clock_of_system(settings: Settings) -> Iterator[Finding]:
    now = clock()
    if now < ids.EPOCH:
        yield Finding("clock", "system", "fail", "The clock is years behind.", "Set it, and keep it by NTP.")
    else:
        yield Finding("clock", "system", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now / 1000)))
