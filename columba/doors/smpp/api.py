"""`/v1/smpp` and the trace of a carrier's sessions: what an operator sees of SMPP while it goes on.

Sessions are those of the process that is asked: with several, each knows its own.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from columba.carriers.smpp.session import SmppSession as CarrierSession
from columba.core import ids
from columba.core.contract import Carrier
from columba.core.sending import Sending
from columba.doors.smpp.bind import Session as Bound
from columba.doors.smpp.following import Follower
from columba.doors.smpp.logins import system_id
from columba.doors.smpp.server import SmppDoor
from columba.errors import Refusal
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.sse import EventStream
from columba.http.times import Timestamp, rfc3339
from columba.keys import Key, Keys
from columba.smpp.watch import Watch

TAG: Final = "SMPP"
BindKind = Literal["bind_transmitter", "bind_receiver", "bind_transceiver"]


class SmppSession(msgspec.Struct, frozen=True):
    """A program that is bound.

    id: of the session, as long as it lasts; address: where it comes from; window_in_use: its requests that wait for our
    response; received, sent: PDUs; refused: its requests that were answered with an error; to_answer: what was handed to
    it and not answered yet
    """

    id: str
    key_id: str
    system_id: str
    bind: BindKind
    address: str
    tls: bool
    bound_at: Timestamp
    window: int
    window_in_use: int
    to_answer: int
    received: int
    sent: int
    refused: int


class SmppSessions(msgspec.Struct, frozen=True):
    """Those of the process that was asked."""

    data: list[SmppSession]


class Tracing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to follow.

    bodies: with what people wrote; else only how long it is
    """

    bodies: bool = False


class TracingSome(Tracing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to follow.

    system_id: the sessions of this login alone
    bodies: with what people wrote; else only how long it is
    """

    system_id: Annotated[str, Meta(min_length=1, max_length=16)] | None = None


TRACE: Final = """
Server-Sent Events, as PDUs pass: `sessions` says which sessions are followed from here on (none, while none is open in
the process that was asked), `pdu` is one PDU (`session`, `at`, `way`, `pdu`, `sequence`, `fields`, and the same in one
`line`), `missed` says how many were left out because they passed faster than they were read. Passwords are never shown,
what people wrote only with `bodies=true`, to keys that have `messages:read` too. It goes on until you leave; nothing is
kept.
""".strip()


def endpoints(
    door: SmppDoor,
    sending: Sending,
    carriers: Callable[[], Mapping[int, Carrier]],
    keys: Keys,
    stopping: asyncio.Event,
) -> list[Endpoint]:
    """`stopping` ends the streams."""

    def check(who: Key, bodies: bool) -> None:
        if bodies and "messages:read" not in who.scopes:
            raise Refusal("forbidden", "The key may not read what messages say: it lacks the scope messages:read.")

    @endpoint(
        "GET", "/v1/smpp/sessions", answer=SmppSessions, scope="smpp:read", tag=TAG, summary="List programs that are bound",
    )  # fmt: skip
    async def list_smpp_sessions(call: Call[None, None]) -> SmppSessions:
        """The sessions of the account's and mode's logins with the process that is asked, the oldest first."""
        return SmppSessions([_shown(each) for each in sorted(_bound(door, _caller(call)), key=lambda each: each.since)])

    @endpoint(
        "GET", "/v1/smpp/trace", query=TracingSome, media="text/event-stream", scope="smpp:trace", tag=TAG,
        summary="Follow the PDUs of bound programs", description=TRACE,
    )  # fmt: skip
    async def trace_smpp_sessions(call: Call[None, TracingSome]) -> EventStream:
        who, name = _caller(call), call.query.system_id
        check(who, call.query.bodies)

        def find() -> dict[str, Watch]:
            there = _bound(door, who)
            return {each.id: each.watch for each in there if name in (None, system_id(each.login.key_id))}

        return EventStream(Follower(find, call.query.bodies, lambda: keys.still(who)).follow(), stopping)

    @endpoint(
        "GET", "/v1/carriers/{id}/trace", query=Tracing, media="text/event-stream", scope="smpp:trace", tag="Carriers",
        summary="Follow the PDUs of a carrier", description=TRACE, refusals=("conflict",),
    )  # fmt: skip
    async def trace_carrier(call: Call[None, Tracing]) -> EventStream:
        who, an_id = _caller(call), ids.read("car", call.path["id"])
        check(who, call.query.bodies)
        carrier = carriers().get(an_id or 0)
        if carrier is None or carrier.account_id != who.account_id or carrier.mode != who.mode:
            raise Refusal("not_found", "There is no such carrier.")
        if carrier.kind != "smpp":
            raise Refusal("conflict", f"A carrier of kind {carrier.kind} has no PDUs; those of kind smpp do.")
        return EventStream(
            Follower(lambda: watches(sending, carrier), call.query.bodies, lambda: keys.still(who)).follow(), stopping
        )

    return [list_smpp_sessions, trace_smpp_sessions, trace_carrier]


def watches(sending: Sending, carrier: Carrier) -> dict[str, Watch]:
    """The binds of a carrier's sessions that this process has: `0` for the first lane's, `0 bind_receiver` of a pair."""
    found: dict[str, Watch] = {}
    for n in range(carrier.lanes):
        session = sending.session(carrier.id + n)
        if isinstance(session, CarrierSession):
            for line in session.lines:
                found[str(n) if len(session.lines) == 1 else f"{n} {line.kind.name}"] = line.watch
    return found


def _bound(door: SmppDoor, who: Key) -> list[Bound]:
    return [
        each for each in door.sessions
        if each.bound and (each.caller.account_id, each.caller.mode) == (who.account_id, who.mode)
    ]  # fmt: skip


def _shown(session: Bound) -> SmppSession:
    counts, wire = session.watch.counts, session.watch.session
    return SmppSession(
        id=session.id,
        key_id=ids.show("key", session.key.id),
        system_id=system_id(session.login.key_id),
        bind=session.kind.name,  # type: ignore[arg-type]
        address=session.client,
        tls=session.tls,
        bound_at=rfc3339(session.since),
        window=session.login.limits.window,
        window_in_use=wire.pending if wire is not None else 0,
        to_answer=wire.outstanding if wire is not None else 0,
        received=counts.received,
        sent=counts.sent,
        refused=sum(counts.refusals.values()),
    )


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
