"""What is known of a session besides its messages: how much came and went, what was refused, how long answers take; and
who follows its PDUs.

A `Watch` outlives connections: each new session of the same bind is attached to it. A follower that raises is dropped.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .pdu import Pdu

if TYPE_CHECKING:
    from .session import Session

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MOST_STATUSES: Final = 100  # that are counted by themselves: a peer may make up any

Tap = Callable[[str, Pdu, int], None]
"""Is shown each PDU: "in" or "out", the PDU, its sequence."""


class Counts:
    """PDUs `received` and `sent`; responses by their command_status where it isn't 0, the peer's (`refused`) and ours
    (`refusals`); and the peer's responses by the seconds that they took, one count for each of SECONDS and one beyond."""

    __slots__ = ("received", "refusals", "refused", "seconds", "sent", "took")

    def __init__(self) -> None:
        self.received = self.sent = 0
        self.refused: dict[int, int] = {}
        self.refusals: dict[int, int] = {}
        self.took = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0

    def answered(self, seconds: float) -> None:
        self.took[bisect_left(SECONDS, seconds)] += 1
        self.seconds += seconds

    def add(self, other: "Counts") -> None:
        self.received += other.received
        self.sent += other.sent
        for mine, theirs in ((self.refused, other.refused), (self.refusals, other.refusals)):
            for status, count in theirs.items():
                note(mine, status, count)
        self.took = [a + b for a, b in zip(self.took, other.took, strict=True)]
        self.seconds += other.seconds


def note(counts: dict[int, int], status: int, more: int = 1) -> None:
    """More responses with this command_status; those beyond MOST_STATUSES count as -1."""
    if status not in counts and len(counts) >= MOST_STATUSES:
        status = -1
    counts[status] = counts.get(status, 0) + more


class Watch:
    def __init__(self) -> None:
        self.counts = Counts()
        self.session: Session | None = None
        self._taps: list[Tap] = []

    def attach(self, session: "Session") -> "Session":
        """The session that goes on under this watch."""
        session.counts = self.counts
        session.tap = self._tell if self._taps else None
        self.session = session
        return session

    def follow(self, tap: Tap) -> None:
        self._taps.append(tap)
        if self.session is not None:
            self.session.tap = self._tell

    def leave(self, tap: Tap) -> None:
        if tap in self._taps:
            self._taps.remove(tap)
        if not self._taps and self.session is not None:
            self.session.tap = None

    def _tell(self, way: str, pdu: Pdu, sequence: int) -> None:
        for tap in list(self._taps):
            try:
                tap(way, pdu, sequence)
            except Exception:
                self.leave(tap)
