"""Second routes: a message that a carrier took goes on to another when its receipt says failed, or never comes.

A route asks for it (`failover.on`). Then a failed receipt is not the end of a message: it stays `sent`, and comes here,
at once where this process has the receipt, else when its row in `second_routes` is due. It goes on only while it is valid,
within the route's bound on cost, to a carrier that has not had it, and never while any part of it has arrived; its parts
so far are kept in `past_parts`. Whoever takes the row decides, so no two processes send it twice. A receipt that comes
late for an earlier try still tells the truth. Fails with StoreUnavailable; a later step goes on.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from columba.core import events, ids, model, status
from columba.core.ids import Ids
from columba.core.model import MESSAGE_REROUTED, Event, Message, message_of
from columba.core.sending import Sending
from columba.routing.failover import LOOK_MS, Failover
from columba.routing.health import SQL, Healths
from columba.routing.router import Router, Taken
from columba.routing.rules import Failover as Asked
from columba.spend.budgets import Budgets
from columba.store import Row, Step, Store, StoreUnavailable, plan

CORE = events.SQL
MOST: Final = 500  # messages at once
WAIT_MS: Final = 5_000  # for another carrier that isn't well
LATE_MS: Final = 600_000  # for so long after it was parked a receipt of an earlier try is looked for

log = structlog.get_logger()


class _Part(NamedTuple):
    n: int
    status: int
    carrier_id: int
    error: str | None
    code: str | None


class _Going(NamedTuple):
    """A message that is sent again, and why."""

    message: Message
    taken: Taken
    reason: str
    was: _Part
    hop: int


class SecondRoutes:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        publisher: events.Publisher,
        sending: Sending,
        router: Router,
        healths: Healths,
        failover: Failover,
        budgets: Budgets,
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._sending = sending
        self._router = router
        self._healths = healths
        self._failover = failover
        self._budgets = budgets
        self._told: set[int] = set()
        self._working: asyncio.Task[None] | None = None
        self.sent_again = 0

    def receipts(self, carrier_id: int, delivered: int, undelivered: int) -> None:
        self._healths.receipts(carrier_id, delivered, undelivered)

    def undelivered(self, message_ids: Iterable[int]) -> None:
        """Receipts say that these did not arrive."""
        if not self._router.seconds:
            return
        self._told.update(message_ids)
        if self._told and self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._told:
                some = [self._told.pop() for _ in range(min(len(self._told), MOST))]
                try:
                    await self._consider(await self._store.read(SQL["seconds_of"], [(an_id,) for an_id in some]))
                except StoreUnavailable:
                    return  # they come when they are due
                except Exception:
                    log.exception("second_route.failed")
        finally:
            self._working = None

    async def step(self) -> None:
        """Those whose time has come."""
        while True:
            due = await self._store.read(SQL["due_seconds"], now=self._clock(), most=MOST)
            await self._consider(due)
            if len(due) < MOST:
                break
        if self._router.seconds:
            await self._late()

    # Decisions

    async def _consider(self, rows: Sequence[Row]) -> None:
        """`rows` are (message_id, due_at)."""
        if not rows:
            return
        now = self._clock()
        due: dict[int, int] = dict(rows)
        asked = [(an_id,) for an_id in due]
        parts: dict[int, list[_Part]] = {}
        for message_id, *part in await self._store.read(SQL["parts_so_far"], asked):
            parts.setdefault(message_id, []).append(_Part(*part))
        tried: dict[int, list[int]] = {}
        for message_id, _, carrier_id in await self._store.read(SQL["hops"], asked):
            tried.setdefault(message_id, []).append(carrier_id)
        spent: dict[int, int] = dict(await self._store.read(SQL["cost_so_far"], asked))
        going: list[_Going] = []
        over: list[tuple[Message, _Part]] = []
        drop: list[int] = []
        later: list[Row] = []
        for row in await self._store.read(CORE["messages_by_id"], asked):
            message = message_of(row)
            message.callback = row[20]
            those = parts.get(message.id, [])
            if message.status != status.SENT or not those:
                drop.append(message.id)
                continue
            rule = self._router.rule(message)
            how = rule.spec.failover if rule is not None else Asked()
            failed = [part for part in those if part.status > status.DELIVERED]
            all_told = len(those) >= message.segments and all(part.status >= status.DELIVERED for part in those)
            reason = _reason(message, those, how, due[message.id] <= now)
            before = {part.carrier_id for part in those} | set(tried.get(message.id, ()))
            taken = self._router.choose(message, before) if reason and message.expires_at > now else None
            if (
                isinstance(taken, Taken)
                and message.extra.redacted_at is None
                and self._failover.affordable(message, taken, spent.get(message.id, 0))
            ):
                if taken.carrier.state == "on" and self._router.well(taken.carrier.id):
                    hop = len(tried.get(message.id, ()))
                    going.append(_Going(message, taken, reason, failed[0] if failed else those[0], hop))
                else:
                    later.append((message.id, min(now + WAIT_MS, message.expires_at)))
            elif failed and (all_told or message.expires_at <= now):
                over.append((message, max(failed, key=lambda part: part.status)))
            elif message.expires_at <= now:
                drop.append(message.id)
            elif due[message.id] <= now:
                age = now - ids.time_of(message.id)
                later.append((message.id, min(now + max(LOOK_MS, age // 4), message.expires_at)))
        ways = {each.message.id: each.taken for each in going}
        paid = await self._budgets.afford(self._failover.costs([each.message for each in going], ways, spent))
        over += [
            (each.message, each.was) for each in going if each.message.id not in paid and each.was.status > status.SENT
        ]
        drop += [
            each.message.id for each in going if each.message.id not in paid and each.was.status == status.SENT
        ]  # fmt: skip
        await self._send_again([each for each in going if each.message.id in paid], now)
        await self._end(over, now)
        if drop or later:
            await self._store.commit(
                plan(Step(SQL["take_seconds"], [(an_id,) for an_id in drop]), Step(SQL["later_seconds"], later))
            )

    async def _send_again(self, going: Sequence[_Going], now: int) -> None:
        lanes = self._sending.lanes_of
        if not going or lanes is None:
            return
        rows, kept, extras, made = [], [], [], []
        happened: dict[int, Event] = {}
        for message, taken, reason, was, hop in going:
            message.lane, message.due_at, message.attempts = taken.carrier.lane_of(message.to), now, 0
            message.extra = msgspec.structs.replace(message.extra, again=(message.extra.again or 0) + 1)
            event = events.of_message(self._ids(), message, MESSAGE_REROUTED, now)
            event.data = self._failover.told(was.carrier_id, taken.carrier, reason, was.code)
            rows.append((message.id, message.id, message.lane, now))
            kept.append((message.id, hop))
            extras.append((message.id, model.extra_text(message.extra)))
            made.append(events.row(event, message.callback if (message.callback or 0) > 0 else None))
            happened[event.id] = event
        taken_ones = [(row[0],) for row in rows]
        results = await self._store.commit(
            plan(
                Step(SQL["take_seconds"], taken_ones),
                Step(SQL["send_again"], rows, given=0),
                Step(SQL["archive_parts"], kept, given=1),
                Step(SQL["drop_parts"], taken_ones, given=1),
                Step(SQL["set_extra"], extras, given=1),
                *events.steps(made, 5, given=1),
            )
        )
        there = {row[0] for row in results[1]}
        for message, *_ in going:
            if message.id in there:
                message.status = status.QUEUED
                self.sent_again += 1
                lanes.offer(message.lane, (message,))
        self._publisher.published(results[6], happened)

    async def _end(self, over: Sequence[tuple[Message, _Part]], now: int) -> None:
        """No other way: what the receipts said is how they end."""
        if not over:
            return
        rows, made, happened = [], [], {}
        for message, part in over:
            message.error, message.carrier_code = part.error, part.code
            event = events.of_message(self._ids(), message, part.status, now)
            rows.append(
                (
                    message.id, message.id, part.status, message.attempts, message.due_at, now, event.id, part.error,
                    part.code,
                )
            )  # fmt: skip
            made.append(events.row(event, message.callback))
            happened[event.id] = event
        results = await self._store.commit(
            plan(
                Step(SQL["take_seconds"], [row[:1] for row in rows]),
                Step(CORE["settle_messages"], rows, given=0),
                *events.steps(made, 2, given=1),
            )
        )
        there = {row[0] for row in results[1]}
        for row in rows:
            if row[1] in there:
                self._publisher.count(row[2])
        self._publisher.failed([(row[1], row[7], row[8]) for row in rows if row[7] is not None and row[1] in there])
        self._publisher.published(results[3], happened)

    # Receipts of earlier tries

    async def _late(self) -> None:
        now = self._clock()
        rows = await self._store.read(SQL["late_receipts"], since=ids.first_at(now - LATE_MS), most=MOST)
        if not rows:
            return
        lanes = self._sending.lanes_of
        told = {row[0]: row for row in rows}
        arrived = {row[1] for row in rows if row[4] == status.DELIVERED}
        waiting: set[int] = set()
        sent: list[Message] = []
        for row in await self._store.read(CORE["messages_by_id"], [(an_id,) for an_id in arrived]):
            message = message_of(row)
            message.callback = row[20]
            if message.segments > 1 and not await self._whole(message.id, message.segments, told.values()):
                continue
            if message.status == status.QUEUED:  # it goes no second time, if its lane's owner can help it
                lane = lanes.owned.get(message.lane) if lanes is not None else None
                if lane is None or not await self._sending.finish(lane, message, status.DELIVERED):
                    waiting.add(message.id)
            elif message.status in (status.SENT, status.UNKNOWN):
                sent.append(message)
        made, moved, happened = [], [], {}
        for message in sent:
            event = events.of_message(self._ids(), message, status.DELIVERED, now)
            moved.append(
                (message.id, message.id, status.DELIVERED, message.attempts, message.due_at, now, event.id, None, None)
            )
            made.append(events.row(event, message.callback))
            happened[event.id] = event
        settled = [row for row in told.values() if row[1] not in waiting]
        results = await self._store.commit(
            plan(
                Step(SQL["past_receipts"], [row[1:] for row in settled]),
                Step(SQL["drop_late"], [row[:1] for row in settled]),
                Step(CORE["settle_messages"], moved),
                *events.steps(made, 3, given=2),
            )
        )
        mine = {message.id for message in sent}
        self._publisher.count(status.DELIVERED, sum(row[0] in mine for row in results[2]))
        self._publisher.published(results[4], happened)

    async def _whole(self, message_id: int, segments: int, told: Iterable[Row]) -> bool:
        """Whether all parts of one try have arrived, with those that are told of now."""
        now = {(row[2], row[3]) for row in told if row[1] == message_id and row[4] == status.DELIVERED}
        by_hop: dict[int, set[int]] = {}
        for hop, n, part_status in await self._store.read(SQL["past_of"], id=message_id):
            if part_status == status.DELIVERED or (hop, n) in now:
                by_hop.setdefault(hop, set()).add(n)
        return any(len(those) >= segments for those in by_hop.values())


def _reason(message: Message, parts: Sequence[_Part], how: Asked, is_due: bool) -> str:
    """Why it is to be sent again, if it is. Never when a part has arrived: the person has it, or has half of it."""
    if any(part.status == status.DELIVERED for part in parts):
        return ""
    if "undelivered" in how.on and len(parts) >= message.segments and all(
        part.status > status.DELIVERED for part in parts
    ):  # fmt: skip
        return "undelivered"
    if is_due and "no_receipt" in how.on and message.klass != status.OTP:
        return "no_receipt"
    return ""
