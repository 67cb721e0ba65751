"""A session with a scripted carrier: binding, sending, losing the connection and finding it again."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from columba.core.contract import Outcome
from columba.smpp.codec import encode
from columba.smpp.pdu import (
    Bind,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from columba.smpp.status import Status
from tests.carriers.air import Ground, part
from tests.carriers.conftest import Bound, Start
from tests.carriers.scripted import PATIENCE, Smsc, smsc
from tests.http.egress.peer import Authority


async def test_it_binds_as_it_is_told_and_says_so(ground: Ground, carrier: Smsc, start: Start) -> None:
    start(
        carrier.port,
        system_id="columba",
        password="secret",
        system_type="SMPP",
        address_range="1234",
        address_range_type=(1, 1),
    )
    peer = await carrier.next()
    assert await peer.get(Bind) == (BindTransceiver((), "columba", "secret", "SMPP", 0x34, 1, 1, "1234"), 1)
    await ground.until(lambda: ground.up)
    assert ground.why == "Bound as transceiver."


@pytest.mark.parametrize(
    ("bind", "kinds"),
    [
        ("transceiver", [BindTransceiver]),
        ("transmitter", [BindTransmitter]),
        ("receiver", [BindReceiver]),
        ("pair", [BindTransmitter, BindReceiver]),
    ],
)
async def test_each_kind_of_bind(
    ground: Ground, carrier: Smsc, start: Start, bind: str, kinds: list[type[Bind]]
) -> None:
    start(carrier.port, bind=bind)
    asked = [type((await (await carrier.next()).get(Bind))[0]) for _ in kinds]
    assert sorted(asked, key=str) == sorted(kinds, key=str)
    await ground.until(lambda: ground.up)


async def test_a_pair_sends_on_one_connection_and_receives_on_the_other(ground: Ground, start: Start) -> None:
    async with smsc() as sends, smsc() as receives:
        session = start(sends.port, bind="pair", receive_port=receives.port)
        transmitter, receiver = await sends.taken(), await receives.taken()
        await ground.until(lambda: ground.up)
        ground.send(session, part("hi"))
        assert (await transmitter.get(SubmitSm))[0].short_message == b"hi"
        receiver.cut()
        await ground.until(lambda: ground.why == "The carrier closed the connection.")
        assert ground.up  # it can send still
        assert await receives.taken()
        await ground.until(lambda: ground.why == "Bound as pair.")


async def test_an_answer_is_an_outcome(ground: Ground, bound: Bound) -> None:
    peer, session = await bound()
    ground.send(session, *(part(f"n={n}", message_id=n) for n in range(4)))
    answers = [
        SubmitSmResp(message_id="00A1"),
        SubmitSmResp(status=Status.ESME_RINVDSTADR),
        SubmitSmResp(status=Status.ESME_RTHROTTLED),
        GenericNack(status=Status.ESME_RSYSERR),
    ]
    sequences = [(await peer.get(SubmitSm))[1] for _ in answers]
    for answer, sequence in reversed(list(zip(answers, sequences, strict=True))):  # in any order
        peer.send(answer, sequence)
    await ground.until(lambda: len(ground.outcomes) == 4)
    assert [(each.kind, each.error, each.code) for _, each in sorted(ground.outcomes.items())] == [
        ("sent", None, None),
        ("failed", "unknown_number", "ESME_RINVDSTADR"),
        ("throttled", "throttled", "ESME_RTHROTTLED"),
        ("retry", "carrier_failed", "ESME_RSYSERR"),
    ]
    assert ground.outcomes[0] == Outcome("sent", "00A1", None, None, "a1")


async def test_the_window_is_never_overrun_and_is_kept_full(ground: Ground, bound: Bound) -> None:
    peer, session = await bound(window=3)
    ground.send(session, *(part(f"n={n}", message_id=n) for n in range(10)))
    for n in range(10):
        pdu, sequence = await peer.get(SubmitSm)
        assert pdu.short_message == b"n=%d" % n
        if n >= 2:  # three are out: no fourth comes before an answer does
            assert peer.inbox.empty()
            peer.send(SubmitSmResp(message_id=str(n - 2)), sequence - 2)
    await ground.until(lambda: len(ground.outcomes) == 8)


async def test_all_that_goes_at_once_is_one_write(ground: Ground, bound: Bound) -> None:
    peer, session = await bound(window=50)
    ground.send(session, *(part(f"n={n}", message_id=n) for n in range(50)))
    octets = [(await peer.get(SubmitSm))[1] for _ in range(50)]
    assert octets == list(range(2, 52))


async def test_an_unanswered_part_is_unknown_and_others_are_not_disturbed(ground: Ground, bound: Bound) -> None:
    peer, session = await bound(response_timeout=1.0)
    ground.send(session, part(message_id=1))
    await peer.get(SubmitSm)
    for n in range(2, 12):  # the connection lives: other answers come
        ground.send(session, part(message_id=n))
        _, sequence = await peer.get(SubmitSm)
        peer.send(SubmitSmResp(message_id=str(n)), sequence)
        await asyncio.sleep(0.12)
    await ground.until(lambda: len(ground.outcomes) == 11)
    assert ground.outcomes[1] == Outcome("unknown", None, "no_answer")
    assert all(ground.outcomes[n].kind == "sent" for n in range(2, 12))
    assert ground.up


async def test_answers_that_come_twice_late_or_for_nothing_change_nothing(ground: Ground, bound: Bound) -> None:
    peer, session = await bound(response_timeout=0.6)
    ground.send(session, part(message_id=1), part(message_id=2))
    _, first = await peer.get(SubmitSm)
    _, second = await peer.get(SubmitSm)
    for _ in range(3):
        peer.send(SubmitSmResp(message_id="a"), first)
    peer.send(SubmitSmResp(message_id="b"), 4711)
    peer.send(SubmitSmResp(message_id="b"), 0x7FFFFFFF)
    peer.send(EnquireLinkResp(), second)  # an answer to something else
    await ground.until(lambda: 2 in ground.outcomes)
    peer.send(SubmitSmResp(message_id="b"), second)  # too late
    ground.send(session, part(message_id=3))
    _, third = await peer.get(SubmitSm)
    peer.send(SubmitSmResp(message_id="c"), third)
    await ground.until(lambda: 3 in ground.outcomes)
    assert [ground.outcomes[n].kind for n in (1, 2, 3)] == ["sent", "unknown", "sent"]


async def test_what_a_broken_connection_leaves_behind(ground: Ground, carrier: Smsc, bound: Bound) -> None:
    """Written and unanswered is unknown, for it may have arrived; what waited for room is unsent."""
    peer, session = await bound(window=2)
    ground.send(session, *(part(message_id=n) for n in range(5)))
    await peer.get(SubmitSm)
    _, sequence = await peer.get(SubmitSm)
    peer.send(SubmitSmResp(message_id="b"), sequence)
    await peer.get(SubmitSm)
    peer.cut()
    await ground.until(lambda: len(ground.outcomes) == 5)
    assert [ground.outcomes[n].kind for n in range(5)] == ["unknown", "sent", "unknown", "unsent", "unsent"]
    assert not ground.states[-1][0] or len(ground.states) > 2
    again = await carrier.taken()
    await ground.until(lambda: ground.up)
    ground.send(session, part(message_id=9))
    assert await again.get(SubmitSm)


async def test_what_is_sent_while_there_is_no_connection_is_unsent(ground: Ground, start: Start) -> None:
    async with smsc(friendly=False) as closed:
        session = start(closed.port)
        ground.send(session, part())
        assert ground.outcomes[1] == Outcome("unsent")


async def test_a_receiver_takes_nothing_to_send(ground: Ground, bound: Bound) -> None:
    _, session = await bound(bind="receiver")
    ground.send(session, part())
    assert (ground.outcomes[1].kind, ground.outcomes[1].error) == ("failed", "carrier_unavailable")


async def test_what_can_not_be_written_fails_alone(ground: Ground, bound: Bound) -> None:
    peer, session = await bound()
    ground.send(
        session,
        part(message_id=1, sender="a-name-that-no-address-field-holds"),
        part("€", message_id=2, encoding=0),
        part("Ж", message_id=3, encoding=0),
    )
    pdu, _ = await peer.get(SubmitSm)
    assert pdu.short_message == b"\x1be"
    assert ground.outcomes[1].kind == ground.outcomes[3].kind == "failed"
    assert "source_addr" in str(ground.outcomes[1].code)


# Coming back


async def test_it_comes_back_after_the_carrier_was_away(ground: Ground, start: Start) -> None:
    async with smsc() as carrier:
        start(carrier.port)
        await carrier.taken()
        await carrier.stop()
        await ground.until(lambda: "can't be reached" in ground.why)
        assert not ground.up
        await carrier.start()
        await carrier.taken()
        await ground.until(lambda: ground.up)


async def test_the_pauses_between_attempts_grow_and_end_somewhere(ground: Ground, start: Start) -> None:
    async with smsc(friendly=False) as carrier:
        start(carrier.port, reconnect=0.02, reconnect_most=0.1)
        times = []
        for _ in range(11):
            (await carrier.next()).cut()
            times.append(time.monotonic())
        last = times[-1] - times[-2]
        assert last > 0.07  # three quarters of the most, which is the jitter of these tests
        assert last < 3  # doubled without an end, it would be four seconds by now


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (Status.ESME_RINVPASWD, "The carrier refuses the bind: ESME_RINVPASWD (the password is not valid)."),
        (Status.ESME_RALYBND, "The carrier refuses the bind: ESME_RALYBND (already bound)."),
        (0x410, "The carrier refuses the bind: vendor 0x00000410 (an error of this vendor's own)."),
    ],
)
async def test_a_refused_bind_says_why_and_is_tried_again(ground: Ground, start: Start, status: int, why: str) -> None:
    async with smsc(friendly=False) as carrier:
        start(carrier.port, reconnect_most=0.05)
        for _ in range(2):
            peer = await carrier.next()
            _, sequence = await peer.get(Bind)
            peer.send(BindTransceiverResp(status=status), sequence)
            await peer.left()
        assert ground.states[0] == (False, why)
        assert not ground.up


async def test_a_bind_that_nobody_answers_is_given_up(ground: Ground, start: Start) -> None:
    async with smsc(friendly=False) as carrier:
        start(carrier.port, bind_timeout=0.1)
        peer = await carrier.next()
        await peer.left()
        await ground.until(lambda: bool(ground.states))
        assert ground.states[0] == (False, "The session ended: no bind in time.")
        assert await carrier.next()


async def test_a_carrier_that_unbinds_gets_its_answer_and_is_bound_again(
    ground: Ground, carrier: Smsc, bound: Bound
) -> None:
    peer, session = await bound()
    ground.send(session, part())
    _, submit = await peer.get(SubmitSm)
    unbind = peer.send(Unbind())
    await ground.until(lambda: not ground.up)
    ground.send(session, part(message_id=2))
    assert ground.outcomes[2].kind == "unsent"
    peer.send(SubmitSmResp(message_id="a"), submit)  # what was on its way is answered still
    assert await peer.get(UnbindResp) == (UnbindResp(), unbind)
    await peer.left()
    assert ground.outcomes[1].kind == "sent"
    assert ground.states[1] == (False, "The carrier ended the session (unbind).")
    assert await carrier.taken()


async def test_closing_unbinds(ground: Ground, start: Start) -> None:
    async with smsc(friendly=False) as carrier:
        session = start(carrier.port)
        peer = await carrier.next()
        pdu, sequence = await peer.get(BindTransceiver)
        peer.answer(pdu, sequence)
        await ground.until(lambda: ground.up)
        ending = asyncio.create_task(session.close())
        _, sequence = await peer.get(Unbind)
        peer.send(UnbindResp(), sequence)
        await peer.left()
        await ending
        assert carrier.came.empty()
        assert ground.up  # nobody is told any more


async def test_closing_does_not_wait_for_a_carrier_that_says_nothing(start: Start, ground: Ground) -> None:
    async with smsc(friendly=False) as carrier:
        session = start(carrier.port)
        peer = await carrier.next()
        pdu, sequence = await peer.get(BindTransceiver)
        peer.answer(pdu, sequence)
        await ground.until(lambda: ground.up)
        async with asyncio.timeout(PATIENCE / 2):
            await session.close()


# Is it there?


async def test_the_carrier_is_asked_whether_it_is_there_and_asked_back(ground: Ground, start: Start) -> None:
    async with smsc(friendly=False) as carrier:
        start(carrier.port, enquire_link=0.05)
        peer = await carrier.next()
        bind, sequence = await peer.get(BindTransceiver)
        peer.answer(bind, sequence)
        for _ in range(3):
            pdu, sequence = await peer.get(EnquireLink)
            peer.answer(pdu, sequence)
        mine = peer.send(EnquireLink(), 77)
        assert await peer.get(EnquireLinkResp) == (EnquireLinkResp(), mine)
        assert ground.up


async def test_a_carrier_that_does_not_answer_enquire_link_is_left(ground: Ground, carrier: Smsc, bound: Bound) -> None:
    carrier.friendly = True
    peer, _ = await bound(enquire_link=0.05, response_timeout=0.1)
    peer.deaf = True
    await ground.until(lambda: not ground.up)
    assert ground.why == "The session ended: enquire_link was not answered."
    assert await carrier.next()


async def test_a_half_open_connection_is_left_as_soon_as_a_part_is_unanswered(
    ground: Ground, carrier: Smsc, bound: Bound
) -> None:
    peer, session = await bound(response_timeout=1.0)
    peer.deaf = True
    await asyncio.sleep(0.01)
    ground.send(session, part(message_id=1))
    await asyncio.sleep(0.1)
    ground.send(session, part(message_id=2))
    await ground.until(lambda: len(ground.outcomes) == 2)
    assert [ground.outcomes[n].kind for n in (1, 2)] == ["unknown", "unknown"]
    assert "Nothing was heard from the carrier for 1 s." in [why for _, why in ground.states]
    assert await carrier.next()


async def test_answers_that_drip_in_octet_by_octet(ground: Ground, bound: Bound) -> None:
    peer, session = await bound()
    ground.send(session, *(part(message_id=n) for n in range(3)))
    for n in range(3):
        _, sequence = await peer.get(SubmitSm)
        for octet in encode(SubmitSmResp(message_id=f"id-{n}"), sequence):
            peer.write(bytes((octet,)))
            await asyncio.sleep(0.001)
    await ground.until(lambda: len(ground.outcomes) == 3)
    assert [ground.outcomes[n].id for n in range(3)] == ["id-0", "id-1", "id-2"]


async def test_octets_that_are_no_pdu_end_the_connection_and_it_comes_back(
    ground: Ground, carrier: Smsc, bound: Bound
) -> None:
    peer, session = await bound()
    ground.send(session, part())
    await peer.get(SubmitSm)
    peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await peer.left()
    await ground.until(lambda: 1 in ground.outcomes)
    assert ground.outcomes[1].kind == "unknown"
    assert await carrier.taken()


# Other ways to a connection


async def test_outbind_is_waited_for_and_bound_to(ground: Ground, start: Start) -> None:
    async with smsc() as carrier:
        port = carrier.port
        await carrier.stop()
        start(1, host=None, outbind={"host": "127.0.0.1", "port": port, "system_id": "net", "password": "pw"})
        async with carrier.connected(port) as peer:
            peer.send(Outbind((), "net", "pw"))
            await peer.get(BindTransceiver)
            await ground.until(lambda: ground.up)
            async with carrier.connected(port) as second:  # one is enough
                await second.left()
            assert ground.up
        await ground.until(lambda: not ground.up)
        async with carrier.connected(port) as stranger:
            stranger.send(Outbind((), "net", "wrong"))
            await stranger.left()
            assert stranger.inbox.empty()
        assert ground.why == "An outbind came with another system_id or password."


@pytest.mark.parametrize(
    ("settings", "up"),
    [
        ({"tls": True}, False),
        ({"tls": True, "ca": "own"}, True),
        ({"tls": True, "ca": "own", "server_name": "elsewhere.example"}, False),
        ({"tls": "unverified"}, True),
    ],
)
async def test_tls(ground: Ground, start: Start, tmp_path: Path, settings: dict[str, Any], up: bool) -> None:
    authority = Authority(tmp_path)
    async with smsc(tls=authority.server("127.0.0.1")) as carrier:
        if "ca" in settings:
            settings = {**settings, "ca": authority.pem.decode()}
        start(carrier.port, **settings)
        await ground.until(lambda: bool(ground.states))
        assert ground.up == up
        if not up:
            assert "certificate is not accepted" in ground.why


async def test_no_password_shows(ground: Ground, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    async with smsc(friendly=False) as carrier:
        session = start(carrier.port, password="hunter22")
        peer = await carrier.next()
        bind, sequence = await peer.get(Bind)
        assert bind.password == "hunter22"
        peer.send(BindTransceiverResp(status=Status.ESME_RINVPASWD), sequence)
        await ground.until(lambda: bool(ground.states))
        shown = capsys.readouterr()
        assert "hunter22" not in f"{ground.states} {shown} {vars(session)}"
