"""Kannel bound to us as it would be to a carrier, by the lines of docs/smpp.md: sending, and told about what comes.

Texts are compared character by character.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from columba.doors.smpp.logins import Limits
from tests import peers
from tests.doors.house import TEXTS, House, Login, true
from tests.peers.kannel import Kannel, kannel
from tests.program import Sink

DELIVERED, UNDELIVERED = "1", "2"  # Kannel's own numbers for what became of a text
INBOUND = "?from=%p&to=%P&text=%b&charset=%C&coding=%c"
CODINGS = {"0": "utf-8", "2": "utf-16-be"}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "kannel"
    folder.mkdir()
    return folder


@contextlib.asynccontextmanager
async def bound(house: House, login: Login, sink: Sink, folder: Path, **more: object) -> AsyncIterator[Kannel]:
    try:
        async with kannel(folder, house.port, login[1:], f"{sink.url}/in{INBOUND}", **more) as peer:
            yield peer
    except peers.Missing as why:
        peers.do_without("Kannel", why)


def told(sink: Sink, path: str) -> list[dict[str, str]]:
    """What Kannel has told the sink at this path: the query of each request, as latin-1 where it is no UTF-8."""
    asked = (urlsplit(request.path) for request in sink.requests)
    return [
        {name: values[0] for name, values in parse_qs(each.query, True, encoding="latin-1").items()}
        for each in asked
        if each.path == path
    ]


async def send(peer: Kannel, sink: Sink, text: str, n: int, to: str = "447700900123") -> None:
    fields = {"to": to, "from": "12345", "text": text, "charset": "UTF-8"}
    if text in (TEXTS["Cyrillic"], TEXTS["long Unicode"]):
        fields["coding"] = "2"
    dlr_url = f"{sink.url}/receipt?n={n}&state=%d&id=%F"
    answer = await peer.send(**fields, dlr_mask="31", dlr_url=dlr_url)
    assert answer.status == 202, answer


async def test_texts_and_receipts(sqlite_house: House, sink: Sink, folder: Path) -> None:
    async with bound(sqlite_house, await sqlite_house.login(), sink, folder) as peer:
        for n, text in enumerate(TEXTS.values()):
            await send(peer, sink, text, n)
        await send(peer, sink, "to nobody", 9, to="447700900002")
        ended = {str(n): DELIVERED for n in range(len(TEXTS))} | {"9": UNDELIVERED}
        await true(lambda: ended.items() <= {each["n"]: each["state"] for each in told(sink, "/receipt")}.items())
    assert sorted(each["text"] for each in await sqlite_house.messages()) == sorted([*TEXTS.values(), "to nobody"])
    finals = [each for each in told(sink, "/receipt") if each["state"] in (DELIVERED, UNDELIVERED)]
    assert Counter(each["n"] for each in finals) == Counter(ended.keys())


async def test_texts_from_people(sqlite_house: House, sink: Sink, folder: Path) -> None:
    async with bound(sqlite_house, await sqlite_house.login(), sink, folder):
        await sqlite_house.texts_in(*TEXTS.values())
        await true(lambda: len(told(sink, "/in")) == len(TEXTS))
    came = told(sink, "/in")
    texts = [each["text"].encode("latin-1").decode(CODINGS[each["coding"]]) for each in came]
    assert sorted(texts) == sorted(TEXTS.values())
    assert {(each["from"], each["to"]) for each in came} == {("+447700900123", "12345")}


async def test_cut_off_in_the_middle(sqlite_house: House, sink: Sink, folder: Path) -> None:
    """Each text is there, and what it was told of is what is there; only what was on the wire may be there twice."""
    login = await sqlite_house.login()
    window = 10
    async with bound(sqlite_house, login, sink, folder, max_pending_submits=window) as peer:
        loads = [asyncio.create_task(burst(peer, sink, range(n, 300, 6))) for n in range(6)]
        await true(lambda: sqlite_house.app.accept.accepted > 50)
        await cut(sqlite_house)
        await asyncio.gather(*loads)
        await true(lambda: len({e["n"] for e in told(sink, "/receipt") if e["state"] == DELIVERED}) == 300)
    texts = Counter(each["text"] for each in await sqlite_house.messages())
    assert set(texts) == {f"n={n}" for n in range(300)}
    assert texts.total() - 300 <= window


async def cut(house: House) -> None:
    (session,) = [each for each in house.app.smpp.sessions if each.bound]
    session.abort()
    await true(lambda: not house.app.smpp.binds)


async def burst(peer: Kannel, sink: Sink, numbers: range) -> None:
    for n in numbers:
        await send(peer, sink, f"n={n}", n)


async def test_a_connection_that_is_quiet_is_kept_alive(sqlite_house: House, sink: Sink, folder: Path) -> None:
    login = await sqlite_house.login()
    async with bound(sqlite_house, login, sink, folder, enquire_link_interval=1) as peer:
        await true(lambda: peer.log.count("enquire_link_resp") >= 2)
        assert sqlite_house.app.smpp.binds == 1


async def test_a_kannel_that_is_throttled_loses_nothing(sqlite_house: House, sink: Sink, folder: Path) -> None:
    """What it has kept while it was cut off comes at once, and is more than the window."""
    login = await sqlite_house.login(Limits(window=6))
    async with bound(sqlite_house, login, sink, folder, max_pending_submits=10) as peer:
        await cut(sqlite_house)
        await asyncio.gather(*(send(peer, sink, f"n={n}", n) for n in range(10)))
        await true(lambda: len({e["n"] for e in told(sink, "/receipt") if e["state"] == DELIVERED}) == 10)
        assert "Throttling error" in peer.log
    texts = Counter(each["text"] for each in await sqlite_house.messages())
    assert texts == Counter(f"n={n}" for n in range(10))
