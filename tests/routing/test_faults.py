"""The sandbox kind as a live carrier that misbehaves: whatever it does, every message ends, and nothing is lost.

Waits between tries, and for a network that has no room, are shortened; all else is as it runs.
"""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from columba.core import status
from columba.core.model import Message
from tests.routing.house import PARTS, Routed, number, routed

QUICK: dict[str, Any] = {"latency_ms": 1, "receipt_ms": 1, "hang_ms": 5}


@pytest_asyncio.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Routed]:
    monkeypatch.setattr("columba.core.flight.RETRY_FIRST_MS", 5)
    monkeypatch.setattr("columba.core.flight.THROTTLED_FIRST_MS", 5)
    for name, value in (("STILL_S", 0.05), ("SHORT_S", 0.02), ("STILL_MOST_S", 0.1), ("LEAST", 100.0)):
        monkeypatch.setattr(f"columba.core.rate.{name}", value)
    async with routed(tmp_path, sandbox_record=str(tmp_path / "test")) as it:
        yield it


class Faulty:
    """A carrier with faults, and the file in which it notes each part that it takes."""

    def __init__(self, house: Routed, folder: Path) -> None:
        self.house = house
        self.file = folder / "live"

    async def send(
        self, faults: dict[str, Any], count: int, klass: int = status.TRANSACTIONAL, **more: Any
    ) -> list[str]:
        """What became of so many messages, in their order."""
        self.an_id = await self.house.make(QUICK | faults | {"record": str(self.file)}, **more)
        self.messages = [
            await self.house.send(f"+4477009{n:05}", text="Hello " * (1 + 40 * (n % 5 == 0)), klass=klass)
            for n in range(1000, 1000 + count)
        ]
        return await self.house.ends(self.messages)

    @property
    def copies(self) -> Counter[tuple[int, int]]:
        """How often each part was taken."""
        lines = [line.split() for line in self.file.read_text().splitlines()]
        return Counter((int(message), int(n)) for message, n, _ in lines)

    @property
    def parts(self) -> set[tuple[int, int]]:
        """All parts that there are."""
        return {(message.id, n) for message in self.messages for n in range(1, message.segments + 1)}


@pytest.fixture
def faulty(house: Routed, tmp_path: Path) -> Faulty:
    return Faulty(house, tmp_path)


async def test_no_faults(faulty: Faulty) -> None:
    assert set(await faulty.send({}, 20)) == {"delivered"}
    assert faulty.copies == dict.fromkeys(faulty.parts, 1)


@pytest.mark.parametrize(
    "faults",
    [
        {"error_rate": 0.3},
        {"disconnect_every": 7},
        {"hang_rate": 0.3},
        {"throttle_rate": 0.5},
        {"error_rate": 0.1, "hang_rate": 0.1, "throttle_rate": 0.1, "disconnect_every": 11},
    ],
    ids=str,
)
async def test_nothing_is_lost(faulty: Faulty, faults: dict[str, Any]) -> None:
    """With `resend`, whatever the network does."""
    assert set(await faulty.send(faults, 30)) == {"delivered"}
    assert set(faulty.copies) == faulty.parts
    assert max(faulty.copies.values()) > 1  # there were faults
    for message in faulty.messages:
        parts = await faulty.house.app.store.read(PARTS, id=message.id)
        assert [tuple(row) for row in parts] == [
            (n, number(faulty.an_id), status.DELIVERED, None) for n in range(1, message.segments + 1)
        ]
    last = (await faulty.house.get(faulty.an_id))["last_error"]
    assert last["code"] in ("carrier_failed", "no_answer", "throttled")


@pytest.mark.parametrize("faults", [{"hang_rate": 0.3}, {"disconnect_every": 5}], ids=str)
@pytest.mark.parametrize(("klass", "on_unknown"), [(status.TRANSACTIONAL, "unknown"), (status.OTP, "resend")])
async def test_nothing_is_sent_twice_where_it_must_not(
    faulty: Faulty, faults: dict[str, Any], klass: int, on_unknown: str
) -> None:
    """Because the carrier is set so, or because they are one-time codes."""
    ends = await faulty.send(faults, 30, klass, on_unknown=on_unknown)
    assert set(ends) == {"delivered", "unknown"}
    assert max(faulty.copies.values()) == 1
    assert await _errors(faulty, ends) == {("delivered", None), ("unknown", "no_answer")}


async def _errors(faulty: Faulty, ends: list[str]) -> set[tuple[str, str | None]]:
    async def error(message: Message) -> str | None:
        return (await faulty.house.message(message.id))[1]

    return {(end, await error(message)) for message, end in zip(faulty.messages, ends, strict=True)}


async def test_a_carrier_that_fails_everything_ends_its_messages(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("columba.core.flight.MAX_ATTEMPTS", 3)
    assert set(await faulty.send({"error_rate": 1}, 4)) == {"failed"}
    assert set(faulty.copies.values()) == {3}
    assert await _errors(faulty, ["failed"] * 4) == {("failed", "carrier_failed")}
