"""What holds for every address of the API: shapes, errors, lists, repeats, limits."""

import itertools
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.e2e.talk import (
    TIME,
    Json,
    batch,
    ended,
    everything,
    get,
    in_days,
    message,
    new_key,
    number,
    refused,
    send,
)
from tests.program import Program, Sink, eventually

ALL = "*"


# Shapes


def test_answers_are_snake_case_json_with_times_to_the_millisecond_and_ids_by_their_prefix(
    columba: Program, sink: Sink
) -> None:
    hook = columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.delivered"]})
    sent = ended(columba, send(columba, send_at=None, tags=["a"])["id"], "delivered")
    delivery = eventually(lambda: get(columba, f"/v1/deliveries?endpoint={hook.json['id']}")["data"])[0]
    key = new_key(columba, expires_in=3600)
    event = get(columba, f"/v1/events?message_id={sent['id']}")["data"][0]
    carrier = get(columba, "/v1/carriers")["data"][0]
    columba.request("DELETE", f"/v1/webhooks/{hook.json['id']}")
    shown = {"msg": sent, "whk": hook.json, "dlv": delivery, "key": key, "evt": event, "car": carrier}
    for prefix, thing in shown.items():
        assert re.fullmatch(rf"{prefix}_[0-9a-z]+", thing["id"]), thing
    times = []

    def look(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for inner, each in value.items():
                assert name in ("metadata", "headers", "callbacks") or re.fullmatch(r"[a-z][a-z0-9_]*", inner), inner
                look(each, inner)
        elif isinstance(value, list):
            for each in value:
                look(each)
        elif isinstance(value, str) and (name.endswith("_at") or name in ("at", "timestamp")):
            times.append(value)

    look(shown)
    assert len(times) > 12
    for text in times:
        assert TIME(text), text


def test_ids_are_in_the_order_of_time(columba: Program) -> None:
    ids = [send(columba)["id"] for _ in range(5)]
    time.sleep(0.002)
    ids.append(send(columba)["id"])
    assert ids == sorted(ids)
    assert len(set(ids)) == 6


def test_a_request_has_an_id_its_own_or_the_one_it_brings(columba: Program) -> None:
    first, second = (columba.request("GET", "/v1/messages").headers["x-request-id"] for _ in range(2))
    assert first.startswith("req_")
    assert first != second
    for method, path in (("GET", "/v1/keys"), ("POST", "/v1/messages"), ("GET", "/v1/nowhere")):
        answer = columba.request(method, path, headers={"X-Request-Id": "shop-42.a"})
        assert answer.headers["x-request-id"] == "shop-42.a"


# What goes wrong


@pytest.mark.parametrize(
    "path",
    [
        *("GET /v1/messages/{}", "POST /v1/messages/{}/cancel", "POST /v1/messages/{}/redact", "GET /v1/events/{}"),
        *("GET /v1/webhooks/{}", "PATCH /v1/webhooks/{}", "DELETE /v1/webhooks/{}", "POST /v1/webhooks/{}/test"),
        *("POST /v1/webhooks/{}/rotate-secret", "POST /v1/webhooks/{}/recover", "GET /v1/deliveries/{}"),
        *("POST /v1/deliveries/{}/replay", "GET /v1/keys/{}", "PATCH /v1/keys/{}", "DELETE /v1/keys/{}"),
        *("POST /v1/keys/{}/rotate", "GET /v1/carriers/{}", "PATCH /v1/carriers/{}", "DELETE /v1/carriers/{}"),
        *("POST /v1/carriers/{}/pause", "POST /v1/carriers/{}/resume", "POST /v1/carriers/{}/test"),
    ],
)
def test_an_id_that_is_not_there_is_not_found(columba: Program, path: str) -> None:
    method, _, address = path.partition(" ")
    prefix = {"messages": "msg", "events": "evt", "webhooks": "whk", "deliveries": "dlv", "keys": "key"}
    kind = prefix.get(address.split("/")[2], "car")
    body: Json | None = None
    if method in ("POST", "PATCH"):
        body = {"since": "2026-01-01T00:00:00Z"} if address.endswith("recover") else {}
    for an_id in (f"{kind}_0aka07yfr0400", f"{kind}_", "nonsense", "0", "%00", "%F0%9F%90%A6", "a" * 300):
        refused(columba.request(method, address.format(an_id), body, key=columba.live_key), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/nothing", "/v1/messages/", "/v2/messages", "/v1/messages/a/b"]
)
def test_an_address_that_is_not_there_is_not_found(columba: Program, path: str) -> None:
    refused(columba.request("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/messages", {"GET", "HEAD", "POST"}),
        ("PUT", "/v1/messages/msg_0", {"GET", "HEAD"}),
        ("GET", "/v1/messages/batch", {"POST"}),
        ("GET", "/v1/messages/msg_0/cancel", {"POST"}),
        ("PUT", "/v1/webhooks/whk_0", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("GET", "/v1/oauth/token", {"POST"}),
    ],
)
def test_a_method_that_is_not_allowed_says_which_are(
    columba: Program, method: str, path: str, allowed: set[str]
) -> None:
    answer = columba.request(method, path)
    if answer.status == 404:  # GET /v1/messages/batch reads as the message with the id "batch"
        assert path == "/v1/messages/batch"
        return
    refused(answer, 405, "method_not_allowed")
    assert set(re.split(r",\s*", answer.headers["allow"])) == allowed


BODIES = ["/v1/messages", "/v1/messages/batch", "/v1/webhooks", "/v1/keys", "/v1/messages/preview", "/v1/carriers"]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/xml"])
def test_a_body_of_another_type_is_refused(columba: Program, path: str, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = columba.request("POST", path, headers=headers, body=b'{"to": "x"}', key=columba.live_key)
    refused(answer, 415, "unsupported_media_type")
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = columba.request("POST", path, headers=headers, body=b"\x1f\x8b", key=columba.live_key)
    refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", [*BODIES, "/v1/oauth/token"])
def test_a_body_that_is_too_large_is_refused_and_the_next_request_served(columba: Program, path: str) -> None:
    size = 17_000_000 if path.endswith("batch") else 2_000_000  # of which all is swallowed: see http/wire.py
    body = b'{"text": "' + b"x" * size + b'"}'
    kind = "application/x-www-form-urlencoded" if path.endswith("token") else "application/json"
    headers = {"Content-Type": kind}
    answer = columba.request("POST", path, headers=headers, body=body, key=columba.live_key)
    assert answer.status == 413
    if not path.endswith("token"):
        refused(answer, 413, "payload_too_large")
    assert columba.request("GET", "/healthz", key="").status == 200


def test_every_problem_is_named_at_once(columba: Program) -> None:
    wrong = {
        "to": "12", "from": "a name that is too long", "text": "x\0", "class": "urgent", "valid_for": 0,
        "send_at": "yesterday", "media": ["ftp://x"], "callback_url": "x", "tags": [1], "metadata": {"a": []},
        "smart_encoding": "yes", "more": 1,
    }  # fmt: skip
    fields = set(wrong) - {"media", "tags", "metadata"} | {"media[0]", "tags[0]", "metadata.a"}
    problem = refused(columba.request("POST", "/v1/messages", wrong), 422, "invalid_request", *fields)
    codes = {error["field"]: error["code"] for error in problem["errors"]}
    assert codes["more"] == "unknown_field"
    assert codes["to"] == "invalid_number"
    assert codes["class"] == "invalid_value"
    assert codes["tags[0]"] == "wrong_type"


UNKNOWN = [
    *(
        "POST /v1/messages",
        "POST /v1/messages/batch",
        "POST /v1/messages/preview",
        "POST /v1/webhooks",
        "POST /v1/keys",
    ),
    *("POST /v1/sandbox/inbound", "POST /v1/carriers", "PATCH /v1/webhooks/{whk}", "PATCH /v1/keys/{key}"),
    *("POST /v1/webhooks/{whk}/rotate-secret", "POST /v1/webhooks/{whk}/recover", "POST /v1/keys/{key}/rotate"),
]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/messages", "to"),
        ("/v1/consents", "number"),
        ("/v1/contacts", "number"),
        ("/v1/privacy/erase", "number"),
        ("/v1/sandbox/inbound", "from"),
        ("/v1/verifications", "to"),
    ],
)
def test_a_number_that_is_none_is_named_with_the_other_problems(columba: Program, path: str, field: str) -> None:
    reply = columba.request("POST", path, {field: "nope", "no_such_field": 1})
    assert reply.status == 422
    named = {(each["field"], each["code"]) for each in reply.json["errors"]}
    assert {(field, "invalid_number"), ("no_such_field", "unknown_field")} <= named


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_field_is_refused_by_its_name(columba: Program, there: dict[str, str], path: str) -> None:
    method, _, address = path.partition(" ")
    key = columba.live_key if "carriers" in path else columba.test_key
    answer = columba.request(method, address.format(**there), {"nonsense": 1}, key=key)
    errors = {error["field"]: error["code"] for error in answer.json["errors"]}
    assert (answer.status, answer.json["code"], errors["nonsense"]) == (422, "invalid_request", "unknown_field")


@pytest.fixture(scope="module")
def there(columba: Program) -> Iterator[dict[str, str]]:
    """Ids of things that are there; the one carrier that is enabled among them."""
    with Sink() as sink:
        hook = columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.delivered"]}).json["id"]
        sent = ended(columba, send(columba)["id"], "delivered")["id"]
        delivery = eventually(lambda: get(columba, f"/v1/deliveries?endpoint={hook}&status=delivered")["data"])[0]["id"]
        carrier = columba.request("POST", "/v1/carriers", {"name": "c", "kind": "sandbox"}, key=columba.live_key).json
        yield {
            "whk": hook,
            "msg": sent,
            "dlv": delivery,
            "key": new_key(columba)["id"],
            "car": carrier["id"],
            "url": sink.url,
        }


# Lists

LISTS = ["/v1/messages", "/v1/events", "/v1/webhooks", "/v1/deliveries", "/v1/keys", "/v1/carriers"]


@pytest.fixture(scope="module")
def plenty(columba: Program, there: dict[str, str]) -> None:
    """Something in each list, more than a page in some."""
    for _ in range(2):
        columba.request("POST", "/v1/webhooks", {"url": there["url"], "events": ["message.sent"]})
    made = batch(columba, ({"to": number(), "text": "one of many"} for _ in range(60)))
    path = f"/v1/messages?batch_id={made['batch_id']}&limit=100"
    eventually(lambda: all(each["status"] == "delivered" for each in get(columba, path)["data"]))


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_walked_by_its_cursors_newest_first(columba: Program, plenty: None, path: str) -> None:
    def walked_as_a_whole() -> bool:  # what others sent may still be coming in
        page = get(columba, path)
        assert tuple(page) == ("data", "next_cursor")
        ids = [each["id"] for each in everything(columba, path)]
        assert len(ids) == len(set(ids)) > 0
        assert len(page["data"]) == min(50, len(ids))
        assert (page["next_cursor"] is None) == (len(ids) <= 50)
        for limit in (1, 7):
            first = get(columba, f"{path}?limit={limit}")
            assert [each["id"] for each in first["data"]] == ids[:limit]
            walked = [each["id"] for each in _walk(columba, path, limit, 12)]
            assert walked == ids[: len(walked)]
            assert len(walked) == min(len(ids), limit * 12)
        return path == "/v1/deliveries" or ids == sorted(
            ids, reverse=True
        )  # whose ids are an event's and an endpoint's

    eventually(walked_as_a_whole)


def _walk(columba: Program, path: str, limit: int, pages: int) -> Iterator[Json]:
    cursor = ""
    for _ in range(pages):
        page = get(columba, f"{path}?limit={limit}{cursor}")
        yield from page["data"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=-1", "limit"), ("limit=many", "limit"),
        ("limit=1.5", "limit"), ("cursor=nonsense", "cursor"), ("cursor=", "cursor"), ("cursor=WzFd%00", "cursor"),
        ("limit=1&limit=2", "limit"), ("nonsense=1", "nonsense"),
    ],
)  # fmt: skip
def test_a_list_refuses_what_it_does_not_know(columba: Program, path: str, query: str, field: str) -> None:
    refused(columba.request("GET", f"{path}?{query}"), 422, "invalid_request", field)


# Repeats

_repeats = itertools.count()


class Post(NamedTuple):
    """A POST, and another body for it."""

    path: str
    body: Any
    other: Any
    key: str = "test"


POSTS = [
    Post("/v1/messages", {"to": "+447700900123", "text": "Hello"}, {"to": "+447700900123", "text": "Bye"}),
    Post(
        "/v1/messages/batch",
        {"messages": [{"to": "+447700900123", "text": "Hello"}, {"to": "x", "text": "Hello"}]},
        {"messages": [{"to": "+447700900123", "text": "Bye"}]},
    ),
    Post("/v1/messages/preview", {"text": "Hello"}, {"text": "Bye"}),
    Post("/v1/messages/{msg}/redact", None, {}),
    Post("/v1/webhooks", {"url": "{url}/a", "events": ["*"]}, {"url": "{url}/b", "events": ["*"]}),
    Post("/v1/webhooks/{whk}/rotate-secret", {}, {"secret": None}),
    Post("/v1/webhooks/{whk}/recover", {"since": "2026-01-01T00:00:00Z"}, {"since": "2026-01-02T00:00:00Z"}),
    Post("/v1/webhooks/{whk}/test", None, None),
    Post("/v1/webhooks/callback-secret/rotate", {}, {"secret": None}),
    Post("/v1/deliveries/{dlv}/replay", None, None),
    Post("/v1/keys", {"name": "a"}, {"name": "b"}),
    Post("/v1/keys/{key}/rotate", {}, {"overlap_seconds": 1}),
    Post("/v1/sandbox/inbound", {"from": "+447700900123", "to": "12345", "text": "Hi"},
         {"from": "+447700900123", "to": "12345", "text": "Ho"}),
    Post("/v1/carriers", {"name": "a", "kind": "sandbox", "enabled": False},
         {"name": "b", "kind": "sandbox", "enabled": False}, "live"),
    Post("/v1/carriers/{car}/pause", None, None, "live"),
    Post("/v1/carriers/{car}/resume", None, None, "live"),
    Post("/v1/carriers/{car}/test", None, None, "live"),
]  # fmt: skip


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post.path)
def test_a_post_repeated_with_its_key_gets_the_first_answer_and_another_body_is_refused(
    columba: Program, there: dict[str, str], post: Post
) -> None:
    path = post.path.format(**there)
    secret = columba.live_key if post.key == "live" else columba.test_key
    once = {"Idempotency-Key": f"once-{next(_repeats)}"}

    def ask(body: Any) -> Any:
        if isinstance(body, dict) and "url" in body:
            body = body | {"url": body["url"].format(**there)}
        return columba.request("POST", path, body, key=secret, headers=once)

    first, again = ask(post.body), ask(post.body)
    assert first.status < 300, first
    assert (again.status, again.json) == (first.status, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    if post.other is not None and post.body is not None:
        refused(ask(post.other), 409, "idempotency_mismatch")
    if post.path == "/v1/messages":
        assert len([each for each in everything(columba, "/v1/messages") if each["id"] == first.json["id"]]) == 1


def test_a_cancel_repeated_with_its_key_is_answered_again(columba: Program) -> None:
    sent = send(columba, send_at=in_days(30))
    once = {"Idempotency-Key": f"cancel-{sent['id']}"}
    path = f"/v1/messages/{sent['id']}/cancel"
    first, again = (columba.request("POST", path, headers=once) for _ in range(2))
    assert (first.status, first.json["status"]) == (200, "canceled")
    assert (again.status, again.json) == (200, first.json)
    refused(columba.request("POST", path), 409, "not_cancelable")


def test_a_refusal_is_repeated_too_and_a_key_belongs_to_its_mode(columba: Program) -> None:
    once = {"Idempotency-Key": "of-both-modes"}
    wrong = {"url": "nonsense", "events": ["*"]}
    first, again = (columba.request("POST", "/v1/webhooks", wrong, headers=once) for _ in range(2))
    assert (first.status, again.status) == (422, 422)
    assert columba.request("POST", "/v1/keys", {"name": "k"}, key=columba.live_key, headers=once).status == 201


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/keys"])
@pytest.mark.parametrize("value", ["", "with space", "x" * 256, "ü"])
def test_an_idempotency_key_that_is_none_is_refused(columba: Program, path: str, value: str) -> None:
    body = {"to": number(), "text": "x"} if path == "/v1/messages" else {"name": "k"}
    answer = columba.request("POST", path, body, headers={"Idempotency-Key": value})
    refused(answer, 422, "invalid_request", "Idempotency-Key")


# Too fast


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/keys", "/v1/messages/preview"])
def test_a_key_with_a_rate_is_told_what_it_has_left_and_when_to_go_on(columba: Program, path: str) -> None:
    key = new_key(columba, rate_limit=5)["secret"]
    body = {"to": number(), "text": "x"} if path == "/v1/messages" else {"text": "x"}
    method = "GET" if path == "/v1/keys" else "POST"
    left = []

    def ask() -> bool:
        answer = columba.request(method, path, None if method == "GET" else body, key=key)
        assert answer.headers["ratelimit-limit"] == "5"
        assert int(answer.headers["ratelimit-reset"]) >= 0
        left.append(int(answer.headers["ratelimit-remaining"]))
        if answer.status != 429:
            return False
        refused(answer, 429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= 1
        return True

    eventually(ask, every=0)
    assert left[0] == 4
    assert left[-1] == 0
    assert columba.request("GET", "/v1/messages").status == 200  # others have a rate of their own
    eventually(lambda: columba.request("GET", "/v1/messages", key=key).status == 200)


def test_what_is_answered_is_kept_from_caches(columba: Program) -> None:
    for path in ("/v1/messages", "/v1/keys", "/v1/messages/" + send(columba)["id"]):
        assert columba.request("GET", path).headers["cache-control"] == "no-store"
    assert message(columba, send(columba)["id"])["status"]
