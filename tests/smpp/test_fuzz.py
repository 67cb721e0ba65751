"""Whatever octets come, only the declared error leaves the codec, and nothing leaves the session."""

import random
from datetime import UTC, datetime

import pytest

from columba.smpp import pdu as p
from columba.smpp.codec import decode, encode
from columba.smpp.errors import InvalidTime, MalformedPdu, SmppError
from columba.smpp.pdu import PDUS
from columba.smpp.receipt import parse_receipt, read_receipt
from columba.smpp.session import Requested, Role, State
from columba.smpp.times import parse_time
from columba.smpp.trace import describe

from .cases import CASES, raw
from .test_session import in_state, sent


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """The octets with some changed, cut out, doubled or put in."""
    data = bytearray(octets)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(5):
            case 0 if data:
                data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                data[at:at] = data[at : at + 20]
            case _:
                del data[at:]
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_decode_raises_nothing_undeclared(seed: int) -> None:
    chance = random.Random(seed)
    commands = list(PDUS)
    for _ in range(10_000):
        match chance.randrange(3):
            case 0:
                octets = raw(chance.choice(commands), chance.randbytes(chance.randrange(60)))
            case 1:
                body = mutated(chance.choice(CASES).octets[16:], chance)
                octets = raw(chance.choice(commands), body, chance.choice((0, 8)))
            case _:
                case = chance.choice(CASES)
                octets = raw(case.pdu.command, mutated(case.octets[16:], chance))
        try:
            pdu, sequence = decode(octets)
        except MalformedPdu:
            continue
        describe(pdu, sequence)
        if isinstance(pdu, p.DeliverSm | p.DataSm):
            read_receipt(pdu, UTC)
        try:  # what we read can be written, but for the leniences
            again = encode(pdu, sequence)
        except SmppError:
            continue
        assert decode(again) == (pdu, sequence)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("role", Role)
def test_a_session_survives_anything(role: Role, seed: int) -> None:
    chance = random.Random(f"{role} {seed}")
    for _ in range(400):
        session = in_state(role, chance.choice(list(State)), inbound_window=chance.choice((None, 3)))
        now = 0.0
        for _ in range(chance.randint(1, 12)):
            octets = chance.choice(CASES).octets
            match chance.randrange(4):
                case 0:
                    octets = chance.randbytes(chance.randint(1, 100))
                case 1:
                    octets = mutated(octets, chance)
                case 2:  # a whole PDU with a broken body
                    octets = raw(chance.choice(list(PDUS)), mutated(octets[16:], chance), sequence=chance.randrange(5))
            now += chance.choice((0.0, 0.1, 40.0))
            events = session.receive_data(octets, now)
            events += session.tick(now)
            for event in events:
                if isinstance(event, Requested) and event.pdu.response and session.state is not State.CLOSED:
                    session.respond(event.sequence, event.pdu.response())
            try:
                session.send(chance.choice((p.SubmitSm(), p.DeliverSm(), p.BindTransceiver(), p.Unbind())), now=now)
            except SmppError:
                pass
            sent(session)  # all that it says can be read
            deadline = session.next_deadline()
            assert deadline is None or deadline > now - 1000
            assert len(session._tail) <= session.max_pdu
        session.close()


NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PIECES = ["id", "ID :", "id:", "stat:", "stat:DELIVRD", "submit", " date:201120", "done_date:", "2020-11-20", "10:15"]
PIECES += ["text:", "sub:", "err:", "dlvrd:", "99999999999999", "0", "-", ":", ",", " ", "\0", "\n", "\u0662", "x" * 50]


@pytest.mark.parametrize("seed", range(4))
def test_texts_and_times_raise_nothing_undeclared(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3_000):
        parse_receipt("".join(chance.choices(PIECES, k=chance.randint(1, 20))), UTC)
        try:
            parse_time("".join(chance.choices("0123459R+-", k=15)) + chance.choice("R+-"), NOW)
        except InvalidTime:
            continue
