"""A session's rules: who may send what and when, what refuses it, the window, the sequence numbers and the timers."""

from collections.abc import Iterable
from typing import Any

import pytest

from columba.smpp import pdu as p
from columba.smpp.codec import decode, encode
from columba.smpp.errors import NotAllowed, Unsendable
from columba.smpp.pdu import REQUESTS, GenericNack, Pdu, Request, Response
from columba.smpp.session import (
    LAST_SEQUENCE,
    Answered,
    Broken,
    Event,
    Refused,
    Requested,
    Role,
    Session,
    State,
    Stray,
    Unanswered,
)
from columba.smpp.status import Status

from .cases import CASES, header, raw

BINDS: dict[State, p.Bind] = {
    State.BOUND_TX: p.BindTransmitter(system_id="me"),
    State.BOUND_RX: p.BindReceiver(system_id="me"),
    State.BOUND_TRX: p.BindTransceiver(system_id="me"),
}
SAMPLES: dict[type[Request], Request] = {
    kind: p.SubmitMulti(destinations=(p.SmeAddress(1, 1, "1"),)) if kind is p.SubmitMulti else kind()
    for kind in REQUESTS
}


def sent(session: Session) -> list[tuple[Pdu, int]]:
    """What the session wants to be written."""
    data = session.data_to_send()
    found: list[tuple[Pdu, int]] = []
    while data:
        length = int.from_bytes(data[:4], "big")
        found.append(decode(data[:length]))
        data = data[length:]
    return found


def in_state(role: Role, state: State, **options: Any) -> Session:
    """A session of this role, brought to this state the way a peer would."""
    session = Session(role, now=0.0, **options)
    if state in BINDS:
        bind = BINDS[state]
        if role is Role.ESME:
            sequence = session.send(bind, now=0.0)
            session.receive_data(encode(bind.response(), sequence), 0.0)
        else:
            session.receive_data(encode(bind, 1), 0.0)
            session.respond(1, bind.response())
    elif state is State.UNBOUND:
        session = in_state(role, State.BOUND_TRX, **options)
        session.receive_data(encode(p.Unbind(), 1), 0.0)
    elif state is State.CLOSED:
        session.close()
    session.data_to_send()
    assert session.state is state
    return session


def words(text: str) -> set[str]:
    return set(text.split())


# SMPP 3.4 §2.3, table 2-1 (replace_sm also in BOUND_TRX). What each side may ask in each state.
MAY: dict[tuple[Role, State], set[str]] = {
    (Role.ESME, State.OPEN): words("bind_transmitter bind_receiver bind_transceiver"),
    (Role.ESME, State.BOUND_TX): words(
        "submit_sm submit_multi data_sm query_sm cancel_sm replace_sm enquire_link unbind"
    ),
    (Role.ESME, State.BOUND_RX): words("data_sm enquire_link unbind"),
    (Role.ESME, State.BOUND_TRX): words(
        "submit_sm submit_multi data_sm query_sm cancel_sm replace_sm enquire_link unbind"
    ),
    (Role.SMSC, State.OPEN): words("outbind"),
    (Role.SMSC, State.BOUND_TX): words("data_sm enquire_link unbind"),
    (Role.SMSC, State.BOUND_RX): words("deliver_sm data_sm alert_notification enquire_link unbind"),
    (Role.SMSC, State.BOUND_TRX): words("deliver_sm data_sm alert_notification enquire_link unbind"),
}
PEER = {Role.ESME: Role.SMSC, Role.SMSC: Role.ESME}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.name)
def test_what_may_be_sent(kind: type[Request], role: Role, state: State) -> None:
    session = in_state(role, state)
    if kind.name in MAY.get((role, state), ()):
        sequence = session.send(SAMPLES[kind], now=0.0)
        assert sent(session) == [(SAMPLES[kind], sequence)]
    else:
        with pytest.raises(NotAllowed):
            session.send(SAMPLES[kind], now=0.0)
        assert session.data_to_send() == b""


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.name)
def test_what_the_peer_may_send(kind: type[Request], role: Role, state: State) -> None:
    session = in_state(role, state)
    events = session.receive_data(encode(SAMPLES[kind], 9), 0.0)
    answers = sent(session)
    if kind is p.EnquireLink:
        assert (events, answers) == ([], [(p.EnquireLinkResp(), 9)])
    elif kind.name in MAY.get((PEER[role], state), ()):
        assert (events, answers) == ([Requested(SAMPLES[kind], 9)], [])
    else:
        [event] = events
        assert isinstance(event, Refused)
        assert (event.command, event.sequence) == (kind.command, 9)
        if not any(kind.name in MAY.get((PEER[role], each), ()) for each in State):
            # Never the peer's to send: not a command that this side knows.
            assert answers == [(GenericNack(status=Status.ESME_RINVCMDID), 9)]
        elif kind.response is not None:
            again = issubclass(kind, p.Bind) and state in BINDS
            status = Status.ESME_RALYBND if again else Status.ESME_RINVBNDSTS
            assert answers == [(kind.response(status=status), 9)]
        else:
            assert answers == []


def test_a_closed_session_takes_nothing() -> None:
    session = in_state(Role.SMSC, State.CLOSED)
    assert session.receive_data(encode(p.BindReceiver(), 1), 0.0) == []
    assert session.tick(1e9) == []
    assert session.next_deadline() is None
    with pytest.raises(NotAllowed):
        session.respond(1, p.BindReceiverResp())


# Binding


def test_a_refused_bind_leaves_the_session_open_for_another() -> None:
    server, client = Session(Role.SMSC, now=0.0), Session(Role.ESME, now=0.0)
    bind = p.BindTransceiver(system_id="me", password="no")
    sequence = client.send(bind, "bind", now=0.0)
    with pytest.raises(NotAllowed):
        client.send(bind, now=0.0)
    assert server.receive_data(client.data_to_send(), 0.0) == [Requested(bind, sequence)]
    with pytest.raises(NotAllowed):
        server.respond(sequence, p.BindReceiverResp())
    refusal = p.BindTransceiverResp(status=Status.ESME_RINVPASWD)
    server.respond(sequence, refusal)
    assert client.receive_data(server.data_to_send(), 0.0) == [Answered(refusal, "bind", sequence)]
    assert (server.state, client.state) == (State.OPEN, State.OPEN)
    sequence = client.send(bind, now=0.0)
    server.receive_data(client.data_to_send(), 0.0)
    server.respond(sequence, p.BindTransceiverResp(system_id="smsc"))
    client.receive_data(server.data_to_send(), 0.0)
    assert (server.state, client.state) == (State.BOUND_TRX, State.BOUND_TRX)


def test_a_second_bind_while_one_is_decided_is_refused() -> None:
    server = Session(Role.SMSC, now=0.0)
    events = server.receive_data(encode(p.BindReceiver(), 1) + encode(p.BindTransmitter(), 2), 0.0)
    assert [type(event) for event in events] == [Requested, Refused]
    assert sent(server) == [(p.BindTransmitterResp(status=Status.ESME_RALYBND), 2)]
    server.respond(1, p.BindReceiverResp())
    assert server.state is State.BOUND_RX


def test_a_bind_answered_by_generic_nack_is_no_bind() -> None:
    client = Session(Role.ESME, now=0.0)
    sequence = client.send(p.BindTransceiver(), "bind", now=0.0)
    nack = GenericNack(status=Status.ESME_RINVCMDID)
    assert client.receive_data(encode(nack, sequence), 0.0) == [Answered(nack, "bind", sequence)]
    assert client.state is State.OPEN


def test_a_bind_response_without_a_bind_is_not_ours_to_send() -> None:
    with pytest.raises(NotAllowed):
        Session(Role.SMSC, now=0.0).respond(1, p.BindReceiverResp())


def test_outbind_asks_the_esme_to_bind() -> None:
    smsc, esme = Session(Role.SMSC, now=0.0), Session(Role.ESME, now=0.0)
    smsc.send(p.Outbind(system_id="smsc", password="pw"), now=0.0)
    assert smsc.outstanding == 0
    [event] = esme.receive_data(smsc.data_to_send(), 0.0)
    assert event == Requested(p.Outbind(system_id="smsc", password="pw"), 1)
    sequence = esme.send(p.BindReceiver(), now=0.0)
    smsc.receive_data(esme.data_to_send(), 0.0)
    smsc.respond(sequence, p.BindReceiverResp())
    esme.receive_data(smsc.data_to_send(), 0.0)
    assert (smsc.state, esme.state) == (State.BOUND_RX, State.BOUND_RX)


def test_unbind_ends_the_requests_but_not_the_responses() -> None:
    esme, smsc = in_state(Role.ESME, State.BOUND_TRX), in_state(Role.SMSC, State.BOUND_TRX)
    first = esme.send(p.SubmitSm(), "a", now=0.0)
    last = esme.send(p.Unbind(), "bye", now=0.0)
    with pytest.raises(NotAllowed):
        esme.send(p.SubmitSm(), now=0.0)
    assert esme.room == 0
    delivered = smsc.send(p.DeliverSm(), "mo", now=0.0)
    assert [type(event) for event in smsc.receive_data(esme.data_to_send(), 0.0)] == [Requested, Requested]
    assert smsc.state is State.UNBOUND
    smsc.respond(first, p.SubmitSmResp(message_id="1"))
    smsc.respond(last, p.UnbindResp())
    events = esme.receive_data(smsc.data_to_send(), 0.0)
    assert events == [
        Requested(p.DeliverSm(), delivered),
        Answered(p.SubmitSmResp(message_id="1"), "a", first),
        Answered(p.UnbindResp(), "bye", last),
    ]
    assert esme.state is State.UNBOUND
    esme.respond(delivered, p.DeliverSmResp())
    assert smsc.receive_data(esme.data_to_send(), 0.0) == [Answered(p.DeliverSmResp(), "mo", delivered)]


# Responses


def test_responses_find_their_requests_in_any_order() -> None:
    session = in_state(Role.ESME, State.BOUND_TX)
    sequences = {token: session.send(p.SubmitSm(), token, now=0.0) for token in "abc"}
    order = "cab"
    data = b"".join(encode(p.SubmitSmResp(message_id=token), sequences[token]) for token in order)
    assert session.receive_data(data, 0.0) == [
        Answered(p.SubmitSmResp(message_id=token), token, sequences[token]) for token in order
    ]
    assert session.outstanding == 0


def test_a_response_twice_or_to_nothing_is_reported() -> None:
    session = in_state(Role.ESME, State.BOUND_TX)
    sequence = session.send(p.SubmitSm(), "a", now=0.0)
    session.data_to_send()
    response = p.SubmitSmResp(message_id="1")
    twice = session.receive_data(encode(response, sequence) * 2, 0.0)
    assert twice == [Answered(response, "a", sequence), Stray(response, sequence, issued=True)]
    assert session.receive_data(encode(response, 999), 0.0) == [Stray(response, 999, issued=False)]
    assert session.receive_data(encode(response, 0), 0.0) == [Stray(response, 0, issued=False)]
    assert session.data_to_send() == b""


def test_a_response_of_another_kind_does_not_settle_a_request() -> None:
    session = in_state(Role.ESME, State.BOUND_TX)
    sequence = session.send(p.SubmitSm(), "a", now=0.0)
    wrong = p.DataSmResp(message_id="1")
    assert session.receive_data(encode(wrong, sequence), 0.0) == [Stray(wrong, sequence, issued=True)]
    right = p.SubmitSmResp(message_id="2")
    assert session.receive_data(encode(right, sequence), 0.0) == [Answered(right, "a", sequence)]


def test_a_generic_nack_settles_what_it_names() -> None:
    session = in_state(Role.ESME, State.BOUND_TX)
    sequence = session.send(p.SubmitSm(), "a", now=0.0)
    nack = GenericNack(status=Status.ESME_RINVCMDLEN)
    events = session.receive_data(encode(nack, 0) + encode(nack, sequence), 0.0)
    assert events == [Stray(nack, 0, issued=False), Answered(nack, "a", sequence)]


def test_an_unknown_response_is_never_answered() -> None:
    session = in_state(Role.ESME, State.BOUND_TX)
    [event] = session.receive_data(raw(0x80000099), 0.0)
    assert isinstance(event, Refused)
    assert session.data_to_send() == b""


# Refusals


def test_a_malformed_request_gets_its_own_response_and_the_session_goes_on() -> None:
    session = in_state(Role.SMSC, State.BOUND_TX)
    long_address = raw(0x04, b"\0\0\0" + b"1" * 21 + b"\0" * 14, sequence=5)
    events = session.receive_data(long_address + raw(0x99, sequence=6) + encode(p.SubmitSm(), 7), 0.0)
    assert [type(event) for event in events] == [Refused, Refused, Requested]
    assert sent(session) == [
        (p.SubmitSmResp(status=Status.ESME_RINVSRCADR), 5),
        (GenericNack(status=Status.ESME_RINVCMDID), 6),
    ]


@pytest.mark.parametrize(
    ("octets", "sequence"),
    [
        (header(0x04, 15, sequence=8) + b"x" * 100, 0),
        (header(0x04, 0), 0),
        (header(0x04, 0x10000 + 1025, sequence=8), 8),
        (header(0x04, 0xFFFFFFFF, sequence=8), 8),
        (b"GET / HTTP/1.1\r\nHost: example.com\r\n", int.from_bytes(b".1\r\n", "big")),
    ],
)
def test_octets_that_are_no_pdu_end_the_session(octets: bytes, sequence: int) -> None:
    for block in (len(octets), 1):
        session = in_state(Role.SMSC, State.BOUND_TRX)
        events = feed(session, encode(p.SubmitSm(), 1) + octets, block)
        assert [type(event) for event in events] == [Requested, Refused, Broken]
        assert sent(session) == [(GenericNack(status=Status.ESME_RINVCMDLEN), sequence)]
        assert session.state is State.CLOSED


def test_a_long_announced_pdu_costs_nothing_before_it_comes() -> None:
    session = in_state(Role.SMSC, State.BOUND_TRX, max_pdu=1 << 30)
    assert session.receive_data(header(0x04, 1 << 30), 0.0) == []


# Framing


def feed(session: Session, data: bytes, block: int) -> list[Event]:
    return [event for at in range(0, len(data), block) for event in session.receive_data(data[at : at + block], 0.0)]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 16, 64, 1000, 1 << 20])
@pytest.mark.parametrize("role", Role)
def test_the_size_of_the_blocks_changes_nothing(role: Role, block: int) -> None:
    """All cases one after the other, into a bound session of each role: the events and answers are the same."""
    data = b"".join(case.octets for case in CASES)
    whole, parts = in_state(role, State.BOUND_TRX), in_state(role, State.BOUND_TRX)
    assert feed(parts, data, block) == feed(whole, data, len(data))
    assert parts.data_to_send() == whole.data_to_send() != b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_pdu_arrives_octet_by_octet(case: Any) -> None:
    seen: list[tuple[str, Pdu, int]] = []
    role = Role.ESME if any(case.pdu.name in MAY[Role.SMSC, state] for state in (*BINDS, State.OPEN)) else Role.SMSC
    issuer = PEER[role]
    state = next((s for s in State if case.pdu.name in MAY.get((issuer, s), ())), State.BOUND_TRX)
    session = in_state(role, state)
    session.tap = lambda way, pdu, sequence: seen.append((way, pdu, sequence))
    feed(session, case.octets, 1)
    assert seen[0] == ("in", case.pdu, case.sequence)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_may_be_fed(kind: Any) -> None:
    session = in_state(Role.SMSC, State.BOUND_TX)
    octets = encode(p.SubmitSm(short_message=b"hello"), 3)
    assert session.receive_data(kind(octets[:20]), 0.0) == []
    assert session.receive_data(kind(octets[20:]), 0.0) == [Requested(p.SubmitSm(short_message=b"hello"), 3)]


# Windows and sequence numbers


def test_the_window_bounds_what_is_outstanding() -> None:
    session = in_state(Role.ESME, State.BOUND_TX, window=2)
    first = session.send(p.SubmitSm(), now=0.0)
    session.send(p.SubmitSm(), now=0.0)
    assert session.room == 0
    with pytest.raises(NotAllowed):
        session.send(p.SubmitSm(), now=0.0)
    assert len(sent(session)) == 2
    session.receive_data(encode(p.SubmitSmResp(), first), 0.0)
    assert session.room == 1
    session.send(p.SubmitSm(), now=0.0)
    session.send(p.Unbind(), now=0.0)  # one can always leave


def test_a_peer_that_overruns_its_window_is_throttled() -> None:
    session = in_state(Role.SMSC, State.BOUND_TX, inbound_window=2)
    events = session.receive_data(b"".join(encode(p.SubmitSm(), n) for n in (1, 2, 3)), 0.0)
    assert [type(event) for event in events] == [Requested, Requested, Refused]
    assert sent(session) == [(p.SubmitSmResp(status=Status.ESME_RTHROTTLED), 3)]
    session.respond(1, p.SubmitSmResp(message_id="1"))
    assert session.pending == 1
    assert session.receive_data(encode(p.SubmitSm(), 4), 0.0) == [Requested(p.SubmitSm(), 4)]


def test_sequence_numbers_begin_at_1_and_wrap_past_those_in_use() -> None:
    assert Session(Role.ESME, now=0.0).send(p.BindReceiver(), now=0.0) == 1
    session = in_state(Role.ESME, State.BOUND_TX)
    kept = session.send(p.SubmitSm(), "kept", now=0.0)
    session._sequence = LAST_SEQUENCE - 1
    assert session.send(p.SubmitSm(), now=0.0) == LAST_SEQUENCE
    assert session.send(p.SubmitSm(), now=0.0) == 1
    assert kept == 2
    assert session.send(p.SubmitSm(), now=0.0) == 3
    assert session.receive_data(encode(p.SubmitSmResp(), kept), 0.0) == [Answered(p.SubmitSmResp(), "kept", kept)]


def test_what_can_not_be_encoded_is_not_sent() -> None:
    session = in_state(Role.ESME, State.BOUND_TX)
    with pytest.raises(Unsendable):
        session.send(p.SubmitSm(source_addr="1" * 30), now=0.0)
    assert (session.outstanding, session.data_to_send()) == (0, b"")
    with pytest.raises(Unsendable):
        session.respond(1, p.DeliverSmResp(message_id="\0"))
    assert session.data_to_send() == b""


# Time


def types(events: Iterable[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


@pytest.mark.parametrize("role", Role)
def test_no_bind_in_time_ends_the_session(role: Role) -> None:
    session = Session(role, now=100.0, bind_timeout=10.0)
    if role is Role.ESME:
        session.send(p.BindReceiver(), "bind", now=101.0)
    assert session.next_deadline() == 110.0
    assert session.tick(109.9) == []
    assert types(session.tick(110.0)) == [Broken]
    assert [lost.token for lost in session.close()] == (["bind"] if role is Role.ESME else [])


def test_a_request_without_a_response_is_reported_once_and_its_late_response_as_stray() -> None:
    session = in_state(Role.ESME, State.BOUND_TX, response_timeout=5.0, enquire_after=None)
    assert session.next_deadline() is None
    first = session.send(p.SubmitSm(), "a", now=1.0)
    second = session.send(p.QuerySm(), "b", now=2.0)
    assert session.next_deadline() == 6.0
    assert session.tick(5.9) == []
    assert session.tick(6.0) == [Unanswered(p.SubmitSm, "a", first)]
    assert session.next_deadline() == 7.0
    assert session.tick(7.0) == [Unanswered(p.QuerySm, "b", second)]
    late = p.SubmitSmResp(message_id="1")
    assert session.receive_data(encode(late, first), 8.0) == [Stray(late, first, issued=True)]


def test_silence_makes_the_session_ask_and_then_end() -> None:
    session = in_state(Role.SMSC, State.BOUND_RX, enquire_after=30.0, response_timeout=5.0)
    assert session.next_deadline() == 30.0
    assert session.tick(30.0) == []
    [(probe, sequence)] = sent(session)
    assert probe == p.EnquireLink()
    assert session.receive_data(encode(p.EnquireLinkResp(), sequence), 31.0) == []
    assert session.next_deadline() == 61.0
    session.tick(61.0)
    assert session.next_deadline() == 66.0
    assert types(session.tick(66.0)) == [Broken]
    assert session.state is State.CLOSED


def test_a_peer_that_talks_but_ignores_enquire_link_lives() -> None:
    session = in_state(Role.SMSC, State.BOUND_TX, enquire_after=30.0, response_timeout=5.0)
    session.tick(30.0)
    session.receive_data(encode(p.SubmitSm(), 1), 32.0)
    assert session.tick(35.0) == []
    assert session.next_deadline() == 62.0


def test_half_a_pdu_is_no_sign_of_life() -> None:
    session = in_state(Role.SMSC, State.BOUND_TX, enquire_after=30.0, response_timeout=5.0)
    octets = encode(p.SubmitSm(short_message=b"x" * 100), 1)
    for second in range(30):
        session.receive_data(octets[second : second + 1], float(second))
    session.tick(30.0)
    session.receive_data(octets[30:40], 34.0)
    assert types(session.tick(35.0)) == [Broken]


def test_the_sessions_own_enquire_link_takes_no_place_in_the_window() -> None:
    session = in_state(Role.ESME, State.BOUND_TX, window=1)
    session.tick(30.0)
    assert session.room == 1
    first = session.send(p.SubmitSm(), "a", now=31.0)
    [(_, probe), _] = sent(session)
    assert first == probe + 1
    mine = session.receive_data(encode(p.EnquireLinkResp(), probe) + encode(p.SubmitSmResp(), first), 32.0)
    assert mine == [Answered(p.SubmitSmResp(), "a", first)]


def test_an_unbind_that_is_not_answered_unbinds_as_well() -> None:
    session = in_state(Role.ESME, State.BOUND_TX, response_timeout=5.0)
    sequence = session.send(p.Unbind(), "bye", now=0.0)
    assert session.tick(5.0) == [Unanswered(p.Unbind, "bye", sequence)]
    assert session.state is State.UNBOUND


def test_closing_gives_back_what_is_outstanding() -> None:
    session = in_state(Role.ESME, State.BOUND_TX)
    sequences = [session.send(p.SubmitSm(), token, now=0.0) for token in "ab"]
    assert session.close() == [Unanswered(p.SubmitSm, token, n) for token, n in zip("ab", sequences, strict=True)]
    assert session.close() == []


def test_the_tap_sees_both_ways() -> None:
    session, seen = in_state(Role.SMSC, State.BOUND_TX), list[tuple[str, str, int]]()
    session.tap = lambda way, pdu, sequence: seen.append((way, pdu.name, sequence))
    session.receive_data(encode(p.SubmitSm(), 4) + encode(p.EnquireLink(), 5) + raw(0x99, sequence=6), 0.0)
    session.respond(4, p.SubmitSmResp())
    session.tick(1000.0)
    assert seen == [
        ("in", "submit_sm", 4),
        ("in", "enquire_link", 5),
        ("out", "enquire_link_resp", 5),
        ("out", "generic_nack", 6),
        ("out", "submit_sm_resp", 4),
        ("out", "enquire_link", 1),
    ]


def test_an_answered_request_is_a_response() -> None:
    assert all(kind.response is None or issubclass(kind.response, Response) for kind in REQUESTS)
