"""Failover: a message that a carrier can't take goes on with the next of its route, and what waits for a dead one too.

`Failover` stands beside the sending (`Aside`): it hears how carriers do, writes what parts cost, and says where messages
go on. Only what has surely not left moves: the statement that moves it asks the store again. `step` empties the lanes of
carriers that are down. Fails with StoreUnavailable: then everything stays where it was, and is looked at again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from columba.core import events, ids, status
from columba.core.aside import SQL as ASIDE
from columba.core.aside import Move, Stranded
from columba.core.contract import Carrier
from columba.core.ids import Ids
from columba.core.lanes import Lane, Lanes
from columba.core.model import MESSAGE_REROUTED, Message, message_of
from columba.core.sending import CLOSED, Sending
from columba.errors import Refusal
from columba.routing.carriers import LANES
from columba.routing.health import SQL, Healths
from columba.routing.router import Router, Taken
from columba.spend.budgets import Budgets
from columba.spend.prices import SQL as SPEND
from columba.spend.prices import Prices
from columba.store import Row, Step, Store, plan

CORE = events.SQL
MOST: Final = 1_000  # messages that are moved at once
MOST_A_STEP: Final = 50_000
LOOK_MS: Final = 60_000  # when a message that may have a second route is looked at, if no receipt says so before
NOTHING: Final[Mapping[int, Any]] = {}

log = structlog.get_logger()


class Failover:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        publisher: events.Publisher,
        sending: Sending,
        carriers: Callable[[], Mapping[int, Carrier]],
        router: Router,
        healths: Healths,
        prices: Prices,
        budgets: Budgets,
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._sending = sending
        self._carriers = carriers
        self._router = router
        self._healths = healths
        self._prices = prices
        self._budgets = budgets
        self.moved = 0

    # Beside the sending

    def settled(self, carrier_id: int, taken: int, refused: int, heard: int) -> None:
        self._healths.settled(carrier_id, taken, refused, heard)

    def taken(self, lane_id: int, sent: Sequence[tuple[Message, list[int]]]) -> Sequence[Step]:
        steps = []
        carrier_id = lane_id & ~(LANES - 1)
        if not self._prices.empty:
            rows: list[Row] = []
            for message, parts in sent:
                price = self._prices.of(message, carrier_id)
                if price is not None:
                    currency = self._prices.currency(message.account_id, message.mode)
                    rows += [
                        (
                            lane_id, message.id, message.extra.again or 0, n, message.account_id, message.mode,
                            carrier_id, price, currency,
                        )
                        for n in parts
                    ]  # fmt: skip
            steps.append(Step(SPEND["insert_costs"], rows, given=0))
        if self._router.seconds:
            waits = [
                (message.id, due) for message, _ in sent if (due := self._second_due(message)) is not None
            ]  # fmt: skip
            steps.append(Step(SQL["insert_seconds"], waits, given=2))
        return steps

    def _second_due(self, message: Message) -> int | None:
        """When it is looked at whether a message needs its second route, at the latest."""
        rule = self._router.rule(message)
        if rule is None or not rule.spec.failover.on:
            return None
        failover = rule.spec.failover
        if "no_receipt" in failover.on and failover.after is not None and message.klass != status.OTP:
            return min(self._clock() + failover.after * 1000, message.expires_at)
        return min(self._clock() + LOOK_MS, message.expires_at)

    async def elsewhere(self, carrier_id: int, stranded: Sequence[Stranded]) -> Mapping[int, Move]:
        messages = [each.message for each in stranded]
        if not self._ways(messages, carrier_id):
            return {}
        tried = await self._tried(messages)
        spent = await self._spent(messages)
        ways = self._ways(messages, carrier_id, tried, spent)
        paid = await self._paid(messages, ways, spent)
        why = {each.message.id: each.outcome for each in stranded}
        moves = {
            an_id: Move(
                ways[an_id].carrier.lane_of(message.to),
                len(tried.get(an_id, ())),
                self.told(carrier_id, ways[an_id].carrier, why[an_id].error, why[an_id].code),
            )
            for message in messages
            if (an_id := message.id) in paid
        }
        self.moved += len(moves)
        return moves

    def _ways(
        self,
        messages: Sequence[Message],
        carrier_id: int,
        tried: Mapping[int, Sequence[int]] = NOTHING,
        spent: Mapping[int, int] = NOTHING,
    ) -> dict[int, Taken]:
        """Where messages may go on at once: to a carrier of their route that is well and has not had them."""
        found = {}
        for message in messages:
            rule = self._router.rule(message)
            if rule is None or not rule.spec.failover.submit:
                continue
            taken = self.next_way(message, {carrier_id, *tried.get(message.id, ())})
            if taken is not None and self.affordable(message, taken, spent.get(message.id, 0)):
                found[message.id] = taken
        return found

    async def _paid(self, messages: Sequence[Message], ways: Mapping[int, Taken], spent: Mapping[int, int]) -> set[int]:
        """Those for whose way there is the money."""
        return await self._budgets.afford(self.costs([each for each in messages if each.id in ways], ways, spent))

    async def _spent(self, messages: Sequence[Message]) -> dict[int, int]:
        """What messages have cost so far: those that a carrier has taken before."""
        asked = [(message.id,) for message in messages if message.extra.again]
        return dict(await self._store.read(SQL["cost_so_far"], asked)) if asked else {}

    def next_way(self, message: Message, tried: set[int]) -> Taken | None:
        taken = self._router.choose(message, tried)
        if isinstance(taken, Refusal) or taken.carrier.state != "on" or not self._router.well(taken.carrier.id):
            return None
        return taken

    def affordable(self, message: Message, taken: Taken, spent: int) -> bool:
        """Within the bound that the route sets for all tries together."""
        most = taken.rule.spec.failover.max_cost if taken.rule is not None else None
        if most is None:
            return True
        price = self._prices.of(message, taken.carrier.id)
        return price is not None and spent + price * message.segments <= most

    def costs(
        self, messages: Sequence[Message], ways: Mapping[int, Taken], spent: Mapping[int, int] = NOTHING
    ) -> dict[int, int]:
        """What messages are to cost in the end, as far as their account's spend is bounded; those that nobody knows the
        price of are left out, unless that is allowed."""
        found = {}
        for message in messages:
            budget = self._budgets.limited(message)
            price = self._prices.of(message, ways[message.id].carrier.id) if budget is not None else 0
            if price is not None or (budget is not None and budget.unpriced == "pass"):
                found[message.id] = spent.get(message.id, 0) + (price or 0) * message.segments
        return found

    async def _tried(self, messages: Sequence[Message]) -> dict[int, list[int]]:
        """The carriers that messages have behind them."""
        found: dict[int, list[int]] = {}
        for message_id, _, carrier_id in await self._store.read(SQL["hops"], [(message.id,) for message in messages]):
            found.setdefault(message_id, []).append(carrier_id)
        return found

    def told(self, was: int, carrier: Carrier, error: str | None, code: str | None) -> dict[str, Any]:
        """What the event says of a move."""
        return {
            "reroute": {
                "from_carrier": ids.show("car", was),
                "to_carrier": ids.show("car", carrier.id),
                "reason": error,
                "carrier_code": code,
            }
        }

    # What waits for a carrier that is dead

    async def step(self) -> int:
        """Move what can go elsewhere from the lanes of this process whose carriers are down; how many messages."""
        lanes = self._sending.lanes_of
        moved = 0
        for lane in [] if lanes is None else [lane for lane in lanes.owned.values() if lane.kind is self._sending]:
            carrier = self._carriers().get(lane.id & ~(LANES - 1))
            if (
                lanes is not None
                and carrier is not None
                and carrier.state == "on"
                and lane.spec.revision != CLOSED
                and self._router.dead(carrier.id)
                and self._router.has_routes(carrier)
            ):
                moved += await self._empty(lanes, lane, carrier)
        return moved

    async def _empty(self, lanes: Lanes, lane: Lane, carrier: Carrier) -> int:
        moved = looked = 0
        last: Row = (-1, -1, -1, -1)
        while looked < MOST_A_STEP and not lane.gone and self._router.dead(carrier.id):
            rows = await self._store.read(
                SQL["movable"], lane=lane.id, klass=last[0], account_id=last[1], due_at=last[2], last_id=last[3],
                most=MOST,
            )  # fmt: skip
            if not rows:
                break
            last = rows[-1]
            looked += len(rows)
            messages = []
            for row in await self._store.read(CORE["messages_by_id"], [(row[3],) for row in rows]):
                message = message_of(row)
                message.callback = row[20]
                messages.append(message)
            moved += await self._move(lanes, lane, carrier, messages)
        if moved:
            log.warning("carrier.emptied", carrier=carrier.name, moved=moved)
        return moved

    async def _move(self, lanes: Lanes, lane: Lane, carrier: Carrier, messages: Sequence[Message]) -> int:
        tried, spent = await self._tried(messages), await self._spent(messages)
        ways = self._ways(messages, carrier.id, tried, spent)
        if left := [message for message in messages if message.id not in ways and message.id in tried]:
            ways |= self._ways(left, carrier.id, spent=spent)  # rather to one that had it before than to none
        paid = await self._paid(messages, ways, spent)
        going = sorted((each for each in messages if each.id in ways and each.id in paid), key=lambda each: each.id)
        if not going:
            return 0
        now = self._clock()
        why = self._healths.of(carrier.id).why or None
        seized = lane.seize(message.id for message in going)
        rows, made, happened = [], [], {}
        there: set[int] = set()
        try:
            for message in going:
                if message.id not in seized:
                    continue
                to = ways[message.id].carrier
                due_at = now if message.attempts else message.due_at
                event = events.of_message(self._ids(), message, MESSAGE_REROUTED, now)
                event.data = self.told(carrier.id, to, "carrier_unavailable", why)
                rows.append((lane.id, message.id, to.lane_of(message.to), due_at))
                made.append(events.row(event, message.callback if (message.callback or 0) > 0 else None))
                happened[event.id] = event
            results = await self._store.commit(
                plan(
                    Step(CORE["fence"], [(lane.id, lane.epoch, lane.token)]),
                    Step(ASIDE["reroute_messages"], rows, given=0),
                    *events.steps(made, 2, given=1),
                )
            )
            there = {row[0] for row in results[1]}
        finally:
            for an_id in seized:
                lane.let_go(an_id)
            if len(there) < len(seized):
                lane.poke()
        by_lane: dict[int, list[Message]] = {}
        places = {row[1]: (row[2], row[3]) for row in rows}
        for message in going:
            if message.id in there and message.id in places:
                message.lane, message.due_at = places[message.id]
                message.attempts = 0
                by_lane.setdefault(message.lane, []).append(message)
        for lane_id, those in by_lane.items():
            due = [message for message in those if message.due_at <= now]
            if due:
                lanes.offer(lane_id, due)
            for message in those:
                if message.due_at > now:
                    lanes.due_later(lane_id, message.due_at)
        self._publisher.published(results[3], happened)
        count = sum(map(len, by_lane.values()))
        self.moved += count
        return count
