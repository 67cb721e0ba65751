"""Work that is written down as rows and done by whoever claims it: a process puts a row's next try off, then tries.

So a crash neither loses a row nor repeats it forever, and no two processes try one at once. What is of one kind (a
carrier, a channel) has some places of its own: its trouble takes no others. For what doesn't need a lane's order, rate
and fencing. Fails by trying again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import structlog

from columba.core import again
from columba.store import Row, Statement, Step, Store, StoreUnavailable, plan

log = structlog.get_logger()


class Failed(Exception):
    """It was not done. `final`: nor will it ever be. `wait_s`: not to be tried again before that."""

    def __init__(self, why: str, final: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.final = final
        self.wait_s = wait_s


def again_in(schedule: Sequence[float], attempts: int, why: Failed, drawn: float) -> float | None:
    """Seconds until another try, after so many; None when that was the last. `drawn` spreads it, from 0 to 1."""
    return None if why.final else again.again_in(schedule, attempts - 1, drawn, why.wait_s)


class Claims(NamedTuple):
    """The rows. `due` gives (id, kind) of those that are due at `now`, but not of the kinds in its rows; `claim` puts
    those of its rows (id, now, until) off and returns the ids of those that were still due; `read` gives them whole,
    the id first."""

    due: Statement
    claim: Statement
    read: Statement


class Outbox:
    """What this process does of it. `work` gets a whole row; a StoreUnavailable leaves it to its claim's end."""

    def __init__(
        self,
        name: str,
        store: Store,
        clock: Callable[[], int],
        claims: Claims,
        work: Callable[[Row], Coroutine[Any, Any, None]],
        *,
        claim_ms: int,
        most_of_a_kind: int,
        most: int,
        most_read: int,
    ) -> None:
        self._name = name
        self._store = store
        self._clock = clock
        self._claims = claims
        self._work = work
        self._claim_ms = claim_ms  # longer than one try may take
        self._most_of_a_kind = most_of_a_kind
        self._most = most
        self._most_read = most_read
        self._loop = asyncio.get_running_loop()
        self._running: dict[int, tuple[Any, asyncio.Task[None]]] = {}  # by id: its kind
        self._beginning: asyncio.Task[None] | None = None
        self._again = self._stopped = False

    @property
    def is_idle(self) -> bool:
        return not self._running

    def wake(self) -> None:
        """Something was written down, or has ended, just now."""
        self._again = True
        if self._beginning is None and not self._stopped:
            self._beginning = self._loop.create_task(self._begin_all())

    async def step(self) -> None:
        """A chore: begin what is due, as far as there are places."""
        self.wake()

    async def _begin_all(self) -> None:
        try:
            while self._again and not self._stopped:
                self._again = False
                await self._begin()
        except StoreUnavailable:
            pass
        except Exception:
            log.exception("outbox.failed", outbox=self._name)
        finally:
            self._beginning = None

    async def _begin(self) -> None:
        now = self._clock()
        room = self._most - len(self._running)
        taken = Counter(kind for kind, _ in self._running.values())
        wanted: dict[int, Any] = {}
        more = room > 0
        while more and len(wanted) < room:
            full: list[Row] = [(kind,) for kind, count in taken.items() if count >= self._most_of_a_kind]
            found = await self._store.read(self._claims.due, full, now=now, most=self._most_read)
            for an_id, kind in found:
                known = an_id in self._running or an_id in wanted
                if not known and len(wanted) < room and taken[kind] < self._most_of_a_kind:
                    taken[kind] += 1
                    wanted[an_id] = kind
            # So many may all be of one kind: then the others' come after it has no more places.
            more = len(found) == self._most_read and len(full) < sum(n >= self._most_of_a_kind for n in taken.values())
        if not wanted:
            return
        rows = [(an_id, now, now + self._claim_ms) for an_id in wanted]
        claimed = await self._store.commit(plan(Step(self._claims.claim, rows)))
        mine: list[Row] = [(row[0],) for row in claimed[0] if row[0] in wanted]
        for row in await self._store.read(self._claims.read, mine):
            self._running[row[0]] = (wanted[row[0]], self._loop.create_task(self._try(row)))

    async def _try(self, row: Row) -> None:
        try:
            await self._work(row)
        except StoreUnavailable:
            pass  # its claim ends, and it is tried again
        except Exception:
            log.exception("outbox.try_failed", outbox=self._name, id=row[0])
        finally:
            self._running.pop(row[0], None)
            self.wake()

    async def stop(self, patience_s: float) -> None:
        """Wait a little for what is under way; what is left is due again when its claim ends."""
        self._stopped = True
        tasks = [task for _, task in self._running.values()]
        tasks += [] if self._beginning is None else [self._beginning]
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
