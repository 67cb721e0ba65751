"""What flights have come to, as rows: the parts that a carrier took, the messages that moved or wait, what is told of it.

One transaction of a lane settles one of these. Messages learn their own state here; nothing else is touched.
"""

from pathlib import Path
from typing import Any

from columba.core import events, status
from columba.core.aside import Move
from columba.core.flight import EXPIRED, THROTTLED_COUNTS, Flight, Verdict
from columba.core.ids import Ids
from columba.core.inbound import clean
from columba.core.model import MESSAGE_REROUTED, Event, Message
from columba.store import Step, statements

CORE = events.SQL
SQL = statements(Path(__file__).with_name("sending.sql"))
MOVED = 2  # the place of the step that returns the messages that moved


class Settled:
    def __init__(self, lane_id: int, carrier_id: int, ids: Ids, now: int) -> None:
        self._lane_id = lane_id
        self._carrier_id = carrier_id
        self._ids = ids
        self._now = now
        self._parts: list[Any] = []
        self._later: list[Any] = []
        self._behind: list[Any] = []
        self._unmark: list[Any] = []
        self._recut: list[Any] = []
        self.moved: list[Any] = []
        self.landed: list[Any] = []  # carriers' ids, under which receipts may be parked
        self.made: list[Any] = []
        self.happened: dict[int, Event] = {}
        self.finished: list[Message] = []
        self.retried: list[tuple[Message, int]] = []
        self.sent: list[tuple[Message, list[int]]] = []
        self.going: list[tuple[Flight, Move, Event]] = []
        self.took = 0

    def goes_on(self, flight: Flight, move: Move) -> None:
        """With another carrier."""
        event = events.of_message(self._ids(), flight.message, MESSAGE_REROUTED, self._now)
        event.data = move.told
        self.happened[event.id] = event
        self.going.append((flight, move, event))
        if flight.marked:
            self._unmark.append((self._lane_id, flight.message.id))

    def add(self, flight: Flight, verdict: Verdict) -> None:
        message = flight.message
        if flight.whole:  # its parts have one id, one receipt and one fate
            flight.outcomes = [(n, each[1]) for each in flight.outcomes for n in range(1, message.segments + 1)]
        if flight.recut:
            self._recut.append((self._lane_id, message.id, message.encoding, message.segments))
        event_id = self._ids()  # before those of receipts that may have come already
        self._add_parts(flight, verdict)
        if verdict.status:
            self._moves(flight, verdict, event_id)
        else:
            self._waits(flight, verdict)

    def _add_parts(self, flight: Flight, verdict: Verdict) -> None:
        lane_id, carrier_id, now, message = self._lane_id, self._carrier_id, self._now, flight.message
        for n, outcome in flight.outcomes:
            code = outcome.code and clean(outcome.code)
            if outcome.kind == "sent" and n:
                self.took += 1
                an_id, written = clean(outcome.id), None
                if outcome.match is not None:
                    an_id, written = clean(outcome.match), an_id
                self._parts.append((lane_id, message.id, n, carrier_id, an_id, status.SENT, None, code, now, written))
                message.sent_parts = (*message.sent_parts, n)
                if an_id is not None and not (flight.whole and n > 1):
                    self.landed.append((lane_id, self._ids(), carrier_id, an_id))
            elif n and (verdict.status or outcome.kind == "unknown"):  # that it may be there is kept
                error = clean(outcome.error)
                become = verdict.status or status.QUEUED
                self._parts.append((lane_id, message.id, n, carrier_id, None, become, error, code, now, None))

    def _moves(self, flight: Flight, verdict: Verdict, event_id: int) -> None:
        message = flight.message
        if verdict.status == status.SENT:
            self.sent.append((message, [n for n, _ in flight.outcomes if n]))
        attempts = message.attempts + (1 if flight.left or flight.outcomes[0][1] is not EXPIRED else 0)
        self.moved.append(
            (
                self._lane_id, message.id, verdict.status, attempts, verdict.due_at, self._now, event_id,
                verdict.error and clean(verdict.error), verdict.code and clean(verdict.code),
            )
        )  # fmt: skip
        if not (verdict.status == status.SENT and message.extra.again):  # its owner knows it as sent
            event = events.of_message(event_id, message, verdict.status, self._now)
            self.made.append(events.row(event, message.callback))
            self.happened[event_id] = event
        message.attempts = attempts
        message.error, message.carrier_code = verdict.error, verdict.code
        self.finished.append(message)

    def _waits(self, flight: Flight, verdict: Verdict) -> None:
        """For another try."""
        lane_id, message = self._lane_id, flight.message
        kinds = {outcome.kind for _, outcome in flight.outcomes}
        if kinds - {"unsent", "sent", "throttled"}:
            message.attempts += 1
        elif "throttled" in kinds:
            message.attempts = max(message.attempts, min(message.attempts + 1, THROTTLED_COUNTS))
        self._later.append((lane_id, message.id, message.attempts, verdict.due_at))
        if message.to:
            self._behind.append((lane_id, message.id, message.to, message.klass, message.account_id, verdict.due_at))
        if flight.marked:
            self._unmark.append((lane_id, message.id))
        self.retried.append((message, verdict.due_at))

    def steps(self, fence: Step) -> list[Step]:
        """All but the events: what is held to the fence."""
        return [
            fence,
            Step(CORE["insert_parts"], self._parts, 0),
            Step(CORE["settle_messages"], self.moved, 0),
            Step(CORE["postpone_messages"], self._later, 0),
            Step(CORE["hold_back"], self._behind, 0),
            Step(SQL["unmark_parts"], self._unmark, 0),
            Step(SQL["recut_messages"], self._recut, 0),
        ]
