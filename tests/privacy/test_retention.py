"""What is older than an account wants goes; what is younger, of another class, or not over yet stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

from columba.core import status
from columba.core.events import SQL as CORE
from columba.core.model import message_of
from tests.api import Columba, eventually

ANNA = "+447700900777"
DAY = 86_400_000


async def delivered(columba: Columba, *ids: int) -> None:
    async def look() -> bool:
        rows = await columba.app.store.read(CORE["messages_by_id"], [(an_id,) for an_id in ids])
        return all(row[11] >= status.DELIVERED for row in rows)

    await eventually(look)


async def kept(columba: Columba, an_id: int) -> Any:
    (row,) = await columba.app.store.read(CORE["messages_by_id"], [(an_id,)])
    return message_of(row[:20])


async def sweep(columba: Columba, days: float) -> int:
    """As if so many days had gone by."""
    sweeping, now = columba.app.sweeping, columba.app.ids._clock
    sweeping._clock = lambda: now() + int(days * DAY)
    return await sweeping.step()


async def test_texts_and_numbers_go_by_class(columba: Columba) -> None:
    api = columba.whole
    asked = {"bodies": {"otp": 1, "marketing": 30}, "numbers": {"otp": 2}}
    assert (await api("PUT", "/v1/privacy/retention", asked)).status == 200
    assert (await api("GET", "/v1/privacy/retention")).json["bodies"] == {
        "otp": 1,
        "transactional": None,
        "marketing": 30,
    }
    code = await columba.send(ANNA, "123456", klass=status.OTP, metadata={"who": "anna"})
    advert = await columba.send(ANNA, "Buy", klass=status.MARKETING)
    order = await columba.send(ANNA, "Order")
    await delivered(columba, code.id, advert.id, order.id)
    assert await sweep(columba, 0.5) == 0
    assert await sweep(columba, 1.5) == 1
    aged = await kept(columba, code.id)
    assert (aged.text, aged.extra.metadata, aged.to) == (None, None, ANNA)
    assert aged.extra.redacted_at is not None
    assert (await kept(columba, advert.id)).text == "Buy"
    await sweep(columba, 31)
    assert (await kept(columba, code.id)).to == "+44********77"
    assert (await kept(columba, advert.id)).text is None
    assert (await kept(columba, order.id)).text == "Order"
    assert await sweep(columba, 32) == 0  # nothing is done twice


async def test_what_is_not_over_yet_is_spared_until_it_is(columba: Columba) -> None:
    api = columba.whole
    assert (await api("PUT", "/v1/privacy/retention", {"bodies": {"transactional": 1}})).status == 200
    later = (datetime.now(UTC) + timedelta(days=60)).isoformat()
    made = (await api("POST", "/v1/messages", {"to": ANNA, "text": "Later", "send_at": later})).json
    sent = await columba.send(ANNA, "Now")
    await delivered(columba, sent.id)
    assert await sweep(columba, 2) == 1
    assert (await api("GET", f"/v1/messages/{made['id']}")).json["text"] == "Later"
    assert (await api("POST", f"/v1/messages/{made['id']}/cancel")).status == 200
    assert await sweep(columba, 2) == 1
    assert (await api("GET", f"/v1/messages/{made['id']}")).json["text"] is None
    assert await sweep(columba, 2) == 0
