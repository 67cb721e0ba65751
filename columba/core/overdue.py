"""Messages that a carrier took and never told the end of: after a time they are `unknown`, and it is said.

The time counts from the sending. Every step is conditional in the store: it does no harm that several processes take it.
"""

from collections.abc import Callable
from pathlib import Path

from columba.core import events, status
from columba.core.ids import Ids
from columba.core.model import message_of
from columba.store import Step, Store, plan, statements

CORE = events.SQL
SQL = statements(Path(__file__).with_name("overdue.sql"))
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
        """Give up those that are old enough; how many that were."""
        ended = 0
        while True:
            before = self._clock() - self._timeout_ms
            found = await self._store.read(SQL["overdue"], before=before, most=MOST)
            if found:
                ended += await self._end([(row[0],) for row in found])
            if len(found) < MOST:
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
        mine = {row[1] for row in moved}
        ended = sum(row[0] in mine for row in results[0])
        self._publisher.count(status.UNKNOWN, ended)
        self._publisher.published(results[2], happened)
        return ended
