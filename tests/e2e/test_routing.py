"""Routes, senders and spend, through the program and over real connections."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.smsc import Smsc
from tests.e2e.talk import Json, batch, ended, everything, get, send
from tests.program import Program, eventually


@pytest.fixture
def smscs() -> Iterator[tuple[Smsc, Smsc]]:
    with Smsc(slow_s=0.002) as one, Smsc() as other:
        yield one, other


def post(columba: Program, path: str, body: Json) -> Json:
    answer = columba.request("POST", path, body, key=columba.live_key)
    assert answer.status in (200, 201), answer
    made: Json = answer.json
    return made


def connected(columba: Program, name: str, smsc: Smsc, **more: Any) -> str:
    config = {"host": "127.0.0.1", "port": smsc.port, "system_id": "test", "password": "x", "reconnect": 0.2}
    made = post(columba, "/v1/carriers", {"name": name, "kind": "smpp", "config": config, "window": 20, **more})

    def up() -> bool:
        shown: Json = get(columba, f"/v1/carriers/{made['id']}", columba.live_key)
        return bool(shown["state"] == "up")

    eventually(up)
    return str(made["id"])


def route(columba: Program, *carriers: str, **more: Any) -> Json:
    return post(columba, "/v1/routes", {"name": "all", "carriers": [{"carrier": each} for each in carriers], **more})


def clear(columba: Program, *paths: str) -> None:
    for path in paths:
        answer = columba.request("DELETE", path, key=columba.live_key)
        assert answer.status == 204, answer


def test_a_dead_providers_traffic_moves_to_the_second(columba: Program, smscs: tuple[Smsc, Smsc]) -> None:
    """A provider dies with hundreds waiting and some on the wire. Within 5 s the second has all that the first surely has
    not; nothing is lost, and nobody gets anything twice."""
    first, second = smscs
    carriers = [
        connected(columba, "first", first, on_unknown="unknown"), connected(columba, "second", second),
    ]  # fmt: skip
    made = route(columba, *carriers)
    numbers = [f"+4477011{n:05}" for n in range(1000, 2000)]
    answer = batch(columba, [{"to": to, "text": "Hello"} for to in numbers], columba.live_key, tags=["moving"])
    assert answer["accepted"] == len(numbers)
    eventually(lambda: first.taken.total() > 100)
    first.die()
    died = time.monotonic()
    late = [send(columba, f"+4477012{n:05}", columba.live_key, tags=["moving"])["to"] for n in range(1000, 1050)]
    wanted = {to.removeprefix("+") for to in (*numbers, *late)}

    def statuses() -> dict[str, str]:
        return {
            each["to"].removeprefix("+"): each["status"]
            for each in everything(columba, "/v1/messages?tag=moving", columba.live_key)
        }

    def settled() -> dict[str, str] | None:
        found = statuses()
        return found if not {"queued", "sent"} & set(found.values()) else None

    found = eventually(settled)
    assert found
    unknown = {to for to, status in found.items() if status == "unknown"}
    assert set(found) == wanted  # nothing is lost
    assert set(found.values()) <= {"delivered", "unknown"}
    assert len(unknown) <= 20  # what was on the wire when it died
    taken = first.taken + second.taken
    assert max(taken.values()) == 1  # nothing was sent twice
    assert set(second.taken) == wanted - set(first.taken) - unknown
    assert wanted - set(taken) <= unknown
    moved = everything(columba, "/v1/events?type=message.rerouted", columba.live_key)
    assert len(moved) >= len(second.taken) - len(late)
    assert time.monotonic() - died < 30
    clear(columba, f"/v1/routes/{made['id']}", *(f"/v1/carriers/{each}?force=true" for each in carriers))


def test_the_second_delivers_what_the_first_could_not(columba: Program, smscs: tuple[Smsc, Smsc]) -> None:
    first, second = smscs
    first.state = "UNDELIV"
    carriers = [connected(columba, "first", first), connected(columba, "second", second)]
    made = route(columba, *carriers, failover={"on": ["undelivered"]})
    sent = [send(columba, f"+4477013{n:05}", columba.live_key) for n in range(1000, 1020)]
    for each in sent:
        shown = ended(columba, each["id"], key=columba.live_key) if _final(columba, each) else {}
        assert shown["status"] == "delivered"
        assert [part["carrier"] for part in shown["parts"]] == carriers
    assert set((first.taken + second.taken).values()) == {2}
    clear(columba, f"/v1/routes/{made['id']}", *(f"/v1/carriers/{each}?force=true" for each in carriers))


def _final(columba: Program, message: Json) -> bool:
    """Once it has come to its end; on the way there it is `queued` or `sent` and nothing else."""

    def look() -> bool:
        shown: Json = get(columba, f"/v1/messages/{message['id']}", columba.live_key)
        assert shown["status"] != "undelivered"
        return shown["status"] not in ("queued", "sent")

    return eventually(look)


def test_prices_a_balance_and_senders(columba: Program) -> None:
    made = post(columba, "/v1/carriers", {"name": "a", "kind": "sandbox"})
    post(columba, "/v1/prices", {"csv": "country,price,currency\nGB,0.04,EUR\n"})
    answer = columba.request("PATCH", "/v1/spend", {"balance": "0.05"}, key=columba.live_key)
    assert answer.json["balance"] == "0.05"
    sender = post(columba, "/v1/senders", {"sender": "Columba", "default_for": ["*"]})
    sent = send(columba, "+447700900123", columba.live_key)
    assert sent["from"] == "Columba"
    refused = columba.request("POST", "/v1/messages", {"to": "+447700900123", "text": "a"}, key=columba.live_key)
    assert (refused.status, refused.json["code"]) == (402, "insufficient_balance")
    other = columba.request(
        "POST", "/v1/messages", {"to": "+447700900123", "text": "a", "from": "Other"}, key=columba.live_key
    )
    assert (other.status, other.json["code"]) == (422, "sender_not_allowed")
    assert ended(columba, sent["id"], "queued", "sent", "delivered", key=columba.live_key)
    columba.request("PATCH", "/v1/spend", {"balance": None}, key=columba.live_key)
    clear(columba, f"/v1/senders/{sender['id']}", "/v1/prices", f"/v1/carriers/{made['id']}?force=true")
