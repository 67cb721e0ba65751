"""A person's messages, and all that hangs on them: shown, and erased.

Erasing works in small batches, each one plan. What has not left is canceled first; what is on its way to the wire at that
moment is waited for. Other processes are told, and forget what they hold in memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from columba.core import ids, model, status
from columba.core.model import Json, Message, rfc3339
from columba.errors import Refusal
from columba.numbers.e164 import split
from columba.privacy.holding import Holding, Person
from columba.store import Row, Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("privacy.sql"))
AT_ONCE: Final = 400  # messages in a plan; their ids fit into one ring of the bell
CANCELED_AT_ONCE: Final = 16
WAIT_S: Final = 0.5  # for what is on its way to the wire
EVENTS_AT_ONCE: Final = 20_000
# When the answer of an Idempotency-Key may have been kept, counted from the id of its message or batch.
BEFORE_MS, AFTER_MS = 1_000, 60_000
LETTERS: Final = 13

Cancel = Callable[[Message], Any]
Forget = Callable[[int], None]


class People:
    """`parts` are those of all holdings; `forget` drops what memory has of a message."""

    def __init__(
        self, store: Store, cancel: Cancel, forget: Callable[[int], None], holdings: Callable[[], Sequence[Holding]]
    ) -> None:
        self._store = store
        self._cancel = cancel
        self._forget = forget
        self._holdings = holdings

    # Showing

    async def show(self, person: Person) -> AsyncIterator[Json]:
        """Every message to and from the person, with its parts, its events and where those were delivered."""
        for name in ("messages_to", "messages_from"):
            after = 0
            while rows := await self._page(name, person, after):
                after = rows[-1][0]
                wanted = [(row[0],) for row in rows]
                parts = _by_id(await self._store.read(SQL["parts_of"], wanted))
                told = await self._store.read(SQL["events_of"], wanted)
                delivered = _by_id(await self._store.read(SQL["deliveries_of"], [(row[1],) for row in told]))
                events = _by_id(told)
                for row in rows:
                    yield _shown(model.message_of(row), parts, events, delivered)

    async def _page(self, name: str, person: Person, after: int) -> list[Row]:
        return await self._store.read(
            SQL[name], number=person.number, after=after, account_id=person.account_id, mode=person.mode, most=AT_ONCE
        )

    # Erasing

    async def erase(self, person: Person) -> int | None:
        """Erase some; how many those were, None when none is left."""
        waits = False
        for name in ("messages_to", "messages_from"):
            after = 0
            while rows := await self._page(name, person, after):
                after = rows[-1][0]
                messages = []
                for row in rows:
                    message = model.message_of(row)
                    message.callback = row[20]
                    messages.append(message)
                gone = await self._erase(person, messages)
                if gone:
                    return gone
                waits = True
        if not waits:
            return None
        await asyncio.sleep(WAIT_S)  # what is left is on its way to the wire
        return 0

    async def _erase(self, person: Person, messages: Sequence[Message]) -> int:
        waiting = [each for each in messages if each.status in (status.SCHEDULED, status.QUEUED)]
        for start in range(0, len(waiting), CANCELED_AT_ONCE):
            some = waiting[start : start + CANCELED_AT_ONCE]
            await asyncio.gather(*(self._canceled(each) for each in some))
        rows = [(each.id,) for each in messages if each.status not in (status.SCHEDULED, status.QUEUED)]
        if not rows:
            return 0
        there = {row[0] for row in rows}
        tags = [
            (each.id, each.account_id, each.mode, tag)
            for each in messages
            if each.id in there
            for tag in each.extra.tags or ()
        ]
        hanging = [step for each in self._holdings() if each.parts is not None for step in each.parts([*there])]
        results = await self._store.commit(
            plan(
                *erasing(rows, tags, hanging),
                Step(SQL["blank_answers"], [_blank(each) for each in messages], given=0),
                Step(SQL["blank_in_answers"], _blanks(person, messages)),
            )
        )
        gone = {row[0] for row in results[0]} & there
        self._everywhere(gone)
        self._store.ring("erased:" + "".join(ids.show("", an_id)[1:] for an_id in gone))
        return len(gone)

    async def _canceled(self, message: Message) -> None:
        try:
            canceled = await self._cancel(message)
        except Refusal:  # it is leaving: the next round sees what became of it
            return
        message.status = canceled.status

    def _everywhere(self, gone: set[int]) -> None:
        for an_id in gone:
            self._forget(an_id)

    def heard(self, topic: str) -> None:
        """The bell rang: another process erased messages."""
        kind, _, letters = topic.partition(":")
        if kind == "erased":
            read = (ids.read("", f"_{letters[n : n + LETTERS]}") for n in range(0, len(letters), LETTERS))
            self._everywhere({an_id for an_id in read if an_id is not None})

    async def erase_rest(self, person: Person) -> int | None:
        """Erase what names the number without being a message: waiting parts of texts, receipts that fit nothing, events.
        None when nothing did."""
        pattern = f"%{person.number}%"
        written = (person.number, national(person.number), f"0{national(person.number)}")
        submitted = [(person.account_id, person.mode, f'%"to":"{each}"%') for each in written]
        await self._store.commit(
            plan(
                Step(SQL["erase_fragments"], [(person.number, person.account_id, person.mode)]),
                Step(SQL["erase_submitted_parts"], submitted),
                Step(SQL["erase_parked_codes"], [(person.account_id, person.mode, f"%{person.number[1:]}%")]),
            )
        )
        gone, after = 0, 0
        while True:
            ((upto, count),) = await self._store.read(
                SQL["events_until"], account_id=person.account_id, mode=person.mode, after=after, most=EVENTS_AT_ONCE
            )
            if not count:
                return gone or None
            rows = await self._store.read(
                SQL["events_naming"], account_id=person.account_id, mode=person.mode, after=after, upto=upto,
                pattern=pattern,
            )  # fmt: skip
            if rows:
                await self._store.commit(
                    plan(
                        Step(SQL["erase_attempts"], rows),
                        Step(SQL["erase_deliveries"], rows),
                        Step(SQL["erase_events"], rows),
                    )
                )
                gone += len(rows)
            after = upto


def national(number: str) -> str:
    """Without its country: how it may stand where a number was kept as it was written."""
    found = split(number)
    return found[1] if found else number


def erasing(rows: Sequence[Row], tags: Sequence[Row], hanging: Sequence[Step]) -> list[Step]:
    """For the beginning of a plan: messages go, and what hangs on them. The first step returns those that went."""
    return [
        Step(SQL["erase_messages"], rows),
        Step(SQL["events_to_erase"], rows, given=0),
        Step(SQL["erase_attempts"], feed=1),
        Step(SQL["erase_deliveries"], feed=1),
        Step(SQL["erase_events"], feed=1),
        *(step._replace(given=0) for step in hanging),
        Step(SQL["erase_bodies"], rows, given=0),
        Step(SQL["erase_tags"], tags, given=0),
        Step(SQL["erase_parts"], rows, given=0),
        Step(SQL["erase_past_parts"], rows, given=0),
    ]


def _by_id(rows: Sequence[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


def _shown(
    message: Message, parts: dict[int, list[Row]], told: dict[int, list[Row]], delivered: dict[int, list[Row]]
) -> Json:
    shown = model.view(message)
    shown["parts"] = [
        {
            "n": n,
            "carrier": ids.show("car", carrier_id),
            "carrier_message_id": carrier_message_id,
            "status": status.NAMES[part_status],
            "error": error,
            "sent_at": rfc3339(sent_at),
            "done_at": None if done_at is None else rfc3339(done_at),
        }
        for _, n, carrier_id, carrier_message_id, part_status, error, sent_at, done_at in parts.get(message.id, ())
    ]
    shown["events"] = [
        {"id": ids.show("evt", an_id), "type": model.TYPES.get(kind, "other"), "at": rfc3339(at)}
        for _, an_id, kind, at in told.get(message.id, ())
    ]
    shown["deliveries"] = [
        {
            "webhook": ids.show("whk", endpoint_id) if endpoint_id > 0 else None,
            "event": ids.show("evt", event_id),
            "delivered": state == 1,
            "at": rfc3339(at),
            "answer_status": answer_status,
        }
        for _, an_event, *_ in told.get(message.id, ())
        for event_id, endpoint_id, state, at, answer_status in delivered.get(an_event, ())
    ]
    return shown


def _blank(message: Message) -> Row:
    """What is answered instead, should the request with its Idempotency-Key come again."""
    made = ids.time_of(message.id)
    answer = msgspec.json.encode({"id": ids.show("msg", message.id), "erased": True}).decode()
    return (message.id, message.account_id, message.mode, made - BEFORE_MS, made + AFTER_MS, answer)


def _blanks(person: Person, messages: Sequence[Message]) -> list[Row]:
    batches = {each.batch_id for each in messages if each.batch_id is not None}
    number = msgspec.json.encode(person.number).decode()
    return [
        (
            an_id, person.account_id, person.mode, ids.time_of(an_id) - BEFORE_MS, ids.time_of(an_id) + AFTER_MS, number,
        )
        for an_id in batches
    ]  # fmt: skip
