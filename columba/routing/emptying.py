"""What waits on lanes that have no session and never will again: it moves to a lane that has, or fails.

A carrier that was given fewer lanes leaves some behind, a deleted one all. Such a lane still has one owner, who takes
from it what waits, fenced by the lane's epoch, in steps of `MOST`. Fails with StoreUnavailable; the next step goes on.
"""

from collections.abc import Callable, Mapping, Sequence

from columba.core import events, status
from columba.core.contract import Carrier
from columba.core.ids import Ids
from columba.core.lanes import Lane, Lanes
from columba.core.model import message_of
from columba.core.sending import CLOSED, Sending
from columba.routing.carriers import LANES, SQL
from columba.store import Row, Step, Store, plan

CORE = events.SQL
MOST = 1_000


class Emptying:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        publisher: events.Publisher,
        sending: Sending,
        carriers: Callable[[], Mapping[int, Carrier]],
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._sending = sending
        self._carriers = carriers

    async def step(self) -> int:
        """Empty the lanes that this process owns; how many messages it took from them."""
        lanes = self._sending.lanes_of
        if lanes is None:
            return 0
        taken = 0
        for lane in [lane for lane in lanes.owned.values() if lane.kind is self._sending]:
            carrier = self._carriers().get(lane.id & ~(LANES - 1))
            if carrier is None or lane.spec.revision != CLOSED:
                continue
            deleted = carrier.state == "deleted"
            while (deleted or lane.id - carrier.id >= carrier.lanes) and not lane.gone:
                rows = await self._store.read(SQL["pending"], lane=lane.id, most=MOST)
                if not rows:
                    break
                if not await (self._fail(lane, rows) if deleted else self._move(lanes, lane, carrier, rows)):
                    break
                taken += len(rows)
        return taken

    async def _move(self, lanes: Lanes, lane: Lane, carrier: Carrier, rows: Sequence[Row]) -> bool:
        moved = [(lane.id, an_id, carrier.lane_of(to)) for an_id, to in rows]
        results = await self._store.commit(
            plan(Step(CORE["fence"], [_fence(lane)]), Step(SQL["move_messages"], moved, given=0))
        )
        lane.drop(row[0] for row in rows)
        for new in {row[2] for row in moved}:
            if new in lanes.owned:
                lanes.look(lanes.owned[new])
            else:
                self._store.ring(f"lane:{new}")
        return any(row[0] == lane.id for row in results[0])

    async def _fail(self, lane: Lane, rows: Sequence[Row]) -> bool:
        now = self._clock()
        ended, made, happened = [], [], {}
        for row in await self._store.read(CORE["messages_by_id"], [(row[0],) for row in rows]):
            message = message_of(row)
            message.error = "carrier_unavailable"
            event = events.of_message(self._ids(), message, status.FAILED, now)
            ended.append(
                (
                    lane.id, message.id, status.FAILED, message.attempts, message.due_at, now, event.id,
                    message.error, None,
                )
            )  # fmt: skip
            made.append(events.row(event, row[20]))
            happened[event.id] = event
        results = await self._store.commit(
            plan(
                Step(CORE["fence"], [_fence(lane)]),
                Step(CORE["end_messages"], ended, given=0),
                *events.steps(made, 2, given=1),
            )
        )
        lane.drop(row[0] for row in rows)
        mine = {row[1] for row in ended}
        failed = sum(row[0] in mine for row in results[1])
        self._publisher.count(status.FAILED, failed)
        self._publisher.published(results[3], happened)
        return failed > 0


def _fence(lane: Lane) -> Row:
    return (lane.id, lane.epoch, lane.token)
