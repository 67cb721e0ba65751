"""When what has failed is tried again, and how what has ended is settled."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import pytest

from columba.core.again import again_in
from columba.core.posting import due_again
from columba.core.settling import Settling

SCHEDULE = (5, 300)


class Failure(NamedTuple):
    retry_after: float | None = None
    slow: bool = False
    counts: bool = True


@pytest.mark.parametrize(
    ("failed", "least", "seconds"),
    [
        *((0, 0.0, (4.0, 6.0)), (1, 0.0, (240.0, 360.0)), (2, 0.0, None), (2, 60.0, None)),
        *((0, 60.0, (60.0, 60.0)), (1, 60.0, (240.0, 360.0)), (0, 1e9, (86_400.0, 86_400.0))),
    ],
)
def test_a_schedule(failed: int, least: float, seconds: tuple[float, float] | None) -> None:
    found = tuple(again_in(SCHEDULE, failed, drawn, least) for drawn in (0.0, 1.0))
    assert found == ((None, None) if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("failure", "failed", "due"),
    [
        (Failure(), 0, 5_000),
        (Failure(), 2, None),
        (Failure(slow=True), 0, 60_000),
        (Failure(slow=True), 1, 300_000),
        (Failure(retry_after=120.0, slow=True), 0, 120_000),
        (Failure(retry_after=0.0, slow=True), 0, 5_000),  # it says when, and that is now
        (Failure(counts=False), 0, 1_000),
        (Failure(counts=False), 9, 1_000),  # our own fault uses nothing up
    ],
)
def test_what_a_place_asks_for_is_kept_to(failure: Failure, failed: int, due: int | None) -> None:
    assert due_again(failure, SCHEDULE, failed, 1_000_000, 0.5) == (None if due is None else 1_000_000 + due)


class Lane:
    """What settling asks of a lane."""

    gone = False

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(work))


async def test_what_ends_while_a_batch_is_settled_is_the_next_batch() -> None:
    lane: Any = Lane()
    batches: list[list[int]] = []
    go_on = asyncio.Event()

    async def settle(of: Any, ended: Sequence[int]) -> None:
        assert of is lane
        batches.append(list(ended))
        await go_on.wait()

    settling = Settling[int](lane, settle)
    settling.add(1)
    settling.add(2)
    await asyncio.sleep(0)
    settling.add(3)
    settling.add(4)
    await asyncio.sleep(0)
    assert batches == [[1, 2]]
    go_on.set()
    await asyncio.gather(*lane.tasks)
    assert batches == [[1, 2], [3, 4]]
    settling.add(5)
    await asyncio.gather(*lane.tasks)
    assert batches[2:] == [[5]]


async def test_what_has_ended_in_a_lane_that_was_lost_is_left_alone() -> None:
    lane: Any = Lane()
    batches: list[list[int]] = []

    async def settle(_of: Any, ended: Sequence[int]) -> None:
        batches.append(list(ended))
        settling.add(2)
        lane.gone = True

    settling = Settling[int](lane, settle)
    settling.add(1)
    await asyncio.gather(*lane.tasks)
    assert batches == [[1]]
