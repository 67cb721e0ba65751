"""The status machine: which status may follow which, in Python and in the statements that decide."""

import pytest

from columba.core import events, status
from columba.core.status import (
    CANCELED,
    DELIVERED,
    EXPIRED,
    FAILED,
    QUEUED,
    RECEIVED,
    SCHEDULED,
    SENT,
    UNDELIVERED,
    UNKNOWN,
)
from columba.store import Row, Step, plan
from tests.core.rig import Rig

FINAL = (DELIVERED, UNDELIVERED, FAILED, EXPIRED, CANCELED)
OUTBOUND = (SCHEDULED, QUEUED, SENT, UNKNOWN, *FINAL)
# What each may become; nothing else.
TABLE: dict[int, tuple[int, ...]] = {
    SCHEDULED: (QUEUED, SENT, UNKNOWN, *FINAL),
    QUEUED: (SENT, UNKNOWN, *FINAL),
    SENT: (UNKNOWN, *FINAL),
    UNKNOWN: FINAL,
    **dict.fromkeys((*FINAL, RECEIVED), ()),
}
PAIRS = [(now, then) for now in status.NAMES for then in status.NAMES]


def test_every_pair_is_allowed_or_not_as_the_table_says() -> None:
    assert set(TABLE) == set(status.NAMES)
    wrong = [(now, then) for now, then in PAIRS if status.may_become(now, then) != (then in TABLE[now])]
    assert not wrong


def test_names_and_numbers() -> None:
    assert [status.NUMBERS[name] for name in status.NAMES.values()] == list(status.NAMES)
    assert {name for number, name in status.NAMES.items() if status.is_final(number)} == {
        "delivered", "undelivered", "failed", "expired", "canceled", "received"
    }  # fmt: skip


async def pairs_in_store(rig: Rig, pairs: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """A message for each pair, in the first of its statuses: (id, now, then)."""
    at = rig.clock()
    rows: list[Row] = []
    bodies: list[Row] = []
    parts: list[Row] = []
    made = []
    for n, (now, then) in enumerate(pairs):
        an_id = 1000 + n
        rows.append((an_id, an_id, 1, 1, 0, now, 1, 9999, "+447700900123", "", 0, 1, at, 0, at, 0, None, None))
        bodies.append((an_id, "text", None))
        parts.append((an_id, an_id, 1, 64, f"c{an_id}", max(now, SENT), None, None, at))
        made.append((an_id, now, then))
    await rig.store.commit(
        plan(
            Step(events.SQL["insert_messages"], rows),
            Step(events.SQL["insert_bodies"], bodies),
            Step(events.SQL["insert_parts"], parts),
        )
    )
    return made


async def found(rig: Rig) -> dict[int, int]:
    return {row[0]: row[1] for row in await rig.look("messages")}


async def test_settling_moves_a_message_only_where_the_table_says(rig: Rig) -> None:
    made = await pairs_in_store(rig, [(now, then) for now in OUTBOUND for then in OUTBOUND])
    rows = [(9999, an_id, then, 1, 5, 7, 900_000 + an_id, "why", "code") for an_id, _, then in made]
    results = await rig.store.commit(plan(Step(events.SQL["settle_messages"], rows)))
    after = await found(rig)
    for an_id, now, then in made:
        assert after[an_id] == (then if then in TABLE[now] else now), (now, then)
    assert {row[0] for row in results[0]} == {an_id for an_id, now, then in made if then in TABLE[now]}


async def test_only_what_has_not_left_can_be_ended(rig: Rig) -> None:
    made = await pairs_in_store(rig, [(now, then) for now in status.NAMES for then in (EXPIRED,)])
    rows = [(9999, an_id, then, 1, 5, 7, 900_000 + an_id, "why", None) for an_id, _, then in made]
    await rig.store.commit(plan(Step(events.SQL["end_messages"], rows)))
    after = await found(rig)
    for an_id, now, then in made:
        assert after[an_id] == (then if now in (SCHEDULED, QUEUED) else now), now


@pytest.mark.parametrize("told", [SENT, UNKNOWN, DELIVERED, UNDELIVERED, FAILED, EXPIRED])
async def test_a_receipt_moves_a_message_only_where_the_table_says(rig: Rig, told: int) -> None:
    made = await pairs_in_store(rig, [(now, told) for now in (SENT, UNKNOWN, *FINAL)])
    for an_id, _, _ in made:
        await rig.network.tell(f"c{an_id}", told)
    after = await found(rig)
    for an_id, now, then in made:
        assert after[an_id] == (then if then in TABLE[now] else now), (now, then)
    moved = [row[0] for row in await rig.look("events")]
    assert moved == [an_id for an_id, now, then in made if then in TABLE[now]]
