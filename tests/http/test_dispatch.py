"""What a client meets: answers, problems, limits and repeats, over a real server."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from columba.http.dispatch import build
from columba.http.endpoint import Call, Caller, Endpoint, describe, endpoint
from columba.http.wire import Headers
from tests.http import sample
from tests.http.client import ALL, READS, ask, head, read_head
from tests.http.conftest import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

BIRD = {"name": "Alba", "chip": 7}


async def test_an_answer_is_what_was_declared(port: int) -> None:
    made = await ask(port, "POST", "/v1/birds", {**BIRD, "hatched_at": "2026-01-01T01:00:00+01:00"})
    assert made.status == 201
    bird = made.json["id"]
    assert made.json == {"id": bird, "name": "Alba", "hatched_at": "2026-01-01T00:00:00.000Z", "tags": []}
    assert made.headers["content-type"] == "application/json"
    assert made.headers["cache-control"] == "no-store"
    assert made.headers["location"] == f"/v1/birds/{bird}"
    gone = await ask(port, "DELETE", f"/v1/birds/{bird}")
    assert (gone.status, gone.body, "content-length" in gone.headers) == (204, b"", False)


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/birds/", 404, "not_found"),
        ("GET", "/v1/birds/brd_0", 404, "not_found"),
        ("GET", "/v1/birds/a/b", 404, "not_found"),
        ("GET", "/v1/birds/" + "x" * 300, 404, "not_found"),
        ("GET", "/v1/birds/a%00b", 404, "not_found"),
        ("GET", "/v1/birds/a%0Ab", 404, "not_found"),
        ("GET", "/" + "x/" * 3000, 404, "not_found"),
        ("PUT", "/v1/birds", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/birds", 405, "method_not_allowed"),
        ("GET", "/v1/raw", 405, "method_not_allowed"),
        ("GET", "/old/nothing", 404, "not_found"),
        ("DELETE", "/old/page", 405, "method_not_allowed"),
        ("GET", "/v1/birds?limit=0", 422, "invalid_request"),
        ("GET", "/v1/birds?cursor=x", 422, "invalid_request"),
        ("GET", "/v1/birds/brd_1?x=1", 422, "invalid_request"),
    ],
)  # fmt: skip
async def test_a_problem_has_its_shape(port: int, method: str, target: str, status: int, code: str) -> None:
    answer = await ask(port, method, target, headers={"x-request-id": "mine-1.a_b"})
    problem = answer.json
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert problem["type"] == f"/docs/errors#{code}"
    assert problem["request_id"] == answer.headers["x-request-id"] == "mine-1.a_b"
    assert problem["title"]
    assert problem["detail"]


async def test_a_method_that_is_not_there_names_those_that_are(port: int) -> None:
    assert (await ask(port, "PUT", "/v1/birds")).headers["allow"] == "GET, HEAD, POST"
    assert (await ask(port, "POST", "/v1/birds/x")).headers["allow"] == "DELETE, GET, HEAD"
    assert (await ask(port, "GET", "/v1/raw")).headers["allow"] == "POST"
    assert (await ask(port, "POST", "/docs")).headers["allow"] == "GET, HEAD"


async def test_head_is_get_without_its_body(port: int) -> None:
    for target in ("/v1/birds/brd_1", "/docs", "/v1/birds/stream"):
        answer = await ask(port, "HEAD", target)
        assert (answer.status, answer.body) == (200, b"")


async def test_every_wrong_field_of_a_body_is_named(port: int) -> None:
    answer = await ask(port, "POST", "/v1/birds", {"name": "", "chip": 0, "sex": "x", "colour": "red"})
    assert answer.status == 422
    assert answer.fields == [
        ("name", "too_short"),
        ("chip", "out_of_range"),
        ("sex", "invalid_value"),
        ("colour", "unknown_field"),
    ]


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("{", "application/json", 400, "invalid_json"),
        ("", "application/json", 400, "invalid_json"),
        (json.dumps(BIRD), "application/json; charset=utf-8", 201, None),
        (json.dumps(BIRD), "application/vnd.loft+json", 201, None),
        (json.dumps(BIRD), "text/plain", 415, "unsupported_media_type"),
        (json.dumps(BIRD), "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (json.dumps(BIRD), "", 415, "unsupported_media_type"),
    ],
)
async def test_only_json_is_taken(port: int, body: str, kind: str, status: int, code: str | None) -> None:
    answer = await ask(port, "POST", "/v1/birds", body, headers={"content-type": kind})
    assert (answer.status, answer.json.get("code")) == (status, code)


async def test_a_packed_body_is_not_taken(port: int) -> None:
    answer = await ask(port, "POST", "/v1/birds", BIRD, headers={"content-encoding": "gzip"})
    assert answer.json["code"] == "unsupported_media_type"


async def test_a_body_may_be_left_out_where_it_is_said_so(port: int) -> None:
    assert (await ask(port, "POST", "/v1/birds/b/release")).json["name"] == "nowhere"
    assert (await ask(port, "POST", "/v1/birds/b/release", {"kind": "fly", "heading": 9})).json["name"] == "Fly"


async def test_a_form_and_an_answer_that_is_not_json(port: int) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    asked = "grant_type=client_credentials&client_id=k"
    token = await ask(port, "POST", "/v1/oauth/token", asked, headers=form, key=None)
    assert token.json == {"access_token": "token of k", "expires_in": 3600}
    plain = await ask(port, "GET", "/v1/plain", key=None)
    assert (plain.body, plain.headers["x-own"]) == (b"coo", "1")
    assert plain.headers["x-request-id"]


async def test_words_in_a_path_win_over_parameters(port: int) -> None:
    assert (await ask(port, "HEAD", "/v1/birds/stream")).headers["content-type"] == "text/event-stream"
    assert (await ask(port, "GET", "/v1/birds/streams")).json["id"] == "streams"


# -- Who asks


async def test_a_key_is_needed(port: int) -> None:
    for key in (None, "Bearer nonsense", "Basic !", "\xff"):
        answer = await ask(port, "GET", "/v1/birds", key=key)
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_key_is_held_to_its_scopes(port: int) -> None:
    assert (await ask(port, "GET", "/v1/birds/b", key=READS)).json["name"] == "key_2"
    answer = await ask(port, "POST", "/v1/birds", BIRD, key=READS)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert "birds:write" in answer.json["detail"]


# -- Request ids


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "caf\xe9", '"><script>'])
async def test_a_request_id_that_is_not_sane_is_replaced(port: int, given: str) -> None:
    answer = await ask(port, "GET", "/v1/birds/b", headers={"x-request-id": given})
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.json["tags"] == [answer.headers["x-request-id"]]


# -- Surprises


async def test_what_is_unexpected_is_logged_and_not_told(port: int) -> None:
    for target, body in (("/v1/birds", json.dumps({**BIRD, "name": "Broken"})), ("/v1/raw", "fail")):
        with capture_logs() as logs:
            answer = await ask(port, "POST", target, body, headers={"x-request-id": "look-here"})
        assert (answer.status, answer.json["code"], answer.json["request_id"]) == (500, "internal", "look-here")
        assert b"secret" not in answer.body
        [entry] = logs
        assert (entry["event"], entry["request_id"], entry["path"]) == ("request_failed", "look-here", target)
        assert "RuntimeError: the secret of" in entry["exception"]


async def test_a_full_server_says_when_to_come_again(port: int) -> None:
    answer = await ask(port, "POST", "/v1/birds", {**BIRD, "name": "Full"})
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")


# -- Raw routes


async def test_a_raw_route_is_served_and_its_refusals_are_told(port: int) -> None:
    assert (await ask(port, "POST", "/v1/raw", "12345")).body == b"5"
    refused = await ask(port, "POST", "/v1/raw", "refuse")
    assert (refused.status, refused.json["code"]) == (422, "no_route")
    with capture_logs():
        late = await ask(port, "POST", "/v1/raw", "fail late")
    assert (late.status, late.body) == (202, b"9")


# -- Size


@pytest.mark.parametrize("size", [4096, 4097, 100_000, 1_500_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_read_up_to_its_limit(port: int, size: int, chunked: bool) -> None:
    raw = json.dumps(BIRD).encode().ljust(size)
    sent: dict[str, Any] = {"body": raw}
    if chunked:
        sent = {"chunks": [raw[start : start + 10_000] for start in range(0, size, 10_000)]}
    answer = await ask(port, "POST", "/v1/birds", **sent, headers={"content-type": "application/json"})
    if size <= 4096:
        assert answer.status == 201
    else:
        assert (answer.status, answer.json["code"]) == (413, "payload_too_large")
        assert "4096 bytes" in answer.json["detail"]
        assert answer.headers["connection"] == "close"


async def test_who_waits_for_leave_is_refused_before_sending(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    declared = {"content-length": "999999999999", "expect": "100-continue", "content-type": "application/json"}
    writer.write(head("POST", "/v1/birds", declared, ALL))
    status, _ = await read_head(reader)
    assert status == 413
    writer.close()


async def test_a_body_of_many_small_chunks_is_whole(port: int) -> None:
    raw = json.dumps(BIRD).encode()
    chunks = [raw[i : i + 1] for i in range(len(raw))]
    answer = await ask(port, "POST", "/v1/birds", chunks=chunks, headers={"content-type": "application/json"})
    assert answer.status == 201


async def test_a_client_that_leaves_is_let_go() -> None:
    observed: list[Any] = []
    app = sample.app(sample.Loft(), observed=observed)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", ALL.encode()), (b"content-length", b"5")]
    scope = {"type": "http", "method": "POST", "path": "/v1/birds", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent == []
    assert observed == [(sample.create_bird, "POST", 499, 0.0)]


# -- Once only


async def test_the_same_key_and_body_get_the_first_answer_again(port: int) -> None:
    key = {"idempotency-key": "k-1"}
    first = await ask(port, "POST", "/v1/birds", BIRD, headers=key)
    again = await ask(port, "POST", "/v1/birds", BIRD, headers=key)
    other = await ask(port, "POST", "/v1/birds", {**BIRD, "name": "Berta"}, headers=key)
    elsewhere = await ask(port, "POST", "/v1/birds/b/release", BIRD, headers=key)
    without = await ask(port, "POST", "/v1/birds", BIRD)
    assert (again.status, again.body) == (201, first.body)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert other.json["code"] == "idempotency_mismatch"
    assert elsewhere.status in {409, 422}
    assert without.json["id"] != first.json["id"]


async def test_a_refusal_is_kept_and_a_failure_is_not(port: int) -> None:
    for name, status, again in (("Taken", 409, "true"), ("Full", 503, None), ("Broken", 500, None)):
        with capture_logs():
            for replayed in (None, again):
                answer = await ask(port, "POST", "/v1/birds", {**BIRD, "name": name}, headers={"idempotency-key": name})
                assert (answer.status, answer.headers.get("idempotent-replayed")) == (status, replayed)
                assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("key", "code"),
    [("", "invalid_value"), ("a b", "invalid_value"), ("x" * 256, "too_long"), ("\xe9", "invalid_value")],
)
async def test_an_idempotency_key_must_be_visible_ascii(port: int, key: str, code: str) -> None:
    answer = await ask(port, "POST", "/v1/birds", BIRD, headers={"idempotency-key": key})
    assert (answer.status, answer.fields) == (422, [("Idempotency-Key", code)])


async def test_a_second_request_does_not_pass_while_the_first_is_answered() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    @endpoint("POST", "/slow", tag="", summary="", answer=int)
    async def slow(call: Call[None, None]) -> int:
        entered.set()
        await leave.wait()
        return 1

    async with serving(app_of([slow])) as port:
        first = asyncio.create_task(ask(port, "POST", "/slow", headers={"idempotency-key": "k"}))
        await entered.wait()
        second = await ask(port, "POST", "/slow", headers={"idempotency-key": "k"})
        leave.set()
        assert (second.json["code"], second.headers["retry-after"]) == ("idempotency_in_progress", "1")
        assert (await first).body == b"1"


def app_of(endpoints: list[Endpoint], **more: Any) -> Any:
    hooks: dict[str, Any] = {"authenticate": sample.authenticate, "idempotency": sample.Kept(), **more}
    return build(endpoints, new_request_id=lambda: "req_1", clock=lambda: 0.0, **hooks)


# -- Not too fast


async def test_the_budget_is_told_and_kept() -> None:
    observed: list[Any] = []
    loft = sample.Loft()
    async with serving(sample.app(loft, budget=sample.Budget(2), observed=observed), loft.stopping) as port:
        answers = [await ask(port, "GET", "/v1/birds/b") for _ in range(3)]
        free = await ask(port, "GET", "/v1/plain")
    told = [[a.headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")] for a in answers]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert told == [["10", "1", "4"], ["10", "0", "4"], ["10", "0", "4"]]
    assert (answers[2].json["code"], answers[2].headers["retry-after"]) == ("rate_limited", "4")
    assert (free.status, "ratelimit-limit" in free.headers) == (200, False)
    seen = [(endpoint.name, status) for endpoint, _, status, _ in observed]
    assert seen == [("read_bird", 200), ("read_bird", 200), ("read_bird", 429), ("read_plain", 200)]


def authenticate_at_once(headers: Headers, client: str) -> Caller:
    return sample.KEYS[headers[b"authorization"]]


@pytest.mark.parametrize("authenticate", [sample.authenticate, authenticate_at_once])
async def test_the_auth_hook_may_wait_or_not(authenticate: Any) -> None:
    async def whose(call: Call[None, None]) -> list[str]:
        return [call.caller.key_id, call.client, str(call.header("x-a")), str(call.header("x-b"))]

    declared = describe("GET", "/who", name="n", tag="", summary="", answer=list[str], handler=whose)
    async with serving(app_of([declared], authenticate=authenticate)) as port:
        answer = await ask(port, "GET", "/who", headers={"x-a": "caf\xe9"})
    assert answer.json == ["key_1", "127.0.0.1", "caf\xe9", "None"]
