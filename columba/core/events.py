"""Events: facts with a stable id, written in the transaction that makes them true, with the deliveries they cause.

Message events have the number of their status as type; others begin at 100. `steps` adds events to a plan;
`Publisher.published` hands what was made to those who wait in memory (webhook lanes, the live stream).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from columba.core import status
from columba.core.model import Event, Message, message_of
from columba.store import Plan, Row, Step, statements

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
        Step(SQL["events"], rows, given=given, feed=feed),
        Step(SQL["their_deliveries"], rows, given=given, feed=feed),
        Step(SQL["keep_deliveries"], feed=at + 1),
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


class Anew:
    """Draws the event ids of a plan again, for a plan that could not be committed when they were drawn.

    Streams read events in the order of their ids: one that came late with an early id would be passed over.
    """

    def __init__(self, new_id: Callable[[], int], drawn: Iterable[int]) -> None:
        self.now = {an_id: an_id for an_id in drawn}
        self._new_id = new_id

    def __call__(self, a_plan: Plan) -> Plan:
        fresh = {an_id: self._new_id() for an_id in self.now.values()}
        self.now = {drawn: fresh[an_id] for drawn, an_id in self.now.items()}
        steps = [
            step._replace(rows=[tuple([fresh.get(v, v) if type(v) is int else v for v in row]) for row in step.rows])
            for step in a_plan.steps
        ]
        return a_plan._replace(steps=steps)

    def events(self, happened: dict[int, Event]) -> dict[int, Event]:
        """The events under the ids that they have in the end."""
        for drawn, event in happened.items():
            event.id = self.now[drawn]
        return {event.id: event for event in happened.values()}


Failure = tuple[int, str | None, str | None]
"""A message's id, its error and the carrier's code for it."""


class Publisher:
    """Tells, after the commit, what was made."""

    def __init__(self) -> None:
        self.on_deliveries: list[Callable[[list[tuple[int, Event]]], None]] = []
        self.on_events: list[Callable[[], None]] = []
        self.on_happened: list[Callable[[Mapping[int, Event]], None]] = []
        self.on_failures: list[Callable[[Sequence[Failure]], None]] = []
        self.reached: dict[str, int] = {}  # statuses that messages reached in this process

    def count(self, number: int, messages: int = 1) -> None:
        """So many messages reached a status."""
        if messages:
            name = status.NAMES[number]
            self.reached[name] = self.reached.get(name, 0) + messages

    def failed(self, failures: Sequence[Failure]) -> None:
        """These messages have ended badly, by a carrier's word."""
        if failures:
            for told in self.on_failures:
                told(failures)

    def published(self, made: Iterable[Row], events: dict[int, Event]) -> None:
        """`made` are rows of (event_id, endpoint_id, ...); `events` those that they are about."""
        pairs = [(int(row[1]), events[row[0]]) for row in made if row[0] in events]
        if pairs:
            for deliver in self.on_deliveries:
                deliver(pairs)
        for follow in self.on_happened:
            follow(events)
        for told in self.on_events:
            told()
