"""`receive`: the only way in for receipts and inbound texts. Durable before the carrier is answered.

A receipt is matched to its part by the carrier's id; one that comes before its part is known waits in the store (72 h)
and is taken by the plan that settles the part. A status never goes backwards, so what comes twice or late does nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from typing import Any, overload

from columba.core import events, ids, model, status
from columba.core.contract import Carrier, Inbound, Receipt
from columba.core.gather import Gather
from columba.core.ids import Ids
from columba.core.model import Extra, Message
from columba.numbers import NumberError, normalise
from columba.store import Results, Step, Store, plan
from columba.text import encoding_of, segments_of

SQL = events.SQL
PARKED_MS = 72 * 3_600_000
REMATCH_MS = 600_000
MOST_REMATCHED = 2_000

Follower = Callable[[Sequence[Message]], Sequence[Step]]


class _Told(asyncio.Future[None]):
    """Shared by those whose receipts are in one plan: one that is canceled must not cancel the others."""

    def cancel(self, msg: Any = None) -> bool:
        return False


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
        self._followers = followers
        self._gather: Gather[tuple[int, Receipt]] = Gather(store, self._flush)
        self._told: _Told | None = None
        self._recording: set[asyncio.Task[None]] = set()
        self.finals: dict[str, int] = {}
        self.received = 0

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
        rows = [
            (
                self._ids(),
                carrier_id,
                clean(each.carrier_message_id),
                each.status,
                clean(each.error),
                clean(each.code),
                each.at,
            )
            for carrier_id, each in gathered
        ]
        try:
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
        told.set_result(None)

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

    def _published(self, results: Results, first: int, mine: Container[int]) -> None:
        """Tell of what was made. Results may be shared with other callers: `mine` are the event ids of this one."""
        _, moved, _, _, made, _, payloads = results[first : first + 7]
        moved = [row for row in moved if row[1] in mine]
        if not moved:
            return
        for row in moved:
            name = status.NAMES[row[4]]
            self.finals[name] = self.finals.get(name, 0) + 1
        self._publisher.published(made, events.from_store(row for row in payloads if row[0] in mine))

    async def rematch(self) -> int:
        """Parked receipts whose part another process wrote down at the same moment: neither saw the other's."""
        since = ids.first_at(self._clock() - REMATCH_MS)
        known = await self._store.read(SQL["parked_known"], since=since, most=MOST_REMATCHED)
        if known:
            rows = [(0, self._ids(), carrier_id, an_id) for carrier_id, an_id in known]
            results = await self._store.commit(plan(Step(SQL["find_parked"], rows), *self.parked_steps(after=0)))
            self.parked_published(results, 0, {row[1] for row in rows})
        return len(known)

    async def sweep(self) -> None:
        """Parked receipts whose part never came to be known."""
        await self._store.commit(plan(Step(SQL["sweep_parked"], [(ids.first_at(self._clock() - PARKED_MS),)])))

    # Inbound

    async def inbound(self, carrier: Carrier, texts: Iterable[Inbound], account_id: int | None = None) -> list[Message]:
        """Record texts from people. Returns once they are durable; one that was recorded before is left out."""
        now = self._clock()
        account = carrier.account_id if account_id is None else account_id
        if account is None:
            raise ValueError("an inbound text needs an account")
        messages: list[Message] = []
        rows: list[Any] = []
        bodies: list[Any] = []
        made: list[Any] = []
        parts: list[Any] = []
        happened = {}
        for raw in texts:
            each = raw._replace(
                sender=clean(raw.sender), to=clean(raw.to), text=clean(raw.text), media=tuple(map(clean, raw.media)),
                carrier_message_id=clean(raw.carrier_message_id),
            )  # fmt: skip
            sender = _person(each.sender)
            extra = Extra(media=list(each.media)) if each.media else model.NO_EXTRA
            encoding = 0 if encoding_of(each.text) == "gsm7" else 1
            message = Message(
                self._ids(), account, carrier.mode, status.INBOUND, status.TRANSACTIONAL, carrier.id, each.to, sender,
                each.text, encoding, segments_of(each.text) if each.text else 1, status.RECEIVED, now, 0, now,
                extra=extra,
            )  # fmt: skip
            event = events.of_message(self._ids(), message, status.RECEIVED, now)
            messages.append(message)
            rows.append(
                (
                    message.id, message.id, account, carrier.mode, status.INBOUND, status.RECEIVED, message.klass,
                    carrier.id, message.to, message.sender, encoding, message.segments, now, 0, now, event.id,
                    None, None,
                )
            )  # fmt: skip
            bodies.append((message.id, message.text, model.extra_text(extra)))
            made.append(events.row(event))
            happened[event.id] = event
            if each.carrier_message_id is not None:
                parts.append(
                    (message.id, message.id, 1, carrier.id, each.carrier_message_id, status.RECEIVED, None, None, now)
                )
        results = await self._store.commit(
            plan(
                Step(SQL["insert_messages"], rows),
                Step(SQL["insert_bodies"], bodies, given=0),
                Step(SQL["insert_parts"], parts, given=0),
                *events.steps(made, 3, given=0),
                *(step for follow in self._followers for step in follow(messages)),
            )
        )
        self.received += len(results[0])
        self._publisher.published(results[4], happened)
        return messages


def _advance(match: int, first: int) -> tuple[Step, ...]:
    """Seven steps from the place `first` on: parts, what their messages become, events, deliveries, what those show."""
    return (
        Step(SQL["receipt_parts"], feed=match),
        Step(SQL["receipt_outcomes"], feed=match),
        Step(SQL["receipt_messages"], feed=first + 1),
        *events.steps((), first + 3, feed=first + 1),
        Step(SQL["delivered_events"], feed=first + 4),
    )


@overload
def clean(text: str) -> str: ...
@overload
def clean(text: None) -> None: ...
def clean(text: str | None) -> str | None:
    """What came from outside, as it can be stored: without NUL and lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _person(raw: str) -> str:
    """A number as we write it; what isn't one (a name, a short code) as it came."""
    try:
        return normalise(raw if raw.startswith("+") else "+" + raw)
    except NumberError:
        return raw
