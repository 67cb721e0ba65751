"""`columba send` and `columba messages` against a stand-in for the API: what is asked, shown, and the exit code."""

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from click.testing import CliRunner, Result

from columba.cli import columba
from columba.cli.api import Api, Foreign, Problem, Unanswered, connect, where
from columba.cli.client import follow
from tests.cli.program import KEY, PROGRAM, environment, on_terminal, running
from tests.keeper import free_port
from tests.program import Reply, Sink

ID = "msg_01j9zk3v8q2ab"


def message(status: str = "queued", **more: Any) -> dict[str, Any]:
    return {
        "id": ID, "status": status, "direction": "outbound", "to": "+447700900123", "from": None, "text": "Hello",
        "class": "transactional", "encoding": "gsm7", "segments": 1, "created_at": "2026-01-31T09:30:00.000Z",
        "send_at": None, "tags": [], "error": None, **more,
    }  # fmt: skip


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(body).encode(), {name.replace("_", "-"): text for name, text in headers.items()})


def problem(status: int, code: str, *errors: tuple[str, str, str], **headers: str) -> Reply:
    body = {
        "type": f"/docs/errors#{code}", "title": "Some fields are not valid", "status": status, "detail": "Two fields.",
        "code": code, "request_id": "req_42",
        "errors": [dict(zip(("field", "code", "detail"), each, strict=True)) for each in errors],
    }  # fmt: skip
    return reply(body, status, **headers)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(reply(message(), 202)) as made:
        yield made


def ask(sink: Sink, *arguments: str, text: str | bytes = "") -> Result:
    return CliRunner().invoke(columba, [*arguments, "--url", sink.url], env={"COLUMBA_KEY": KEY}, input=text)


TO = ("--to", "+447700900123")


def test_send_asks_for_what_was_given_and_nothing_else(sink: Sink) -> None:
    result = ask(sink, "send", *TO, "--text", "Hello")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{ID}  queued  to +447700900123  1 segment (gsm7)\n"
    more = ("--from", "ACME", "--class", "otp", "--send-at", "2026-01-31T10:30:00+01:00", "--valid-for", "10m")
    ask(sink, "send", *TO, "--text", "Grüße", *more, "--tag", "a", "--tag", "b", "--idempotency-key", "k1")
    first, second = sink.requests
    assert (first.method, first.path, first.json) == ("POST", "/v1/messages", {"to": TO[1], "text": "Hello"})
    assert (first.headers["authorization"], first.headers["content-type"]) == (f"Bearer {KEY}", "application/json")
    assert second.json == {
        "to": "+447700900123", "from": "ACME", "text": "Grüße", "class": "otp", "valid_for": 600, "tags": ["a", "b"],
        "send_at": "2026-01-31T09:30:00.000Z",
    }  # fmt: skip
    assert second.headers["idempotency-key"] == "k1"
    assert first.headers["idempotency-key"] not in ("", "k1")


def test_the_text_may_come_from_standard_input(sink: Sink) -> None:
    assert ask(sink, "send", *TO, "--text", "-", text="Two\nlines\n").exit_code == 0
    assert sink.requests[0].json["text"] == "Two\nlines"
    assert ask(sink, "send", *TO, "--text", "-", text=b"\xff").exit_code == 2
    assert ask(sink, "send", *TO, "--text", "-", text="x" * 100_001).exit_code == 2
    assert len(sink.requests) == 1


def test_json_is_the_answer_itself(sink: Sink) -> None:
    result = ask(sink, "send", *TO, "--text", "Hello", "--json")
    assert json.loads(result.stdout) == message()


ENDS = [
    ("delivered", 0),
    ("undelivered", 1),
    ("failed", 1),
    ("expired", 1),
    ("canceled", 1),
    ("unknown", 3),
]


@pytest.mark.parametrize(("status", "code"), ENDS)
def test_wait_follows_a_text_to_its_end(sink: Sink, status: str, code: int) -> None:
    error = {"code": "unreachable", "detail": "The phone could not be reached.", "carrier_code": "0x58"}
    sink.replies.extend([reply(message(), 202), reply(message()), reply(message("sent"))])
    sink.reply = reply(message(status, error=None if code == 0 else error))
    result = ask(sink, "send", *TO, "--text", "Hello", "--wait")
    assert result.exit_code == code
    assert result.stdout.startswith(f"{ID}  {status}  to +447700900123  after ")
    assert ("could not be reached. (unreachable, carrier's code 0x58)" in result.stdout) is (code != 0)
    assert [request.path for request in sink.requests] == ["/v1/messages", *[f"/v1/messages/{ID}"] * 3]


def test_wait_survives_a_server_that_restarts_and_gives_up_in_time(sink: Sink) -> None:
    clock = count()

    def tried(timeout: float) -> str:
        api = Api(sink.url, KEY, pause=lambda _: None)
        with contextlib.closing(api):
            found = follow(api, message(), timeout, 0.0, pause=lambda _: None, now=lambda: float(next(clock)))
        return str(found["status"])

    sink.replies.extend([Reply(close=True)] * 3 + [Reply(502), Reply(502), Reply(502), reply(message("delivered"))])
    assert tried(1000) == "delivered"
    sink.reply = reply(message("sent"))
    assert tried(2000) == "sent"
    sink.reply = problem(404, "not_found")
    with pytest.raises(Problem):
        tried(1e9)


def test_a_wait_without_an_end_is_code_3_and_says_how_to_look_again(sink: Sink) -> None:
    result = ask(sink, "send", *TO, "--text", "Hello", "--wait", "--timeout", "1")
    assert result.exit_code == 3
    assert f"columba messages show {ID}" in result.stderr


def test_a_problem_is_readable_with_each_field_on_its_line(sink: Sink) -> None:
    sink.reply = problem(
        422, "invalid_request", ("to", "invalid_number", "Too short."), ("text", "too_long", "\x1b[2J5000 at most.")
    )
    result = ask(sink, "send", *TO, "--text", "Hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "columba: Some fields are not valid (422 invalid_request)",
        "  to: Too short. (invalid_number)",
        "  text:  [2J5000 at most. (too_long)",
        "  request req_42",
    ]
    result = ask(sink, "send", *TO, "--text", "Hello", "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    assert [each["field"] for each in json.loads(result.stdout)["errors"]] == ["to", "text"]


def test_a_key_that_is_refused_says_where_keys_come_from(sink: Sink) -> None:
    sink.reply = problem(401, "unauthorized")
    assert "columba keys create" in ask(sink, "messages").stderr


def test_no_server_says_how_to_start_one() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(columba, ["send", *TO, "--text", "Hello", "--url", url, "--key", KEY])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"columba: nothing answers at {url} (connection refused)",
        "Start the server with `columba serve`, or say where it is with --url or COLUMBA_URL.",
    ]


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--text", "x"], {"COLUMBA_KEY": KEY}, "Missing option '--to'"),
        ([*TO, "--text", "x"], {"COLUMBA_KEY": ""}, "COLUMBA_KEY"),
        ([*TO, "--text", "x"], {"COLUMBA_KEY": "ck_test_\r\nx: y"}, "That is no key"),
        ([*TO, "--text", "x", "--url", "ftp://x"], {"COLUMBA_KEY": KEY}, "no address"),
        ([*TO, "--text", "x", "--url", "http://x:99999"], {"COLUMBA_KEY": KEY}, "no address"),
        ([*TO, "--text", "x", "--send-at", "tomorrow"], {"COLUMBA_KEY": KEY}, "is no time"),
        ([*TO, "--text", "x", "--valid-for", "soon"], {"COLUMBA_KEY": KEY}, "write 90s, 15m"),
        ([*TO, "--text", "x", "--class", "urgent"], {"COLUMBA_KEY": KEY}, "otp"),
    ],
)
def test_what_is_asked_wrongly_is_code_2_and_sends_nothing(
    arguments: list[str], env: dict[str, str], said: str
) -> None:
    result = CliRunner().invoke(columba, ["send", *arguments], env=env)
    assert result.exit_code == 2
    assert said in result.stderr


# How the API is asked


def asked(sink: Sink, work: Callable[[Api], Any]) -> tuple[Any, list[float]]:
    pauses: list[float] = []
    api = Api(sink.url, KEY, pauses.append)
    try:
        return work(api), pauses
    except (Problem, Unanswered, Foreign) as failure:
        return failure, pauses
    finally:
        api.close()


AGAIN = [
    ("a connection that breaks", [Reply(close=True)], dict, [0.2]),
    ("one that breaks every time", [Reply(close=True)] * 3, Unanswered, [0.2, 0.2]),
    ("a server that is full", [problem(429, "rate_limited", Retry_After="3")], dict, [3.0]),
    ("one that is full for long", [problem(503, "overloaded", Retry_After="60")], Problem, []),
    ("one that is full every time", [problem(503, "overloaded", Retry_After="2")] * 3, Problem, [2.0, 2.0]),
    ("a proxy whose server is away", [Reply(502, b"<html>")], dict, [1.0]),
    ("the first request still being answered", [problem(409, "idempotency_in_progress")], dict, [1.0]),
    ("what was refused", [problem(422, "invalid_request")], Problem, []),
    ("a server's fault", [problem(500, "internal")], Problem, []),
    ("no Columba at all", [Reply(200, b"<html>")], Foreign, []),
]


@pytest.mark.parametrize(
    ("replies", "outcome", "pauses"), [case[1:] for case in AGAIN], ids=[case[0] for case in AGAIN]
)
def test_what_may_be_asked_again_is_under_the_same_key(
    sink: Sink, replies: list[Reply], outcome: type, pauses: list[float]
) -> None:
    sink.replies.extend(replies)
    found, waited = asked(sink, lambda api: api.post("/v1/messages", {"to": "+1"}))
    assert isinstance(found, outcome)
    assert waited == pauses
    assert len(sink.requests) == len(pauses) + 1
    assert len({request.headers["idempotency-key"] for request in sink.requests}) == 1


@pytest.mark.parametrize(
    ("status", "code", "exit_code"), [(500, "internal", 3), (503, "store_unavailable", 1), (422, "invalid_request", 1)]
)
def test_whether_it_may_have_been_done_is_in_the_exit_code(sink: Sink, status: int, code: str, exit_code: int) -> None:
    sink.reply = problem(status, code, Retry_After="99")
    assert ask(sink, "send", *TO, "--text", "Hello").exit_code == exit_code


def test_a_path_in_the_url_is_kept() -> None:
    with Sink(reply(message())) as sink:
        api = Api(f"{sink.url}/sms", KEY)
        api.get("/v1/messages/1")
        api.close()
        assert sink.requests[0].path == "/sms/v1/messages/1"


def test_proxies_are_for_servers_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Sink(reply(message())) as sink:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{sink.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{sink.port}")
        for local in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
            with pytest.raises(ConnectionRefusedError):
                connect(where(local), 5)
        with pytest.raises(OSError, match="Tunnel connection failed"):
            connect(where("http://columba.invalid"), 5)
        monkeypatch.setenv("NO_PROXY", "columba.invalid")
        monkeypatch.setenv("no_proxy", "columba.invalid")
        with pytest.raises(OSError, match=r"(?i)name|address"):
            connect(where("http://columba.invalid"), 5)


# messages


def test_a_list_is_asked_page_after_page_up_to_the_limit(sink: Sink) -> None:
    sink.replies.extend(
        [
            reply({"data": [message()] * 1000, "next_cursor": "c1"}),
            reply({"data": [message()] * 1000, "next_cursor": "c2"}),
            reply({"data": [message()] * 500, "next_cursor": "c3"}),
        ]
    )
    result = ask(sink, "messages", "--limit", "2500", "--status", "failed", "--to", "+447700900123", "--json")
    assert len(json.loads(result.stdout)) == 2500
    filters = "/v1/messages?status=failed&to=%2B447700900123"
    assert [request.path for request in sink.requests] == [
        f"{filters}&limit=1000",
        f"{filters}&limit=1000&cursor=c1",
        f"{filters}&limit=500&cursor=c2",
    ]


def test_a_list_is_lines_of_fields_for_programs(sink: Sink) -> None:
    sink.reply = reply({"data": [message(text="a\tb\nc")], "next_cursor": None})
    for arguments in ([], ["list"]):
        lines = ask(sink, "messages", *arguments).stdout.splitlines()
        assert lines[0].split("\t") == ["ID", "STATUS", "CREATED_AT", "FROM", "TO", "TEXT"]
        assert lines[1].split("\t") == [ID, "queued", "2026-01-31T09:30:00.000Z", "", "+447700900123", "a b c"]
        assert len(lines) == 2
    assert sink.requests[0].path == "/v1/messages?limit=20"


def test_show_tells_all_that_is_known(sink: Sink) -> None:
    sink.reply = reply(
        message(
            "undelivered",
            tags=["login"],
            metadata={"user": "42"},
            text="\x1b]0;owned\x07",
            error={"code": "filtered", "detail": "A spam filter.", "carrier_code": None},
            parts=[{"n": 1, "carrier": "sandbox", "carrier_message_id": "s1", "status": "undelivered", "error": None}],
            timeline=[{"status": "queued", "at": "2026-01-31T09:30:00.000Z"}, {"status": "sent", "at": "later"}],
        )
    )
    result = ask(sink, "messages", "show", ID)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    for said in ("undelivered", "login", '{"user": "42"}', "A spam filter. (filtered)", "carrier sandbox", "later"):
        assert said in result.stdout
    assert sink.requests[0].path == f"/v1/messages/{ID}"
    assert json.loads(ask(sink, "messages", "show", ID, "--json").stdout)["parts"][0]["n"] == 1
    assert ask(sink, "messages", "show", "../keys").exit_code == 2


# On a terminal, and under signals


def test_on_a_terminal_it_is_alive_and_coloured_unless_told_otherwise(sink: Sink) -> None:
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        sink.replies.extend([reply(message(), 202), reply(message("sent"))])
        sink.reply = reply(message("delivered"))
        code, shown = on_terminal("send", *TO, "--text", "Hello", "--wait", "--url", sink.url, COLUMBA_KEY=KEY, **env)
        assert code == 0
        assert ("\x1b[32mdelivered" in shown) is coloured
        assert (f"\r{ID}  sent" in shown) is ("TERM" not in env)
        assert "delivered" in shown.splitlines()[-1]


def test_a_table_fits_the_terminal(sink: Sink) -> None:
    sink.reply = reply({"data": [message("failed", text="日本語" * 40), message(text="x" * 300)], "next_cursor": None})
    _, shown = on_terminal("messages", "--url", sink.url, COLUMBA_KEY=KEY, NO_COLOR="1")
    lines = shown.splitlines()
    assert lines[0].split() == ["ID", "STATUS", "CREATED_AT", "FROM", "TO", "TEXT"]
    assert len(lines) == 3
    assert lines[2].endswith("x…")
    assert len(lines[2]) <= 120


def test_ctrl_c_ends_without_a_traceback(sink: Sink) -> None:
    sink.reply = Reply(delay=3600)
    with running("messages", "--url", sink.url, COLUMBA_KEY=KEY) as listing:
        sink.wait(1)
        assert listing.end(signal.SIGINT) == 130
    assert (listing.out, listing.err.strip()) == ("", "")


def test_ctrl_c_while_waiting_says_that_the_text_goes_on(sink: Sink) -> None:
    sink.replies.append(reply(message(), 202))
    sink.reply = Reply(delay=3600)
    with running("send", *TO, "--text", "Hello", "--wait", "--url", sink.url, COLUMBA_KEY=KEY) as sending:
        sink.wait(2)
        assert sending.end(signal.SIGINT) == 130
    assert f"columba messages show {ID}" in sending.err
    assert "Traceback" not in sending.err


def test_a_reader_that_leaves_is_no_trouble(sink: Sink) -> None:
    gone = threading.Event()
    page = reply({"data": [message(text="x" * 5_000)] * 100, "next_cursor": None})
    sink.reply = lambda _: page if gone.wait(20) else Reply(close=True)
    command = [str(PROGRAM), "messages", "--limit", "100", "--url", sink.url]
    env = environment(COLUMBA_KEY=KEY)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listing:
        assert listing.stdout
        assert listing.stderr
        listing.stdout.close()
        gone.set()
        assert listing.stderr.read() == ""
