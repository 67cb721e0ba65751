"""Whatever a row holds comes back as it was, on both engines."""

import pytest

from columba.store import Step, Store, plan
from tests.store.places import BIRDS

VALUES = {
    "plain": ("dove", 1.5, 7),
    "nothing": (None, None, None),
    "empty": ("", 0.0, 0),
    "quotes": ('it\'s "quoted" \\ and `so` on; -- drop table birds', -1.25, -1),
    "json": ('{"a": [1, "\\u0041", null], "b": "\\\\u0000"}', 1e300, 1),
    "looks like a number": ("0012e5", 5e-324, 9),
    "looks like SQL": (":name $1 ?1 {rows} %s", 0.1, 9),
    "lines": ("a\r\nb\tc\x01\x1f\x7f\u2028", 3.0, 9),
    "scripts": ("Zürich Ωμέγα кириллица 鳩 🕊️ 👩‍👩‍👧 \u200f‏عربي", 2.5, 9),
    "edges of Unicode": ("\ue000\ufffd\uffff\U0001f54a\U0010ffff", 2.5, 9),
    "largest": ("x", 1.7976931348623157e308, 2**63 - 1),
    "smallest": ("x", -1.7976931348623157e308, -(2**63)),
    "beyond a double": ("x", 0.0, 2**53 + 1),
    "long": ("🕊" * 50_000, 0.0, 1),
}


@pytest.mark.parametrize("what", VALUES)
async def test_a_value_comes_back_as_it_was(store: Store, what: str) -> None:
    row = (42, *VALUES[what])
    await store.commit(plan(Step(BIRDS["count_birds"], [row])))
    assert await store.read(BIRDS["all_birds"]) == [row]
    (found,) = await store.commit(plan(Step(BIRDS["find_birds"], [(42,)])))
    assert [tuple(each) for each in found] == [row]


async def test_ids_of_63_bits_are_keys(store: Store) -> None:
    ids = [1, 2**31, 2**53 + 1, 2**62 + 12345, 2**63 - 1]
    await store.commit(plan(Step(BIRDS["insert_birds"], [(an_id, "x", 0.5, an_id) for an_id in ids])))
    assert await store.read(BIRDS["some_birds"], [(an_id,) for an_id in ids], after=2**53) == [
        (an_id,) for an_id in ids[2:]
    ]


async def test_a_large_batch_is_one_statement_and_nothing_of_it_is_lost(store: Store) -> None:
    rows = [(n, f"dove {n}", n / 2, n * 2**40) for n in range(30_000)]
    (returned,) = await store.commit(plan(Step(BIRDS["insert_birds"], rows)))
    assert sorted(row[0] for row in returned) == list(range(30_000))
    assert await store.read(BIRDS["all_birds"]) == rows


async def test_an_empty_batch_reads_nothing(store: Store) -> None:
    assert await store.read(BIRDS["some_birds"], [], after=0) == []


@pytest.mark.parametrize(
    "text", ["\ud800", "a\udfffb", "nul \x00", "\\\x00"], ids=["high", "low", "nul", "backslash nul"]
)
async def test_text_that_no_engine_can_keep_is_refused_and_harms_nobody(store: Store, text: str) -> None:
    with pytest.raises(ValueError, match=r"surrogate|NUL"):
        await store.commit(plan(Step(BIRDS["count_birds"], [(1, text, 0.0, 1)])))
    await store.commit(plan(Step(BIRDS["count_birds"], [(1, "x", 0.0, 1)])))
    assert len(await store.read(BIRDS["all_birds"])) == 1


@pytest.mark.parametrize("name", ["", "it's", "鳩", ":id", "\\", "x' or '1'='1"])
async def test_parameters_are_values_and_nothing_else(store: Store, name: str) -> None:
    await store.commit(plan(Step(BIRDS["insert_birds"], [(1, name, 0.0, 1), (2, "other", 0.0, 1)])))
    assert await store.read(BIRDS["bird"], id=1, name=name) == [(name,)]
    assert await store.read(BIRDS["bird"], id=2, name=name) == ([("other",)] if not name else [])


async def test_a_read_sees_what_was_committed(store: Store) -> None:
    for n in range(20):
        await store.commit(plan(Step(BIRDS["insert_birds"], [(n, "dove", 0.0, n)])))
        assert len(await store.read(BIRDS["all_birds"])) == n + 1
