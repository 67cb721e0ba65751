"""How carriers do: what they take and refuse, what their receipts say, whether their sessions are open.

Counts fade with time, so a carrier that went bad earns its weight back: by itself, and faster by the few messages that
it is tried with. Each process counts what it sees; where there are several, they tell each other once a step, through
the store. `standing` is from memory alone. Fails with StoreUnavailable in `step`; the standings stay as they were.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from columba.core.contract import Carrier
from columba.core.lanes import Lane
from columba.core.sending import CLOSED, Sending
from columba.store import Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("routes.sql"))
LANES: Final = 64

WELL: Final = 0.5  # what a standing must be for messages to be routed there while another carrier can take them
DEAD: Final = 0.2  # from here down what waits is moved elsewhere
DOWN_MS: Final = 1_500  # for so long a session may be away before its carrier counts as down
STALLED_MS: Final = 3_000  # for so long parts may be on the wire without any answer
SUBMITS_FADE_MS: Final = 20_000  # half of them
RECEIPTS_FADE_MS: Final = 300_000
STREAK: Final = 10.0  # refusals in a row, and none taken, that are enough
SUBMITS_TRUST: Final = 4.0  # taken parts that every carrier has to its credit
RECEIPTS_TRUST: Final = 20.0
PROBE_MS: Final = 1_000
HEARD_MS: Final = 6_000  # what another process wrote counts for so long


class Seen(NamedTuple):
    """What one process has seen of a carrier. Of its sessions there, how many are open; whether those say nothing."""

    taken: float
    refused: float
    delivered: float
    undelivered: float
    streak: float
    sessions: float
    open: float
    stalled: float


class Tally:
    """What this process has seen of one carrier."""

    __slots__ = (
        "answers",
        "at",
        "away_since",
        "delivered",
        "open",
        "quiet_since",
        "refused",
        "sessions",
        "stalled",
        "streak",
        "taken",
        "undelivered",
    )

    def __init__(self, at: int) -> None:
        self.at = at
        self.taken = self.refused = self.delivered = self.undelivered = 0.0
        self.streak = 0.0  # parts that it refused since it last took one
        self.sessions = self.open = 0
        self.stalled = False
        self.answers = 0  # since the last step
        self.away_since, self.quiet_since = 0, at

    @property
    def seen(self) -> Seen:
        return Seen(
            self.taken, self.refused, self.delivered, self.undelivered, self.streak, self.sessions, self.open,
            float(self.stalled),
        )  # fmt: skip

    def fade(self, now: int) -> None:
        passed, self.at = now - self.at, now
        if passed > 0:
            share = 0.5 ** (passed / SUBMITS_FADE_MS)
            self.taken *= share
            self.refused *= share
            self.streak *= share
            share = 0.5 ** (passed / RECEIPTS_FADE_MS)
            self.delivered *= share
            self.undelivered *= share


class Health(NamedTuple):
    """What all processes have seen of one carrier. `standing` is 0 for one that is down, 1 for one without a flaw."""

    standing: float
    why: str
    taken: float = 0.0
    refused: float = 0.0
    delivered: float = 0.0
    undelivered: float = 0.0


FINE: Final = Health(1.0, "")


class Healths:
    def __init__(
        self, store: Store, clock: Callable[[], int], carriers: Callable[[], Mapping[int, Carrier]], sending: Sending
    ) -> None:
        self.all: Mapping[int, Health] = {}
        self._store = store
        self._clock = clock
        self._carriers = carriers
        self._sending = sending
        self._tallies: dict[int, Tally] = {}
        self._probed: dict[int, int] = {}
        self._written: dict[int, Seen] = {}

    # What is seen

    def settled(self, carrier_id: int, taken: int, refused: int, heard: int) -> None:
        """So many parts it took, so many it could not for reasons of its own, so many it answered at all."""
        tally = self._tally(carrier_id)
        tally.taken += taken
        tally.refused += refused
        tally.streak = 0.0 if taken else tally.streak + refused
        tally.answers += heard

    def receipts(self, carrier_id: int, delivered: int, undelivered: int) -> None:
        tally = self._tally(carrier_id)
        tally.delivered += delivered
        tally.undelivered += undelivered

    def _tally(self, carrier_id: int) -> Tally:
        tally = self._tallies.get(carrier_id)
        if tally is None:
            tally = self._tallies[carrier_id] = Tally(self._clock())
        return tally

    # What it comes to

    def standing(self, carrier_id: int) -> float:
        found = self.all.get(carrier_id)
        return 1.0 if found is None else found.standing

    def of(self, carrier_id: int) -> Health:
        return self.all.get(carrier_id, FINE)

    def probe(self, carrier_id: int) -> bool:
        """Whether a carrier that isn't well, but there, is to be tried with a message now: one a second."""
        now = self._clock()
        if now - self._probed.get(carrier_id, 0) < PROBE_MS:
            return False
        self._probed[carrier_id] = now
        return True

    async def step(self) -> None:
        now = self._clock()
        lanes = self._sending.lanes_of
        owned = [] if lanes is None else [lane for lane in lanes.owned.values() if lane.kind is self._sending]
        self._look(owned, now)
        seen = {an_id: [tally.seen] for an_id, tally in self._tallies.items()}
        if lanes is not None and len(lanes.peers) > 1:
            await self._write(lanes.token, now)
            for row in await self._store.read(SQL["healths"], token=lanes.token, since=now - HEARD_MS):
                seen.setdefault(row[0], []).append(Seen(*map(float, row[1:])))
        carriers = self._carriers()
        self.all = {an_id: _health(those) for an_id, those in seen.items() if an_id in carriers}
        for an_id in self._tallies.keys() - carriers.keys():
            del self._tallies[an_id]

    def _look(self, owned: Iterable[Lane], now: int) -> None:
        """At the sessions of this process."""
        by_carrier: dict[int, list[Lane]] = {}
        for lane in owned:
            if lane.spec.revision != CLOSED and not lane.draining:
                by_carrier.setdefault(lane.id & ~(LANES - 1), []).append(lane)
        for an_id in self._tallies.keys() | by_carrier.keys():
            tally = self._tally(an_id)
            tally.fade(now)
            those = by_carrier.get(an_id, [])
            ready = sum(lane.ready for lane in those)
            if ready or not those:
                tally.away_since = 0
            elif not tally.away_since:
                tally.away_since = now
            tally.sessions = len(those)
            tally.open = ready or int(bool(those) and now - tally.away_since < DOWN_MS)
            if tally.answers or not any(lane.flying for lane in those):
                tally.quiet_since = now
            tally.stalled = now - tally.quiet_since >= STALLED_MS
            tally.answers = 0

    async def _write(self, token: str, now: int) -> None:
        rows = []
        for an_id, tally in self._tallies.items():
            row = Seen(*(round(each, 1) for each in tally.seen))
            if tally.sessions or self._written.get(an_id) != row:
                rows.append((an_id, token, *row, now))
                self._written[an_id] = row
        if rows:
            await self._store.commit(plan(Step(SQL["write_healths"], rows)))

    async def sweep(self) -> None:
        """Forget what processes wrote that are gone."""
        await self._store.commit(plan(Step(SQL["sweep_healths"], [(self._clock() - 60_000,)])))


def _health(seen: Sequence[Seen]) -> Health:
    taken, refused, delivered, undelivered, streak, sessions, is_open, _ = map(sum, zip(*seen, strict=True))
    submits = (taken + SUBMITS_TRUST) / (taken + refused + SUBMITS_TRUST)
    if streak >= STREAK:
        submits = min(submits, DEAD / 2)
    told = (delivered + RECEIPTS_TRUST) / (delivered + undelivered + RECEIPTS_TRUST)
    if sessions and not is_open:
        standing, why = 0.0, "None of its sessions is open."
    elif sessions and all(each.stalled for each in seen if each.sessions):
        standing, why = 0.0, f"It has answered nothing for {STALLED_MS // 1000} seconds."
    else:
        standing = submits * told
        why = ""
        if streak >= STREAK:
            why = f"It has refused the last {streak:.0f} parts, for reasons of its own."
        elif submits < 0.9:
            why = f"It lately refused {1 - taken / (taken + refused):.0%} of what it was given, for reasons of its own."
        elif told < 0.9:
            why = f"Of its receipts, {1 - delivered / (delivered + undelivered):.0%} lately said that nothing came."
    return Health(standing, why, taken, refused, delivered, undelivered)
