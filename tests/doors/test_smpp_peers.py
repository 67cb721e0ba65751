"""Programs of others that bind to us: npm's smpp, smpplib and aiosmpplib. Texts are compared character by character."""

import asyncio
import contextlib
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
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
        self.came: list[Any] = []
        self.stop = threading.Event()

    def run(self, work: Callable[[Any], None], done: Callable[[], bool]) -> None:
        client = smpplib.client.Client("127.0.0.1", self.house.port, timeout=5, allow_unknown_opt_params=True)
        client.set_message_sent_handler(lambda pdu: self.sent.append(pdu))
        client.set_message_received_handler(lambda pdu: self.came.append(pdu))
        client.connect()
        try:
            client.bind_transceiver(system_id=self.login.system_id, password=self.login.password)
            work(client)
            while not done() and not self.stop.is_set():
                client.read_once()
            client.unbind()
        finally:
            client.disconnect()


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
        short = [TEXTS["GSM"], TEXTS["Cyrillic"]]
        await sqlite_house.texts_in(*short)
        await true(lambda: len(hook.of(aiosmpplib.DeliverSm)) == 2)
        assert [each.short_message for each in hook.of(aiosmpplib.DeliverSm)] == short
