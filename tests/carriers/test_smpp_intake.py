"""What a carrier sends us: kept before it is answered, asked for again when it can't be kept, and never twice."""

import asyncio

import pytest

from columba.smpp import tlv
from columba.smpp.pdu import (
    AlertNotification,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    GenericNack,
    Request,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from columba.smpp.status import Status
from tests.carriers.air import Ground, part
from tests.carriers.conftest import Bound
from tests.carriers.scripted import Peer, Smsc


def receipt(an_id: object, state: str = "DELIVRD") -> DeliverSm:
    return DeliverSm(esm_class=4, short_message=f"id:{an_id} stat:{state} err:000".encode())


def text(words: str, **fields: object) -> DeliverSm:
    whole = {"source_addr_ton": 1, "source_addr": "447700900123", "destination_addr": "12345"}
    return DeliverSm(**{**whole, "short_message": words.encode(), **fields})  # type: ignore[arg-type]


BOTH = pytest.mark.parametrize(
    ("pdu", "taken"),
    [
        (receipt("7"), DeliverSmResp()),
        (text("hello"), DeliverSmResp()),
        (text("\5\0\3\1\2\1part", esm_class=0x40), DeliverSmResp()),
        (DataSm(tlvs=(tlv.RECEIPTED_MESSAGE_ID("7"), tlv.MESSAGE_STATE(2))), DataSmResp()),
        (DataSm(tlvs=(tlv.MESSAGE_PAYLOAD(b"hello"),), source_addr="447700900123"), DataSmResp()),
    ],
)


@BOTH
async def test_nothing_is_answered_before_it_is_durable(
    ground: Ground, bound: Bound, pdu: Request, taken: DeliverSmResp
) -> None:
    peer, _ = await bound()
    ground.hold = asyncio.Event()
    sequence = peer.send(pdu)
    peer.send(AlertNotification())
    await asyncio.sleep(0.05)
    assert peer.inbox.empty()
    ground.hold.set()
    assert await peer.get(type(taken)) == (taken, sequence)
    assert len(ground.receipts) + len(ground.texts) == 1


@BOTH
@pytest.mark.parametrize("unavailable", ["ESME_RX_T_APPN", "ESME_RSYSERR"])
async def test_what_can_not_be_kept_is_asked_for_again(
    ground: Ground, bound: Bound, pdu: Request, taken: DeliverSmResp, unavailable: str
) -> None:
    peer, _ = await bound(unavailable=unavailable)
    ground.unavailable = True
    sequence = peer.send(pdu)
    assert await peer.get(type(taken)) == (type(taken)(status=int(Status[unavailable])), sequence)
    ground.unavailable = False
    sequence = peer.send(pdu)
    assert await peer.get(type(taken)) == (taken, sequence)
    assert len(ground.receipts) + len(ground.texts) == 1


async def test_ten_thousand_receipts_at_the_bind(ground: Ground, carrier: Smsc, bound: Bound) -> None:
    peer, _ = await bound()
    sequences = [peer.send(receipt(n)) for n in range(10_000)]
    answered = [await peer.get(DeliverSmResp) for _ in sequences]
    assert sorted(sequence for _, sequence in answered) == sequences
    assert {pdu.status for pdu, _ in answered} == {0}
    assert sorted(int(each.carrier_message_id) for each in ground.receipts) == list(range(10_000))


async def test_receipts_that_the_store_is_slow_to_take_are_not_read_for_ever(ground: Ground, bound: Bound) -> None:
    """A carrier that doesn't wait for answers is not read any more, and is again later: nothing is lost."""
    peer, session = await bound()
    ground.hold = asyncio.Event()
    sequences = [peer.send(receipt(n)) for n in range(20_000)]
    protocol = session.lines[0].link.session  # type: ignore[attr-defined]
    waiting = -1
    while protocol.pending < 5_000 or protocol.pending != waiting:  # until no more of them is read
        waiting = protocol.pending
        await asyncio.sleep(0.3)
    assert len(protocol._outstanding) == 0
    assert waiting < 15_000
    ground.hold.set()
    answered = [(await peer.get(DeliverSmResp))[1] for _ in sequences]
    assert sorted(answered) == sequences
    assert len(ground.receipts) == 20_000


async def test_a_receipt_that_names_nothing_is_taken_so_that_it_does_not_come_for_ever(
    ground: Ground, bound: Bound
) -> None:
    peer, _ = await bound()
    ground.unavailable = True
    sequence = peer.send(DeliverSm(esm_class=4, short_message=b"who knows"))
    assert await peer.get(DeliverSmResp) == (DeliverSmResp(), sequence)


async def test_receipts_beside_answers_in_one_piece(ground: Ground, bound: Bound) -> None:
    peer, session = await bound()
    ground.send(session, *(part(message_id=n) for n in range(20)))
    for n in range(20):
        _, sequence = await peer.get(SubmitSm)
        peer.send(SubmitSmResp(message_id=f"{n:x}"), sequence)
        peer.send(receipt(f"{n:x}"))
    for _ in range(20):
        await peer.get(DeliverSmResp)
    assert len(ground.outcomes) == len(ground.receipts) == 20


# Texts that come again


async def again(carrier: Smsc, ground: Ground, peer: Peer) -> Peer:
    """The connection breaks; the next one."""
    peer.cut()
    await ground.until(lambda: not ground.up)
    peer = await carrier.taken()
    await ground.until(lambda: ground.up)
    return peer


async def test_a_text_whose_answer_was_lost_is_taken_once(ground: Ground, carrier: Smsc, bound: Bound) -> None:
    peer, _ = await bound()
    peer.send(text("STOP"))
    await ground.until(lambda: ground.kept == 1)
    await peer.get(DeliverSmResp)
    peer = await again(carrier, ground, peer)
    for words in ("STOP", "START", "STOP"):  # the first is the one from before; then the person goes on
        sequence = peer.send(text(words))
        assert await peer.get(DeliverSmResp) == (DeliverSmResp(), sequence)
    assert [each.text for each in ground.texts] == ["STOP", "START", "STOP"]


async def test_a_text_that_was_not_kept_is_taken_when_it_comes_again(
    ground: Ground, carrier: Smsc, bound: Bound
) -> None:
    peer, _ = await bound()
    ground.hold = asyncio.Event()
    peer.send(text("STOP"))
    await asyncio.sleep(0.05)
    peer = await again(carrier, ground, peer)
    ground.unavailable = True
    ground.hold.set()
    await asyncio.sleep(0.05)
    ground.unavailable = False
    sequence = peer.send(text("STOP"))
    assert await peer.get(DeliverSmResp) == (DeliverSmResp(), sequence)
    assert [each.text for each in ground.texts] == ["STOP"]


async def test_the_same_text_twice_is_two_texts(ground: Ground, bound: Bound) -> None:
    peer, _ = await bound()
    for _ in range(2):
        peer.send(text("yes"))
        await peer.get(DeliverSmResp)
    assert len(ground.texts) == 2


# The end of a session


async def test_what_came_before_the_unbind_is_answered_before_it(ground: Ground, bound: Bound) -> None:
    peer, _ = await bound()
    ground.hold = asyncio.Event()
    first = peer.send(text("one"))
    unbind = peer.send(Unbind())
    await asyncio.sleep(0.05)
    assert peer.inbox.empty()
    ground.hold.set()
    assert await peer.get(DeliverSmResp) == (DeliverSmResp(), first)
    assert await peer.get(UnbindResp) == (UnbindResp(), unbind)
    await peer.left()


async def test_closing_answers_what_has_come(ground: Ground, bound: Bound) -> None:
    peer, session = await bound()
    ground.hold = asyncio.Event()
    sequence = peer.send(text("one"))
    protocol = session.lines[0].link.session  # type: ignore[attr-defined]
    await ground.until(lambda: protocol.pending)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0.05)
    ground.hold.set()
    assert await peer.get(DeliverSmResp) == (DeliverSmResp(), sequence)
    await closing


async def test_what_a_carrier_may_not_send_is_refused_and_the_rest_goes_on(ground: Ground, bound: Bound) -> None:
    peer, _ = await bound()
    sequence = peer.send(SubmitSm(short_message=b"to us?"))
    assert await peer.get(GenericNack) == (GenericNack(status=Status.ESME_RINVCMDID), sequence)
    sequence = peer.send(text("hello"))
    assert await peer.get(DeliverSmResp) == (DeliverSmResp(), sequence)
    assert ground.up
