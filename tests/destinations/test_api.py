"""Destinations, presets and secrets over the API, on either store."""

import json
from pathlib import Path
from typing import Any

import pytest

from columba.core import status
from columba.forwarding import destinations as room
from columba.store.sql import Statement
from columba.vault import Vault
from tests.api import Api, Columba, running
from tests.destinations.standin import Answer, Got, standing

SECRET = "a-very-secret-token"
PLAIN = {"name": "Orders", "request": {"url": "https://example.test/orders", "body": {"json": {"t": "{{ text }}"}}}}
_ROWS = Statement("test_rows", (), (), "select spec, secrets from destinations")
_TOKENS = Statement("test_tokens", (), (), "select token from destination_tokens")
_VALUES = Statement("test_values", (), (), "select value from vault_secrets")


def echo(got: Got) -> Answer:
    return Answer(200, {"target": got.target, "headers": got.headers, "body": got.body.decode()})


async def ask(api: Api, method: str, target: str, body: Any = None, status: int = 200, **more: Any) -> Any:
    reply = await api(method, target, body, **more)
    assert reply.status == status, reply.body
    return reply.json if reply.body else None


async def add(api: Api, **fields: Any) -> Any:
    return await ask(api, "POST", "/v1/destinations", fields, 201)


async def test_made_listed_changed_and_deleted(columba: Columba) -> None:
    api = columba.whole
    first = await add(api, **PLAIN)
    assert first["id"].startswith("dst_")
    assert first["request"]["body"] == PLAIN["request"]["body"]  # type: ignore[index]
    assert (first["enabled"], first["timeout"], first["auth"]) == (True, 15.0, {"kind": "none"})
    second = await add(api, curl="curl -u me:pw-secret https://example.test/x -d a=b")
    assert (second["name"], second["auth"]) == ("example.test", {"kind": "basic", "username": "me", "password": "***"})
    listed = await ask(api, "GET", "/v1/destinations?limit=1")
    assert [each["id"] for each in listed["data"]] == [second["id"]]
    listed = await ask(api, "GET", f"/v1/destinations?limit=1&cursor={listed['next_cursor']}")
    assert ([each["id"] for each in listed["data"]], listed["next_cursor"]) == ([first["id"]], None)
    place = f"/v1/destinations/{first['id']}"
    changed = await ask(
        api, "PATCH", place, {"timeout": 30, "name": "New", "enabled": False, "save": {"a": {"jsonpath": "$.a"}}}
    )
    assert (changed["timeout"], changed["name"], changed["enabled"], changed["request"]) == (
        30,
        "New",
        False,
        first["request"],
    )
    assert await ask(api, "GET", place) == changed
    await ask(api, "DELETE", place, status=204)
    await ask(api, "GET", place, status=404)


async def test_problems_are_told_by_field_with_line_and_column(columba: Columba) -> None:
    wrong = {
        "request": {"url": "http://10.0.0.1/", "body": {"json": {"a": "{{ nope }}"}}},
        "success": {"cel": "a +"},
        "reply": "{% if %}",
        "colour": 1,
    }
    reply = await columba.whole("POST", "/v1/destinations", wrong)
    found = {each["field"]: each for each in reply.json["errors"]}
    assert reply.status == 422
    assert found.keys() == {"request.body.json.a", "success.cel", "reply", "colour"}
    assert found["request.body.json.a"]["code"] == "invalid_code"
    assert found["request.body.json.a"]["detail"].startswith("line 1, column 4: There is no `nope`")
    for fields, field, code in (
        ({"request": {"url": "http://10.0.0.1/"}}, "request.url", "forbidden_url"),
        ({"request": {"url": "http://{{ params.h }}/"}, "params": {"h": "[::1]"}}, "request.url", "forbidden_url"),
        ({"request": {"url": "ftp://x.test/"}}, "request.url", "invalid_url"),
        ({"preset": "nope"}, "preset", "invalid_value"),
        ({"curl": "curl -k https://x.test"}, "curl", "invalid_value"),
        ({}, "request", "required"),
    ):
        reply = await columba.whole("POST", "/v1/destinations", fields)
        assert [(each["field"], each["code"]) for each in reply.json["errors"]] == [(field, code)]


async def test_secrets_are_sealed_and_never_shown(columba: Columba) -> None:
    api = columba.whole
    async with standing(echo) as peer:
        made = await add(
            api, request={"url": peer.url, "headers": {"X-Api-Key": SECRET + "1"}}, auth={"kind": "bearer", "token": SECRET},
            secrets={"own": SECRET + "2"},
        )  # fmt: skip
        place = f"/v1/destinations/{made['id']}"
        tried = await ask(api, "POST", f"{place}/test", {})
        changed = await ask(
            api, "PATCH", place, {"auth": {"kind": "bearer", "token": "***"}, "secrets": {"own": "***"}, "timeout": 9}
        )
        again = await ask(api, "POST", f"{place}/test", {})
        exported = await ask(api, "GET", f"{place}/curl")
        for got in peer.got:
            assert (got.headers["authorization"], got.headers["x-api-key"]) == (f"Bearer {SECRET}", SECRET + "1")
        told = json.dumps(
            [
                made,
                tried,
                changed,
                again,
                exported,
                await ask(api, "GET", place),
                await ask(api, "GET", "/v1/destinations"),
            ]
        )
        assert SECRET not in told
        assert "***" in told
        assert '"$TOKEN"' in exported["curl"][0]
        assert SECRET not in str(await columba.app.store.read(_ROWS))
        # Another kind of auth doesn't get the secret of the one before.
        await ask(api, "PATCH", place, {"auth": {"kind": "digest", "username": "me", "password": SECRET}})
        reply = await api("PATCH", place, {"auth": {"kind": "basic", "username": "me", "password": "***"}})
        assert [each["field"] for each in reply.json["errors"]] == ["auth.password"]


async def test_a_test_really_sends_and_says_what_came_back(columba: Columba) -> None:
    api = columba.whole
    async with standing(echo) as peer:
        made = await add(
            api,
            request={"url": f"{peer.url}/{{{{ from }}}}", "body": {"json": {"t": "{{ text }}", "k": "{{ keyword }}"}}},
        )
        place = f"/v1/destinations/{made['id']}/test"
        message = {"from": "+447700900123", "to": "+12025550100", "text": 'HELP "me"'}
        tried = await ask(api, "POST", place, {"message": message})
        assert tried["error"] is None
        assert (tried["request"]["method"], tried["request"]["url"]) == ("POST", f"{peer.url}/%2B447700900123")
        assert tried["request"]["body"] == peer.got[0].body.decode() == '{"t":"HELP \\"me\\"","k":"HELP"}'
        assert tried["response"]["status"] == 200
        assert json.loads(tried["response"]["body"])["target"] == "/%2B447700900123"
        shown = await ask(api, "POST", place, {"message": message, "send": False})
        assert (shown["request"]["body"], shown["response"], len(peer.got)) == (tried["request"]["body"], None, 1)
        peer.handler = lambda got: Answer(503, b"down", {"Retry-After": "5"})
        failed = await ask(api, "POST", place)
        assert (failed["ok"], failed["response"]["status"], failed["retry_after"]) == (False, 503, 5)
        assert failed["error"].startswith("http_503: ")
    gone = await ask(api, "POST", place, {"message": message})
    assert (gone["response"], gone["error"][:8]) == (None, "connect:")
    assert gone["request"]["body"] == tried["request"]["body"]


async def test_presets(columba: Columba) -> None:
    api = columba.whole
    presets = {each["name"]: each for each in (await ask(api, "GET", "/v1/presets"))["data"]}
    assert presets["zendesk"] == await ask(api, "GET", "/v1/presets/zendesk")
    assert presets["zendesk"]["params"]["api_token"]["secret"]
    await ask(api, "GET", "/v1/presets/nope", status=404)
    async with standing(lambda got: Answer(201, {"ticket": {"id": 35}})) as peer:
        params = {"subdomain": "acme", "email": "a@acme.test", "api_token": SECRET, "base_url": peer.url}
        made = await add(api, preset="zendesk", params=params)
        assert (made["name"], made["preset"], made["secrets"]) == ("Zendesk", "zendesk", {"api_token": "***"})
        tried = await ask(api, "POST", f"/v1/destinations/{made['id']}/test", {})
        assert (tried["ok"], tried["saved"]["ticket_id"]) == (True, 35)
        changed = await ask(
            api, "PATCH", f"/v1/destinations/{made['id']}", {"params": {"tags": "a,b", "subdomain": None}}
        )
        assert changed["params"] == {"email": "a@acme.test", "tags": "a,b", "base_url": peer.url}
        await ask(api, "POST", f"/v1/destinations/{made['id']}/test", {})
        assert peer.got[-1].json["ticket"]["tags"] == ["a", "b"]


async def test_secrets_of_the_account(columba: Columba) -> None:
    api = columba.whole
    reply = await api("POST", "/v1/destinations", {**PLAIN, "auth": {"kind": "bearer", "token": {"secret": "crm"}}})
    assert [each["field"] for each in reply.json["errors"]] == ["auth"]
    await ask(api, "POST", "/v1/secrets", {"name": "crm", "value": SECRET}, 201)
    await ask(api, "POST", "/v1/secrets", {"name": "crm", "value": SECRET}, 409)
    async with standing(echo) as peer:
        fields = {
            "request": {"url": peer.url + "/{{ secrets.crm }}"},
            "auth": {"kind": "bearer", "token": {"secret": "crm"}},
        }
        made = await add(api, **fields)
        assert made["auth"]["token"] == {"secret": "crm"}
        test = f"/v1/destinations/{made['id']}/test"
        assert SECRET not in json.dumps(await ask(api, "POST", test))
        await ask(api, "PATCH", "/v1/secrets/crm", {"value": "another-secret"})
        assert (await ask(api, "POST", test))["ok"]
        assert [got.target for got in peer.got] == [f"/{SECRET}", "/another-secret"]
        assert [got.headers["authorization"] for got in peer.got] == [f"Bearer {SECRET}", "Bearer another-secret"]
    told = await ask(api, "GET", "/v1/secrets")
    assert [each["name"] for each in told["data"]] == ["crm"]
    assert "another-secret" not in json.dumps(told) + str(await columba.app.store.read(_VALUES))
    await ask(api, "DELETE", "/v1/secrets/crm", status=409)
    await ask(api, "DELETE", f"/v1/destinations/{made['id']}", status=204)
    await ask(api, "DELETE", "/v1/secrets/crm", status=204)
    await ask(api, "PATCH", "/v1/secrets/crm", {"value": "x"}, 404)


async def test_tokens_are_sealed_in_the_store_and_go_with_their_destination(columba: Columba) -> None:
    def answer(got: Got) -> Answer:
        return (
            Answer(200, {"access_token": "t0ken-of-this-test", "expires_in": 600})
            if got.target == "/token"
            else echo(got)
        )

    api = columba.whole
    async with standing(answer) as peer:
        auth = {"kind": "oauth2", "token_url": f"{peer.url}/token", "client_id": "a", "client_secret": SECRET}
        made = await add(api, request={"url": peer.url}, auth=auth)
        assert (await ask(api, "POST", f"/v1/destinations/{made['id']}/test"))["ok"]
        ((kept,),) = await columba.app.store.read(_TOKENS)
        assert "t0ken" not in kept
        assert "t0ken-of-this-test" in columba.app.vault.open(kept)
    await ask(api, "DELETE", f"/v1/destinations/{made['id']}", status=204)
    assert not await columba.app.store.read(_TOKENS)


async def test_accounts_and_modes_are_apart(columba: Columba) -> None:
    api = columba.whole
    made = await add(api, **PLAIN)
    await ask(api, "POST", "/v1/secrets", {"name": "crm", "value": SECRET}, 201)
    others = [columba.live_key, await columba.key(status.TEST, account_id=await columba.another_account())]
    for key in others:
        for method, target in (
            ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/curl"),
        ):  # fmt: skip
            body: Any = {} if method in ("PATCH", "POST") else None
            await ask(api, method, f"/v1/destinations/{made['id']}{target}", body, 404, key=key)
        await ask(api, "PATCH", "/v1/secrets/crm", {"value": "x"}, 404, key=key)
        assert (await ask(api, "GET", "/v1/destinations", key=key))["data"] == []
        assert (await ask(api, "GET", "/v1/secrets", key=key))["data"] == []
        fields = {**PLAIN, "auth": {"kind": "bearer", "token": {"secret": "crm"}}}
        await ask(api, "POST", "/v1/destinations", fields, 422, key=key)
    reader = await columba.key(scopes=["destinations:read"])
    await ask(api, "GET", f"/v1/destinations/{made['id']}", key=reader)
    await ask(api, "POST", f"/v1/destinations/{made['id']}/test", {}, 403, key=reader)
    await ask(api, "GET", "/v1/secrets", status=403, key=reader)


async def test_what_a_rule_names_is_not_deleted(columba: Columba) -> None:
    api = columba.whole
    made = await add(api, **PLAIN)
    rule = {"name": "all of them", "then": [{"forward": {"to": [made["id"]]}}]}
    await ask(api, "POST", "/v1/rules", rule, 201)
    refused = await ask(api, "DELETE", f"/v1/destinations/{made['id']}", status=409)
    assert "all of them" in refused["detail"]


async def test_the_echo_endpoint(columba: Columba) -> None:
    api = columba.whole
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        told = await ask(api, method, "/echo?a=b&status=202", {"x": 1} if method != "GET" else None, 202)
        assert (told["method"], told["query"]["a"], told["json"]) == (
            method,
            "b",
            {"x": 1} if method != "GET" else None,
        )
    told = await ask(api, "POST", "/echo/api/v2/tickets.json", {"x": 1})
    assert told["path"] == "/echo/api/v2/tickets.json"
    await ask(api, "POST", "/echo?status=503", {}, 503)


async def test_a_vault_with_another_key(tmp_path: Path, database: str) -> None:
    """What can't be opened is told, is not used, and may be given again."""
    async with running(tmp_path, database, allow_network=("127.0.0.0/8",)) as columba:
        made = await add(columba.whole, **PLAIN, auth={"kind": "bearer", "token": SECRET})
        store, snapshots = columba.app.store, columba.app.snapshots
        other = room.Destinations(store, snapshots, Vault(b"\1" * 32), lambda: 0)
        await other.load()
        (found,) = other.all.values()
        assert found.problem is not None
        assert "COLUMBA_SECRET_KEY" in found.problem
        place = f"/v1/destinations/{made['id']}"
        columba.app.destinations.all = other.all
        assert "COLUMBA_SECRET_KEY" in (await ask(columba.whole, "POST", f"{place}/test"))["error"]


@pytest.mark.parametrize("text", ["", "x" * 1_600, "\u202e\U0001f600", '{"a": "{{ b }}"}'])
async def test_any_text_can_be_tried(columba: Columba, text: str) -> None:
    async with standing(echo) as peer:
        made = await add(columba.whole, request={"url": peer.url, "body": {"json": {"t": "{{ text }}"}}})
        tried = await ask(columba.whole, "POST", f"/v1/destinations/{made['id']}/test", {"message": {"text": text}})
    assert tried["ok"]
    assert peer.got[0].json == {"t": text}
