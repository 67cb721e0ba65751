"""Each kind of carrier over HTTP against recorded exchanges: what it sends, what it makes of answers and callbacks.

The parts go through the real session and the real way out to a server that answers as the provider did.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from columba.carriers.over_http import Unsigned
from columba.core import ids
from columba.core.contract import Part, Web
from columba.http.egress import Egress, Policy
from tests.carriers import air, replay
from tests.carriers.air import Ground
from tests.carriers.replay import HOME, NOW, Case
from tests.carriers.signing import SIGN
from tests.program import Reply, Sink

STATUS = f"{HOME}/callbacks/{ids.show('car', 128)}/status"
LOOPBACK = Policy((ip_network("127.0.0.0/8"),))


@pytest.fixture(scope="module")
def provider() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(LOOPBACK)
    yield egress
    await egress.close()


@pytest.mark.parametrize("case", replay.cases("sends"))
async def test_a_part_and_its_answer(case: Case, provider: Sink, egress: Egress) -> None:
    sent = case.case
    provider.reply = replay.reply(sent["answer"]) if "answer" in sent else Reply(599)
    provider.requests.clear()
    given = dict(sent.get("part", {}))
    part: Part = air.part(**{**given, "media": tuple(given.get("media", ()))})
    ground = Ground()
    config = case.built(provider.url)
    carrier = air.carrier(config, case.kind)
    session = replay.kind_of(case).connect(
        carrier, 0, ground.air._replace(web=Web(egress.request, HOME), clock=lambda: NOW)
    )
    try:
        ground.send(session, part)
        await ground.until(lambda: ground.outcomes)
    finally:
        await session.close()
    assert replay.shown(ground.outcomes[1]) == sent["outcome"]
    if "answer" in sent:
        (request,) = provider.requests
        replay.check_request(request, sent.get("request", {}), STATUS)
    else:
        assert not provider.requests


@pytest.mark.parametrize("case", replay.cases("callbacks"))
def test_a_callback(case: Case) -> None:
    url = f"{HOME}/callbacks/car_x/{case.case['to']}"
    made = replay.signed(case, url)
    parse = replay.kind_of(case).parse
    assert parse is not None
    config = case.built()
    if case.case.get("refused"):
        with pytest.raises(Unsigned):
            parse(config, replay.callback(case, made))
        return
    if case.case.get("unreadable"):
        with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
            parse(config, replay.callback(case, made))
        return
    said = parse(config, replay.callback(case, made))
    assert [replay.receipt(each) for each in said.receipts] == case.case.get("receipts", [])
    assert [replay.text(each) for each in said.inbound] == case.case.get("inbound", [])
    assert said.strange.strip() == case.case.get("strange", "")
    if "reply" in case.case:
        reply = {"status": said.reply.status, "body": said.reply.body.decode(), "media_type": said.reply.media_type}
        assert {name: reply[name] for name in case.case["reply"]} == case.case["reply"]


@pytest.mark.parametrize("case", replay.cases("callbacks"))
def test_a_callback_that_isnt_the_providers(case: Case) -> None:
    """Without its signature; with another; of another body, where the signature is of the body."""
    if case.kind not in SIGN:
        pytest.skip("its file has these cases")
    parse = replay.kind_of(case).parse
    assert parse is not None
    config = case.built()
    made = replay.signed(case, f"{HOME}/callbacks/car_x/{case.case['to']}")
    bare = made._replace(headers={"Content-Type": made.headers["Content-Type"]}, body=replay.body_of(case.case)[0])
    forged = [
        bare._replace(url=bare.url.partition("?")[0]),
        *(
            made._replace(headers={**made.headers, name: f"{'0' if value[0] != '0' else '1'}{value[1:]}"})
            for name, value in made.headers.items()
            if name != "Content-Type"
        ),
    ]
    if case.kind in ("twilio", "telnyx", "smsgate", "vonage"):
        forged.append(made._replace(body=made.body.replace(b"e", b"a")))
    if case.kind == "infobip":
        forged.append(made._replace(url=made.url + "x"))
    for each in forged:
        if each == made:
            continue
        with pytest.raises((Unsigned, ValueError)) as raised:
            parse(config, replay.callback(case, each))
        assert isinstance(raised.value, Unsigned), each


@pytest.mark.parametrize("kind", replay.http_kinds())
def test_every_kind_has_its_exchanges(kind: str) -> None:
    assert replay.first(kind, "sends").case["outcome"]["kind"] == "sent"
    assert any(each.kind == kind and each.case.get("receipts") for each in replay.recorded("callbacks"))
    assert any(each.kind == kind and each.case.get("inbound") for each in replay.recorded("callbacks"))


@pytest.mark.parametrize("kind", replay.http_kinds())
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Reply(200, b"\xff\xfe not what it should be"), "unknown"),
        (Reply(200, b""), "unknown"),
        (Reply(200, b"[]"), "unknown"),
        (Reply(200, json.dumps({"messages": None, "sid": 7, "id": None, "data": []}).encode()), "unknown"),
        (Reply(500, b"<html>"), "retry"),
        (Reply(503, b"", {"Retry-After": "7"}), "retry"),
        (Reply(502, b"<html>"), "unknown"),
        (Reply(429, b""), "throttled"),
        (Reply(401, b""), "retry"),
        (Reply(302, b"", {"Location": "http://127.0.0.1/"}), "retry"),
        (Reply(404, b"nothing here"), "retry"),
        (Reply(400, b"[1"), "failed"),
        (Reply(200, b"x" * 100_000), "unknown"),
        (Reply(close=True), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status} {value.body[:12]!r}",
)
async def test_garbled_answers(kind: str, answer: Reply, outcome: str, provider: Sink, egress: Egress) -> None:
    """Whatever comes back, a text that may have been taken is not said to have failed, and the other way round."""
    provider.reply = answer
    case = replay.first(kind, "sends")
    ground = Ground()
    carrier = air.carrier(case.built(provider.url), kind)
    session = replay.kind_of(case).connect(carrier, 0, ground.air._replace(web=Web(egress.request, HOME)))
    try:
        ground.send(session, air.part())
        await ground.until(lambda: ground.outcomes)
    finally:
        await session.close()
    told: Any = ground.outcomes[1]
    assert told.kind == outcome
    if answer.status == 503:
        assert told.wait_ms == 7_000
    await asyncio.sleep(0)
