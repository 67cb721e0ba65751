"""Reading messages back: one with its parts and timeline, lists with every filter, nobody else's."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from columba.core import ids
from columba.core.contract import Inbound
from columba.messages import shapes
from tests.api import Api, Columba, eventually
from tests.messages.conftest import hold


async def settled(api: Api, an_id: str, status: str = "delivered") -> dict[str, Any]:
    async def look() -> Any:
        shown = (await api("GET", f"/v1/messages/{an_id}")).json
        return shown if shown["status"] == status else None

    found: dict[str, Any] = await eventually(look)
    return found


async def test_a_message_shows_its_parts_and_its_timeline(api: Api) -> None:
    sent = (await api("POST", "/v1/messages", {"to": "+447700900123", "text": "x" * 200})).json
    shown = await settled(api, sent["id"])
    msgspec.convert(shown, shapes.MessageDetail, strict=True)
    fields = msgspec.structs.fields(shapes.MessageDetail)  # those of few messages are left out of others
    assert set(shown) == {field.encode_name for field in fields if field.default is not msgspec.UNSET}
    assert [(part["n"], part["status"], part["error"]) for part in shown["parts"]] == [
        (1, "delivered", None),
        (2, "delivered", None),
    ]
    assert all(part["carrier"].startswith("car_") and part["carrier_message_id"] for part in shown["parts"])
    assert all(part["sent_at"] <= part["done_at"] for part in shown["parts"])
    assert [(step["status"], step["type"]) for step in shown["timeline"]] == [
        ("queued", "message.queued"),
        ("sent", "message.sent"),
        ("delivered", "message.delivered"),
    ]
    times = [step["at"] for step in shown["timeline"]]
    assert times == sorted(times)
    assert {name: shown[name] for name in ("id", "text", "to")} == {name: sent[name] for name in ("id", "text", "to")}


async def test_an_undelivered_message_says_why(api: Api) -> None:
    sent = (await api("POST", "/v1/messages", {"to": "+447700900002", "text": "Hi"})).json
    shown = await settled(api, sent["id"], "undelivered")
    assert shown["error"] == {
        "code": "unreachable",
        "detail": "The phone could not be reached in time.",
        "carrier_code": "UNDELIV",
    }
    assert shown["parts"][0]["error"] == shown["error"]


async def test_nobody_sees_anothers_messages(api: Api, columba: Columba) -> None:
    mine = (await api("POST", "/v1/messages", {"to": "+447700900123", "text": "Hi", "tags": ["t"]})).json["id"]
    for key in (columba.live_key, await columba.key(account_id=await columba.another_account())):
        assert (await api("GET", f"/v1/messages/{mine}", key=key)).status == 404
        for action in ("cancel", "redact"):
            assert (await api("POST", f"/v1/messages/{mine}/{action}", key=key)).status == 404
        for query in ("", "?tag=t", "?to=%2B447700900123", "?status=queued"):
            assert (await api("GET", f"/v1/messages{query}", key=key)).json == {"data": [], "next_cursor": None}
    for wrong in ("msg_0000000000000", "evt_0000000000000", "msg_1", "x" * 300):
        assert (await api("GET", f"/v1/messages/{wrong}")).status == 404


async def some(columba: Columba, api: Api) -> dict[str, str]:
    """A few messages that differ, by name."""
    hold(columba)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    rows = {
        "plain": {"to": "+447700900101", "text": "Hi"},
        "tagged": {"to": "+447700900102", "text": "Hi", "tags": ["a", "b"]},
        "from": {"to": "+447700900101", "text": "Hi", "from": "Columba", "tags": ["b"]},
        "later": {"to": "+447700900101", "text": "Hi", "from": "+12025550100", "send_at": later},
    }
    made = {name: (await api("POST", "/v1/messages", row)).json["id"] for name, row in rows.items()}
    batch = (await api("POST", "/v1/messages/batch", {"messages": [{"to": "+447700900103", "text": "Hi"}]})).json
    made["batch"] = batch["data"][0]["id"]
    made["batch_id"] = batch["batch_id"]
    app = columba.app
    (inbound,) = await app.receive.inbound(
        app.carriers()[64], [Inbound("+447700900101", "+12025550100", "Yes")], columba.account_id
    )
    made["inbound"] = ids.show("msg", inbound.id)
    return made


async def test_filters(api: Api, columba: Columba) -> None:
    made = await some(columba, api)
    names = {an_id: name for name, an_id in made.items()}
    cases = {
        "": ["inbound", "batch", "later", "from", "tagged", "plain"],
        "status=queued": ["batch", "from", "tagged", "plain"],
        "status=scheduled": ["later"],
        "status=received": ["inbound"],
        "status=failed": [],
        "direction=inbound": ["inbound"],
        "direction=outbound&status=scheduled": ["later"],
        "to=%2B447700900101": ["later", "from", "plain"],
        "to=+44 7700 900101": ["later", "from", "plain"],
        "to=%2B12025550100": ["inbound"],
        "to=nonsense": [],
        "from=%2B447700900101": ["inbound"],
        "from=columba": [],
        "from=Columba": ["from"],
        "from=%2B12025550100": ["later"],
        "tag=b": ["from", "tagged"],
        "tag=a&from=Columba": [],
        "tag=b&to=%2B447700900102": ["tagged"],
        "tag=c": [],
        f"batch_id={made['batch_id']}": ["batch"],
        f"batch_id={made['batch_id']}&tag=b": [],
        "created_after=2020-01-01T00:00:00Z&created_before=2021-01-01T00:00:00Z": [],
        "created_after=2020-01-01T00:00:00Z&status=scheduled": ["later"],
        "created_before=9999-12-31T23:59:59Z&status=scheduled": ["later"],
        "created_before=1970-01-01T00:00:00Z": [],
    }
    for query, wanted in cases.items():
        reply = await api("GET", f"/v1/messages?{query}")
        assert reply.status == 200, (query, reply.json)
        assert [names[row["id"]] for row in reply.json["data"]] == wanted, query
        assert reply.json["next_cursor"] is None, query
        for row in reply.json["data"]:
            msgspec.convert(row, shapes.Message, strict=True)


async def test_the_time_of_a_message_bounds_lists_exactly(api: Api, columba: Columba) -> None:
    hold(columba)
    first = (await api("POST", "/v1/messages", {"to": "+447700900101", "text": "Hi"})).json
    at = quote(first["created_at"])
    assert len((await api("GET", f"/v1/messages?created_after={at}")).json["data"]) == 1
    assert len((await api("GET", f"/v1/messages?created_before={at}")).json["data"]) == 0


async def test_pages_show_each_message_once(api: Api, columba: Columba) -> None:
    hold(columba)
    new = {"to": "+447700909999", "text": "Hi"}
    rows = [{"to": f"+44770090{n:04d}", "text": "Hi", "tags": ["odd"] if n % 2 else []} for n in range(100, 145)]
    await api("POST", "/v1/messages/batch", {"messages": rows})
    for query, wanted in (
        ("", range(144, 99, -1)),
        ("tag=odd&", range(143, 99, -2)),
        ("status=queued&", range(144, 99, -1)),
    ):
        seen: list[tuple[str, str]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await api("GET", f"/v1/messages?{query}limit=10&{cursor and 'cursor='}{cursor}")).json
            seen += [(row["id"], row["to"]) for row in page["data"]]
            cursor = page["next_cursor"]
            assert len(page["data"]) == 10 or cursor is None
            await api("POST", "/v1/messages", new)  # what is new does not shift the pages
        assert [to for _, to in seen if to != new["to"]] == [f"+44770090{n:04d}" for n in wanted], query
        assert len(set(seen)) == len(seen), query


async def test_wrong_filters_are_named(quick: Api) -> None:
    for query, field in {
        "status=lost": "status",
        "limit=1001": "limit",
        "batch_id=msg_0000000000001": "batch_id",
        "created_after=yesterday": "created_after",
        "cursor=zzz": "cursor",
        "colour=red": "colour",
    }.items():
        reply = await quick("GET", f"/v1/messages?{query}")
        assert (reply.status, [each[0] for each in reply.fields]) == (422, [field]), query
