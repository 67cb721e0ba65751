"""Forwarding: the job kind that carries texts to destinations. One lane each.

Owns what becomes of an attempt: retried by the destination's schedule with jitter, Retry-After kept to, dead after the
last. While a destination's circuit is open, what has another destination to go to goes there at once. The rest is
`core/posting.py`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from columba.core import events, ids
from columba.core.ids import Ids
from columba.core.lanes import Lane, Spec
from columba.core.model import DESTINATION_FAILING, DESTINATION_RECOVERED, Event
from columba.core.posting import Line, Posting, Reads, due_again
from columba.forwarding.destinations import Destination, Destinations
from columba.forwarding.people import People, who
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
from columba.store import Row, Step, Store, StoreUnavailable, plan

SCHEDULE = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)  # seconds after each failed attempt
ELSEWHERE_S, MOST_ELSEWHERE = 0.5, 500
LONGEST_S = 120.0  # that an attempt may take

Carry = Callable[[Destination, Run], Awaitable[Outcome]]
"""One attempt at a forward. Raises nothing but what nobody expected."""


def carrying(
    performing: Performing, account: Callable[[int], Mapping[str, Any]], clock: Callable[[], int], people: People
) -> Carry:
    """Attempts as destinations perform them."""

    async def carry(destination: Destination, run: Run) -> Outcome:
        at = clock()
        contact = None
        if destination.compiled.knows:
            known = run.contact
            contact = (await people([who(run.message)])).get(who(run.message)) if known is UNSET else known
        context = context_of(run.message, run.groups, account(run.account_id), contact, run.edits)
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


class Forwarding(Posting[Destination, Run, Ended]):
    name = "forward"
    reads = Reads(SQL["run_backlog"], SQL["due_runs"], SQL["pending_runs"])

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
        super().__init__(store, clock, lambda: destinations.all)
        self.outcomes: dict[str, int] = {}
        self._ids = new_id
        self._random = random
        self._carry = carry
        self._publisher = publisher
        self._redacted: set[int] = set()

    def forget(self, message_id: int) -> None:
        """A text was redacted: nothing is kept of what is out, and what waits in memory of it is read again."""
        self._redacted.add(message_id)
        self._loop.call_later(LONGEST_S, self._redacted.discard, message_id)
        self.reread(message_id)

    # What posting asks

    def spec_of(self, destination: Destination) -> Spec | None:
        spec = destination.spec
        return Spec(spec.rate, spec.concurrency, serial=spec.ordered) if is_open(destination) else None

    def job_of(self, row: Row, read_at: float) -> Run:
        return run_of(row, read_at)

    async def postpone(self, lane: Lane, jobs: Sequence[Run], until: int) -> None:
        await self._store.commit(
            plan(
                Step(events.SQL["fence"], [(lane.id, lane.epoch, lane.token)]),
                Step(SQL["postpone_runs"], [(lane.id, job.id, until) for job in jobs], given=0),
            )
        )

    async def post(self, destination: Destination, job: Run) -> Ended:
        outcome = await self._carry(destination, job)
        if job.message.id in self._redacted:  # while it was out: nothing is kept of what it said
            outcome = outcome._replace(request=None, answer=None, exchanges=(), saved=None)
        return self._ended(destination, job, outcome)

    def broken(self, destination: Destination, job: Run, error: str) -> Ended:
        return self._ended(destination, job, Outcome(self._clock(), error, counts=False))

    def _ended(self, destination: Destination, job: Run, outcome: Outcome) -> Ended:
        """What becomes of it."""
        if outcome.error is None:
            return Ended(job, outcome, DELIVERED)
        if outcome.counts and job.chain & HAS_NEXT and job.chain & MODE_OF == FIRST_SUCCESS:
            return Ended(job, outcome, FAILED)
        due = None
        if not outcome.refused:
            own = destination.spec.retry_schedule
            schedule = SCHEDULE if own is None else own
            due = due_again(outcome, schedule, job.attempts - job.base, self._clock(), self._random())
        return Ended(job, outcome, DEAD) if due is None else Ended(job, outcome, PENDING, due)

    def turned(self, line: Line[Run, Ended], destination: Destination, ended: Ended) -> None:
        if line.circuit.open_for:
            line.lane.spawn(self._go_elsewhere(line))
            line.lane.spawn(self._tell(destination, DESTINATION_FAILING, ended.outcome.error))
        else:
            line.lane.spawn(self._tell(destination, DESTINATION_RECOVERED, None))

    async def _go_elsewhere(self, line: Line[Run, Ended]) -> None:
        """While the circuit is open, what has another destination goes there; the first stays, to ask with."""
        lane = line.lane
        while line.circuit.open_for and not lane.gone:
            rows = []
            with contextlib.suppress(StoreUnavailable):
                rows = await self._store.read(SQL["chained_runs"], lane=lane.id, most=MOST_ELSEWHERE)
            waiting = [run_of(row, self._loop.time()) for row in rows[1:]]
            free = lane.seize(run.id for run in waiting)
            outcome = Outcome(self._clock(), "unavailable: The destination is down at the moment.", counts=False)
            for run in waiting:
                if run.id in free:
                    line.ended.add((run, Ended(run, outcome, FAILED)))
            await asyncio.sleep(0 if len(rows) == MOST_ELSEWHERE else ELSEWHERE_S)

    async def _tell(self, destination: Destination, kind: int, error: str | None) -> None:
        """News of a destination. They are not worth waiting for the store."""
        data = {"id": shown(destination.id), "name": destination.name, "error": error_view(error)}
        event = Event(self._ids(), destination.account_id, destination.mode, kind, destination.id, self._clock(), data)
        with contextlib.suppress(StoreUnavailable):
            results = await self._store.commit(plan(*events.steps([events.row(event)], 0)))
            self._publisher.published(results[1], {event.id: event})

    async def settle(self, lane: Lane, ended: Sequence[tuple[Run, Ended]]) -> None:
        those = [each for _, each in ended]
        done = await settle(lane, those, self._ids, self._clock, self._publisher, shown, self.outcomes)
        if done is not None:
            self._after(lane, done)

    def _after(self, lane: Lane, done: Settled) -> None:
        lane.settled(done.finished)
        for job, due in done.retried:
            lane.retry(job, due)
        for released in done.released:
            self.poke(released)
        if self.lanes_of is not None:
            for job in done.made:
                self.lanes_of.offer(job.lane, [job])


def is_open(destination: Destination) -> bool:
    """Can anything go there? What waits for one that is off, or whose secrets can't be read, goes on waiting."""
    return destination.enabled and destination.problem is None


def shown(destination_id: int) -> str:
    return ids.show("dst", destination_id)
