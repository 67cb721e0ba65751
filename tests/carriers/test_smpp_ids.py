"""Ids of submit_sm_resp and of receipts that are the same, however a carrier writes them."""

import gc
import random
from typing import Any

import msgspec
import pytest

from columba.carriers.smpp.config import Config
from columba.carriers.smpp.ids import ENOUGH, Ids, ids_of


def ids(message_id: str = "auto", receipt_id: str = "auto") -> Ids:
    return Ids(msgspec.convert({"host": "x", "message_id": message_id, "receipt_id": receipt_id}, Config))


HUGE = 0xFEDC_BA98_7654_3210_FEDC_BA98  # a float would lose most of it


@pytest.mark.parametrize(
    ("message_id", "receipt_id", "given", "told"),
    [
        ("auto", "auto", "abc-1", "ABC-1"),
        ("auto", "auto", "00ab12", "AB12"),
        ("auto", "auto", "0000000042", "42"),
        ("auto", "auto", "0", "000"),
        ("auto", "auto", "1A2B3C", "1715004"),
        ("auto", "auto", "1A2B3C", "0001715004"),
        ("auto", "auto", "1715004", "1a2b3c"),
        ("auto", "auto", f"{HUGE:X}", str(HUGE)),
        ("auto", "auto", str(HUGE), f"{HUGE:x}"),
        ("auto", "auto", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        ("hex", "dec", "0010", "16"),
        ("hex", "dec", f"{HUGE:x}", str(HUGE)),
        ("dec", "hex", "16", "10"),
        ("dec", "dec", "016", "16"),
        ("hex", "hex", "0ABC", "abc"),
        ("hex", "auto", "10", "16"),
        ("auto", "dec", "10", "16"),
        ("as-is", "as-is", "0Ab", "0Ab"),
        # What the configured form can't be is taken as it is.
        ("hex", "dec", "not-a-number", "NOT-A-NUMBER"),
        ("dec", "hex", "xyz", "xyz"),
    ],
)
def test_the_same_id(message_id: str, receipt_id: str, given: str, told: str) -> None:
    known = ids(message_id, receipt_id)
    assert known.given(given) in known.told(told)


@pytest.mark.parametrize(
    ("message_id", "receipt_id", "given", "told"),
    [
        ("as-is", "as-is", "0ab", "ab"),
        ("as-is", "auto", "ab", "AB"),
        ("dec", "dec", "16", "10"),
        ("hex", "dec", "16", "16"),
        ("hex", "hex", "1A", "26"),
        ("auto", "auto", "12", "13"),
    ],
)
def test_another_id(message_id: str, receipt_id: str, given: str, told: str) -> None:
    known = ids(message_id, receipt_id)
    assert known.given(given) not in known.told(told)


def numbers(count: int) -> list[int]:
    return random.Random(7).sample(range(10**9, 10**11), count)


@pytest.mark.parametrize(
    ("given", "told", "way"),
    [
        (lambda n: f"{n:010d}", lambda n: str(n), "same"),
        (lambda n: f"{n:X}", lambda n: f"{n:016x}", "same"),
        (lambda n: f"{n:x}", lambda n: f"{n:014d}", "hex-dec"),
        (lambda n: str(n), lambda n: f"{n:X}", "dec-hex"),
        (lambda n: f"m-{n}", lambda n: f"M-{n}", "same"),
    ],
)
def test_how_a_carrier_writes_is_found_out(given: Any, told: Any, way: str) -> None:
    known = ids()
    drawn = numbers(3 * ENOUGH)
    keys = [known.given(given(n)) for n in drawn]
    for n, key in zip(drawn, keys, strict=True):
        assert known.told(told(n)) == (key,)  # right from the first, and never more than one
    assert known.known == way
    before = known.given(given(12345))
    assert ids().given(given(12345)) == before  # what is stored does not depend on what was learned


def test_before_anything_is_known_every_meaning_is_told_the_likeliest_first() -> None:
    known = ids()  # after a restart: receipts come for what was sent before
    assert known.told("0016") == ("16", "10", "22")
    assert known.told("1f") == ("1f", "31")
    assert known.told("x-1") == ("x-1",)
    assert ids("hex", "auto").told("16") == ("16", "10")


def test_small_numbers_are_not_mistaken_for_each_other() -> None:
    """Receipts of a carrier that counts from 1, each right behind its answer: 16 is not hexadecimal 10."""
    known = ids()
    for n in range(1, 200):
        key = known.given(f"{n:010d}")
        assert known.told(f"{n:010d}") == (key,)


def test_ids_of_any_length_and_kind_cost_little() -> None:
    known = ids()
    for strange in ("", "0" * 10_000, "9" * 10_000, "f" * 10_000, "é" * 100, "１２", "\u0660"):
        known.given(strange)
        assert known.told(strange)[0] == known.given(strange)


def test_the_binds_of_a_carrier_learn_together() -> None:
    one, other = Config(host="x"), Config(host="x")
    assert ids_of(one) is ids_of(one)
    first, second = ids_of(one), ids_of(other)
    assert first is not second
    del first, second
    gc.collect()
    from columba.carriers.smpp import ids as module

    assert not module._shared
