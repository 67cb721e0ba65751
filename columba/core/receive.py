"""`receive`: the only way in for receipts and inbound texts. Durable before the carrier is answered.

A receipt is matched to its part by the carrier's id; one that comes before its part is known waits in the store (72 h)
and is taken by the plan that settles the part. A status never goes backwards, so what comes twice or late does nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from typing import Any, Protocol

from columba.core import events, ids, inbound, status
from columba.core.contract import Carrier, Inbound, Receipt
from columba.core.gather import Gather
from columba.core.ids import Ids
from columba.core.inbound import Follower, Inbox, clean
from columba.core.model import Message
from columba.store import Results, Row, Step, Store, plan

SQL = events.SQL
INBOUND = inbound.SQL
PARKED_MS = 72 * 3_600_000
SWEPT_AT_ONCE = 500
REMATCH_MS = 600_000
MOST_REMATCHED = 2_000
OF_THE_NUMBER = ("unknown_number", "opted_out")  # errors that say nothing of the carrier


class _Told(asyncio.Future[None]):
    """Shared by those whose receipts are in one plan: one that is canceled must not cancel the others."""

    def cancel(self, msg: Any = None) -> bool:
        return False


class Aside(Protocol):
    """What stands beside, and knows what else may become of messages that did not arrive."""

    def receipts(self, carrier_id: int, delivered: int, undelivered: int) -> None:
        """What a carrier's receipts say of it."""
        ...

    def undelivered(self, message_ids: Iterable[int]) -> None:
        """Receipts say that these did not arrive, or a part of them; it may not be their end."""
        ...


class Receive:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        publisher: events.Publisher,
        followers: Sequence[Follower] = (),
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self.inbox = Inbox(store, new_id, clock, publisher, followers)
        self.aside: Aside | None = None
        self._gather: Gather[tuple[int, Receipt]] = Gather(store, self._flush)
        self._told: _Told | None = None
        self._recording: set[asyncio.Task[None]] = set()

    # Receipts

    def receipts(self, carrier: Carrier, receipts: Iterable[Receipt]) -> Awaitable[None]:
        """Record what a carrier says of parts. Durable when it returns; those of one moment share a plan."""
        told = self._told
        if told is None:
            told = self._told = _Told(loop=asyncio.get_running_loop())
        self._gather.add((carrier.id, each) for each in receipts)
        return told

    def _flush(self, gathered: list[tuple[int, Receipt]]) -> None:
        told, self._told = self._told, None
        if told is not None:
            task = asyncio.get_running_loop().create_task(self._record(gathered, told))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def _record(self, gathered: list[tuple[int, Receipt]], told: "_Told") -> None:
        try:
            if any(each.alternatives for _, each in gathered):
                gathered = await self._meant(gathered)
            rows = []
            for carrier_id, each in gathered:
                an_id, error, code = self._ids(), clean(each.error), clean(each.code)
                for name in (each.carrier_message_id, *each.alternatives):
                    rows.append((an_id, carrier_id, clean(name), each.status, error, code, each.at))
            results = await self._store.commit(
                plan(
                    Step(SQL["match_receipts"], rows),
                    Step(SQL["park_receipts"], rows, missing=0),
                    *_advance(match=0, first=2),
                )
            )
        except Exception as error:
            told.set_exception(error)
            told.exception()
            return
        self._published(results, 2, {row[0] for row in rows})
        if self.aside is not None:
            self._tell(self.aside, gathered, results[0], {row[0] for row in rows})
        told.set_result(None)

    def _tell(
        self, aside: Aside, gathered: Sequence[tuple[int, Receipt]], matched: Sequence[Row], mine: set[int]
    ) -> None:
        counts: dict[int, list[int]] = {}
        bad = False
        for carrier_id, each in gathered:
            if each.status == status.DELIVERED:
                counts.setdefault(carrier_id, [0, 0])[0] += 1
            elif each.status > status.DELIVERED:
                bad = True
                if each.error not in OF_THE_NUMBER:
                    counts.setdefault(carrier_id, [0, 0])[1] += 1
        for carrier_id, (delivered, undelivered) in counts.items():
            aside.receipts(carrier_id, delivered, undelivered)
        if bad:
            aside.undelivered(row[1] for row in matched if row[3] > status.DELIVERED and row[0] in mine)

    async def _meant(self, gathered: list[tuple[int, Receipt]]) -> list[tuple[int, Receipt]]:
        """Receipts that may mean several parts: the likeliest that there is. Where there is none yet, all stay possible."""
        asked = {
            (carrier_id, clean(name))
            for carrier_id, each in gathered
            if each.alternatives
            for name in (each.carrier_message_id, *each.alternatives)
        }
        known = set(await self._store.read(INBOUND["known_ids"], [*asked]))
        meant = []
        for carrier_id, each in gathered:
            if each.alternatives:
                names = (each.carrier_message_id, *each.alternatives)
                there = next((name for name in names if (carrier_id, clean(name)) in known), None)
                if there is not None:
                    each = each._replace(carrier_message_id=there, alternatives=())
            meant.append((carrier_id, each))
        return meant

    def parked_steps(self, after: int) -> tuple[Step, ...]:
        """For the plan that settles parts: what to do with the parked receipts that step `after` found."""
        return (
            Step(SQL["drop_parked"], feed=after),
            Step(SQL["match_receipts"], feed=after),
            *_advance(match=after + 2, first=after + 3),
        )

    def parked_published(self, results: Results, after: int, mine: Container[int]) -> None:
        if results[after]:
            self._published(results, after + 3, mine)
            if self.aside is not None:
                self.aside.undelivered(
                    row[1] for row in results[after + 2] if row[3] > status.DELIVERED and row[0] in mine
                )

    def _published(self, results: Results, first: int, mine: Container[int]) -> None:
        """Tell of what was made. Results may be shared with other callers: `mine` are the event ids of this one."""
        _, moved, _, _, made, _, payloads = results[first : first + 7]
        moved = [row for row in moved if row[1] in mine]
        if not moved:
            return
        for row in moved:
            self._publisher.count(row[4])
        self._publisher.failed([(row[0], row[8], row[9]) for row in moved if row[8] is not None])
        self._publisher.published(made, events.from_store(row for row in payloads if row[0] in mine))

    async def rematch(self) -> int:
        """Parked receipts whose part another process wrote down at the same moment: neither saw the other's."""
        since = ids.first_at(self._clock() - REMATCH_MS)
        known = set(await self._store.read(SQL["parked_known"], since=since, most=MOST_REMATCHED))
        if known:
            rows = [(0, self._ids(), carrier_id, an_id) for carrier_id, an_id in known]
            results = await self._store.commit(plan(Step(SQL["find_parked"], rows), *self.parked_steps(after=0)))
            self.parked_published(results, 0, {row[1] for row in rows})
        return len(known)

    async def sweep(self) -> None:
        """Parked receipts whose part never came to be known; parts of texts that were joined."""
        parked = Step(SQL["sweep_parked"], [(ids.first_at(self._clock() - PARKED_MS), SWEPT_AT_ONCE)])
        await self._store.commit(plan(self.inbox.sweep_step()))
        while True:
            gone = (await self._store.commit(plan(parked)))[0]
            if len(gone) < SWEPT_AT_ONCE:
                return
            await asyncio.sleep(0.02)

    # Texts

    @property
    def received(self) -> int:
        return self.inbox.received

    async def inbound(self, carrier: Carrier, texts: Iterable[Inbound], account_id: int | None = None) -> list[Message]:
        """Record texts from people, and parts of them. Returns once they are durable."""
        return await self.inbox.record(carrier, texts, account_id)


def _advance(match: int, first: int) -> tuple[Step, ...]:
    """Seven steps from the place `first` on: parts, what their messages become, events, deliveries, what those show."""
    return (
        Step(SQL["receipt_parts"], feed=match),
        Step(SQL["receipt_outcomes"], feed=match),
        Step(SQL["receipt_messages"], feed=first + 1),
        *events.steps((), first + 3, feed=first + 1),
        Step(SQL["delivered_events"], feed=first + 4),
    )
