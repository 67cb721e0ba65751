"""By account a bad text is noted, held for a person's word, or refused; and counted."""

import asyncio
from typing import Literal

import pytest

from columba.consent import OPT_IN, OPT_OUT
from columba.consent.settings import Document as ConsentDocument
from columba.content import DAY_MS, SQL, Document
from columba.core import events, model, status
from columba.core.model import Message, message_of
from columba.errors import Refusal
from columba.quiet import Document as QuietDocument
from columba.quiet.windows import DAYS, Window
from tests.consent.house import SOMEBODY, House

BAD = "HURRY!!! Casino at bit.ly/x"


async def set_to(house: House, action: Literal["off", "advise", "hold", "refuse"], **how: object) -> None:
    document = Document(action=action, classes=("transactional", "marketing"), **how)  # type: ignore[arg-type]
    await house.set(house.content.policy, document)


async def stored(house: House, message: Message) -> Message:
    (row,) = await house.store.read(events.SQL["messages_by_id"], [(message.id,)])
    return message_of(row)


async def test_advice_is_noted_on_the_message(house: House) -> None:
    await set_to(house, "advise")
    message = await house.say(text=BAD)
    shown = model.view(await stored(house, message))
    assert shown["advice"]["score"] == 0
    assert "shortened_link" in shown["advice"]["reasons"]
    await house.reaches(message, "sent")
    assert "advice" not in model.view(await house.say(text="Your parcel is here"))


async def test_a_bad_text_is_refused_with_its_reasons(house: House) -> None:
    await set_to(house, "refuse")
    outcome = await house.try_to(text=BAD)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "content_refused"
    assert len(outcome.errors) >= 3
    assert await house.code(text="Your parcel is here") is None
    assert await house.code(text=BAD, klass=status.OTP) is None
    assert await house.code(text=BAD, account=2) is None


async def test_held_until_approved(house: House) -> None:
    await set_to(house, "hold")
    message = await house.say(text=BAD, valid_for=600)
    assert message.status == status.SCHEDULED
    assert model.view(await stored(house, message))["waiting_for"] == {
        "reason": "approval", "detail": model.WAITS["approval"], "until": None,
    }  # fmt: skip
    house.clock.forward(30 * DAY_MS)
    await house.past("+447700900124")
    assert not house.network.to(SOMEBODY)
    (done,) = await house.holding.approve([await stored(house, message)])
    assert done.expires_at == house.clock() + 600_000
    await house.reaches(message, "sent")
    assert await house.holding.approve([await stored(house, message)]) == []
    assert await house.holding.reject([await stored(house, message)]) == []


async def test_held_and_rejected(house: House) -> None:
    await set_to(house, "hold")
    message = await house.say(text=BAD)
    twice = [await stored(house, message), await stored(house, message)]
    (done,) = await house.holding.reject(twice[:1])
    assert done.error == "not_approved"
    assert (await house.message(message)).error == "not_approved"
    assert await house.events(message) == ["scheduled", "failed"]
    assert await house.holding.approve(twice[1:]) == []


async def test_of_two_who_decide_at_once_one_does(house: House) -> None:
    await set_to(house, "hold")
    message = await house.say(text=BAD)
    those = [await stored(house, message) for _ in range(3)]
    done = await asyncio.gather(*(house.holding.reject([each]) for each in those))
    assert sorted(len(each) for each in done) == [0, 0, 1]
    assert await house.events(message) == ["scheduled", "failed"]


async def test_an_approved_one_keeps_its_time_and_quiet_hours(house: House) -> None:
    await set_to(house, "hold")
    at = house.clock() + 5 * DAY_MS
    message = await house.say(text=BAD, send_at=at)
    (done,) = await house.holding.approve([await stored(house, message)])
    assert done.due_at == at
    own = Window("*", ("transactional",), DAYS, "03:00", "03:01")
    night = await house.say(text=BAD)
    await house.set(house.quiet.policy, QuietDocument(windows=[own]))
    (done,) = await house.holding.approve([await stored(house, night)])
    assert done.due_at % DAY_MS == 3 * 3_600_000
    assert done.extra.waits_for == "quiet_hours"


async def test_who_opts_out_while_it_is_held_gets_nothing(house: House) -> None:
    await set_to(house, "hold")
    message = await house.say(text=BAD)
    await house.told(OPT_OUT)
    await house.reaches(message, "failed")
    assert (await house.message(message)).error == "opted_out"


async def test_what_it_came_to_is_counted(house: House) -> None:
    await set_to(house, "refuse")
    for _ in range(3):
        await house.try_to(text=BAD)
    await house.content.flush()
    await house.try_to(text=BAD)
    await house.content.flush()
    await house.content.flush()
    rows = await house.store.read(SQL["counts"], account_id=1, mode=status.LIVE, since=0)
    assert ("refuse", "shortened_link", 4) in [tuple(row) for row in rows]
    await house.content.sweep()


@pytest.mark.parametrize("klass", [status.TRANSACTIONAL, status.MARKETING])
async def test_consent_is_asked_for_what_is_held_too(house: House, klass: int) -> None:
    await set_to(house, "hold")
    await house.set(house.consent.policy, ConsentDocument(transactional="opt_in"))
    assert await house.code(text=BAD, klass=klass) == "consent_required"
    await house.told(OPT_IN)
    assert await house.code(text=BAD, klass=klass) is None


async def test_what_carriers_filter_is_there_to_be_counted(house: House) -> None:
    from columba.core.contract import Outcome

    house.network.answer = lambda _part: Outcome("failed", None, "filtered", "30007")
    message = await house.say(text=BAD)
    await house.reaches(message, "failed")
    (row,) = await house.store.read(SQL["outcomes"], account_id=1, mode=status.LIVE, since=0)
    assert tuple(row) == (64, status.FAILED, "filtered", "30007", 1)
    (text,) = await house.store.read(SQL["filtered_texts"], account_id=1, mode=status.LIVE, since=0, most=10)
    assert text[3] == BAD
