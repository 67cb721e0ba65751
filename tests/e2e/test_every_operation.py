"""What every operation of the API keeps to, taken from the running program's own document.

A new endpoint is held to it without a word here: it asks for a key and for the scope that it declares, knows nothing of
what is another account's or of the other mode, refuses fields that it doesn't know, pages its lists, and repeats its
first answer for an Idempotency-Key. What is left out on purpose is in the tables below.
"""

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from tests.e2e.talk import Json, get, marketing_to_all, new_key
from tests.media.files import PNG
from tests.program import Answer, Program, Sink, eventually

PUBLIC = {
    "echo_get", "echo_post", "echo_put", "echo_patch", "echo_delete",  # shows a request to who made it, and keeps nothing
    "follow_link", "follow_short_link",  # the link is signed
    "create_token",  # has the key in its form
    "healthz", "readyz",
    "metrics",  # has a list of addresses of its own
}  # fmt: skip
ANY_KEY = {"preview_message", "look_up_number"}  # read nothing that is an account's

# A POST that keeps nothing: the same question has the same answer, or (a code's check) has to be counted again.
NOT_KEPT = {
    "explain_route", "try_words", "advise", "export_person", "check_verification", "check_verification_by_number",
    "upload_import", "upload_contact_import", "create_token", "echo_post",
}  # fmt: skip

# Short lists, whole in one answer.
WHOLE_LISTS = {
    "list_carrier_kinds", "list_sender_rules", "list_presets", "list_secrets", "list_incidents", "list_smpp_sessions",
    "spend_report", "content_outcomes",
}  # fmt: skip
STREAMS = {"stream_events", "trace_smpp_sessions", "trace_carrier"}
OWN_WORD = {"set_sender_rule", "delete_sender_rule"}  # a country names nothing that somebody has
KEYS = "/v1/keys"  # a live key looks after the account's test keys too
HIDDEN = "Hidden words"  # what only one account may read

MOVING = re.compile(r'"(url|url_expires_at|request_id)": "[^"]*"|"health": {[^}]*}')  # differs from look to look

# No account's own, and so the same for all.
GLOBAL = ("/v1/presets/", "/v1/numbers/", "/media/", "/m/")
# What a key may have instead, to see less.
LESSER = {"messages:read": "messages:metadata"}


class Operation(NamedTuple):
    name: str
    method: str
    path: str
    scope: str | None
    public: bool
    parameters: tuple[str, ...]
    body: Any  # an example of one; None where there is none
    data: str  # what a list's answer holds: "page", "whole" or ""

    def at(self, **values: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "x"), self.path)


def operations(document: Json) -> list[Operation]:
    def resolved(schema: Json) -> Json:
        while "$ref" in schema:
            found: Any = document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    found = []
    for path, methods in document["paths"].items():
        for method, each in methods.items():
            security = each.get("security", document.get("security"))
            scopes = [name for way in security for names in way.values() for name in names]
            content = each.get("requestBody", {}).get("content", {}).get("application/json")
            good: Json = next(
                (each["responses"][code] for code in ("200", "201", "202") if code in each["responses"]), {}
            )
            shape = resolved(good.get("content", {}).get("application/json", {}).get("schema", {}))
            fields = shape.get("properties", {})
            found.append(
                Operation(
                    each["operationId"],
                    method.upper(),
                    path,
                    scopes[0] if scopes else None,
                    security == [],
                    tuple(resolved(one)["name"] for one in each.get("parameters", ())),
                    None if content is None else content.get("example", {}),
                    "page"
                    if "next_cursor" in fields
                    else "whole"
                    if fields.get("data", {}).get("type") == "array"
                    else "",
                )
            )
    return found


@pytest.fixture(scope="module")
def columba() -> Iterator[Program]:
    with Program() as program:
        marketing_to_all(program)
        yield program


@pytest.fixture(scope="module")
def every(columba: Program) -> list[Operation]:
    found = operations(get(columba, "/v1/openapi.json", ""))
    assert len(found) > 150
    return found


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as listening:
        yield listening


def ask(columba: Program, one: Operation, key: str, body: Any = None, path: str | None = None, **more: Any) -> Answer:
    """One request of the operation; with a body of some kind where it takes one."""
    if one.body is not None and body is None:
        body = one.body
    return columba.request(one.method, path or one.at(), body, key=key, **more)


def test_without_a_key_nothing_but_what_is_public_answers(columba: Program, every: list[Operation]) -> None:
    assert {one.name for one in every if one.public} == PUBLIC
    assert {one.name for one in every if not one.public and one.scope is None} == ANY_KEY
    for one in every:
        if not one.public:
            answer = ask(columba, one, "")
            assert (answer.status, answer.json["code"]) == (401, "unauthorized"), (one.name, answer)


def test_each_wants_the_scope_that_it_declares(columba: Program, every: list[Operation]) -> None:
    scopes = {one.scope for one in every if one.scope}
    for scope in sorted(scopes):
        others = scopes - {scope, LESSER.get(scope, "")}
        lacking = {mode: new_key(columba, *others, mode=mode)["secret"] for mode in ("live", "test")}
        for one in every:
            if one.scope == scope:
                for key in lacking.values():
                    answer = ask(columba, one, key)
                    assert (answer.status, answer.json["code"]) == (403, "forbidden"), (one.name, answer)
                    assert scope in answer.json["detail"], (one.name, answer)


def test_no_body_has_a_field_that_is_not_known(columba: Program, every: list[Operation]) -> None:
    for one in every:
        if one.body is None or one.public:
            continue
        answer = ask(columba, one, columba.live_key, {**one.body, "no_such_field": 1})
        assert answer.status == 422, (one.name, answer)
        named = [each["field"] for each in answer.json["errors"] if each["code"] == "unknown_field"]
        assert named == ["no_such_field"], (one.name, answer)


def test_every_list_has_pages(columba: Program, every: list[Operation]) -> None:
    assert {one.name for one in every if one.data == "whole" and one.method == "GET"} <= WHOLE_LISTS
    paged = [one for one in every if one.data == "page"]
    assert len(paged) > 20
    for one in paged:
        assert {"limit", "cursor"} <= {*one.parameters}, one.name
        for query in ("limit=0", "limit=1001", "cursor=nonsense!"):
            answer = columba.request("GET", f"{one.at(number='x')}?{query}", key=columba.live_key)
            if "{" not in one.path:
                assert (answer.status, answer.json["errors"][0]["field"]) == (422, query.partition("=")[0]), one.name


# What is another's


class House(NamedTuple):
    """An account's things in one mode: by the collection that they are in, the path's last word that names one."""

    key: str
    things: dict[str, str]


def another_account(columba: Program, mode: int) -> str:
    """A key of one more tenant, put into the store as `columba keys` would."""
    secret = f"ck_{'live' if mode else 'test'}_{'another0' * 4}"
    with sqlite3.connect(columba.data / "columba.db", timeout=20) as store:
        store.execute("insert into accounts (id, name, created_at) values (77, 'another', 0) on conflict do nothing")
        store.execute(
            "insert into keys (id, account_id, mode, name, secret_hash, hint, created_at) values (?, 77, ?, '', ?, '', 0)",
            (770 + mode, mode, hashlib.sha256(secret.encode()).hexdigest()),
        )
        store.execute("update versions set n = n + 1 where topic = 'keys'")
    store.close()
    return secret


def furnish(columba: Program, sink: Sink, key: str, live: bool) -> House:
    """One of each thing."""

    def make(path: str, content: Any = None, **more: Any) -> Json:
        answer = columba.request("POST", path, content, key=key, **more)
        assert answer.status in (200, 201, 202), (path, answer)
        shown: Json = answer.json
        return shown

    things: dict[str, str] = {}

    def add(path: str, content: Any, name: str = "id", **more: Any) -> str:
        things[path] = make(path, content, **more)[name]
        return things[path]

    if live:
        add("/v1/carriers", {"name": "a carrier", "kind": "sandbox"})
        add("/v1/routes", {"name": "a route", "when": {}, "carriers": [{"carrier": things["/v1/carriers"]}]})
        add("/v1/senders", {"sender": "+12025550100"})
        add("/v1/pools", {"name": "a pool", "senders": [things["/v1/senders"]]})
        columba.request("PUT", "/v1/senders/rules/FR", {"names": "registered"}, key=key)
        things["/v1/senders/rules"] = "FR"
    add("/v1/webhooks", {"url": f"{sink.url}/hook", "events": ["*"]})
    add("/v1/templates", {"name": "a_template", "versions": [{"language": "en", "text": HIDDEN}]})
    add("/v1/media", None, body=PNG, headers={"Content-Type": "image/png"})
    later = (datetime.now(UTC) + timedelta(hours=30)).isoformat().replace("+00:00", "Z")
    add("/v1/messages", {"to": "+447700900197", "text": HIDDEN, "send_at": later, "metadata": {"a": HIDDEN}})
    things["/v1/events"] = eventually(lambda: get(columba, "/v1/events", key)["data"])[0]["id"]
    things["/v1/deliveries"] = eventually(lambda: get(columba, "/v1/deliveries", key)["data"])[0]["id"]
    add("/v1/consents", {"number": "+447700900199", "action": "opt_out", "source": HIDDEN})
    add("/v1/consents/imports", {"name": HIDDEN, "action": "opt_out", "source": HIDDEN})
    add("/v1/contacts", {"number": "+447700900199", "name": HIDDEN, "tags": [HIDDEN]})
    add("/v1/contacts/imports", {"name": HIDDEN})
    columba.request("PATCH", "/v1/settings/verifications", {"countries": ["GB"]}, key=key)
    add("/v1/verifications", {"to": "+447700900124"})
    add("/v1/privacy/erase", {"number": "+447700900198"})
    things["/v1/privacy/jobs"] = things.pop("/v1/privacy/erase")
    add("/v1/secrets", {"name": "secret_of_live" if live else "secret_of_test", "value": HIDDEN}, "name")
    add("/v1/destinations", {"name": "a place", "request": {"url": f"{sink.url}/forward"}, "auth": {"kind": "none"}})
    forward = {"forward": {"to": [things["/v1/destinations"]]}}
    add("/v1/rules", {"name": "a rule", "when": {"to": ["+12025550100"]}, "then": [forward]})
    if not live:
        make("/v1/sandbox/inbound", {"from": "+447700900125", "to": "+12025550100", "text": HIDDEN})
        things["/v1/forwards"] = eventually(lambda: get(columba, "/v1/forwards", key)["data"])[0]["id"]
    add("/v1/alerts", {"name": HIDDEN, "on": ["message.failed"], "channels": [{"kind": "webhook", "url": sink.url}]})
    add("/v1/keys", {"name": "a key", "mode": "live" if live else "test"})
    return House(key, things)


def collection(one: Operation) -> str:
    return one.path.partition("/{")[0]


def seen(columba: Program, every: list[Operation], houses: dict[str, House]) -> dict[str, str]:
    """Everything that their owner's keys are shown of their things, but the links of media: each is a new one."""
    shown = {}
    for mode, house in houses.items():
        for one in every:
            thing = house.things.get(collection(one))
            named = "{" in one.path or one.name == "list_sender_rules"
            if one.method == "GET" and named and thing and one.name not in STREAMS | {"download_media"}:
                answer = columba.request("GET", one.at(id=thing, name=thing, country=thing), key=house.key)
                assert answer.status in (200, 404, 409), (one.name, answer)
                shown[f"{mode} {one.name}"] = MOVING.sub("", json.dumps(answer.json))
    return shown


def at_rest(columba: Program, every: list[Operation], houses: dict[str, House]) -> dict[str, str] | None:
    """The same, once what was begun has ended."""
    first = seen(columba, every, houses)
    time.sleep(1)
    return first if seen(columba, every, houses) == first else None


@pytest.fixture(scope="module")
def houses(columba: Program, sink: Sink) -> dict[str, House]:
    return {mode: furnish(columba, sink, key, mode == "live") for mode, key in
            (("live", columba.live_key), ("test", columba.test_key))}  # fmt: skip


@pytest.fixture(scope="module")
def strangers(columba: Program) -> dict[str, str]:
    """Keys of another account."""
    keys = {mode: another_account(columba, n) for n, mode in enumerate(("test", "live"))}
    for key in keys.values():

        def is_known(key: str = key) -> bool:
            return columba.request("GET", "/v1/messages", key=key).status == 200

        eventually(is_known)
        columba.request("PATCH", "/v1/settings/verifications", {"countries": ["GB"]}, key=key)
    return keys


def test_what_is_anothers_is_not_there(
    columba: Program, every: list[Operation], houses: dict[str, House], strangers: dict[str, str]
) -> None:
    before = eventually(lambda: at_rest(columba, every, houses), every=0.2)
    wrong, asked = [], 0
    for mode, house in houses.items():
        other = "test" if mode == "live" else "live"
        for key in (strangers[mode], strangers[other], houses[other].key):
            for one in every:
                thing = house.things.get(collection(one))
                if "{" not in one.path or thing is None or one.path.startswith(GLOBAL):
                    continue
                if one.name in OWN_WORD or (key == houses[other].key == columba.live_key and collection(one) == KEYS):
                    continue
                answer = ask(columba, one, key, path=one.at(id=thing, name=thing, country=thing))
                asked += 1
                allowed = (
                    (404,) if key == strangers[mode] else (404, 403)
                )  # what only live keys may do, test keys never may
                if answer.status not in allowed or HIDDEN in str(answer):
                    wrong.append((mode, one.name, answer))
    assert not wrong
    assert asked > 300
    assert seen(columba, every, houses) == before


def test_no_list_shows_what_is_anothers(
    columba: Program, every: list[Operation], houses: dict[str, House], strangers: dict[str, str]
) -> None:
    ids = {thing for house in houses.values() for thing in house.things.values() if "_" in thing}
    for key in strangers.values():
        for one in every:
            if one.method == "GET" and "{" not in one.path and not one.public and one.name not in STREAMS:
                answer = columba.request("GET", one.path, key=key)
                assert answer.status in (200, 403, 422), (one.name, answer)
                if one.name == "list_audit":  # has what they asked for themselves
                    assert len({each["key"] for each in answer.json["data"]}) <= 1, answer
                    continue
                assert HIDDEN not in str(answer.json), (one.name, answer)
                assert not [an_id for an_id in ids if an_id in str(answer.json)], (one.name, answer)


def test_nothing_of_anothers_can_be_named(
    columba: Program, houses: dict[str, House], strangers: dict[str, str], sink: Sink
) -> None:
    for mode, house in houses.items():
        its = house.things
        forward = {"forward": {"to": [its["/v1/destinations"]]}}
        bodies: list[tuple[str, Json]] = [
            ("/v1/messages", {"to": "+447700900123", "template": its["/v1/templates"]}),
            ("/v1/messages", {"to": "+447700900123", "text": "x", "media": [its["/v1/media"]]}),
            ("/v1/verifications", {"to": "+447700900123", "template": its["/v1/templates"]}),
            ("/v1/rules", {"name": "r", "when": {}, "then": [forward]}),
            ("/v1/rules/test", {"message_id": its["/v1/messages"]}),
            ("/v1/forwards/replay", {"destination": its["/v1/destinations"]}),
            ("/v1/forwards/replay", {"rule": its["/v1/rules"]}),
            ("/v1/content/held/approve", {"ids": [its["/v1/messages"]]}),
            ("/v1/content/held/reject", {"ids": [its["/v1/messages"]]}),
        ]
        if mode == "live":
            bodies += [
                ("/v1/routes", {"name": "r", "when": {}, "carriers": [{"carrier": its["/v1/carriers"]}]}),
                ("/v1/pools", {"name": "p", "senders": [its["/v1/senders"]]}),
                ("/v1/senders", {"sender": "+12025550101", "carriers": [its["/v1/carriers"]]}),
                ("/v1/prices", {"csv": f"carrier,price,currency\n{its['/v1/carriers']},1,EUR\n"}),
            ]
        heard = len(sink.requests)
        for path, body in bodies:
            answer = columba.request("POST", path, body, key=strangers[mode])
            nothing = answer.status in (200, 202) and answer.json["count"] == 0
            assert answer.status in (404, 409, 422) or nothing, (path, body, answer)
            assert HIDDEN not in str(answer), (path, answer)
        assert len(sink.requests) == heard
        for path in (
            f"/v1/deliveries?endpoint={its['/v1/webhooks']}", f"/v1/deliveries?event={its['/v1/events']}",
            f"/v1/events?message_id={its['/v1/messages']}", f"/v1/media?message_id={its['/v1/messages']}",
            f"/v1/forwards?rule={its['/v1/rules']}", f"/v1/forwards?message_id={its['/v1/messages']}",
            f"/v1/forwards?destination={its['/v1/destinations']}", "/v1/consents?number=%2B447700900199",
            "/v1/suppressions?number=%2B447700900199", "/v1/privacy/jobs?number=%2B447700900198",
            "/v1/verifications?to=%2B447700900124", "/v1/messages?to=%2B447700900197",
        ):  # fmt: skip
            answer = columba.request("GET", path, key=strangers[mode])
            assert answer.status in (404, 422) or answer.json["data"] == [], (path, answer)


# Repeating


def variants(value: Any) -> Iterator[Any]:
    """The same with one text or number in it changed, each in turn."""
    if isinstance(value, str):
        if value.startswith("+"):  # a number with a digit more is none
            yield f"{value[:-1]}{(int(value[-1]) + 1) % 10}"
        else:
            yield value.replace("2026-", "2025-") if value.startswith("2026-") else f"{value}1"
    elif type(value) is int:
        yield value + 1
    elif isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            for other in variants(each):
                changed = value.copy()
                changed[name] = other
                yield changed


@pytest.mark.usefixtures("houses")  # with a carrier, so that messages are taken
def test_every_post_repeats_its_first_answer(columba: Program, every: list[Operation], sink: Sink) -> None:
    posts = [one for one in every if one.method == "POST"]
    assert {one.name for one in posts if "Idempotency-Key" not in one.parameters} == NOT_KEPT
    bodies = {
        "create_media": {"url": f"{sink.url}/none.png"},
        "create_webhook": {"url": f"{sink.url}/x", "events": ["*"]},
        "create_sender": {"sender": "Columba"},
    }
    for one in posts:
        if one.name in NOT_KEPT:
            continue
        key = columba.test_key if one.name == "simulate_inbound" else columba.live_key
        headers = {"Idempotency-Key": f"once-{one.name}"}
        body = bodies.get(one.name, one.body)
        first, again = (ask(columba, one, key, body, headers=headers) for _ in range(2))
        assert first.status < 500, (one.name, first)
        assert (first.status, first.json) == (again.status, again.json), (one.name, first, again)
        assert again.headers.get("idempotent-replayed") == "true", (one.name, first, again)
        answers = [ask(columba, one, key, other, headers=headers) for other in variants(body)]
        if body:
            assert "idempotency_mismatch" in [each.json["code"] for each in answers], (one.name, answers)
        elsewhere = "/v1/templates/x/withdraw" if one.name != "withdraw_template" else "/v1/messages/x/redact"
        other_place = columba.request("POST", elsewhere, key=key, headers=headers)
        assert (other_place.status, other_place.json["code"]) == (409, "idempotency_mismatch"), (one.name, other_place)
