"""Whether what grows is let go in time: how old the oldest of it is, and how old it may be."""

from collections.abc import Iterator, Mapping

from columba.cli.doctor.finding import Finding
from columba.cli.options import Settings
from columba.core import ids

DAY_MS = 86_400_000
GRACE_DAYS = 2
FIRST: Mapping[str, str] = {
    "events": "select min(id) from events",
    "forwards": "select min(id) from runs",
    "messages": "select min(id) from messages",
}


def ages(settings: Settings, oldest: Mapping[str, int | None], now: int) -> Iterator[Finding]:
    """`oldest` is the id of the oldest of each of FIRST."""
    shown, late = [], []
    for name, days in (("events", settings.keep_events), ("forwards", settings.keep_forwards), ("messages", 0)):
        first = oldest[name]
        if first is None:
            continue
        age = max(0, now - ids.time_of(first)) // DAY_MS
        shown.append(f"{name} go back {age:,} days")
        longest = max(days, settings.keep_dead_letters) if days and settings.keep_dead_letters else 0
        if longest and age > longest + GRACE_DAYS:
            late.append(f"{name} of {age:,} days ago are still there, and {longest} are kept")
    if late:
        yield Finding(
            "store", "sweeping", "warn", f"{'; '.join(late)}.",
            "They go by themselves while `columba serve` runs; see retention.behind in its log, and its metric"
            " columba_sweep_behind_seconds.",
        )  # fmt: skip
    else:
        yield Finding("store", "sweeping", "ok", ", ".join(shown) or "nothing is old")
