"""User data headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.text import Concat, Header, Ports, TextError, parse_header

# (what it says, its octets): read both ways
HEADERS = [
    (Header(concat=Concat(0x42, 3, 1)), "050003420301"),
    (Header(concat=Concat(0x1234, 255, 255, wide=True)), "0608041234FFFF"),
    (Header(ports=Ports(0x23, 0xF4)), "04040223F4"),
    (Header(ports=Ports(0x0B84, 0x23F4)), "0605040B8423F4"),
    (Header(single=2), "03240102"),
    (Header(locking=1), "03250101"),
    (Header(concat=Concat(1, 2, 2), locking=6, single=6), "0B000301020224010625 0106"),
    (Header(others=((0x70, b""), (0x01, b"\x80\x01"))), "0670000102 8001"),
]


@pytest.mark.parametrize(("header", "octets"), HEADERS)
def test_headers(header: Header, octets: str) -> None:
    built = bytes.fromhex(octets)
    assert header.build() == built
    assert parse_header(built) == (header, len(built))
    assert parse_header(built + b"rest") == (header, len(built))


@pytest.mark.parametrize(
    ("octets", "header"),
    [
        ("00", Header()),
        ("0400034203", Header()),  # the element runs past the header
        ("0100", Header()),  # no room for a length
        ("0500034203 00", Header()),  # parts count from 1, 3GPP 23.040 §9.2.3.24.1
        ("0500034203 04", Header()),
        ("0500034200 00", Header()),
        ("0400024203", Header()),  # a length that the element can't have
        ("020000", Header()),
        ("0A000301020100030202 02", Header(concat=Concat(2, 2, 2))),  # the later of two
        ("0B0003010201080412340202", Header(concat=Concat(0x1234, 2, 2, wide=True))),
        ("08000301020124 05FF", Header(concat=Concat(1, 2, 1))),  # the good element before a bad one
    ],
)
def test_damaged_headers_give_what_they_can(octets: str, header: Header) -> None:
    built = bytes.fromhex(octets)
    assert parse_header(built) == (header, len(built))


@pytest.mark.parametrize("octets", ["", "05", "0500034203", "FF00"])
def test_what_is_no_header(octets: str) -> None:
    with pytest.raises(TextError):
        parse_header(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "header",
    [
        Header(concat=Concat(1, 256, 1)),
        Header(concat=Concat(1, 2, 3)),
        Header(concat=Concat(1, 2, 0)),
        Header(ports=Ports(65536)),
        Header(ports=Ports(1, -1)),
        Header(locking=256),
        Header(others=((256, b""),)),
        Header(others=((1, b"x" * 256),)),
        Header(others=((1, b"x" * 138),)),
    ],
)
def test_what_fits_no_header(header: Header) -> None:
    with pytest.raises(TextError):
        header.build()


def test_references_may_run_on() -> None:
    assert Header(concat=Concat(0x1FF, 2, 1)).build().hex() == "050003ff0201"
    assert Header(concat=Concat(0x1FFFF, 2, 1, wide=True)).build().hex() == "060804ffff0201"


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    try:
        header, length = parse_header(octets)
    except TextError:
        assert not octets or octets[0] >= len(octets)
    else:
        assert length == 1 + octets[0]
        assert parse_header(header.build() or b"\0")[0] == header
