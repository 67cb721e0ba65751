"""Several processes on one store: who owns which lane, and what happens when one comes, goes, dies or sleeps."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from columba.core import status
from columba.core.contract import Carrier, Outcome, Part, Receipt
from columba.core.lanes import Pace, share
from columba.core.model import Message
from columba.core.submission import Submission
from tests.core.rig import SENT, SHORT, Clock, Network, Rig, running, until

ANN, BOB = "+447700900001", "+447700900002"
WIDE = Carrier(64, None, "wide", "stand-in", status.LIVE, {}, lanes=8)
LANES = set(range(64, 72))
LASTING = Pace(tick_s=0.05, poll_s=0.1)


def hold(_part: Part) -> Outcome | None:
    return None


@contextlib.asynccontextmanager
async def two(
    place: Path | str, network: Network, clock: Clock, carrier: Carrier = WIDE, pace: Pace = LASTING
) -> AsyncIterator[tuple[Rig, Rig]]:
    """Two processes that have shared the lanes. What is to happen when a lease ends needs a SHORT one."""
    async with (
        running(place, network, clock, "one", [carrier], pace=pace) as one,
        running(place, network, clock, "two", [carrier], pace=pace) as other,
    ):
        await until(lambda: shared(one, other))
        yield one, other


def shared(*rigs: Rig) -> bool:
    tokens = [rig.token for rig in rigs]
    owners = share(LANES, tokens)
    return all(set(rig.lanes.owned) == {n for n in LANES if owners[n] == rig.token} for rig in rigs)


# Who should own what


def test_all_agree_on_the_owner_and_few_lanes_move() -> None:
    lanes = range(64, 64 + 600)
    three = share(lanes, ("a", "b", "c"))
    assert three == share(reversed(lanes), ("c", "a", "b"))
    assert Counter(three.values()) == {"a": 200, "b": 200, "c": 200}
    two_left = share(lanes, ("a", "c"))
    assert Counter(two_left.values()) == {"a": 300, "c": 300}
    assert sum(two_left[lane] != three[lane] for lane in lanes if three[lane] != "b") < 40
    one_more = share([*lanes, 9_000], ("a", "b", "c"))
    assert sum(one_more[lane] != three[lane] for lane in lanes) < 20


def test_two_lanes_are_one_for_each_of_two() -> None:
    assert all(len(set(share((64, 65), (f"a{n}", f"b{n}")).values())) == 2 for n in range(50))


async def test_one_process_owns_all(place: Path | str, network: Network, clock: Clock) -> None:
    async with running(place, network, clock, "one", [WIDE]) as one:
        assert set(one.lanes.owned) == LANES
        assert {row[:2] for row in await one.look("lanes")} == {(lane, "one") for lane in LANES}


async def test_two_share_them(place: Path | str, network: Network, clock: Clock) -> None:
    async with two(place, network, clock) as (one, other):
        owners = {lane: rig.token for rig in (one, other) for lane in rig.lanes.owned}
        assert owners == share(LANES, ("one", "two"))
        assert {row[0]: row[1] for row in await one.look("lanes")} == owners
        assert one.lanes.node != other.lanes.node
        open_sessions = [each for each in network.sessions if not each.closed]
        assert sorted(each.n for each in open_sessions) == list(range(8))


async def test_whoever_accepts_a_message_its_owner_sends_it(place: Path | str, network: Network, clock: Clock) -> None:
    async with two(place, network, clock) as (one, other):
        said = [await rig.say(f"+44770091{n:04}", "x", klass=n % 3) for n in range(24) for rig in (one, other)]
        await until(lambda: len(network.sent) == 48)
        for message in said:
            await one.reaches(message, "sent")
        assert set(Counter(network.ids).values()) == {1}
        ours = {sent.session.n for sent in network.sent if sent.session in one.sessions}
        theirs = {sent.session.n for sent in network.sent if sent.session in other.sessions}
        assert ours | theirs == set(range(8))
        assert not ours & theirs


async def test_a_message_scheduled_elsewhere_goes_at_its_second(
    tables_url: str, network: Network, clock: Clock
) -> None:
    """By the bell: nobody looks at the store by itself meanwhile."""
    async with two(tables_url, network, clock, pace=LASTING._replace(poll_s=60)) as (one, other):
        mine = next(iter(other.lanes.owned)) - 64
        message = await one.say(f"+44770091{mine:04}", send_at=clock() + 700)
        await one.passes(lambda: len(network.sent) == 1, ms=10)
        assert clock() - message.due_at < 1_000


# Coming and going


async def test_one_that_stops_finishes_and_hands_over(place: Path | str, network: Network, clock: Clock) -> None:
    """With a lease that would last, so that it can't be the lease that ends."""
    network.answer = hold
    async with running(place, network, clock, "one", [WIDE], pace=LASTING) as one:
        said = [await one.say(f"+44770091{n:04}", "x", klass=status.OTP) for n in range(8)]
        await until(lambda: len(network.waiting) == 8)
        async with running(place, network, clock, "two", [WIDE], pace=LASTING) as other:
            stopping = asyncio.create_task(one.stop())
            await until(lambda: all(lane.draining for lane in one.lanes.owned.values()))
            late = await other.say(BOB, "late")
            assert not stopping.done()  # it waits for what is on the wire
            network.answer = lambda _part: SENT
            network.give_all()
            await stopping
            await until(lambda: set(other.lanes.owned) == LANES)
            await other.reaches(late, "sent")
            assert set((await other.statuses()).values()) == {"sent"}
            assert set(Counter(network.ids).values()) == {1}
            assert {message.id for message in said} < set(network.ids)
            one.crashed = True  # it has been stopped


async def test_no_message_is_lost_or_doubled_while_lanes_move(
    place: Path | str, network: Network, clock: Clock
) -> None:
    said: list[int] = []
    going = True

    async def load(rig: Rig) -> None:
        n = 0
        while going:
            n += 1
            outcomes = await rig.say_all([Submission(f"+44770091{n * 7 % 10_000:04}", "x", klass=n % 3)] * 3)
            said.extend(each.id for each in outcomes if isinstance(each, Message))
            await asyncio.sleep(0.002)

    async with running(place, network, clock, "one", [WIDE], pace=LASTING) as one:
        loading = asyncio.create_task(load(one))
        await until(lambda: len(said) > 100)
        async with running(place, network, clock, "two", [WIDE], pace=LASTING) as other:
            await until(lambda: shared(one, other))
            seen = len(said)
            await until(lambda: len(said) > seen + 100)
        await until(lambda: set(one.lanes.owned) == LANES)
        going = False
        await loading
        await until(lambda: len(network.sent) >= len(said))

        async def all_sent() -> bool:
            return set((await one.statuses()).values()) == {"sent"}

        await until(all_sent)
        assert Counter(network.ids) == Counter(said)


async def test_another_takes_over_when_one_dies(place: Path | str, network: Network, clock: Clock) -> None:
    network.answer = hold
    async with two(place, network, clock, pace=SHORT) as (one, other):
        notes = [await one.say(f"+44770091{n:04}", "x") for n in range(16)]
        codes = [await other.say(f"+44770092{n:04}", "x", klass=status.OTP) for n in range(16)]
        await until(lambda: len(network.waiting) == 32)
        died = {sent.part.message_id for sent in network.waiting if sent.session in other.sessions}
        other.crash()
        network.answer = lambda _part: SENT
        network.give_all()
        await until(lambda: set(one.lanes.owned) == LANES)
        usual = Pace()
        assert usual.lease_ms / 1000 + 2 * usual.tick_s < 10
        for message in notes:
            await one.reaches(message, "sent")
        for message in codes:
            await one.reaches(message, "unknown" if message.id in died else "sent")
        copies = Counter(network.ids)
        assert all(copies[message.id] == 1 for message in codes)
        assert all(copies[message.id] == 1 + (message.id in died) for message in notes)


# Fencing


async def test_one_that_slept_can_not_settle(place: Path | str, network: Network, clock: Clock) -> None:
    """Stopped, and continued when others have gone on: what came back to it changes nothing."""
    network.answer = hold
    async with two(place, network, clock, pace=SHORT) as (one, other):
        said = [await one.say(f"+44770091{n:04}", "x") for n in range(8)]
        await until(lambda: len(network.waiting) == 8)
        slept = [sent for sent in network.waiting if sent.session in other.sessions]
        assert slept
        epochs = {row[0]: row[2] for row in await one.look("lanes")}
        other.freeze()
        await until(lambda: set(one.lanes.owned) == LANES)
        await until(lambda: len(network.waiting) == 8 + len(slept))
        after = {row[0]: row[2] for row in await one.look("lanes")}
        assert all(after[lane] > epochs[lane] for lane in other.lanes.owned)
        before = await everything(one)
        for sent in slept:  # now it hears what the carrier had said
            network.give(sent, Outcome("failed", None, "too late"))
        await until(lambda: not other.lanes.owned)  # and finds that it owns nothing
        assert await everything(one) == before
        network.answer = lambda _part: SENT
        network.give_all()
        for message in said:
            await one.reaches(message, "sent")
        assert [name for message in said for name in await one.events(message)] == ["queued", "sent"] * 8


async def everything(rig: Rig) -> list[object]:
    return [await rig.look(name) for name in ("messages", "parts", "events")]


async def test_one_that_slept_does_not_mark_or_send(place: Path | str, network: Network, clock: Clock) -> None:
    async with two(place, network, clock, pace=SHORT) as (one, other):
        other.freeze()
        lane = next(iter(other.lanes.owned.values()))
        await until(lambda: set(one.lanes.owned) == LANES)
        other.lanes.valid_until += 3_600  # as if it slept after the last look at its lease
        code = await one.say(f"+44770091{lane.id - 64:04}", "x", klass=status.OTP)
        note = await one.say(f"+44770092{lane.id - 64:04}", "x", klass=status.OTP)
        lane.offer([code, note])
        await until(lambda: lane.gone)
        await one.reaches(code, "sent")
        await one.reaches(note, "sent")
        assert Counter(network.ids) == {code.id: 1, note.id: 1}
        assert {sent.session.n for sent in network.sent if sent.session in other.sessions} == set()


async def test_a_plan_of_a_lost_lane_gets_nothing_through_in_company(
    place: Path | str, network: Network, clock: Clock
) -> None:
    """Results are shared by plans that were merged: that another lane's fence held says nothing of this one's."""
    network.answer = hold
    async with running(place, network, clock, "one", [WIDE]) as one:
        first, second = [await one.say(f"+44770091{n:04}", "x", klass=status.OTP) for n in (0, 1)]
        await until(lambda: len(network.waiting) == 2)
        one.lanes.owned[64].epoch -= 1  # somebody else has taken it meanwhile
        lane = one.lanes.owned[64]
        network.give_all()
        await one.reaches(second, "sent")
        await until(lambda: lane.gone)
        assert (await one.message(first)).status != status.SENT
        assert one.publisher.reached == {"sent": 1}  # what was kept
        await one.reaches(first, "unknown")


async def test_one_that_slept_joins_again(place: Path | str, network: Network, clock: Clock) -> None:
    async with two(place, network, clock, pace=SHORT) as (one, other):
        other.freeze()
        await until(lambda: set(one.lanes.owned) == LANES)
        other.wake()
        await until(lambda: shared(one, other))
        for n in range(16):
            await one.reaches(await other.say(f"+44770091{n:04}", "x"), "sent")


# A store that is away


async def test_what_came_back_while_the_store_was_away_is_settled_and_not_sent_again(
    place: Path | str, network: Network, clock: Clock
) -> None:
    """However long that was: if nobody took the lanes, the answers still count."""
    network.answer = hold
    async with running(place, network, clock, "one", [WIDE], pace=SHORT) as one:
        said = [await one.say(f"+44770091{n:04}", "x", klass=n % 3) for n in range(24)]
        await until(lambda: len(network.waiting) == 24)
        one.store.away = True
        loop = asyncio.get_running_loop()
        network.answer = lambda _part: SENT
        network.give_all()
        await until(lambda: loop.time() > one.lanes.valid_until + SHORT.lease_ms / 1000)
        one.store.away = False
        for message in said:
            await one.reaches(message, "sent")
        await until(lambda: set(one.lanes.owned) == LANES)
        late = await one.say(BOB, "late")
        await one.reaches(late, "sent")
        assert set(Counter(network.ids).values()) == {1}


async def test_nothing_goes_out_on_a_lease_that_was_not_renewed(tmp_path: Path, network: Network, clock: Clock) -> None:
    async with running(tmp_path, network, clock, "one", pace=SHORT) as one:
        lane = one.lanes.owned[64]
        network.sessions[0].air.ready(False, "")
        held = await one.say(ANN, "held")
        await until(lambda: lane.waiting == 1)
        one.freeze()
        loop = asyncio.get_running_loop()
        await until(lambda: loop.time() > one.lanes.valid_until)
        lane.ready = True
        lane._pump()
        assert network.sent == []
        one.wake()
        await one.reaches(held, "sent")
        assert len(network.sent) == 1


async def test_lanes_that_nobody_could_renew_go_to_one_who_can(
    place: Path | str, network: Network, clock: Clock
) -> None:
    network.answer = hold
    async with two(place, network, clock, pace=SHORT) as (one, other):
        said = [await one.say(f"+44770091{n:04}", "x", klass=status.OTP) for n in range(8)]
        await until(lambda: len(network.waiting) == 8)
        theirs = {sent.part.message_id for sent in network.waiting if sent.session in other.sessions}
        other.store.away = True
        network.give_all()
        await until(lambda: set(one.lanes.owned) == LANES)
        for message in said:
            await one.reaches(message, "unknown" if message.id in theirs else "sent")
        other.store.away = False
        await until(lambda: shared(one, other))
        assert set(Counter(network.ids).values()) == {1}
        events = Counter(row[:2] for row in await one.look("events"))
        assert set(events.values()) == {1}


# Numbers


async def test_a_number_is_nobody_elses_and_rests_when_it_is_left(
    place: Path | str, network: Network, clock: Clock
) -> None:
    async with running(place, network, clock, "one") as one:
        async with running(place, network, clock, "two") as other:
            taken = {one.lanes.node, other.lanes.node}
            assert len(taken) == 2
        async with running(place, network, clock, "three") as third:
            assert third.lanes.node not in taken


@pytest.mark.parametrize("crashed", [False, True])
async def test_ids_of_two_processes_never_meet(
    place: Path | str, network: Network, clock: Clock, crashed: bool
) -> None:
    async with two(place, network, clock) as (one, other):
        if crashed:
            other.crash()
        drawn = [rig.ids() for _ in range(10_000) for rig in (one, other)]
        assert len(set(drawn)) == 20_000


# Receipts come in anywhere


async def test_the_receipts_of_one_message_may_come_to_two_processes_at_once(
    tables_url: str, network: Network, clock: Clock
) -> None:
    async with two(tables_url, network, clock) as (one, other):
        said = [await one.say(f"+44770091{n:04}", "So long that it takes two parts. " * 6) for n in range(60)]
        assert {message.segments for message in said} == {2}
        await until(lambda: len(network.sent) == 120)
        for message in said:
            await one.reaches(message, "sent")
        for message in said:
            await asyncio.gather(
                *(
                    rig.receive.receipts(WIDE, [Receipt(f"{message.id}-{n}", status.DELIVERED, None, None, 5)])
                    for n, rig in ((1, one), (2, other))
                )
            )
        assert set((await one.statuses()).values()) == {"delivered"}


async def test_a_receipt_may_come_to_another_process_while_its_part_is_written(
    tables_url: str, network: Network, clock: Clock
) -> None:
    network.answer = hold
    async with two(tables_url, network, clock) as (one, other):
        for round_ in range(6):
            said = [await one.say(f"+4477009{round_}{n:04}", "x") for n in range(20)]
            await until(lambda: len(network.waiting) == 20)
            told = [
                rig.receive.receipts(WIDE, [Receipt(f"{message.id}-1", status.DELIVERED, None, None, 5)])
                for message in said
                for rig in (other,)
            ]
            network.give_all()
            await asyncio.gather(*told)

            async def all_delivered() -> bool:
                await one.receive.rematch()
                return set((await one.statuses()).values()) == {"delivered"}

            await until(all_delivered)
        assert await one.look("parked") == []
        assert set(Counter(row[:2] for row in await one.look("events")).values()) == {1}
