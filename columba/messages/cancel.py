"""Canceling a message that has not left, whichever process may have it in its hands.

A scheduled message is only in the store. A queued one may be in the memory of the lane's owner, and then only that
process can tell whether it has left: here, the lane is asked; elsewhere, the bell is rung and the store watched for what
becomes of the message. A lane that nobody owns is held for the moment of the change. Fails with the Refusal
`not_cancelable` when the message has left, or when nobody could tell in time.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from columba.core import events, model, status
from columba.core.ids import Ids
from columba.core.lanes import SQL as LANES
from columba.core.lanes import Lane, Lanes
from columba.core.model import Message
from columba.core.sending import Sending
from columba.errors import Refusal
from columba.store import Plan, Step, Store, StoreUnavailable, plan, statements

SQL = statements(Path(__file__).with_name("messages.sql"))
PATIENCE_S: Final = 2.0
LOOK_S: Final = 0.02
RING_S: Final = 0.5

log = structlog.get_logger()


async def find(store: Store, account_id: int, mode: int, an_id: int) -> Message | None:
    """A message as the store has it."""
    rows = await store.read(SQL["message"], id=an_id, account_id=account_id, mode=mode)
    if not rows:
        return None
    message = model.message_of(rows[0])
    message.callback = rows[0][20]
    return message


class Canceling:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        lanes: Lanes,
        sending: Sending,
        publisher: events.Publisher,
        patience: float = PATIENCE_S,
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._lanes = lanes
        self._sending = sending
        self._publisher = publisher
        self._patience = patience
        self._loop = asyncio.get_running_loop()

    async def __call__(self, message: Message) -> Message:
        """The message, canceled."""
        deadline = self._loop.time() + self._patience
        ring_at = 0.0
        while message.status in (status.SCHEDULED, status.QUEUED) and not message.extra.again:
            lane = self._lanes.owned.get(message.lane)
            if message.status == status.SCHEDULED:
                ended = await self._end_scheduled(message)
            elif lane is not None:
                ended = await self._sending.finish(lane, message, status.CANCELED)
            else:
                ended = False
                if self._loop.time() >= ring_at:
                    ring_at = self._loop.time() + RING_S
                    self._store.ring(f"cancel:{message.lane}:{message.id}")
                    ended = await self._end_unowned(message)
            if ended:
                return message
            if self._loop.time() >= deadline:
                raise Refusal("not_cancelable", "It is on its way to the carrier.")
            await asyncio.sleep(LOOK_S)
            found = await find(self._store, message.account_id, message.mode, message.id)
            if found is None:
                raise Refusal("not_found", "There is no such message.")
            message = found
        if message.status == status.CANCELED and ring_at:  # by its owner, at our request
            return message
        shown = status.SENT if message.extra.again else message.status
        raise Refusal("not_cancelable", f"The message is {status.NAMES[shown]}.")

    async def _end_scheduled(self, message: Message) -> bool:
        now = self._clock()
        event = events.of_message(self._ids(), message, status.CANCELED, now)
        row = (message.id, status.CANCELED, now, event.id)
        made = [events.row(event, message.callback)]
        return await self._end(
            message, event, plan(Step(SQL["cancel_scheduled"], [row]), *events.steps(made, 1, given=0)), 0
        )

    async def _end_unowned(self, message: Message) -> bool:
        """Only if no living process owns its lane: by owning it, in the name of nobody who lives, for one transaction."""
        now = self._clock()
        nobody = f"canceling-{self._lanes.token}"
        event = events.of_message(self._ids(), message, status.CANCELED, now)
        row = (
            message.lane, message.id, status.CANCELED, message.attempts, message.due_at, now, event.id, None, None,
        )  # fmt: skip
        made = [events.row(event, message.callback)]
        return await self._end(
            message,
            event,
            plan(
                Step(LANES["claim_lanes"], [(message.lane, nobody, self._lanes.pace.lease_ms)]),
                Step(events.SQL["end_messages"], [row], given=0),
                *events.steps(made, 2, given=1),
                Step(LANES["release_lanes"], [(message.lane, nobody)], given=0),
            ),
            1,
        )

    async def _end(self, message: Message, event: model.Event, a_plan: Plan, ends: int) -> bool:
        results = await self._store.commit(a_plan)
        if not any(row[0] == message.id for row in results[ends]):
            return False
        message.status = status.CANCELED
        message.updated_at = event.at
        self._publisher.published(results[ends + 2], {event.id: event})
        return True

    # For other processes

    def heard(self, topic: str) -> None:
        """The bell rang: somebody wants a message canceled. Nothing is done if its lane is not ours."""
        kind, _, rest = topic.partition(":")
        lane_id, _, an_id = rest.partition(":")
        if kind == "cancel" and lane_id.isdecimal() and an_id.isdecimal():
            lane = self._lanes.owned.get(int(lane_id))
            if lane is not None:
                self._lanes.spawn(self._finish(lane, int(an_id)))

    async def _finish(self, lane: Lane, an_id: int) -> None:
        try:
            rows = await self._store.read(events.SQL["messages_by_id"], [(an_id,)])
            for row in rows:
                message = model.message_of(row)
                message.callback = row[20]
                if message.status == status.QUEUED and message.lane == lane.id:
                    await self._sending.finish(lane, message, status.CANCELED)
        except StoreUnavailable:
            log.info("cancel.store_unavailable")  # who asked is told that it could not be done
