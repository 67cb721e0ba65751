"""A transaction as a plan, and the journal that commits plans in groups.

A plan is an ordered list of steps, each a named statement and its rows. The store runs it whole; what a step returned
is known by the first column of its rows. A later step may be held to an earlier one without a way back to its caller:

- `given=k`: only rows whose first column came back from step k,
- `missing=k`: only rows whose first column did not,
- `feed=k`: the rows *are* what step k returned.

A step without rows is skipped. Plans of the same shape that wait at the same moment are merged: one transaction, one
statement a step, one future for all. Owns no connection: an engine gives `execute`. When a merged transaction fails
for a reason that may lie in one plan, each plan is run alone, so that one bad row fails its own caller only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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


class _Group:
    __slots__ = ("outcome", "plans", "size")

    def __init__(self, outcome: _Outcome) -> None:
        self.plans: list[Plan] = []
        self.size = 0
        self.outcome = outcome

    def merged(self) -> Plan:
        if len(self.plans) == 1:
            return self.plans[0]
        steps = [
            step._replace(rows=[row for each in self.plans for row in each.steps[i].rows])
            if step.feed is None
            else step
            for i, step in enumerate(self.plans[0].steps)
        ]
        return Plan(steps, self.plans[0].shape, self.size)


Execute = Callable[[Sequence[Plan]], Awaitable[list[Results]]]


class Journal:
    """Commits plans in the order in which they came, as many at once as have gathered; no timer."""

    def __init__(
        self, execute: Execute, *, most_rows: int = 20_000, observe: Callable[[int, float], None] | None = None
    ) -> None:
        self._execute = execute
        self._most_rows = most_rows
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._gathering: dict[tuple[Any, ...], _Group] = {}
        self._waiting: list[dict[tuple[Any, ...], _Group]] = []
        self._gathered = 0
        self._wake = asyncio.Event()
        self._closing = False
        self.backlog = 0
        self._task = self._loop.create_task(self._run(), name="journal")

    def commit(self, a_plan: Plan) -> Awaitable[Results]:
        """Durable when it returns. Enqueued before it returns the awaitable: plans commit in the order of their calls."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        if self._gathered + a_plan.size > self._most_rows and self._gathered:
            self._waiting.append(self._gathering)
            self._gathering = {}
            self._gathered = 0
        group = self._gathering.get(a_plan.shape)
        if group is None:
            group = self._gathering[a_plan.shape] = _Group(_Outcome(loop=self._loop))
        group.plans.append(a_plan)
        group.size += a_plan.size
        self._gathered += a_plan.size
        self.backlog += a_plan.size
        self._wake.set()
        return group.outcome

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            if self._waiting:
                groups = list(self._waiting.pop(0).values())
            else:
                groups = list(self._gathering.values())
                self._gathering = {}
                self._gathered = 0
                self._wake.clear()
            if groups:
                await self._commit(groups)
            if self._closing and not self._gathering and not self._waiting:
                return

    async def _commit(self, groups: list[_Group]) -> None:
        size = sum(group.size for group in groups)
        started = self._loop.time()
        try:
            results = await self._execute([group.merged() for group in groups])
        except StoreUnavailable as error:
            for group in groups:
                _fail(group.outcome, error)
        except Exception:
            for group in groups:
                await self._alone(group)
        else:
            for group, result in zip(groups, results, strict=True):
                group.outcome.set_result(result)
        self.backlog -= size
        if self._observe is not None:
            self._observe(size, self._loop.time() - started)

    async def _alone(self, group: _Group) -> None:
        """A transaction failed for one plan's sake, perhaps: run each by itself, in order."""
        together: Results | None = None
        failed: Exception | None = None
        for each in group.plans:
            try:
                result = (await self._execute([each]))[0]
            except Exception as error:
                failed = error
                continue
            if together is None:
                together = [list(rows) for rows in result]
            else:
                for rows, more in zip(together, result, strict=True):
                    rows.extend(more)
        if together is not None:
            # Callers look their own rows up by id; those of a failed plan find nothing there.
            group.outcome.set_result(together)
        else:
            _fail(group.outcome, failed or StoreUnavailable("nothing was committed"))

    async def close(self) -> None:
        """Commit what has been handed over, then stop."""
        self._closing = True
        self._wake.set()
        await self._task


def _fail(outcome: _Outcome, error: Exception) -> None:
    outcome.set_exception(error)
    outcome.exception()  # a caller that has gone away leaves no warning behind
