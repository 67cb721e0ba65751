"""What would come at a wrong hour waits for the first right one, and says so."""

from datetime import UTC, datetime
from typing import Any

import pytest

from columba.consent import OPT_IN
from columba.core import events, model, status
from columba.core.model import Message, message_of
from columba.quiet import Document, windows
from columba.quiet.windows import DAYS, Window
from tests.consent.house import SOMEBODY, House
from tests.core.rig import until

WASHINGTON = "+12025550123"
NIGHT = int(datetime(2027, 1, 15, 6, 0, tzinfo=UTC).timestamp()) * 1000  # 1:00 there
MORNING = int(datetime(2027, 1, 15, 13, 0, tzinfo=UTC).timestamp()) * 1000
HOUR = 3_600_000


async def offer(house: House, to: str = WASHINGTON, **how: Any) -> Message:
    return await house.say(to, klass=status.MARKETING, **how)


async def stored(house: House, message: Message) -> Message:
    (row,) = await house.store.read(events.SQL["messages_by_id"], [(message.id,)])
    return message_of(row)


async def test_marketing_waits_for_the_morning(house: House) -> None:
    house.clock.now = NIGHT
    await house.told(OPT_IN, WASHINGTON)
    message = await offer(house, valid_for=600)
    assert (message.status, message.due_at) == (status.SCHEDULED, MORNING)
    assert message.expires_at == MORNING + 600_000
    shown = model.view(await stored(house, message))
    assert shown["waiting_for"] == {
        "reason": "quiet_hours", "detail": model.WAITS["quiet_hours"], "until": "2027-01-15T13:00:00.000Z",
    }  # fmt: skip
    assert not house.network.sent
    house.clock.now = MORNING
    await house.reaches(message, "sent")
    assert "waiting_for" not in model.view(await stored(house, message))


async def test_other_classes_and_other_countries_go(house: House) -> None:
    house.clock.now = NIGHT
    await house.told(OPT_IN, SOMEBODY)
    for message in (
        await house.say(WASHINGTON),
        await house.say(WASHINGTON, klass=status.OTP),
        await offer(house, SOMEBODY),
    ):
        await house.reaches(message, "sent")


async def test_what_was_asked_for_the_night_waits_too(house: House) -> None:
    house.clock.now = NIGHT - 12 * HOUR
    await house.told(OPT_IN, WASHINGTON)
    message = await offer(house, send_at=NIGHT)
    assert message.due_at == MORNING
    day = await offer(house, send_at=MORNING + HOUR)
    assert day.due_at == MORNING + HOUR
    assert day.extra.waits_for is None


async def test_what_has_waited_for_too_long_is_looked_at_again(house: House) -> None:
    """It was accepted at 20:59, and its turn comes at 21:00."""
    house.clock.now = evening = MORNING + 13 * HOUR - 60_000
    await house.told(OPT_IN, WASHINGTON)
    house.pause()
    message = await offer(house)
    assert message.status == status.QUEUED
    house.clock.now = evening + 60_000
    house.pause(False)
    await house.past(SOMEBODY)

    async def postponed() -> bool:
        return (await house.message(message)).due_at == MORNING + 24 * HOUR

    await until(postponed)
    assert not house.network.to(WASHINGTON)
    assert (await house.message(message)).attempts == 0
    house.clock.now = MORNING + 24 * HOUR
    await house.reaches(message, "sent")


async def test_an_account_s_own_windows(house: House) -> None:
    own = Window("*", ("transactional",), DAYS[:5], "09:00", "17:00")
    await house.set(house.quiet.policy, Document(windows=[own]))
    house.clock.now = int(datetime(2027, 1, 16, 12, 0, tzinfo=UTC).timestamp()) * 1000  # a Saturday
    message = await house.say(SOMEBODY)
    assert datetime.fromtimestamp(message.due_at / 1000, UTC) == datetime(2027, 1, 18, 9, 0, tzinfo=UTC)
    assert (await house.say(SOMEBODY, account=2)).status == status.QUEUED
    await house.set(house.quiet.policy, None)
    assert (await house.say(SOMEBODY)).status == status.QUEUED


async def test_windows_that_never_open_refuse(house: House) -> None:
    never = [
        Window(country, ("transactional",), (day,), "09:00", "17:00") for country, day in (("*", "mon"), ("GB", "tue"))
    ]
    await house.set(house.quiet.policy, Document(windows=never))
    assert await house.code(SOMEBODY) == "quiet_hours"


async def test_answers_to_people_are_spared(house: House) -> None:
    own = Window("*", ("transactional",), DAYS, "09:00", "09:01")
    await house.set(house.quiet.policy, Document(windows=[own]))
    await house.hears("stop")
    await until(lambda: bool(house.network.to(SOMEBODY)))


async def test_without_data_of_time_zones_nothing_goes_by_guess(laptop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ValueError(f"there is no data of the time zone {name}")

    monkeypatch.setattr(windows, "zone", missing)
    await laptop.told(OPT_IN, WASHINGTON)
    assert await laptop.code(WASHINGTON, klass=status.MARKETING) == "quiet_hours"
    assert await laptop.code(WASHINGTON) is None
