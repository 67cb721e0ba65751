"""Opt-outs being carried out: what was accepted before one must not leave after it.

A row of `stopping` is written in the transaction that stores the opt-out, and every process that may have such messages
in memory asks `look` just before the wire: the process that stores it knows at once (from before the commit, when it
holds back, without an end), others by the bell, or by looking within a second. Then the messages are ended: scheduled
ones here, queued ones by the owner of their lane, who alone knows what is on the wire already; that goes on, and is told
as it went. The row goes when nothing is left, so that a restart in between forgets nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from columba.consent import EVERY_CLASS, SQL
from columba.consent.pools import Pools
from columba.core import events, model, status
from columba.core.contract import Outcome
from columba.core.ids import Ids
from columba.core.lanes import Lanes
from columba.core.model import Message
from columba.core.sending import Sending
from columba.store import Row, Step, Store, StoreUnavailable, plan

BELL: Final = "consent"
KEPT_MS: Final = 10_000  # at least: a message may be accepted at the same moment in another process
UNSURE_MS: Final = 10_000  # how long a commit is waited for
MOST: Final = 1_000  # messages a step, as in consent.sql
OPTED_OUT: Final = Outcome("failed", None, "opted_out")
WAIT: Final = Outcome("unsent", wait_ms=250)

log = structlog.get_logger()
Person = tuple[int, int, str]  # account, mode, number


class Stop(NamedTuple):
    """One opt-out: what it covers, and the messages that it is about."""

    consent_id: int
    account_id: int
    mode: int
    number: str
    sender: str
    klass: int
    before: int
    spare: int
    since: int

    def covers(self, message: Message, pools: Pools) -> bool:
        return (
            message.id < self.before
            and message.id != self.spare
            and self.klass in (EVERY_CLASS, message.klass)
            and (
                self.sender in ("", message.sender)
                or self.sender in pools.of(message.account_id, message.mode, message.sender)
            )
        )


class Lift(NamedTuple):
    """An opt-in: which opt-outs it ends."""

    person: Person
    sender: str
    klass: int
    consent_id: int

    def ends(self, stop: Stop) -> bool:
        """As `drop_stopping` in consent.sql."""
        return (
            self.person == (stop.account_id, stop.mode, stop.number)
            and stop.consent_id < self.consent_id
            and self.sender in ("", stop.sender)
            and self.klass in (EVERY_CLASS, stop.klass)
        )


class Stopping:
    def __init__(
        self, store: Store, new_id: Ids, clock: Callable[[], int], publisher: events.Publisher, pools: Pools
    ) -> None:
        self.lanes: Lanes | None = None
        self.sending: Sending | None = None
        self._pools = pools
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._stops: dict[Person, tuple[Stop, ...]] = {}
        self._unsure: dict[Person, int] = {}  # what is being stored, and since when
        self._lifted: dict[Person, list[Lift]] | None = None  # while the store is being read
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    # The last look

    def look(self, message: Message) -> Outcome | None:
        if not self._stops and not self._unsure:
            return None
        person = (message.account_id, message.mode, message.to)
        for stop in self._stops.get(person, ()):
            if stop.covers(message, self._pools):
                # One that came with the opt-out or after it may be for somebody who has opted in again since, which
                # another process knows: it waits until the store has been asked (`_carry_out`).
                return OPTED_OUT if message.id < stop.consent_id else WAIT
        if person in self._unsure:
            if self._clock() - self._unsure[person] < UNSURE_MS:
                return WAIT
            del self._unsure[person]
        return None

    # What is stored

    def storing(self, person: Person) -> None:
        """An opt-out is on its way to the store: nothing leaves until it is there, or isn't."""
        self._unsure[person] = self._clock()

    def stored(self, person: Person, stops: Iterable[Stop]) -> None:
        """It is there (or came to nothing, without `stops`)."""
        self._unsure.pop(person, None)
        added = tuple(stops)
        if added:
            self._stops[person] = (*self._stops.get(person, ()), *added)
            self._store.ring(BELL)
            self._spawn()

    def lifted(self, person: Person, sender: str, klass: int, consent_id: int) -> None:
        """The person may be texted again."""
        lift = Lift(person, sender, klass, consent_id)
        if self._lifted is not None:
            self._lifted.setdefault(person, []).append(lift)
        there = self._stops.get(person)
        if there is not None:
            kept = tuple(stop for stop in there if not lift.ends(stop))
            if kept:
                self._stops[person] = kept
            else:
                del self._stops[person]
            self._store.ring(BELL)

    def heard(self, topic: str) -> None:
        if topic in (BELL, "*"):
            self._spawn()

    def _spawn(self) -> None:
        task = asyncio.get_running_loop().create_task(self._go())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _go(self) -> None:
        try:
            await self.step()
        except StoreUnavailable:
            log.info("stopping.store_unavailable")  # the next step goes on
        except Exception:
            log.exception("stopping.failed")

    # Carrying it out

    async def load(self) -> None:
        """What the store has, before anything is sent."""
        stops: dict[Person, tuple[Stop, ...]] = {}
        before = {stop for of_one in self._stops.values() for stop in of_one}
        lifted = self._lifted = {}
        try:
            rows = await self._store.read(SQL["stopping"])
        finally:
            self._lifted = None
        young = self._clock() - KEPT_MS
        # What was lifted while it was read may be in it still.
        stored = [
            stop
            for stop in map(Stop._make, rows)
            if not any(lift.ends(stop) for lift in lifted.get((stop.account_id, stop.mode, stop.number), ()))
        ]
        # What was stored while it was read is not in it yet.
        now = {stop for of_one in self._stops.values() for stop in of_one}
        meanwhile = [stop for stop in now - before if stop.since > young]
        for stop in dict.fromkeys((*stored, *meanwhile)):
            person = (stop.account_id, stop.mode, stop.number)
            stops[person] = (*stops.get(person, ()), stop)
        self._stops = stops

    async def step(self) -> int:
        """Load, end what there is to end, and forget what is done; how many opt-outs there was something to end for."""
        async with self._turn:
            if not self._stops and not await self._store.read(SQL["stopping_any"]):
                return 0
            await self.load()
            return await self._carry_out() if self._stops else 0

    async def _carry_out(self) -> int:
        rows = await self._store.read(SQL["stopped_messages"])
        left = await self._end(rows) if rows else set()
        now = self._clock()
        over = [
            stop.consent_id
            for of_one in self._stops.values()
            for stop in of_one
            if stop.consent_id not in left and stop.since < now - KEPT_MS
        ]
        if over and len(rows) < MOST:
            await self._store.commit(plan(Step(SQL["end_stopping"], [(an_id,) for an_id in over])))
            gone = set(over)
            self._stops = {
                person: kept
                for person, of_one in self._stops.items()
                if (kept := tuple(stop for stop in of_one if stop.consent_id not in gone))
            }
        return len(left)

    async def _end(self, rows: Sequence[Row]) -> set[int]:
        """End what the opt-outs cover of these; the opt-outs that covered something."""
        stops = {stop.consent_id: stop for of_one in self._stops.values() for stop in of_one}
        busy: set[int] = set()
        found: dict[int, Message] = {}
        wanted = [(an_id,) for an_id in {row[1] for row in rows}]
        for row in await self._store.read(events.SQL["messages_by_id"], wanted):
            message = model.message_of(row)
            message.callback = row[20]
            found[message.id] = message
        covered: dict[int, Message] = {}
        for consent_id, an_id, *_ in rows:
            each, stop = found.get(an_id), stops.get(consent_id)
            if each is not None and stop is not None and stop.covers(each, self._pools):
                covered[an_id] = each
                busy.add(consent_id)
        scheduled = [message for message in covered.values() if message.status == status.SCHEDULED]
        if scheduled:
            await self._fail(scheduled)
        by_lane: dict[int, list[Message]] = {}
        for message in covered.values():
            if message.status == status.QUEUED:
                by_lane.setdefault(message.lane, []).append(message)
        for lane_id, queued in by_lane.items():
            lane = None if self.lanes is None else self.lanes.owned.get(lane_id)
            if lane is not None and self.sending is not None:
                await self.sending.finish_all(lane, queued, status.FAILED, "opted_out")
        return busy

    async def _fail(self, messages: Iterable[Message]) -> None:
        now = self._clock()
        rows, made, happened = [], [], {}
        for message in messages:
            message.error = "opted_out"
            event = events.of_message(self._ids(), message, status.FAILED, now)
            rows.append((message.id, status.FAILED, now, event.id, message.error))
            made.append(events.row(event, message.callback))
            happened[event.id] = event
        results = await self._store.commit(plan(Step(SQL["fail_scheduled"], rows), *events.steps(made, 1, given=0)))
        mine = {row[0] for row in rows}
        ended = sum(row[0] in mine for row in results[0])
        self._publisher.count(status.FAILED, ended)
        self._publisher.published(results[2], happened)
