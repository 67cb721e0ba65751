"""Held messages: a person says whether they go.

Approving one sets when it is due, which may be later still: at the time that was asked for, after quiet hours. Rejecting
ends it as `failed`, `not_approved`. Both are conditional in the store, so that two persons can't do both.
"""

from collections.abc import Callable, Sequence

import msgspec

from columba.content import SQL
from columba.core import events, model, status
from columba.core.ids import Ids
from columba.core.lanes import Lanes
from columba.core.model import HELD_MS, Message
from columba.errors import Refusal
from columba.store import Step, Store, plan


class Holding:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        lanes: Lanes,
        publisher: events.Publisher,
        gates: Sequence[Callable[[Message], Refusal | None]],
    ) -> None:
        """`gates` are asked again, for the moment at which it would go."""
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._lanes = lanes
        self._publisher = publisher
        self._gates = gates

    async def find(self, account_id: int, mode: int, an_ids: Sequence[int]) -> list[Message]:
        """Those of the account."""
        found = []
        for row in await self._store.read(events.SQL["messages_by_id"], [(an_id,) for an_id in an_ids]):
            message = model.message_of(row)
            if message.account_id == account_id and message.mode == mode:
                message.callback = row[20]
                found.append(message)
        return found

    async def approve(self, messages: Sequence[Message]) -> list[Message]:
        """Those that go now, or when it is their time."""
        now = self._clock()
        rows, extras = [], []
        for message in messages:
            if not held(message):
                continue
            valid_ms = message.expires_at - message.due_at
            message.due_at = max(now, message.extra.send_at or now)
            message.expires_at = message.due_at + valid_ms
            message.extra = msgspec.structs.replace(message.extra, waits_for=None)
            for gate in self._gates:
                gate(message)
            message.updated_at = now
            rows.append((message.id, HELD_MS, message.due_at, message.expires_at, now))
            extras.append((message.id, model.extra_text(message.extra)))
        if not rows:
            return []
        results = await self._store.commit(
            plan(Step(SQL["release_held"], rows), Step(SQL["set_extra"], extras, given=0))
        )
        released = {row[0] for row in results[0]}
        done = [message for message in messages if message.id in released]
        for message in done:
            self._lanes.due_later(message.lane, message.due_at)
        return done

    async def reject(self, messages: Sequence[Message]) -> list[Message]:
        """Those that never go."""
        now = self._clock()
        rows, made, happened = [], [], {}
        for message in messages:
            if held(message):
                event = events.of_message(self._ids(), message, status.FAILED, now)
                rows.append((message.id, HELD_MS, status.FAILED, now, event.id, "not_approved"))
                made.append(events.row(event, message.callback))
                happened[event.id] = event
        if not rows:
            return []
        results = await self._store.commit(plan(Step(SQL["reject_held"], rows), *events.steps(made, 1, given=0)))
        ended = {row[0] for row in results[0]}
        done = [message for message in messages if message.id in ended]
        for message in done:
            message.status, message.error, message.updated_at = status.FAILED, "not_approved", now
        self._publisher.count(status.FAILED, len(done))
        self._publisher.published(results[2], happened)
        return done


def held(message: Message) -> bool:
    return message.status == status.SCHEDULED and message.due_at >= HELD_MS
