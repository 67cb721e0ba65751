"""A code whose text is not known to have arrived goes over another carrier, as the same code."""

import re
from pathlib import Path
from typing import Any

from columba.verify.found import SQL
from tests.api import Api, Columba, eventually, running

NEVER_TOLD, TOLD = "+447700900006", "+447700900123"


async def two_carriers(columba: Columba) -> Api:
    api = Api(columba.app.asgi, columba.live_key)
    made = []
    for name in ("one", "two"):
        reply = await api("POST", "/v1/carriers", {"name": name, "kind": "sandbox", "config": {"receipt_ms": 20}})
        assert reply.status == 201, reply.json
        made.append({"carrier": reply.json["id"]})
    route = {"name": "all", "when": {}, "carriers": made, "strategy": "order", "position": 1}
    assert (await api("POST", "/v1/routes", route)).status == 201
    assert (await api("PATCH", "/v1/settings/verifications", {"countries": ["GB"]})).status == 200
    return api


async def sent(api: Api, to: str, wanted: str) -> Any:
    begun = (await api("POST", "/v1/verifications", {"to": to})).json

    async def left() -> bool:
        found = (await api("GET", f"/v1/messages/{begun['message_id']}")).json
        return bool(found["status"] == wanted)

    await eventually(left)
    return begun


async def messages(api: Api, to: str) -> list[Any]:
    found = (await api("GET", f"/v1/messages?to=%2B{to[1:]}")).json["data"]
    return [(await api("GET", f"/v1/messages/{each['id']}")).json for each in found]


async def test_without_a_receipt_the_same_code_goes_over_another_carrier(tmp_path: Path) -> None:
    async with running(tmp_path) as columba:
        api = await two_carriers(columba)
        begun = await sent(api, NEVER_TOLD, "sent")
        await sent(api, TOLD, "delivered")
        second, now = columba.app.second_carriers, columba.app.ids._clock
        assert await second.step() == 0  # not yet
        second._clock = lambda: now() + 31_000
        assert await second.step() == 1
        assert await second.step() == 0  # each is looked at once

        async def both() -> bool:
            return all(each["parts"] for each in await messages(api, NEVER_TOLD))

        await eventually(both)
        first, again = await messages(api, NEVER_TOLD)
        assert first["text"] == again["text"]
        assert first["parts"][0]["carrier"] != again["parts"][0]["carrier"]
        assert len(await messages(api, TOLD)) == 1
        code = re.findall(r"\d{6}", first["text"])[0]
        checked = await api("POST", f"/v1/verifications/{begun['id']}/check", {"code": code})
        assert checked.json["valid"] is True


async def test_where_there_is_no_other_carrier_nothing_happens(columba: Columba) -> None:
    begun = await sent(columba.whole, NEVER_TOLD, "sent")
    second, now = columba.app.second_carriers, columba.app.ids._clock
    second._clock = lambda: now() + 31_000
    assert await second.step() == 0
    assert len(await messages(columba.whole, NEVER_TOLD)) == 1
    assert await columba.app.store.read(SQL["due_seconds"], now=now() + 100_000, most=10) == []
    assert begun["status"] == "pending"
