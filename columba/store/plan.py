"""A transaction as a plan, and the journal that commits plans in groups.

A plan is an ordered list of steps, each a named statement and its rows. The store runs it whole; what a step returned
is known by the first column of its rows. A later step may be held to an earlier one without a way back to its caller:

- `given=k`: only rows whose first column came back from step k,
- `missing=k`, or several of them: only rows whose first column came back from none,
- `feed=k`: the rows *are* what step k returned.

A step without rows is skipped. Plans of the same shape that wait at the same moment are merged: one transaction, one
statement a step, and the same results for all their callers, who look their own rows up by id. Two plans that want the
same row of a statement that takes it `once` go one after the other, so that the second finds what the first has done.
Owns no connection: an engine takes groups, runs them, says what came of it. When a merged transaction fails for a reason
that may lie in one plan, each plan is run alone, so that one bad row fails its own caller only.
"""

import asyncio
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from columba.errors import Refusal

from .sql import Row, Statement

CALM_S = 1.0  # without a failure, before the store is said to be well again

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
Results = list[list[Row]]


class StoreUnavailable(Refusal):
    """The database can't be written or reached just now. What was asked for may be tried again."""

    def __init__(self, why: str) -> None:
        super().__init__("store_unavailable", retry_after=2)
        self.why = why


class Step(NamedTuple):
    statement: Statement
    rows: Sequence[Row] = ()
    given: int | None = None
    missing: int | tuple[int, ...] | None = None
    feed: int | None = None


class Plan(NamedTuple):
    """Steps, made by `plan(...)`. `shape` says which plans may be merged."""

    steps: Sequence[Step]
    shape: tuple[Any, ...]
    size: int


def plan(*steps: Step) -> Plan:
    shape = tuple((step.statement.name, step.given, step.missing, step.feed) for step in steps)
    return Plan(steps, shape, sum(len(step.rows) for step in steps))


def came_back(step: Step, told: bool | None | list[Row]) -> list[Row]:
    """What a step returned: nothing, all of its rows, or these."""
    if told is True:
        returned = step.statement.returned
        return [tuple([row[i] for i in returned]) for row in step.rows]
    return told or []


def batch(rows: Sequence[Row]) -> str:
    """Rows as both engines take them. ValueError for text that PostgreSQL can't keep."""
    text = _encode(rows).decode()
    if "\\u0000" in text and _NUL.search(text):
        raise ValueError("a text with a NUL can't be stored")
    return text


class Group:
    """Plans of one shape that are committed together, and for each the future that its caller waits for."""

    __slots__ = ("futures", "once", "plans", "size")

    def __init__(self, first: Plan) -> None:
        self.plans: list[Plan] = []
        self.futures: list[asyncio.Future[Results]] = []
        self.size = 0
        self.once: list[tuple[int, Callable[[Row], Any], set[Any]]] = [
            (i, step.statement.once, set()) for i, step in enumerate(first.steps) if step.statement.once is not None
        ]

    def takes(self, a_plan: Plan) -> bool:
        """Does it want nothing that is wanted already? Then it is noted what it wants."""
        wanted = [(taken, {once(row) for row in a_plan.steps[i].rows}) for i, once, taken in self.once]
        if not all(taken.isdisjoint(those) for taken, those in wanted):
            return False
        for taken, those in wanted:
            taken |= those
        return True

    def add(self, a_plan: Plan, future: asyncio.Future[Results]) -> None:
        self.plans.append(a_plan)
        self.futures.append(future)
        self.size += a_plan.size

    def merged(self) -> Plan:
        if len(self.plans) == 1:
            return self.plans[0]
        steps = [
            step
            if step.feed is not None
            else step._replace(rows=[row for each in self.plans for row in each.steps[i].rows])
            for i, step in enumerate(self.plans[0].steps)
        ]
        return Plan(steps, self.plans[0].shape, self.size)


Outcome = Results | Exception
Attempts = Generator[Sequence[Plan], list[Results] | Exception, list[list[Outcome]]]


def attempts(groups: Sequence[Group]) -> Attempts:
    """What to run so that each plan gets its outcome: yields plans, is sent what running them came to."""
    came = yield [group.merged() for group in groups]
    if isinstance(came, StoreUnavailable):
        return [[came] * len(group.plans) for group in groups]
    if not isinstance(came, Exception):
        return [[results] * len(group.plans) for group, results in zip(groups, came, strict=True)]
    outcomes: list[list[Outcome]] = []
    for group in groups:  # it failed for one plan's sake, perhaps: each by itself, in order
        alone: list[Outcome] = []
        for each in group.plans:
            came = yield [each]
            alone.append(came if isinstance(came, Exception) else came[0])
        outcomes.append(alone)
    return outcomes


class Journal:
    """Gathers plans until the engine takes them: all that has come meanwhile, in the order in which it came.

    `commit` belongs to the event loop; `take` may be called from the engine's thread. No timer: the commit in progress
    is the timer.
    """

    def __init__(
        self, bell: Callable[[], None], *, most_rows: int = 20_000, observe: Callable[[int, float], None] | None = None
    ) -> None:
        self.backlog = 0  # rows that are not committed yet
        self._open = 0  # plans
        self._bell = bell
        self._most_rows = most_rows
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._gathering: dict[tuple[Any, ...], Group] = {}
        self._gathered = 0
        self._full: deque[list[Group]] = deque()
        self._idle = True
        self._closing = False
        self._empty = asyncio.Event()
        self._failing_since: float | None = None
        self._failed_at = 0.0

    def commit(self, a_plan: Plan) -> Awaitable[Results]:
        """Durable when it returns. Its place is taken at the call: no plan commits later than one that came after it.

        Plans of one shape run together, before or after those of another in the same transaction: a plan that builds
        on another's rows awaits it first.
        """
        if self._closing:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[Results] = self._loop.create_future()
        with self._lock:
            if self._gathered and self._gathered + a_plan.size > self._most_rows:
                self._close()
            group = self._gathering.get(a_plan.shape)
            if group is not None and group.once and not group.takes(a_plan):
                self._close()
                group = None
            if group is None:
                group = self._gathering[a_plan.shape] = Group(a_plan)
                if group.once:
                    group.takes(a_plan)
            group.add(a_plan, future)
            self._gathered += a_plan.size
            idle, self._idle = self._idle, False
        self.backlog += a_plan.size
        self._open += 1
        if idle:
            self._bell()
        return future

    def _close(self) -> None:
        """What comes now is committed after what has come."""
        self._full.append(list(self._gathering.values()))
        self._gathering = {}
        self._gathered = 0

    def take(self) -> list[Group]:
        """What is to be committed next; nothing when there is nothing (then `bell` rings with the next plan)."""
        with self._lock:
            if self._full:
                return self._full.popleft()
            groups = list(self._gathering.values())
            self._gathering = {}
            self._gathered = 0
            self._idle = not groups
            return groups

    def done(self, groups: Sequence[Group], outcomes: Sequence[Sequence[Outcome]], seconds: float) -> None:
        """Tell the callers."""
        size = 0
        trouble: StoreUnavailable | None = None
        for group, those in zip(groups, outcomes, strict=True):
            size += group.size
            if isinstance(those[0], StoreUnavailable):
                trouble = those[0]
            self._open -= len(those)
            for future, outcome in zip(group.futures, those, strict=True):
                if future.done():  # its caller has gone away
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                    future.exception()  # one that nobody awaits leaves no warning behind
                else:
                    future.set_result(outcome)
        self.backlog -= size
        if groups and (trouble is not None or self._failing_since is not None):
            self._log(trouble)
        if self._observe is not None:
            self._observe(size, seconds)
        if self._closing and not self._open:
            self._empty.set()

    def _log(self, trouble: StoreUnavailable | None) -> None:
        """Say why the store can't be written, and when it can again: one line each."""
        now = self._loop.time()
        if trouble is not None:
            self._failed_at = now
            if self._failing_since is None:
                self._failing_since = now
                if not self._closing:
                    log.error("store.unavailable", why=trouble.why)
        elif self._failing_since is not None and now - self._failed_at >= CALM_S:
            log.warning("store.available", after_s=round(now - self._failing_since, 1))
            self._failing_since = None

    async def close(self) -> None:
        """No more plans; returns when those that were handed over are committed."""
        self._closing = True
        if self._open:
            await self._empty.wait()
