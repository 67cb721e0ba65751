"""What receipts make of messages: early, late, twice, in the wrong order, one part after the other."""

import itertools

import pytest

from columba.core import status
from columba.core.contract import Outcome, Receipt
from columba.core.events import SQL
from columba.core.status import DELIVERED, EXPIRED, FAILED, SENT, UNDELIVERED, UNKNOWN
from columba.store import Plan, Step, plan
from tests.core.rig import Network, Rig, until

LONG = "This text is so long that it takes three parts. " * 9


async def test_a_receipt_ends_a_message(rig: Rig, network: Network) -> None:
    message = await rig.say()
    await rig.reaches(message, "sent")
    await network.tell(f"{message.id}-1", DELIVERED)
    assert await rig.status(message) == "delivered"
    assert await rig.events(message) == ["queued", "sent", "delivered"]
    assert [row[3] for row in await rig.look("parts")] == [DELIVERED]
    assert rig.publisher.reached == {"sent": 1, "delivered": 1}


async def test_a_receipt_tells_what_went_wrong(rig: Rig, network: Network) -> None:
    message = await rig.say()
    await rig.reaches(message, "sent")
    await network.tell(f"{message.id}-1", UNDELIVERED, "unreachable")
    ((_, state, _, _, error, *_),) = await rig.look("messages")
    assert (state, error) == (UNDELIVERED, "unreachable")


@pytest.mark.parametrize(
    ("receipts", "final"),
    [
        ([DELIVERED, DELIVERED], "delivered"),
        ([DELIVERED, UNDELIVERED], "delivered"),
        ([UNDELIVERED, DELIVERED], "undelivered"),
        ([SENT, SENT, DELIVERED], "delivered"),
        ([DELIVERED, SENT], "delivered"),
        ([UNKNOWN, DELIVERED], "delivered"),
        ([DELIVERED, UNKNOWN], "delivered"),
        ([EXPIRED, UNKNOWN, DELIVERED, FAILED], "expired"),
    ],
)
async def test_what_comes_late_or_twice_turns_nothing_back(
    rig: Rig, network: Network, receipts: list[int], final: str
) -> None:
    message = await rig.say()
    await rig.reaches(message, "sent")
    for each in receipts:
        await network.tell(f"{message.id}-1", each)
    assert await rig.status(message) == final
    events = await rig.events(message)
    assert len(events) == len(set(events))
    assert events[-1] == final


async def test_receipts_of_one_moment_count_once(rig: Rig, network: Network) -> None:
    message = await rig.say()
    await rig.reaches(message, "sent")
    told = [network.tell(f"{message.id}-1", DELIVERED) for _ in range(5)]
    for each in told:
        await each
    assert await rig.events(message) == ["queued", "sent", "delivered"]
    assert rig.publisher.reached == {"sent": 1, "delivered": 1}


async def test_a_receipt_that_comes_before_its_part_waits_for_it(rig: Rig, network: Network) -> None:
    network.answer = lambda _part: None
    message = await rig.say()
    await until(lambda: len(network.waiting) == 1)
    await network.tell(f"{message.id}-1", DELIVERED)
    await network.tell(f"{message.id}-1", DELIVERED)
    assert await rig.status(message) == "queued"
    assert len(await rig.look("parked")) == 2
    network.give_all()
    await rig.reaches(message, "delivered")
    assert await rig.events(message) == ["queued", "sent", "delivered"]  # in the order of their ids
    assert await rig.look("parked") == []
    assert rig.publisher.reached == {"sent": 1, "delivered": 1}


async def test_a_receipt_for_nobody_waits_three_days(rig: Rig, network: Network) -> None:
    await rig.say()
    await until(lambda: len(network.sent) == 1)
    await network.tell("nobody", DELIVERED)
    rig.clock.forward(72 * 3_600_000 - 1_000)
    await rig.receive.sweep()
    assert len(await rig.look("parked")) == 1
    rig.clock.forward(2_000)
    await rig.receive.sweep()
    assert await rig.look("parked") == []


async def test_a_receipt_and_its_part_that_missed_each_other_are_brought_together(rig: Rig, network: Network) -> None:
    """Two processes, each of which wrote what the other did not see yet."""
    message = await rig.say()
    await rig.reaches(message, "sent")
    parts = await rig.look("parts")
    await rig.store.commit(park(rig, parts[0][2]))
    await rig.store.commit(park(rig, "nobody"))
    assert await rig.receive.rematch() == 1
    assert await rig.status(message) == "delivered"
    assert [row[0] for row in await rig.look("parked")] == ["nobody"]
    assert await rig.receive.rematch() == 0


def park(rig: Rig, carrier_message_id: str) -> Plan:
    row = (rig.ids(), 64, carrier_message_id, DELIVERED, None, None, rig.clock())
    return plan(Step(SQL["park_receipts"], [row]))


async def test_an_id_that_the_carrier_uses_again_means_the_newest(rig: Rig, network: Network) -> None:
    network.answer = lambda _part: Outcome("sent", "0001")
    first = await rig.say(text="first")
    await rig.reaches(first, "sent")
    second = await rig.say(text="second")
    await rig.reaches(second, "sent")
    await network.tell("0001", DELIVERED)
    assert await rig.statuses() == {first.id: "sent", second.id: "delivered"}


@pytest.mark.parametrize(
    "told",
    [
        (DELIVERED, DELIVERED, DELIVERED),
        (DELIVERED, UNDELIVERED, DELIVERED),
        (UNDELIVERED, EXPIRED, DELIVERED),
        (UNKNOWN, DELIVERED, DELIVERED),
    ],
)
async def test_a_message_follows_its_parts_in_any_order(rig: Rig, network: Network, told: tuple[int, ...]) -> None:
    """Delivered when all are, not when most are; failed as soon as one is, and for good."""
    orders = list(itertools.permutations(range(3)))
    messages = [await rig.say(f"+4477009002{n:02}", LONG) for n in range(len(orders))]
    assert all(message.segments == 3 for message in messages)
    for message in messages:
        await rig.reaches(message, "sent")
    for message, order in zip(messages, orders, strict=True):
        now = "sent"
        bad = 0
        for place, n in enumerate(order):
            bad = bad or (told[n] if told[n] > DELIVERED else 0)
            await network.tell(f"{message.id}-{n + 1}", told[n])
            if bad:
                now = status.NAMES[bad]
            elif place == 2 and set(told) == {DELIVERED}:
                now = "delivered"
            assert await rig.status(message) == now, order
        events = await rig.events(message)
        assert events == ["queued", "sent", *([now] if now != "sent" else [])]


async def test_parts_told_together_are_one_step(rig: Rig, network: Network) -> None:
    message = await rig.say(text=LONG)
    await rig.reaches(message, "sent")
    session = network.sessions[0]
    await session.air.receipts([Receipt(f"{message.id}-{n}", DELIVERED, None, None, 5) for n in (2, 3, 1, 2)])
    assert await rig.status(message) == "delivered"
    assert await rig.events(message) == ["queued", "sent", "delivered"]


async def test_a_part_that_was_delivered_stays_so(rig: Rig, network: Network) -> None:
    """A second, contrary receipt of one part does not undo a message that waits for the others."""
    message = await rig.say(text=LONG)
    await rig.reaches(message, "sent")
    for n, told in ((1, DELIVERED), (1, UNDELIVERED), (2, DELIVERED), (3, DELIVERED)):
        await network.tell(f"{message.id}-{n}", told)
    assert await rig.status(message) == "delivered"


@pytest.mark.parametrize("odd", ["nul \0", "lone \ud800", "'; drop table parts; --", "id\n", "0" * 5_000, ""])
async def test_whatever_a_carrier_calls_a_part_is_kept_or_made_harmless(rig: Rig, network: Network, odd: str) -> None:
    network.answer = lambda _part: Outcome("sent", odd, None, odd)
    message = await rig.say()
    await rig.reaches(message, "sent")
    await network.tell(odd, UNDELIVERED, odd)
    assert await rig.status(message) == "undelivered"
