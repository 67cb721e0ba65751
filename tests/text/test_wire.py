"""Parts as octets, and octets as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.text import UDHI, Alphabet, Concat, Header, Ports, TextError, decode, encode_part, join, plan


@pytest.mark.parametrize(
    ("part", "encoding", "header", "packed", "data_coding", "octets", "esm_class"),
    [
        ("hello", "gsm7", Header(), False, 0, "68656C6C6F", 0),
        ("hello", "gsm7", Header(), True, 0, "E8329BFD06", 0),
        ("@€", "gsm7", Header(), False, 0, "001B65", 0),
        ("яa", "ucs2", Header(), False, 8, "044F0061", 0),
        ("hello", "gsm7", Header(concat=Concat(7, 2, 1)), False, 0, "05000307020168656C6C6F", UDHI),
        ("hello", "gsm7", Header(concat=Concat(7, 2, 1)), True, 0, "050003070201D06536FB0D", UDHI),
        ("я", "ucs2", Header(concat=Concat(7, 2, 2, wide=True)), False, 8, "060804000702 02044F", UDHI),
        ("ğ", "gsm7", Header(locking=1), False, 0, "032501010C", UDHI),
        ("1234567", "gsm7", Header(), True, 0, "31D98C56B3DD1A", 0),  # seven bits free: a CR, not an @
    ],
)
def test_encode_part(
    part: str, encoding: str, header: Header, packed: bool, data_coding: int, octets: str, esm_class: int
) -> None:
    assert encoding in ("gsm7", "ucs2")
    wire = encode_part(part, "gsm7" if encoding == "gsm7" else "ucs2", header, packed=packed)
    assert wire == (data_coding, bytes.fromhex(octets), esm_class)
    alphabet: Alphabet = "gsm7-packed" if packed else "gsm7"
    came = decode(wire.data_coding, wire.octets, bool(wire.esm_class & UDHI), alphabet=alphabet)
    assert (came.text, came.header) == (part, header)


def test_full_parts_take_all_140_octets() -> None:
    text = "a" * 306
    for number, part in enumerate(plan(text).parts, 1):
        wire = encode_part(part, "gsm7", plan(text).header(number, 9), packed=True)
        assert len(wire.octets) == 140
    assert len(encode_part("a" * 160, "gsm7", packed=True).octets) == 140
    assert len(encode_part("я" * 67, "ucs2", Header(concat=Concat(1, 2, 1))).octets) == 140


@pytest.mark.parametrize(
    ("part", "encoding", "header"),
    [
        ("a" * 161, "gsm7", Header()),
        ("a" * 154, "gsm7", Header(concat=Concat(1, 2, 1))),
        ("a" * 153, "gsm7", Header(concat=Concat(1, 2, 1, wide=True))),
        ("я" * 71, "ucs2", Header()),
        ("я" * 68, "ucs2", Header(concat=Concat(1, 2, 1))),
        ("я", "gsm7", Header()),
        ("\ud83d", "ucs2", Header()),
        ("a", "gsm7", Header(concat=Concat(1, 256, 1))),
    ],
)
def test_what_does_not_fit(part: str, encoding: str, header: Header) -> None:
    with pytest.raises(TextError):
        encode_part(part, "gsm7" if encoding == "gsm7" else "ucs2", header)


GSM = "@"  # 0x00
DATA_CODINGS = [
    *[(0x00, GSM), (0x01, "\0"), (0x02, None), (0x03, "\0"), (0x04, None)],
    *[(0x10, GSM), (0x11, GSM), (0x13, GSM), (0x14, None), (0x18, "u"), (0x1C, GSM)],  # with a class
    *[(0x20, None), (0x28, None), (0x3B, None), (0x60, None)],  # compressed
    *[(0x40, GSM), (0x44, None), (0x48, "u"), (0x58, "u")],  # to delete after reading
    *[(0x80, GSM), (0x90, GSM), (0xB8, GSM)],  # reserved
    *[(0xC0, GSM), (0xC8, GSM), (0xD0, GSM), (0xD9, GSM), (0xE0, "u"), (0xE9, "u")],  # message waiting
    *[(0xF0, GSM), (0xF1, GSM), (0xF3, GSM), (0xF4, None), (0xF6, None), (0xF8, GSM)],  # message class
]


@pytest.mark.parametrize(("data_coding", "kind"), DATA_CODINGS)
def test_data_codings(data_coding: int, kind: str | None) -> None:
    came = decode(data_coding, b"\x00A")
    if kind is None:
        assert (came.text, came.coding, came.data) == (None, "binary", b"\x00A")
    else:
        assert came.text == {GSM: "@A", "u": "A", "\0": "A"}[kind]


@pytest.mark.parametrize(
    ("data_coding", "octets", "text"),
    [
        (0x01, b"a@_\xe9", "a@_\ufffd"),
        (0x03, b"caf\xe9 @\xa3", "café @£"),
        (0x06, b"\xb4\xd0", "Да"),
        (0x07, b"\xf9\xec", "של"),
        (0x08, b"\xd8\x3d\xde\x00\xd8\x3d", "😀\ufffd"),
        (0x05, b"\x93\xfa\x96\x7b", "日本"),
        (0x0A, b"\x1b$BF|K\\\x1b(B", "日本"),
        (0x0E, b"\xc7\xd1", "한"),
        (0x03, b"a\0b\0", "ab"),  # no NUL gets in
        (0x08, b"\0a\0\0", "a"),
    ],
)
def test_what_each_coding_says(data_coding: int, octets: bytes, text: str) -> None:
    assert decode(data_coding, octets).text == text


@pytest.mark.parametrize(
    ("alphabet", "octets", "text"),
    [
        ("gsm7", b"\x00\x1b\x65\x80", "@€\ufffd"),
        ("latin1", b"@\xe9", "@é"),
        ("ascii", b"@\xe9", "@\ufffd"),
        ("utf8", "é€".encode(), "é€"),
        ("gsm7-packed", bytes.fromhex("E8329BFD06"), "hello"),
    ],
)
def test_what_a_carrier_means_by_its_default(alphabet: Alphabet, octets: bytes, text: str) -> None:
    assert decode(0, octets, alphabet=alphabet).text == text
    assert decode(0xF1, octets, alphabet=alphabet).text == text
    assert decode(8, b"\0a", alphabet=alphabet).text == "a"


def test_headers_that_come_in() -> None:
    came = decode(4, bytes.fromhex("0605040B8423F4DEADBEEF"), True)
    assert (came.text, came.data, came.header.ports) == (None, bytes.fromhex("DEADBEEF"), Ports(0x0B84, 0x23F4))
    came = decode(0, bytes.fromhex("032401021B55"), True)
    assert (came.text, came.header.single) == ("Ú", 2)
    # set without a header: some carriers do; the text is not lost
    assert decode(0, b"Stop", True).text == "Stop"
    assert decode(0, b"", True).text == ""


def test_parts_that_cut_a_character_in_two_are_joined_whole() -> None:
    assert join([decode(8, b"\0a\xd8\x3d"), decode(8, b"\xde\x00\0b")]) == "a😀b"
    assert join([decode(0, b"a\x1b"), decode(0, b"\x65b")]) == "a€b"
    assert join([decode(0, b"a"), decode(8, b"\x04\x4f")]) == "aя"
    assert join([decode(0, b"a"), decode(4, b"b")]) is None
    assert join([decode(4, b"a"), decode(4, b"b")]) is None
    assert join([]) == ""


CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0\ufeff\ufffe")


@given(st.text(st.one_of(st.sampled_from("abc€{ğş\r\n@"), CHARACTERS), max_size=400), st.booleans(), st.booleans())
def test_what_goes_out_comes_back(text: str, national: bool, wide: bool) -> None:
    planned = plan(text, national=national, wide=wide)
    arrived = []
    for number, part in enumerate(planned.parts, 1):
        wire = encode_part(part, planned.encoding, planned.header(number, 77))
        arrived.append(decode(wire.data_coding, wire.octets, bool(wire.esm_class)))
        if planned.segments > 1:
            assert arrived[-1].header.concat == Concat(77, planned.segments, number, wide)
    assert join(arrived) == text


@given(st.text("abcdefgh€{", max_size=400))
def test_packed_goes_out_and_comes_back(text: str) -> None:
    planned = plan(text)
    wires = [encode_part(part, "gsm7", planned.header(n, 1), packed=True) for n, part in enumerate(planned.parts, 1)]
    assert all(len(wire.octets) <= 140 for wire in wires)
    assert join([decode(0, wire.octets, bool(wire.esm_class), alphabet="gsm7-packed") for wire in wires]) == text


@given(
    st.integers(0, 255),
    st.binary(max_size=170),
    st.booleans(),
    st.sampled_from(["gsm7", "gsm7-packed", "ascii", "latin1", "utf8"]),
)
def test_any_octets_are_taken_and_their_text_can_be_stored(
    data_coding: int, octets: bytes, udhi: bool, alphabet: Alphabet
) -> None:
    came = decode(data_coding, octets, udhi, alphabet=alphabet)
    for text in (came.text, join([came, came])):
        if text is not None:
            assert "\0" not in text
            text.encode()
