"""A message is answered alike whether its request comes whole, which is served past ASGI, or in many pieces."""

import json
import re
import socket
import time
from typing import Any

import pytest

from tests.e2e.talk import in_days, number
from tests.program import PATIENCE, Program

JSON = "application/json"
# Drawn anew for each request, or the moment it came.
DRAWN = re.compile(rb"msg_\w+|req_\w+|\d{4}-\d\d-\d\dT[\d:.]+Z")


def raw(columba: Program, body: bytes, *, pieces: int, kind: str = JSON, key: str | None = None, **more: str) -> bytes:
    """What is answered, without what is drawn."""
    headers = {"Host": "x", "Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    if key != "":
        headers["Authorization"] = f"Bearer {columba.test_key if key is None else key}"
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    data = f"POST /v1/messages HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body
    size = -(-len(data) // pieces)
    with socket.create_connection(("127.0.0.1", columba.port), PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), size):
            if at:
                time.sleep(0.01)
            connection.sendall(data[at : at + size])
        said = b""
        while got := connection.recv(65_536):
            said += got
    return DRAWN.sub(b"<drawn>", said)


def heard(said: bytes) -> tuple[bytes, list[bytes], Any]:
    """The status line, the headers but for the length, the body."""
    head, _, body = said.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = sorted(line.lower() for line in lines if not line.lower().startswith(b"content-length"))
    return status, headers, json.loads(body)


def text(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("status", "body", "more"),
    [
        (202, text({"to": "{to}", "text": "Hello"}), {}),
        (202, text({"to": "{to}", "text": "Grüße 😀 \t\n", "tags": ["a"], "metadata": {"a": "b"}}), {}),
        (202, text({"to": "{to}", "text": "Hello", "send_at": "{soon}"}), {}),
        (202, text({"to": "{to}", "text": "Hello"}), {"X_Request_Id": "mine-1"}),
        (202, text({"to": "{to}", "text": "Hello"}), {"kind": f"{JSON}; charset=utf-8"}),
        (202, text({"to": "{to}", "text": "Hello", "callback_url": "https://example.org/x"}), {}),
        (202, b'{"to": "{to}", "text": "Hello", "\\u0063allback_url": "https://example.org/x"}', {}),
        (202, b'{"to": "{to}", "text": "Hello", "callback\\u005furl": "https://example.org/x"}', {}),
        (202, text({"to": "{to}", "text": "Hello"}), {"Idempotency_Key": "{once}"}),
        (400, b"{", {}),
        (400, b"", {}),
        (422, b'{"to": "{to}", "to": "{to}", "text": "Hello"}', {}),
        (422, b'{"to": "{to}", "text": "\\ud800"}', {}),
        (401, text({"to": "{to}", "text": "Hello"}), {"key": ""}),
        (401, text({"to": "{to}", "text": "Hello"}), {"key": "ck_test_nobody"}),
        (413, text({"to": "{to}", "text": "x" * 262_144}), {}),
        (415, text({"to": "{to}", "text": "Hello"}), {"kind": "text/plain"}),
        (415, text({"to": "{to}", "text": "Hello"}), {"Content_Encoding": "gzip"}),
        (422, text({"to": "123", "text": "", "class": "loud", "nonsense": 1}), {}),
        (422, text({"to": "{to}", "text": "Hello\\u0000"}).replace(b"\\\\", b"\\"), {}),
        (422, text({"to": "{to}", "template": "nobody", "params": {}}), {}),
        (422, text({"to": "{to}", "text": "Hello", "media": ["nonsense"]}), {}),
        (422, text({"to": "{to}", "text": "Hello"}), {"Idempotency_Key": "with space"}),
    ],
)
def test_a_message_is_answered_alike(columba: Program, status: int, body: bytes, more: dict[str, str]) -> None:
    to = number()
    answers = []
    for pieces in (1, 2, 5):
        asked = {name: value.replace("{once}", f"once-{to}-{pieces}") for name, value in more.items()}
        filled = body.replace(b"{to}", to.encode()).replace(b"{soon}", in_days(1).encode())
        answers.append(heard(raw(columba, filled, pieces=pieces, **asked)))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0].split()[1] == str(status).encode(), answers[0]


def test_the_budget_is_told_alike(columba: Program) -> None:
    asked = {"name": "slow", "rate_limit": 2}
    key = columba.request("POST", "/v1/keys", asked, key=columba.live_key).json
    assert key["rate_limit"] == 2, key
    body = text({"to": number(), "text": "Hello"})
    said = [heard(raw(columba, body, pieces=pieces, key=key["secret"])) for pieces in (1, 1, 1, 5)]
    assert {each[0] for each in said[2:]} == {b"HTTP/1.1 429 Too Many Requests"}
    for _, headers, _ in said:
        assert [line.partition(b":")[0] for line in headers if line.startswith(b"ratelimit")] == [
            b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset",
        ]  # fmt: skip
