"""`/v1/carriers`: set up, read, change, pause, delete; by whom; and what becomes of secrets."""

import asyncio
import re
from pathlib import Path
from typing import Any

import apsw
import pytest

from columba.carriers import kinds
from columba.core import status
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.vault import Vault
from tests.routing import lines
from tests.routing.house import Routed, number, routed

LINE = {"name": "A line", "kind": "line", "config": {"host": "smsc.example.org", "password": "pa55w0rd"}}


@pytest.fixture(autouse=True)
def line_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds(), "line", lines.KIND)
    monkeypatch.setattr(lines.Line, "opened", [])


async def test_a_carrier_is_set_up_and_carries_messages(house: Routed) -> None:
    asked = {"name": "Try-out", "kind": "sandbox", "config": {"receipt_ms": 5}, "rate": 1000, "window": 10}
    reply = await house.api("POST", "/v1/carriers", asked)
    assert reply.status == 201, reply.json
    made = reply.json
    assert re.fullmatch("car_[0-9a-z]{13}", made["id"])
    assert made["state"] in ("connecting", "up")
    up = await house.until(made["id"], lambda it: it["state"] == "up")
    assert up | asked == up | {"config": {**up["config"], "receipt_ms": 5}} | {"config": asked["config"]}
    assert {name: up[name] for name in ("enabled", "mode", "lanes", "on_unknown", "why", "waiting", "callbacks")} == {
        "enabled": True, "mode": "live", "lanes": 1, "on_unknown": "resend", "why": "", "waiting": 0, "callbacks": {},
    }  # fmt: skip
    assert (up["config"]["receipt_ms"], up["config"]["latency_ms"]) == (5, 5)
    (session,) = up["sessions"]
    assert (session["n"], session["state"], session["window_in_use"]) == (0, "up", 0)
    message = await house.send()
    assert await house.ends([message]) == ["delivered"]
    assert await house.message(message.id) == ("delivered", None, number(made["id"]))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {("name", "required"), ("kind", "required")}),
        ({"name": "a", "kind": "telex"}, {("kind", "invalid_value")}),
        (
            {"name": "", "kind": "telex", "rate": 0},
            {("name", "too_short"), ("kind", "invalid_value"), ("rate", "out_of_range")},
        ),
        ({"name": "a", "kind": "line"}, {("config.host", "required")}),
        (
            {"name": "a", "kind": "line", "config": {"port": 0, "hots": "b", "password": "much too long"},
             "window": 0, "lane": 1},
            {("config.host", "required"), ("config.port", "out_of_range"), ("config.hots", "unknown_field"),
             ("config.password", "too_long"), ("window", "out_of_range"), ("lane", "unknown_field")},
        ),
        ({"name": "a", "kind": "sandbox", "config": {"error_rate": 1.5}}, {("config.error_rate", "out_of_range")}),
        ({"name": "a", "kind": "sandbox", "config": {"record": "/etc/cron.d/x"}}, {("config.record", "invalid_value")}),
        ({"name": "a", "kind": "sandbox", "lanes": 65}, {("lanes", "out_of_range")}),
        ({"name": "a", "kind": "sandbox", "on_unknown": "retry"}, {("on_unknown", "invalid_value")}),
    ],
)  # fmt: skip
async def test_every_problem_of_a_carrier_is_named_at_once(
    small: Routed, body: dict[str, Any], fields: set[tuple[str, str]]
) -> None:
    reply = await small.api("POST", "/v1/carriers", body)
    assert reply.status == 422, reply.json
    assert set(reply.fields) == fields
    if "telex" in body.values():
        assert '"line"' in reply.body.decode().replace('\\"', '"')
    assert b"much too long" not in reply.body
    assert (await small.api("GET", "/v1/carriers")).json["data"] == []


async def test_secrets_are_sealed_and_never_read_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    async with routed(tmp_path / "a") as house:
        reply = await house.api("POST", "/v1/carriers", LINE)
        an_id = reply.json["id"]
        listed = await house.api("GET", "/v1/carriers")
        patched = await house.api("PATCH", f"/v1/carriers/{an_id}", {"config": {"password": "n3wpa55"}})
        again = await house.api("PATCH", f"/v1/carriers/{an_id}", {"config": patched.json["config"]})
        for each in (reply, listed, patched, again):
            assert b"pa55" not in each.body
        assert again.json["config"]["password"] == "***"
        await house.until(an_id, lambda it: it["state"] == "up")
        assert house.carriers.all[number(an_id)].config.password == "n3wpa55"
    for file in filter(Path.is_file, (tmp_path / "a").rglob("*")):
        assert b"pa55" not in file.read_bytes()
    connection = apsw.Connection(str(tmp_path / "a" / "columba.db"))
    connection.execute("update carriers set secrets = ?", (Vault(bytes(32)).seal("[]"),))
    connection.close()
    async with routed(tmp_path / "a") as house:  # a key that is not here any more sealed them
        found = await house.get(an_id)
        assert (found["state"], found["config"]["host"]) == ("down", "smsc.example.org")
        assert "password" not in found["config"]
        assert "COLUMBA_SECRET_KEY" in found["why"]
        assert (await house.api("POST", f"/v1/carriers/{an_id}/test")).json["ok"] is False
        assert (await house.api("PATCH", f"/v1/carriers/{an_id}", {"name": "B"})).json["name"] == "B"
        healed = await house.api("PATCH", f"/v1/carriers/{an_id}", {"config": {"password": "pa55"}})
        assert healed.status == 200
        await house.until(an_id, lambda it: it["state"] == "up")


async def test_a_carrier_of_a_kind_that_is_gone_is_shown_and_can_be_deleted(tmp_path: Path) -> None:
    async with routed(tmp_path) as house:
        an_id = (await house.api("POST", "/v1/carriers", LINE)).json["id"]
    connection = apsw.Connection(str(tmp_path / "columba.db"))
    connection.execute("update carriers set kind = 'telex'")
    connection.close()
    async with routed(tmp_path) as house:
        found = await house.get(an_id)
        assert (found["state"], found["kind"], found["sessions"]) == ("down", "telex", [])
        assert "telex" in found["why"]
        assert (await house.api("PATCH", f"/v1/carriers/{an_id}", {"config": {}})).status == 409
        assert (await house.api("DELETE", f"/v1/carriers/{an_id}")).status == 204


async def test_a_carrier_belongs_to_its_account_and_to_live_keys(house: Routed) -> None:
    an_id = await house.make()
    other = await house.columba.another_account()
    stranger = await house.columba.key(status.LIVE, account_id=other)
    test = house.columba.test_key
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"/v1/carriers/{an_id}", None),
        ("PATCH", f"/v1/carriers/{an_id}", {"name": "mine"}),
        ("DELETE", f"/v1/carriers/{an_id}?force=true", None),
        *[("POST", f"/v1/carriers/{an_id}/{verb}", None) for verb in ("pause", "resume", "rebind", "test")],
    ]
    for key in (stranger, test):
        for method, target, body in asked:
            assert (await house.api(method, target, body, key=key)).status == 404, (method, target)
    assert (await house.api("GET", "/v1/carriers", key=stranger)).json["data"] == []
    refused = await house.api("POST", "/v1/carriers", {"name": "a", "kind": "sandbox"}, key=test)
    assert (refused.status, refused.json["code"]) == (403, "wrong_mode")
    (outcome,) = await house.app.accept(Caller(other, status.LIVE), [Submission("+447700900123", "Hello")])
    assert isinstance(outcome, Refusal)
    assert outcome.code == "no_route"
    assert (await house.get(an_id))["name"] == "one"


async def test_a_test_key_sees_the_simulated_carrier_and_can_not_change_it(small: Routed) -> None:
    (found,) = (await small.api("GET", "/v1/carriers", key=small.columba.test_key)).json["data"]
    assert (found["kind"], found["mode"], found["state"], found["created_at"]) == ("sandbox", "test", "up", None)
    place = f"/v1/carriers/{found['id']}"
    assert (await small.api("POST", f"{place}/test", key=small.columba.test_key)).json["ok"]
    for method, target, body in (
        ("PATCH", place, {"rate": 1}),
        ("DELETE", place, None),
        ("POST", f"{place}/pause", None),
    ):
        reply = await small.api(method, target, body, key=small.columba.test_key)
        assert (reply.status, reply.json["code"]) == (403, "wrong_mode")
    assert (await small.api("GET", place)).status == 404  # by a live key


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("carriers:read", {"GET"}), ("carriers:write", {"POST", "PATCH", "DELETE"}), ("messages:write", set())],
)
async def test_scopes(small: Routed, scope: str, allowed: set[str]) -> None:
    key = await small.columba.key(status.LIVE, [scope])
    one = "/v1/carriers/car_0000000000000"
    for method, target in [
        ("GET", "/v1/carriers"), ("GET", "/v1/carriers/kinds"), ("GET", one), ("POST", "/v1/carriers"), ("PATCH", one),
        ("DELETE", one), ("POST", f"{one}/pause"), ("POST", f"{one}/resume"), ("POST", f"{one}/test"),
    ]:  # fmt: skip
        reply = await small.api(method, target, {} if method in ("POST", "PATCH") else None, key=key)
        assert (reply.status != 403) is (method in allowed), (method, target)


async def test_a_list_is_paged_the_newest_first(small: Routed) -> None:
    made = [await small.make(name=f"c{n}") for n in range(5)]
    seen: list[str] = []
    target = "/v1/carriers?limit=2"
    for _ in range(3):
        answer = (await small.api("GET", target)).json
        seen += [each["id"] for each in answer["data"]]
        target = f"/v1/carriers?limit=2&cursor={answer['next_cursor']}"
    assert seen == made[::-1]
    assert answer["next_cursor"] is None
    assert all(number(an_id) & 63 == 0 for an_id in made)


async def test_there_is_an_end_to_carriers(small: Routed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("columba.routing.carriers.MOST", 1)
    await small.make()
    reply = await small.api("POST", "/v1/carriers", {"name": "two", "kind": "sandbox"})
    assert (reply.status, reply.json["code"]) == (422, "too_many")


async def test_kinds_say_how_they_are_configured(small: Routed) -> None:
    found = {each["kind"]: each for each in (await small.api("GET", "/v1/carriers/kinds")).json["data"]}
    assert found["line"]["callbacks"] == ["receipts", "inbound"]
    schema = found["line"]["config"]["$defs"]["Config"]
    assert schema["required"] == ["host"]
    assert "latency_ms" in str(found["sandbox"]["config"])


async def test_a_kind_says_how_many_sessions_and_what_addresses_there_are(small: Routed) -> None:
    reply = await small.api("POST", "/v1/carriers", {**LINE, "config": {"host": "a", "binds": 3}})
    an_id = reply.json["id"]
    found = await small.until(an_id, lambda it: [each["state"] for each in it["sessions"]] == ["up"] * 3)
    assert (found["lanes"], found["window"]) == (3, 5)
    assert found["callbacks"] == {
        "receipts": f"https://sms.example.org/callbacks/{an_id}/receipts",
        "inbound": f"https://sms.example.org/callbacks/{an_id}/inbound",
    }
    assert sorted(line.n for line in lines.Line.opened) == [0, 1, 2]
    fewer = await small.api("PATCH", f"/v1/carriers/{an_id}", {"lanes": 1})
    assert fewer.json["lanes"] == 1
    assert (await small.api("PATCH", f"/v1/carriers/{an_id}", {"lanes": None})).json["lanes"] == 3


async def test_a_carrier_without_a_session_says_why(small: Routed) -> None:
    an_id = await small.make({"host": "down"}, kind="line")
    found = await small.get(an_id)
    assert (found["state"], found["why"]) == ("down", "The network refused the bind: ESME_RBINDFAIL.")
    lines.Line.opened[-1].air.ready(True, "")
    assert (await small.get(an_id))["state"] == "up"
    an_id = await small.make({"host": "raises", "password": "pa55"}, kind="line")
    found = await small.get(an_id)
    assert (found["state"], found["why"]) == ("down", "The session could not be opened: OSError.")
    found = (await small.api("POST", "/v1/carriers", {**LINE, "enabled": False})).json
    assert (found["state"], found["enabled"], found["why"]) == ("down", False, "It is not enabled.")


@pytest.mark.parametrize(
    ("host", "ok", "detail"),
    [
        ("up", True, "The session was opened."),
        ("down", False, "The network refused the bind: ESME_RBINDFAIL."),
        ("silent", False, "Nothing was heard for 0.01 seconds."),
        ("raises", False, "The session could not be opened: OSError."),
    ],
)
async def test_trying_a_carrier_out(
    small: Routed, monkeypatch: pytest.MonkeyPatch, host: str, ok: bool, detail: str
) -> None:
    monkeypatch.setattr("columba.routing.trial.try_out.__defaults__", (0.01,))
    reply = await small.api(
        "POST", "/v1/carriers", {"name": "a", "kind": "line", "config": {"host": host}, "enabled": False}
    )
    assert lines.Line.opened == []  # it isn't enabled
    tried = (await small.api("POST", f"/v1/carriers/{reply.json['id']}/test")).json
    assert (tried["ok"], tried["detail"]) == (ok, detail)
    assert tried["took_ms"] >= 0
    (line,) = lines.Line.opened
    assert line.closed is (host != "raises")


async def test_a_sandbox_can_always_be_tried_out(small: Routed) -> None:
    an_id = await small.make({"error_rate": 1, "hang_rate": 1})
    assert (await small.api("POST", f"/v1/carriers/{an_id}/test")).json["ok"] is True


async def test_changes_of_several_at_once_are_all_made(house: Routed) -> None:
    an_id = await house.make()
    changes: list[dict[str, Any]] = [
        {"name": "two"}, {"rate": 7}, {"window": 3}, {"config": {"latency_ms": 1}}, {"config": {"receipt_ms": 2}}
    ]  # fmt: skip
    replies = await asyncio.gather(*(house.api("PATCH", f"/v1/carriers/{an_id}", each) for each in changes))
    assert [reply.status for reply in replies] == [200] * 5
    found = await house.get(an_id)
    assert (found["name"], found["rate"], found["window"]) == ("two", 7, 3)
    assert (found["config"]["latency_ms"], found["config"]["receipt_ms"]) == (1, 2)


async def test_what_is_null_goes_back_to_the_usual(small: Routed) -> None:
    an_id = await small.make({"latency_ms": 1}, rate=5, window=7, lanes=2)
    reply = await small.api(
        "PATCH", f"/v1/carriers/{an_id}", {"rate": None, "window": None, "lanes": None, "config": {"latency_ms": None}}
    )
    found = reply.json
    assert (found["rate"], found["window"], found["lanes"], found["config"]["latency_ms"]) == (None, 200, 1, 5)
    wrong = await small.api("PATCH", f"/v1/carriers/{an_id}", {"config": {"latency_ms": -1, "hang": 1}})
    assert sorted(wrong.fields) == [("config.hang", "unknown_field"), ("config.latency_ms", "out_of_range")]
