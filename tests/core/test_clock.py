"""Messages by the clock: sent at their second, and never after their validity."""

from pathlib import Path

import pytest

from columba.core import status
from columba.core.contract import Carrier, Outcome
from columba.core.model import Message
from columba.core.submission import Submission
from tests.core.rig import RETRY, SENT, SHORT, THROTTLED, UNKNOWN, Clock, Network, Rig, running, until

ANN, BOB = "+447700900001", "+447700900002"


async def test_a_scheduled_message_goes_at_its_second(rig: Rig, network: Network) -> None:
    message = await rig.say(ANN, send_at=rig.clock() + 5_000)
    rig.clock.forward(4_900)
    await rig.past()
    assert await rig.status(message) == "scheduled"
    assert network.to(ANN) == []
    rig.clock.forward(100)
    await rig.passes(lambda: network.to(ANN) != [])
    assert rig.clock() - message.due_at < 1_000
    await rig.reaches(message, "sent")
    assert await rig.events(message) == ["scheduled", "queued", "sent"]


async def test_each_of_many_goes_at_its_own(place: Path | str, network: Network, clock: Clock) -> None:
    """Also after a restart, when only the store knows of them, and of one account or several."""
    start = clock()
    async with running(place, network, clock, "before") as rig:
        for account in (1, 2):
            asked = [Submission(f"+4477009{account}{n:04}", "x", send_at=start + 1_000 + 130 * n) for n in range(8)]
            assert all(isinstance(each, Message) for each in await rig.say_all(asked, account))
        assert network.sent == []
        rig.crash()
    async with running(place, network, clock, "after", pace=SHORT._replace(poll_s=60)) as rig:
        sent_at: dict[int, int] = {}

        def note() -> bool:
            clock.forward(5)
            for sent in network.sent:
                sent_at.setdefault(sent.part.message_id, clock())
            return len(sent_at) == 16

        await until(lambda: 64 in rig.lanes.owned)
        await until(note)
        due = {row[0]: row[3] for row in await rig.look("messages")}
        assert all(due[an_id] <= at <= due[an_id] + 1_000 for an_id, at in sent_at.items())


async def test_a_scheduled_message_can_be_canceled(rig: Rig, network: Network) -> None:
    message = await rig.say(ANN, send_at=rig.clock() + 5_000)
    assert await rig.sending.finish(rig.lanes.owned[64], message, status.CANCELED)
    rig.clock.forward(6_000)
    await rig.past()
    assert network.to(ANN) == []
    assert await rig.events(message) == ["scheduled", "canceled"]
    assert not await rig.sending.finish(rig.lanes.owned[64], message, status.CANCELED)


async def test_a_queued_message_can_be_canceled_until_it_leaves(
    place: Path | str, network: Network, clock: Clock
) -> None:
    network.answer = lambda _part: None
    carrier = Carrier(64, None, "north", "stand-in", status.LIVE, {}, window=1)
    async with running(place, network, clock, carriers=[carrier]) as rig:
        lane = rig.lanes.owned[64]
        out = await rig.say(ANN, "1")
        queued = [await rig.say(ANN, text) for text in "234"]
        await until(lambda: len(network.waiting) == 1)
        assert not await rig.sending.finish(lane, out, status.CANCELED)
        assert await rig.sending.finish(lane, queued[1], status.CANCELED)
        network.answer = lambda _part: SENT
        network.give_all()
        await rig.reaches(queued[2], "sent")
        assert network.to(ANN) == ["1", "2", "4"]
        assert await rig.events(queued[1]) == ["queued", "canceled"]
        assert lane.is_idle()


async def test_what_is_being_canceled_does_not_leave_meanwhile(laptop: Rig, network: Network) -> None:
    """The store is read while the cancellation is being written."""
    network.sessions[0].air.ready(False, "")
    lane = laptop.lanes.owned[64]
    message = await laptop.say(ANN)
    await until(lambda: lane.waiting == 1)
    laptop.store.before_commit = lambda: (lane.poke(), network.sessions[0].air.ready(True, ""))  # type: ignore[assignment, func-returns-value]
    assert await laptop.sending.finish(lane, message, status.CANCELED)
    await laptop.past()
    assert network.to(ANN) == []


async def test_a_cancellation_that_could_not_be_written_leaves_the_message(laptop: Rig, network: Network) -> None:
    network.sessions[0].air.ready(False, "")
    message = await laptop.say(ANN)
    await until(lambda: laptop.lanes.owned[64].waiting == 1)
    laptop.store.away = True
    with pytest.raises(Exception, match="store"):
        await laptop.sending.finish(laptop.lanes.owned[64], message, status.CANCELED)
    laptop.store.away = False
    network.sessions[0].air.ready(True, "")
    await laptop.reaches(message, "sent")


# Validity


async def test_nothing_is_sent_after_its_validity(laptop: Rig, network: Network) -> None:
    network.sessions[0].air.ready(False, "disconnected")
    late = await laptop.say(ANN, valid_for=10)
    good = await laptop.say(BOB, valid_for=11)
    await until(lambda: laptop.lanes.owned[64].waiting == 2)
    laptop.clock.forward(10_000)
    network.sessions[0].air.ready(True, "")
    await laptop.reaches(late, "expired")
    await laptop.reaches(good, "sent")
    assert network.to(ANN) == []
    assert await laptop.events(late) == ["queued", "expired"]
    assert (await laptop.message(late)).error == "expired"


async def test_what_waits_on_a_lane_that_is_down_expires_all_the_same(rig: Rig, network: Network) -> None:
    network.sessions[0].air.ready(False, "disconnected")
    many = [
        each
        for each in await rig.say_all([Submission(f"+44770091{n:04}", "x", valid_for=10) for n in range(2_500)])
        if isinstance(each, Message)
    ]
    scheduled = await rig.say(send_at=rig.clock() + 60_000, valid_for=10)
    rig.clock.forward(9_999)
    assert await rig.sending.expire() == 0
    rig.clock.forward(1)
    assert await rig.sending.expire() == 2_500
    assert await rig.sending.expire() == 0
    assert set((await rig.statuses()).values()) == {"expired", "scheduled"}
    network.sessions[0].air.ready(True, "")
    await rig.past()
    assert len(network.sent) == 1
    assert await rig.events(many[7]) == ["queued", "expired"]
    rig.clock.forward(50_000)
    await rig.reaches(scheduled, "sent")


@pytest.mark.parametrize("outcome", [RETRY, THROTTLED, UNKNOWN], ids=["retry", "throttled", "unknown"])
async def test_a_message_that_is_retried_expires_on_time(rig: Rig, network: Network, outcome: Outcome) -> None:
    network.answer = lambda part: outcome if part.to == ANN else SENT
    message = await rig.say(ANN, valid_for=1)
    await rig.tried(message, 1)
    while rig.clock() < message.expires_at:
        kept = await rig.message(message)
        assert kept.due_at <= message.expires_at
        assert kept.status == status.QUEUED
        rig.clock.forward(50)
        await rig.past()
    await rig.reaches(message, "expired")
    assert await rig.events(message) == ["queued", "expired"]
    sent = [each for each in network.sent if each.part.to == ANN]
    assert len(sent) <= 4


async def test_one_that_waits_behind_another_expires_on_time(rig: Rig, network: Network) -> None:
    network.answer = lambda part: RETRY if part.to == ANN else SENT
    first = await rig.say(ANN, "1")
    await rig.tried(first, 1)
    behind = await rig.say(ANN, "2", valid_for=1)
    await rig.past()
    rig.clock.forward(1_000)

    async def has_expired() -> bool:
        await rig.sending.expire()  # as it is done now and then
        return await rig.status(behind) == "expired"

    await until(has_expired)
    assert network.to(ANN) == ["1"]


async def test_a_code_whose_mark_took_too_long_is_not_sent(laptop: Rig, network: Network) -> None:
    message = await laptop.say(ANN, klass=status.OTP, valid_for=10)
    laptop.store.before_commit = lambda: laptop.clock.forward(10_000)
    await laptop.reaches(message, "expired")
    laptop.store.before_commit = lambda: None
    assert network.to(ANN) == []
    assert await laptop.events(message) == ["queued", "expired"]
