"""Programs of others that bind to us: npm's smpp, smpplib and aiosmpplib. Texts are compared character by character."""

import asyncio
import contextlib
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiosmpplib
import pytest
import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm
from aiosmpplib.hook import AbstractHook

from columba.doors.smpp.logins import Limits
from columba.text import Header, decode, plan
from tests import peers
from tests.api import eventually
from tests.doors.house import TEXTS, House, Login, true
from tests.keeper import leashed
from tests.peers.node import NodeSmsc

HERE = Path(__file__).parent


async def delivered(house: House, shown: str) -> Any:
    async def look() -> Any:
        there = await house.message(shown)
        return there if there["status"] == "delivered" else None

    return await eventually(look)


# npm's smpp


@contextlib.asynccontextmanager
async def node_esme(house: House, login: Login) -> AsyncIterator[NodeSmsc]:
    try:
        folder = peers.npm_packages()
    except peers.Missing as why:
        peers.do_without("the client of npm's smpp", why)
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        *leashed([node, str(HERE / "esme.js"), str(house.port), login.system_id, login.password]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "NODE_PATH": str(folder / "node_modules")},
    )
    program = NodeSmsc(process)
    listening = asyncio.create_task(program.listen())
    try:
        yield program
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("how", ["parts", "payload"])
async def test_node_texts_and_receipts(sqlite_house: House, name: str, how: str) -> None:
    text = TEXTS[name]
    planned = plan(text)
    order: dict[str, Any] = {"to": "447700900123", "from": "12345", "receipt": True}
    order["coding"] = 0 if planned.encoding == "gsm7" else 8
    if how == "parts" and planned.segments > 1:
        order["parts"] = [
            {"text": part, "udh": Header(planned.header(n, 9).concat).build().hex()}
            for n, part in enumerate(planned.parts, 1)
        ]
    else:
        order |= {"text": text, "payload": how == "payload"}
    async with node_esme(sqlite_house, await sqlite_house.login()) as node:
        await node.heard("bound")
        await node.do("submit", **order)
        answers = await node.heard("submitted", len(order.get("parts", "1")))
        (shown,) = {each["id"] for each in answers}
        assert (await sqlite_house.message(shown))["text"] == text
        (receipt,) = await node.heard("delivered")
        assert (receipt["receipted"], receipt["state"], receipt["from"]) == (shown, 2, "447700900123")
        assert f"id:{shown} " in receipt["text"]
        assert "stat:DELIVRD" in receipt["text"]


@pytest.mark.parametrize("text", ["hello", "@home_alone", "Grüße", "20 £", "[list]", "Ж"])
async def test_node_with_the_data_coding_that_it_chooses(sqlite_house: House, text: str) -> None:
    async with node_esme(sqlite_house, await sqlite_house.login()) as node:
        await node.heard("bound")
        await node.do("submit", to="447700900123", text=text, **{"from": "12345"})
        (answer,) = await node.heard("submitted")
        assert (await sqlite_house.message(answer["id"]))["text"] == text


async def test_node_gets_texts_from_people(sqlite_house: House) -> None:
    async with node_esme(sqlite_house, await sqlite_house.login()) as node:
        await node.heard("bound")
        await sqlite_house.texts_in(*TEXTS.values())
        came = await node.heard("delivered", len(TEXTS))
        assert sorted(each["text"] for each in came) == sorted(TEXTS.values())
        assert {(each["from"], each["to"]) for each in came} == {("447700900123", "12345")}


async def test_node_is_cut_off_in_the_middle(sqlite_house: House) -> None:
    """Whatever was answered is there, and nothing is there twice."""
    login = await sqlite_house.login()
    async with node_esme(sqlite_house, login) as node:
        await node.heard("bound")
        await node.do("submit", to="447700900123", count=5_000, **{"from": "12345"})
        await node.until(lambda: len(node.of("submitted")) > 100)
        await node.do("cut")
        await node.heard("close")
        answered = {each["id"] for each in node.of("submitted") if each["status"] == 0}
    await true(lambda: sqlite_house.app.smpp.binds == 0)
    there = await sqlite_house.messages()
    assert answered <= {each["id"] for each in there}
    texts = [each["text"] for each in there]
    assert len(texts) == len(set(texts))


async def test_node_lives_unbinds_and_is_throttled(sqlite_house: House) -> None:
    async with node_esme(sqlite_house, await sqlite_house.login(Limits(window=10))) as node:
        await node.heard("bound")
        await node.do("enquire")
        assert (await node.heard("alive"))[0]["status"] == 0
        await node.do("submit", to="447700900123", count=100, **{"from": "12345"})
        codes = [each["status"] for each in await node.heard("submitted", 100)]
        assert set(codes) <= {0, 0x58}
        assert len(await sqlite_house.messages()) == codes.count(0)
        await node.do("unbind")
        assert (await node.heard("unbound"))[0]["status"] == 0
        await node.heard("close")


async def test_node_with_a_wrong_password(sqlite_house: House) -> None:
    login = (await sqlite_house.login())._replace(password="wrong")
    async with node_esme(sqlite_house, login) as node:
        assert (await node.heard("bound"))[0]["status"] == 0x0E


# smpplib


class Blocking:
    """A session of smpplib in a thread of its own."""

    def __init__(self, house: House, login: Login) -> None:
        self.house, self.login = house, login
        self.sent: list[Any] = []
        self.refused: list[Any] = []
        self.came: list[Any] = []
        self.heard: list[str] = []  # each PDU's name
        self.stop = threading.Event()

    def run(self, work: Callable[[Any], None], done: Callable[[], bool]) -> None:
        client = smpplib.client.Client("127.0.0.1", self.house.port, timeout=5, allow_unknown_opt_params=True)
        client.set_message_sent_handler(lambda pdu: (self.refused if pdu.status else self.sent).append(pdu))
        client.set_message_received_handler(lambda pdu: self.came.append(pdu))
        client.connect()
        try:
            client.bind_transceiver(system_id=self.login.system_id, password=self.login.password)
            client.set_error_pdu_handler(lambda pdu: None)
            read = client.read_pdu
            client.read_pdu = lambda: self._noted(read())
            work(client)
            while not done() and not self.stop.is_set():
                client.read_once()
            client.unbind()
        finally:
            client.disconnect()

    def _noted(self, pdu: Any) -> Any:
        self.heard.append(pdu.command)
        return pdu


@pytest.mark.parametrize("name", TEXTS)
async def test_smpplib_texts_and_receipts(sqlite_house: House, name: str) -> None:
    text = TEXTS[name]
    blocking = Blocking(sqlite_house, await sqlite_house.login())
    parts, coding, esm_class = smpplib.gsm.make_parts(text)

    def work(client: Any) -> None:
        for part in parts:
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_UNK, source_addr="12345",
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL, dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr="447700900123", short_message=part, data_coding=coding, esm_class=esm_class,
                registered_delivery=True,
            )  # fmt: skip

    await asyncio.to_thread(blocking.run, work, lambda: len(blocking.sent) == len(parts) and bool(blocking.came))
    (shown,) = {pdu.message_id.decode() for pdu in blocking.sent}
    assert (await delivered(sqlite_house, shown))["text"] == text
    (receipt,) = blocking.came
    assert receipt.receipted_message_id.decode().rstrip("\0") == shown
    assert f"id:{shown} ".encode() in receipt.short_message


async def test_smpplib_gets_texts_from_people(sqlite_house: House) -> None:
    blocking = Blocking(sqlite_house, await sqlite_house.login())
    await sqlite_house.texts_in(*TEXTS.values())
    await asyncio.to_thread(blocking.run, lambda client: None, lambda: len(blocking.came) == len(TEXTS))
    octets = [bytes(pdu.short_message or pdu.message_payload) for pdu in blocking.came]
    wide = [o.decode("utf-16-be") for pdu, o in zip(blocking.came, octets, strict=True) if pdu.data_coding == 8]
    assert sorted(wide) == sorted((TEXTS["Cyrillic"], TEXTS["long Unicode"]))
    gsm = [o for pdu, o in zip(blocking.came, octets, strict=True) if pdu.data_coding == 0]
    assert smpplib.gsm.gsm_encode(TEXTS["long GSM"]) in gsm  # its table lacks a character of the other
    assert sorted(decode(0, o).text or "" for o in gsm) == sorted((TEXTS["GSM"], TEXTS["long GSM"]))


async def test_smpplib_asks_whether_we_live(sqlite_house: House) -> None:
    """It does so by itself when it has heard nothing for a while."""
    blocking = Blocking(sqlite_house, await sqlite_house.login())
    done = lambda: blocking.heard.count("enquire_link_resp") >= 2  # noqa: E731
    await asyncio.to_thread(blocking.run, lambda client: client._socket.settimeout(0.1), done)


async def test_smpplib_is_cut_off_in_the_middle(sqlite_house: House) -> None:
    """What was answered is there, nothing is there twice, and it can bind again."""
    blocking = Blocking(sqlite_house, await sqlite_house.login())
    loop = asyncio.get_running_loop()

    def work(client: Any) -> None:
        for n in range(1_000):
            send_one(client, f"n={n}")
            if n == 300:
                loop.call_soon_threadsafe(cut_all, sqlite_house)

    with pytest.raises((smpplib.exceptions.ConnectionError, OSError)):
        await asyncio.to_thread(blocking.run, work, lambda: len(blocking.sent) == 1_000)
    answered = {pdu.message_id.decode() for pdu in blocking.sent}
    there = await sqlite_house.messages()
    assert answered <= {each["id"] for each in there}
    texts = [each["text"] for each in there]
    assert len(texts) == len(set(texts)) < 1_000
    blocking.sent.clear()
    await asyncio.to_thread(blocking.run, lambda client: send_one(client, "again"), lambda: bool(blocking.sent))


async def test_smpplib_is_throttled(sqlite_house: House) -> None:
    blocking = Blocking(sqlite_house, await sqlite_house.login(Limits(window=10)))

    def work(client: Any) -> None:
        with at_once(client):
            for n in range(100):
                send_one(client, f"n={n}")

    await asyncio.to_thread(blocking.run, work, lambda: len(blocking.sent) + len(blocking.refused) == 100)
    assert {pdu.status for pdu in blocking.refused} == {smpplib.consts.SMPP_ESME_RTHROTTLED}
    assert len(await sqlite_house.messages()) == len(blocking.sent)


def send_one(client: Any, text: str) -> None:
    client.send_message(
        source_addr="12345", dest_addr_ton=1, dest_addr_npi=1, destination_addr="447700900123",
        short_message=text.encode(),
    )  # fmt: skip


@contextlib.contextmanager
def at_once(client: Any) -> Iterator[None]:
    """What is sent in the block leaves in one packet."""
    client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    yield
    client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def cut_all(house: House) -> None:
    for session in list(house.app.smpp.sessions):
        session.abort()


async def test_smpplib_with_a_wrong_password(sqlite_house: House) -> None:
    blocking = Blocking(sqlite_house, (await sqlite_house.login())._replace(password="wrong"))
    with pytest.raises(smpplib.exceptions.PDUError, match="Password"):
        await asyncio.to_thread(blocking.run, lambda client: None, lambda: True)


# aiosmpplib


class Hook(AbstractHook):  # type: ignore[misc]
    def __init__(self) -> None:
        self.came: list[Any] = []

    async def sending(self, smpp_message: Any, pdu: bytes, client_id: str) -> None: ...

    async def received(self, smpp_message: Any, pdu: bytes, client_id: str) -> None:
        self.came.append(smpp_message)

    async def send_error(self, smpp_message: Any, error: Exception, client_id: str) -> None:
        self.came.append(error)

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.came if isinstance(each, kind)]


@contextlib.asynccontextmanager
async def aio(house: House, login: Login) -> AsyncIterator[tuple[Any, Hook]]:
    hook = Hook()
    esme = aiosmpplib.ESME(
        "127.0.0.1", house.port, login.system_id, login.password, hook=hook, log_level="CRITICAL",
        enquire_link_interval=0.2, default_encoding="gsm0338",
    )  # fmt: skip
    running = asyncio.create_task(esme.start())
    try:
        yield esme, hook
    finally:
        await esme.stop()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its socket open
@pytest.mark.parametrize("name", TEXTS)
async def test_aiosmpplib_texts_and_receipts(sqlite_house: House, name: str) -> None:
    text = TEXTS[name]
    async with aio(sqlite_house, await sqlite_house.login()) as (esme, hook):
        await esme.broker.enqueue(
            aiosmpplib.SubmitSm(
                short_message=text,
                source=aiosmpplib.PhoneNumber("12345"),
                destination=aiosmpplib.PhoneNumber("447700900123"),
                registered_delivery=1,
                auto_message_payload=True,
                log_id="1",
            )
        )
        await true(lambda: hook.of(aiosmpplib.SubmitSmResp))
        resp = hook.of(aiosmpplib.SubmitSmResp)[0]
        assert (await delivered(sqlite_house, resp.message_id))["text"] == text
        await true(lambda: hook.of(aiosmpplib.DeliverSm))
        (receipt,) = hook.of(aiosmpplib.DeliverSm)
        assert receipt.is_receipt()
        assert receipt.parse_receipt()["id"] == resp.message_id


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_aiosmpplib_gets_texts_from_people_and_asks_whether_we_live(sqlite_house: House) -> None:
    async with aio(sqlite_house, await sqlite_house.login()) as (_, hook):
        await true(lambda: hook.of(aiosmpplib.EnquireLinkResp))
        texts = [*TEXTS.values()]
        await sqlite_house.texts_in(*texts)
        await true(lambda: len(hook.of(aiosmpplib.DeliverSm)) == len(texts))
        assert sorted(aio_text(each) for each in hook.of(aiosmpplib.DeliverSm)) == sorted(texts)


def aio_text(pdu: Any) -> str:
    return str(pdu.short_message or pdu.message_payload)


def aio_submit(n: int) -> Any:
    there = aiosmpplib.PhoneNumber("12345"), aiosmpplib.PhoneNumber("447700900123")
    return aiosmpplib.SubmitSm(short_message=f"n={n}", source=there[0], destination=there[1], log_id=str(n))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_aiosmpplib_is_cut_off_in_the_middle(sqlite_house: House) -> None:
    """It binds again by itself; what was answered is there, once."""
    async with aio(sqlite_house, await sqlite_house.login()) as (esme, hook):
        for n in range(300):
            await esme.broker.enqueue(aio_submit(n))
        await true(lambda: len(hook.of(aiosmpplib.SubmitSmResp)) > 50)
        cut_all(sqlite_house)
        await true(lambda: len(hook.of(aiosmpplib.BindTransceiverResp)) > 1)
        answered = {each.message_id for each in hook.of(aiosmpplib.SubmitSmResp)}
    there = {each["id"]: each["text"] for each in await sqlite_house.messages()}
    assert answered <= set(there)
    assert len(set(there.values())) == len(there)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_aiosmpplib_is_throttled(sqlite_house: House) -> None:
    login = await sqlite_house.login(Limits(window=1))
    async with aio(sqlite_house, login) as (esme, hook):
        for n in range(300):
            await esme.broker.enqueue(aio_submit(n))
        await true(lambda: len(hook.of(aiosmpplib.SubmitSmResp)) >= 300)
        codes = [int(each.command_status) for each in hook.of(aiosmpplib.SubmitSmResp)]
    assert set(codes) == {0, 0x58}
    assert len(await sqlite_house.messages()) == codes.count(0)
