"""What a plan does, on both engines."""

import asyncio
from collections.abc import Awaitable

import pytest

from columba.store import Results, Step, Store, StoreUnavailable, plan
from tests.store.places import BIRDS


def birds(*ids: int, name: str = "dove") -> list[tuple[object, ...]]:
    return [(an_id, name, 1.5, 7) for an_id in ids]


async def names(store: Store) -> dict[int, str]:
    return {row[0]: row[1] for row in await store.read(BIRDS["all_birds"])}


async def test_a_step_returns_what_its_statement_returned(store: Store) -> None:
    results = await store.commit(
        plan(
            Step(BIRDS["insert_birds"], birds(1, 2)),
            Step(BIRDS["rename_birds"], [(2, "rock dove"), (9, "dodo")]),
            Step(BIRDS["find_birds"], [(1,), (2,), (9,)]),
            Step(BIRDS["note_birds"], [(1,)]),
        )
    )
    found = [sorted(tuple(row) for row in rows) for rows in results]
    assert found == [[(1,), (2,)], [(2, 7)], [(1, "dove", 1.5, 7), (2, "rock dove", 1.5, 7)], []]


async def test_given_runs_only_what_came_back(store: Store) -> None:
    await store.commit(plan(Step(BIRDS["insert_birds"], birds(1))))
    results = await store.commit(
        plan(
            Step(BIRDS["insert_birds"], birds(1, 2, 3)),
            Step(BIRDS["insert_rings"], [(1, "a"), (2, "b"), (2, "c"), (3, "d")], given=0),
        )
    )
    assert sorted(row[0] for row in results[0]) == [2, 3]
    assert await store.read(BIRDS["all_rings"]) == [(2, "b"), (2, "c"), (3, "d")]


async def test_missing_runs_only_what_did_not(store: Store) -> None:
    await store.commit(plan(Step(BIRDS["insert_birds"], birds(1))))
    await store.commit(
        plan(
            Step(BIRDS["find_birds"], [(1,), (2,), (3,)]),
            Step(BIRDS["count_birds"], birds(1, 2, 3, name="new"), missing=0),
        )
    )
    assert await names(store) == {1: "dove", 2: "new", 3: "new"}


async def test_feed_runs_with_what_a_step_returned(store: Store) -> None:
    await store.commit(plan(Step(BIRDS["insert_birds"], birds(1, 2))))
    results = await store.commit(
        plan(
            Step(BIRDS["find_birds"], [(2,), (5,)]),
            Step(BIRDS["insert_found"], feed=0),
            Step(BIRDS["rename_birds"], feed=0),
        )
    )
    assert await store.read(BIRDS["all_rings"]) == [(2, "dove")]
    assert [tuple(row) for row in results[2]] == [(2, 7)]


async def test_a_step_without_rows_is_skipped_and_so_is_what_hangs_on_it(store: Store) -> None:
    results = await store.commit(
        plan(
            Step(BIRDS["insert_birds"]),
            Step(BIRDS["insert_rings"], [(1, "a")], given=0),
            Step(BIRDS["find_birds"], [(1,)]),
            Step(BIRDS["insert_found"], feed=2),
            Step(BIRDS["insert_birds"], birds(4), missing=2),
        )
    )
    assert [len(rows) for rows in results] == [0, 0, 0, 0, 1]
    assert await store.read(BIRDS["all_rings"]) == []


async def test_a_plan_of_nothing_is_committed(store: Store) -> None:
    assert await store.commit(plan(Step(BIRDS["insert_birds"]))) == [[]]
    assert await store.commit(plan()) == []


async def test_a_plan_is_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.commit(plan(Step(BIRDS["insert_birds"], birds(1)), Step(BIRDS["count_birds"], birds(2, 3, 2))))
    assert await names(store) == {}
    await store.commit(plan(Step(BIRDS["insert_birds"], birds(1))))
    assert await names(store) == {1: "dove"}


async def test_plans_of_one_shape_share_a_transaction_and_their_results(store: Store) -> None:
    """Each caller's rows are there, given and missing are kept apart by the first column."""
    await store.commit(plan(Step(BIRDS["insert_birds"], birds(1, 4))))

    def a_plan(*ids: int) -> Awaitable[Results]:
        return store.commit(
            plan(
                Step(BIRDS["insert_birds"], birds(*ids)),
                Step(BIRDS["insert_rings"], [(an_id, "new") for an_id in ids], given=0),
                Step(BIRDS["insert_rings"], [(an_id, "known") for an_id in ids], missing=0),
                Step(BIRDS["find_birds"], [(an_id,) for an_id in ids]),
                Step(BIRDS["note_birds"], feed=3),
            )
        )

    all_results = await asyncio.gather(a_plan(1, 2), a_plan(3), a_plan(4), a_plan(5, 6))
    for results, mine in zip(all_results, ({2}, {3}, set(), {5, 6}), strict=True):
        assert mine <= {row[0] for row in results[0]}
        assert {1, 4}.isdisjoint(row[0] for row in results[0])
    assert await store.read(BIRDS["all_rings"]) == [
        (1, "known"), (2, "new"), (3, "new"), (4, "known"), (5, "new"), (6, "new")
    ]  # fmt: skip
    assert sorted(row[0] for row in await store.read(BIRDS["all_notes"])) == [1, 2, 3, 4, 5, 6]


async def test_plans_commit_in_the_order_of_their_calls(store: Store) -> None:
    """Awaited or not, and more than fit in one transaction."""
    waiting = [
        store.commit(plan(Step(BIRDS["note_birds"], [(n * 1_000 + i,) for i in range(1_000)]))) for n in range(45)
    ]
    last = store.commit(plan(Step(BIRDS["note_birds"], [(45_000,)])))
    await last
    assert all(each.done() for each in waiting)  # type: ignore[attr-defined]
    assert [row[0] for row in await store.read(BIRDS["all_notes"])] == list(range(45_001))


async def test_plans_that_are_apart_keep_an_order_of_their_own(store: Store) -> None:
    waiting = [store.commit(plan(Step(BIRDS["note_birds"], [(n,)])), apart=n % 2 == 0) for n in range(400)]
    await asyncio.gather(*waiting)
    noted = [row[0] for row in await store.read(BIRDS["all_notes"])]
    assert sorted(noted) == list(range(400))
    assert [n for n in noted if n % 2] == list(range(1, 400, 2))
    assert [n for n in noted if not n % 2] == list(range(0, 400, 2))


async def test_a_bad_row_fails_its_own_caller_only(store: Store) -> None:
    """A row that breaks a constraint, and one that can't even be written down."""
    await store.commit(plan(Step(BIRDS["insert_birds"], birds(100))))
    outcomes = await asyncio.gather(
        store.commit(plan(Step(BIRDS["count_birds"], birds(1)))),
        store.commit(plan(Step(BIRDS["count_birds"], birds(2, 100)))),
        store.commit(plan(Step(BIRDS["count_birds"], birds(3, name="\ud800")))),
        store.commit(plan(Step(BIRDS["insert_birds"], birds(4)))),
        store.commit(plan(Step(BIRDS["count_birds"], birds(5)))),
        return_exceptions=True,
    )
    failed = [isinstance(outcome, Exception) for outcome in outcomes]
    assert failed == [False, True, True, False, False]
    assert not any(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert list(await names(store)) == [1, 4, 5, 100]
    assert store.backlog == 0


async def test_a_caller_that_goes_away_takes_nobody_with_it(store: Store) -> None:
    async def commit(an_id: int) -> None:
        await store.commit(plan(Step(BIRDS["insert_birds"], birds(an_id))))

    tasks = [asyncio.create_task(commit(n)) for n in range(5)]
    await asyncio.sleep(0)  # each has handed its plan over
    tasks[1].cancel()
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks] == [False, True, False, True, False]
    await commit(9)
    assert list(await names(store)) == [0, 1, 2, 3, 4, 9]
    assert store.backlog == 0


async def test_the_backlog_counts_the_rows_that_wait(store: Store) -> None:
    waiting = [store.commit(plan(Step(BIRDS["insert_birds"], birds(n, n + 100)))) for n in range(10)]
    assert store.backlog == 20
    await asyncio.gather(*waiting)
    assert store.backlog == 0


async def test_closing_commits_what_was_handed_over_and_refuses_more(store: Store) -> None:
    waiting = [store.commit(plan(Step(BIRDS["insert_birds"], birds(n)))) for n in range(50)]
    await store.close()
    assert all(each.done() for each in waiting)  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailable):
        await store.commit(plan(Step(BIRDS["insert_birds"], birds(99))))
    with pytest.raises(StoreUnavailable):
        await store.read(BIRDS["all_birds"])
    await store.close()  # again does no harm
