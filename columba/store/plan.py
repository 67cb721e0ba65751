"""A transaction as a plan, and the journal that commits plans in groups.

A plan is an ordered list of steps, each a named statement and its rows. The store runs it whole; what a step returned
is known by the first column of its rows. A later step may be held to an earlier one without a way back to its caller:

- `given=k`: only rows whose first column came back from step k,
- `missing=k`: only rows whose first column did not,
- `feed=k`: the rows *are* what step k returned.

A step without rows is skipped. Plans of the same shape that wait at the same moment are merged: one transaction, one
statement a step, one future for all. Owns no connection: an engine takes groups, runs them, says what came of it. When a merged transaction fails
for a reason that may lie in one plan, each plan is run alone, so that one bad row fails its own caller only.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple

from columba.errors import Refusal

from .sql import Row, Statement

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
    missing: int | None = None
    feed: int | None = None


class Plan(NamedTuple):
    """Steps, made by `plan(...)`. `shape` says which plans may be merged."""

    steps: Sequence[Step]
    shape: tuple[Any, ...]
    size: int


def plan(*steps: Step) -> Plan:
    shape = tuple((step.statement.name, step.given, step.missing, step.feed) for step in steps)
    return Plan(steps, shape, sum(len(step.rows) for step in steps))


def rows_for(step: Step, results: Results) -> Sequence[Row]:
    """The rows that a step runs with, once the steps before it have run."""
    if step.feed is not None:
        return results[step.feed]
    rows = step.rows
    if step.given is not None and rows:
        there = {row[0] for row in results[step.given]}
        rows = [row for row in rows if row[0] in there]
    if step.missing is not None and rows:
        there = {row[0] for row in results[step.missing]}
        rows = [row for row in rows if row[0] not in there]
    return rows


class _Outcome(asyncio.Future[Results]):
    """Shared by all callers of one group: a caller that is canceled must not cancel the others."""

    def cancel(self, msg: Any = None) -> bool:
        return False


class Group:
    """Plans of one shape that are committed together, and the future that their callers share."""

    __slots__ = ("outcome", "plans", "size")

    def __init__(self, outcome: _Outcome) -> None:
        self.plans: list[Plan] = []
        self.size = 0
        self.outcome = outcome

    def merged(self) -> Plan:
        if len(self.plans) == 1:
            return self.plans[0]
        steps = [
            step if step.feed is not None else step._replace(rows=[row for each in self.plans for row in each.steps[i][1]])
            for i, step in enumerate(self.plans[0].steps)
        ]
        return Plan(steps, self.plans[0].shape, self.size)


Outcome = Results | Exception
Attempts = Generator[Sequence[Plan], list[Results] | Exception, list[Outcome]]


def attempts(groups: Sequence[Group]) -> Attempts:
    """What to run so that all groups get their outcome: yields plans, is sent what running them came to."""
    came = yield [group.merged() for group in groups]
    if not isinstance(came, Exception):
        return list(came)
    if isinstance(came, StoreUnavailable):
        return [came for _ in groups]
    outcomes: list[Outcome] = []
    for group in groups:
        outcomes.append((yield from _one_by_one(group)))
    return outcomes


def _one_by_one(group: Group) -> Generator[Sequence[Plan], list[Results] | Exception, Outcome]:
    """A transaction failed for one plan's sake, perhaps: each by itself, in order."""
    together: Results | None = None
    failed: Exception = StoreUnavailable("nothing was committed")
    for each in group.plans:
        came = yield [each]
        if isinstance(came, Exception):
            failed = came
        elif together is None:
            together = [list(rows) for rows in came[0]]
        else:
            for rows, more in zip(together, came[0], strict=True):
                rows.extend(more)
    # Callers look their own rows up by id; those of a failed plan find nothing there.
    return failed if together is None else together


class Journal:
    """Gathers plans until the engine takes them: all that has come meanwhile, in the order in which it came.

    `commit` belongs to the event loop; `take` may be called from the engine's thread. No timer: the commit in progress
    is the timer.
    """

    def __init__(
        self, bell: Callable[[], None], *, most_rows: int = 20_000, observe: Callable[[int, float], None] | None = None
    ) -> None:
        self.backlog = 0  # rows that are not committed yet
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

    def commit(self, a_plan: Plan) -> Awaitable[Results]:
        """Durable when it returns. Enqueued at the call: plans commit in the order of their calls."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        with self._lock:
            if self._gathered and self._gathered + a_plan.size > self._most_rows:
                self._full.append(list(self._gathering.values()))
                self._gathering = {}
                self._gathered = 0
            group = self._gathering.get(a_plan.shape)
            if group is None:
                group = self._gathering[a_plan.shape] = Group(_Outcome(loop=self._loop))
            group.plans.append(a_plan)
            group.size += a_plan.size
            self._gathered += a_plan.size
            idle, self._idle = self._idle, False
        self.backlog += a_plan.size
        if idle:
            self._bell()
        return group.outcome

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

    def done(self, groups: Sequence[Group], outcomes: Sequence[Outcome], seconds: float) -> None:
        """Tell the callers."""
        size = 0
        for group, outcome in zip(groups, outcomes, strict=True):
            size += group.size
            if isinstance(outcome, Exception):
                group.outcome.set_exception(outcome)
                group.outcome.exception()  # a caller that has gone away leaves no warning behind
            else:
                group.outcome.set_result(outcome)
        self.backlog -= size
        if self._observe is not None:
            self._observe(size, seconds)
        if self._closing and not self.backlog:
            self._empty.set()

    async def close(self) -> None:
        """No more plans; returns when those that were handed over are committed."""
        self._closing = True
        if self.backlog:
            await self._empty.wait()
