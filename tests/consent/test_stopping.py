"""A stop that is stored is honoured by the very next part, whatever was accepted before it."""

import asyncio
from pathlib import Path
from typing import Any

from columba.consent import EVERY_CLASS, OPT_IN, OPT_OUT, SQL
from columba.consent.stopping import KEPT_MS, OPTED_OUT, Stop
from columba.core import status
from columba.core.contract import Carrier
from columba.core.model import Message
from columba.core.submission import Submission
from columba.store import Row
from columba.store.sql import Statement
from tests.consent.house import OURS, SOMEBODY, House, living
from tests.core.rig import SENT, SHORT, Clock, Network, until

OTHER = "+447700900124"


async def test_nothing_queued_leaves_after_a_stop(house: House) -> None:
    house.pause()
    waiting = [await house.say(text=f"number {n}") for n in range(5)]
    other = await house.say(OTHER)
    await house.hears("stop")
    for message in waiting:
        await house.reaches(message, "failed")
        assert (await house.message(message)).error == "opted_out"
        assert await house.events(message) == ["queued", "failed"]
    house.pause(False)
    await until(lambda: bool(house.network.to(OTHER)))
    assert await house.status(other) != "failed"
    assert all("unsubscribed" in text for text in house.network.to(SOMEBODY))


async def test_the_very_next_part_of_a_running_batch(house: House) -> None:
    """The network takes ten at a time and answers none: the stop comes between two parts."""
    house.carriers = {64: Carrier(64, None, "north", "stand-in", status.LIVE, {}, window=10)}
    house.lanes.refresh()
    network = house.network
    network.answer = lambda _part: None
    outcomes = await house.say_all([Submission(SOMEBODY, f"part {n}") for n in range(500)])
    assert all(isinstance(each, Message) for each in outcomes)
    await until(lambda: len(network.sent) == 10)
    house.consent.stopping._spawn = lambda: None  # type: ignore[method-assign]
    await house.told(OPT_OUT)
    network.answer = lambda _part: SENT
    network.give_all()
    await house.past(OTHER)
    assert len(network.to(SOMEBODY)) == 10


async def test_scheduled_ones_end_at_once(house: House) -> None:
    later = await house.say(send_at=house.clock() + 86_400_000)
    await house.hears("stop")
    await house.reaches(later, "failed")
    assert (await house.message(later)).error == "opted_out"
    assert await house.events(later) == ["scheduled", "failed"]


async def test_what_is_on_the_wire_is_told_as_it_went(house: House) -> None:
    house.network.answer = lambda _part: None
    out = await house.say()
    await until(lambda: bool(house.network.sent))
    await house.hears("stop")
    house.network.answer = lambda _part: SENT
    house.network.give_all()
    await house.reaches(out, "sent")


async def test_a_class_and_a_sender_alone(house: House) -> None:
    house.pause()
    await house.told(OPT_IN)
    house.clock.forward(1)
    offer, news = await house.say(klass=status.MARKETING, sender=OURS), await house.say(sender=OURS)
    await house.told(OPT_OUT, klass=status.MARKETING, sender=OURS)
    await house.reaches(offer, "failed")
    house.pause(False)
    await house.reaches(news, "sent")


async def test_who_starts_again_gets_what_comes_then(house: House) -> None:
    await house.hears("stop")
    house.clock.forward(1)
    await house.hears("start")
    message = await house.say(text="welcome back")
    await house.reaches(message, "sent")


async def test_a_restart_in_between_forgets_nothing(place: Path | str, network: Network, clock: Clock) -> None:
    async with living(place, network, clock, "one", pace=SHORT) as one:
        one.pause()
        waiting = [await one.say(text=f"number {n}") for n in range(3)]
        one.consent.replies.accept = None
        one.consent.stopping._spawn = lambda: None  # type: ignore[method-assign]
        await one.hears("stop")
        one.crash()
    async with living(place, network, clock, "two", pace=SHORT) as two:
        assert two.consent.stopping._stops
        await two.past(OTHER)
        await two.consent.stopping.step()
        for message in waiting:
            await two.reaches(message, "failed")
        assert not [text for text in network.to(SOMEBODY) if text.startswith("number")]


async def test_another_process_hears_of_it(tables_url: str, network: Network, clock: Clock) -> None:
    async with living(tables_url, network, clock, "one") as one:
        one.pause()
        waiting = await one.say()
        assert one.lanes.owned
        async with living(tables_url, Network(), clock, "two") as two:
            two.pause()
            await two.told(OPT_OUT)
            owner = one if 64 in one.lanes.owned else two
            assert 64 in owner.lanes.owned
            await two.reaches(waiting, "failed")
            assert await one.code() == "opted_out"


async def test_it_is_over_when_nothing_is_left(house: House) -> None:
    await house.told(OPT_OUT)
    assert await house.store.read(SQL["stopping"])
    await house.consent.stopping.step()
    assert await house.store.read(SQL["stopping"])  # one may be accepted in another process at this moment
    house.clock.forward(KEPT_MS + 1)
    await house.consent.stopping.step()
    assert not await house.store.read(SQL["stopping"])
    assert await house.code() == "opted_out"


async def test_nothing_leaves_while_a_stop_is_being_stored(house: House) -> None:
    stopping = house.consent.stopping
    message = await house.say()
    stopping.storing((1, status.LIVE, SOMEBODY))
    held = stopping.look(message)
    assert held is not None
    assert held.kind == "unsent"
    stopping.stored((1, status.LIVE, SOMEBODY), ())  # it could not be stored
    assert stopping.look(message) is None


async def test_an_opt_in_is_not_undone_by_a_reading_that_began_before_it(house: House) -> None:
    await house.hears("stop")
    stopping, read = house.consent.stopping, house.store.read
    has_read, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly(statement: Statement, *rows: Any, **values: Any) -> list[Row]:
        found = await read(statement, *rows, **values)
        if statement is SQL["stopping"]:
            has_read.set()
            await goes_on.wait()
        return found

    house.store.read = slowly  # type: ignore[method-assign]
    reading = asyncio.create_task(stopping.step())
    await asyncio.wait_for(has_read.wait(), 30)
    house.clock.forward(1)
    await house.hears("START")
    goes_on.set()
    await reading
    assert not stopping._stops
    assert await house.code() is None
    await until(lambda: len(house.network.to(SOMEBODY)) == 3)
    assert len(await house.ledger()) == 2


async def test_an_opt_in_that_another_process_knows_stops_nothing_here(house: House) -> None:
    """This one has the opt-out in memory still: what came after it waits until the store was asked."""
    stopping = house.consent.stopping
    person = (1, status.LIVE, SOMEBODY)
    stopping._stops[person] = (Stop(house.ids(), *person, "", EVERY_CLASS, 1 << 62, 0, house.clock()),)
    message = await house.say()
    held = stopping.look(message)
    assert held is not None
    assert held.kind == "unsent"
    await stopping.load()
    await house.past(OTHER)
    house.clock.forward(1_000)
    await house.reaches(message, "sent")


async def test_an_opt_in_for_one_sender_lets_nothing_of_another_leave(house: House) -> None:
    house.pause()
    message = await house.say(sender=OURS)
    stopping = house.consent.stopping
    stopping._spawn = lambda: None  # type: ignore[method-assign]
    await house.told(OPT_OUT, sender=OURS)
    house.clock.forward(1)
    await house.told(OPT_IN, sender="+12025550199")
    assert stopping.look(message) is not None
    await house.told(OPT_IN, sender=OURS)
    assert stopping.look(message) is None


async def test_what_is_stopped_here_is_no_carriers_word(house: House) -> None:
    house.sending._looks = (lambda _message: OPTED_OUT,)
    message = await house.say()
    await house.reaches(message, "failed")
    await asyncio.gather(*house.consent._tasks)
    assert await house.ledger() == []
    assert await house.code() is None


async def test_a_stop_that_can_t_be_stored_changes_nothing(laptop: House) -> None:
    from columba.store import StoreUnavailable

    laptop.store.away = True
    try:
        await laptop.told(OPT_OUT)
        raise AssertionError("it was stored")
    except StoreUnavailable:
        pass
    laptop.store.away = False
    message = await laptop.say()
    await laptop.reaches(message, "sent")


async def test_the_answer_is_sent_once_over_a_crash(place: Path | str, network: Network, clock: Clock) -> None:
    async with living(place, network, clock, "one", pace=SHORT) as one:
        accept, one.consent.replies.accept = one.consent.replies.accept, None  # it dies before the answer is accepted
        assert accept is not None
        await one.hears("stop")
        one.crash()
    async with living(place, network, clock, "two", pace=SHORT) as two:
        assert not network.to(SOMEBODY)
        clock.forward(6_000)
        await two.consent.replies.step()
        await two.consent.replies.step()
        await until(lambda: bool(network.to(SOMEBODY)))
        clock.forward(6_000)
        await two.consent.replies.step()
        await two.past(OTHER)
        assert len(network.to(SOMEBODY)) == 1


async def test_an_answer_that_is_too_late_is_not_sent(laptop: House) -> None:
    laptop.consent.replies.accept = None
    await laptop.hears("stop")
    await asyncio.gather(*laptop.consent._tasks)
    laptop.consent.replies.accept = laptop.accept
    laptop.clock.forward(301_000)
    assert await laptop.consent.replies.step() == 0
    await laptop.past(OTHER)
    assert not laptop.network.to(SOMEBODY)


async def test_many_stops_at_once(house: House) -> None:
    house.pause()
    numbers = [f"+4477009{n:05d}" for n in range(20_000, 20_060)]
    await house.say_all([Submission(number, "hello") for number in numbers])
    await asyncio.gather(*(house.hears("stop", number) for number in numbers[::2]))
    house.pause(False)
    await until(lambda: len(set(numbers[1::2]) & {each.part.to for each in house.network.sent}) == 30)
    assert not [each.part for each in house.network.sent if each.part.text == "hello" and each.part.to in numbers[::2]]


async def test_a_code_that_was_marked_is_looked_at_again(house: House) -> None:
    """The stop is stored while the mark of a one-time code is on its way to the store."""
    stop = Stop(1 << 61, 1, status.LIVE, SOMEBODY, "", -1, 1 << 62, 0, house.clock())
    house.pause()
    code = await house.say(klass=status.OTP)
    house.store.before_commit = lambda: house.consent.stopping._stops.update({(1, status.LIVE, SOMEBODY): (stop,)})
    house.pause(False)
    await house.reaches(code, "failed")
    assert (await house.message(code)).error == "opted_out"
    assert house.network.to(SOMEBODY) == []
