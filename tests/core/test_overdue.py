"""Messages that a carrier took and never told the end of."""

from columba.core.overdue import Overdue
from tests.core.rig import Network, Rig

HOUR = 3_600_000


def overdue(rig: Rig) -> Overdue:
    return Overdue(rig.store, rig.ids, rig.clock, rig.publisher, timeout_s=72 * 3600)


async def test_the_time_counts_from_the_sending(rig: Rig, network: Network) -> None:
    early = await rig.say("+447700900001", valid_for=14 * 86_400)
    await rig.reaches(early, "sent")
    late = await rig.say("+447700900002", send_at=rig.clock() + 71 * HOUR, valid_for=86_400)
    rig.clock.forward(71 * HOUR)
    await rig.reaches(late, "sent")
    assert await overdue(rig).step() == 0
    rig.clock.forward(HOUR + 1)
    assert await overdue(rig).step() == 1
    assert await rig.status(early) == "unknown"
    assert await rig.status(late) == "sent"
    rig.clock.forward(72 * HOUR)
    assert await overdue(rig).step() == 1
    assert await rig.status(late) == "unknown"
    assert (await rig.message(late)).error == "no_receipt"


async def test_it_is_said_once_and_a_late_receipt_still_tells_the_truth(rig: Rig, network: Network) -> None:
    message = await rig.say()
    await rig.reaches(message, "sent")
    rig.clock.forward(72 * HOUR + 1)
    assert [await overdue(rig).step(), await overdue(rig).step()] == [1, 0]
    assert await rig.events(message) == ["queued", "sent", "unknown"]
    await network.tell(f"{message.id}-1", 50)
    assert await rig.status(message) == "delivered"


async def test_what_ended_is_left_alone(rig: Rig, network: Network) -> None:
    message = await rig.say()
    await rig.reaches(message, "sent")
    await network.tell(f"{message.id}-1", 50)
    rig.clock.forward(1_000 * HOUR)
    assert await overdue(rig).step() == 0
    assert await rig.events(message) == ["queued", "sent", "delivered"]
