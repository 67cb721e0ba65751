"""The session that all kinds over HTTP share: the window, what went wrong on the way, rests and trials."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from columba.carriers import http_session
from columba.carriers.http_session import HttpSession
from columba.carriers.over_http import Heart, Request, Unsendable, Way
from columba.core.contract import Outcome, Part, Web
from columba.http.egress import Answer, EgressError
from tests.carriers import air
from tests.carriers.air import Ground


class Config:
    timeout = 1.0
    elsewhere = True


class Provider:
    """Answers by hand: `reply` is a status, an EgressError, or what gives one for a text."""

    def __init__(self) -> None:
        self.reply: Any = 200
        self.asked: list[str] = []
        self.hold: asyncio.Event | None = None
        self.at_once = self.most = 0

    async def request(self, method: str, url: str, *, body: bytes = b"", **_: Any) -> Answer:
        self.asked.append(body.decode())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
            reply = self.reply(body.decode()) if callable(self.reply) else self.reply
            if isinstance(reply, EgressError):
                raise reply
            return Answer(reply, ((b"Retry-After", b"2"),) if reply in (429, 503) else (), b"", False, 0.0)
        finally:
            self.at_once -= 1


def request(_config: Any, part: Part, _way: Way) -> Request:
    if part.text == "unsendable":
        raise Unsendable("not this")
    if part.text == "broken":
        raise RuntimeError("a mistake in the kind")
    return Request("POST", "http://example.com", {}, part.text.encode())


def answer(_config: Any, _part: Part, answer: Answer) -> Outcome:
    if answer.status == 200:
        return Outcome("sent", "1")
    if answer.status == 201:
        raise KeyError("id")
    from columba.carriers.over_http import by_status

    return by_status(answer.status)


HEART = Heart(request, answer, lambda _config: Request("GET", "http://example.com", {}))
Open = Callable[..., HttpSession]


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def begin(ground: Ground, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setattr(http_session, "REST_S", 0.02)
    monkeypatch.setattr(http_session, "MOST_REST_S", 0.05)

    def begin(**more: Any) -> HttpSession:
        web = Web(provider.request, "https://columba.example")
        return HttpSession(HEART, air.carrier(Config()), ground.air._replace(web=web, **more))

    return begin


def parts(*texts: str) -> list[Part]:
    return [air.part(text, message_id=n) for n, text in enumerate(texts, 1)]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (200, Outcome("sent", "1")),
        (201, Outcome("unknown", None, "no_answer", "HTTP 201")),
        (429, Outcome("throttled", None, "throttled", "HTTP 429", wait_ms=2_000)),
        (503, Outcome("retry", None, "carrier_failed", "HTTP 503", wait_ms=2_000)),
        (504, Outcome("unknown", None, "no_answer", "HTTP 504")),
        (403, Outcome("retry", None, "carrier_unavailable", "HTTP 403")),
        (EgressError("timeout", "", sent=True), Outcome("unknown", None, "no_answer", "timeout")),
        (EgressError("disconnected", "", sent=True), Outcome("unknown", None, "no_answer", "disconnected")),
        (EgressError("connect", ""), Outcome("retry", None, "carrier_failed", "connect")),
        (EgressError("dns", ""), Outcome("retry", None, "carrier_failed", "dns")),
        (EgressError("busy", ""), Outcome("unsent")),
        (EgressError("forbidden_address", ""), Outcome("retry", None, "carrier_unavailable", "forbidden_address")),
    ],
    ids=str,
)
async def test_what_becomes_of_a_part(
    begin: Open, ground: Ground, provider: Provider, reply: Any, outcome: Outcome
) -> None:
    session = begin()
    provider.reply = reply
    ground.send(session, *parts("hello"))
    await ground.until(lambda: ground.outcomes)
    assert ground.outcomes[1] == outcome
    await session.close()


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("unsendable", Outcome("failed", None, "rejected", "not this")),
        ("broken", Outcome("unknown", None, "carrier_failed", "RuntimeError")),
    ],
)
async def test_what_can_not_be_asked(
    begin: Open, ground: Ground, provider: Provider, text: str, outcome: Outcome
) -> None:
    session = begin()
    ground.send(session, *parts(text))
    await ground.until(lambda: ground.outcomes)
    assert ground.outcomes[1] == outcome
    assert not provider.asked
    await session.close()


async def test_parts_go_at_once(begin: Open, ground: Ground, provider: Provider) -> None:
    session = begin()
    provider.hold = asyncio.Event()
    ground.send(session, *parts(*"abcdefgh"))
    await ground.until(lambda: provider.at_once == 8)
    provider.hold.set()
    await ground.until(lambda: len(ground.outcomes) == 8)
    await session.close()


async def test_after_failures_in_a_row_one_goes_alone(begin: Open, ground: Ground, provider: Provider) -> None:
    session = begin()
    provider.reply = 500
    ground.send(session, *parts("a", "b", "c", "d"))
    await ground.until(lambda: len(ground.outcomes) == 4)
    assert ground.up
    ground.outcomes.clear()
    ground.send(session, *parts("e"))
    await ground.until(lambda: not ground.up)
    assert ground.why == "carrier_failed: HTTP 500"
    ground.outcomes.clear()
    ground.send(session, *parts("f", "g"))  # as it is down
    assert ground.outcomes == {1: Outcome("unsent"), 2: Outcome("unsent")}
    await ground.until(lambda: ground.up)
    assert ground.why.startswith("On trial again")

    ground.outcomes.clear()
    provider.asked.clear()
    ground.send(session, *parts("h", "i", "j"))
    await ground.until(lambda: len(ground.outcomes) == 3)
    assert provider.asked == ["h"]
    assert [ground.outcomes[n].kind for n in (1, 2, 3)] == ["retry", "unsent", "unsent"]
    await ground.until(lambda: ground.up)

    ground.outcomes.clear()
    provider.reply = 200
    ground.send(session, *parts("k", "l"))
    ground.send(session, air.part("m", message_id=3))
    await ground.until(lambda: len(ground.outcomes) == 3)
    assert {each.kind for each in ground.outcomes.values()} == {"sent"}
    assert ground.states[-1] == (True, "")
    await session.close()


async def test_an_account_in_trouble_gets_a_rest_at_once(begin: Open, ground: Ground, provider: Provider) -> None:
    session = begin()
    provider.reply = 401
    ground.send(session, *parts("a"))
    await ground.until(lambda: not ground.up)
    assert ground.why == "carrier_unavailable: HTTP 401"
    await session.close()


async def test_messages_that_are_refused_are_no_trouble(begin: Open, ground: Ground, provider: Provider) -> None:
    session = begin()
    provider.reply = 400
    ground.send(session, *parts(*"abcdefghij"))
    await ground.until(lambda: len(ground.outcomes) == 10)
    assert ground.up
    provider.reply = lambda text: 500 if text in "acegi" else 200
    ground.outcomes.clear()
    ground.send(session, *parts(*"abcdefghij"))
    await ground.until(lambda: len(ground.outcomes) == 10)
    assert ground.up  # never so many in a row
    await session.close()


async def test_closing_ends_what_is_on_its_way(begin: Open, ground: Ground, provider: Provider) -> None:
    session = begin()
    provider.hold = asyncio.Event()
    ground.send(session, *parts("a", "b"))
    await ground.until(lambda: provider.at_once == 2)
    await session.close()
    assert {each.kind for each in ground.outcomes.values()} == {"unknown"}
    ground.outcomes.clear()
    ground.send(session, *parts("c"))
    assert ground.outcomes == {1: Outcome("unsent")}


@pytest.mark.parametrize(
    ("reply", "up", "why"),
    [
        (200, True, "takes the credentials"),
        (401, False, "refuses the credentials"),
        (404, True, "not as the provider's"),
        (500, False, "in trouble"),
        (EgressError("connect", "The server can't be connected to: connection refused."), False, "connection refused"),
    ],
    ids=str,
)
async def test_trying_out(begin: Open, ground: Ground, provider: Provider, reply: Any, up: bool, why: str) -> None:
    provider.reply = reply
    session = begin(trial=True)
    await ground.until(lambda: ground.states)
    assert ground.up is up
    assert why in ground.why
    await session.close()


async def test_where_callbacks_come_in(ground: Ground) -> None:
    """At the public address; at the local one, if the carrier is aimed at a server of one's own; else nowhere."""
    seen: list[str] = []

    def note(_config: Any, _part: Part, way: Way) -> Request:
        seen.append(way.callback("status"))
        raise Unsendable("noted")

    async def nobody(*_: Any, **__: Any) -> Answer:
        raise AssertionError

    for outside, elsewhere in (("https://out", False), ("https://out", True), ("", True), ("", False)):
        config = Config()
        config.elsewhere = elsewhere
        heart = HEART._replace(request=note)
        web = Web(nobody, outside, "http://127.0.0.1:8080")
        session = HttpSession(heart, air.carrier(config), ground.air._replace(web=web))
        ground.outcomes.clear()
        ground.send(session, air.part())
        await ground.until(lambda: ground.outcomes)
        await session.close()
    an_id = "car_0000000000040"
    assert seen == [
        f"https://out/callbacks/{an_id}/status",
        f"https://out/callbacks/{an_id}/status",
        f"http://127.0.0.1:8080/callbacks/{an_id}/status",
        "",
    ]
