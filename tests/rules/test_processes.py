"""Two processes on one PostgreSQL: whoever hears a text and whoever owns a lane, each thing is done once."""

from collections import Counter
from pathlib import Path

from columba.core import ids
from columba.core.contract import Inbound
from columba.sandbox import CARRIER_ID
from tests.api import eventually, running
from tests.program import Reply, Sink
from tests.rules.conftest import OURS, Clock, House


async def test_texts_heard_anywhere_are_forwarded_once(
    tmp_path: Path, tables_url: str, sink: Sink, other: Sink
) -> None:
    secret = {"secret_key": "00" * 32, "allow_network": ("127.0.0.0/8",)}
    sink.reply = Reply(500)
    other.reply = Reply(200, b'{"id": 7}', {"Content-Type": "application/json"})
    async with running(tmp_path, tables_url, **secret) as one, running(tmp_path, tables_url, **secret) as two:
        house = House(one, Clock())
        await eventually_shared(one, two)
        bad, good, also = [await destination(house, url) for url in (sink.url, other.url, f"{other.url}/also")]
        await house.rule(
            {"forward": {"to": [bad, good], "mode": "first_success"}}, {"forward": {"to": [also]}},
            {"reply": {"text": "{{ text }} is {{ answers[1].json.id }}, {{ answers[2].json.id }}"}},
        )  # fmt: skip
        await two.app.snapshots.refresh()
        for n in range(10):
            app = (one, two)[n % 2].app
            said = Inbound(f"+4477009{10_020 + n}", OURS, f"text {n}")
            await app.receive.inbound(app.carriers()[CARRIER_ID], [said], one.account_id)
        replies = await house.messages(10)
        assert sorted(each["text"] for each in replies) == [f"text {n} is 7, 7" for n in range(10)]
        assert len(sink.requests) == 10
        assert len(other.requests) == 20

        async def ended() -> bool:
            return Counter(run["status"] for run in await house.forwards(40, limit=100)) == {
                "failed": 10,
                "delivered": 30,
            }

        await eventually(ended)  # a reply is there a moment before its run has ended


async def eventually_shared(one: object, two: object) -> None:
    """Each knows of the other."""

    async def look() -> bool:
        return all(len(each.app.lanes.peers) == 2 for each in (one, two))  # type: ignore[attr-defined]

    await eventually(look)


async def destination(house: House, url: str) -> str:
    made = await house.post("/v1/destinations", {"name": "x", "request": {"url": url}}, 201)
    assert ids.read("dst", made["id"])
    return str(made["id"])
