"""A started App with its SMPP server, logins, and a program of our own that binds to it."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from columba.core import ids, status
from columba.doors.smpp.logins import Limits, new_password, system_id
from columba.keys import Key
from columba.smpp.pdu import BindResponse, BindTransceiver, DeliverSm, DeliverSmResp, Request, Response, SubmitSm
from columba.smpp.session import Answered, Broken, Event, Refused, Requested, Role, Session, Unanswered
from columba.smpp.status import Status
from columba.smpp.stream import Link, connect
from tests.api import PATIENCE, Columba, eventually

TEXTS = {
    "GSM": "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ÄÖÑÜ§¿äöñüà^{}\\[~]|€",
    "long GSM": "Zwölf Boxkämpfer jagen {Eva} quer über den Sylter Deich für 99 €. " * 9,
    "Cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "long Unicode": "色は匂へど 散りぬるを 我が世誰ぞ 常ならむ 🕊️ 👩‍👩‍👧‍👦 الحمام “quoted” " * 6,
}


class Login(NamedTuple):
    key: Key
    system_id: str
    password: str


class Program:
    """One session, by our own protocol room."""

    def __init__(self) -> None:
        self.delivered: list[DeliverSm] = []
        self.requests: list[Request] = []
        self.sequences: list[int] = []  # of what was delivered
        self.refused: list[Refused] = []
        self.answers = True  # does it answer deliver_sm
        self.closed = asyncio.Event()
        self.link: Link

    def connected(self, link: Link) -> None:
        self.link = link

    def received(self, link: Link, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Answered):
                event.token.set_result(event.pdu)
            elif isinstance(event, Requested):
                self.requests.append(event.pdu)
                if isinstance(event.pdu, DeliverSm):
                    self.delivered.append(event.pdu)
                    self.sequences.append(event.sequence)
                    if self.answers:
                        link.respond(event.sequence, DeliverSmResp())
                elif event.pdu.response is not None:
                    link.respond(event.sequence, event.pdu.response())
            elif isinstance(event, Refused):
                self.refused.append(event)
            elif isinstance(event, Broken):
                self.closed.set()

    def drained(self, link: Link) -> None: ...

    def lost(self, link: Link, error: Exception | None, unanswered: Sequence[Unanswered]) -> None:
        self.closed.set()
        for each in unanswered:
            if not each.token.done():
                each.token.set_exception(ConnectionError("lost"))
                each.token.exception()

    def begin(self, pdu: Request) -> "asyncio.Future[Any]":
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.link.send(pdu, future)
        return future

    async def ask(self, pdu: Request) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await self.begin(pdu)

    async def got(self, count: int = 1) -> list[DeliverSm]:
        await true(lambda: len(self.delivered) >= count)
        return self.delivered


class House:
    def __init__(self, columba: Columba) -> None:
        self.columba = columba
        self.app = columba.app
        self.port = columba.app.smpp.ports[0]
        self.programs: list[Program] = []

    async def login(self, limits: Limits = Limits(), **more: Any) -> Login:  # noqa: B008
        secret = await self.columba.key(**more)
        key = self.app.keys.check(secret)
        assert key is not None
        return await self.give(key, limits)

    async def give(self, key: Key, limits: Limits = Limits()) -> Login:  # noqa: B008
        password = new_password(os.urandom)
        await self.app.logins.put(key, password, os.urandom(16), limits)
        return Login(key, system_id(key.id), password)

    async def connect(self) -> Program:
        program = Program()
        self.programs.append(program)
        await connect(
            "127.0.0.1", self.port, program, lambda now: Session(Role.ESME, now=now, window=10_000, enquire_after=None)
        )
        return program

    async def bind(
        self, login: Login, kind: type[Any] = BindTransceiver, password: str | None = None, **fields: Any
    ) -> tuple[Program, BindResponse]:
        program = await self.connect()
        secret = login.password if password is None else password
        return program, await program.ask(kind(system_id=login.system_id, password=secret, **fields))

    async def bound(self, login: Login | None = None, kind: type[Any] = BindTransceiver, **fields: Any) -> Program:
        program, resp = await self.bind(login or await self.login(), kind, **fields)
        assert resp.status == Status.ESME_ROK
        return program

    async def message(self, shown: str) -> Any:
        """What GET /v1/messages/{id} says."""
        reply = await self.columba.whole("GET", f"/v1/messages/{shown}")
        assert reply.status == 200, reply.body
        return reply.json

    async def messages(self) -> list[Any]:
        """All of them, the oldest first."""
        found: list[Any] = []
        more = ""
        while True:
            reply = await self.columba.whole("GET", f"/v1/messages?limit=1000{more}")
            assert reply.status == 200, reply.body
            found += reply.json["data"]
            if reply.json["next_cursor"] is None:
                return found[::-1]
            more = f"&cursor={reply.json['next_cursor']}"

    async def texts_in(self, *texts: str, to: str = "12345", sender: str = "+447700900123") -> None:
        """People text in."""
        for text in texts:
            reply = await self.columba.whole("POST", "/v1/sandbox/inbound", {"from": sender, "to": to, "text": text})
            assert reply.status in (200, 201, 202), reply.body

    async def kept(self, login: Login) -> int:
        """How much waits for a login."""
        from columba.store.sql import Statement

        count = Statement("kept", (), (), "select count(*) from deliveries where endpoint_id = :lane")
        ((found,),) = await self.app.store.read(count, lane=-login.key.id)
        return int(found)

    def close(self) -> None:
        for program in self.programs:
            program.link.abort()


async def true(look: Callable[[], object]) -> None:
    """Wait until it is."""

    async def truth() -> object:
        return look()

    await eventually(truth)


def submit(text: bytes = b"Hello", to: str = "447700900123", **fields: Any) -> SubmitSm:
    usual: dict[str, Any] = {"source_addr": "12345", "dest_addr_ton": 1, "dest_addr_npi": 1}
    return SubmitSm(destination_addr=to, short_message=text, **{**usual, **fields})


def number(shown: str) -> int:
    found = ids.read("msg", shown)
    assert found is not None
    return found


LIVE, TEST = status.LIVE, status.TEST
