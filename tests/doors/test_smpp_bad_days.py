"""Programs that behave badly: what they do is a matter of their own session, and nothing is lost by it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from columba.doors.smpp.logins import Limits
from columba.smpp.codec import decode, encode
from columba.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DeliverSm,
    DeliverSmResp,
    QuerySmResp,
    Response,
    SubmitSmResp,
)
from columba.smpp.status import Status
from tests.doors.house import House, Login, Program, submit, true


@contextlib.asynccontextmanager
async def raw(house: House) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> Response:
    head = await reader.readexactly(4)
    pdu, _ = decode(head + await reader.readexactly(int.from_bytes(head, "big") - 4))
    assert isinstance(pdu, Response)
    return pdu


def octets_of_a_bind(login: Login) -> bytes:
    return encode(BindTransceiver(system_id=login.system_id, password=login.password), 1)


async def goes_on(program: Program, count: int = 20) -> None:
    """The program is served as if it were alone."""
    resps = await asyncio.gather(*(program.ask(submit(f"n={n}".encode())) for n in range(count)))
    assert {resp.status for resp in resps} == {0}


async def test_octets_that_drip_in_are_taken_as_they_come_and_disturb_nobody(sqlite_house: House) -> None:
    good = await sqlite_house.bound()
    async with raw(sqlite_house) as (reader, writer):
        for octets in (octets_of_a_bind(await sqlite_house.login()), encode(submit(b"drop by drop"), 2)):
            for octet in octets:
                writer.write(bytes([octet]))
                await asyncio.sleep(0)
            await goes_on(good)
            assert (await answer(reader)).status == Status.ESME_ROK
    assert "drop by drop" in {each["text"] for each in await sqlite_house.messages()}


async def test_garbage_and_peers_that_do_not_read_disturb_nobody(sqlite_house: House) -> None:
    login = await sqlite_house.login(Limits(window=100_000))
    good = await sqlite_house.bound()
    async with raw(sqlite_house) as (reader, writer), raw(sqlite_house) as (_, deaf):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        deaf.transport.pause_reading()  # type: ignore[attr-defined]
        deaf.write(octets_of_a_bind(login) + b"".join(encode(submit(b"x"), n) for n in range(2, 3_000)))
        await goes_on(good)
        assert len(await reader.read()) == 16  # a generic_nack, and the end
    await true(lambda: sqlite_house.app.smpp.binds == 1)
    await goes_on(good)


async def test_answers_that_come_twice_for_nothing_or_of_another_kind_change_nothing(sqlite_house: House) -> None:
    login = await sqlite_house.login()
    program = await sqlite_house.bound(login)
    program.answers = False
    await sqlite_house.texts_in("one", "two")
    await program.got(2)
    first, second = program.sequences
    session = program.link.session
    for sequence, pdu in (
        (999, DeliverSmResp()),
        (first, QuerySmResp()),
        (first, DeliverSmResp()),
        (first, DeliverSmResp()),
        (first, DeliverSmResp(status=Status.ESME_RX_T_APPN)),
    ):
        session._outgoing += encode(pdu, sequence)  # the session itself would not
    await program.ask(submit())

    async def kept(count: int) -> None:
        async with asyncio.timeout(10):
            while await sqlite_house.kept(login) != count:
                await asyncio.sleep(0.01)

    await kept(1)  # the other one is still awaited
    session._outgoing += encode(DeliverSmResp(), second)
    await program.ask(submit())
    await kept(0)
    assert len(program.delivered) == 2


async def test_ten_thousand_receipts_that_wait_are_each_handed_over_once(sqlite_house: House) -> None:
    login = await sqlite_house.login(Limits(window=20_000))
    sender = await sqlite_house.bound(login, BindTransmitter)
    resps = await asyncio.gather(*(sender.ask(submit(b"n", registered_delivery=1)) for _ in range(10_000)))
    shown = {resp.message_id for resp in resps if isinstance(resp, SubmitSmResp)}
    assert len(shown) == 10_000
    receiver = await sqlite_house.bound(login, BindReceiver)
    other = await sqlite_house.bound()
    await goes_on(other)
    await receiver.got(10_000)
    told = Counter(_receipted(each) for each in receiver.delivered)
    assert set(told) == shown
    assert set(told.values()) == {1}


def _receipted(pdu: DeliverSm) -> str:
    return pdu.short_message.split(b"id:")[1].split()[0].decode()


async def test_more_requests_than_the_window_in_one_piece(sqlite_house: House) -> None:
    """All that were answered well are there once; the others were throttled, and are not."""
    async with raw(sqlite_house) as (reader, writer):
        burst = b"".join(encode(submit(f"n={n}".encode()), n) for n in range(2, 2_002))
        writer.write(octets_of_a_bind(await sqlite_house.login(Limits(window=50))))
        await answer(reader)
        writer.write(burst)
        await true(lambda: _answered(sqlite_house) == 2_000)
    texts = Counter(each["text"] for each in await sqlite_house.messages())
    assert set(texts.values()) == {1}
    assert 50 <= len(texts) < 2_000


def _answered(house: House) -> int:
    return sum(counts.sent for counts in house.app.smpp.counted().values()) - 1
