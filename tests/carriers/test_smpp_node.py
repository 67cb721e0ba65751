"""Our client and the SMSC of the npm package smpp: two readings of the same specification."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from columba.text import Header, plan
from tests import peers
from tests.carriers.air import Ground, part
from tests.carriers.conftest import Start
from tests.peers.node import NodeSmsc, node_smsc

TEXTS = {
    "GSM": "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ÄÖÑÜ§¿äöñüà^{}\\[~]|€",
    "long GSM": "Zwölf Boxkämpfer jagen {Eva} quer über den Sylter Deich für 99 €. " * 9,
    "Cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "long Unicode": "色は匂へど 散りぬるを 我が世誰ぞ 常ならむ 🕊️ 👩‍👩‍👧‍👦 الحمام " * 6,
}


@pytest.fixture
async def flags() -> tuple[str, ...]:
    return ()


@pytest.fixture
async def node(flags: tuple[str, ...]) -> AsyncIterator[NodeSmsc]:
    try:
        async with node_smsc(*flags) as smsc:
            yield smsc
    except peers.Missing as why:
        peers.do_without("the SMSC of npm's smpp", why)


async def test_bind_and_unbind(node: NodeSmsc, ground: Ground, start: Start) -> None:
    session = start(node.port, system_id="columba", password="secret")
    bind = (await node.heard("bind"))[0]
    assert (bind["kind"], bind["system_id"]) == ("bind_transceiver", "columba")
    await ground.until(lambda: ground.up)
    await session.close()
    await node.heard("unbind")
    await node.heard("close")


async def test_a_wrong_password(node: NodeSmsc, ground: Ground, start: Start) -> None:
    start(node.port, password="wrong")
    await ground.until(lambda: bool(ground.states))
    assert "ESME_RINVPASWD" in ground.why


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("long", ["udh8", "udh16", "sar", "payload"])
async def test_texts_to_people(node: NodeSmsc, ground: Ground, start: Start, name: str, long: str) -> None:
    text = TEXTS[name]
    session = start(node.port, long=long)
    await ground.until(lambda: ground.up)
    planned = plan(text, wide=long == "udh16")
    texts = [text] if long == "payload" else planned.parts
    encoding = ("gsm7", "ucs2").index(planned.encoding)
    ground.send(
        session,
        *(part(each, message_id=n, n=n, of=len(texts), encoding=encoding) for n, each in enumerate(texts, 1)),
    )
    came = await node.heard("submit", len(texts))
    assert "".join(each["text"] for each in came) == text
    assert {(each["from"], each["to"]) for each in came} == {("12025550100", "447700900123")}
    for n, each in enumerate(came, 1):
        if len(texts) > 1:
            place = {
                "udh8": f"000334{len(texts):02x}{n:02x}",
                "udh16": f"08041234{len(texts):02x}{n:02x}",
                "sar": [0x1234, len(texts), n],
            }[long]
            assert (each["sar"] if long == "sar" else each["udh"][0]) == place
    await ground.until(lambda: len(ground.outcomes) == len(texts))
    assert [ground.outcomes[n].id for n in range(1, len(texts) + 1)] == [each["id"] for each in came]


@pytest.mark.parametrize("name", TEXTS)
async def test_texts_from_people(node: NodeSmsc, ground: Ground, start: Start, name: str) -> None:
    text = TEXTS[name]
    start(node.port)
    await ground.until(lambda: ground.up)
    planned = plan(text)
    parts: list[dict[str, Any]] = []
    for n, each in enumerate(planned.parts, 1):
        header = Header(planned.header(n, 77).concat).build().hex() if planned.segments > 1 else None
        parts.append({"text": each, "udh": header, "coding": 0 if planned.encoding == "gsm7" else 8})
    await node.do("text", to="12345", **{"from": "447700900123"}, parts=parts)
    await node.heard("taken", len(parts))
    assert [each["status"] for each in node.of("taken")] == [0] * len(parts)
    assert "".join(each.text for each in ground.texts) == text
    assert {(each.sender, each.to) for each in ground.texts} == {("+447700900123", "12345")}
    if planned.segments > 1:
        assert [each.fragment[:3] for each in ground.texts if each.fragment] == [
            ("n77", n, planned.segments) for n in range(1, planned.segments + 1)
        ]


@pytest.mark.parametrize("text", ["hello", "@home_alone", "Grüße", "20 £", "[list]", "naïve ê", "Ж"])
async def test_texts_with_the_data_coding_that_the_package_itself_chooses(
    node: NodeSmsc, ground: Ground, start: Start, text: str
) -> None:
    """It writes GSM septets and says that they are IA5."""
    start(node.port)
    await ground.until(lambda: ground.up)
    await node.do("text", to="12345", **{"from": "447700900123"}, parts=[{"text": text}])
    await node.heard("taken")
    assert ground.texts[0].text == text


@pytest.mark.parametrize(
    ("flags", "style"), [((), "text"), ((), "tlv"), (("--hex",), "text"), (("--hex",), "tlv"), (("--hex",), "decimal")]
)
@pytest.mark.parametrize("state", ["DELIVRD", "UNDELIV", "EXPIRED"])
async def test_receipts(
    node: NodeSmsc, ground: Ground, start: Start, flags: tuple[str, ...], style: str, state: str
) -> None:
    session = start(node.port)
    await ground.until(lambda: ground.up)
    ground.send(session, *(part(f"n={n}", message_id=n) for n in range(50)))
    await ground.until(lambda: len(ground.outcomes) == 50)
    await node.do("receipts", style=style, state=state)
    await node.heard("taken", 50)
    keys = [outcome.match or outcome.id for outcome in ground.outcomes.values()]
    assert [each.carrier_message_id for each in ground.receipts] == keys
    assert {each.status for each in ground.receipts} == {{"DELIVRD": 50, "UNDELIV": 51, "EXPIRED": 53}[state]}


async def test_a_connection_that_breaks_in_the_middle(node: NodeSmsc, ground: Ground, start: Start) -> None:
    session = start(node.port, window=10)
    await ground.until(lambda: ground.up)
    ground.send(session, *(part(f"n={n}", message_id=n) for n in range(2_000)))
    await node.until(lambda: len(node.of("submit")) > 200)
    await node.do("cut")
    await ground.until(lambda: len(ground.outcomes) == 2_000)
    kinds = [outcome.kind for outcome in ground.outcomes.values()]
    submitted = {each["text"] for each in node.of("submit")}
    unsent = [n for n, outcome in ground.outcomes.items() if outcome.kind == "unsent"]
    assert not {f"n={n}" for n in unsent} & submitted  # what did not leave did not arrive
    assert kinds.count("unknown") <= 10  # the window, at most
    assert {f"n={n}" for n, outcome in ground.outcomes.items() if outcome.kind == "sent"} <= submitted
    await ground.until(lambda: ground.up)
    ground.outcomes.clear()
    ground.send(session, *(part(f"n={n}", message_id=n) for n in unsent))
    await ground.until(lambda: len(ground.outcomes) == len(unsent))
    assert {outcome.kind for outcome in ground.outcomes.values()} == {"sent"}


async def test_enquire_link_both_ways(node: NodeSmsc, ground: Ground, start: Start) -> None:
    start(node.port, enquire_link=0.05, response_timeout=10)
    await ground.until(lambda: ground.up)
    for n in range(1, 4):
        await node.do("enquire")
        assert (await node.heard("alive", n))[-1]["status"] == 0
    assert ground.up


async def test_the_carrier_unbinds(node: NodeSmsc, ground: Ground, start: Start) -> None:
    start(node.port)
    await ground.until(lambda: ground.up)
    await node.do("unbind")
    await node.heard("unbound")
    await node.heard("bind", 2)
    await ground.until(lambda: ground.up)


async def test_throttling_is_told_as_such(node: NodeSmsc, ground: Ground, start: Start) -> None:
    session = start(node.port)
    await ground.until(lambda: ground.up)
    await node.do("rate", rate=20)
    ground.send(session, *(part(f"n={n}", message_id=n) for n in range(100)))
    await ground.until(lambda: len(ground.outcomes) == 100)
    kinds = [outcome.kind for outcome in ground.outcomes.values()]
    assert kinds.count("sent") in range(20, 41)
    assert kinds.count("throttled") == 100 - kinds.count("sent")


async def test_a_pair(node: NodeSmsc, ground: Ground, start: Start) -> None:
    session = start(node.port, bind="pair")
    await node.heard("bind", 2)
    await ground.until(lambda: ground.up)
    ground.send(session, part())
    await ground.until(lambda: bool(ground.outcomes))
    await node.do("receipts", style="text")
    await node.heard("taken")
    assert len(ground.receipts) == 1
