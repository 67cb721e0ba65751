"""The whole main path with an SMPP carrier at its end: what becomes of messages, whatever the carrier does."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from columba.carriers import connect, kinds
from columba.carriers.smpp.config import Config
from columba.core import rate, status
from columba.core.contract import Carrier, Outcome
from columba.core.lanes import Pace
from columba.core.model import Message
from columba.core.submission import Submission
from columba.smpp.pdu import Bind, DeliverSm, DeliverSmResp, SubmitSm, SubmitSmResp
from columba.smpp.status import Status
from columba.smpp.tlv import MESSAGE_PAYLOAD, find
from columba.store import Row, statements
from columba.text import Header, decode, plan
from tests.carriers.scripted import Peer, Smsc, smsc
from tests.core.rig import Clock, Rig, running, until

LOOK = statements(Path(__file__).with_name("path.sql"))
CARRIER = 128
# How long a lane that was throttled really stands still; the rig has it shorter.
SECONDS = {name: getattr(rate, name) for name in ("STILL_S", "SHORT_S", "STILL_MOST_S", "LEAST")}
Answer = Callable[[Peer, SubmitSm, int], None]


class Now(Clock):
    def __call__(self) -> int:
        return time.time_ns() // 1_000_000


class Wire:
    """What the rig takes for a network: the real kinds of carriers."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.sessions: list[Any] = []
        self.connect = connect

    def give_all(self, outcome: Outcome | None = None) -> None: ...


class Network:
    """A carrier that answers each submit_sm as it is told, and keeps what it took."""

    def __init__(self, smsc: Smsc) -> None:
        self.smsc = smsc
        self.taken: list[SubmitSm] = []
        self.refused = 0
        self.answer: Answer = self.take
        self.peers: list[Peer] = []
        self.receipts = True
        self.show: Callable[[int], tuple[str, str]] = lambda n: (str(n), str(n))  # an id, and the receipt's

    def take(self, peer: Peer, pdu: SubmitSm, sequence: int) -> None:
        self.taken.append(pdu)
        given, told = self.show(1_000_000 + len(self.taken))
        peer.send(SubmitSmResp(message_id=given), sequence)
        if self.receipts:
            self.tell(peer, told)

    def tell(self, peer: Peer, told: str, state: str = "DELIVRD") -> None:
        peer.send(DeliverSm(esm_class=4, short_message=f"id:{told} stat:{state} err:000".encode()))

    @property
    def texts(self) -> list[str]:
        return [str(decode(pdu.data_coding, pdu.short_message, bool(pdu.esm_class & 0x40)).text) for pdu in self.taken]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                peer = await self.smsc.bound.get()
                self.peers.append(peer)
                group.create_task(self._serve(peer))

    async def _serve(self, peer: Peer) -> None:
        while True:
            pdu, sequence = await peer.inbox.get()
            if isinstance(pdu, SubmitSm):
                self.answer(peer, pdu, sequence)
            else:
                assert isinstance(pdu, Bind | DeliverSmResp), pdu


@contextlib.asynccontextmanager
async def network() -> AsyncIterator[Network]:
    async with smsc() as made:
        carrier = Network(made)
        running = asyncio.create_task(carrier.run())
        try:
            yield carrier
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def configured(port: int, *, window: int = 20, on_unknown: Any = "resend", **settings: Any) -> Carrier:
    given = {"host": "127.0.0.1", "port": port, "reconnect": 0.02, **settings}
    config = msgspec.convert(given, Config)
    kind = kinds()["smpp"]
    return Carrier(
        CARRIER, 1, "net", "smpp", status.LIVE, config, None, window,
        lanes=kind.lanes(config), on_unknown=on_unknown, cut=kind.cut(config),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def path(place: Path | str, carrier: Carrier, token: str = "one") -> AsyncIterator[Rig]:
    wire: Any = Wire()
    async with running(place, wire, Now(), token, (carrier,), pace=Pace(tick_s=0.05, poll_s=0.1)) as rig:
        with mock.patch.multiple(rate, **SECONDS):
            yield rig


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path
    url: str = request.getfixturevalue("tables_url")
    return url


async def say(rig: Rig, count: int, text: str = "n={n}", **how: Any) -> list[Message]:
    asked = [Submission(f"+4477009{n:05d}", text.format(n=n), **how) for n in range(count)]
    return [message for message in await rig.say_all(asked) if isinstance(message, Message)]


async def count(rig: Rig, state: str) -> int:
    return Counter((await rig.statuses()).values())[state]


async def all_are(rig: Rig, number: int, state: str) -> None:
    async def there() -> bool:
        return await count(rig, state) == number

    await until(there, 30.0)


async def parts(rig: Rig) -> list[Row]:
    return await rig.store.read(LOOK["parts"])


async def test_messages_go_out_and_are_delivered(place: Path | str) -> None:
    async with network() as net, path(place, configured(net.smsc.port)) as rig:
        net.show = lambda n: (f"{n:010d}", f"{n:010d}")
        messages = await say(rig, 200)
        await all_are(rig, 200, "delivered")
        assert sorted(net.texts) == sorted(f"n={n}" for n in range(200))
        assert await rig.events(messages[0]) == ["queued", "sent", "delivered"]
        found = await parts(rig)
        assert {(row[2].lstrip("0"), len(row[3])) for row in found} == {(row[2], 10) for row in found}
        assert len({row[3] for row in found}) == 200


@pytest.mark.parametrize(
    ("settings", "segments"),
    [
        ({}, 3),
        ({"long": "udh16"}, 3),
        ({"long": "sar"}, 3),
        ({"long": "payload"}, 3),
        ({"alphabet": "latin1"}, 3),
        ({"alphabet": "ucs2"}, 6),
        ({"alphabet": "ascii", "long": "udh16"}, 6),
    ],
)
async def test_a_long_text_arrives_whole_and_each_part_has_its_receipt(
    tmp_path: Path, settings: dict[str, Any], segments: int
) -> None:
    text = ("Zwölf Boxkämpfer jagen " * 17)[:380]
    async with network() as net, path(tmp_path, configured(net.smsc.port, **settings)) as rig:
        (message,) = await say(rig, 1, text)
        await all_are(rig, 1, "delivered")
        whole = "".join(
            str(decode(pdu.data_coding, pdu.short_message or find(pdu.tlvs, MESSAGE_PAYLOAD) or b"",
                   bool(pdu.esm_class & 0x40), alphabet="latin1" if settings.get("alphabet") == "latin1" else "gsm7").text)
            for pdu in net.taken
        )  # fmt: skip
        assert whole == text
        assert (await rig.message(message)).segments == segments
        assert len(net.taken) == (1 if settings.get("long") == "payload" else segments)
        assert [row[4] for row in await parts(rig)] == [status.DELIVERED] * segments


async def test_a_long_text_is_delivered_only_when_all_of_it_is(tmp_path: Path) -> None:
    async with network() as net, path(tmp_path, configured(net.smsc.port)) as rig:
        net.receipts = False
        (message,) = await say(rig, 1, "x" * 300)
        await all_are(rig, 1, "sent")
        net.tell(net.peers[0], "1000002")
        await until(lambda: _state(rig, 1, status.DELIVERED))
        assert await rig.status(message) == "sent"
        net.tell(net.peers[0], "1000001")
        await all_are(rig, 1, "delivered")


async def _state(rig: Rig, number: int, state: int) -> bool:
    return [row[4] for row in await parts(rig)].count(state) == number


@pytest.mark.parametrize(
    "show",
    [
        lambda n: (f"{n:X}", str(n)),
        lambda n: (str(n), f"{n:x}"),
        lambda n: (f"{n:012x}", f"{n:X}"),
        lambda n: (f"{n - 1_000_000:010d}", f"{n - 1_000_000}"),  # small ones, that mean something in each base
        lambda n: (f"ID-{n}", f"id-{n}"),
    ],
)
async def test_ids_are_matched_however_they_are_written(
    place: Path | str, show: Callable[[int], tuple[str, str]]
) -> None:
    async with network() as net:
        net.show = show
        async with path(place, configured(net.smsc.port)) as rig:
            await say(rig, 150)
            await all_are(rig, 150, "delivered")


async def test_receipts_after_a_restart_are_matched_though_nothing_is_known_of_the_carrier_any_more(
    place: Path | str,
) -> None:
    async with network() as net:
        net.receipts = False
        net.show = lambda n: (f"{n:X}", str(n))
        async with path(place, configured(net.smsc.port)) as rig:
            await say(rig, 20)
            await all_are(rig, 20, "sent")
        async with path(place, configured(net.smsc.port)) as rig:
            await until(lambda: len(net.peers) == 2)
            for n in range(20):
                net.tell(net.peers[1], str(1_000_001 + n))
            await all_are(rig, 20, "delivered")


async def test_after_a_restart_an_id_is_not_taken_for_another_one(place: Path | str) -> None:
    """16 may be hexadecimal 10; but when there is a 16, it is that."""
    async with network() as net:
        net.receipts = False
        net.show = lambda n: (str(n - 1_000_000), str(n - 1_000_000))
        async with path(place, configured(net.smsc.port)) as rig:
            await say(rig, 30)
            await all_are(rig, 30, "sent")
        async with path(place, configured(net.smsc.port)) as rig:
            await until(lambda: len(net.peers) == 2)
            for told in (16, 22, 16):
                net.tell(net.peers[1], str(told))
            await all_are(rig, 2, "delivered")
            assert {row[2] for row in await parts(rig) if row[4] == status.DELIVERED} == {"16", "22"}


async def test_receipts_that_are_earlier_than_the_answer(place: Path | str) -> None:
    async with network() as net, path(place, configured(net.smsc.port, window=50)) as rig:
        answers: list[tuple[Peer, int, str]] = []

        def late(peer: Peer, pdu: SubmitSm, sequence: int) -> None:
            net.taken.append(pdu)
            given = f"{1_000_000 + len(net.taken):X}"
            net.tell(peer, str(int(given, 16)))
            answers.append((peer, sequence, given))

        net.answer = late
        await say(rig, 40)
        await until(lambda: len(answers) == 40)

        async def parked() -> bool:
            return len({row[0] for row in await rig.store.read(LOOK["parked"])}) == 40

        await until(parked)
        for peer, sequence, given in answers:
            peer.send(SubmitSmResp(message_id=given), sequence)
        await all_are(rig, 40, "delivered")
        assert await rig.store.read(LOOK["parked"]) == []  # nor under the ids that they might have meant


async def test_a_carrier_that_throttles_takes_everything_once_and_seldom_has_to_refuse(tmp_path: Path) -> None:
    async with network() as net, path(tmp_path, configured(net.smsc.port, window=50)) as rig:
        tokens, at = 10.0, time.monotonic()

        def limited(peer: Peer, pdu: SubmitSm, sequence: int) -> None:
            nonlocal tokens, at
            now = time.monotonic()
            tokens, at = min(10.0, tokens + (now - at) * 100), now
            if tokens < 1:
                net.refused += 1
                peer.send(SubmitSmResp(status=Status.ESME_RTHROTTLED), sequence)
                return
            tokens -= 1
            net.take(peer, pdu, sequence)

        net.answer = limited
        await say(rig, 120)
        await all_are(rig, 120, "delivered")
        assert Counter(net.texts) == Counter(f"n={n}" for n in range(120))
        assert net.refused < 80  # most of them at once, when nothing was known


@pytest.mark.parametrize("binds", [1, 3])
async def test_a_carrier_that_is_killed_again_and_again_loses_nothing(tmp_path: Path, binds: int) -> None:
    """Twice is only what was written and not answered when a connection broke."""
    drawn = random.Random(3)
    window, cuts = 10, 0
    async with network() as net, path(tmp_path, configured(net.smsc.port, window=window, binds=binds)) as rig:

        def dies(peer: Peer, pdu: SubmitSm, sequence: int) -> None:
            nonlocal cuts
            net.take(peer, pdu, sequence)
            if drawn.random() < 0.02 and cuts < 4:
                cuts += 1
                peer.cut()

        net.answer = dies
        await say(rig, 400)

        async def all_out() -> bool:
            return await count(rig, "queued") == 0

        await until(all_out, 40.0)
        times = Counter(net.texts)
        assert set(times) == {f"n={n}" for n in range(400)}
        assert cuts == 4
        assert sum(times.values()) - 400 <= cuts * window
        # Receipts that were lost with a connection are the carrier's to send again; this one does not.
        assert await count(rig, "delivered") + await count(rig, "sent") == 400


@pytest.mark.parametrize(
    ("klass", "on_unknown", "state", "copies"),
    [
        (status.OTP, "resend", "unknown", 1),
        (status.TRANSACTIONAL, "unknown", "unknown", 1),
        (status.TRANSACTIONAL, "resend", "delivered", 2),
    ],
)
async def test_an_answer_that_never_comes(tmp_path: Path, klass: int, on_unknown: str, state: str, copies: int) -> None:
    async with network() as net:
        carrier = configured(net.smsc.port, on_unknown=on_unknown, response_timeout=0.6)
        async with path(tmp_path, carrier) as rig:
            silent = True

            def first_never(peer: Peer, pdu: SubmitSm, sequence: int) -> None:
                nonlocal silent
                if silent:
                    net.taken.append(pdu)
                    silent = False
                else:
                    net.take(peer, pdu, sequence)

            net.answer = first_never
            await say(rig, 1, klass=klass)
            await all_are(rig, 1, state)
            assert len(net.taken) == copies


async def test_a_bind_that_is_half_open_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """One of two hears nothing and says nothing; its part of the texts goes out once it is found to be gone."""
    window = 10
    async with network() as net:
        carrier = configured(net.smsc.port, binds=2, window=window, response_timeout=3.0)
        async with path(tmp_path, carrier) as rig:
            await until(lambda: len(net.peers) == 2)
            net.peers[0].deaf = True
            await say(rig, 200)

            async def half() -> bool:
                return await count(rig, "delivered") > 80

            await until(half)
            assert len(net.peers) == 2  # it had not been noticed yet
            await all_are(rig, 200, "delivered")
        times = Counter(net.texts)
        assert set(times) == {f"n={n}" for n in range(200)}
        assert sum(times.values()) - 200 <= window


@pytest.mark.parametrize("shift", [0x1000, 1])
async def test_answers_with_wrong_sequence_numbers_lose_nothing(tmp_path: Path, shift: int) -> None:
    """Those that are nobody's are passed over; what they were for is sent again when no answer has come."""
    async with network() as net, path(tmp_path, configured(net.smsc.port, window=4, response_timeout=0.6)) as rig:
        wrong = 6

        def confused(peer: Peer, pdu: SubmitSm, sequence: int) -> None:
            nonlocal wrong
            wrong -= 1
            net.take(peer, pdu, sequence + shift if wrong > 0 else sequence)

        net.answer = confused
        await say(rig, 20)

        async def all_out() -> bool:
            return await count(rig, "queued") == 0

        await until(all_out)
        assert set(net.texts) == {f"n={n}" for n in range(20)}


async def test_what_carriers_refuse_ends_with_an_error_that_people_can_read(tmp_path: Path) -> None:
    async with network() as net, path(tmp_path, configured(net.smsc.port)) as rig:

        def refuses(peer: Peer, pdu: SubmitSm, sequence: int) -> None:
            peer.send(SubmitSmResp(status=Status.ESME_RINVDSTADR), sequence)

        net.answer = refuses
        (message,) = await say(rig, 1)
        await all_are(rig, 1, "failed")
        kept = await rig.message(message)
        assert (kept.error, kept.carrier_code) == ("unknown_number", "ESME_RINVDSTADR")


async def test_a_long_text_from_a_person_is_one_message(place: Path | str) -> None:
    text = "色は匂へど 散りぬるを 🕊️ " * 12
    planned = plan(text)
    async with network() as net, path(place, configured(net.smsc.port, binds=2)) as rig:
        await until(lambda: len(net.peers) == 2)
        for n, each in enumerate(planned.parts, 1):
            header = Header(planned.header(n, 77).concat).build()
            pdu = DeliverSm(
                source_addr_ton=1, source_addr="447700900123", destination_addr="12345", esm_class=0x40,
                data_coding=8, short_message=header + each.encode("utf-16-be"),
            )  # fmt: skip
            net.peers[n % 2].send(pdu)  # by any bind
        await all_are(rig, 1, "received")
        assert await rig.store.read(LOOK["texts"]) == [(text,)]
