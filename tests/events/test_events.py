"""Events in lists and by themselves: what webhooks are sent, newest first, each account its own."""

from typing import Any

import msgspec

from columba.core import ids, model
from columba.core.events import of_message
from columba.core.model import Message
from columba.events import api as shapes
from tests.api import Api, Columba, eventually


async def settled(api: Api, message: Message, count: int = 3) -> list[dict[str, Any]]:
    """Its events, once there are so many."""

    async def look() -> Any:
        found = (await api("GET", f"/v1/events?message_id={ids.show('msg', message.id)}")).json["data"]
        return found if len(found) == count else None

    rows: list[dict[str, Any]] = await eventually(look)
    return rows


async def test_a_message_makes_events(api: Api, columba: Columba) -> None:
    message = await columba.send(text="Hello", tags=["a"])
    events = await settled(api, message)
    assert [each["type"] for each in events] == ["message.delivered", "message.sent", "message.queued"]
    assert [each["data"]["status"] for each in events] == ["delivered", "sent", "queued"]
    for event in events:
        msgspec.convert(event, shapes.Event, strict=True)
        assert event["id"].startswith("evt_")
        assert event["account_id"] == ids.show("acc", columba.account_id)
        assert event["data"]["id"] == ids.show("msg", message.id)
        assert event["data"]["text"] == "Hello"
        assert (await api("GET", f"/v1/events/{event['id']}")).json == event
    # just what a webhook is sent
    queued = model.event_view(of_message(ids.read("evt", events[2]["id"]) or 0, message, 20, ids.time_of(message.id)))
    assert {**events[2], "timestamp": "", "data": {**events[2]["data"], "updated_at": ""}} == {
        **queued,
        "timestamp": "",
        "data": {**queued["data"], "updated_at": ""},
    }


async def test_filters_and_pages(api: Api, columba: Columba) -> None:
    one, two = await columba.send(), await columba.send("+447700900002")
    await settled(api, one)
    await settled(api, two)
    counts = {
        "": 6,
        "?type=message.delivered": 1,
        "?type=message.undelivered,message.delivered": 2,
        "?type=message.*": 6,
        "?type=*": 6,
        "?type=webhook.*": 0,
        f"?type=message.queued&message_id={ids.show('msg', one.id)}": 1,
        "?message_id=msg_0000000000001": 0,
    }
    for query, count in counts.items():
        found = (await api("GET", f"/v1/events{query}")).json
        assert (len(found["data"]), found["next_cursor"]) == (count, None), query
    whole = (await api("GET", "/v1/events")).json["data"]
    assert [each["id"] for each in whole] == sorted((each["id"] for each in whole), reverse=True)
    pages: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api("GET", f"/v1/events?limit=4{cursor and '&cursor='}{cursor}")).json
        pages += page["data"]
        cursor = page["next_cursor"]
    assert pages == whole


async def test_nobody_sees_anothers_events(api: Api, columba: Columba) -> None:
    message = await columba.send()
    (event, *_) = await settled(api, message)
    for key in (columba.live_key, await columba.key(account_id=await columba.another_account())):
        assert (await api("GET", "/v1/events", key=key)).json["data"] == []
        query = f"?message_id={event['data']['id']}"
        assert (await api("GET", f"/v1/events{query}", key=key)).json["data"] == []
        assert (await api("GET", f"/v1/events/{event['id']}", key=key)).status == 404
    for wrong in ("evt_0000000000001", "msg_0000000000001", "evt_", "x"):
        assert (await api("GET", f"/v1/events/{wrong}")).status == 404


async def test_wrong_filters_are_named(api: Api) -> None:
    for path, field in {
        "/v1/events?type=message.lost": "type",
        "/v1/events?type=": "type",
        "/v1/events?message_id=evt_0000000000001": "message_id",
        "/v1/events/stream?type=message.*,nothing": "type",
        "/v1/events/stream?last_event_id=7": "last_event_id",
        "/v1/events/stream?types=x": "types",
    }.items():
        reply = await api("GET", path)
        assert (reply.status, [each[0] for each in reply.fields]) == (422, [field]), path
