"""From a program that binds to us to a carrier that we are bound to: what it has encoded itself arrives as it was."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from columba.smpp import tlv
from columba.smpp.pdu import DataSm, DeliverSm, SubmitSm, SubmitSmResp
from columba.smpp.status import Status
from columba.store.sql import Statement
from columba.text import Concat, Header, Ports, encode_part, plan
from tests.api import PATIENCE, eventually, running
from tests.carriers.scripted import Smsc
from tests.doors.house import TEXTS, House, Login, submit, true


class Way:
    """A house with a login for live messages, and the carrier that they go to."""

    def __init__(self, house: House, login: Login, smsc: Smsc) -> None:
        self.house, self.login, self.smsc = house, login, smsc
        self.came: list[SubmitSm] = []

    async def carrier(self, kind: str = "smpp", **config: Any) -> str:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": self.smsc.port} | config if kind == "smpp" else config
        asked = {"name": "net", "kind": kind, "config": given}
        reply = await self.house.columba.whole("POST", "/v1/carriers", asked, key=self.house.columba.live_key)
        assert reply.status == 201, reply.body
        if kind == "smpp":
            peer = await asyncio.wait_for(self.smsc.bound.get(), PATIENCE)
            self._taking = asyncio.create_task(self.take(peer))
        return str(reply.json["id"])

    async def take(self, peer: Any) -> None:
        while True:
            pdu, sequence = await peer.inbox.get()
            if isinstance(pdu, SubmitSm):
                self.came.append(pdu)
                peer.answer(pdu, sequence, message_id=f"{len(self.came)}")

    async def message(self, shown: str) -> Any:
        reply = await self.house.columba.whole("GET", f"/v1/messages/{shown}", key=self.house.columba.live_key)
        return reply.json

    async def sent(self, shown: str) -> Any:
        """The message, once it has left."""

        async def look() -> Any:
            there = await self.message(shown)
            return there if there["status"] == "sent" else None

        return await eventually(look)

    def close(self) -> None:
        self._taking.cancel()


@pytest_asyncio.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    async with running(tmp_path, smpp_port=0, allow_network=["127.0.0.0/8"]) as columba:
        house = House(columba)
        smsc = Smsc(friendly=True)
        await smsc.start()
        key = columba.app.keys.check(columba.live_key)
        assert key is not None
        way = Way(house, await house.give(key), smsc)
        yield way
        house.close()
        with contextlib.suppress(AttributeError):
            way.close()
        await smsc.stop()


WAP_PUSH = Header(Concat(9, 2, 1), Ports(2948, 9200)).build() + bytes(range(120))
CASES: dict[str, dict[str, Any]] = {
    "octets": {"text": bytes(range(140)), "data_coding": 4},
    "a class": {"text": b"flash", "data_coding": 0x10},
    "a class in UCS-2": {"text": "Ж".encode("utf-16-be"), "data_coding": 0x18},
    "to the SIM": {"text": b"\x02\x70\x00\x00\x10", "data_coding": 0xF6, "protocol_id": 0x7F, "esm_class": 0x40},
    "to a port": {"text": Header(ports=Ports(5000, 0)).build() + b"Hello", "esm_class": 0x43},
    "a national table": {
        "text": Header(locking=1).build() + b"\x07bc", "esm_class": 0x40,
    },
    "a message that waits": {"text": b"voice mail", "data_coding": 0xC8},
    "a vendor's TLV": {"text": b"Hello", "tlvs": ((0x1400, b"1201159"), (0x1401, b"\x00\xff"))},
    "ports by TLV": {"text": b"\x00\x01", "data_coding": 4, "tlvs": (tlv.SOURCE_PORT(1), tlv.DESTINATION_PORT(2948))},
}  # fmt: skip
SEEN = ("esm_class", "protocol_id", "data_coding", "short_message")


@pytest.mark.parametrize("name", CASES)
async def test_it_arrives_as_it_was(way: Way, name: str) -> None:
    await way.carrier()
    program = await way.house.bound(way.login)
    pdu = submit(**CASES[name])
    resp = await program.ask(pdu)
    assert isinstance(resp, SubmitSmResp)
    assert resp.status == Status.ESME_ROK
    await true(lambda: way.came)
    assert {field: getattr(way.came[0], field) for field in SEEN} == {field: getattr(pdu, field) for field in SEEN}
    assert [(tag, value) for tag, value in way.came[0].tlvs if tag != 0x1403] == list(pdu.tlvs)
    shown = await way.sent(resp.message_id)
    assert shown["segments"] == 1
    assert (shown["encoding"] == "binary") == (shown["text"] is None)


def parts_of(text: str, wide: bool = False) -> list[SubmitSm]:
    planned = plan(text, wide=wide)
    wires = [
        encode_part(part, planned.encoding, Header(Concat(77, planned.segments, n, wide)))
        for n, part in enumerate(planned.parts, 1)
    ]
    return [submit(w.octets, data_coding=w.data_coding, esm_class=w.esm_class, registered_delivery=1) for w in wires]


@pytest.mark.parametrize("name", ["long GSM", "long Unicode"])
@pytest.mark.parametrize("together", [True, False])
async def test_parts_arrive_as_they_were_and_are_one_message(way: Way, name: str, together: bool) -> None:
    await way.carrier(long="udh16")
    program = await way.house.bound(way.login)
    pdus = parts_of(TEXTS[name])
    resps = await asyncio.gather(*map(program.ask, pdus)) if together else [await program.ask(pdu) for pdu in pdus]
    (shown,) = {resp.message_id for resp in resps if isinstance(resp, SubmitSmResp)}
    await true(lambda: len(way.came) == len(pdus))
    assert [each.short_message for each in way.came] == [each.short_message for each in pdus]
    assert (await way.message(shown))["text"] == TEXTS[name]


@pytest.mark.parametrize("config", [{"long": "sar"}, {"long": "payload"}, {"alphabet": "latin1"}])
async def test_a_carrier_that_wants_texts_otherwise_gets_them_so(way: Way, config: dict[str, Any]) -> None:
    """Their parts are cut anew: the header, or the alphabet, is not what it understands."""
    await way.carrier(**config)
    program = await way.house.bound(way.login)
    await asyncio.gather(*map(program.ask, parts_of("abc def " * 30)))
    wanted = 1 if config.get("long") == "payload" else 2
    await true(lambda: len(way.came) == wanted)
    octets = b"".join(each.short_message or tlv.find(each.tlvs, tlv.MESSAGE_PAYLOAD) or b"" for each in way.came)
    assert b"\x05\x00\x03M" not in octets


async def test_octets_in_parts(way: Way) -> None:
    await way.carrier(long="sar")
    program = await way.house.bound(way.login)
    pdus = [submit(Header(Concat(9, 2, n), Ports(2948, 9200)).build() + bytes([n]) * 90, data_coding=4, esm_class=0x40)
            for n in (1, 2)]  # fmt: skip
    first, second = [await program.ask(pdu) for pdu in pdus]
    assert isinstance(first, SubmitSmResp)
    assert isinstance(second, SubmitSmResp)
    assert first.message_id == second.message_id
    await true(lambda: len(way.came) == 2)
    assert [each.short_message for each in way.came] == [each.short_message for each in pdus]
    shown = await way.message(first.message_id)
    assert (shown["text"], shown["encoding"], shown["segments"]) == (None, "binary", 2)


async def test_octets_in_a_payload_and_by_data_sm(way: Way) -> None:
    await way.carrier()
    program = await way.house.bound(way.login)
    payload = (tlv.MESSAGE_PAYLOAD(bytes(500)),)
    resp = await program.ask(DataSm(destination_addr="447700900123", dest_addr_ton=1, data_coding=4, tlvs=payload))
    assert resp.status == Status.ESME_ROK
    await true(lambda: way.came)
    assert way.came[0].tlvs == payload
    assert (await program.ask(submit(b"", data_coding=4, tlvs=(tlv.MESSAGE_PAYLOAD(bytes(2_000)),)))).status == (
        Status.ESME_RINVMSGLEN
    )


async def test_what_is_no_text_fails_where_a_carrier_takes_nothing_else(way: Way) -> None:
    await way.carrier("twilio", account_sid="AC1", auth_token="t")
    program = await way.house.bound(way.login)
    resp = await program.ask(submit(bytes(20), data_coding=4, registered_delivery=1))
    assert isinstance(resp, SubmitSmResp)
    (receipt,) = await program.got()
    assert b"stat:REJECTD" in receipt.short_message
    assert (await way.message(resp.message_id))["error"]["code"] == "rejected"


async def test_redacting_removes_it(way: Way) -> None:
    await way.carrier()
    program = await way.house.bound(way.login)
    resp = await program.ask(submit(b"\x00secret", data_coding=4))
    assert isinstance(resp, SubmitSmResp)
    await way.sent(resp.message_id)
    reply = await way.house.columba.whole(
        "POST", f"/v1/messages/{resp.message_id}/redact", key=way.house.columba.live_key
    )
    assert reply.status == 200, reply.body
    look = Statement("extra", (), (), "select extra from bodies")
    ((extra,),) = await way.house.app.store.read(look)
    assert "AHNlY3JldA" not in (extra or "")


@pytest.mark.parametrize(
    ("config", "text", "encoding", "segments"),
    [
        ({}, "é" * 160, "gsm7", 1),
        ({"alphabet": "ascii"}, "é" * 160, "ucs2", 3),
        ({"alphabet": "ucs2"}, "a" * 160, "ucs2", 3),
        ({"long": "udh16"}, "a" * 306, "gsm7", 3),
    ],
)
async def test_parts_are_counted_as_the_carrier_takes_them(
    way: Way, config: dict[str, Any], text: str, encoding: str, segments: int
) -> None:
    """From the first answer on, and so for what it costs."""
    await way.carrier(**config)
    asked = {"to": "+447700900123", "text": text}
    reply = await way.house.columba.whole("POST", "/v1/messages", asked, key=way.house.columba.live_key)
    assert reply.status == 202, reply.body
    assert (reply.json["encoding"], reply.json["segments"]) == (encoding, segments)
    await true(lambda: len(way.came) == segments)


@pytest.mark.parametrize("header", [b"", Header(ports=Ports(5000, 0)).build()])
async def test_octets_from_a_person_reach_a_program_as_they_came(way: Way, header: bytes) -> None:
    await way.carrier()
    program = await way.house.bound(way.login)
    octets = header + bytes(range(100))
    way.smsc.peers[-1].send(
        DeliverSm(
            source_addr_ton=1, source_addr="447700900123", destination_addr="12345", data_coding=4,
            esm_class=0x40 if header else 0, short_message=octets,
        )
    )  # fmt: skip
    (came,) = await program.got()
    assert (came.short_message, came.data_coding, came.esm_class) == (octets, 4, 0x40 if header else 0)
    (shown,) = (await way.house.columba.whole("GET", "/v1/messages", key=way.house.columba.live_key)).json["data"]
    assert (shown["text"], shown["encoding"], len(shown["media"])) == ("", "binary", 1)


async def test_a_carrier_is_bound_anew_on_request(way: Way) -> None:
    an_id = await way.carrier()
    columba = way.house.columba
    reply = await columba.whole("POST", f"/v1/carriers/{an_id}/rebind", key=columba.live_key)
    assert reply.status == 200, reply.body
    await way.smsc.peers[0].left()
    way.close()
    peer = await asyncio.wait_for(way.smsc.bound.get(), PATIENCE)
    taking = asyncio.create_task(way.take(peer))
    program = await way.house.bound(way.login)
    await program.ask(submit(b"after that"))
    await true(lambda: [each.short_message for each in way.came] == [b"after that"])
    taking.cancel()
