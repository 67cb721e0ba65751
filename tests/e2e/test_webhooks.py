"""Webhooks as a receiver meets them: set up, signed, retried, looked at, sent again."""

import datetime as dt
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tests.e2e.talk import TIME, Json, at_once, ended, everything, get, number, refused, send
from tests.program import Program, Reply, Request, Sink, eventually

LIFE = ["message.queued", "message.sent", "message.delivered"]
NOW = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]  # a schedule for the impatient


def hook(columba: Program, url: str, *events: str, **fields: Any) -> Json:
    made = columba.request("POST", "/v1/webhooks", {"url": url, "events": list(events) or ["message.*"], **fields})
    assert made.status == 201, made
    shown: Json = made.json
    return shown


@pytest.fixture(autouse=True)
def _tidy(columba: Program) -> Iterator[None]:
    """No test's endpoints are there for the next, and nothing of what went before is still on its way."""
    for name in ("queued", "sent"):
        eventually(lambda name=name: not everything(columba, f"/v1/messages?status={name}"))  # type: ignore[misc]
    yield
    for each in everything(columba, "/v1/webhooks"):
        columba.request("DELETE", f"/v1/webhooks/{each['id']}")


def verified(request: Request, secret: str) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


def deliveries(columba: Program, **filters: str) -> list[Json]:
    return everything(columba, "/v1/deliveries?" + "&".join(f"{name}={value}" for name, value in filters.items()))


# Setting up


def test_an_endpoint_is_made_listed_read_changed_and_deleted(columba: Program, sink: Sink) -> None:
    made = hook(columba, sink.url + "/hook", "message.delivered", "message.failed", description="the shop's")
    secret = made.pop("secret")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", secret)
    assert (made["url"], made["events"], made["description"], made["enabled"]) == (
        sink.url + "/hook",
        ["message.delivered", "message.failed"],
        "the shop's",
        True,
    )
    path = f"/v1/webhooks/{made['id']}"
    assert get(columba, path) == made
    assert made in everything(columba, "/v1/webhooks")
    changed = columba.request("PATCH", path, {"description": "another's", "events": ["*"], "timeout": 5})
    assert changed.status == 200
    assert changed.json | {"updated_at": ""} == made | {
        "description": "another's", "events": ["*"], "timeout": 5, "updated_at": "",
    }  # fmt: skip
    assert columba.request("DELETE", path).status == 204
    refused(columba.request("GET", path), 404, "not_found")
    assert made["id"] not in [each["id"] for each in everything(columba, "/v1/webhooks")]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["url", "events"]),
        ({"url": "ftp://example.org", "events": ["message.*"]}, ["url"]),
        ({"url": "https://user@example.org:99999/", "events": []}, ["url", "events"]),
        ({"url": "https://example.org", "events": ["message.happy", "message.sent"]}, ["events[0]"]),
        ({"url": "http://10.0.0.1/", "events": ["*"]}, ["url"]),
        ({"url": "http://169.254.169.254/latest", "events": ["*"]}, ["url"]),
        ({"url": "http://[fd00::1]/", "events": ["*"]}, ["url"]),
        ({"url": "https://example.org", "events": ["*"], "timeout": 0, "secret": "x"}, ["timeout", "secret"]),
    ],
)
def test_every_problem_of_an_endpoint_is_named(columba: Program, body: Json, fields: list[str]) -> None:
    refused(columba.request("POST", "/v1/webhooks", body), 422, "invalid_request", *fields)


def test_a_private_network_is_not_reached_unless_it_is_allowed(sink: Sink) -> None:
    with Program(env={"COLUMBA_ALLOW_NETWORK": ""}) as columba:
        port = sink.port
        for url in (
            sink.url, f"http://localhost:{port}", f"http://127.1:{port}", f"http://2130706433:{port}",
            f"http://[::1]:{port}", f"http://[::ffff:127.0.0.1]:{port}", f"http://0.0.0.0:{port}", f"http://0:{port}",
            f"http://0x7f000001:{port}", f"http://127.0.0.1.:{port}",
        ):  # fmt: skip
            answer = columba.request("POST", "/v1/webhooks", {"url": url, "events": ["*"]})
            if answer.status == 201:  # a name is looked up when it is sent to
                tested = columba.request("POST", f"/v1/webhooks/{answer.json['id']}/test").json
                assert (tested["ok"], tested["error"]["code"]) == (False, "forbidden_address"), url
            else:
                refused(answer, 422, "invalid_request", "url")
            body = {"to": number(), "text": "Hello", "callback_url": url}
            answer = columba.request("POST", "/v1/messages", body)
            if answer.status != 202:
                refused(answer, 422, "invalid_request", "callback_url")
        with Program() as other:
            assert hook(other, sink.url)
        ended(columba, send(columba)["id"], "delivered")
        assert not sink.requests
        assert sink.connections == 0


# Sent and signed


def test_a_webhook_is_the_event_signed_by_the_standard(columba: Program, sink: Sink) -> None:
    made = hook(columba, sink.url + "/hook?a=b")
    before = time.time()
    sent = ended(columba, send(columba, metadata={"user": "42"})["id"], "delivered")
    requests = sink.wait(3)
    for request, kind in zip(requests, LIFE, strict=True):
        assert (request.method, request.path) == ("POST", "/hook?a=b")
        assert request.headers["content-type"] == "application/json"
        assert tuple(request.json) == ("id", "type", "timestamp", "account_id", "data")
        assert (request.json["type"], request.json["id"]) == (kind, request.headers["webhook-id"])
        assert TIME(request.json["timestamp"])
        assert abs(int(request.headers["webhook-timestamp"]) - before) < 10
        assert request.json["data"]["metadata"] == {"user": "42"}
        assert request.json["data"]["status"] == kind.partition(".")[2]
        assert Webhook(made["secret"]).verify(request.body, dict(request.headers))
        assert not verified(request._replace(body=request.body.replace(b"42", b"43")), made["secret"])
        assert get(columba, f"/v1/events/{request.json['id']}") == request.json
    assert {request.json["data"]["id"] for request in requests} == {sent["id"]}


def test_an_endpoint_gets_the_types_that_its_patterns_name(columba: Program, sink: Sink) -> None:
    hook(columba, sink.url + "/final", "message.delivered", "message.undelivered")
    hook(columba, sink.url + "/all", "message.*")
    ended(columba, send(columba)["id"], "delivered")
    ended(columba, send(columba, "+447711110002")["id"], "undelivered")
    requests = sink.wait(8)
    kinds = sorted((request.path, request.json["type"]) for request in requests)
    assert kinds == sorted(
        [("/final", "message.delivered"), ("/final", "message.undelivered")]
        + [("/all", kind) for kind in [*LIFE, "message.queued", "message.sent", "message.undelivered"]]
    )


def test_a_secret_is_replaced_while_both_sign(columba: Program, sink: Sink) -> None:
    made = hook(columba, sink.url, "message.delivered")
    rotated = columba.request("POST", f"/v1/webhooks/{made['id']}/rotate-secret")
    assert rotated.status == 200
    second = rotated.json["secret"]
    assert second != made["secret"]
    assert TIME(rotated.json["rotating_until"])
    send(columba)
    (request,) = sink.wait(1)
    assert len(request.headers["webhook-signature"].split()) == 2
    assert verified(request, made["secret"])
    assert verified(request, second)
    own = "whsec_" + "bXkgb3duIHNlY3JldCwgMzIgYnl0ZXMgbG9uZyAuLi4="
    third = columba.request("POST", f"/v1/webhooks/{made['id']}/rotate-secret", {"secret": own}).json["secret"]
    assert third == own
    eventually(lambda: [send(columba), verified(sink.requests[-1], own)][1], every=0.2)
    assert not verified(sink.requests[-1], made["secret"])


def test_a_disabled_endpoint_gets_nothing_until_it_is_enabled_and_recovered(columba: Program, sink: Sink) -> None:
    made = hook(columba, sink.url, "message.delivered")
    path = f"/v1/webhooks/{made['id']}"
    off = columba.request("PATCH", path, {"enabled": False}).json
    assert (off["enabled"], bool(off["disabled_reason"])) == (False, True)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    missed = ended(columba, send(columba)["id"], "delivered")["id"]
    on = columba.request("PATCH", path, {"enabled": True}).json
    assert (on["enabled"], on["disabled_reason"]) == (True, None)
    assert not sink.requests
    until = (since + dt.timedelta(hours=1)).isoformat()
    recovered = columba.request("POST", f"{path}/recover", {"since": since.isoformat(), "until": until})
    assert recovered.status == 202
    eventually(lambda: missed in [request.json["data"]["id"] for request in sink.requests])
    assert recovered.json["count"] == len(sink.wait(recovered.json["count"])) >= 1
    assert columba.request("POST", f"{path}/recover", {"since": since.isoformat()}).json["count"] == 0


# What goes wrong


def test_a_failed_delivery_is_tried_again_with_the_same_id_and_every_attempt_is_kept(columba: Program) -> None:
    replies = [
        Reply(500, b"broken \xff" + b"x" * 30_000),
        Reply(close=True),
        Reply(302, b"", {"Location": "http://x/"}),
    ]
    with Sink(replies=replies) as sink:
        made = hook(columba, sink.url, "message.delivered", retry_schedule=NOW)
        sent = send(columba)
        requests = sink.wait(4)
        assert len({request.headers["webhook-id"] for request in requests}) == 1
        assert len({request.body for request in requests}) == 1
        assert all(verified(request, made["secret"]) for request in requests)
        path = eventually(lambda: deliveries(columba, endpoint=made["id"], status="delivered"))[0]["id"]
        shown = get(columba, f"/v1/deliveries/{path}")
    assert (shown["status"], shown["attempt_count"], shown["event_type"]) == ("delivered", 4, "message.delivered")
    assert (shown["event"], shown["endpoint"]) == (requests[0].json["id"], made["id"])
    assert [attempt["status"] for attempt in shown["attempts"]] == [500, None, 302, 200]
    assert [(attempt["error"] or {}).get("code") for attempt in shown["attempts"]] == [
        "http_500", "disconnected", "http_302", None,
    ]  # fmt: skip
    for attempt in shown["attempts"]:
        assert TIME(attempt["at"])
        assert attempt["latency_ms"] >= 0
        assert attempt["request"]["body"] == requests[0].json
        assert attempt["request"]["headers"]["webhook-id"] == requests[0].headers["webhook-id"]
    assert shown["attempts"][0]["answer"].startswith("broken \ufffdxxx")
    assert len(shown["attempts"][0]["answer"].encode()) <= 20_002
    told = str(shown)
    assert made["secret"] not in told
    assert requests[0].headers["webhook-signature"] not in told
    assert sent["id"] in told


def test_deliveries_are_listed_by_endpoint_status_and_event_and_sent_again(columba: Program) -> None:
    with Sink(lambda request: Reply(400 if request.path == "/bad" else 200)) as sink:
        good = hook(columba, sink.url + "/good", "message.delivered", "message.sent")
        bad = hook(columba, sink.url + "/bad", "message.delivered", retry_schedule=[0])
        send(columba)
        (failed,) = eventually(lambda: deliveries(columba, endpoint=bad["id"], status="failed"))
        eventually(lambda: len(deliveries(columba, endpoint=good["id"], status="delivered")) == 2)
        assert (failed["attempt_count"], failed["last_status"], failed["next_attempt_at"]) == (2, 400, None)
        assert failed["error"]["detail"]
        by_event = deliveries(columba, event=failed["event"])
        assert {each["endpoint"] for each in by_event} == {good["id"], bad["id"]}
        assert len(deliveries(columba, endpoint=good["id"], event="message.sent")) == 1
        assert deliveries(columba, endpoint=bad["id"], status="delivered") == []
        sink.reply = Reply(204)
        again = columba.request("POST", f"/v1/deliveries/{failed['id']}/replay")
        assert again.status == 202
        eventually(lambda: get(columba, f"/v1/deliveries/{failed['id']}")["status"] == "delivered")
        shown = get(columba, f"/v1/deliveries/{failed['id']}")
        assert [attempt["status"] for attempt in shown["attempts"]] == [400, 400, 204]
        same = [request.headers["webhook-id"] for request in sink.requests if request.path == "/bad"]
        assert same == [failed["event"]] * 3
    refused(columba.request("GET", "/v1/deliveries?endpoint=whk_0"), 422, "invalid_request", "endpoint")
    refused(columba.request("GET", "/v1/deliveries?status=lost"), 422, "invalid_request", "status")
    refused(columba.request("GET", "/v1/deliveries?event=x"), 422, "invalid_request", "event")


def test_a_test_sends_at_once_and_tells_what_came_back(columba: Program) -> None:
    with Sink(Reply(200, b"thanks")) as sink:
        made = hook(columba, sink.url + "/hook", "message.delivered")
        tested = columba.request("POST", f"/v1/webhooks/{made['id']}/test")
        (request,) = sink.wait(1)
        assert (tested.status, tested.json["ok"], tested.json["status"], tested.json["answer"]) == (
            200, True, 200, "thanks",
        )  # fmt: skip
        assert verified(request, made["secret"])
        assert (request.json["type"], request.json["id"]) == ("webhook.test", tested.json["event"])
        assert get(columba, f"/v1/deliveries/{tested.json['delivery']}")["event_type"] == "webhook.test"
        sink.reply = Reply(503)
        tested = columba.request("POST", f"/v1/webhooks/{made['id']}/test")
        assert (tested.status, tested.json["ok"], tested.json["error"]["code"]) == (200, False, "http_503")
    tested = columba.request("POST", f"/v1/webhooks/{made['id']}/test")
    assert (tested.status, tested.json["ok"], tested.json["error"]["code"]) == (200, False, "connect")


def test_an_endpoint_that_is_gone_is_disabled_and_it_is_told(columba: Program, sink: Sink) -> None:
    with Sink(Reply(410)) as gone:
        made = hook(columba, gone.url, "message.queued", retry_schedule=NOW)
        hook(columba, sink.url, "webhook.*")
        send(columba)
        (request,) = sink.wait(1)
        assert (request.json["type"], request.json["data"]["id"]) == ("webhook.disabled", made["id"])
        shown = eventually(lambda: [each for each in everything(columba, "/v1/webhooks") if not each["enabled"]])[0]
        assert shown["id"] == made["id"]
        assert shown["disabled_reason"]
        send(columba)
        ended(columba, send(columba)["id"], "delivered")
        assert len(gone.requests) == 1
        assert [each["type"] for each in get(columba, "/v1/events?type=webhook.disabled")["data"]][:1] == [
            "webhook.disabled"
        ]


def test_a_dead_endpoint_slows_nobody(columba: Program, sink: Sink) -> None:
    with Sink(Reply(delay=60)) as hanging:
        hook(columba, hanging.url, concurrency=2, timeout=30)
        hook(columba, "http://127.0.0.1:1/", "message.*")
        hook(columba, sink.url, "message.delivered")
        began = time.monotonic()
        sent = at_once(lambda _: send(columba)["id"], range(30), threads=1)
        eventually(lambda: {request.json["data"]["id"] for request in sink.requests} == set(sent))
        assert time.monotonic() - began < 25  # those that hang do so for longer
        assert len(hanging.requests) == 2


def test_what_waits_is_sent_after_a_restart(columba: Program) -> None:
    with Sink(Reply(503)) as sink:
        made = hook(columba, sink.url, "message.delivered", retry_schedule=[1] * 20)
        sent = send(columba)["id"]
        sink.wait(1)
        columba.kill9()
        sink.reply = Reply(200)
        columba.start()
        shown = eventually(lambda: deliveries(columba, endpoint=made["id"], status="delivered"))[0]
        ours = [request for request in sink.requests if request.json["data"]["id"] == sent]
        assert len(ours) >= 2
        assert shown["event"] in {request.headers["webhook-id"] for request in ours}
        assert len({request.headers["webhook-id"] for request in ours}) == 1
