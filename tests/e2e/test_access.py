"""Who may do what: keys, tokens, scopes, and the two modes that never meet."""

import base64
import re
import urllib.parse

import pytest

from tests.e2e.talk import TIME, Json, ended, everything, get, new_key, number, refused, send
from tests.program import Program, Sink, eventually


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def token(columba: Program, key: Json, scope: str | None = None) -> Json:
    form = {"grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["secret"]}
    body = urllib.parse.urlencode(form | ({"scope": scope} if scope else {})).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    got = columba.request("POST", "/v1/oauth/token", key="", headers=headers, body=body)
    assert got.status == 200, got
    shown: Json = got.json
    return shown


def test_a_key_opens_as_bearer_as_basic_and_as_oauth_token(columba: Program) -> None:
    key = new_key(columba)
    assert re.fullmatch(r"ck_test_\w{16,}", key["secret"])
    assert re.fullmatch(r"ck_live_\w{16,}", new_key(columba, mode="live")["secret"])
    granted = token(columba, key)
    assert (granted["token_type"], 0 < granted["expires_in"] <= 3600) == ("Bearer", True)
    body = {"to": number(), "text": "Hello"}
    for headers in (
        {"Authorization": f"Bearer {key['secret']}"},
        {"Authorization": f"bearer {key['secret']}"},
        basic(key["id"], key["secret"]),
        {"Authorization": f"Bearer {granted['access_token']}"},
    ):
        assert columba.request("GET", "/v1/messages", key="", headers=headers).status == 200
        assert columba.request("POST", "/v1/messages", body, key="", headers=headers).status == 202


def test_a_token_can_be_narrowed_and_ends_with_its_key(columba: Program) -> None:
    key = new_key(columba, "messages:read", "messages:write")
    granted = token(columba, key, "messages:read")
    assert granted["scope"] == "messages:read"
    assert columba.request("GET", "/v1/messages", key=granted["access_token"]).status == 200
    answer = columba.request("POST", "/v1/messages", {"to": number(), "text": "x"}, key=granted["access_token"])
    assert "messages:write" in refused(answer, 403, "forbidden")["detail"]
    assert columba.request("DELETE", f"/v1/keys/{key['id']}", key=columba.live_key).status == 204
    refused(columba.request("GET", "/v1/messages", key=granted["access_token"]), 401, "unauthorized")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "key_0", "client_secret": "x"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "invalid_request"),
        ({"grant_type": "client_credentials", "scope": "everything"}, 400, "invalid_scope"),
    ],
)
def test_tokens_are_refused_in_the_words_of_oauth(
    columba: Program, form: dict[str, str], status: int, error: str
) -> None:
    if "client_id" not in form:
        key = new_key(columba)
        form = form | {"client_id": key["id"], "client_secret": key["secret"]}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urllib.parse.urlencode(form).encode()
    answer = columba.request("POST", "/v1/oauth/token", key="", headers=headers, body=body)
    assert (answer.status, answer.json["error"]) == (status, error)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/keys", "/v1/events", "/v1/events/stream", "/v1/messages/batch"])
def test_without_a_good_key_nothing_is_told(columba: Program, path: str) -> None:
    method = "POST" if path.endswith("batch") else "GET"
    gone = new_key(columba)
    columba.request("DELETE", f"/v1/keys/{gone['id']}", key=columba.live_key)
    for headers in (
        {},
        {"Authorization": "Bearer ck_test_nonsense"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic !!"},
        basic("key_0000000000000", columba.test_key),
        {"Authorization": f"Bearer {gone['secret']}"},
    ):
        answer = columba.request(method, path, key="", headers=headers)
        refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_an_address_that_keeps_failing_is_told_to_wait_and_a_good_key_is_not() -> None:
    with Program() as columba:

        def fail() -> bool:
            answer = columba.request("GET", "/v1/messages", key="ck_test_guess")
            return answer.status == 429 and int(answer.headers["retry-after"]) > 0

        eventually(fail, every=0)
        assert columba.request("GET", "/v1/messages").status == 200


SCOPED = [
    ("POST", "/v1/messages", "messages:write"),
    ("POST", "/v1/messages/batch", "messages:write"),
    ("POST", "/v1/messages/msg_0/cancel", "messages:write"),
    ("POST", "/v1/messages/msg_0/redact", "messages:write"),
    ("POST", "/v1/sandbox/inbound", "messages:write"),
    ("GET", "/v1/messages", "messages:read"),
    ("GET", "/v1/messages/msg_0", "messages:read"),
    ("GET", "/v1/events", "messages:read"),
    ("GET", "/v1/events/stream", "messages:read"),
    ("POST", "/v1/webhooks", "webhooks:write"),
    ("PATCH", "/v1/webhooks/whk_0", "webhooks:write"),
    ("DELETE", "/v1/webhooks/whk_0", "webhooks:write"),
    ("POST", "/v1/webhooks/whk_0/test", "webhooks:write"),
    ("POST", "/v1/webhooks/whk_0/recover", "webhooks:write"),
    ("POST", "/v1/webhooks/whk_0/rotate-secret", "webhooks:write"),
    ("POST", "/v1/deliveries/dlv_0/replay", "webhooks:write"),
    ("GET", "/v1/webhooks", "webhooks:read"),
    ("GET", "/v1/deliveries", "webhooks:read"),
    ("POST", "/v1/keys", "keys:write"),
    ("DELETE", "/v1/keys/key_0", "keys:write"),
    ("POST", "/v1/keys/key_0/rotate", "keys:write"),
    ("GET", "/v1/keys", "keys:read"),
    ("POST", "/v1/carriers", "carriers:write"),
    ("POST", "/v1/carriers/car_0/pause", "carriers:write"),
    ("GET", "/v1/carriers", "carriers:read"),
]


@pytest.fixture(scope="module")
def scoped(columba: Program) -> dict[str, str]:
    """For each scope a key that has all the others."""
    scopes = sorted({scope for _, _, scope in SCOPED})
    return {lacked: new_key(columba, *(each for each in scopes if each != lacked))["secret"] for lacked in scopes}


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_a_key_without_the_scope_is_refused_by_its_name(
    columba: Program, scoped: dict[str, str], method: str, path: str, scope: str
) -> None:
    body: Json | None = None if method == "GET" else {}
    assert scope in refused(columba.request(method, path, body, key=scoped[scope]), 403, "forbidden")["detail"]


def test_live_and_test_data_are_apart(columba: Program, sink: Sink) -> None:
    made = columba.request("POST", "/v1/carriers", {"name": "c", "kind": "sandbox"}, key=columba.live_key)
    assert made.status == 201
    to = number()
    keys = {"test": columba.test_key, "live": columba.live_key}
    sent = {mode: send(columba, to, key)["id"] for mode, key in keys.items()}
    hooks = {
        mode: columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["*"]}, key=key).json["id"]
        for mode, key in keys.items()
    }
    for mode, other in (("test", "live"), ("live", "test")):
        key = keys[mode]
        ended(columba, sent[mode], "delivered", key=key)
        assert [each["id"] for each in get(columba, f"/v1/messages?to=%2B{to[1:]}", key)["data"]] == [sent[mode]]
        assert hooks[other] not in [each["id"] for each in everything(columba, "/v1/webhooks", key)]
        for path in (f"/v1/messages/{sent[other]}", f"/v1/webhooks/{hooks[other]}"):
            refused(columba.request("GET", path, key=key), 404, "not_found")
        for path in (f"/v1/messages/{sent[other]}/redact", f"/v1/webhooks/{hooks[other]}/test"):
            refused(columba.request("POST", path, key=key), 404, "not_found")
        refused(columba.request("DELETE", f"/v1/webhooks/{hooks[other]}", key=key), 404, "not_found")
        assert get(columba, f"/v1/events?message_id={sent[other]}", key)["data"] == []
        mine = {each["data"].get("id") for each in everything(columba, "/v1/events", key)}
        assert sent[mode] in mine
        assert sent[other] not in mine
    for mode, key in keys.items():
        columba.request("DELETE", f"/v1/webhooks/{hooks[mode]}", key=key)


def test_a_test_key_neither_sets_up_carriers_nor_makes_live_keys(columba: Program) -> None:
    refused(columba.request("POST", "/v1/carriers", {"name": "c", "kind": "sandbox"}), 403, "wrong_mode")
    refused(columba.request("POST", "/v1/keys", {"name": "k", "mode": "live"}), 403, "wrong_mode")
    inbound = {"from": number(), "to": "12345", "text": "Hello"}
    refused(columba.request("POST", "/v1/sandbox/inbound", inbound, key=columba.live_key), 403, "wrong_mode")


def test_a_key_is_shown_once_and_can_be_rotated_with_an_overlap(columba: Program) -> None:
    key = new_key(columba, "messages:read")
    assert "secret" not in get(columba, f"/v1/keys/{key['id']}", columba.live_key)
    assert key["secret"] not in str(get(columba, "/v1/keys", columba.live_key))
    path = f"/v1/keys/{key['id']}/rotate"
    second = columba.request("POST", path, {"overlap_seconds": 60}, key=columba.live_key).json
    assert second["id"] == key["id"]
    assert TIME(second["previous_until"])
    for secret in (key["secret"], second["secret"]):
        assert columba.request("GET", "/v1/messages", key=secret).status == 200
    third = columba.request("POST", path, {"overlap_seconds": 0}, key=columba.live_key).json
    statuses = [
        columba.request("GET", "/v1/messages", key=each["secret"]).status for each in (key, second, third)
    ]  # fmt: skip
    assert statuses == [401, 401, 200]


def test_a_key_expires_and_is_revoked_within_a_second(columba: Program) -> None:
    short, other = new_key(columba, expires_in=3), new_key(columba)
    assert columba.request("GET", "/v1/messages", key=short["secret"]).status == 200
    assert columba.request("DELETE", f"/v1/keys/{other['id']}", key=columba.live_key).status == 204
    for key, state in ((other, "revoked"), (short, "expired")):

        def is_refused(secret: str = key["secret"]) -> bool:
            return columba.request("GET", "/v1/messages", key=secret).status == 401

        eventually(is_refused)
        assert get(columba, f"/v1/keys/{key['id']}", columba.live_key)["status"] == state


def test_no_key_can_make_a_stronger_one(columba: Program) -> None:
    weak = new_key(columba, "keys:write")["secret"]
    for scopes in ([], ["*"], ["messages:write"]):
        answer = columba.request("POST", "/v1/keys", {"name": "k", "scopes": scopes}, key=weak)
        assert refused(answer, 403, "forbidden")
