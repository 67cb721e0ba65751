"""The tables of docs/forwarding.md: each condition there holds, each action there is done."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from columba.core import ids
from columba.forwarding.rule import KINDS
from columba.forwarding.rules_shapes import When
from columba.sandbox import CARRIER_ID
from tests.alerts.postbox import Postbox
from tests.docs.pages import page
from tests.program import Sink
from tests.rules.conftest import ANNA, ONE_STORE, OURS, House
from tests.rules.test_email import box, mailing

__all__ = ["box", "mailing"]
EXAMPLE = re.compile(r"`(\{\".*?\})`")
SAID = {"from": ANNA, "to": OURS, "text": "Order 12, please", "first": "text", "carrier": ids.show("car", CARRIER_ID)}


def examples(heads: str) -> list[Any]:
    """What stands in code in the rows of the table with these heads."""
    table = page("docs/forwarding.md").text.partition(f"\n{heads}\n")[2].partition("\n\n")[0]
    found = EXAMPLE.findall(table)
    assert len(found) == len(table.splitlines()) - 1
    return [json.loads(each.replace("car_...", str(SAID["carrier"]))) for each in found]


@ONE_STORE
async def test_each_condition_holds_for_the_text_that_the_page_is_about(house: House) -> None:
    now = datetime.fromtimestamp(house.clock() / 1000, UTC)
    friday = now.replace(hour=10, minute=0) + timedelta((4 - now.weekday()) % 7 or 7)
    house.clock.ahead = int((friday - now).total_seconds() * 1000)
    anna = {"number": ANNA, "tags": ["vip"], "attributes": {"plan": "gold"}}
    await house.post("/v1/contacts", anna, 201)
    shown = examples("| condition | holds for | such as |")
    for when in shown:
        await house.rule({"tag": "x"}, name=json.dumps(when)[:100], when=when)
    tried = await house.post("/v1/rules/test", {"message": SAID}, 200)
    assert [(rule["name"], rule["why"]) for rule in tried["rules"] if not rule["matched"]] == []
    assert len(tried["rules"]) == len(shown)
    other = {
        "from": "+12025550143", "to": "+12025550101", "text": "Hello", "media": ["https://example.org/a.png"],
        "carrier": ids.show("car", CARRIER_ID + 1),
    }  # fmt: skip
    tried = await house.post("/v1/rules/test", {"message": other}, 200)
    assert [rule["name"] for rule in tried["rules"] if rule["matched"] and "time" not in rule["name"]] == []
    named = {name for when in shown for name in when}
    assert named | {"from", "all"} == {field.rstrip("_") for field in When.__struct_fields__}


async def test_each_action_is_done(mailing: House, box: Postbox, sink: Sink) -> None:
    shown = examples("| action | |")
    destination = await mailing.destination(sink.url)
    then = [json.loads(json.dumps(action).replace("dst_...", destination)) for action in shown]
    await mailing.rule(*then)
    an_id = await mailing.hear("Order 12, please")
    runs = await mailing.forwards(len(shown), "delivered")
    assert [run["kind"] for run in runs] == [*(name for action in shown for name in action)]
    assert {run["kind"] for run in runs} == set(KINDS) - {"look"}
    assert {run["message_id"] for run in runs} == {an_id}
    texts = {(each["to"], each["text"]) for each in await mailing.messages(2)}
    assert texts == {(ANNA, "Thank you"), ("+447700900124", f"{ANNA}: Order 12, please")}
    assert (await mailing.get(f"/v1/messages/{an_id}"))["tags"] == ["support"]
    assert [each.to for each in box.letters] == [["desk@example.org"]]
    assert len(sink.requests) == 1
