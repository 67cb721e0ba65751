"""Events: facts with a stable id, written in the transaction that makes them true, with the deliveries they cause.

Message events have the number of their status as type; others begin at 100. `steps` adds events to a plan;
`Publisher.published` hands what was made to those who wait in memory (webhook lanes, the live stream).
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from columba.core import status
from columba.core.model import Event, Message, message_of
from columba.store import Row, Step, statements

SQL = statements(Path(__file__).with_name("core.sql"))

_encode = msgspec.json.Encoder().encode


def row(event: Event, callback: int | None = None) -> Row:
    """Its row in a plan: the first column is what it is about."""
    data = None if event.data is None else _encode(event.data).decode()
    return (event.subject, event.id, event.account_id, event.mode, event.type, event.at, data, callback)


def steps(
    rows: Sequence[Row], at: int, *, given: int | None = None, feed: int | None = None
) -> tuple[Step, Step, Step]:
    """Write events and their deliveries; `at` is the place of the first step in the plan.

    The second step, at + 1, gives (event_id, endpoint_id, at) of the deliveries.
    """
    return (
        Step(SQL["insert_events"], rows, given=given, feed=feed),
        Step(SQL["find_deliveries"], rows, given=given, feed=feed),
        Step(SQL["insert_deliveries"], feed=at + 1),
    )


def of_message(event_id: int, message: Message, kind: int, at: int) -> Event:
    return Event(event_id, message.account_id, message.mode, kind, message.id, at, None, message)


def from_store(rows: Iterable[Row]) -> dict[int, Event]:
    """Events with their messages, from rows of `delivered_events`."""
    found = {}
    for each in rows:
        message = message_of(each[4:])
        found[int(each[0])] = Event(
            each[0], message.account_id, message.mode, each[1], message.id, each[2], _data(each[3]), message
        )
    return found


def _data(text: Any) -> Any:
    return None if text is None else msgspec.json.decode(text)


class Publisher:
    """Tells, after the commit, what was made."""

    def __init__(self) -> None:
        self.on_deliveries: list[Callable[[list[tuple[int, Event]]], None]] = []
        self.on_events: list[Callable[[], None]] = []
        self.reached: dict[str, int] = {}  # statuses that messages reached in this process

    def count(self, number: int, messages: int = 1) -> None:
        """So many messages reached a status."""
        if messages:
            name = status.NAMES[number]
            self.reached[name] = self.reached.get(name, 0) + messages

    def published(self, made: Iterable[Row], events: dict[int, Event]) -> None:
        """`made` are rows of (event_id, endpoint_id, ...); `events` those that they are about."""
        pairs = [(int(row[1]), events[row[0]]) for row in made if row[0] in events]
        if pairs:
            for deliver in self.on_deliveries:
                deliver(pairs)
        for told in self.on_events:
            told()
