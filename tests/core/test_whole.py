"""Carriers that take a text in one piece and tell of the parts that they made of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from columba.core import status
from columba.core.contract import Carrier, Cut, Outcome, Part
from columba.core.status import DELIVERED, SENT, UNDELIVERED
from tests.core.rig import Clock, Network, Rig, running

LONG = "This text is so long that it takes three parts. " * 9
WHOLE = Carrier(64, None, "whole", "stand-in", status.LIVE, {}, cut=Cut(whole=True))


@pytest.fixture
async def rig(place: Path | str, network: Network, clock: Clock) -> AsyncIterator[Rig]:
    async with running(place, network, clock, carriers=[WHOLE]) as rig:
        yield rig


def in_parts(*outcomes: Outcome) -> Outcome:
    return Outcome("sent", outcomes[0].id, parts=outcomes)


@pytest.mark.parametrize("made", [1, 3, 4])
async def test_each_of_its_parts_has_its_own_receipt(rig: Rig, network: Network, made: int) -> None:
    """As many as it says, even where that's not what we counted."""

    def answer(part: Part) -> Outcome:
        return in_parts(*(Outcome("sent", f"{part.message_id}-{n}") for n in range(1, made + 1)))

    network.answer = answer
    message = await rig.say(text=LONG)
    await rig.reaches(message, "sent")
    assert network.to() == [LONG]
    assert [row[1:4] for row in await rig.look("parts")] == [(n, f"{message.id}-{n}", SENT) for n in range(1, made + 1)]
    ((*_, segments, _, _),) = await rig.look("messages")
    assert segments == made
    for n in range(1, made + 1):
        assert await rig.status(message) == "sent"
        await network.tell(f"{message.id}-{n}", DELIVERED)
    assert await rig.status(message) == "delivered"
    assert await rig.events(message) == ["queued", "sent", "delivered"]


async def test_a_part_that_fails_fails_the_message(rig: Rig, network: Network) -> None:
    network.answer = lambda part: in_parts(*(Outcome("sent", f"{part.message_id}-{n}") for n in (1, 2, 3)))
    message = await rig.say(text=LONG)
    await rig.reaches(message, "sent")
    await network.tell(f"{message.id}-2", UNDELIVERED, "unreachable")
    await network.tell(f"{message.id}-1", DELIVERED)
    assert await rig.status(message) == "undelivered"


async def test_a_part_that_was_not_taken_fails_the_message_and_nothing_goes_again(rig: Rig, network: Network) -> None:
    network.answer = lambda part: in_parts(
        Outcome("sent", f"{part.message_id}-1"), Outcome("failed", None, "rejected", "6")
    )
    message = await rig.say(text=LONG)
    await rig.reaches(message, "failed")
    rig.clock.forward(3_600_000)
    await rig.past()
    assert network.to(message.to) == [LONG]
