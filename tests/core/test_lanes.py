"""What goes next on a lane: priority, fairness, a person's order, rate and window, and the store behind the memory."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from columba.core import status
from columba.core.contract import Carrier, Outcome, Part
from columba.core.flight import MAX_ATTEMPTS
from columba.core.lanes import Pace
from columba.core.model import Message
from columba.core.submission import Submission
from tests.core.rig import (
    FAILED,
    NORTH,
    RETRY,
    SENT,
    SHORT,
    THROTTLED,
    UNKNOWN,
    UNSENT,
    Clock,
    Network,
    Rig,
    Session,
    running,
    until,
)

ANN, BOB = "+447700900001", "+447700900002"
LONG = "This text is so long that it takes three parts. " * 9


def hold(_part: Part) -> Outcome | None:
    return None


def carrier(**how: Any) -> Carrier:
    return Carrier(64, None, "north", "stand-in", status.LIVE, {}, **how)


def others(count: int, **how: Any) -> list[Submission]:
    return [Submission(f"+44770091{n:04}", f"text {n}", **how) for n in range(count)]


# Priority and fairness


async def test_a_one_time_code_overtakes_a_campaign(place: Path | str, clock: Clock, network: Network) -> None:
    network.answer = hold
    size = 100_000 if isinstance(place, Path) else 10_000
    async with running(place, network, clock, carriers=[carrier(window=10)]) as rig:
        for _ in range(size // 10_000):
            await rig.say_all(others(10_000, klass=status.MARKETING))
        await until(lambda: len(network.sent) == 10)
        lane = rig.lanes.owned[64]
        assert lane.waiting <= rig.lanes.pace.room
        code = await rig.say(ANN, "1234", klass=status.OTP)
        note = await rig.say(ANN, "on its way")
        network.give(network.waiting[0], SENT)
        await until(lambda: len(network.sent) == 11)
        network.give(network.waiting[0], SENT)
        await until(lambda: len(network.sent) == 12)
        assert network.ids[10:] == [code.id, note.id]
        lane.close()  # nobody waits for the rest
        rig.crash()


async def test_accounts_that_share_a_lane_take_turns(tmp_path: Path, clock: Clock, network: Network) -> None:
    network.answer = hold
    async with running(tmp_path, network, clock, carriers=[carrier(window=1)]) as rig:
        await rig.say_all(others(300), account=1)
        await rig.say_all(others(3), account=2)
        await rig.say_all(others(2), account=3)
        network.answer = lambda _part: SENT
        network.give_all()
        await until(lambda: len(network.sent) == 305)
        accounts = {row[0]: row[8] for row in await rig.look("messages")}
        order = [accounts[an_id] for an_id in network.ids]
        assert order[:11] == [1, 1, 2, 3, 1, 2, 3, 1, 2, 1, 1] or order[:11] == [1, 2, 3, 1, 2, 3, 1, 2, 1, 1, 1]


async def test_what_was_accepted_first_goes_first(laptop: Rig, network: Network) -> None:
    said = [await laptop.say(text=f"{n}") for n in range(50)]
    await until(lambda: len(network.sent) == 50)
    assert network.ids == [message.id for message in said]


# Window and rate


@pytest.mark.parametrize(("text", "most"), [("short", 7), (LONG, 9)], ids=["one part", "three parts"])
async def test_no_more_is_out_than_the_window_takes(
    tmp_path: Path, clock: Clock, network: Network, text: str, most: int
) -> None:
    """A message's parts go together: the last may stand over by what it has more than one."""
    network.answer = hold
    async with running(tmp_path, network, clock, carriers=[carrier(window=7)]) as rig:
        await rig.say_all([Submission(f"+44770091{n:04}", text) for n in range(40)])
        parts = 40 * (3 if text is LONG else 1)
        for given in range(0, parts, 3):
            await until(lambda given=given: len(network.waiting) >= min(7, parts - given))  # type: ignore[misc]
            assert len(network.waiting) <= most
            for sent in network.waiting[:3]:
                network.give(sent, SENT)
        await until(lambda: len(network.sent) == parts and not network.waiting)


async def test_no_faster_than_the_rate(tmp_path: Path, clock: Clock, network: Network) -> None:
    loop = asyncio.get_running_loop()
    at: list[float] = []

    def note(_part: Part) -> Outcome:
        at.append(loop.time())
        return SENT

    network.answer = note
    rate = 400.0
    async with running(tmp_path, network, clock, carriers=[carrier(rate=rate)]) as rig:
        await rig.say_all(others(150))
        await until(lambda: len(at) == 150)
    burst = rate / 20 + 1
    for n in range(0, 150, 10):
        for m in range(n + 1, 150, 10):
            assert m - n <= burst + (at[m] - at[n]) * rate


async def test_a_paused_carrier_gets_nothing_until_it_is_resumed(laptop: Rig, network: Network) -> None:
    laptop.carriers = {64: carrier(state="paused")}
    laptop.lanes.refresh()
    await until(lambda: laptop.lanes.owned[64].spec.paused)
    message = await laptop.say()
    await until(lambda: laptop.lanes.owned[64].waiting == 1)
    assert network.sent == []
    laptop.carriers = {64: carrier()}
    laptop.lanes.refresh()
    await laptop.reaches(message, "sent")


async def test_a_session_that_is_down_gets_nothing_until_it_is_up(laptop: Rig, network: Network) -> None:
    network.sessions[0].air.ready(False, "disconnected")
    message = await laptop.say()
    await until(lambda: laptop.lanes.owned[64].waiting == 1)
    assert network.sent == []
    network.sessions[0].air.ready(True, "")
    await laptop.reaches(message, "sent")


# Another try


@pytest.mark.parametrize(
    ("outcome", "waits"),
    [
        (RETRY, [2_000, 4_000, 8_000, 16_000]),
        (UNKNOWN, [2_000, 4_000, 8_000, 16_000]),
        (THROTTLED, [250, 500, 1_000, 2_000]),
    ],
    ids=["retry", "unknown", "throttled"],
)
async def test_the_wait_grows_by_the_kind_of_error(
    rig: Rig, network: Network, outcome: Outcome, waits: list[int]
) -> None:
    network.answer = lambda _part: outcome
    message = await rig.say()
    for n, wait in enumerate(waits, 1):
        kept = await rig.tried(message, n)
        assert kept.status == status.QUEUED
        assert kept.due_at - rig.clock() == wait
        rig.clock.forward(wait)
    network.answer = lambda _part: SENT
    await rig.reaches(message, "sent")
    assert await rig.events(message) == ["queued", "sent"]


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 1_600), (0.25, 1_800), (1.0, 2_400)])
async def test_the_wait_is_jittered(tmp_path: Path, clock: Clock, network: Network, drawn: float, wait: int) -> None:
    network.answer = lambda _part: RETRY
    async with running(tmp_path, network, clock, random=lambda: drawn) as rig:
        message = await rig.say()
        assert (await rig.tried(message, 1)).due_at - clock() == wait


async def test_the_wait_has_a_limit_and_so_have_the_tries(rig: Rig, network: Network) -> None:
    network.answer = hold
    message = await rig.say(valid_for=14 * 86_400)
    await until(lambda: len(network.waiting) == 1)
    network.waiting[0].part.flight.message.attempts = MAX_ATTEMPTS - 2
    network.give_all(RETRY)
    kept = await rig.tried(message, MAX_ATTEMPTS - 1)
    assert kept.due_at - rig.clock() == 900_000
    network.answer = lambda _part: RETRY
    rig.clock.forward(900_000)
    await rig.reaches(message, "failed")
    kept = await rig.message(message)
    assert (kept.attempts, kept.error, kept.carrier_code) == (MAX_ATTEMPTS, "carrier_failed", "SYSERR")
    assert await rig.events(message) == ["queued", "failed"]


async def test_a_long_jam_does_not_use_up_the_tries(laptop: Rig, network: Network) -> None:
    network.answer = hold
    message = await laptop.say()
    await until(lambda: len(network.waiting) == 1)
    network.waiting[0].part.flight.message.attempts = 7
    network.answer = lambda _part: THROTTLED
    network.give_all(THROTTLED)
    for _ in range(4):
        seen = len(network.sent)
        await until_due_again(laptop, message)
        await until(lambda seen=seen: len(network.sent) > seen)  # type: ignore[misc]
    kept = await laptop.tried(message, 7)
    assert kept.status == status.QUEUED


async def until_due_again(rig: Rig, message: Message) -> None:
    async def postponed() -> bool:
        return (await rig.message(message)).due_at > rig.clock()

    await until(postponed)
    due = (await rig.message(message)).due_at
    assert due - rig.clock() <= 30_000
    rig.clock.forward(due - rig.clock())


async def test_what_never_left_is_no_try(laptop: Rig, network: Network) -> None:
    network.answer = lambda _part: UNSENT
    message = await laptop.say()
    await until_due_again(laptop, message)
    assert (await laptop.message(message)).attempts == 0
    network.answer = lambda _part: SENT
    laptop.clock.forward(200)
    await laptop.reaches(message, "sent")


async def test_what_the_carrier_refuses_has_failed(laptop: Rig, network: Network) -> None:
    network.answer = lambda _part: FAILED
    message = await laptop.say()
    await laptop.reaches(message, "failed")
    kept = await laptop.message(message)
    assert (kept.error, kept.carrier_code) == ("unknown_number", "INVDST")
    await laptop.past()
    assert len(network.to(message.to)) == 1


async def test_only_parts_that_were_not_taken_go_again(rig: Rig, network: Network) -> None:
    network.answer = lambda part: RETRY if part.n == 2 and part.attempt == 0 else SENT
    message = await rig.say(text=LONG)
    await rig.tried(message, 1)
    rig.clock.forward(2_000)
    await rig.reaches(message, "sent")
    assert [sent.part.n for sent in network.sent] == [1, 2, 3, 2]
    assert len({sent.part.ref for sent in network.sent}) == 1
    assert [row[1:4] for row in await rig.look("parts")] == [(n, f"{message.id}-{n}", status.SENT) for n in (1, 2, 3)]


async def test_a_carrier_that_breaks_is_no_end_of_the_lane(
    laptop: Rig, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "send", broken)
        message = await laptop.say()
        await laptop.tried(message, 1)
    laptop.clock.forward(2_000)
    await laptop.reaches(message, "sent")


# A person's order


async def test_texts_to_one_person_wait_behind_one_that_is_retried(rig: Rig, network: Network) -> None:
    network.answer = lambda part: RETRY if part.text == "1" and not part.attempt else SENT
    first = await rig.say(ANN, "1")
    await rig.tried(first, 1)
    await rig.say(ANN, "2")
    await rig.say(ANN, "3")
    await rig.past()
    assert network.to(ANN) == ["1"]
    rig.clock.forward(1_999)
    await rig.past()
    assert network.to(ANN) == ["1"]
    rig.clock.forward(1)
    await rig.say(ANN, "4")
    await rig.passes(lambda: len(network.to(ANN)) == 5)
    assert network.to(ANN) == ["1", "1", "2", "3", "4"]


@pytest.mark.parametrize("drawn", [[1.0, 0.0], [0.0, 1.0]], ids=["first later", "first sooner"])
@pytest.mark.parametrize("answered", ["1 2", "2 1", "12"])
async def test_two_that_are_retried_keep_their_order(
    place: Path | str, clock: Clock, network: Network, drawn: list[float], answered: str
) -> None:
    """Whatever each one's jitter, and in whatever order the carrier refused them."""
    network.answer = hold
    async with running(place, network, clock, random=lambda: drawn.pop(0) if drawn else 0.5) as rig:
        both = [await rig.say(ANN, text) for text in ("1", "2")]
        await until(lambda: len(network.waiting) == 2)
        waiting = {sent.part.text: sent for sent in network.waiting}
        network.answer = lambda _part: SENT
        for group in answered.split():
            for text in group:
                network.give(waiting[text], RETRY)
            for text in group:
                await rig.tried(both[int(text) - 1], 1)
        await rig.say(ANN, "3")
        for _ in range(40):
            clock.forward(100)
            await rig.past(BOB)
        await until(lambda: len(network.to(ANN)) == 5)
        assert network.to(ANN)[2:] == ["1", "2", "3"]


async def test_one_that_is_held_back_is_not_overtaken_by_one_behind_it(
    tmp_path: Path, clock: Clock, network: Network
) -> None:
    """The second comes to its turn just before the first is tried again, and the third just after."""
    network.answer = hold

    def flying() -> list[str]:
        return [each.part.text for each in network.waiting]

    async with running(tmp_path, network, clock, carriers=[carrier(window=1)]) as rig:
        first = await rig.say(ANN, "1")
        await until(lambda: flying() == ["1"])
        await rig.say(BOB, "b")
        second = await rig.say(ANN, "2")
        await rig.say("+447700900003", "c")
        await rig.say(ANN, "3")
        network.give(network.waiting[0], RETRY)
        due = (await rig.tried(first, 1)).due_at
        await until(lambda: flying() == ["b"])
        clock.forward(due - 10 - clock())
        network.give(network.waiting[0], SENT)
        await until(lambda: flying() == ["c"])

        async def held_back() -> bool:
            return (await rig.message(second)).due_at > due

        await until(held_back)
        clock.forward(10)
        lane = rig.lanes.owned[64]
        await until(lambda: first.id in lane.held)  # and not the second, which is not due yet
        network.give(network.waiting[0], SENT)
        await until(lambda: flying() == ["1"])
        network.answer = lambda _part: SENT
        network.give(network.waiting[0], SENT)
        for _ in range(10):
            clock.forward(100)
            await rig.past(BOB)
        await until(lambda: len(network.to(ANN)) == 4)
        assert network.to(ANN) == ["1", "1", "2", "3"]


async def test_two_that_are_retried_keep_their_order_through_a_crash(
    place: Path | str, clock: Clock, network: Network
) -> None:
    network.answer = hold
    drawn = [1.0, 0.0]
    async with running(place, network, clock, "one", random=lambda: drawn.pop(0) if drawn else 0.5) as rig:
        both = [await rig.say(ANN, text) for text in ("1", "2")]
        await until(lambda: len(network.waiting) == 2)
        for sent, message in zip(list(network.waiting), both, strict=True):
            network.give(sent, RETRY)
            await rig.tried(message, 1)
        rig.crash()
    network.answer = lambda _part: SENT
    async with running(place, network, clock, "two", pace=SHORT) as rig:
        await rig.passes(lambda: len(network.to(ANN)) == 4, ms=20)
        assert network.to(ANN)[2:] == ["1", "2"]


async def test_what_waits_behind_is_held_back_in_the_store(place: Path | str, clock: Clock, network: Network) -> None:
    """And nothing else is."""
    network.answer = hold
    async with running(place, network, clock, carriers=[carrier(window=1)]) as rig:
        first = await rig.say(ANN, "1", klass=status.MARKETING)
        await until(lambda: len(network.waiting) == 1)
        behind = await rig.say(ANN, "2", klass=status.MARKETING)
        short = await rig.say(ANN, "3", klass=status.MARKETING, valid_for=1)
        free = [
            await rig.say(BOB, "2", klass=status.MARKETING),
            await rig.say(ANN, "2", klass=status.MARKETING, account=2),
            await rig.say(ANN, "2", klass=status.OTP),
        ]
        network.give_all(RETRY)
        due = (await rig.tried(first, 1)).due_at
        assert due == clock() + 2_000
        assert (await rig.message(behind)).due_at == due + 1
        assert (await rig.message(short)).due_at == short.expires_at
        assert all([(await rig.message(each)).due_at == clock() for each in free])


async def test_nobody_else_waits(laptop: Rig, network: Network) -> None:
    """Other people, other accounts, other classes."""
    network.answer = lambda part: RETRY if part.text == "1" else SENT
    first = await laptop.say(ANN, "1", klass=status.MARKETING)
    await laptop.tried(first, 1)
    behind = await laptop.say(ANN, "2", klass=status.MARKETING)
    free = [
        await laptop.say(BOB, "2", klass=status.MARKETING),
        await laptop.say(ANN, "2", klass=status.MARKETING, account=2),
        await laptop.say(ANN, "2", klass=status.TRANSACTIONAL),
        await laptop.say(ANN, "2", klass=status.OTP),
    ]
    for message in free:
        await laptop.reaches(message, "sent")
    assert await laptop.status(behind) == "queued"


async def test_each_waits_for_its_own_predecessor_only(laptop: Rig, network: Network) -> None:
    """One person's long wait is not another's."""
    network.answer = hold
    slow = await laptop.say(ANN, "1")
    quick = await laptop.say(BOB, "1")
    await until(lambda: len(network.waiting) == 2)
    network.waiting[0].part.flight.message.attempts = 9
    network.answer = lambda part: SENT
    network.give_all(RETRY)
    await laptop.tried(slow, 10)
    await laptop.tried(quick, 1)
    await laptop.say_all([Submission(ANN, "2"), Submission(BOB, "2")])
    await laptop.past()
    laptop.clock.forward(2_500)
    await until(lambda: network.to(BOB) == ["1", "1", "2"])
    assert network.to(ANN) == ["1"]


async def test_one_that_was_sent_meanwhile_does_not_free_those_behind(rig: Rig, network: Network) -> None:
    network.answer = hold
    first, second = [await rig.say(ANN, text) for text in ("1", "2")]
    await until(lambda: len(network.waiting) == 2)
    one, two = network.waiting
    network.give(one, RETRY)
    await rig.tried(first, 1)
    network.give(two, SENT)
    await rig.reaches(second, "sent")
    network.answer = lambda _part: SENT
    await rig.say(ANN, "3")
    await rig.past()
    assert network.to(ANN) == ["1", "2"]
    rig.clock.forward(2_000)
    await rig.passes(lambda: len(network.to(ANN)) == 4)
    assert network.to(ANN) == ["1", "2", "1", "3"]


async def test_a_wire_that_keeps_no_order_gets_one_text_a_person_at_a_time(
    tmp_path: Path, clock: Clock, network: Network
) -> None:
    network.answer = hold
    async with running(tmp_path, network, clock, carriers=[carrier(serial=True)]) as rig:
        for n in range(5):
            await rig.say(ANN, f"{n}")
            await rig.say(BOB, f"{n}")
        for n in range(5):
            await until(lambda n=n: len(network.sent) == 2 * n + 2)  # type: ignore[misc]
            assert {sent.part.text for sent in network.waiting} == {f"{n}"}
            network.give_all()
        assert network.to(ANN) == network.to(BOB) == ["0", "1", "2", "3", "4"]


# Memory and the store


@pytest.mark.parametrize("answers", ["at once", "a few at a time"])
async def test_what_memory_does_not_take_is_read_back(
    place: Path | str, clock: Clock, network: Network, answers: str
) -> None:
    """Nothing twice, nothing lost, each account's in its order, while settling races with reading back."""
    if answers != "at once":
        network.answer = hold
    draw = random.Random(7)
    room = 20
    async with running(
        place, network, clock, carriers=[carrier(window=15)], pace=Pace(0 + 6_000, 0.05, 0.1, room)
    ) as rig:
        said: list[Message] = []

        async def say(account: int) -> None:
            for n in range(12):
                asked = [Submission(f"+4477009{account}{n:02}{m:02}", f"{n}.{m}") for m in range(25)]
                said.extend(each for each in await rig.say_all(asked, account) if isinstance(each, Message))
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(say(account)) for account in (1, 2)]
        lane = rig.lanes.owned[64]
        while len(network.sent) < 600 or network.waiting:
            assert lane.waiting <= 2 * room
            for sent in draw.sample(network.waiting, min(len(network.waiting), draw.randint(0, 6))):
                network.give(sent, SENT)
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        assert set(Counter(network.ids).values()) == {1}
        assert set(network.ids) == {message.id for message in said}
        for account in (1, 2):
            mine = [message.id for message in said if message.account_id == account]
            assert [an_id for an_id in network.ids if an_id in set(mine)] == sorted(mine)

        async def all_sent() -> bool:
            return set((await rig.statuses()).values()) == {"sent"}

        await until(all_sent)


async def test_after_a_read_new_work_goes_through_memory_again(laptop: Rig, network: Network) -> None:
    """What is accepted while the store is being read doesn't make it be read again, and so for ever."""
    network.answer = hold
    lane = laptop.lanes.owned[64]
    reads = 0
    real = laptop.sending.refill

    async def counted(*how: Any) -> Any:
        nonlocal reads
        reads += 1
        found = await real(*how)
        await laptop.say(BOB, "meanwhile")
        return found

    laptop.sending.refill = counted  # type: ignore[method-assign, assignment]
    await laptop.say(ANN, "1")
    lane.in_store(status.TRANSACTIONAL, 1, 0)
    await until(lambda: reads > 0 and not lane._more)
    assert reads < 10
    await until(lambda: network.to(BOB) != [])
    laptop.sending.refill = real  # type: ignore[method-assign]


async def test_a_read_that_fails_is_tried_again(rig: Rig, network: Network) -> None:
    network.answer = hold
    asked = others(rig.lanes.pace.room + 300)
    await rig.say_all(asked)
    network.answer = lambda _part: SENT
    rig.store.away = True
    network.give_all()
    await until(lambda: not network.waiting)
    rig.store.away = False
    await until(lambda: len(network.sent) == len(asked))
    assert set(Counter(network.ids).values()) == {1}


async def test_carriers_come_and_go(rig: Rig, network: Network) -> None:
    await until(lambda: set(rig.lanes.owned) == {64})
    rig.carriers = {64: NORTH, 128: Carrier(128, None, "south", "stand-in", status.LIVE, {})}
    rig.lanes.refresh()
    await until(lambda: set(rig.lanes.owned) == {64, 128})
    rig.carriers = {128: rig.carriers[128]}
    rig.lanes.refresh()
    await until(lambda: set(rig.lanes.owned) == {128})
    await until(lambda: [each.carrier.id for each in network.sessions if not each.closed] == [128])

    async def let_go() -> bool:
        return {row[0]: row[1] for row in await rig.look("lanes")} == {64: "", 128: "one"}

    await until(let_go)


async def test_a_lane_that_is_let_go_is_free_even_if_the_store_was_away_just_then(rig: Rig) -> None:
    rig.store.away = True
    rig.carriers = {}
    rig.lanes.refresh()
    await until(lambda: not rig.lanes.owned)
    rig.store.away = False

    async def free() -> bool:
        return {row[0]: row[1] for row in await rig.look("lanes")} == {64: ""}

    await until(free)


async def test_a_new_revision_opens_a_new_session_when_the_old_has_answered(laptop: Rig, network: Network) -> None:
    network.answer = hold
    first = await laptop.say()
    await until(lambda: len(network.waiting) == 1)
    laptop.carriers = {64: carrier(revision=1)}
    laptop.lanes.refresh()
    await until(lambda: laptop.lanes.owned[64].draining)
    second = await laptop.say(BOB)
    assert len(network.sessions) == 1
    network.answer = lambda _part: SENT
    network.give_all()
    await laptop.reaches(first, "sent")
    await laptop.reaches(second, "sent")
    assert [session.closed for session in network.sessions] == [True, False]
    assert network.ids == [first.id, second.id]
