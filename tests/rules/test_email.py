"""E-mails of rules, taken by a real mail server, or refused by it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.alerts.postbox import Postbox
from tests.api import eventually, running
from tests.rules.conftest import LOOPBACK, Clock, House


@pytest.fixture
def box() -> Iterator[Postbox]:
    with Postbox() as box:
        yield box


@pytest_asyncio.fixture
async def mailing(tmp_path: Path, clock: Clock, box: Postbox) -> AsyncIterator[House]:
    url = f"smtp://127.0.0.1:{box.port}?tls=off"
    async with running(tmp_path, allow_network=LOOPBACK, smtp_url=url, smtp_sender="sms@example.org") as columba:
        yield House(columba, clock)


RULE = {"email": {"to": ["desk@example.org"], "subject": "Text from\n{{ from }}", "text": "{{ text }}"}}


async def test_a_text_goes_on_by_e_mail(mailing: House, box: Postbox) -> None:
    await mailing.rule(RULE)
    await mailing.hear("My parcel is wet 🌧")

    async def came() -> bool:
        return bool(box.letters)

    await eventually(came)
    (letter,) = box.letters
    assert letter.to == ["desk@example.org"]
    assert letter.message["subject"] == "Text from +447700900123"
    assert letter.text.strip() == "My parcel is wet 🌧"
    (run,) = await mailing.forwards(1, "delivered")
    assert run["kind"] == "email"


async def test_a_server_that_has_no_time_is_asked_again_and_one_that_refuses_is_not(
    mailing: House, box: Postbox
) -> None:
    box.rcpt.append("451 come back later")
    await mailing.rule(RULE)
    await mailing.hear("Hello")
    (run,) = await mailing.forwards(1, "pending")
    while not run["attempt_count"]:
        (run,) = await mailing.forwards(1, "pending")
    assert run["error"]["code"] == "mail_unavailable"
    await mailing.until(run)
    await mailing.forwards(1, "delivered")
    box.refuses["desk@example.org"] = "550 no such person"
    await mailing.hear("Hello again")
    (dead,) = await mailing.forwards(1, "dead")
    assert dead["error"]["code"] == "mail_refused"


async def test_without_a_mail_server_it_is_refused_and_where_it_is_gone_dead(
    tmp_path: Path, clock: Clock, box: Postbox
) -> None:
    made = {"name": "x", "then": [{"tag": "a"}, RULE]}
    async with running(tmp_path, smtp_url=f"smtp://127.0.0.1:{box.port}?tls=off") as columba:
        assert (await columba.whole("POST", "/v1/rules", made)).status == 201
    async with running(tmp_path) as columba:
        house = House(columba, clock)
        reply = await house.api("POST", "/v1/rules", made)
        assert (reply.status, reply.fields) == (422, [("then[1].email", "no_mail_server")])
        assert "smtp_url" in reply.json["detail"]
        await house.hear("Hello")
        (dead,) = await house.forwards(1, "dead")
        assert "smtp_url" in dead["error"]["detail"]
