"""Handing over: the job kind that gives receipts and texts from people to the sessions of a login.

One lane a login, wanted by the process that has a receiver of it bound. What there is to hand over stands among the
deliveries: written in the transaction of its event, kept while nobody is bound, and deleted once a session has answered.
All receivers of a login share the work. What is not answered, or with an error that may pass, is handed over again;
ESME_RX_P_APPN and ESME_RX_R_APPN end it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import structlog

from columba.core import events
from columba.core.again import jittered
from columba.core.lanes import Backlog, Lane, Lanes, Spec
from columba.core.settling import Settling
from columba.doors.smpp.logins import SQL, Login
from columba.doors.smpp.words import told
from columba.smpp.errors import SmppError
from columba.smpp.pdu import DeliverSm, Response
from columba.smpp.status import Status
from columba.store import Row, Step, Store, plan
from columba.webhooks.delivering import Delivery, delivery_of
from columba.webhooks.endpoints import SQL as DELIVERIES

WINDOW: Final = 100  # deliver_sm of one session that await their response
LONGEST_WAIT_S: Final = 300.0
MOST_REDACTED: Final = 100_000
FINAL: Final = (Status.ESME_RX_P_APPN, Status.ESME_RX_R_APPN)

log = structlog.get_logger()


class Receiver(Protocol):
    """A session that deliver_sm go to."""

    login: Login
    version: int

    @property
    def room(self) -> int: ...

    def deliver(self, pdu: DeliverSm, token: Any) -> None: ...


class Errand:
    """A job that a session has."""

    __slots__ = ("job", "left", "line", "status")

    def __init__(self, job: Delivery, line: "Line", left: int) -> None:
        self.job = job
        self.line = line
        self.left = left  # responses that have not come
        self.status: int | None = Status.ESME_ROK


class Ended(NamedTuple):
    """A job and what it came to; None where no answer came."""

    job: Delivery
    status: int | None


class Line(NamedTuple):
    lane: Lane
    waiting: deque[Delivery]
    ended: Settling[Ended]


class Handing:
    name = "smpp"
    anchored = True  # a lane belongs where its sessions are

    def __init__(self, store: Store, clock: Callable[[], int], random: Callable[[], float]) -> None:
        self.lanes_of: Lanes | None = None
        self.handed = 0
        self._store = store
        self._clock = clock
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._receivers: dict[int, list[Receiver]] = {}
        self._lines: dict[int, Line] = {}
        self._redacted: dict[int, None] = {}  # lately

    # Who is bound

    def joined(self, receiver: Receiver) -> None:
        lane_id = receiver.login.lane
        self._receivers.setdefault(lane_id, []).append(receiver)
        line = self._lines.get(lane_id)
        if line is not None:
            line.lane.ready = True
            line.lane.poke()
            line.lane.wake()
        if self.lanes_of is not None:
            self.lanes_of.refresh()

    def left(self, receiver: Receiver) -> None:
        lane_id = receiver.login.lane
        receivers = self._receivers.get(lane_id, [])
        if receiver in receivers:
            receivers.remove(receiver)
        line = self._lines.get(lane_id)
        if not receivers:
            self._receivers.pop(lane_id, None)
            if line is not None:
                line.lane.ready = False
                self._forget(line)
        if self.lanes_of is not None:
            self.lanes_of.refresh()

    def drained(self, receiver: Receiver) -> None:
        """It has room again."""
        line = self._lines.get(receiver.login.lane)
        if line is not None and line.waiting:
            self._pump(line)

    def forget(self, message_id: int) -> None:
        """A message was redacted: nothing that waits in memory says any more what it said."""
        self._redacted[message_id] = None
        if len(self._redacted) > MOST_REDACTED:
            del self._redacted[next(iter(self._redacted))]

    # What the lanes ask

    def lanes(self) -> Mapping[int, Spec]:
        return {lane_id: Spec(None, WINDOW * len(there)) for lane_id, there in self._receivers.items()}

    def opened(self, lane: Lane) -> None:
        self._lines[lane.id] = Line(lane, deque(), Settling(lane, self._settle))
        lane.ready = lane.id in self._receivers

    def closed(self, lane: Lane) -> None:
        self._lines.pop(lane.id, None)

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        return [Backlog(*row) for row in await self._store.read(SQL["handing_backlog"], [(lane,) for lane in lanes])]

    async def refill(
        self, lane: int, klass: int, account_id: int, most: int, held: Sequence[Row]
    ) -> Sequence[Delivery]:
        rows = await self._store.read(DELIVERIES["due_deliveries"], held, lane=lane, now=self._clock(), most=most)
        now = self._loop.time()
        return [delivery_of(row, now) for row in rows]

    async def postpone(self, lane: Lane, jobs: Sequence[Delivery], until: int) -> None:
        raise NotImplementedError  # they keep no person's order

    def dispatch(self, lane: Lane, jobs: list[Delivery]) -> None:
        line = self._lines[lane.id]
        line.waiting.extend(jobs)
        self._pump(line)

    # Out

    def _pump(self, line: Line) -> None:
        receivers = self._receivers.get(line.lane.id)
        if not receivers:
            self._forget(line)
            return
        while line.waiting:
            receiver = next((each for each in receivers if each.room), None)
            if receiver is None:
                return
            receivers.remove(receiver)
            receivers.append(receiver)  # the others' turn
            job = line.waiting[0]
            message = job.letter.event.message
            if message is not None and message.id in self._redacted:
                message.text, message.extra = None, msgspec.structs.replace(message.extra, media=None, raw=None)
            pdus = told(job.letter.event, receiver.login.limits.alphabet, receiver.version)
            if len(pdus) > receiver.room and receiver.room < WINDOW:
                return  # parts of one text go to one session
            line.waiting.popleft()
            errand = Errand(job, line, len(pdus))
            if not pdus:
                self._end(errand)
            for pdu in pdus:
                try:
                    receiver.deliver(pdu, errand)
                except SmppError as error:
                    log.warning("smpp.undeliverable", event=job.letter.id, error=str(error))
                    self.answered(errand, Status.ESME_RX_P_APPN)

    def _forget(self, line: Line) -> None:
        """They stay in the store as they are."""
        jobs = [*line.waiting]
        line.waiting.clear()
        if jobs:
            line.lane.landed(len(jobs))
            line.lane.settled(jobs)

    # Back

    def answered(self, errand: Errand, code: int | None) -> None:
        """One response has come, or won't."""
        errand.left -= 1
        if code is None or (code != Status.ESME_ROK and errand.status is not None):
            errand.status = code
        if not errand.left:
            self._end(errand)

    def response(self, errand: Errand, pdu: Response) -> None:
        self.answered(errand, pdu.status)
        if errand.line.waiting:
            self._pump(errand.line)

    def _end(self, errand: Errand) -> None:
        line = errand.line
        if line.lane.gone:
            return
        line.lane.landed()
        line.ended.add(Ended(errand.job, errand.status))

    async def _settle(self, lane: Lane, ended: Sequence[Ended]) -> None:
        now = self._clock()
        done: list[Delivery] = []
        again: list[tuple[Delivery, int]] = []
        for job, code in ended:
            if code in FINAL:
                log.warning("smpp.rejected", event=job.letter.id, status=code)
            if code == Status.ESME_ROK or code in FINAL:
                done.append(job)
                continue
            wait = 0.0 if code is None else min(2.0 ** min(job.attempts, 10), LONGEST_WAIT_S)
            job.attempts += 1
            again.append((job, now + int(1000 * jittered(wait, self._random()))))
        a_plan = plan(
            Step(events.SQL["fence"], [(lane.id, lane.epoch, lane.token)]),
            Step(SQL["handed_over"], [(lane.id, job.id) for job in done], given=0),
            Step(SQL["hand_again"], [(lane.id, job.id, job.attempts, due, now) for job, due in again], given=0),
        )
        results = await lane.settle(a_plan)
        if results is not None and lane.is_ours(results[0]):
            self.handed += len(done)
            lane.settled(done)
            for job, due in again:
                lane.retry(job, due)
