"""Cursors say where a list goes on, and nonsense in their place is refused."""

import contextlib
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.errors import Refusal
from columba.http.paging import decode_cursor, encode_cursor, page


@given(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=80))
def test_a_cursor_is_read_again(number: int, text: str) -> None:
    assert decode_cursor(encode_cursor(number, text), tuple[int, str]) == (number, text)


def test_the_first_page_has_none() -> None:
    assert decode_cursor(None, tuple[int, str]) is None


def packed(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "====",
        "not a cursor",
        "\u00e9",
        "A" * 600,
        encode_cursor(1),
        encode_cursor("a", 1),
        encode_cursor(1, "a", 2),
        encode_cursor(1, "a\x00"),
        packed(b"[1,"),
        packed(b'[%d,"a"]' % 2**63),
        packed(b'[1,"\xff"]'),
        packed(b"[" * 300),
    ],
)
def test_nonsense_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(Refusal) as caught:
        decode_cursor(cursor, tuple[int, str])
    assert [(error.field, error.code) for error in caught.value.errors] == [("cursor", "invalid_value")]


@given(st.text(max_size=40) | st.binary(max_size=30).map(packed))
def test_no_cursor_breaks_anything(cursor: str) -> None:
    with contextlib.suppress(Refusal):
        decode_cursor(cursor, tuple[int, str])


def test_one_row_too_many_means_a_next_page() -> None:
    rows = [(number, f"id{number}") for number in range(4)]
    some = page(rows, 3, lambda row: row[1], lambda row: row)
    assert some.data == ["id0", "id1", "id2"]
    assert decode_cursor(some.next_cursor, tuple[int, str]) == (2, "id2")
    assert page(rows[:3], 3, lambda row: row[1], lambda row: row).next_cursor is None
    assert page([], 3, str, lambda row: (row,)).data == []
