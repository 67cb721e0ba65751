"""Endpoints that fail: who is told of it, once; when they are disabled; and that nothing goes round in circles."""

from typing import Any

import pytest

from columba.http.egress import Egress
from columba.webhooks.health import Health
from tests.api import eventually
from tests.program import Reply, Sink
from tests.webhooks.conftest import House

DAY = 86_400_000
BROKEN, FINE = Reply(500), Reply(200)
NEWS = ("webhook.failing", "webhook.disabled", "webhook.recovered", "delivery.exhausted")


async def counts(house: House) -> list[int]:
    return [len(await house.events(kind)) for kind in NEWS]


def told(sink: Sink) -> list[Any]:
    return [request.json for request in sink.requests if not request.json["type"].startswith("message.")]


async def test_failing_and_recovering_are_told_once_and_to_the_others(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url, ["message.queued", "webhook.*"], description="the shop")
    await house.hook(other.url, ["webhook.*", "delivery.*"])
    for _ in range(30):  # many at once, settled in several batches
        await house.columba.send()
    (failing,) = (request.json for request in await house.arrived(other, 1))
    assert failing["type"] == "webhook.failing"
    assert (failing["data"]["id"], failing["data"]["description"]) == (hook["id"], "the shop")
    assert failing["data"]["error"]["code"] == "http_500"
    shown = await house.get(f"/v1/webhooks/{hook['id']}")
    assert shown["failing_since"] == failing["data"]["failing_since"]
    assert shown["enabled"] is True

    sink.reply = FINE
    house.own_lane(hook).resume()  # the circuit's pause is over
    recovered = (await house.arrived(other, 2))[1].json
    assert (recovered["type"], recovered["data"]["id"]) == ("webhook.recovered", hook["id"])
    await house.true(house.own_lane(hook).is_idle)
    assert (await house.get(f"/v1/webhooks/{hook['id']}"))["failing_since"] is None
    assert await counts(house) == [1, 0, 1, 0]
    assert told(sink) == []
    assert len(other.requests) == 2


async def test_what_a_process_remembers_wrongly_is_told_no_second_time(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url)
    lane = house.own_lane(hook)
    for n in range(1, 7):
        await house.columba.send()
        await house.arrived(sink, n)
        await house.true(lambda: len(lane.held) == lane.waiting)
        house.app.delivering._healths[lane.id] = Health(None, 10, reported=False)
    assert await counts(house) == [1, 0, 0, 0]


async def test_our_own_lack_of_room_is_not_held_against_an_endpoint(house: House, sink: Sink) -> None:
    sink.reply = lambda request: Reply(delay=60) if request.path == "/hangs" else FINE
    ample, narrow = house.app.egress, Egress(house.app.policy, per_endpoint=1)
    house.app.delivering._egress = narrow
    await house.hook(f"{sink.url}/hangs", ["message.sent"], timeout=30)
    await house.columba.send()
    await house.arrived(sink, 1)
    hook = await house.hook(sink.url, timeout=1, retry_schedule=[])
    await house.columba.send()

    async def is_busy() -> Any:
        return [each for each in await house.deliveries(1, endpoint=hook["id"]) if each["error"]]

    (waiting,) = await eventually(is_busy)
    assert (waiting["status"], waiting["attempt_count"], waiting["error"]["code"]) == ("pending", 0, "busy")
    assert (await house.get(f"/v1/webhooks/{hook['id']}"))["failing_since"] is None
    house.app.delivering._egress = ample
    await house.until(waiting)
    delivered = await house.settled(hook)
    assert (delivered["status"], len(delivered["attempts"])) == ("delivered", 1)
    await narrow.close()


async def test_three_failures_are_not_worth_telling(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url)
    for n in range(1, 4):
        await house.columba.send()
        await house.settled(hook)
        assert (await house.get(f"/v1/webhooks/{hook['id']}"))["failing_since"] is not None, n
    sink.reply = FINE
    await house.columba.send()
    await house.settled(hook)
    assert (await house.get(f"/v1/webhooks/{hook['id']}"))["failing_since"] is None
    sink.reply = BROKEN
    await house.columba.send()
    await house.settled(hook)
    assert await counts(house) == [0, 0, 0, 0]


async def test_gone_disables_and_what_waits_stays(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = Reply(410)
    hook = await house.hook(sink.url, ["*"])
    await house.hook(other.url, ["webhook.disabled"])
    house.own_lane(hook).pause(600)
    for _ in range(20):
        await house.columba.send()
    house.own_lane(hook).resume()
    (disabled,) = (request.json["data"] for request in await house.arrived(other, 1))
    assert (disabled["id"], disabled["reason"]) == (hook["id"], "gone")
    shown = await house.get(f"/v1/webhooks/{hook['id']}")
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "The server answered 410: the address is gone.")
    await house.true(lambda: house.lane(hook) is None)
    assert (await counts(house))[1] == 1

    before = len(sink.requests)
    waiting = await house.deliveries(endpoint=hook["id"], status="pending", limit=1000)
    assert len(waiting) >= 20
    sink.reply = FINE
    await house.patch(hook, enabled=True)
    await house.forward(7 * 60_000)
    await house.arrived(sink, before + len(waiting))
    assert len(other.requests) == 1


async def test_failing_for_five_days_disables(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url, retry_schedule=[7200] * 20)
    await house.hook(other.url, ["webhook.disabled", "webhook.failing"])
    await house.columba.send()
    for attempt in range(1, 5):
        await house.until(await house.settled(hook, attempt))
    await house.settled(hook, 5)
    await house.forward(5 * DAY - 12 * 3_600_000)
    await house.settled(hook, 6)
    assert await counts(house) == [1, 0, 0, 0]
    await house.forward(12 * 3_600_000)
    (failing, disabled) = (request.json for request in await house.arrived(other, 2))
    assert (failing["type"], disabled["type"]) == ("webhook.failing", "webhook.disabled")
    assert disabled["data"]["reason"] == "failing"
    assert disabled["data"]["failing_since"] == failing["data"]["failing_since"]
    shown = await house.get(f"/v1/webhooks/{hook['id']}")
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "Every attempt failed for five days.")
    await house.true(lambda: house.lane(hook) is None)
    (waiting,) = await house.deliveries(endpoint=hook["id"])
    assert waiting["status"] == "pending"

    assert (await house.patch(hook, enabled=True))["failing_since"] is None  # with a clean sheet
    await house.forward(3 * 3_600_000)
    await house.settled(hook, 8)
    assert (await house.get(f"/v1/webhooks/{hook['id']}"))["enabled"] is True
    assert await counts(house) == [1, 1, 0, 0]


async def test_two_dead_endpoints_that_listen_to_each_other_fall_silent(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = other.reply = BROKEN
    hooks = [await house.hook(each.url, ["*"], retry_schedule=[]) for each in (sink, other)]
    for _ in range(5):
        await house.columba.send()

    async def is_over() -> bool:
        pending = (await house.get("/v1/deliveries?status=pending"))["data"]
        for hook in hooks:
            house.own_lane(hook).resume()
        return not pending

    await eventually(is_over)
    exhausted = await house.events("delivery.exhausted")
    assert {each["event"]["type"].partition(".")[0] for each in exhausted} == {"message"}
    assert len({each["delivery"] for each in exhausted}) == len(exhausted)


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_test_says_nothing_of_health(house: House, sink: Sink, enabled: bool) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url, ["*"])
    await house.patch(hook, enabled=enabled)
    for _ in range(5):
        done = await house.post(f"/v1/webhooks/{hook['id']}/test", status=200)
        assert (done["ok"], done["status"], done["error"]["code"]) == (False, 500, "http_500")
    shown = await house.get(f"/v1/webhooks/{hook['id']}")
    assert (shown["failing_since"], shown["enabled"]) == (None, enabled)
    assert await counts(house) == [0, 0, 0, 0]
    assert len(sink.requests) == 5
