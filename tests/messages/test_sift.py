"""A filter that wants few of many: every page is bounded, and all pages together hold every row once."""

from collections.abc import Sequence

import pytest

from columba.messages.sift import STEPS, sift
from columba.store import Row


class Rows:
    """Ids below `count`, of which `wanted` are; and how many were looked at."""

    def __init__(self, count: int, wanted: set[int]) -> None:
        self.count = count
        self.wanted = wanted
        self.looked_at = 0

    async def newest(self, before: int, most: int) -> Sequence[Row]:
        found = [(an_id,) for an_id in range(min(before, self.count) - 1, -1, -1)[:most]]
        self.looked_at += len(found)
        return found

    async def pick(self, found: Sequence[Row], most: int) -> list[Row]:
        return [row for row in found if row[0] in self.wanted][:most]


@pytest.mark.parametrize(
    ("count", "wanted", "most"),
    [
        (0, set(), 10),
        (10, set(range(10)), 10),
        (11, set(range(11)), 10),
        (500, set(range(500)), 50),
        (60_000, {0, 7, 30_000, 59_999}, 2),
        (60_000, {0}, 50),
        (60_000, set(), 50),
        (60_000, set(range(0, 60_000, 1000)), 7),
    ],
)
async def test_all_pages_hold_every_row_once(count: int, wanted: set[int], most: int) -> None:
    rows = Rows(count, wanted)
    seen: list[int] = []
    before: int | None = 1 << 62
    while before is not None:
        rows.looked_at = 0
        page, before = await sift(rows.newest, rows.pick, before, most)
        assert len(page) <= most
        assert rows.looked_at <= most + 1 + sum(STEPS)
        seen += [row[0] for row in page]
    assert seen == sorted(wanted, reverse=True)
