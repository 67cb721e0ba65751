"""What people wrote is shown to keys that may read messages, and to no others, wherever a forward carries it."""

import json
from typing import Any

from tests.program import Sink
from tests.rules.conftest import House

CANARY = "Canary 4711"


async def seen(house: House, key: str, forward: str) -> list[Any]:
    """All that a key is shown of forwards."""
    found = []
    for path in (f"/v1/forwards/{forward}", "/v1/forwards?kind=all"):
        reply = await house.api("GET", path, key=key)
        assert reply.status == 200, reply.json
        found.append(reply.json)
    return found


async def test_what_was_sent_of_a_text_is_for_keys_that_may_read_it(house: House, sink: Sink) -> None:
    target = await house.destination(f"{sink.url}/hook")
    await house.rule({"forward": {"to": [target]}}, {"reply": {"text": "You said {{ text }}"}})
    await house.hear(CANARY)
    runs = await house.forwards(2, "delivered")
    partly = await house.columba.key(scopes=["rules:read", "rules:write"])
    wholly = await house.columba.key(scopes=["rules:read", "messages:read"])
    for run in runs:
        assert CANARY in json.dumps(await seen(house, wholly, run["id"]))
        shown = await seen(house, partly, run["id"])
        assert CANARY not in json.dumps(shown)
        assert (shown[0]["id"], shown[0]["status"], shown[0]["values"]) == (run["id"], "delivered", {})
        (attempt,) = shown[0]["attempts"]
        assert (attempt["request"], attempt["answer"], attempt["exchanges"]) == (None, None, [])
    reply = await house.api("POST", f"/v1/forwards/{runs[0]['id']}/replay", {}, key=partly)
    assert CANARY not in reply.body.decode()


async def test_rules_are_tried_with_a_text_of_the_past_by_keys_that_may_read_it(house: House) -> None:
    await house.rule({"reply": {"text": "You said {{ text }}"}})
    past = {"message_id": await house.hear(CANARY)}
    partly = await house.columba.key(scopes=["rules:write"])
    reply = await house.api("POST", "/v1/rules/test", past, key=partly)
    assert (reply.status, reply.json["code"]) == (403, "forbidden")
    assert CANARY in (await house.api("POST", "/v1/rules/test", past)).body.decode()
    made_up = {"message": {"from": "+447700900123", "to": "+12025550100", "text": "Mine"}}
    assert (await house.api("POST", "/v1/rules/test", made_up, key=partly)).status == 200
