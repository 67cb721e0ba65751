"""One SMPP session, either side of it, without I/O: octets and the time come in, events and octets go out.

Owns the session's state, which PDU may be sent when and by whom, sequence numbers, the window of requests that await a
response, and the timers. `receive_data` and `tick` give events; what has to be sent, be it asked for by `send` and
`respond` or the protocol's own (enquire_link and its response, the refusals), gathers until `data_to_send` takes it.

A peer can't make it raise. What breaks a rule is answered as the specification says and reported as Refused; octets
that can't be framed any more end in Broken, after which the session is CLOSED and the connection has to go. `send` and
`respond` fail with NotAllowed or Unsendable, and then nothing was sent.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from .codec import DECODERS, HEADER, encode
from .errors import MalformedPdu, NotAllowed
from .pdu import (
    PDUS,
    REQUESTS,
    AlertNotification,
    Bind,
    BindReceiver,
    BindResponse,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    QuerySm,
    ReplaceSm,
    Request,
    Response,
    SubmitMulti,
    SubmitSm,
    Unbind,
)
from .status import Status
from .watch import Counts, Tap, note

LAST_SEQUENCE: Final = 0x7FFFFFFF  # SMPP 3.4 §5.1.4
MAX_PDU: Final = 0x10000 + 1024  # the longest message_payload, and its PDU around it
_RESPONSE: Final = 0x80000000  # SMPP 3.4 §5.1.2: the bit that a response's command_id has


class Role(Enum):
    ESME = "esme"  # the one that binds
    SMSC = "smsc"  # the one that is bound to


class State(Enum):
    """SMPP 3.4 §2.2, named from the ESME's side on both sides."""

    OPEN = "open"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBOUND = "unbound"
    CLOSED = "closed"


class Rule(NamedTuple):
    """Who may send a request, and in which states."""

    by: tuple[Role, ...]
    states: tuple[State, ...]


_ESME, _SMSC, _BOTH = (Role.ESME,), (Role.SMSC,), (Role.ESME, Role.SMSC)
_OPEN, _SENDING = (State.OPEN,), (State.BOUND_TX, State.BOUND_TRX)
_RECEIVING, _BOUND = (State.BOUND_RX, State.BOUND_TRX), (State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX)

# SMPP 3.4 §2.3, table 2-1. It has replace_sm for BOUND_TX only; 5.0 (§2.4) and everyone allow it in BOUND_TRX as well.
RULES: Final[Mapping[type[Request], Rule]] = {
    BindTransmitter: Rule(_ESME, _OPEN),
    BindReceiver: Rule(_ESME, _OPEN),
    BindTransceiver: Rule(_ESME, _OPEN),
    Outbind: Rule(_SMSC, _OPEN),
    Unbind: Rule(_BOTH, _BOUND),
    SubmitSm: Rule(_ESME, _SENDING),
    SubmitMulti: Rule(_ESME, _SENDING),
    DataSm: Rule(_BOTH, _BOUND),
    DeliverSm: Rule(_SMSC, _RECEIVING),
    QuerySm: Rule(_ESME, _SENDING),
    CancelSm: Rule(_ESME, _SENDING),
    ReplaceSm: Rule(_ESME, _SENDING),
    EnquireLink: Rule(_BOTH, _BOUND),
    AlertNotification: Rule(_SMSC, _RECEIVING),
}
BOUND_BY: Final[Mapping[type[Request], State]] = {
    BindTransmitter: State.BOUND_TX,
    BindReceiver: State.BOUND_RX,
    BindTransceiver: State.BOUND_TRX,
}


def legal(role: Role, state: State) -> frozenset[type[Request]]:
    """The requests that this role may send in this state."""
    return frozenset(kind for kind in REQUESTS if role in RULES[kind].by and state in RULES[kind].states)


_LEGAL: Final = {(role, state): legal(role, state) for role in Role for state in State}


class Requested(msgspec.Struct, frozen=True):
    """The peer's request: `respond` to its sequence. Outbind and AlertNotification want no response.

    An Unbind is to be answered when all that came before it is, and then the connection closed.
    """

    pdu: Request
    sequence: int


class Answered(msgspec.Struct, frozen=True):
    """The response to a request of ours, or the generic_nack that it got instead."""

    pdu: Response
    token: Any
    sequence: int


class Unanswered(msgspec.Struct, frozen=True):
    """A request of ours whose response did not come in time, or can't come any more."""

    kind: type[Request]
    token: Any
    sequence: int


class Stray(msgspec.Struct, frozen=True):
    """A response that no request awaits. `issued`: its sequence was ours, so it is late or a duplicate."""

    pdu: Response
    sequence: int
    issued: bool


class Refused(msgspec.Struct, frozen=True):
    """A PDU of the peer's that was turned away with `status`; the answer, where there is one, is on its way."""

    status: int
    command: int
    sequence: int
    detail: str


class Broken(msgspec.Struct, frozen=True):
    """The session is over: write what is left to send, then close the connection."""

    reason: str


Event: TypeAlias = Requested | Answered | Unanswered | Stray | Refused | Broken


class Session:
    """All times are seconds of one monotonic clock.

    `window` bounds our requests that await a response; `inbound_window` the peer's that await one from us, above which
    they are answered with ESME_RTHROTTLED. After `enquire_after` seconds without a PDU the peer is asked whether it
    lives (None: never). `tap`, when set, is shown each PDU: "in" or "out", the PDU, its sequence; `counts` counts them.
    """

    def __init__(
        self,
        role: Role,
        *,
        now: float,
        window: int = 100,
        inbound_window: int | None = None,
        max_pdu: int = MAX_PDU,
        bind_timeout: float = 10.0,
        enquire_after: float | None = 30.0,
        response_timeout: float = 30.0,
    ) -> None:
        self.role = role
        self.window = window
        self.inbound_window = inbound_window
        self.max_pdu = max_pdu
        self.enquire_after = enquire_after
        self.response_timeout = response_timeout
        self.tap: Tap | None = None
        self.counts = Counts()
        self.pending = 0  # the peer's requests that await our response
        self._bind_deadline = now + bind_timeout  # SMPP 3.4 §7.2: session_init_timer
        self._binding: tuple[type[Bind], int] | None = None  # the bind under way, and its sequence
        self._unbinding = False
        self._last_received = self._now = now
        self._sequence = 0
        self._wrapped = False
        # sequence -> (kind, token, deadline). One timeout for all and dicts keep their order: the first is due first.
        self._outstanding: dict[int, tuple[type[Request], Any, float]] = {}
        self._probe: tuple[int, float] | None = None  # our own enquire_link: its sequence, and when it was sent
        self._outgoing = bytearray()
        self._tail = bytearray()  # the PDU that has come in part, and how many octets make sense of it
        self._need = 0
        self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        peer = Role.SMSC if self.role is Role.ESME else Role.ESME
        self._may_send = _LEGAL[self.role, state]
        self._may_receive = _LEGAL[peer, state]

    # Sending

    @property
    def outstanding(self) -> int:
        """How many of our requests await a response."""
        return len(self._outstanding)

    @property
    def room(self) -> int:
        """How many requests may be sent now."""
        return max(0, self.window - len(self._outstanding)) if self.bound and not self._unbinding else 0

    @property
    def unsent(self) -> int:
        """How many octets wait for `data_to_send`."""
        return len(self._outgoing)

    @property
    def bound(self) -> bool:
        return self.state in _BOUND

    @property
    def last_received(self) -> float:
        """When the peer's last PDU came."""
        return self._last_received

    def send(self, pdu: Request, token: Any = None, *, now: float) -> int:
        """Send a request; its response, or the lack of it, comes with `token`. Gives its sequence_number."""
        kind = type(pdu)
        if kind not in self._may_send or self._unbinding:
            raise NotAllowed(f"{kind.__name__} can't be sent by the {self.role.name} when {self.state.name}")
        if len(self._outstanding) >= self.window and kind is not Unbind:
            raise NotAllowed(f"the window of {self.window} is full")
        if self._binding and kind in BOUND_BY:
            raise NotAllowed("a bind is under way")
        sequence = self._next_sequence()
        self._outgoing += encode(pdu, sequence)
        self._sequence = sequence
        if kind.response is not None:
            deadline = now + self.response_timeout
            if isinstance(pdu, Bind):
                self._binding = (type(pdu), sequence)
                deadline = self._bind_deadline
            elif kind is Unbind:
                self._unbinding = True
            self._outstanding[sequence] = (kind, token, deadline)
        self.counts.sent += 1
        if self.tap:
            self.tap("out", pdu, sequence)
        return sequence

    def respond(self, sequence: int, pdu: Response) -> None:
        """Answer the request that came with this sequence_number."""
        if self.state is State.CLOSED:
            raise NotAllowed("the session is closed")
        kind = None
        if self._binding is not None and self.role is Role.SMSC and sequence == self._binding[1]:
            kind = self._binding[0]
        if isinstance(pdu, BindResponse) and (kind is None or type(pdu) is not kind.response):
            raise NotAllowed(f"no bind awaits a {type(pdu).__name__}")
        self._outgoing += encode(pdu, sequence)
        self.pending = max(0, self.pending - 1)
        if kind is not None:
            self._binding = None
            if pdu.status == Status.ESME_ROK and isinstance(pdu, BindResponse):
                self._enter(BOUND_BY[kind])
        self._answered(pdu, sequence)

    def _answered(self, pdu: Response, sequence: int) -> None:
        self.counts.sent += 1
        if pdu.status:
            note(self.counts.refusals, pdu.status)
        if self.tap:
            self.tap("out", pdu, sequence)

    def data_to_send(self) -> bytes:
        """All that has to be written, once."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def close(self) -> list[Unanswered]:
        """The connection is gone: the requests that no response can reach any more."""
        lost = [Unanswered(kind, token, sequence) for sequence, (kind, token, _) in self._outstanding.items()]
        self._outstanding.clear()
        self._outgoing.clear()
        self._enter(State.CLOSED)
        return lost

    def _next_sequence(self) -> int:
        sequence = self._sequence
        while True:
            sequence += 1
            if sequence > LAST_SEQUENCE:
                sequence = 1
                self._wrapped = True
            if sequence not in self._outstanding and (self._probe is None or self._probe[0] != sequence):
                return sequence

    def _answer(self, pdu: Response, sequence: int) -> None:
        self._outgoing += encode(pdu, sequence)
        self._answered(pdu, sequence)

    # Receiving

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """What these octets complete. They may end anywhere; what is left waits for more, at most one PDU of it."""
        if self.state is State.CLOSED:
            return []
        self._now = now
        if self._tail:
            self._tail += data
            if len(self._tail) < self._need:
                return []
            data = bytes(self._tail)
            self._tail.clear()
        elif type(data) is not bytes:
            data = bytes(data)
        events: list[Event] = []
        pos, size = 0, len(data)
        while True:
            left = size - pos
            # SMPP 3.4 §5.1.1: the length is judged as soon as it is known, before anything is kept because of it.
            if left < HEADER.size:
                if left >= 4 and int.from_bytes(data[pos : pos + 4], "big") < HEADER.size:
                    return [*events, *self._unframed(0, 0)]
                self._need = HEADER.size if left >= 4 else 4
                break
            length, command, status, sequence = HEADER.unpack_from(data, pos)
            if length < HEADER.size:
                return [*events, *self._unframed(0, 0)]
            if length > self.max_pdu:
                return [*events, *self._unframed(command, sequence)]
            if left < length:
                self._need = length
                break
            event = self._receive_pdu(data, pos + HEADER.size, pos + length, command, status, sequence)
            if event is not None:
                events.append(event)
            pos += length
        if pos:
            self._last_received = now
        self._tail += memoryview(data)[pos:]
        return events

    def _receive_pdu(self, data: bytes, pos: int, end: int, command: int, status: int, sequence: int) -> Event | None:
        kind = PDUS.get(command)
        self.counts.received += 1
        if kind is None:
            return self._refuse(None, command, sequence, Status.ESME_RINVCMDID, "command_id is not known")
        if issubclass(kind, Response):
            response: Response = DECODERS[command](data, pos, end, status)
            if self.tap:
                self.tap("in", response, sequence)
            return self._receive_response(response, sequence)
        if kind not in self._may_receive and kind is not EnquireLink:
            return self._refuse_by_rule(kind, sequence)
        if self._binding and kind in BOUND_BY:
            return self._refuse(kind, command, sequence, Status.ESME_RALYBND, "a bind is under way")
        try:
            request: Request = DECODERS[command](data, pos, end, status)
        except MalformedPdu as error:
            return self._refuse(kind, command, sequence, error.status, error.detail)
        if self.tap:
            self.tap("in", request, sequence)
        if kind is EnquireLink:  # SMPP 3.4 §4.11
            self._answer(EnquireLinkResp(), sequence)
            return None
        if isinstance(request, Bind):
            self._binding = (type(request), sequence)
        elif kind is Unbind:
            self._enter(State.UNBOUND)
        elif self.inbound_window is not None and self.pending >= self.inbound_window and kind.response is not None:
            return self._refuse(kind, command, sequence, Status.ESME_RTHROTTLED, "more requests than the window")
        if kind.response is not None:
            self.pending += 1
        return Requested(request, sequence)

    def _receive_response(self, pdu: Response, sequence: int) -> Event | None:
        entry = self._outstanding.get(sequence)
        if entry is None or (entry[0].response is not type(pdu) and type(pdu) is not GenericNack):
            if (
                self._probe is not None
                and self._probe[0] == sequence
                and isinstance(pdu, EnquireLinkResp | GenericNack)
            ):
                self._probe = None
                return None
            return Stray(pdu, sequence, 1 <= sequence <= (LAST_SEQUENCE if self._wrapped else self._sequence))
        del self._outstanding[sequence]
        kind, token, deadline = entry
        if pdu.status:
            note(self.counts.refused, pdu.status)
        if kind in BOUND_BY:
            self._binding = None
            if type(pdu) is kind.response and pdu.status == Status.ESME_ROK:
                self._enter(BOUND_BY[kind])
            return Answered(pdu, token, sequence)
        self.counts.answered(self._now - deadline + self.response_timeout)
        if kind is Unbind:
            self._enter(State.UNBOUND)
        return Answered(pdu, token, sequence)

    def _refuse_by_rule(self, kind: type[Request], sequence: int) -> Refused:
        """A request that the peer may not send, or not now."""
        if self.role in RULES[kind].by and len(RULES[kind].by) == 1:
            detail = f"not a request that the {self.role.name} gets"
            return self._refuse(None, kind.command, sequence, Status.ESME_RINVCMDID, detail)
        status = Status.ESME_RALYBND if kind in BOUND_BY and self.bound else Status.ESME_RINVBNDSTS
        return self._refuse(kind, kind.command, sequence, status, f"not when {self.state.name}")

    def _refuse(self, kind: type[Request] | None, command: int, sequence: int, status: int, detail: str) -> Refused:
        """Turn a PDU away: by its own response, by a generic_nack if it has none that fits, never if it is one."""
        if kind is not None and kind.response is not None:
            self._answer(kind.response(status=status), sequence)
        elif kind is None and not command & _RESPONSE:
            self._answer(GenericNack(status=status), sequence)  # SMPP 3.4 §4.3
        return Refused(status, command, sequence, detail)

    def _unframed(self, command: int, sequence: int) -> list[Event]:
        """After a wrong command_length no one knows where the next PDU begins."""
        status = Status.ESME_RINVCMDLEN
        self._answer(GenericNack(status=status), sequence)
        detail = f"command_length is not within {HEADER.size} and {self.max_pdu}"
        return [Refused(status, command, sequence, detail), self._break(detail)]

    def _break(self, reason: str) -> Broken:
        self._enter(State.CLOSED)
        return Broken(reason)

    # Time

    def next_deadline(self) -> float | None:
        """When `tick` has to be called, if nothing else happens before."""
        if self.state is State.CLOSED:
            return None
        deadlines = []
        if self.state is State.OPEN:
            deadlines.append(self._bind_deadline)
        if self._outstanding:
            deadlines.append(next(iter(self._outstanding.values()))[2])
        if self._probe is not None:
            deadlines.append(self._probe[1] + self.response_timeout)
        elif self.bound and self.enquire_after is not None:
            deadlines.append(self._last_received + self.enquire_after)
        return min(deadlines, default=None)

    def tick(self, now: float) -> list[Event]:
        """What the passing of time has brought about."""
        if self.state is State.CLOSED:
            return []
        if self.state is State.OPEN and now >= self._bind_deadline:
            return [self._break("no bind in time")]
        events: list[Event] = []
        while self._outstanding:  # SMPP 3.4 §7.2: response_timer
            sequence, (kind, token, deadline) = next(iter(self._outstanding.items()))
            if deadline > now:
                break
            del self._outstanding[sequence]
            events.append(Unanswered(kind, token, sequence))
            if kind is Unbind:
                self._enter(State.UNBOUND)
        if self._probe is not None:
            if now >= self._probe[1] + self.response_timeout:
                if self._last_received <= self._probe[1]:
                    return [*events, self._break("enquire_link was not answered")]
                self._probe = None  # it lives, though it leaves enquire_link unanswered
        elif self.bound and self.enquire_after is not None and now >= self._last_received + self.enquire_after:
            sequence = self._next_sequence()  # SMPP 3.4 §7.2: enquire_link_timer
            self._sequence = sequence
            self._probe = (sequence, now)
            self._outgoing += encode(EnquireLink(), sequence)
            self.counts.sent += 1
            if self.tap:
                self.tap("out", EnquireLink(), sequence)
        return events
