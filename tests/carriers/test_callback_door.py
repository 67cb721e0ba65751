"""The door of callbacks by itself: what it logs and remembers, and secrets in addresses."""

import base64
from typing import Any

import pytest
import structlog

from columba.carriers.over_http import Callback, Unsigned, check_secret
from columba.doors.callbacks import Callbacks, Nonces
from tests.carriers.air import carrier

AUTHORIZATION = [
    ("", False),
    ("Basic", False),
    ("Basic ?", False),
    ("Basic !!!notbase64", False),
    ("Basic " + base64.b64encode(b"\xff\xfe").decode(), False),
    ("Basic " + base64.b64encode(b"us:wrong").decode(), False),
    ("Bearer " + base64.b64encode(b"us:secret").decode(), False),
    ("Basic " + base64.b64encode(b"us:secret").decode(), True),
    ("basic " + base64.b64encode(b":secret").decode(), True),
]


def callback(query: str = "", headers: dict[str, str] | None = None) -> Callback:
    return Callback("status", "POST", (), query, headers or {}, b"", 0, lambda _: False)


@pytest.mark.parametrize(("authorization", "good"), AUTHORIZATION)
def test_a_secret_as_password(authorization: str, good: bool) -> None:
    made = callback(headers={"authorization": authorization})
    if good:
        check_secret(made, "secret")
    else:
        with pytest.raises(Unsigned):
            check_secret(made, "secret")


@pytest.mark.parametrize(("query", "good"), [("secret=secret", True), ("secret=secre", False), ("secret=", False)])
def test_a_secret_in_the_address(query: str, good: bool) -> None:
    if good:
        check_secret(callback(query), "secret")
    else:
        with pytest.raises(Unsigned):
            check_secret(callback(query), "secret")


@pytest.mark.parametrize("ours", [None, ""])
def test_an_unset_secret_is_no_secret(ours: str | None) -> None:
    with pytest.raises(Unsigned):
        check_secret(callback("secret="), ours)


def test_a_nonce_proves_one_body() -> None:
    nonces = Nonces(2)
    assert not nonces.used(1, "a", b"one")
    assert not nonces.used(1, "a", b"one"), "the same again, as providers send it"
    assert nonces.used(1, "a", b"two")
    assert not nonces.used(2, "a", b"two"), "another carrier's"
    assert not nonces.used(1, "b", b"one")
    assert not nonces.used(1, "a", b"two"), "forgotten: only so many are kept"


def test_nonsense_does_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("columba.doors.callbacks.time.monotonic", lambda: now[0])
    unused: Any = None
    door = Callbacks(unused, unused, unused, unused, unused)
    with structlog.testing.capture_logs() as lines:
        for _ in range(50):
            door._warn(carrier(None, "twilio"), "callback.refused", "status", why="x")
        now[0] += 1
        door._warn(carrier(None, "twilio"), "callback.refused", "status", why="x")
    assert [line["untold"] for line in lines] == [0, 49]
