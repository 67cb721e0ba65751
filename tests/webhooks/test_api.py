"""`/v1/webhooks` as programs use it: made, read, changed, deleted, and refused with every problem named."""

import asyncio
from typing import Any

import pytest

from columba.core import status
from columba.store.sql import Statement
from columba.webhooks.endpoints import types_of
from tests.program import Sink
from tests.webhooks.conftest import House

URL = "https://example.org/hook"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = {"url": URL, "events": ["message.*"]}

_SEALED = Statement("test_sealed", (), (), "select secret, previous_secret from webhooks")


async def test_its_secret_is_shown_when_it_is_made_and_never_again(house: House) -> None:
    made = await house.post("/v1/webhooks", {**NEW, "description": "the shop"}, 201)
    assert made["secret"].startswith("whsec_")
    assert (made["url"], made["events"], made["description"]) == (URL, ["message.*"], "the shop")
    assert (made["enabled"], made["disabled_reason"], made["failing_since"]) == (True, None, None)
    assert (made["timeout"], made["concurrency"]) == (15, 64)
    assert made["retry_schedule"] == [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]
    secret = made.pop("secret")
    assert await house.get(f"/v1/webhooks/{made['id']}") == made
    assert (await house.get("/v1/webhooks"))["data"] == [made]
    changed = await house.patch(made, description="the other shop")
    assert changed == {**made, "description": "the other shop", "updated_at": changed["updated_at"]}
    rotated = await house.post(f"/v1/webhooks/{made['id']}/rotate-secret", {"secret": SECRET}, 200)
    assert (rotated["secret"], rotated["secret"] != secret) == (SECRET, True)
    assert rotated["rotating_until"] is not None
    rows = await house.app.store.read(_SEALED)
    assert all(secret not in str(row) and SECRET not in str(row) for row in rows)


async def test_all_may_be_set_and_set_back(house: House) -> None:
    settings = {"retry_schedule": [1, 2], "timeout": 2.5, "concurrency": 7}
    made = await house.post("/v1/webhooks", {**NEW, **settings, "secret": SECRET}, 201)
    assert made["secret"] == SECRET
    assert {name: made[name] for name in settings} == settings
    changed = await house.patch(made, events=["*", "*"], concurrency=9)
    assert (changed["events"], changed["concurrency"], changed["timeout"]) == (["*"], 9, 2.5)
    changed = await house.patch(made, retry_schedule=None, timeout=None, concurrency=None)
    assert (changed["timeout"], changed["concurrency"], len(changed["retry_schedule"])) == (15, 64, 7)
    assert (await house.patch(made, retry_schedule=[]))["retry_schedule"] == []


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"events": ["message.lost", "*", "webhooks.*"]}, [("events[0]", "invalid_value"), ("events[2]", "invalid_value")]),
        ({"events": []}, [("events", "too_short")]),
        ({"url": "ftp://example.org"}, [("url", "invalid_url")]),
        ({"url": "https://user:word@example.org"}, [("url", "invalid_url")]),
        ({"url": "http://10.0.0.1/"}, [("url", "forbidden_url")]),
        ({"url": "http://[::ffff:169.254.169.254]/"}, [("url", "forbidden_url")]),
        ({"url": "http://2130706433/"}, [("url", "invalid_url")]),
        ({"retry_schedule": [5, -1]}, [("retry_schedule[1]", "out_of_range")]),
        ({"retry_schedule": [1] * 21}, [("retry_schedule", "too_many")]),
        ({"timeout": 31, "concurrency": 0}, [("timeout", "out_of_range"), ("concurrency", "out_of_range")]),
        ({"enable": True}, [("enable", "unknown_field")]),
        (
            {"url": "http://10.0.0.1/", "events": ["x"], "timeout": "x", "what": 1},
            [("url", "forbidden_url"), ("events[0]", "invalid_value"), ("timeout", "wrong_type"), ("what", "unknown_field")],
        ),
    ],
)  # fmt: skip
async def test_what_can_not_be_taken_is_refused_with_every_problem(
    house: House, change: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    made = await house.post("/v1/webhooks", NEW, 201)
    for method, target, body in (
        ("POST", "/v1/webhooks", {**NEW, **change}),
        ("PATCH", f"/v1/webhooks/{made['id']}", change),
    ):
        reply = await house.api(method, target, body)
        assert reply.status == 422
        assert sorted(reply.fields) == sorted(errors)
    assert (await house.get("/v1/webhooks"))["data"][0]["updated_at"] == made["updated_at"]


async def test_an_unknown_type_is_told_which_there_are(house: House) -> None:
    reply = await house.api("POST", "/v1/webhooks", {**NEW, "events": ["message.lost"]})
    detail = reply.json["errors"][0]["detail"]
    for word in ("message.lost", "message.delivered", "webhook.disabled", "message.*"):
        assert word in detail


@pytest.mark.parametrize("secret", ["secret", "whsec_short", f"{SECRET}!", "whsec_" + "A" * 100])
async def test_a_secret_must_be_one_and_is_not_told_again(house: House, secret: str) -> None:
    made = await house.post("/v1/webhooks", NEW, 201)
    for target, body in (
        ("/v1/webhooks", {**NEW, "secret": secret}),
        (f"/v1/webhooks/{made['id']}/rotate-secret", {"secret": secret}),
        ("/v1/webhooks/callback-secret/rotate", {"secret": secret}),
    ):
        reply = await house.api("POST", target, body)
        assert (reply.status, reply.fields) == (422, [("secret", "invalid_value")])
        assert secret.removeprefix("whsec_").encode() not in reply.body.replace(b"secret", b"")


@pytest.mark.parametrize(
    ("patterns", "types"),
    [
        (["message.delivered"], {50}),
        (["message.*"], {10, 20, 30, 40, 50, 51, 52, 53, 54, 60}),
        (["webhook.*"], {100, 101, 102}),
        (["delivery.exhausted", "webhook.failing"], {100, 103}),
        (["webhook.test"], set()),
        (["*"], {10, 20, 30, 40, 50, 51, 52, 53, 54, 60, 100, 101, 102, 103}),
    ],
)
def test_what_patterns_stand_for(patterns: list[str], types: set[int]) -> None:
    assert set(types_of(patterns)) >= types
    assert {n for n in types_of(patterns) if n <= 104} == types


async def test_nobody_else_sees_or_touches_it(house: House, sink: Sink) -> None:
    hook = await house.hook(sink.url)
    await house.columba.send()
    delivery = await house.settled(hook)
    stranger = await house.columba.key(account_id=await house.columba.another_account())
    reads_only = await house.columba.key(scopes=["webhooks:read", "messages:write"])
    place = f"/v1/webhooks/{hook['id']}"
    asked = [
        ("GET", place, None, 404),
        ("PATCH", place, {"url": URL}, 404),
        ("DELETE", place, None, 404),
        ("POST", f"{place}/rotate-secret", None, 404),
        ("POST", f"{place}/test", None, 404),
        ("POST", f"{place}/recover", {"since": "2026-01-01T00:00:00Z"}, 404),
        ("GET", f"/v1/deliveries/{delivery['id']}", None, 404),
        ("POST", f"/v1/deliveries/{delivery['id']}/replay", None, 404),
        ("GET", f"/v1/deliveries?endpoint={hook['id']}", None, 422),
    ]
    for method, target, body, code in asked:
        for key in (stranger, house.columba.live_key):
            assert (await house.api(method, target, body, key=key)).status == code, target
        if method != "GET":
            assert (await house.api(method, target, body, key=reads_only)).status == 403, target
    assert (await house.api("GET", "/v1/webhooks/callback-secret", key=reads_only)).status == 403
    for key in (stranger, house.columba.live_key):
        for target in ("/v1/webhooks", "/v1/deliveries", f"/v1/deliveries?event={delivery['event']}"):
            assert (await house.api("GET", target, key=key)).json["data"] == []
    assert len(sink.requests) == 1


@pytest.mark.parametrize("an_id", ["whk_0000000000000", "whk_x", "x", "msg_0ak9t73200400"])
async def test_what_is_not_there(house: House, an_id: str) -> None:
    for method, target in (
        ("GET", f"/v1/webhooks/{an_id}"),
        ("DELETE", f"/v1/webhooks/{an_id}"),
        ("GET", f"/v1/deliveries/{an_id}"),
        ("POST", f"/v1/deliveries/dlv_{an_id}/replay"),
    ):
        reply = await house.api(method, target)
        assert (reply.status, reply.json["code"]) == (404, "not_found")


async def test_a_list_is_paged_the_newest_first(house: House) -> None:
    made = [(await house.post("/v1/webhooks", {**NEW, "description": str(n)}, 201))["id"] for n in range(5)]
    first = await house.get("/v1/webhooks?limit=3")
    second = await house.get(f"/v1/webhooks?limit=3&cursor={first['next_cursor']}")
    assert [each["id"] for each in first["data"] + second["data"]] == made[::-1]
    assert second["next_cursor"] is None


async def test_there_is_a_most_of_them(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("columba.webhooks.api.MOST_ENDPOINTS", 2)
    for code in (201, 201, 422):
        reply = await house.api("POST", "/v1/webhooks", NEW)
        assert reply.status == code
    assert reply.json["code"] == "too_many"


async def test_changes_at_the_same_moment_all_count(house: House) -> None:
    made = await house.post("/v1/webhooks", NEW, 201)
    await asyncio.gather(
        house.patch(made, description="new"), house.patch(made, timeout=3), house.patch(made, events=["message.sent"])
    )
    shown = await house.get(f"/v1/webhooks/{made['id']}")
    assert (shown["description"], shown["timeout"], shown["events"]) == ("new", 3, ["message.sent"])


async def test_the_modes_do_not_mix(house: House, sink: Sink) -> None:
    reply = await house.api(
        "POST", "/v1/webhooks", {"url": sink.url, "events": ["*"]}, key=house.columba.live_key
    )  # fmt: skip
    assert reply.status == 201
    hook = await house.hook(sink.url)
    await house.columba.send(mode=status.TEST)
    await house.settled(hook)
    assert len(sink.requests) == 1
