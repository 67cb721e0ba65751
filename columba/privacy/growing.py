"""What grows with traffic, and is let go after its time: events, forwards, verifications, the audit log and their like.

A pass goes through a table from its oldest row on by id, which tells the age, a few hundred rows at a time: what may go is
found by a reader, asked for again in the plan that deletes it, and after each batch it rests for a multiple of the time that
took, so that the main path has the store to itself for most of it. What is live is passed over, and met again by the pass
that begins an hour later. One process does it for all; that two do it for a moment does no harm. Fails with StoreUnavailable
alone, and goes on where it was.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from columba.core import ids
from columba.privacy.people import SQL as ERASING
from columba.store import Step, Store, plan, statements

SQL: Final = statements(Path(__file__).with_name("growing.sql"))
DAY_MS: Final = 86_400_000
AT_ONCE: Final = 500  # rows of one transaction, each with what hangs on it
LOOK: Final = 2_000  # rows of one reading
REST: Final = 2  # times what a batch took, of which most is waiting for others where there is much to do
LEAST_REST_S, LONGEST_REST_S = 0.01, 5.0
PASS_MS: Final = 3_600_000  # between the beginnings of two passes
LATE_MS: Final = DAY_MS  # behind by this much it is said
IMPORTS_DAYS: Final = 90
KEYS_DAYS: Final = 90
VERSIONS: Final = 100  # of a rule that are kept in any case

log = structlog.get_logger()


class Kept(NamedTuple):
    """Days for which what is kept; 0 is for good."""

    events: int
    forwards: int
    dead_letters: int
    verifications: int
    audit: int


class Kind(NamedTuple):
    """Something that grows. `look` and `free` tell what may go, `sweep` are the statements that delete it."""

    name: str
    days: int
    live_days: int
    look: str
    free: str
    sweep: tuple[str, ...]


class Pass(NamedTuple):
    """How far a pass has come: it began then, and went up to this row."""

    began: int
    after: int


def kinds(kept: Kept) -> tuple[Kind, ...]:
    live = kept.dead_letters
    events = ("erase_attempts", "erase_deliveries", "erase_events")
    runs = ("mark_rules", "sweep_run_attempts", "sweep_runs")
    return (
        Kind("events", kept.events, live, "look_events", "free_events", events),
        Kind("forwards", kept.forwards, live, "look_runs", "free_runs", runs),
        Kind("verifications", kept.verifications, 0, "look_verifications", "free_verifications", ("sweep_verifications",)),
        Kind("privacy_jobs", kept.audit, 0, "look_jobs", "free_jobs", ("sweep_jobs",)),
    )  # fmt: skip


class Growing:
    """`is_first` says whether this process is the one that does it; `audit` lets go of the log from before a time;
    `keys_changed` is the step that tells of keys that went."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        kept: Kept,
        is_first: Callable[[], bool],
        audit: Callable[[int], Awaitable[int]],
        keys_changed: Callable[[], Step],
    ) -> None:
        self.swept: dict[str, int] = {}  # rows, by kind, since the start
        self.behind: dict[str, float] = {}  # seconds by which the oldest that may go is too old
        self._store = store
        self._clock = clock
        self._kept = kept
        self._kinds = [kind for kind in kinds(kept) if kind.days]
        self._is_first = is_first
        self._audit = audit
        self._keys_changed = keys_changed
        self._passes: dict[str, Pass] = {}
        self._said: dict[str, int] = {}
        self._loop = asyncio.get_running_loop()

    async def step(self) -> int:
        """Let go what is too old: a chore. How many rows of each kind's main table went."""
        if not self._is_first():
            self.behind.clear()
            return 0
        gone, left = 0, list(self._kinds)
        while left:
            for kind in [*left]:
                some = await self._some(kind)
                if some is None:
                    left.remove(kind)
                else:
                    gone += some
        return gone

    async def _pause(self, began: float) -> None:
        await asyncio.sleep(min(LONGEST_REST_S, max(LEAST_REST_S, REST * (self._loop.time() - began))))

    async def _some(self, kind: Kind) -> int | None:
        """Those of one reading, a batch at a time; None when there is no more of it now."""
        began = self._loop.time()
        now = self._clock()
        before = now - kind.days * DAY_MS
        live_since = now - kind.live_days * DAY_MS if kind.live_days else 0
        last = self._passes.get(kind.name)
        if last is None or now - last.began >= PASS_MS or now < last.began:
            last = Pass(now, 0)
        rows = await self._store.read(
            SQL[kind.look], after=last.after, before=ids.first_at(before), live_since=live_since, most=LOOK
        )
        if not rows:
            self._passes[kind.name] = last
            self._note(kind, 0)
            return None
        some = [(row[0], live_since) for row in rows if row[1]]
        for start in range(0, len(some), AT_ONCE):
            await self._pause(began)
            began = self._loop.time()
            batch = some[start : start + AT_ONCE]
            await self._delete(kind, batch)
            self._count(kind.name, len(batch))
            self._passes[kind.name] = last._replace(after=batch[-1][0])
        await self._pause(began)
        self._passes[kind.name] = last._replace(after=rows[-1][0])
        self._note(kind, before - ids.time_of(rows[-1][0]))
        return len(some)

    async def _delete(self, kind: Kind, rows: list[tuple[int, int]]) -> None:
        steps = [Step(SQL[name] if name in SQL else ERASING[name], feed=0) for name in kind.sweep]
        await self._store.commit(plan(Step(SQL[kind.free], rows), *steps))

    def _count(self, name: str, gone: int) -> None:
        if gone:
            self.swept[name] = self.swept.get(name, 0) + gone

    def _note(self, kind: Kind, behind_ms: int) -> None:
        """Behind for long is said, once an hour."""
        self.behind[kind.name] = max(0, behind_ms) / 1000
        now = self._clock()
        if behind_ms > LATE_MS and now - self._said.get(kind.name, 0) >= PASS_MS:
            self._said[kind.name] = now
            log.warning("retention.behind", kind=kind.name, days=round(behind_ms / DAY_MS, 1))

    # What grows slowly

    async def seldom(self) -> None:
        """Let go what is rare: a chore for now and then."""
        if not self._is_first():
            return
        now = self._clock()
        if self._kept.audit:
            self._count("audit", await self._audit(now - self._kept.audit * DAY_MS))
        await self._imports(now)
        days = max(self._kept.forwards, self._kept.dead_letters)
        if self._kept.forwards and self._kept.dead_letters:
            await self._until_done("rule_versions", "sweep_rule_versions", (now - days * DAY_MS, VERSIONS, AT_ONCE))
        keys = [(now - KEYS_DAYS * DAY_MS,)]
        results = await self._store.commit(plan(Step(SQL["sweep_logins"], keys), Step(SQL["sweep_keys"], keys)))
        if results[1]:
            await self._store.commit(plan(self._keys_changed()))
            self._count("keys", len(results[1]))

    async def _imports(self, now: int) -> None:
        """Files of consent, with the rows that were refused of them."""
        before, after = ids.first_at(now - IMPORTS_DAYS * DAY_MS), 0
        while rows := await self._store.read(
            SQL["look_imports"], after=after, before=before, live_since=now - DAY_MS, most=LOOK
        ):
            after = rows[-1][0]
            for an_id in (row[0] for row in rows if row[1]):
                await self._until_done("", "sweep_import_refusals", (an_id, AT_ONCE))
                await self._store.commit(plan(Step(SQL["sweep_imports"], [(an_id,)])))
                self._count("imports", 1)

    async def _until_done(self, name: str, statement: str, row: tuple[int, ...]) -> None:
        """A sweep that takes so many at once, the last of its row, until it finds fewer."""
        while True:
            began = self._loop.time()
            gone = len((await self._store.commit(plan(Step(SQL[statement], [row]))))[0])
            self._count(name, gone if name else 0)
            if gone < row[-1]:
                return
            await self._pause(began)
