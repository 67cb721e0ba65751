"""When nobody knows whether a text left: a second copy, or none. And what a process that died leaves behind."""

from collections import Counter
from pathlib import Path

import pytest

from columba.core import status
from columba.core.contract import Carrier, Outcome, Part
from columba.core.model import Message
from columba.core.submission import Submission
from tests.core.rig import RETRY, SENT, SHORT, THROTTLED, UNKNOWN, UNSENT, Clock, Network, Rig, running, until

ANN, BOB = "+447700900001", "+447700900002"
LONG = "This text is so long that it takes three parts. " * 9
CAREFUL = Carrier(64, None, "careful", "stand-in", status.LIVE, {}, on_unknown="unknown")


def hold(_part: Part) -> Outcome | None:
    return None


async def test_a_code_without_an_answer_is_unknown_and_never_sent_again(rig: Rig, network: Network) -> None:
    network.answer = lambda _part: UNKNOWN
    message = await rig.say(ANN, klass=status.OTP)
    await rig.reaches(message, "unknown")
    rig.clock.forward(3_600_000)
    await rig.past()
    assert len(network.to(ANN)) == 1
    assert await rig.events(message) == ["queued", "unknown"]
    assert (await rig.message(message)).error == "no_answer"


async def test_a_carrier_can_be_set_so_for_all(tmp_path: Path, network: Network, clock: Clock) -> None:
    network.answer = lambda _part: UNKNOWN
    async with running(tmp_path, network, clock, carriers=[CAREFUL]) as rig:
        message = await rig.say(ANN, klass=status.MARKETING)
        await rig.reaches(message, "unknown")
        assert len(network.sent) == 1


async def test_anything_else_is_sent_again(laptop: Rig, network: Network) -> None:
    network.answer = lambda part: SENT if part.attempt else UNKNOWN
    message = await laptop.say(ANN)
    await laptop.tried(message, 1)
    laptop.clock.forward(2_000)
    await laptop.reaches(message, "sent")
    assert len(network.sent) == 2


@pytest.mark.parametrize("refusal", [RETRY, THROTTLED, UNSENT], ids=["retry", "throttled", "unsent"])
async def test_a_code_that_the_carrier_did_not_take_is_tried_again(
    laptop: Rig, network: Network, refusal: Outcome
) -> None:
    tries = 0

    def answer(_part: Part) -> Outcome:
        nonlocal tries
        tries += 1
        return SENT if tries == 3 else refusal

    network.answer = answer
    message = await laptop.say(ANN, klass=status.OTP)
    await laptop.passes(lambda: tries == 3, ms=100)
    await laptop.reaches(message, "sent")
    assert tries == 3


async def test_of_a_long_code_the_unknown_part_decides(rig: Rig, network: Network) -> None:
    network.answer = lambda part: UNKNOWN if part.n == 2 else THROTTLED if part.n == 3 else SENT
    message = await rig.say(ANN, LONG, klass=status.OTP)
    await rig.reaches(message, "unknown")
    assert [row[1:4] for row in await rig.look("parts")] == [
        (1, f"{message.id}-1", status.SENT), (2, None, status.UNKNOWN), (3, None, status.UNKNOWN)
    ]  # fmt: skip


async def test_a_late_receipt_still_tells_the_truth(rig: Rig, network: Network) -> None:
    network.answer = lambda part: UNKNOWN if part.n == 3 else SENT
    message = await rig.say(ANN, LONG, klass=status.OTP)
    await rig.reaches(message, "unknown")
    await network.tell(f"{message.id}-1", status.UNDELIVERED)
    assert await rig.status(message) == "undelivered"


async def test_a_code_is_marked_before_it_is_on_the_wire(rig: Rig, network: Network) -> None:
    seen: list[bool] = []
    rig.store.away = False

    def answer(_part: Part) -> Outcome | None:
        seen.append(rig.store._store.backlog == 0)
        return None

    network.answer = answer
    message = await rig.say(ANN, klass=status.OTP)
    await until(lambda: len(network.waiting) == 1)
    assert [row[:4] for row in await rig.look("parts")] == [(message.id, 1, None, status.QUEUED)]


async def test_a_code_that_can_not_be_marked_is_not_sent(laptop: Rig, network: Network) -> None:
    message = await laptop.say(ANN, klass=status.OTP)
    laptop.store.away = True
    lane = laptop.lanes.owned[64]
    await until(lambda: not lane.flying and bool(lane.held))
    assert network.sent == []
    laptop.store.away = False
    await laptop.passes(lambda: len(network.sent) == 1)
    await laptop.reaches(message, "sent")
    laptop.clock.forward(60_000)
    await laptop.past()
    assert len(network.to(ANN)) == 1


# A process that died


async def test_after_a_crash_a_code_that_was_on_the_wire_is_unknown(
    place: Path | str, network: Network, clock: Clock
) -> None:
    network.answer = hold
    async with running(place, network, clock, "one") as rig:
        code = await rig.say(ANN, klass=status.OTP)
        note = await rig.say(BOB)
        await until(lambda: len(network.waiting) == 2)
        rig.crash()
    network.answer = lambda _part: SENT
    async with running(place, network, clock, "two", pace=SHORT) as rig:
        await rig.reaches(code, "unknown")
        await rig.reaches(note, "sent")
        assert await rig.events(code) == ["queued", "unknown"]
        assert network.to(ANN) == ["hello"]
        assert network.to(BOB) == ["hello", "hello"]


async def test_after_a_crash_what_was_accepted_is_sent(place: Path | str, network: Network, clock: Clock) -> None:
    network.answer = hold
    carrier = Carrier(64, None, "north", "stand-in", status.LIVE, {}, window=20)
    said: list[int] = []
    async with running(place, network, clock, "one", carriers=[carrier]) as rig:
        for klass in (status.OTP, status.TRANSACTIONAL, status.MARKETING):
            asked = [Submission(f"+4477009{klass}{n:04}", "x", klass=klass) for n in range(50)]
            said += [each.id for each in await rig.say_all(asked) if isinstance(each, Message)]
        await until(lambda: len(network.waiting) == 20)
        for sent in network.waiting[:5]:
            network.give(sent, SENT)
        rig.crash()
    network.answer = lambda _part: SENT
    async with running(place, network, clock, "two", carriers=[carrier], pace=SHORT) as rig:

        async def all_done() -> bool:
            return set((await rig.statuses()).values()) <= {"sent", "unknown"}

        await until(all_done)
        statuses = await rig.statuses()
        assert set(statuses) == set(said)
        copies = Counter(network.ids)
        codes = set(said[:50])
        assert all(copies[an_id] == 1 for an_id in codes)
        assert max(copies.values()) <= 2
        unknown = {an_id for an_id, name in statuses.items() if name == "unknown"}
        assert unknown <= codes


async def test_parts_that_were_sent_before_the_crash_are_not_sent_again(
    place: Path | str, network: Network, clock: Clock
) -> None:
    network.answer = lambda part: THROTTLED if part.n == 3 else SENT
    async with running(place, network, clock, "one") as rig:
        message = await rig.say(ANN, LONG)
        await rig.tried(message, 1)
        rig.crash()
    network.answer = lambda _part: SENT
    clock.forward(1_000)
    async with running(place, network, clock, "two", pace=SHORT) as rig:
        await rig.reaches(message, "sent")
        assert [sent.part.n for sent in network.sent] == [1, 2, 3, 3]


async def test_events_that_had_to_wait_for_the_store_come_after_those_that_did_not(
    laptop: Rig, network: Network
) -> None:
    network.answer = hold
    first = await laptop.say(ANN)
    await until(lambda: len(network.waiting) == 1)
    laptop.store.away = True
    tried = 0

    def count() -> None:
        nonlocal tried
        tried += 1

    laptop.store.before_commit = count
    network.give_all()
    await until(lambda: tried > 1)
    laptop.store.away = False
    second = await laptop.say(BOB)
    await laptop.reaches(first, "sent")
    ids = {(row[0], row[1]): row[3] for row in await laptop.look("events")}
    assert ids[first.id, status.SENT] > ids[second.id, status.QUEUED]
