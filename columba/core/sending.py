"""Sending parts: the job kind that carries messages to carriers and settles what became of them.

Owns the sessions of the lanes that this process owns. A message is one job; its parts go out together, and only those
that the carrier has not taken go again. Outcomes gather for one turn of the loop and are settled in one plan, fenced by
the lane's epoch. Fails by waiting: while the store can't be written, outcomes stay in memory (bounded by the lane) and
the lane stops.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from columba.core import events, status
from columba.core.aside import Aside, Move, Try, reroute_steps, seen_of
from columba.core.contract import Air, Carrier, Outcome, Part, Session, Web, anywhere
from columba.core.flight import EXPIRED, Attach, Flight, Verdict, as_they_are, judge, parts_of, spread, worst_of
from columba.core.gather import Gather
from columba.core.ids import Ids
from columba.core.lanes import Backlog, Lane, Lanes, Spec
from columba.core.model import Event, Message, message_of
from columba.core.settled import MOVED, SQL, Settled
from columba.store import Row, Step, Store, StoreUnavailable, plan

CORE = events.SQL

CLOSED = -1  # the revision of a lane without a session: what waits on it can only expire, end or move
CLOSE_S = 10.0
MOST_EXPIRED = 2_000  # at once

# A last look at a message before it goes to the wire, from memory: `failed` ends it, `unsent` puts it off for `wait_ms`.
Look = Callable[[Message], Outcome | None]

log = structlog.get_logger()


class LaneState(msgspec.Struct):
    """How the session of a lane is doing: `up`, or why not, since when; and the last thing that went wrong."""

    up: bool
    why: str
    since: int
    error: str | None = None
    code: str | None = None
    error_at: int | None = None


class Sending:
    name = "send"

    def __init__(
        self,
        store: Store,
        ids: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        carriers: Callable[[], Mapping[int, Carrier]],
        connect: Callable[[Carrier, int, Air], Session],
        receive: Any,
        publisher: events.Publisher,
        reach: Callable[[str], Awaitable[str]] = anywhere,
        looks: Sequence[Look] = (),
        web: Web | None = None,
    ) -> None:
        self._reach = reach
        self._web = web
        self._looks = looks
        self.lanes_of: Lanes | None = None
        self.attach: Attach = as_they_are
        self.aside: Aside | None = None
        self.registered: Callable[[Message], Mapping[str, str] | None] | None = None
        self._store = store
        self._ids = ids
        self._clock = clock
        self._random = random
        self._carriers = carriers
        self._connect = connect
        self._receive = receive
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[int, Session] = {}
        self._carrier_of: dict[int, Carrier] = {}
        self._down: Gather[tuple[Lane, Flight]] = Gather(store, self._flush)
        self._closing: dict[int, asyncio.Task[None]] = {}
        self.states: dict[int, LaneState] = {}

    # What the lanes ask

    def lanes(self) -> Mapping[int, Spec]:
        return {
            carrier.id + n: _spec(carrier, n)
            for carrier in self._carriers().values()
            for n in range(max(carrier.lanes, carrier.most_lanes))
        }

    def opened(self, lane: Lane) -> None:
        lane.ready = False
        closing = self._closing.get(lane.id)
        if closing is None:
            self._open(lane)
        else:  # the other side may allow one session at a time
            closing.add_done_callback(lambda _: self._open(lane))

    def _open(self, lane: Lane) -> None:
        carrier = self._carriers().get(lane.id & ~63)
        if lane.gone or carrier is None:
            return
        self._carrier_of[lane.id] = carrier
        if lane.spec.revision == CLOSED:
            return
        state = self.states[lane.id] = LaneState(False, "", self._clock())

        def ready(up: bool, why: str) -> None:
            if (state.up, state.why) != (up, why):
                state.up, state.why, state.since = up, why, self._clock()
            lane.ready = up
            if up:
                lane.wake()

        air = Air(
            lambda receipts: self._receive.receipts(carrier, receipts),
            lambda texts: self._receive.inbound(carrier, texts),
            ready,
            lambda since: self.unresolved(lane.id, since),
            self._clock,
            self._random,
            self._reach,
            self._web,
        )
        try:
            self._sessions[lane.id] = self._connect(carrier, lane.id - carrier.id, air)
        except Exception as error:
            log.exception("carrier.connect_raised", carrier=carrier.name, lane=lane.id)
            ready(False, f"The session could not be opened: {type(error).__name__}.")

    def closed(self, lane: Lane) -> None:
        session = self._sessions.pop(lane.id, None)
        self._carrier_of.pop(lane.id, None)
        self.states.pop(lane.id, None)
        if session is not None:
            task = self._closing[lane.id] = self._loop.create_task(self._close(session))
            task.add_done_callback(lambda _: self._closing.pop(lane.id, None))

    async def _close(self, session: Session) -> None:
        try:
            await asyncio.wait_for(session.close(), CLOSE_S)
        except Exception:
            log.exception("carrier.close_raised")

    def session(self, lane_id: int) -> Session | None:
        """The session of a lane of this process."""
        return self._sessions.get(lane_id)

    async def stop(self) -> None:
        """Wait for the sessions that are being closed."""
        await asyncio.gather(*self._closing.values())

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        rows = await self._store.read(SQL["message_backlog"], [(lane,) for lane in lanes], now=self._clock())
        return [Backlog(*row) for row in rows]

    async def refill(self, lane: int, klass: int, account_id: int, most: int, held: Sequence[Row]) -> Sequence[Message]:
        now = self._clock()
        rows = await self._store.read(
            SQL["due_messages"], held, lane=lane, account_id=account_id, now=now, most=most, klass=klass
        )
        messages = []
        for row in rows:
            message = message_of(row)
            message.callback = row[20]
            messages.append(message)
        scheduled = [message for message in messages if message.status == status.SCHEDULED]
        if scheduled:
            await self._release(scheduled, now)
            messages = [message for message in messages if message.status == status.QUEUED]
        carrier = self._carrier_of.get(lane)
        known = [m for m in messages if m.segments > 1 or self._marks(m, carrier)]
        if known:
            by_id = {message.id: message for message in known}
            for message_id, n, part_status in await self._store.read(SQL["parts_of"], [(m.id,) for m in known]):
                message = by_id[message_id]
                if part_status >= status.SENT:
                    message.sent_parts = (*message.sent_parts, n)
                elif self._marks(message, carrier):
                    message.maybe_sent = True
        return messages

    async def _release(self, messages: Sequence[Message], now: int) -> None:
        rows, made, happened = [], [], {}
        for message in messages:
            event = events.of_message(self._ids(), message, status.QUEUED, now)
            rows.append((message.id, now, event.id))
            made.append(events.row(event, message.callback))
            happened[event.id] = event
        results = await self._store.commit(plan(Step(SQL["release"], rows), *events.steps(made, 1, given=0)))
        released = {row[0] for row in results[0]}
        for message in messages:
            if message.id in released:
                message.status, message.updated_at = status.QUEUED, now
        self._publisher.published(results[2], happened)

    async def postpone(self, lane: Lane, jobs: Sequence[Message], until: int) -> None:
        rows = [(lane.id, job.id, job.attempts, until) for job in jobs]
        await self._store.commit(plan(Step(CORE["fence"], [_fence(lane)]), Step(CORE["postpone_messages"], rows, 0)))

    # Out

    @staticmethod
    def _marks(message: Message, carrier: Carrier | None) -> bool:
        """Is it noted before it goes to the wire, so that it never goes twice?"""
        return message.klass == status.OTP or (carrier is not None and carrier.on_unknown == "unknown")

    def dispatch(self, lane: Lane, jobs: list[Message]) -> None:
        now = self._clock()
        carrier = self._carrier_of[lane.id]
        parts: list[Part] = []
        to_mark: list[Part] = []
        for message in jobs:
            flight = Flight(message)
            if message.expires_at and message.expires_at <= now:
                flight.outcomes.append((0, EXPIRED))
                self._land(lane, flight)
            elif message.maybe_sent:  # marked by a process that died: nobody knows whether it went
                flight.outcomes.append((0, Outcome("unknown", None, "no_answer")))
                flight.marked = True
                self._land(lane, flight)
            elif self._looks and (stopped := self._look(message)) is not None:
                flight.outcomes.append((0, stopped))
                flight.stopped = True
                self._land(lane, flight)
            else:
                registration = None if self.registered is None else self.registered(message)
                those = parts_of(flight, carrier, self.attach, registration)
                if not those:
                    if not flight.outcomes:  # all of it had gone already; else this carrier can't take it
                        flight.outcomes = [(0, Outcome("sent"))]
                    self._land(lane, flight)
                elif self._marks(message, carrier):
                    flight.marked = True
                    to_mark += those
                else:
                    parts += those
        session = self._sessions[lane.id]

        def done(part: Part, outcome: Outcome) -> None:
            if outcome.kind == "throttled" and not outcome.alone:
                lane.slow()  # now: by the time that it is settled there would be more of them
            flight = part.flight
            if outcome.parts:
                spread(flight, outcome.parts)
            else:
                flight.outcomes.append((part.n, outcome))
            flight.left -= 1
            if not flight.left:
                self._land(lane, flight)

        if parts:
            self._hand_over(session, parts, done)
        if to_mark:
            lane._lanes.spawn(self._mark_then_send(lane, carrier.id, session, to_mark, done))

    def _look(self, message: Message) -> Outcome | None:
        for look in self._looks:
            outcome = look(message)
            if outcome is not None:
                return outcome
        return None

    @staticmethod
    def _hand_over(session: Session, parts: list[Part], done: Callable[[Part, Outcome], None]) -> None:
        try:
            session.send(parts, done)
        except Exception:
            log.exception("carrier.send_raised")
            for part in parts:
                if not any(n == part.n for n, _ in part.flight.outcomes):
                    done(part, Outcome("unknown", None, "carrier_failed"))

    async def _mark_then_send(
        self,
        lane: Lane,
        carrier_id: int,
        session: Session,
        parts: list[Part],
        done: Callable[[Part, Outcome], None],
    ) -> None:
        now = self._clock()
        rows = [
            (lane.id, part.message_id, part.n, carrier_id, None, status.QUEUED, None, None, now, None) for part in parts
        ]
        marked = False
        try:
            results = await self._store.commit(
                plan(Step(CORE["fence"], [_fence(lane)]), Step(CORE["insert_parts"], rows, 0))
            )
            marked = lane.is_ours(results[0])
        except StoreUnavailable:
            pass
        except Exception:
            log.exception("mark.failed", lane=lane.id)
        # The commit may have taken its time.
        marked = marked and not lane.gone and lane.ready and self._loop.time() < lane._lanes.valid_until
        now = self._clock()
        going: list[Part] = []
        for part in parts:
            if part.expires_at and part.expires_at <= now:
                done(part, EXPIRED)
            elif marked and self._looks and (stopped := self._look(part.flight.message)) is not None:
                part.flight.stopped = True
                done(part, stopped)
            elif marked:
                going.append(part)
            else:
                done(part, Outcome("unsent"))
        if going:
            self._hand_over(session, going, done)

    # Back

    def _land(self, lane: Lane, flight: Flight) -> None:
        if lane.gone:
            return
        for _, outcome in flight.outcomes:
            if outcome.kind != "sent":
                lane.hold(flight.message)
                break
        lane.landed(flight.cost)
        self._down.add(((lane, flight),))

    def _flush(self, down: list[tuple[Lane, Flight]]) -> None:
        by_lane: dict[Lane, list[Flight]] = {}
        for lane, flight in down:
            by_lane.setdefault(lane, []).append(flight)
        for lane, flights in by_lane.items():
            if not lane.gone:
                lane._lanes.spawn(self._settle(lane, flights))

    def _note(self, lane: Lane, flight: Flight, worst: Outcome, now: int) -> None:
        """The last thing that went wrong with a session, if it had the message. Providers may repeat the number in what
        they say: of a session it is nobody's."""
        state = self.states.get(lane.id)
        if state is not None and worst.kind != "unsent" and worst is not EXPIRED and flight.outcomes[0][0]:
            code = worst.code and worst.code.replace(flight.message.to.lstrip("+"), "...")
            state.error, state.code, state.error_at = worst.error, code, now

    async def _settle(self, lane: Lane, flights: list[Flight]) -> None:
        now = self._clock()
        carrier_id = lane.id & ~63
        verdicts = []
        for flight in flights:
            worst = worst_of(flight)
            if worst is not None:
                self._note(lane, flight, worst, now)
            verdicts.append(judge(flight, worst, now, 0.0 if worst is None else self._random()))
        moves = await self._elsewhere(carrier_id, flights, verdicts)
        settled = Settled(lane.id, carrier_id, self._ids, now)
        for flight, verdict in zip(flights, verdicts, strict=True):
            move = moves.get(flight.message.id)
            if move is None:
                settled.add(flight, verdict)
            else:
                settled.goes_on(flight, move)
        if settled.took:
            lane.fine(settled.took)
        steps = settled.steps(Step(CORE["fence"], [_fence(lane)]))
        if settled.sent and self.aside is not None:
            steps += self.aside.taken(lane.id, settled.sent)
        told = len(steps)
        steps += events.steps(settled.made, told, given=MOVED)
        # Receipts that came before the id did.
        steps += (Step(CORE["find_parked"], settled.landed, 0), *self._receive.parked_steps(after=told + 3))
        left = len(steps)
        going = settled.going
        if going:
            tries = [Try(flight.message, move, event, flight.outcomes) for flight, move, event in going]
            steps += reroute_steps(lane.id, tries, now, left)
        anew = events.Anew(self._ids, (*settled.happened, *(row[1] for row in settled.landed)))
        results = await lane.settle(plan(*steps), anew)
        if results is None or not lane.is_ours(results[0]):
            return
        self._ended(flights, settled, {row[0] for row in results[MOVED]})
        lane.settled(settled.finished)
        for message, due_at in settled.retried:
            lane.retry(message, due_at)
        published = anew.events(settled.happened)
        self._publisher.published(results[told + 1], published)
        self._receive.parked_published(results, told + 3, {anew.now[row[1]] for row in settled.landed})
        if going:
            self._publisher.published(results[left + 3], published)
            self._gone(lane, going, {row[0] for row in results[left]}, now)

    def _ended(self, flights: Sequence[Flight], settled: Settled, there: Container[int]) -> None:
        """Count those that moved, and tell of those that failed."""
        bad = []
        for row in settled.moved:
            if row[1] in there:
                self._publisher.count(row[2])
                if row[7] is not None:
                    bad.append((row[1], row[7], row[8]))
        if bad:
            ours = {flight.message.id for flight in flights if flight.stopped}
            self._publisher.failed([each for each in bad if each[0] not in ours])

    async def _elsewhere(
        self, carrier_id: int, flights: Sequence[Flight], verdicts: Sequence[Verdict]
    ) -> Mapping[int, Move]:
        """Which messages go on with another carrier. None that may have left: nobody gets a text twice for it."""
        if self.aside is None:
            return {}
        seen = seen_of(
            (flight.message, flight.outcomes, verdict.status == status.EXPIRED)
            for flight, verdict in zip(flights, verdicts, strict=True)
        )
        self.aside.settled(carrier_id, seen.taken, seen.refused, seen.heard)
        if not seen.stranded:
            return {}
        try:
            return await self.aside.elsewhere(carrier_id, seen.stranded)
        except StoreUnavailable:
            return {}
        except Exception:
            log.exception("reroute.failed", carrier=carrier_id)
            return {}

    def _gone(self, lane: Lane, going: Sequence[tuple[Flight, Move, Event]], moved: set[int], now: int) -> None:
        """They are another lane's in the store: hand them over."""
        assert self.lanes_of is not None
        for flight, move, _ in going:
            message = flight.message
            lane.settled((message,))
            if message.id in moved and not flight.recut:
                message.lane, message.due_at, message.attempts = move.lane, now, 0
                self.lanes_of.offer(move.lane, (message,))
            elif message.id in moved and (other := self.lanes_of.owned.get(move.lane)) is not None:
                other.poke()
            elif message.id in moved:
                self._store.ring(f"lane:{move.lane}")

    # By request and by the clock

    async def finish(self, lane: Lane, message: Message, to: int, error: str | None = None) -> bool:
        """End a message of a lane of ours that has not left (canceled, expired). False when it has, or may have."""
        return bool(await self._finish(lane, [message], to, error))

    async def finish_all(self, lane: Lane, messages: Sequence[Message], to: int, error: str | None) -> list[Message]:
        """The same for many; which of them ended."""
        return await self._finish(lane, messages, to, error)

    async def _finish(self, lane: Lane, messages: Sequence[Message], to: int, error: str | None) -> list[Message]:
        """Which of them ended."""
        now = self._clock()
        rows, made, happened = [], [], {}
        seized = lane.seize(message.id for message in messages)
        for m in messages:
            if m.id in seized:
                event = events.of_message(self._ids(), m, to, now)
                rows.append((lane.id, m.id, to, m.attempts, m.due_at, now, event.id, error, None))
                made.append(events.row(event, m.callback))
                happened[event.id] = event
        if not rows:
            return []
        ended: list[Message] = []
        try:
            results = await self._store.commit(
                plan(
                    Step(CORE["fence"], [_fence(lane)]),
                    Step(CORE["end_messages"], rows, given=0),
                    *events.steps(made, 2, given=1),
                )
            )
            gone = {row[0] for row in results[1]}
            ended = [message for message in messages if message.id in seized and message.id in gone]
        finally:
            for an_id in seized:
                lane.let_go(an_id)
            if len(ended) < len(seized):
                lane.poke()
        for message in ended:
            message.error, message.status, message.updated_at = error, to, now
        self._publisher.count(to, len(ended))
        self._publisher.published(results[3], happened)
        lane.wake()
        return ended

    async def expire(self) -> int:
        """Messages whose validity has ended while their lane could not take them."""
        if self.lanes_of is None:
            return 0
        ended = 0
        for lane in [lane for lane in self.lanes_of.owned.values() if lane.kind is self]:
            while not lane.gone:
                rows = await self._store.read(
                    SQL["expired_messages"], lane=lane.id, now=self._clock(), most=MOST_EXPIRED
                )
                found = []
                for row in await self._store.read(CORE["messages_by_id"], rows) if rows else ():
                    message = message_of(row)
                    message.callback = row[20]
                    found.append(message)
                gone = await self._finish(lane, found, status.EXPIRED, "expired")
                ended += len(gone)
                if len(rows) < MOST_EXPIRED or not gone:
                    break
        return ended

    async def unresolved(self, lane_id: int, since: int = 0, most: int = 5_000) -> list[Any]:
        """Parts that the carrier took and has not told the end of, for a session that wants to ask."""
        return await self._store.read(SQL["unresolved_parts"], lane=lane_id, since=since, most=most)


def _spec(carrier: Carrier, n: int) -> Spec:
    rate = None if carrier.rate is None else carrier.rate / carrier.lanes
    revision = carrier.revision if carrier.has_session(n) else CLOSED
    return Spec(rate, carrier.window or 200, carrier.serial, carrier.state != "on", revision)


def _fence(lane: Lane) -> tuple[int, int, str]:
    return (lane.id, lane.epoch, lane.token)
