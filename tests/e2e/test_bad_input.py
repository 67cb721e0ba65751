"""Bad input: whatever comes, a problem that names each field, and nothing half done."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.talk import Json, everything, get, number, refused
from tests.program import Answer, Program

TO = "+447700900123"


@pytest.fixture(autouse=True)
def _nothing_half_done(columba: Program) -> Iterator[None]:
    """Whatever was refused left nothing behind."""
    paths = ("/v1/messages", "/v1/events", "/v1/webhooks", "/v1/keys")
    before = [everything(columba, path) for path in paths]
    yield
    assert [everything(columba, path) for path in paths] == before
    assert columba.request("GET", "/readyz", key="").status == 200


def post(columba: Program, body: Any, path: str = "/v1/messages") -> Answer:
    """Bytes as they are, all else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return columba.request("POST", path, headers={"Content-Type": "application/json"}, body=raw)


PATHS = [
    "/v1/messages",
    "/v1/messages/batch",
    "/v1/webhooks",
    "/v1/keys",
    "/v1/messages/preview",
    "/v1/sandbox/inbound",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b'{"to": "+447700900123", "text": "x"', b"to=x", b"\xff\xfe{}", b'{"text": "\xff"}',
        b'{"text": "\xed\xa0\x80"}', b'{"text": NaN}', b'{"valid_for": Infinity}', b"{'to': 'x'}", b'{"a": 1,}', b"{}{}",
        b'{"text": "\x01"}', b"\xef\xbb\xbf{}", b"[" * 5_000,
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_what_is_not_json_is_said_to_be_none(columba: Program, path: str, body: bytes) -> None:
    answer = post(columba, body, path)
    if answer.status == 422:  # nested too deep to be looked at
        assert body.startswith(b"[[[")
        refused(answer, 422, "invalid_request", "body")
    else:
        refused(answer, 400, "invalid_json")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [[], "x", 7, None, True, [{"to": TO, "text": "x"}]], ids=repr)
def test_json_that_is_no_object_is_refused(columba: Program, path: str, body: Any) -> None:
    refused(post(columba, body, path), 422, "invalid_request", "body")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        # Types
        ({"to": 447700900123}, {"to"}),
        ({"to": None}, {"to"}),
        ({"to": ["+447700900123"]}, {"to"}),
        ({"text": 7}, {"text"}),
        ({"text": ["x"]}, {"text"}),
        ({"from": 12345}, {"from"}),
        ({"class": "OTP"}, {"class"}),
        ({"class": None}, {"class"}),
        ({"media": "https://example.org/a.png"}, {"media"}),
        ({"media": [None]}, {"media[0]"}),
        ({"tags": "login"}, {"tags"}),
        ({"tags": ["ok", 7, ""]}, {"tags[1]", "tags[2]"}),
        ({"metadata": []}, {"metadata"}),
        ({"metadata": {"a": {"b": 1}}}, {"metadata.a"}),
        ({"smart_encoding": "true"}, {"smart_encoding"}),
        ({"callback_url": 7}, {"callback_url"}),
        # Numbers that can't be
        ({"to": "12"}, {"to"}),
        ({"to": ""}, {"to"}),
        ({"to": "+"}, {"to"}),
        ({"to": "+999123456789"}, {"to"}),
        ({"to": "+4477009001234567890"}, {"to"}),
        ({"to": "+44770090012é"}, {"to"}),
        ({"to": "+447700900123\0"}, {"to"}),
        ({"to": "x" * 10_000}, {"to"}),
        # Senders
        ({"from": "a name that is too long"}, {"from"}),
        ({"from": ""}, {"from"}),
        ({"from": "1"}, {"from"}),
        ({"from": "<script>"}, {"from"}),
        ({"from": "+12"}, {"from"}),
        ({"from": "a\0b"}, {"from"}),
        # Texts
        ({"text": "a\0b"}, {"text"}),
        ({"text": "\ud83d"}, {"text"}),
        ({"text": "a\udc00b"}, {"text"}),
        ({"text": "x" * 1531}, {"text"}),
        ({"text": "x" * 100_000}, {"text"}),
        ({"tags": ["\0"]}, {"tags[0]"}),
        ({"tags": ["\ud800"]}, {"tags[0]"}),
        ({"metadata": {"a": "\0"}}, {"metadata.a"}),
        ({"metadata": {"a": "\ud800"}}, {"metadata.a"}),
        # Bounds
        ({"valid_for": 0}, {"valid_for"}),
        ({"valid_for": -5}, {"valid_for"}),
        ({"valid_for": 1.5}, {"valid_for"}),
        ({"valid_for": 10**9}, {"valid_for"}),
        ({"valid_for": 10**30}, {"valid_for"}),
        ({"valid_for": "600"}, {"valid_for"}),
        ({"tags": ["t"] * 21}, {"tags"}),
        ({"tags": ["t" * 65]}, {"tags[0]"}),
        ({"media": ["https://example.org/a.png"] * 11}, {"media"}),
        ({"metadata": {str(n): n for n in range(51)}}, {"metadata"}),
        ({"metadata": {"a": 10**30}}, {"metadata.a"}),
        # Times
        ({"send_at": "2020-01-01T00:00:00Z"}, {"send_at"}),
        ({"send_at": "2099-01-01T00:00:00Z"}, {"send_at"}),
        ({"send_at": "2026-12-31"}, {"send_at"}),
        ({"send_at": "2026-12-31T00:00:00"}, {"send_at"}),
        ({"send_at": "2026-02-30T00:00:00Z"}, {"send_at"}),
        ({"send_at": "tomorrow"}, {"send_at"}),
        ({"send_at": 1_795_150_770}, {"send_at"}),
        ({"send_at": "0001-01-01T00:00:00+14:00"}, {"send_at"}),
        # URLs
        ({"callback_url": "ftp://example.org"}, {"callback_url"}),
        ({"callback_url": "//example.org"}, {"callback_url"}),
        ({"callback_url": "http://10.1.2.3/"}, {"callback_url"}),
        ({"callback_url": "http://"}, {"callback_url"}),
        ({"media": ["file:///etc/passwd"]}, {"media[0]"}),
        # All at once
        ({"to": "12", "text": "\0", "class": 1, "more": 2}, {"to", "text", "class", "more"}),
    ],
    ids=lambda value: repr(sorted(value) if isinstance(value, set) else value)[:40],
)
def test_each_bad_field_of_a_message_is_named_and_no_other(columba: Program, fields: Json, named: set[str]) -> None:
    body = {"to": TO, "text": "Hello"} | fields
    problem = refused(post(columba, body), 422, "invalid_request", *named)
    assert len(problem["errors"]) >= len(named)
    answer = post(columba, {"messages": [body, body]}, "/v1/messages/batch")
    assert answer.status == 202, answer
    assert (answer.json["accepted"], answer.json["refused"]) == (0, 2)
    answer = post(columba, {"defaults": {"text": "Hello"}, "messages": [{"to": TO} | fields]}, "/v1/messages/batch")
    assert answer.json["refused"] == 1
    error = answer.json["data"][0]["error"]
    assert {each["field"] for each in error.get("errors", [])} in (set(), named)


def test_a_name_that_is_given_twice_is_refused(columba: Program) -> None:
    refused(post(columba, b'{"to": "+447700900123", "text": "a", "text": "b"}'), 422, "invalid_request", "text")


def test_a_lone_surrogate_written_as_an_escape_is_refused_and_a_pair_is_not(columba: Program) -> None:
    for escape in ("\\ud83d", "\\udc26", "\\udc26\\ud83d", "\\ud83d x"):
        refused(post(columba, f'{{"to": "{TO}", "text": "{escape}"}}'.encode()), 422, "invalid_request", "text")
    pair = post(columba, f'{{"text": "\\ud83d\\udc26"}}'.encode(), "/v1/messages/preview")  # noqa: F541
    assert (pair.status, pair.json["text"]) == (200, "🐦")


@pytest.mark.parametrize("size", [300_000, 1_100_000, 10_000_000, 17_000_000])
@pytest.mark.parametrize("path", PATHS)
def test_a_large_body_is_refused_while_it_comes(columba: Program, path: str, size: int) -> None:
    """By its length where it tells that, and by its bytes where it doesn't."""
    limit = 16 * 1024 * 1024 if path.endswith("batch") else 256 * 1024 if path == "/v1/messages" else 1024 * 1024
    text = b"x" * (size - 30)
    whole = b'{"nothing": "' + text + b'"}'
    answer = post(columba, whole, path)
    chunked = _chunked(columba, path, whole)
    for each in (answer, chunked):
        if size > limit:
            refused(each, 413, "payload_too_large")
        else:
            assert each.status == 422, each


def _chunked(columba: Program, path: str, body: bytes) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", columba.port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {columba.test_key}", "Content-Type": "application/json"}
        chunks = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
        connection.request("POST", path, chunks, headers, encode_chunked=True)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, json.loads(response.read()))
    finally:
        connection.close()


DEEP = b'{"a": ' * 3_000 + b"1" + b"}" * 3_000
MESSAGE = b'{"to": "+447700900123", "text": "x", '


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata": {"a": [[[[[[]]]]]]}}',
        DEEP,
        MESSAGE + b'"metadata": ' + DEEP + b"}",
        MESSAGE + b'"metadata": {"' + b"a" * 5_000 + b'": 1}}',
        MESSAGE + b",".join(b'"unknown%d": 1' % n for n in range(5_000)) + b"}",
        MESSAGE + b'"metadata": {' + b",".join(b'"a%d": []' % n for n in range(5_000)) + b"}}",
        MESSAGE + b'"valid_for": ' + b"9" * 200_000 + b"}",
        b'{"text": "' + b'\\"' * 100_000 + b'"}',
        b'{"text": "' + b"\\" * 100_001,
    ],
    ids=lambda body: repr(body[:60]),
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/batch", "/v1/webhooks"])
def test_deep_and_strange_shapes_are_read_in_no_time(columba: Program, path: str, body: bytes) -> None:
    began = columba.worked
    assert post(columba, body, path).status in (400, 422)
    assert columba.worked - began < 2


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/events", "/v1/webhooks", "/v1/deliveries", "/v1/keys"])
@pytest.mark.parametrize(
    "query",
    [
        "%FF=1", "limit=%FF", "a=b" * 300, "limit=" + "9" * 5_000, "cursor=" + "A" * 600, "&" * 1_000 + "x=1",
        "limit=%D9%A1", "limit=1e3", "limit=+5", "limit=%00", "[]=1", "cursor=WzEsMiwzXQ", "cursor=W10",
        "cursor=WzEuNV0", "cursor=Wy0xXQ%3D%3D", "cursor=WzkyMjMzNzIwMzY4NTQ3NzU4MDhd",
    ],
    ids=lambda query: query[:20],
)  # fmt: skip
def test_a_strange_query_is_refused_and_never_an_error_of_ours(columba: Program, path: str, query: str) -> None:
    answer = columba.request("GET", f"{path}?{query}")
    assert answer.status in (200, 422), answer
    if answer.status == 422:
        assert answer.json["code"] == "invalid_request"


@pytest.mark.parametrize("limit", ["0x10", "１"])
def test_a_number_is_written_in_plain_digits(columba: Program, limit: str) -> None:
    refused(columba.request("GET", f"/v1/messages?limit={_quoted(limit)}"), 422, "invalid_request", "limit")


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def test_ten_thousand_and_one_are_refused_before_anything_is_kept(columba: Program) -> None:
    rows = [{"to": number(), "text": "x"} for _ in range(10_001)]
    refused(post(columba, {"messages": rows}, "/v1/messages/batch"), 422, "invalid_request", "messages")
    assert get(columba, f"/v1/messages?to=%2B{rows[0]['to'][1:]}")["data"] == []
