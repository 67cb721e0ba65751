"""A second route after a receipt that says failed, or none: within validity and cost, and never to a person who has it."""

import asyncio
from typing import Any

import pytest

from columba.core import ids, status
from columba.core.contract import Receipt
from columba.core.model import Message
from columba.store import Statement
from tests.api import eventually
from tests.routing.house import number
from tests.routing.two import Two, two

__all__ = ["two"]

UNDELIVERED = (status.UNDELIVERED, "unreachable")
DUE = Statement("test_due", (), (), "select message_id from second_routes")
FORWARD = Statement(
    "test_forward", (("id", "int"),), (), "update second_routes set due_at = r.id from {rows} r where true"
)


async def with_failover(two: Two, **failover: Any) -> None:
    reply = await two.api("PATCH", f"/v1/routes/{two.route.json['id']}", {"failover": failover})
    assert reply.status == 200, reply.json


async def due_now(two: Two) -> None:
    """The time in which a receipt may come is over."""
    from columba.store import Step, plan

    await two.app.store.commit(plan(Step(FORWARD, [(1,)])))
    await two.app.second.step()


async def until(two: Two, message: Message, wanted: str) -> None:
    async def look() -> bool:
        return (await two.message(message.id))[0] == wanted

    await eventually(look)


async def kinds_of(two: Two, message: Message) -> list[str]:
    return [step["type"].removeprefix("message.") for step in (await two.shown(message))["timeline"]]


async def test_what_the_first_could_not_deliver_the_second_does(two: Two) -> None:
    await with_failover(two, on=["undelivered"])
    two.first.receipt = UNDELIVERED
    message = await two.send(text="Hello " * 40)
    seen = set()

    async def delivered() -> bool:
        seen.add((await two.shown(message))["status"])
        return "delivered" in seen

    await eventually(delivered)
    assert seen <= {"queued", "sent", "delivered"}  # for its owner it never went backwards, nor was it undelivered
    assert two.taken() == {(message.id, 1): 2, (message.id, 2): 2}
    assert await kinds_of(two, message) == ["queued", "sent", "rerouted", "delivered"]
    parts = (await two.shown(message))["parts"]
    assert [(part["hop"], part["n"], part["status"]) for part in parts] == [
        (1, 1, "undelivered"), (1, 2, "undelivered"), (2, 1, "delivered"), (2, 2, "delivered"),
    ]  # fmt: skip
    await due_now(two)
    assert await two.app.store.read(DUE) == []


async def test_when_the_second_can_not_either_it_is_undelivered(two: Two) -> None:
    await with_failover(two, on=["undelivered"])
    two.first.receipt = UNDELIVERED
    two.second.receipt = (status.UNDELIVERED, "filtered")
    message = await two.send()
    assert await two.ends([message]) == ["undelivered"]
    assert (await two.message(message.id))[1] == "filtered"
    assert await kinds_of(two, message) == ["queued", "sent", "rerouted", "undelivered"]
    assert two.taken() == {(message.id, 1): 2}


async def test_without_it_a_receipt_is_the_end(two: Two) -> None:
    two.first.receipt = UNDELIVERED
    message = await two.send()
    assert await two.ends([message]) == ["undelivered"]
    assert not two.second.taken


async def test_where_a_part_has_arrived_the_rest_is_not_sent_again(two: Two) -> None:
    await with_failover(two, on=["undelivered", "no_receipt"], after=60)
    two.first.receipt = None
    message = await two.send(text="Hello " * 40)
    await eventually(lambda: _async(len(two.first.held) == 2))
    await until(two, message, "sent")
    (session, one), (_, other) = two.first.held
    await session.air.receipts([Receipt(two.first.id_of(one), status.DELIVERED, None, None, 1)])
    await due_now(two)
    await session.air.receipts([Receipt(two.first.id_of(other), *UNDELIVERED, None, 1)])
    assert await two.ends([message]) == ["undelivered"]
    assert not two.second.taken


async def test_no_receipt_is_waited_for_and_then_the_second_is_tried(two: Two) -> None:
    await with_failover(two, on=["no_receipt"], after=60)
    two.first.receipt = None
    texts = [await two.send("+447700900001"), await two.send("+447700900002", klass=status.OTP)]
    for text in texts:
        await until(two, text, "sent")
    await two.app.second.step()
    assert not two.second.taken  # its time has not come
    await due_now(two)
    assert await two.ends(texts[:1]) == ["delivered"]
    await due_now(two)
    assert set(two.second.taken) == {(texts[0].id, 1)}  # a code goes to nobody twice
    assert (await two.message(texts[1].id))[0] == "sent"


async def test_a_receipt_that_comes_late_tells_the_truth(two: Two) -> None:
    await with_failover(two, on=["no_receipt"], after=60)
    two.first.receipt = two.second.receipt = None
    message = await two.send()
    await until(two, message, "sent")
    await due_now(two)
    await eventually(lambda: _async(two.second.taken))
    await two.first.tell(status.DELIVERED)
    await two.app.second.step()
    assert await two.ends([message]) == ["delivered"]
    await two.second.tell(*UNDELIVERED)
    assert (await two.message(message.id))[0] == "delivered"
    assert [(part["hop"], part["status"]) for part in (await two.shown(message))["parts"]] == [
        (1, "delivered"),
        (2, "undelivered"),
    ]


async def test_who_has_it_after_all_does_not_get_it_again(two: Two) -> None:
    await with_failover(two, on=["no_receipt"], after=60)
    two.first.receipt = None
    message = await two.send()
    await until(two, message, "sent")
    paused = await two.api("POST", f"/v1/carriers/{two.carriers_of['second']}/pause")
    assert paused.status == 200
    await due_now(two)
    assert not two.second.taken  # nobody is sent anything through a carrier that is paused
    resumed = await two.api("POST", f"/v1/carriers/{two.carriers_of['second']}/resume")
    assert resumed.status == 200
    lane = two.app.lanes.owned[number(two.carriers_of["second"])]
    lane.pause(60)
    await due_now(two)
    assert (await two.message(message.id))[0::2] == ("queued", number(two.carriers_of["second"]))
    assert (await two.shown(message))["status"] == "sent"
    canceled = await two.api("POST", f"/v1/messages/{ids.show('msg', message.id)}/cancel")
    assert (canceled.status, canceled.json["code"]) == (409, "not_cancelable")
    await two.first.tell(status.DELIVERED)
    await two.app.second.step()
    assert (await two.message(message.id))[0] == "delivered"
    lane.resume()
    await asyncio.sleep(0.05)
    assert not two.second.taken


async def test_the_cost_is_bounded(two: Two) -> None:
    await with_failover(two, on=["undelivered"], max_cost="0.10")
    two.first.receipt = UNDELIVERED
    prices = "carrier,price,currency\nfirst,0.04,EUR\nsecond,0.06,EUR\n"
    assert (await two.api("POST", "/v1/prices", {"csv": prices})).status == 200
    messages = [await two.send("+447700900001"), await two.send("+447700900002", text="Hello " * 40)]
    assert await two.ends(messages) == ["delivered", "undelivered"]
    first, second = [await two.shown(message) for message in messages]
    assert (first["price"], second["price"], first["currency"]) == ("0.1", "0.08", "EUR")


async def test_after_its_validity_nothing_is_sent(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    await with_failover(two, on=["undelivered"])
    two.first.receipt = None
    message = await two.send(valid_for=600)
    await until(two, message, "sent")
    now = two.app.second._clock
    monkeypatch.setattr(two.app.second, "_clock", lambda: now() + 601_000)
    await two.first.tell(*UNDELIVERED)
    assert await two.ends([message]) == ["undelivered"]
    assert not two.second.taken


async def test_a_crash_between_the_receipt_and_the_second_route_costs_nothing(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_failover(two, on=["undelivered"])
    two.first.receipt = UNDELIVERED
    monkeypatch.setattr(two.app.second, "undelivered", lambda message_ids: None)  # gone before it heard of it
    message = await two.send()

    async def told() -> bool:
        parts = (await two.shown(message))["parts"]
        return [part["status"] for part in parts] == ["undelivered"]

    await eventually(told)
    assert (await two.message(message.id))[0] == "sent"
    await due_now(two)
    assert await two.ends([message]) == ["delivered"]


async def _async(value: Any) -> Any:
    return value
