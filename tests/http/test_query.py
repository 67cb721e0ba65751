"""A query string is decoded as declared, or refused with every parameter that is wrong."""

from typing import Any

import pytest

from columba.errors import Refusal
from columba.http.query import NoQuery, decode_form, decode_query
from columba.http.times import milliseconds
from tests.http.sample import Birds, Grant


def test_parameters_are_read_as_their_types() -> None:
    query = decode_query(Birds, b"limit=5&sex=hen&tag=a&tag=b&hatched_after=2026-01-01T00:00:00%2B01:00&name=A+B")
    assert (query.limit, query.sex, query.tag, query.name) == (5, "hen", ["a", "b"], "A B")
    assert query.hatched_after is not None
    assert milliseconds(query.hatched_after) == 1_767_222_000_000


def test_what_is_left_out_has_its_default() -> None:
    assert decode_query(Birds, b"") == Birds()
    assert decode_query(NoQuery, b"") == NoQuery()


@pytest.mark.parametrize(
    ("text", "name"),
    [("+447700900123", "+447700900123"), ("+", " "), ("a+1", "a 1"), ("+1+2", " 1 2"), ("%2B44", "+44")],
)
def test_a_plus_before_a_number_is_meant_as_one(text: str, name: str) -> None:
    assert decode_query(Birds, f"name={text}".encode()).name == name


def test_a_plus_before_an_offset_is_meant_as_one() -> None:
    written = decode_query(Birds, b"hatched_after=2026-01-01T00:00:00.000+01:00").hatched_after
    assert written is not None
    assert written.isoformat() == "2026-01-01T00:00:00+01:00"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", [("limit", "out_of_range")]),
        ("limit=1001", [("limit", "out_of_range")]),
        ("limit=ten", [("limit", "wrong_type")]),
        ("limit=", [("limit", "wrong_type")]),
        ("limit=1e1", [("limit", "wrong_type")]),
        ("limit=%D9%A3", [("limit", "wrong_type")]),
        ("limit=" + "9" * 400, [("limit", "wrong_type")]),
        ("sex=drake", [("sex", "invalid_value")]),
        ("name=a&name=b", [("name", "invalid_value")]),
        ("name=" + "x" * 21, [("name", "too_long")]),
        ("name=%00", [("name", "invalid_value")]),
        ("hatched_after=1767222000", [("hatched_after", "invalid_time")]),
        ("nam=x&lmit=5", [("nam", "unknown_field"), ("lmit", "unknown_field")]),
        ("limit=0&sex=&x=1", [("limit", "out_of_range"), ("sex", "invalid_value"), ("x", "unknown_field")]),
        ("%ff=1", []),
        ("name=%ED%A0%80", []),
        ("&".join(["tag=x"] * 300), []),
    ],
)
def test_each_wrong_parameter_is_named(query: str, expected: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal) as caught:
        decode_query(Birds, query.encode())
    assert caught.value.code == "invalid_request"
    assert [(error.field, error.code) for error in caught.value.errors] == expected


def test_an_endpoint_without_parameters_takes_none() -> None:
    with pytest.raises(Refusal, match="x: There is no such parameter"):
        decode_query(NoQuery, b"x=1")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"grant_type=client_credentials&client_id=key_1", Grant("client_credentials", "key_1")),
        (b"grant_type=password&client_id=x", [("grant_type", "invalid_value")]),
        (b"", [("grant_type", "required"), ("client_id", "required")]),
    ],
)
def test_a_form_is_decoded_like_a_query(raw: bytes, expected: Any) -> None:
    if isinstance(expected, Grant):
        assert decode_form(Grant, raw) == expected
        return
    with pytest.raises(Refusal) as caught:
        decode_form(Grant, raw)
    assert [(error.field, error.code) for error in caught.value.errors] == expected
