"""Messages that a carrier took and never told the end of: after a time they are `unknown`, and it is said.

Walks the ids in windows of time, from a mark that the store keeps, so that no index is needed for it and a long absence
is made up for. Every step is conditional: it does no harm that several processes take it.
"""

from collections.abc import Callable
from pathlib import Path

from columba.core import events, ids, status
from columba.core.ids import Ids
from columba.core.model import message_of
from columba.store import Step, Store, plan, statements

CORE = events.SQL
SQL = statements(Path(__file__).with_name("overdue.sql"))
WINDOW_MS = 3_600_000
MOST = 1_000


class Overdue:
    def __init__(
        self, store: Store, new_id: Ids, clock: Callable[[], int], publisher: events.Publisher, timeout_s: int
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._timeout_ms = timeout_s * 1000

    async def step(self) -> int:
        """Look at the next window, as far as it is old enough; how many messages were given up."""
        limit = self._clock() - self._timeout_ms
        rows = await self._store.read(SQL["mark"], name="overdue")
        since = int(rows[0][0]) if rows else ids.EPOCH
        if not rows:
            oldest = await self._store.read(SQL["oldest"])
            since = ids.time_of(int(oldest[0][0])) if oldest and oldest[0][0] is not None else limit
        until = min(since + WINDOW_MS, limit)
        if until <= since and rows:
            return 0
        ended = 0
        while True:
            found = await self._store.read(
                SQL["without_receipt"], after=ids.first_at(since), before=ids.first_at(until), most=MOST
            )
            if found:
                ended += await self._end([(row[0],) for row in found])
            if len(found) < MOST:
                break
        await self._store.commit(plan(Step(SQL["set_mark"], [("overdue", max(since, until))])))
        return ended

    async def _end(self, found: list[tuple[int]]) -> int:
        now = self._clock()
        moved, made, happened = [], [], {}
        for row in await self._store.read(CORE["messages_by_id"], found):
            message = message_of(row)
            message.error, message.carrier_code = "no_receipt", None
            event = events.of_message(self._ids(), message, status.UNKNOWN, now)
            moved.append(
                (0, message.id, status.UNKNOWN, message.attempts, message.due_at, now, event.id, "no_receipt", None)
            )
            made.append(events.row(event, row[20]))
            happened[event.id] = event
        results = await self._store.commit(plan(Step(CORE["settle_messages"], moved), *events.steps(made, 1, given=0)))
        self._publisher.published(results[2], happened)
        return len(results[0])
