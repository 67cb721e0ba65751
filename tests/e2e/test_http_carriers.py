"""Carriers over HTTP through the real program: set up, a text out, its receipt and a text in, for every kind there is."""

import json
import random
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.carriers import replay
from tests.carriers.replay import Case
from tests.carriers.test_odd_callbacks import mutants
from tests.e2e.talk import Json, ended, everything, get, message, number, refused, send
from tests.program import Answer, Program, Reply, Request, Sink, eventually

KINDS = replay.http_kinds()


@pytest.fixture(scope="module")
def columba() -> Iterator[Program]:
    with Program() as program:
        yield program


@pytest.fixture
def provider() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def set_up(columba: Program, kind: str, config: Json, **fields: Any) -> Json:
    """A carrier that is up, and the only one that is enabled."""
    key = columba.live_key
    for each in get(columba, "/v1/carriers", key)["data"]:
        assert columba.request("DELETE", f"/v1/carriers/{each['id']}?force=true", key=key).status in (200, 204)
    made = columba.request("POST", "/v1/carriers", {"name": kind, "kind": kind, "config": config, **fields}, key=key)
    assert made.status == 201, made
    path = f"/v1/carriers/{made.json['id']}"
    eventually(lambda: get(columba, path, key)["state"] == "up")
    found: Json = get(columba, path, key)
    return found


def aimed(case: Case, provider: Sink) -> Json:
    return replay.aimed(case.config, provider.url)


def call(columba: Program, case: Case, at: str, **changes: Any) -> Answer:
    """A callback as the provider sends it at this moment."""
    made = replay.signed(case, at, int(time.time() * 1000))._replace(**changes)
    parts = urlsplit(made.url)
    resource = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return columba.request(case.case.get("method", "POST"), resource, key="", headers=made.headers, body=made.body)


def unsigned(columba: Program, case: Case, at: str) -> Answer:
    body, media_type = replay.body_of(case.case)
    return call(columba, case, at, url=at, headers={"Content-Type": media_type}, body=body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_out_its_receipt_and_a_text_in(columba: Program, provider: Sink, kind: str) -> None:
    case = replay.first(kind, "sends")
    an_id = case.case["outcome"]["id"]
    carrier = set_up(columba, kind, aimed(case, provider))
    key = columba.live_key
    provider.reply = replay.reply(case.case["answer"])
    callbacks = carrier["callbacks"]

    sent = send(columba, key=key, text="hello", **{"from": "+12025550100"})
    ended(columba, sent["id"], "sent", key=key)
    (request,) = provider.requests
    wanted = case.case["request"]
    assert (request.method, request.path) == (wanted["method"], wanted["path"])
    url = callbacks.get("status") or callbacks["events"]
    if "{status}" in json.dumps(wanted):  # the provider is told where to call
        assert url in request.body.decode() or url.replace(":", "%3A").replace("/", "%2F") in request.body.decode()
    taken = message(columba, sent["id"], key)["parts"][0]["carrier_message_id"]
    assert taken == an_id

    told = next(
        each
        for each in replay.recorded("callbacks")
        if each.kind == kind and "config" not in each.case and each.case.get("receipts")
        and each.case["receipts"][0] == {"id": an_id, "status": "delivered"}
    )  # fmt: skip
    refused(unsigned(columba, told, url), 403, "bad_signature")
    assert message(columba, sent["id"], key)["status"] == "sent"
    for _ in range(2):
        assert 200 <= call(columba, told, url).status < 300
    shown = ended(columba, sent["id"], "delivered", key=key)
    assert shown["parts"][0]["carrier_message_id"] == taken
    final = [each for each in everything(columba, "/v1/events", key) if each["data"].get("id") == sent["id"]]
    assert [each["type"] for each in final if each["type"] == "message.delivered"] == ["message.delivered"]

    said = next(each for each in replay.recorded("callbacks") if each.kind == kind and each.case.get("inbound"))
    (wanted_text,) = said.case["inbound"]
    url = callbacks.get("inbound") or callbacks["events"]
    refused(unsigned(columba, said, url), 403, "bad_signature")
    path = f"/v1/messages?direction=inbound&from={wanted_text['sender'].replace('+', '%2B')}"
    before = {each["id"] for each in everything(columba, path, key)}
    for _ in range(2):
        assert 200 <= call(columba, said, url).status < 300
    (heard,) = [each for each in everything(columba, path, key) if each["id"] not in before]
    assert (heard["text"], heard["to"]) == (wanted_text["text"], wanted_text["to"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_secret_is_not_shown(columba: Program, provider: Sink, kind: str) -> None:
    case = replay.first(kind, "sends")
    carrier = set_up(columba, kind, aimed(case, provider))
    shown = json.dumps([carrier, get(columba, "/v1/carriers", columba.live_key)])
    secret = ("auth_token", "api_secret", "signature_secret", "api_key", "callback_secret", "password", "signing_key")
    values = [case.config[name] for name in secret if name in case.config and (kind, name) != ("vonage", "api_key")]
    values += ["token-of-the-account", "a secret of ours"] if kind == "http" else []
    assert values
    for value in values:
        assert value not in shown
        assert value not in columba.log
    assert "***" in shown


@pytest.mark.parametrize("kind", KINDS)
def test_trying_a_carrier_out(columba: Program, provider: Sink, kind: str) -> None:
    case = replay.first(kind, "sends")
    config = aimed(case, provider)
    if kind == "http":
        config["probe"] = f"{provider.url}/balance"
    carrier = set_up(columba, kind, config)

    def trial() -> Json:
        answer = columba.request("POST", f"/v1/carriers/{carrier['id']}/test", {}, key=columba.live_key)
        assert answer.status == 200
        found: Json = answer.json
        return found

    provider.reply = Reply(200, b"{}")
    assert trial()["ok"]
    provider.reply = Reply(401, b"{}")
    refused_by = trial()
    assert not refused_by["ok"]
    assert "credentials" in refused_by["detail"]
    assert {request.method for request in provider.requests} == {"GET"}


def test_media_go_to_carriers_that_take_them(columba: Program, provider: Sink) -> None:
    case = replay.first("twilio", "sends")
    set_up(columba, "twilio", aimed(case, provider))
    provider.reply = replay.reply(case.case["answer"])
    sent = send(columba, key=columba.live_key, media=["https://example.com/a.png"], **{"from": "+12025550100"})
    ended(columba, sent["id"], "sent", key=columba.live_key)
    assert b"MediaUrl=https%3A%2F%2Fexample.com%2Fa.png" in provider.requests[0].body


def test_each_part_of_a_long_text_has_its_own_receipt(columba: Program, provider: Sink) -> None:
    """As Vonage's SMS API has it: an id a part, in one answer."""
    config = {
        "api": "sms", "api_key": "abcd1234", "api_secret": "s", "signature_secret": "a signature secret",
        "signature_method": "sha256", "base_url": provider.url,
    }  # fmt: skip
    carrier = set_up(columba, "vonage", config)
    parts = [{"to": "1", "message-id": f"part-{n}", "status": "0"} for n in (1, 2)]
    provider.reply = Reply(200, json.dumps({"message-count": "2", "messages": parts}).encode())
    key = columba.live_key
    sent = send(columba, key=key, text="x" * 200, **{"from": "Acme"})
    ended(columba, sent["id"], "sent", key=key)
    shown = message(columba, sent["id"], key)
    assert [(each["n"], each["carrier_message_id"]) for each in shown["parts"]] == [(1, "part-1"), (2, "part-2")]
    for n in (2, 1):
        assert message(columba, sent["id"], key)["status"] == "sent"
        case = Case("vonage", config, {"to": "status", "form": {"messageId": f"part-{n}", "status": "delivered"}})
        assert call(columba, case, carrier["callbacks"]["status"]).status == 204
    ended(columba, sent["id"], "delivered", key=key)


def test_parts_of_a_text_are_joined(columba: Program, provider: Sink) -> None:
    config = {
        "api": "sms", "api_key": "abcd1234", "api_secret": "s", "signature_secret": "a signature secret",
        "signature_method": "sha256", "base_url": provider.url,
    }  # fmt: skip
    carrier = set_up(columba, "vonage", config)
    person = number()
    for n in (2, 1, 2):
        form = {
            "msisdn": person[1:], "to": "12025550100", "messageId": f"in-{n}", "text": ("Hello ", "there ☃")[n - 1],
            "type": "unicode", "concat": "true", "concat-ref": "3", "concat-total": "2", "concat-part": str(n),
        }  # fmt: skip
        case = Case("vonage", config, {"to": "inbound", "form": form})
        assert call(columba, case, carrier["callbacks"]["inbound"]).status == 204
    path = f"/v1/messages?direction=inbound&from=%2B{person[1:]}"
    (heard,) = eventually(lambda: everything(columba, path, columba.live_key))
    assert heard["text"] == "Hello there ☃"


def test_a_signature_that_leaves_the_body_out_is_good_for_one_body(columba: Program, provider: Sink) -> None:
    case = replay.first("plivo", "sends")
    carrier = set_up(columba, "plivo", aimed(case, provider))
    url = carrier["callbacks"]["inbound"]
    texts = [
        {"From": "447700900123", "To": "12025550100", "Text": text, "MessageUUID": text} for text in ("one", "two")
    ]
    one, two = (Case("plivo", case.config, {"to": "inbound", "form": form}) for form in texts)
    assert call(columba, one, url).status == 200
    made = replay.signed(one, url, 0)
    refused(call(columba, two, url, headers=made.headers), 403, "bad_signature")
    assert call(columba, one, url).status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_odd_values_in_callbacks_break_nothing(columba: Program, provider: Sink, kind: str) -> None:
    """Down to the store: some of the many that tests/carriers/test_odd_callbacks.py has."""
    carrier = set_up(columba, kind, aimed(replay.first(kind, "sends"), provider))
    cases = [each for each in replay.recorded("callbacks") if each.kind == kind and "config" not in each.case]
    chosen = random.Random(kind)
    for case in cases:
        all_of_them = list(mutants(case))
        for mutant in chosen.sample(all_of_them, min(len(all_of_them), 25)):
            url = carrier["callbacks"].get(case.case["to"])
            if url is None:
                continue
            try:
                answer = call(columba, mutant, url)
            except UnicodeEncodeError:  # half a character, in a signature of text
                continue
            assert answer.status < 300 or answer.status in (400, 403), (mutant.case, answer)


def test_the_last_error_of_a_carrier_names_nobody(columba: Program, provider: Sink) -> None:
    """A message says what its provider said; who it was to is nothing to do with the carrier."""
    request = {"url": f"{provider.url}/send", "body": {"json": {"to": "{{ to }}"}}}
    carrier = set_up(columba, "http", {"request": request, "failure": {"code": "$.error"}})
    to = number()
    provider.reply = Reply(422, json.dumps({"error": f"{to} is no mobile"}).encode())
    sent = send(columba, to, key=columba.live_key)
    shown = ended(columba, sent["id"], "failed", key=columba.live_key)
    assert shown["error"]["carrier_code"] == f"{to} is no mobile"
    last = get(columba, f"/v1/carriers/{carrier['id']}", columba.live_key)["last_error"]
    assert last["carrier_code"] == "+... is no mobile"


def test_addresses_where_there_is_nothing(columba: Program, provider: Sink) -> None:
    case = replay.first("twilio", "sends")
    carrier = set_up(columba, "twilio", aimed(case, provider))
    here = urlsplit(carrier["callbacks"]["status"]).path
    nothing = (
        "/callbacks/",
        "/callbacks/x/status",
        f"{here}/more",
        here.replace("status", "other"),
        "/callbacks/car_0akaqtv6m0400/status",
    )
    for path in nothing:
        refused(columba.request("POST", path, key="", body=b"a=1"), 404, "not_found")
    refused(columba.request("PUT", here, key="", body=b"a=1"), 405, "method_not_allowed")
    refused(columba.request("POST", here, key="", body=b"x" * 300_000), 413, "payload_too_large")
    refused(columba.request("GET", here, key=""), 403, "bad_signature")
    sandbox = columba.request("POST", "/v1/carriers", {"name": "s", "kind": "sandbox"}, key=columba.live_key).json
    refused(columba.request("POST", f"/callbacks/{sandbox['id']}/status", key="", body=b""), 404, "not_found")


def test_addresses_that_may_not_be_reached_are_refused(columba: Program) -> None:
    for kind in KINDS:
        config = replay.aimed(replay.first(kind, "sends").config, "http://10.0.0.1")
        answer = columba.request(
            "POST", "/v1/carriers", {"name": kind, "kind": kind, "config": config}, key=columba.live_key
        )
        refused(answer, 422, "invalid_request", "config.base_url")


def test_what_is_wrong_with_a_configuration_is_named(columba: Program) -> None:
    wrong: list[tuple[Json, str]] = [
        ({"request": {"url": "https://example.com/{{ nope }}"}}, "nope"),
        ({"request": {"url": "https://example.com"}, "id": "$.["}, "id"),
        ({"request": {"url": "https://example.com"}, "success": {"pattern": "("}}, "success.pattern"),
        ({"request": {"url": "https://example.com"}, "success": {"expression": "status =="}}, "success.expression"),
        (
            {"request": {"url": "https://example.com", "body": {"json": {"a": "{{ text | shout }}"}}}},
            "request.body.json",
        ),
        ({"request": {"url": "https://example.com", "body": {"json": 1, "text": "x"}}}, "one of json, form and text"),
    ]
    for config, told in wrong:
        answer = columba.request(
            "POST", "/v1/carriers", {"name": "x", "kind": "http", "config": config}, key=columba.live_key
        )
        assert answer.status == 422, answer
        assert told in json.dumps(answer.json), answer.json


def test_a_dead_provider_is_given_a_rest_and_nothing_is_lost(columba: Program, provider: Sink) -> None:
    """What it does not take waits, and goes when it is back: once."""
    case = replay.first("http", "sends")
    key = columba.live_key
    set_up(columba, "http", aimed(case, provider))
    provider.reply = Reply(503, b"")
    sent = [send(columba, key=key, text=f"text {n}", **{"from": "+12025550100"})["id"] for n in range(12)]
    eventually(lambda: get(columba, "/v1/carriers", key)["data"][0]["state"] == "down")
    assert "carrier_failed" in get(columba, "/v1/carriers", key)["data"][0]["why"]
    taken: list[str] = []

    def take(request: Request) -> Reply:
        body = json.loads(request.body)
        taken.append(body["text"])
        return Reply(202, json.dumps({"messages": [{"id": body["text"]}]}).encode())

    provider.reply = take
    for an_id in sent:
        ended(columba, an_id, "sent", key=key)
    assert sorted(taken) == sorted(f"text {n}" for n in range(12))
    assert get(columba, "/v1/carriers", key)["data"][0]["state"] == "up"
