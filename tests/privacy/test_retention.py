"""What is older than an account wants goes; what is younger, of another class, or not over yet stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

from columba.core import ids, status
from columba.core.events import SQL as CORE
from columba.core.model import message_of
from columba.store import Step, plan
from columba.store.sql import Statement
from tests.api import Columba, eventually

ANNA = "+447700900777"
DAY = 86_400_000
EVENT = Statement("test_event", (), (), "select id from events where type = 50")
DELIVER = Statement(
    "test_deliver", (("endpoint_id", "int"), ("event_id", "int"), ("at", "int")), (),
    "insert into deliveries (endpoint_id, event_id, due_at, updated_at) select endpoint_id, event_id, at, at from {rows} r",
)  # fmt: skip


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
    assert (await api("PATCH", "/v1/settings/retention", asked)).status == 200
    assert (await api("GET", "/v1/settings/retention")).json["bodies"] == {
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
    assert (await api("PATCH", "/v1/settings/retention", {"bodies": {"transactional": 1}})).status == 200
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


async def count(columba: Columba, table: str) -> int:
    return int(
        (await columba.app.store.read(Statement(f"test_{table}", (), (), f"select count(*) from {table}")))[0][0]
    )


async def test_messages_go_with_all_that_hangs_on_them(columba: Columba) -> None:
    api = columba.whole
    assert (await api("PATCH", "/v1/settings/retention", {"messages": {"transactional": 30}})).status == 200
    sent = await columba.send(ANNA, "Hello", tags=["greeting"])
    code = await columba.send(ANNA, "123456", klass=status.OTP)
    came = await api("POST", "/v1/sandbox/inbound", {"from": ANNA, "to": "+12025550100", "text": "Hi"})
    assert came.status == 201
    await delivered(columba, sent.id, code.id)
    await sweep(columba, 29)
    assert await count(columba, "messages") == 3
    assert await sweep(columba, 31) == 2
    for table in ("messages", "bodies", "parts", "tags"):
        assert await count(columba, table) == (table != "tags"), table
    assert (await api("GET", f"/v1/messages/{ids.show('msg', code.id)}")).json["text"] == "123456"
    assert (await api("GET", f"/v1/messages/{ids.show('msg', sent.id)}")).status == 404
    kept = (await api("GET", "/v1/events")).json["data"]
    assert {each["data"]["id"] for each in kept} == {ids.show("msg", code.id)}
    assert await sweep(columba, 32) == 0


async def test_a_message_waits_for_what_it_set_in_motion(columba: Columba) -> None:
    assert (await columba.whole("PATCH", "/v1/settings/retention", {"messages": {"transactional": 1}})).status == 200
    sent = await columba.send(ANNA, "Hello")
    await delivered(columba, sent.id)
    ((event_id,),) = await columba.app.store.read(EVENT)
    await columba.app.store.commit(plan(Step(DELIVER, [(1 << 40, event_id, columba.app.ids._clock() + 80 * DAY)])))
    assert await sweep(columba, 2) == 0
    assert await count(columba, "privacy_left") == 1
    assert await sweep(columba, 100) == 0
    assert await sweep(columba, 171) == 1
    assert (
        await count(columba, "messages")
        == await count(columba, "deliveries")
        == await count(columba, "privacy_left")
        == 0
    )
