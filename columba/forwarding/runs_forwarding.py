"""Forwarding: the job kind that carries texts to destinations. One lane each: a dead one slows nobody.

Owns what becomes of an attempt: retried by the destination's schedule with jitter, Retry-After kept to, dead after the
last. While a destination's circuit is open one attempt goes at a time, to ask whether it is back; what has another
destination to go to goes there at once. Outcomes of a lane are settled one batch after another.

What waits in memory is read again before it goes if it has waited for long: a text may have been redacted meanwhile.
Fails by waiting: while the store can't be written, outcomes stay in memory (bounded by the lane).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from columba.core import events, ids
from columba.core.circuit import Circuit
from columba.core.ids import Ids
from columba.core.lanes import Backlog, Lane, Lanes, Spec
from columba.core.model import DESTINATION_FAILING, DESTINATION_RECOVERED, Event
from columba.forwarding.destinations import Destination, Destinations
from columba.forwarding.performing import Performing
from columba.forwarding.rule import FIRST_SUCCESS
from columba.forwarding.runs import (
    DEAD,
    DELIVERED,
    FAILED,
    HAS_NEXT,
    MODE_OF,
    PENDING,
    SQL,
    Run,
    context_of,
    error_view,
    run_of,
)
from columba.forwarding.runs_settling import Ended, Outcome, Settled, settle
from columba.store import Step, Store, StoreUnavailable, plan

SCHEDULE = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)  # seconds after each failed attempt
MOST_RETRY_AFTER_S = 86_400
SLOW_S = 60.0  # at least, after a timeout or 429
OUR_FAULT_S = 1.0
ELSEWHERE_S, MOST_ELSEWHERE = 0.5, 500
LONGEST_S = 120.0  # that an attempt may take
STALE_S = 5.0  # after which a job in memory is read again

log = structlog.get_logger()

Carry = Callable[[Destination, Run], Awaitable[Outcome]]
"""One attempt at a forward. Raises nothing but what nobody expected."""


def carrying(performing: Performing, account: Callable[[int], Mapping[str, Any]], clock: Callable[[], int]) -> Carry:
    """Attempts as destinations perform them."""

    async def carry(destination: Destination, run: Run) -> Outcome:
        at = clock()
        context = context_of(run.message, run.groups, account(run.account_id), run.edits)
        done = await performing.perform(destination, context, idempotency_id=ids.show("fwd", run.id), done=run.steps)
        run.steps = done.steps or run.steps
        last = done.last
        response = None if last is None else last.response
        return Outcome(
            at,
            None if done.ok else done.error or "internal: It failed without a reason.",
            None if response is None else response.status,
            done.latency_ms,
            None if last is None else last.request,
            None if response is None else response.body,
            done.retry_after,
            done.slow,
            done.permanent,
            done.counts or done.permanent,
            done.saved,
            done.reply,
            done.error if done.ok else None,
            done.exchanges,
        )

    return carry


class Line:
    """A lane as it is seen here: how its destination is doing, and what has ended and is not settled."""

    __slots__ = ("circuit", "ended", "lane", "posting", "settling")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.circuit = Circuit()
        self.posting: dict[int, asyncio.Task[None]] = {}  # a task that nobody holds may be collected
        self.ended: list[Ended] = []
        self.settling = False


class Forwarding:
    name = "forward"

    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        destinations: Destinations,
        carry: Carry,
        publisher: events.Publisher,
    ) -> None:
        self.lanes_of: Lanes | None = None
        self.outcomes: dict[str, int] = {}
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._random = random
        self._destinations = destinations
        self._carry = carry
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._lines: dict[int, Line] = {}
        self._redacted: set[int] = set()
        self._changed_texts: set[int] = set()
        self._specs: tuple[Mapping[int, Destination], Mapping[int, Spec]] = ({}, {})

    def forget(self, message_id: int) -> None:
        """A text was redacted: nothing is kept of what is out, and what waits in memory of it is read again."""
        self._redacted.add(message_id)
        self._loop.call_later(LONGEST_S, self._redacted.discard, message_id)
        self.reread(message_id)

    def reread(self, message_id: int) -> None:
        """What waits in memory of a text is read again before it goes. What has waited for long is so anyway."""
        self._changed_texts.add(message_id)
        self._loop.call_later(2 * STALE_S, self._changed_texts.discard, message_id)

    def poke(self, lane_id: int) -> None:
        """Something in the store is due: look, whoever owns the lane."""
        if self.lanes_of is not None:
            lane = self.lanes_of.owned.get(lane_id)
            if lane is not None:
                lane.poke()
            self._store.ring(f"lane:{lane_id}")

    # What the lanes ask

    def lanes(self) -> Mapping[int, Spec]:
        known, specs = self._specs
        if known is not self._destinations.all:
            specs = {
                each.id: Spec(each.spec.rate, each.spec.concurrency, serial=each.spec.ordered)
                for each in self._destinations.all.values()
                if is_open(each)
            }
            self._specs = (self._destinations.all, specs)
            for an_id in specs:
                if self._destinations.all[an_id] is not known.get(an_id):
                    self._changed(an_id)
        return specs

    def opened(self, lane: Lane) -> None:
        self._lines[lane.id] = Line(lane)

    def closed(self, lane: Lane) -> None:
        self._lines.pop(lane.id, None)

    def _changed(self, destination_id: int) -> None:
        """Another URL, or enabled again: what was learned of the destination holds no more."""
        line = self._lines.get(destination_id)
        if line is not None:
            line.circuit = Circuit()
            line.lane.limit = None
            line.lane.resume()

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        return [Backlog(*row) for row in await self._store.read(SQL["run_backlog"], [(lane,) for lane in lanes])]

    async def refill(self, lane: int, klass: int, account_id: int, most: int) -> Sequence[Run]:
        rows = await self._store.read(SQL["due_runs"], lane=lane, now=self._clock(), most=most)
        return [run_of(row, self._loop.time()) for row in rows]

    async def postpone(self, lane: Lane, jobs: Sequence[Run], until: int) -> None:
        await self._store.commit(
            plan(
                Step(events.SQL["fence"], [(lane.id, lane.epoch, lane.token)]),
                Step(SQL["postpone_runs"], [(lane.id, job.id, until) for job in jobs], given=0),
            )
        )

    def dispatch(self, lane: Lane, jobs: list[Run]) -> None:
        destination = self._destinations.all.get(lane.id)
        if destination is None or not is_open(destination):
            self._forget(lane, jobs)
            return
        stale = self._loop.time() - STALE_S
        if self._changed_texts or jobs[0].read_at < stale:
            old = [job for job in jobs if job.read_at < stale or job.message.id in self._changed_texts]
            if old and self.lanes_of is not None:
                self._spawn(self._renew(lane, old))
                there = {job.id for job in old}
                jobs = [job for job in jobs if job.id not in there]
        line = self._lines[lane.id]
        for job in jobs:
            self._begin(line, destination, job)

    def _begin(self, line: Line, destination: Destination, job: Run) -> None:
        probing = line.circuit.open_for > 0
        line.posting[job.id] = self._loop.create_task(self._post(line, probing, destination, job))

    @staticmethod
    def _forget(lane: Lane, jobs: list[Run]) -> None:
        """They stay in the store as they are."""
        lane.landed(len(jobs))
        lane.settled(jobs)

    async def _renew(self, lane: Lane, jobs: list[Run]) -> None:
        """Carry what the store has now for jobs that have waited for long."""
        try:
            rows = await self._store.read(SQL["pending_runs"], [(lane.id, job.id) for job in jobs])
        except StoreUnavailable:
            lane.landed(len(jobs))
            for job in jobs:
                lane.retry(job, self._clock())
            return
        line = self._lines.get(lane.id)
        if line is None or line.lane is not lane:
            return
        destination = self._destinations.all.get(lane.id)
        now = self._loop.time()
        fresh = {row[0]: run_of(row, now) for row in rows} if destination is not None else {}
        self._forget(lane, [job for job in jobs if job.id not in fresh])
        for job in jobs:
            if destination is not None and job.id in fresh:
                self._begin(line, destination, fresh[job.id])

    # Out

    async def _post(self, line: Line, probing: bool, destination: Destination, job: Run) -> None:
        circuit, lane = line.circuit, line.lane
        began = self._clock()
        try:
            outcome = await self._carry(destination, job)
        except Exception as error:
            log.exception("forward.attempt_failed", destination=destination.id, run=job.id)
            outcome = Outcome(began, f"internal: {type(error).__name__}.", counts=False)
        del line.posting[job.id]
        if lane.gone:
            return
        if job.message.id in self._redacted:  # while it was out: nothing is kept of what it said
            outcome = outcome._replace(request=None, answer=None, exchanges=(), saved=None)
        if outcome.counts and not outcome.refused and circuit is line.circuit:
            ok = outcome.error is None
            if probing:
                circuit.probed(ok)
                if ok:
                    self._spawn(self._tell(destination, DESTINATION_RECOVERED, None))
                lane.limit = 1 if circuit.open_for else None
                lane.pause(circuit.open_for)
            elif not circuit.open_for and circuit.note(ok):
                lane.limit = 1
                lane.pause(circuit.open_for)
                self._spawn(self._go_elsewhere(line))
                self._spawn(self._tell(destination, DESTINATION_FAILING, outcome.error))
        lane.landed()
        self._end(line, [self._ended(destination, job, outcome)])

    async def _go_elsewhere(self, line: Line) -> None:
        """While the circuit is open, what has another destination goes there; the first stays, to ask with."""
        lane = line.lane
        while line.circuit.open_for and not lane.gone:
            rows = []
            with contextlib.suppress(StoreUnavailable):
                rows = await self._store.read(SQL["chained_runs"], lane=lane.id, most=MOST_ELSEWHERE)
            waiting = [run_of(row, self._loop.time()) for row in rows[1:]]
            free = lane.seize(run.id for run in waiting)
            outcome = Outcome(self._clock(), "unavailable: The destination is down at the moment.", counts=False)
            self._end(line, [Ended(run, outcome, FAILED) for run in waiting if run.id in free])
            await asyncio.sleep(0 if len(rows) == MOST_ELSEWHERE else ELSEWHERE_S)

    async def _tell(self, destination: Destination, kind: int, error: str | None) -> None:
        """News of a destination. They are not worth waiting for the store."""
        data = {"id": shown(destination.id), "name": destination.name, "error": error_view(error)}
        event = Event(self._ids(), destination.account_id, destination.mode, kind, destination.id, self._clock(), data)
        with contextlib.suppress(StoreUnavailable):
            results = await self._store.commit(plan(*events.steps([events.row(event)], 0)))
            self._publisher.published(results[1], {event.id: event})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self.lanes_of is not None
        self.lanes_of.spawn(work)

    def _end(self, line: Line, ended: Sequence[Ended]) -> None:
        line.ended += ended
        if ended and not line.settling:
            line.settling = True
            self._spawn(self._settle_all(line))

    # Back

    def _ended(self, destination: Destination, job: Run, outcome: Outcome) -> Ended:
        """What becomes of it."""
        if outcome.error is None:
            return Ended(job, outcome, DELIVERED)
        now = self._clock()
        if not outcome.counts:
            return Ended(job, outcome, PENDING, now + int(1000 * OUR_FAULT_S * (0.8 + 0.4 * self._random())))
        if job.chain & HAS_NEXT and job.chain & MODE_OF == FIRST_SUCCESS:
            return Ended(job, outcome, FAILED)
        own = destination.spec.retry_schedule
        schedule = SCHEDULE if own is None else own
        n = job.attempts - job.base
        if outcome.refused or n >= len(schedule):
            return Ended(job, outcome, DEAD)
        wait = schedule[n] * (0.8 + 0.4 * self._random())
        if outcome.retry_after is not None:
            wait = max(wait, min(outcome.retry_after, MOST_RETRY_AFTER_S))
        elif outcome.slow:
            wait = max(wait, SLOW_S)
        return Ended(job, outcome, PENDING, now + int(wait * 1000))

    async def _settle_all(self, line: Line) -> None:
        """What ends while a batch is being settled is the next batch."""
        lane = line.lane
        try:
            while line.ended and not lane.gone:
                ended, line.ended = line.ended, []
                done = await settle(lane, ended, self._ids, self._clock, self._publisher, shown, self.outcomes)
                if done is not None:
                    self._after(lane, done)
        finally:
            line.settling = False

    def _after(self, lane: Lane, done: Settled) -> None:
        lane.settled(done.finished)
        for job, due in done.retried:
            lane.retry(job, due)
        for released in done.released:
            self.poke(released)
        if done.made and self.lanes_of is not None:
            for job in done.made:
                self.lanes_of.offer(job.lane, [job])


def is_open(destination: Destination) -> bool:
    """Can anything go there? What waits for one that is off, or whose secrets can't be read, goes on waiting."""
    return destination.enabled and destination.problem is None


def shown(destination_id: int) -> str:
    return ids.show("dst", destination_id)
