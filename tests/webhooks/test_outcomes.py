"""What answers mean: when to come back, what to do about an error, when an endpoint is only asked now and then."""

from itertools import pairwise

import pytest

from columba.core.circuit import OPEN_FIRST_S, OPEN_MOST_S, Circuit
from columba.http.egress import Answer, EgressError
from columba.webhooks.outcomes import _KINDS, _STATUSES, answered, explain, retry_after, unanswered

NOW = 1_445_412_480_000  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("٣", None), ("1 2", None)),
        *(("0", 0), ("120", 120), (" 30 ", 30), ("9" * 400, 999_999_999)),
        ("Wed, 21 Oct 2015 07:29:00 GMT", 60),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0),
        ("Wed, 99 Oct 2015 07:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "ok", "gone", "slow"),
    [
        *((200, True, False, False), (204, True, False, False), (299, True, False, False)),
        *((300, False, False, False), (304, False, False, False), (400, False, False, False)),
        *((410, False, True, False), (429, False, False, True), (500, False, False, False)),
    ],
)
def test_only_2xx_is_a_success(status: int, ok: bool, gone: bool, slow: bool) -> None:
    attempt = answered(NOW, "http://x", Answer(status, (), b"", False, 0.012))
    assert (attempt.error is None, attempt.gone, attempt.slow, attempt.latency_ms) == (ok, gone, slow, 12)


def test_where_a_redirect_led_is_told_but_only_what_can_be_printed() -> None:
    location = b"https://example.org/\x1b[31m" + b"x" * 9_000
    attempt = answered(NOW, "http://x", Answer(301, ((b"Location", location),), b"", False, 0.0))
    assert attempt.error is not None
    assert "https://example.org/[31mxxx" in attempt.error
    assert "\x1b" not in attempt.error
    assert len(attempt.error) < 600


def test_our_own_lack_of_room_is_not_held_against_the_endpoint() -> None:
    assert not unanswered(NOW, "http://x", EgressError("busy", "No connection was free in time."), 1.0).counts
    assert unanswered(NOW, "http://x", EgressError("timeout", "It took too long."), 1.0)[6:] == (None, True, True)


def test_every_error_comes_with_advice() -> None:
    for kind in EgressError.__init__.__annotations__["kind"].__args__:
        code, detail = explain(f"{kind}: What happened.")
        assert code == kind
        assert detail.startswith("What happened. ")
        assert len(detail) > 30
    assert "busy" in _KINDS
    for status in (*_STATUSES, 301, 418, 507):
        assert len(explain(f"http_{status}: The server answered {status}.").detail) > 35


def test_a_circuit_opens_when_most_attempts_fail() -> None:
    circuit = Circuit()
    assert [circuit.note(False) for _ in range(10)] == [False] * 9 + [True]
    assert circuit.open_for == OPEN_FIRST_S
    mixed = Circuit()
    assert not any(mixed.note(n % 2 == 0) for n in range(1_000))
    mostly = Circuit()
    assert any(mostly.note(n % 5 == 0) for n in range(100))


def test_a_circuit_asks_less_and_less_often_and_closes_at_once() -> None:
    circuit = Circuit(OPEN_FIRST_S)
    waits = []
    for _ in range(8):
        circuit.probed(False)
        waits.append(circuit.open_for)
    assert all(a <= b for a, b in pairwise(waits))
    assert waits[-1] == OPEN_MOST_S
    circuit.probed(True)
    assert circuit.open_for == 0
    assert [circuit.note(False) for _ in range(10)] == [False] * 9 + [True]
