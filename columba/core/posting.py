"""Posting: what kinds of jobs have in common whose lanes lead to one place each, such as the endpoint of a webhook.

A dead place slows no other. While its circuit is open one attempt goes at a time, to ask whether it is back. What waits
in memory is read again before it goes if it has waited for long, or if its message has changed: it may have been
redacted meanwhile. What came of attempts is settled one batch after another.

Fails by waiting: while the store can't be written, what came of attempts stays in memory (bounded by the lane).
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import structlog

from columba.core.again import again_in, jittered
from columba.core.circuit import Circuit
from columba.core.lane import Backlog, Job, Lane, Spec
from columba.core.lanes import Lanes
from columba.core.settling import Settling
from columba.store import Row, Statement, Store, StoreUnavailable

STALE_S = 5.0  # after which a job in memory is read again
SLOW_S = 60.0  # at least, after an attempt whose place asks for time
OUR_FAULT_S = 1.0

log = structlog.get_logger()


class Posted(Job, Protocol):
    """`read_at`: when it was read, in the loop's time. `subject`: the id of the message that it tells of."""

    read_at: float

    @property
    def subject(self) -> int: ...


class Tried(Protocol):
    """What came of an attempt."""

    @property
    def well(self) -> bool | None:
        """What it says of the place; None when nothing."""
        ...


class Failure(Protocol):
    """An attempt that failed, as `due_again` sees it. `slow`: the place asks for time. Not `counts`: our own fault."""

    @property
    def counts(self) -> bool: ...
    @property
    def slow(self) -> bool: ...
    @property
    def retry_after(self) -> float | None: ...


def due_again(failure: Failure, schedule: Sequence[float], failed: int, now: int, drawn: float) -> int | None:
    """When to try again, after so many attempts that had failed before; None when that was the last."""
    if not failure.counts:
        return now + int(1000 * jittered(OUR_FAULT_S, drawn))
    asked = failure.retry_after
    wait = again_in(schedule, failed, drawn, asked if asked is not None else SLOW_S if failure.slow else 0.0)
    return None if wait is None else now + int(wait * 1000)


class Reads(NamedTuple):
    """The jobs in the store: what there is of lanes, what is due in one, and some as they are now (by lane and id)."""

    backlog: Statement
    due: Statement
    pending: Statement


Place = TypeVar("Place")
J = TypeVar("J", bound=Posted)
T = TypeVar("T", bound=Tried)


class Line(Generic[J, T]):
    """A lane as it is seen here: how its place is doing, and what is out."""

    __slots__ = ("circuit", "ended", "lane", "out")

    def __init__(self, lane: Lane, ended: Settling[tuple[J, T]]) -> None:
        self.lane = lane
        self.circuit = Circuit()
        self.out: dict[int, asyncio.Task[None]] = {}  # a task that nobody holds may be collected
        self.ended = ended

    def heard(self, well: bool, probing: bool) -> bool:
        """Follow what an attempt says of the place; True when the circuit has opened or closed by it."""
        circuit = self.circuit
        if probing:
            circuit.probed(well)
        elif circuit.open_for or not circuit.note(well):
            return False
        self.lane.limit = 1 if circuit.open_for else None
        self.lane.pause(circuit.open_for)
        return well or not probing


class Posting(ABC, Generic[Place, J, T]):
    """A kind of jobs, but for what is its own: the places and their pace, the jobs, the attempt, and what is written."""

    name: str
    reads: Reads

    def __init__(self, store: Store, clock: Callable[[], int], places: Callable[[], Mapping[int, Place]]) -> None:
        """`places` gives the same mapping, and in it the same place, until something has changed."""
        self.lanes_of: Lanes | None = None
        self._store = store
        self._clock = clock
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._lines: dict[int, Line[J, T]] = {}
        self._changed: set[int] = set()  # messages
        self._known: tuple[Mapping[int, Place], Mapping[int, Spec]] = ({}, {})

    @abstractmethod
    def spec_of(self, place: Place) -> Spec | None:
        """How its lane may run; None while nothing may go there, and what waits for it goes on waiting."""

    @abstractmethod
    def job_of(self, row: Row, read_at: float) -> J:
        """From a row that was read."""

    @abstractmethod
    async def post(self, place: Place, job: J) -> T:
        """One attempt. Raises nothing but what nobody expected."""

    @abstractmethod
    def broken(self, place: Place, job: J, error: str) -> T:
        """What came of an attempt that raised what nobody expected."""

    @abstractmethod
    async def settle(self, lane: Lane, ended: list[tuple[J, T]]) -> None:
        """Write what came of attempts, and tell the lane."""

    def turned(self, line: Line[J, T], place: Place, tried: T) -> None:
        """The circuit has just opened or closed."""

    def moved(self, lane_ids: Collection[int]) -> None:
        """These places are others now, or are gone."""

    def reread(self, message_id: int) -> None:
        """What waits in memory of a message is read again before it goes. What has waited for long is so anyway."""
        self._changed.add(message_id)
        self._loop.call_later(2 * STALE_S, self._changed.discard, message_id)

    def poke(self, lane_id: int) -> None:
        """Something in the store is due: look, whoever owns the lane."""
        if self.lanes_of is not None:
            lane = self.lanes_of.owned.get(lane_id)
            if lane is not None:
                lane.poke()
            self._store.ring(f"lane:{lane_id}")

    # What the lanes ask

    def lanes(self) -> Mapping[int, Spec]:
        known, specs = self._known
        places = self._places()
        if places is not known:
            found = ((an_id, self.spec_of(place)) for an_id, place in places.items())
            specs = {an_id: spec for an_id, spec in found if spec is not None}
            self._known = (places, specs)
            self._learn_anew([an_id for an_id in known.keys() | places if known.get(an_id) is not places.get(an_id)])
        return specs

    def _learn_anew(self, lane_ids: Collection[int]) -> None:
        """Another URL, or enabled again: what was learned of these places holds no more."""
        self.moved(lane_ids)
        for an_id in lane_ids:
            line = self._lines.get(an_id)
            if line is not None:
                line.circuit = Circuit()
                line.lane.limit = None
                line.lane.resume()

    def opened(self, lane: Lane) -> None:
        self._lines[lane.id] = Line(lane, Settling(lane, self.settle))

    def closed(self, lane: Lane) -> None:
        self._lines.pop(lane.id, None)

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        return [Backlog(*row) for row in await self._store.read(self.reads.backlog, [(lane,) for lane in lanes])]

    async def refill(self, lane: int, klass: int, account_id: int, most: int, held: Sequence[Row]) -> Sequence[J]:
        rows = await self._store.read(self.reads.due, held, lane=lane, now=self._clock(), most=most)
        now = self._loop.time()
        return [self.job_of(row, now) for row in rows]

    def dispatch(self, lane: Lane, jobs: list[J]) -> None:
        place = self._open_place(lane.id)
        if place is None:
            self._forget(lane, jobs)
            return
        stale = self._loop.time() - STALE_S
        if self._changed or jobs[0].read_at < stale:
            old = [job for job in jobs if job.read_at < stale or job.subject in self._changed]
            if old:
                lane.spawn(self._renew(lane, old))
                there = {job.id for job in old}
                jobs = [job for job in jobs if job.id not in there]
        line = self._lines[lane.id]
        for job in jobs:
            self._begin(line, place, job)

    def _open_place(self, lane_id: int) -> Place | None:
        return self._places().get(lane_id) if lane_id in self.lanes() else None

    def _begin(self, line: Line[J, T], place: Place, job: J) -> None:
        line.out[job.id] = self._loop.create_task(self._post(line, line.circuit.open_for > 0, place, job))

    @staticmethod
    def _forget(lane: Lane, jobs: list[J]) -> None:
        """They stay in the store as they are."""
        lane.landed(len(jobs))
        lane.settled(jobs)

    async def _renew(self, lane: Lane, jobs: list[J]) -> None:
        """Post what the store has now of jobs."""
        try:
            rows = await self._store.read(self.reads.pending, [(lane.id, job.id) for job in jobs])
        except StoreUnavailable:
            lane.landed(len(jobs))
            for job in jobs:
                lane.retry(job, self._clock())
            return
        line = self._lines.get(lane.id)
        if line is None or line.lane is not lane:
            return
        place = self._open_place(lane.id)
        now = self._loop.time()
        fresh = {} if place is None else {row[0]: self.job_of(row, now) for row in rows}
        self._forget(lane, [job for job in jobs if job.id not in fresh])
        for job in jobs:
            if place is not None and job.id in fresh:
                self._begin(line, place, fresh[job.id])

    # Out and back

    async def _post(self, line: Line[J, T], probing: bool, place: Place, job: J) -> None:
        circuit, lane = line.circuit, line.lane
        try:
            tried = await self.post(place, job)
        except Exception as error:
            log.exception(f"{self.name}.attempt_failed", lane=lane.id, job=job.id)
            tried = self.broken(place, job, f"internal: {type(error).__name__}.")
        del line.out[job.id]
        if lane.gone:
            return
        well = tried.well
        if well is not None and circuit is line.circuit and line.heard(well, probing):
            self.turned(line, place, tried)
        lane.landed()
        line.ended.add((job, tried))
