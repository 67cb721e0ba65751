"""A message that its carrier can't take goes on with the next of its route. Every part that any provider took is counted."""

import asyncio
from typing import Any

import pytest

from columba.app import clock
from columba.core import status
from columba.core.model import Message
from columba.core.submission import Caller, Submission
from tests.api import eventually
from tests.routing.house import number
from tests.routing.two import Two, two

__all__ = ["two"]


@pytest.mark.parametrize(
    ("does", "klass"),
    [
        ("refuses", status.TRANSACTIONAL),
        ("refuses", status.OTP),
        ("reroutes", status.OTP),
        ("rejects", status.TRANSACTIONAL),
    ],
)
async def test_what_the_first_refuses_the_second_takes_at_once(two: Two, does: str, klass: int) -> None:
    two.first.does = does
    messages = await two.send_many(5, klass=klass, text="Hello " * 40)
    assert await two.ends(messages, 5) == ["delivered"] * 5
    assert two.second.taken == {(message.id, n): 1 for message in messages for n in (1, 2)}
    shown = await two.shown(messages[0])
    assert [(part["hop"], part["n"], part["carrier"], part["status"]) for part in shown["parts"]] == [
        (1, 1, two.carriers_of["first"], "failed"),
        (1, 2, two.carriers_of["first"], "failed"),
        (2, 1, two.carriers_of["second"], "delivered"),
        (2, 2, two.carriers_of["second"], "delivered"),
    ]
    steps = [(step["type"], step["data"]) for step in shown["timeline"]]
    assert [name for name, _ in steps] == ["message.queued", "message.rerouted", "message.sent", "message.delivered"]
    assert steps[1][1]["reroute"]["to_carrier"] == two.carriers_of["second"]
    assert steps[1][1]["reroute"]["carrier_code"] in ("SYSERR", "NOROUTE", "RINVSRCADR")


async def test_what_is_wrong_with_the_number_is_wrong_everywhere(two: Two) -> None:
    two.first.does = "no such number"
    (message,) = await two.send_many(1)
    assert await two.ends([message]) == ["failed"]
    assert not two.taken()


async def test_a_route_may_keep_its_messages(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("columba.core.flight.MAX_ATTEMPTS", 1)
    two.first.does = "refuses"
    reply = await two.api("PATCH", f"/v1/routes/{two.route.json['id']}", {"failover": {"submit": False}})
    assert reply.status == 200, reply.json
    (message,) = await two.send_many(1)
    assert await two.ends([message]) == ["failed"]
    assert not two.taken()


async def test_when_no_carrier_takes_it_it_is_tried_again_where_it_is(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.first.does = two.second.does = "refuses"
    (message,) = await two.send_many(1)
    await asyncio.sleep(0.1)  # some tries
    two.first.does = two.second.does = "takes"
    assert await two.ends([message]) == ["delivered"]
    assert two.taken() == {(message.id, 1): 1}


async def test_what_may_have_been_sent_stays_with_its_carrier(two: Two) -> None:
    two.first.does = "hangs"
    codes = [await two.send("+447700900001", klass=status.OTP), await two.send("+447700900002", klass=status.OTP)]
    others = await two.send_many(3)
    await eventually(lambda: _async(len(two.first.taken) == 5))
    two.first.die()
    assert await two.ends(codes) == ["unknown", "unknown"]
    await two.app.failover.step()
    two.first.live()
    await two.ends(others)
    assert not two.second.taken  # those that are not codes went again to the first, who may have them
    assert max(two.first.taken[message.id, 1] for message in codes) == 1


async def test_a_part_that_was_taken_keeps_the_others_there(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.first.does = "takes"
    session = two.first.sessions[0]
    send = session.send

    def half(parts: Any, done: Any) -> None:
        send([part for part in parts if part.n == 1], done)
        two.first.does = "refuses"
        send([part for part in parts if part.n == 2], done)
        two.first.does = "takes"
        monkeypatch.setattr(session, "send", send)

    monkeypatch.setattr(session, "send", half)
    message = await two.send(text="Hello " * 40)
    assert await two.ends([message]) == ["delivered"]
    assert not two.second.taken
    assert two.first.taken == {(message.id, 1): 1, (message.id, 2): 1}


async def test_a_part_that_may_have_been_taken_keeps_the_others_there(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = two.first.sessions[0]
    send = session.send

    def half(parts: Any, done: Any) -> None:
        two.first.does = "hangs"
        send([part for part in parts if part.n == 1], done)
        two.first.does = "refuses"
        send([part for part in parts if part.n == 2], done)
        monkeypatch.setattr(session, "send", send)

    monkeypatch.setattr(session, "send", half)
    message = await two.send(text="Hello " * 40)
    await eventually(lambda: _async(len(session.open) == 1))  # the second part was refused, the first hangs
    two.first.die()
    two.first.live()
    assert await two.ends([message]) == ["delivered"]
    assert not two.second.taken


async def test_what_waits_for_a_dead_provider_moves_to_the_second(two: Two) -> None:
    """Several hundred wait, some are on the wire, and the provider dies: within five seconds the second has all that the
    first surely has not, nothing is lost, and nobody took anything twice."""
    two.first.answers_s = 0.05
    messages = await two.send_many(300)
    later = await two.app.accept(
        *_asked(two, [("+447700999999", two.app.ids, "send later")])  # scheduled: it is routed on when its time comes
    )
    await eventually(lambda: _async(len(two.first.taken) >= 100))
    two.first.die()
    unanswered = {message.id for message in messages if two.first.taken[message.id, 1]}
    more = [await two.send(f"+4477008{n:05}") for n in range(1000, 1050)]

    async def all_moved() -> bool:
        return len(two.taken()) == 350

    await eventually(all_moved)
    assert set(two.taken().values()) == {1}
    assert {message_id for message_id, _ in two.first.taken} == unanswered
    moved = [message for message in (*messages, *more) if message.id not in unanswered]
    assert set(await two.ends(moved)) == {"delivered"}
    assert isinstance(later[0], Message)
    assert (await two.message(later[0].id))[0] == "scheduled"
    shown = await two.until(two.carriers_of["first"], lambda it: it["health"]["standing"] == 0.0)
    assert shown["health"]["why"] == "None of its sessions is open."
    two.first.live()
    ended = await two.ends(messages)
    assert set(ended) == {"delivered"}


async def test_one_that_had_it_before_is_better_than_one_that_is_dead(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.first.does = "refuses"
    lane = two.app.lanes.owned[number(two.carriers_of["second"])]
    lane.pause(60)
    message = await two.send()

    async def with_the_second() -> bool:
        return (await two.message(message.id))[2] == number(two.carriers_of["second"])

    await eventually(with_the_second)
    two.first.does = "takes"
    two.second.die()
    assert await two.ends([message], 5) == ["delivered"]
    assert two.first.taken == {(message.id, 1): 1}


async def test_a_carrier_comes_back_when_it_is_well(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.first.does = "refuses"
    await two.ends(await two.send_many(30))
    await two.app.healths.step()
    first, second = (two.carriers_of[name] for name in ("first", "second"))
    explained = (await two.api("POST", "/v1/routes/explain", {"to": "+447700900123", "text": "a"})).json
    by_id = {each["id"]: each for each in explained["carriers"]}
    assert by_id[first]["health"] < 0.5
    two.first.does = "takes"
    monkeypatch.setattr("columba.routing.health.SUBMITS_FADE_MS", 50)

    async def well_again() -> bool:
        await two.app.healths.step()
        explained = (await two.api("POST", "/v1/routes/explain", {"to": "+447700900123", "text": "a"})).json
        by_id = {each["id"]: each for each in explained["carriers"]}
        return bool(explained["carrier"]["id"] == first and by_id[first]["health"] >= 0.5)

    await eventually(well_again)
    message = await two.send()
    assert await two.ends([message]) == ["delivered"]
    assert two.first.taken == {(message.id, 1): 1}
    assert second != first


def _asked(two: Two, those: list[tuple[str, Any, str]]) -> tuple[Any, Any]:
    asked = [Submission(to, text, send_at=clock() + 3_600_000) for to, _, text in those]
    return Caller(two.columba.account_id, status.LIVE), asked


async def _async(value: Any) -> Any:
    return value
