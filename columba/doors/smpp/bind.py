"""One session of a program: it binds, submits, asks, is told, and ends.

All that comes in one read is accepted together; each request is answered once its outcome is durable, in whatever order
that is. A program that sends more than its window allows is answered ESME_RTHROTTLED by the session itself. Nothing that a
program sends raises beyond its own session.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from columba.core import ids
from columba.core.model import Message
from columba.core.submission import Caller, Submission
from columba.doors.smpp import asking
from columba.doors.smpp.encoded import raw_of
from columba.doors.smpp.handing import WINDOW, Errand
from columba.doors.smpp.logins import Login
from columba.doors.smpp.parts import Piece, whole
from columba.doors.smpp.submit import Wrong, body_of, octets_of, person, place_of, status_of, submission
from columba.errors import Refusal
from columba.keys import Key
from columba.smpp.errors import SmppError
from columba.smpp.pdu import (
    Bind,
    BindReceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DataSmResp,
    DeliverSm,
    DistributionList,
    QuerySm,
    ReplaceSm,
    ReplaceSmResp,
    Request,
    Response,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    Unsuccessful,
)
from columba.smpp.session import Answered, Event, Requested, Unanswered
from columba.smpp.status import Status
from columba.smpp.stream import Link
from columba.smpp.tlv import SC_INTERFACE_VERSION
from columba.smpp.values import INTERFACE_VERSION
from columba.smpp.watch import Watch
from columba.text import join

if TYPE_CHECKING:
    from columba.doors.smpp.server import SmppDoor

PARTED: Final = 300  # the window of a program without TLVs, which gets long texts in up to 255 parts
UNBIND_S: Final = 0.5  # that a program has to answer our unbind
MOST_PARTS: Final = 10

log = structlog.get_logger()
Resp = type[SubmitSmResp] | type[DataSmResp]


class Asker(NamedTuple):
    """A request that is to be answered with `kind`."""

    sequence: int
    kind: Resp


class Asked(NamedTuple):
    """A submission, and the requests that it came by: one, or the parts of a text."""

    submission: Submission
    askers: tuple[Asker, ...]


class Session:
    """The stream's Owner of one connection."""

    def __init__(self, door: "SmppDoor") -> None:
        self.door = door
        self.login: Login
        self.key: Key
        self.caller: Caller
        self.version = 0
        self.sends = self.receives = self.bound = False
        self.ending = False
        self.client = self.id = ""
        self.tls = False
        self.kind: type[Bind] = Bind
        self.since = 0
        self.watch = Watch()
        self._link: Link | None = None
        self._unbinding: int | None = None

    # The stream's side

    def connected(self, link: Link) -> None:
        peer = link.peer()
        self.client = str(peer[0]) if peer else ""
        self.tls = link.peer("cipher") is not None
        self._link = link
        self.watch.attach(link.session)
        if not self.door.admits(self):
            link.abort()

    def received(self, link: Link, events: Sequence[Event]) -> None:
        asked: list[Asked] = []
        pieces: dict[str, list[tuple[Piece, Asker]]] = {}
        for event in events:
            if type(event) is Requested:
                pdu = event.pdu
                if type(pdu) is SubmitSm:
                    self._submit(pdu, Asker(event.sequence, SubmitSmResp), asked, pieces)
                elif type(pdu) is DataSm:
                    self._submit(pdu, Asker(event.sequence, DataSmResp), asked, pieces)
                else:
                    self._requested(pdu, event.sequence)
            elif type(event) is Answered:
                if isinstance(event.token, Errand):
                    self.door.handing.response(event.token, event.pdu)
                elif event.token is self:  # our unbind
                    link.close()
            elif type(event) is Unanswered and isinstance(event.token, Errand):
                self.door.handing.answered(event.token, None)
        kept: list[tuple[Piece, Asker]] = []
        for key, found in pieces.items():
            there = {piece.place.n: (piece, asker) for piece, asker in found}
            if len(there) == len(found) == found[0][0].place.of and not self.door.parts.begun(key):
                ordered = [there[n][0] for n in sorted(there)]
                joined = whole([piece.asked for piece in ordered], join([piece.body for piece in ordered]))
                asked.append(Asked(joined, tuple(asker for _, asker in found)))
            else:
                kept += found
        if asked:
            self.door.spawn(self._accept(asked))
        if kept:
            self.door.spawn(self._keep(kept))

    def drained(self, link: Link) -> None:
        if self.receives:
            self.door.handing.drained(self)

    def lost(self, link: Link, error: Exception | None, unanswered: Sequence[Unanswered]) -> None:
        self._link = None
        self.door.left(self)
        for each in unanswered:
            if isinstance(each.token, Errand):
                self.door.handing.answered(each.token, None)

    # The receiver's side

    @property
    def room(self) -> int:
        return self._link.room if self._link is not None and not self.ending else 0

    def deliver(self, pdu: DeliverSm, token: Any) -> None:
        """Fails with SmppError."""
        if self._link is None:
            self.door.handing.answered(token, None)
        else:
            self._link.send(pdu, token)

    # Requests

    def respond(self, sequence: int, pdu: Response) -> None:
        link = self._link
        if link is None:
            return
        try:
            link.respond(sequence, pdu)
        except SmppError as error:  # the session has ended meanwhile
            log.debug("smpp.not_answered", error=str(error))
        if self._unbinding is not None and link.session.pending == 1 and sequence != self._unbinding:
            self._unbound()

    def _requested(self, pdu: Request, sequence: int) -> None:
        if isinstance(pdu, Bind):
            self.door.spawn(self._bind(pdu, sequence))
        elif isinstance(pdu, SubmitMulti):
            self.door.spawn(self._submit_multi(pdu, sequence))
        elif isinstance(pdu, QuerySm):
            self._answer(sequence, asking.query(self.door.store, self.caller, pdu))
        elif isinstance(pdu, CancelSm):
            self._answer(sequence, asking.take_back(self.door.store, self.door.cancel, self.caller, pdu))
        elif isinstance(pdu, ReplaceSm):
            self.respond(sequence, ReplaceSmResp(status=Status.ESME_RREPLACEFAIL))
        elif isinstance(pdu, Unbind):
            self._unbinding = sequence
            if self.receives:
                self.door.handing.left(self)
                self.receives = False
            if self._link is not None and self._link.session.pending == 1:
                self._unbound()
        elif pdu.response is not None:
            self.respond(sequence, pdu.response(status=Status.ESME_RINVCMDID))

    def _answer(self, sequence: int, work: Coroutine[Any, Any, Response]) -> None:
        async def answer() -> None:
            self.respond(sequence, await work)

        self.door.spawn(answer())

    def _unbound(self) -> None:
        """All that came before the unbind is answered."""
        sequence, self._unbinding = self._unbinding, None
        if sequence is not None:
            self.respond(sequence, UnbindResp())
            if self._link is not None:
                self._link.close()

    def unbind(self) -> None:
        """End it: the program is told, and then cut."""
        link = self._link
        if link is None or self.ending:
            return
        self.ending = True
        if not self.bound:
            link.abort()
            return
        if self.receives:
            self.door.handing.left(self)
        try:
            link.send(Unbind(), self)
        except SmppError:
            link.close()
        else:
            asyncio.get_running_loop().call_later(UNBIND_S, link.close)

    def abort(self) -> None:
        if self._link is not None:
            self._link.abort()

    # Binding

    async def _bind(self, pdu: Bind, sequence: int) -> None:
        try:
            code = await self.door.let_in(self, pdu.system_id, pdu.password, type(pdu))
        except Exception as error:
            log.exception("smpp.bind_failed", error=type(error).__name__)
            code = Status.ESME_RSYSERR
        link = self._link
        if link is None:
            return
        kind = type(pdu).response
        if code != Status.ESME_ROK:
            self.respond(sequence, kind(status=code))
            link.close()
            return
        self.kind, self.since = type(pdu), self.door.clock()
        self.version = pdu.interface_version
        modern = self.version >= INTERFACE_VERSION
        link.session.inbound_window = self.login.limits.window
        link.session.window = WINDOW if modern else PARTED
        self.sends, self.receives = type(pdu) is not BindReceiver, type(pdu) is not BindTransmitter
        tlvs = (SC_INTERFACE_VERSION(INTERFACE_VERSION),) if modern else ()
        self.respond(sequence, kind(system_id="Columba", tlvs=tlvs))
        if self.receives:
            self.door.handing.joined(self)

    # Submitting

    def _submit(
        self,
        pdu: SubmitSm | DataSm,
        asker: Asker,
        asked: list[Asked],
        pieces: dict[str, list[tuple[Piece, Asker]]],
    ) -> None:
        try:
            if self.ending:
                raise Wrong(Status.ESME_RINVBNDSTS)
            self._take_rate()
            octets = octets_of(pdu)
            body = body_of(pdu, octets, self.login.limits.alphabet)
            raw = raw_of(pdu, octets, body, self.login.limits.alphabet)
            to = person(pdu.dest_addr_ton, pdu.destination_addr, self.caller.default_country)
            request = submission(pdu, body.text, raw, to, self.login.lane, self.door.clock())
            place = place_of(pdu, body)
            if place is None:
                asked.append(Asked(request, (asker,)))
                return
            if place.of > MOST_PARTS:
                raise Wrong(Status.ESME_RINVMSGLEN)
            refusal = self.door.accept.prepare(self.caller, request)
            if isinstance(refusal, Refusal):
                raise Wrong(status_of(refusal))
            key = f"{self.key.id}/{pdu.source_addr}/{pdu.destination_addr}/{place.ref}/{place.of}"
            piece = Piece(key, place, body, request, self.id)
            before = self.door.parts.came_before(piece)
            if before is not None:
                self.respond(asker.sequence, asker.kind(message_id=ids.show("msg", before)))
            else:
                pieces.setdefault(key, []).append((piece, asker))
        except Wrong as wrong:
            self.respond(asker.sequence, asker.kind(status=wrong.status))

    def _take_rate(self) -> None:
        if self.key.settings.rate_limit is not None:
            allowance = self.door.limits.take(self.key)
            if allowance is not None and allowance.remaining < 0:
                raise Wrong(Status.ESME_RTHROTTLED)

    async def _accept(self, asked: Sequence[Asked]) -> None:
        """Accept what came in one read. Where that fails as a whole, each by itself: one of them may be to blame."""
        outcomes = await self._try([each.submission for each in asked])
        if outcomes is None:
            outcomes = []
            for each in asked:
                outcomes += await self._try([each.submission]) or [Refusal("internal")]
        for each, outcome in zip(asked, outcomes, strict=True):
            code, shown = _told(outcome)
            for asker in each.askers:
                self.respond(asker.sequence, asker.kind(status=code, message_id=shown))

    async def _try(self, submissions: list[Submission]) -> list[Message | Refusal] | None:
        try:
            return await self.door.accept(self.caller, submissions)
        except Refusal as refusal:  # overloaded, or the store is away
            return [refusal] * len(submissions)
        except Exception:
            log.exception("smpp.accept_failed")
            return None

    async def _keep(self, kept: Sequence[tuple[Piece, Asker]]) -> None:
        code, shown = int(Status.ESME_ROK), [""] * len(kept)
        try:
            found = await self.door.parts.keep(self.key.id, [piece for piece, _ in kept])
            shown = [ids.show("msg", an_id) for an_id in found]
        except Refusal as refusal:
            code = status_of(refusal)
        except Exception:
            log.exception("smpp.keep_failed")
            code = Status.ESME_RSYSERR
        for (_, asker), an_id in zip(kept, shown, strict=True):
            self.respond(asker.sequence, asker.kind(status=code, message_id=an_id))

    async def _submit_multi(self, pdu: SubmitMulti, sequence: int) -> None:
        """SMPP 3.4 §4.5: a message a destination. The answer's message_id is that of the first."""
        wrong: list[Unsuccessful] = []
        people = [each for each in pdu.destinations if not isinstance(each, DistributionList)]
        wrong += [
            Unsuccessful(0, 0, each.name[:20], Status.ESME_RINVDLNAME)
            for each in pdu.destinations
            if isinstance(each, DistributionList)
        ]
        asked: list[Submission] = []
        there = []
        try:
            if self.ending:
                raise Wrong(Status.ESME_RINVBNDSTS)
            octets = octets_of(pdu)
            body = body_of(pdu, octets, self.login.limits.alphabet)
            raw = raw_of(pdu, octets, body, self.login.limits.alphabet)
            if place_of(pdu, body) is not None:
                raise Wrong(Status.ESME_RSUBMITFAIL)
            for each in people:
                to = person(each.ton, each.address, self.caller.default_country)
                request = submission(pdu, body.text, raw, to, self.login.lane, self.door.clock())
                try:
                    self._take_rate()
                except Wrong as full:
                    wrong.append(Unsuccessful(each.ton, each.npi, each.address, full.status))
                else:
                    asked.append(request)
                    there.append(each)
        except Wrong as error:
            self.respond(sequence, SubmitMultiResp(status=error.status))
            return
        outcomes = await self._try(asked) if asked else []
        shown = ""
        for each, outcome in zip(there, outcomes or [Refusal("internal")] * len(there), strict=True):
            code, an_id = _told(outcome)
            shown = shown or an_id
            if code:
                wrong.append(Unsuccessful(each.ton, each.npi, each.address, code))
        code = Status.ESME_ROK if shown else wrong[0].status if wrong else Status.ESME_RINVNUMDESTS
        self.respond(sequence, SubmitMultiResp(status=code, message_id=shown, unsuccessful=tuple(wrong)))


def _told(outcome: Message | Refusal) -> tuple[int, str]:
    if isinstance(outcome, Refusal):
        return status_of(outcome), ""
    return Status.ESME_ROK, ids.show("msg", outcome.id)
