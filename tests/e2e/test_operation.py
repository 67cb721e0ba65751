"""What an operator and a newcomer rely on: health, metrics, documentation, logs, the first start and the stop."""

import re
import signal
import socket
import subprocess
import threading
import time
from urllib.parse import urljoin

import openapi_spec_validator
import pytest

from columba.core.lane import Pace
from tests.e2e.talk import (
    Follower,
    Line,
    at_once,
    ended,
    everything,
    get,
    in_days,
    message,
    metrics,
    number,
    refused,
    send,
    value,
)
from tests.program import Program, Reply, Sink, eventually

# Health


def test_the_process_says_that_it_lives_and_is_ready(columba: Program) -> None:
    for path in ("/healthz", "/readyz"):
        for method in ("GET", "HEAD"):
            answer = columba.request(method, path, key="")
            assert answer.status == 200
            assert answer.headers["content-type"] == "application/json"
    assert columba.request("GET", "/readyz", key="").json == {"status": "ready"}


@pytest.mark.parametrize(
    ("family", "labels"),
    [
        ("columba_accepted", {}),
        ("columba_refused", {"code": "no_recipient"}),
        ("columba_received", {}),
        ("columba_sent", {}),
        ("columba_final", {"status": "delivered"}),
        ("columba_final", {"status": "undelivered"}),
        ("columba_lane_depth", {"kind": "send"}),
        ("columba_lane_flying", {"kind": "send"}),
        ("columba_lane_age_seconds", {"kind": "send"}),
        ("columba_backlog_rows", {}),
        ("columba_commit_rows", {}),
        ("columba_commit_seconds", {}),
        ("columba_webhook_seconds", {"outcome": "ok"}),
        ("columba_event_loop_lag_seconds", {}),
        ("columba_http_request_seconds", {"endpoint": "/v1/messages", "status": "202"}),
        ("columba_http_request_seconds", {"endpoint": "/v1/messages/{id}", "status": "200"}),
    ],
)
def test_everything_that_is_watched_has_its_metric(busy: Program, family: str, labels: dict[str, str]) -> None:
    found = metrics(busy)
    assert family in found
    assert found[family].documentation
    samples = [sample for sample in found[family].samples if labels.items() <= sample.labels.items()]
    assert samples
    if found[family].type in ("counter", "histogram"):
        assert eventually(lambda: value(metrics(busy)[family], **labels) >= 1)
    if found[family].type == "histogram":
        assert {"+Inf"} <= {sample.labels.get("le") for sample in samples}


@pytest.fixture(scope="module")
def busy(columba: Program) -> Program:
    """One of each thing has happened."""
    with Sink() as sink:
        hook = columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.*"]}).json
        ended(columba, send(columba)["id"], "delivered")
        ended(columba, send(columba, "+447711110002")["id"], "undelivered")
        columba.request("POST", "/v1/messages", {"to": "+447711110001", "text": "x"})
        columba.request("POST", "/v1/sandbox/inbound", {"from": number(), "to": "12345", "text": "Hi"})
        sink.wait(7)
        columba.request("DELETE", f"/v1/webhooks/{hook['id']}")
    return columba


def test_counters_count_what_happened(columba: Program) -> None:
    before = metrics(columba)
    an_id = send(columba)["id"]
    ended(columba, an_id, "delivered")
    after = metrics(columba)
    for name, labels in (("accepted", {}), ("sent", {}), ("final", {"status": "delivered"})):
        assert value(after[f"columba_{name}"], **labels) == value(before[f"columba_{name}"], **labels) + 1


def test_metrics_are_not_for_strangers(columba: Program) -> None:
    for header in ("X-Forwarded-For", "x-forwarded-for"):
        assert columba.request("GET", "/metrics", key="", headers={header: "203.0.113.7"}).status == 403
    with Program(["--metrics-from", "192.0.2.0/24"]) as other:
        assert other.request("GET", "/metrics").status == 403


# Documentation


def test_the_document_is_valid_and_names_every_address(columba: Program) -> None:
    document = columba.request("GET", "/v1/openapi.json", key="").json
    assert document["openapi"].startswith("3.1")
    openapi_spec_validator.validate(document)
    for path in (
        "/v1/messages", "/v1/messages/batch", "/v1/messages/{id}", "/v1/messages/{id}/cancel",
        "/v1/messages/{id}/redact", "/v1/messages/preview", "/v1/events", "/v1/events/{id}", "/v1/events/stream",
        "/v1/webhooks", "/v1/webhooks/{id}", "/v1/webhooks/{id}/rotate-secret", "/v1/webhooks/{id}/test",
        "/v1/webhooks/{id}/recover", "/v1/deliveries", "/v1/deliveries/{id}", "/v1/deliveries/{id}/replay",
        "/v1/keys", "/v1/keys/{id}", "/v1/keys/{id}/rotate", "/v1/oauth/token", "/v1/sandbox/inbound", "/v1/carriers",
        "/v1/carriers/{id}", "/v1/carriers/{id}/pause", "/v1/carriers/{id}/resume", "/v1/carriers/{id}/test",
    ):  # fmt: skip
        assert path in document["paths"], path
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert all(each["summary"] and each["tags"] and each["operationId"] for each in operations)


def test_the_reference_asks_no_other_address_for_anything(columba: Program) -> None:
    todo, seen = ["/docs", "/docs/errors"], set[str]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = columba.request("GET", path, key="")
        assert answer.status == 200, path
        policy = answer.headers.get("content-security-policy")
        if path.startswith("/docs/assets"):
            text = str(answer.json)
            outside = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", text)
            assert {url for url in outside if "www.w3.org" not in url} == set()
            if path.endswith(".css"):
                found = re.findall(r"url\(['\"]?([^'\")]+)|@import ['\"]([^'\"]+)", text)
                todo += [urljoin(path, a or b) for a, b in found if not (a or b).startswith("data:")]
        elif path.startswith("/docs"):
            assert policy is not None
            assert "default-src 'none'" in policy
            found = re.findall(r"(?:src|href|action|data-\w+)=\"([^\"#]+)", answer.json)
            for address in found:
                assert re.match(r"/(?!/)", address), address
            todo += found
    assert {"/docs/assets/reference.js", "/docs/assets/reference.css", "/v1/openapi.json"} <= seen


def test_each_refusal_leads_to_its_explanation(columba: Program) -> None:
    page = columba.request("GET", "/docs/errors", key="").json
    for answer in (columba.request("GET", "/v1/nothing"), columba.request("POST", "/v1/messages", {})):
        code = answer.json["type"].partition("#")[2]
        assert f'id="{code}"' in page
        for error in answer.json["errors"]:
            assert f'id="{error["code"]}"' in page


# The first start and the stop


def test_the_first_start_shows_the_keys_once_and_a_line_that_works() -> None:
    with Program() as columba:
        told = columba.log
        assert columba.url in told
        assert f"  live key  {columba.live_key}\n" in told
        assert f"  test key  {columba.test_key}\n" in told
        command = re.search(r"^\s*(curl .*?[^\\])$", told, re.M | re.S)
        assert command
        done = subprocess.run(["bash", "-c", f"{command[1]} -s"], capture_output=True, text=True, timeout=60)
        assert '"status":"queued"' in done.stdout
        assert columba.stop() == 0
        columba.start()
        assert columba.log.count(columba.live_key) == 1
        assert columba.request("GET", "/v1/messages").json["data"][0]["text"] == "Hello"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_on_the_wire_ends_the_streams_and_is_a_success(how: signal.Signals) -> None:
    """With requests, webhooks and messages under way: each request has its answer or never began."""
    with Program() as columba, Sink(Reply(delay=0.05)) as sink:
        carrier = {"name": "slow", "kind": "sandbox", "config": {"latency_ms": 400}, "rate": 500}
        columba.request("POST", "/v1/carriers", carrier, key=columba.live_key)
        hook = {"url": sink.url, "events": ["message.*"]}
        columba.request("POST", "/v1/webhooks", hook, key=columba.live_key)
        accepted: list[str] = []
        broken: list[str] = []

        def go_on(n: int) -> None:
            with Line(columba, columba.live_key) as line:
                while True:
                    try:
                        answer = line.request("POST", "/v1/messages", {"to": number(), "text": "Hello"})
                    except OSError as error:
                        broken.append(type(error).__name__)
                        return
                    assert answer.status == 202, answer
                    accepted.append(answer.json["id"])

        threads = [threading.Thread(target=go_on, args=(n,)) for n in range(4)]
        with Follower(columba, columba.live_key) as stream:
            for thread in threads:
                thread.start()
            eventually(lambda: len(accepted) > 200)
            began = time.monotonic()
            process = columba._running()
            process.send_signal(how)
            assert columba._ended(process) == 0
            assert time.monotonic() - began < 30
            for thread in threads:
                thread.join()
            eventually(lambda: stream.ended)
        gone = {"ConnectionResetError", "ConnectionRefusedError", "BrokenPipeError", "RemoteDisconnected"}
        assert {*broken} <= gone
        columba.start()
        key = columba.live_key
        there = {each["id"]: each for each in everything(columba, "/v1/messages", key)}
        assert set(accepted) <= set(there)
        eventually(lambda: not get(columba, "/v1/messages?status=queued&limit=1", key)["data"], every=0.1)
        at_once(lambda an_id: ended(columba, an_id, "delivered", key=key), accepted, threads=1)
        finals = [each["data"]["id"] for each in everything(columba, "/v1/events?type=message.delivered", key)]
        assert sorted(finals) == sorted(there)


def test_a_stopping_server_hands_its_lanes_over_and_starts_at_once() -> None:
    with Program() as columba:
        scheduled = send(columba, send_at=in_days(30))["id"]
        ended(columba, send(columba)["id"], "delivered")
        columba.stop()
        columba.start()
        began = time.monotonic()
        ended(columba, send(columba)["id"], "delivered")
        assert time.monotonic() - began < Pace().lease_ms / 1000  # no lease of a dead process to be waited for
        assert message(columba, scheduled)["status"] == "scheduled"


def test_no_number_and_no_secret_is_in_the_log() -> None:
    with Program(["--log-level", "debug"]) as columba, Sink() as sink:
        to, words = number(), "Nobody reads this in a log"
        made = columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.*"]}).json
        made_key = columba.request("POST", "/v1/keys", {"name": "k"}).json["secret"]
        ended(columba, send(columba, to, made_key, text=words)["id"], "delivered", key=made_key)
        columba.request("POST", "/v1/messages", {"to": to, "text": words, "class": "x"})
        columba.request("GET", f"/v1/messages?to=%2B{to[1:]}")
        columba.request("GET", f"/v1/numbers/{to}")
        sink.wait(3)
        columba.stop()
        for secret in (to, to[1:], words, made["secret"], made_key):
            assert secret not in columba.log


def test_logs_are_for_programs_where_that_is_asked_for() -> None:
    with Program(["--log-format", "json", "--log-level", "info"]) as columba:
        columba.stop()
        lines = [line for line in columba.log.splitlines() if line.startswith("{")]
        assert any('"event":"stopped"' in line.replace(" ", "") for line in lines)


def test_a_port_that_is_taken_is_said(columba: Program) -> None:
    done = subprocess.run(
        [*columba._program, "serve", "--port", str(columba.port), "--data", str(columba.folder / "other")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"port {columba.port} is taken" in done.stderr


# Bad manners on the wire


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    ],
    ids=["no host", "no http", "negative length", "two lengths", "long line", "tls"],
)
def test_bad_http_harms_nobody(columba: Program, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", columba.port), 60) as line:
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := line.recv(65_536):
            answer += chunk
    assert answer == b"" or re.match(rb"HTTP/1\.1 4\d\d", answer), answer[:100]
    assert refused(columba.request("GET", "/v1/nothing"), 404, "not_found")
