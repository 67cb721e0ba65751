"""Texts from people: each recorded once, long ones joined whatever happens to their parts."""

import asyncio
import itertools
from pathlib import Path

import pytest

from columba.core.contract import Fragment, Inbound
from columba.core.inbound import GAP, KEPT_MS
from columba.core.model import Message
from columba.store import StoreUnavailable, statements
from columba.text import Concat, Header, decode, gsm
from tests.core.rig import NORTH, Clock, Network, Rig, running

LOOK = statements(Path(__file__).with_name("inbound.sql"))
WAIT_MS = 60_000


def piece(text: str, n: int, of: int, *, ref: int = 7, sender: str = "+447700900123", coding: int = 0) -> Inbound:
    octets = gsm.encode(text) if coding == 0 else text.encode("utf-16-be")
    return raw(octets, n, of, ref=ref, sender=sender, coding=coding)


def raw(octets: bytes, n: int, of: int, *, ref: int = 7, sender: str = "+447700900123", coding: int = 0) -> Inbound:
    body = decode(coding, Header(Concat(ref, of, n)).build() + octets, True)
    return Inbound(sender, "12345", body.text or "", (), None, Fragment(f"n{ref}", n, of, body, WAIT_MS))


async def receive(rig: Rig, *texts: Inbound) -> list[str | None]:
    return [message.text for message in await rig.receive.inbound(NORTH, texts, account_id=1)]


async def kept(rig: Rig) -> list[str]:
    return [str(row[0]) for row in await rig.store.read(LOOK["texts"])]


async def waiting(rig: Rig) -> int:
    return int((await rig.store.read(LOOK["waiting"]))[0][0])


async def test_a_text_is_recorded_with_its_event(rig: Rig) -> None:
    (message,) = await rig.receive.inbound(NORTH, [Inbound("447700900123", "12345", "hello 🕊")], account_id=1)
    assert (message.sender, message.to, message.text) == ("+447700900123", "12345", "hello 🕊")
    assert await rig.status(message) == "received"
    assert await rig.events(message) == ["received"]
    assert rig.receive.received == 1


@pytest.mark.parametrize("order", [*itertools.permutations((1, 2, 3))])
async def test_parts_make_a_text_in_any_order(rig: Rig, order: tuple[int, ...]) -> None:
    parts = {1: piece("one ", 1, 3), 2: piece("two ", 2, 3), 3: piece("three", 3, 3)}
    for n in order[:-1]:
        assert await receive(rig, parts[n]) == []
    assert await receive(rig, parts[order[-1]]) == ["one two three"]
    assert await kept(rig) == ["one two three"]
    assert await waiting(rig) == 0


async def test_parts_that_come_together(rig: Rig) -> None:
    assert await receive(rig, *(piece(f"{n},", n, 10) for n in range(1, 11))) == ["1,2,3,4,5,6,7,8,9,10,"]
    (row,) = await rig.look("messages")
    assert row[6] == 10  # segments


async def test_parts_that_come_at_once_by_several_ways(rig: Rig) -> None:
    """Two binds bring a part each in the same moment: the text is there once."""
    for ref in range(30):
        found = await asyncio.gather(receive(rig, piece("a", 1, 2, ref=ref)), receive(rig, piece("b", 2, 2, ref=ref)))
        assert sorted(map(len, found)) in ([0, 1], [0, 0])
    assert await kept(rig) == ["ab"] * 30


async def test_a_character_cut_in_two_is_whole_again(rig: Rig) -> None:
    octets = "dove 🕊".encode("utf-16-be")
    assert await receive(rig, raw(octets[:12], 1, 2, coding=8), raw(octets[12:], 2, 2, coding=8)) == ["dove 🕊"]


async def test_parts_of_several_alphabets(rig: Rig) -> None:
    assert await receive(rig, piece("plain ", 1, 2), piece("Ж", 2, 2, coding=8)) == ["plain Ж"]


async def test_who_wrote_it_and_its_reference_keep_texts_apart(rig: Rig) -> None:
    await receive(rig, piece("a1", 1, 2), piece("b1", 1, 2, sender="+447700900124"), piece("c1", 1, 2, ref=8))
    assert await receive(rig, piece("b2", 2, 2, sender="+447700900124")) == ["b1b2"]
    assert await receive(rig, piece("c2", 2, 2, ref=8)) == ["c1c2"]
    assert await receive(rig, piece("a2", 2, 2)) == ["a1a2"]


async def test_a_part_that_comes_again_is_dropped(rig: Rig, clock: Clock) -> None:
    await receive(rig, piece("one ", 1, 2), piece("one ", 1, 2))
    await receive(rig, piece("one ", 1, 2))
    assert await receive(rig, piece("two", 2, 2)) == ["one two"]
    for n, text in ((1, "one "), (2, "two")):  # all of it again, because an answer was lost
        assert await receive(rig, piece(text, n, 2)) == []
    clock.forward(WAIT_MS + 1)
    assert await rig.receive.inbox.join_due() == 0
    assert await kept(rig) == ["one two"]


async def test_a_reference_that_is_used_again(rig: Rig, clock: Clock) -> None:
    assert await receive(rig, piece("one ", 1, 2), piece("two", 2, 2)) == ["one two"]
    assert await receive(rig, piece("three ", 1, 2), piece("four", 2, 2)) == ["three four"]
    # Two texts at once under one reference: nobody can tell whose part is whose, but nothing is lost.
    await receive(rig, piece("A", 1, 2), piece("C", 1, 2))
    assert await receive(rig, piece("B", 2, 2)) == ["AB"]
    assert await receive(rig, piece("D", 2, 2)) == ["CD"]
    clock.forward(WAIT_MS + KEPT_MS + 1)
    await rig.receive.sweep()
    assert await rig.store.read(LOOK["all"]) == []
    assert await receive(rig, piece("one ", 1, 2), piece("two", 2, 2)) == ["one two"]


@pytest.mark.parametrize(
    ("there", "text", "missing"),
    [
        ([1, 2], f"ab{GAP}", [3, 4]),
        ([4], f"{GAP}d", [1, 2, 3]),
        ([1, 4], f"a{GAP}d", [2, 3]),
        ([2], f"{GAP}b{GAP}", [1, 3, 4]),
    ],
)
async def test_what_stays_incomplete_is_recorded_with_a_mark(
    rig: Rig, clock: Clock, there: list[int], text: str, missing: list[int]
) -> None:
    for n in there:
        await receive(rig, piece("abcd"[n - 1], n, 4))
        clock.forward(1_000)
    clock.forward(WAIT_MS - 1_000 * len(there) - 1)
    assert await rig.receive.inbox.join_due() == 0
    clock.forward(1)
    assert await rig.receive.inbox.join_due() == 1
    assert await rig.receive.inbox.join_due() == 0
    assert await rig.store.read(LOOK["texts"]) == [
        (text, f'{{"metadata":{{"parts":4,"missing_parts":{missing}}}}}'.replace(" ", ""))
    ]
    late = piece("late", missing[0], 4)
    await receive(rig, late)
    clock.forward(WAIT_MS)
    assert await rig.receive.inbox.join_due() == 1
    assert "late" in (await kept(rig))[-1]


async def test_parts_survive_a_restart(place: Path | str, network: Network, clock: Clock) -> None:
    async with running(place, network, clock) as rig:
        await receive(rig, piece("one ", 1, 2), piece("alone", 1, 2, ref=9))
    async with running(place, network, clock) as rig:
        assert await receive(rig, piece("two", 2, 2)) == ["one two"]
        clock.forward(WAIT_MS)
        assert await rig.receive.inbox.join_due() == 1
        assert await kept(rig) == ["one two", f"alone{GAP}"]


async def test_a_text_whose_joining_failed_is_joined_when_its_last_part_comes_again(rig: Rig, clock: Clock) -> None:
    await receive(rig, piece("one ", 1, 2))
    commits, ours = 0, asyncio.current_task()

    def fail_the_second() -> None:
        nonlocal commits
        commits += asyncio.current_task() is ours  # others renew leases meanwhile
        if commits == 2:
            raise StoreUnavailable("away")

    rig.store.before_commit = fail_the_second
    with pytest.raises(StoreUnavailable):
        await receive(rig, piece("two", 2, 2))
    rig.store.before_commit = lambda: None
    assert await receive(rig, piece("two", 2, 2)) == ["one two"]
    assert await kept(rig) == ["one two"]


async def test_two_processes_join_a_text_once(place: Path | str, network: Network, clock: Clock) -> None:
    async with running(place, network, clock) as one, running(place, network, clock, token="two") as other:
        for ref in range(20):
            await receive(one, piece("a", 1, 3, ref=ref), piece("b", 2, 3, ref=ref))
        clock.forward(WAIT_MS)
        found = await asyncio.gather(*(each.receive.inbox.join_due() for each in (one, other) for _ in range(3)))
        assert sum(found) == 20
        assert await kept(one) == [f"ab{GAP}"] * 20


async def test_a_text_with_an_id_of_the_carriers_is_recorded_once(rig: Rig) -> None:
    def text(an_id: str, words: str) -> Inbound:
        return Inbound("+447700900123", "12345", words, (), an_id)

    assert await receive(rig, text("SM1", "one"), text("SM2", "two"), text("SM1", "one")) == ["one", "two"]
    assert await receive(rig, text("SM2", "two"), text("SM3", "three")) == ["three"]
    again = await asyncio.gather(*(receive(rig, text("SM4", "four")) for _ in range(5)))
    assert sorted(map(len, again)) == [0, 0, 0, 0, 1]
    assert await kept(rig) == ["one", "two", "three", "four"]
    assert rig.receive.received == 4


async def test_two_processes_record_it_once(place: Path | str, network: Network, clock: Clock) -> None:
    text = Inbound("+447700900123", "12345", "one", (), "SM1")
    async with running(place, network, clock) as one, running(place, network, clock, token="two") as other:
        found = await asyncio.gather(*(receive(each, text) for each in (one, other) for _ in range(3)))
        assert sorted(map(len, found)) == [0, 0, 0, 0, 0, 1]


async def test_what_is_no_text_is_kept(rig: Rig) -> None:
    body = decode(4, Header(Concat(7, 2, 1)).build() + b"\0\xff", True)
    rest = decode(4, Header(Concat(7, 2, 2)).build() + b"\x10", True)
    parts = [
        Inbound("+447700900123", "12345", "", (), None, Fragment("n7", n, 2, each, WAIT_MS))
        for n, each in ((1, body), (2, rest))
    ]
    messages = await rig.receive.inbound(NORTH, parts, account_id=1)
    assert [(message.text, message.extra.media) for message in messages] == [
        ("", ["data:application/octet-stream;base64,AP8Q"])
    ]


async def test_no_text_can_be_too_strange_to_keep(rig: Rig) -> None:
    strange = Inbound("a\0b", "\ud800", "x\0y\udfff", ("\0",), "i\0d")
    (message,) = await rig.receive.inbound(NORTH, [strange], account_id=1)
    assert isinstance(message, Message)
    assert "\0" not in str(message)
