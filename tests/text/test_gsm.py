"""The GSM alphabets, septets and packing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.text import LANGUAGES, TextError, gsm, tables, ucs2

# 3GPP TS 23.038: (language, septet, code point), as the tables of A.3 and A.2 have them
LOCKING = [
    *[(0, 0x00, 0x40), (0, 0x01, 0xA3), (0, 0x09, 0xC7), (0, 0x10, 0x394), (0, 0x15, 0x3A9), (0, 0x1A, 0x39E)],
    *[(0, 0x1F, 0xC9), (0, 0x24, 0xA4), (0, 0x40, 0xA1), (0, 0x5F, 0xA7), (0, 0x60, 0xBF), (0, 0x7F, 0xE0)],
    *[(1, 0x04, 0x20AC), (1, 0x07, 0x131), (1, 0x0B, 0x11E), (1, 0x1D, 0x15F), (1, 0x40, 0x130), (1, 0x60, 0xE7)],
    *[(2, 0x04, 0xE8), (2, 0x7F, 0xE0)],  # void: the default alphabet
    *[(3, 0x12, 0xAA), (3, 0x15, 0x221E), (3, 0x18, 0x20AC), (3, 0x24, 0xBA), (3, 0x5D, 0xDA), (3, 0x7D, 0x60)],
    *[(4, 0x00, 0x981), (4, 0x0F, 0x98F), (4, 0x13, 0x993), (4, 0x46, 0x9B2), (4, 0x60, 0x9CE), (4, 0x7F, 0x9F1)],
    *[(5, 0x0C, 0xA8D), (5, 0x47, 0xAB3), (5, 0x5B, 0xAC9), (5, 0x60, 0xAD0), (5, 0x7B, 0xAE0), (5, 0x7F, 0xAF1)],
    *[(6, 0x00, 0x901), (6, 0x28, 0x29), (6, 0x29, 0x28), (6, 0x3C, 0x929), (6, 0x5F, 0x94D), (6, 0x7D, 0x97C)],
    *[(7, 0x01, 0xC82), (7, 0x24, 0xCA1), (7, 0x2C, 0x2C), (7, 0x58, 0xCC6), (7, 0x60, 0xCD5), (7, 0x7B, 0xCD6)],
    *[(8, 0x12, 0xD12), (8, 0x4D, 0xD39), (8, 0x4F, 0xD3D), (8, 0x60, 0xD57), (8, 0x7B, 0xD60), (8, 0x7F, 0xD79)],
    *[(9, 0x0F, 0xB0F), (9, 0x49, 0xB35), (9, 0x5F, 0xB4D), (9, 0x60, 0xB56), (9, 0x7B, 0xB57), (9, 0x7F, 0xB63)],
    *[(10, 0x08, 0xA0A), (10, 0x2F, 0xA28), (10, 0x4E, 0xA3C), (10, 0x54, 0xA42), (10, 0x60, 0xA51), (10, 0x7F, 0xA74)],
    *[(11, 0x0E, 0xB8E), (11, 0x1D, 0xB9C), (11, 0x27, 0xBA4), (11, 0x3C, 0xBA9), (11, 0x42, 0xBAE), (11, 0x7F, 0xBF9)],
    *[(12, 0x00, 0xC01), (12, 0x10, 0xC10), (12, 0x4F, 0xC3D), (12, 0x60, 0xC55), (12, 0x7B, 0xC56), (12, 0x7F, 0xC63)],
    *[(13, 0x00, 0x627), (13, 0x06, 0x6A6), (13, 0x13, 0x684), (13, 0x24, 0x630), (13, 0x47, 0x6A9), (13, 0x7F, 0x670)],
]
SINGLE = [
    *[(0, 0x0A, 0x0C), (0, 0x14, 0x5E), (0, 0x28, 0x7B), (0, 0x2F, 0x5C), (0, 0x3D, 0x7E), (0, 0x65, 0x20AC)],
    *[(1, 0x47, 0x11E), (1, 0x49, 0x130), (1, 0x63, 0xE7), (1, 0x69, 0x131), (1, 0x73, 0x15F), (1, 0x65, 0x20AC)],
    *[(2, 0x09, 0xE7), (2, 0x41, 0xC1), (2, 0x4F, 0xD3), (2, 0x55, 0xDA), (2, 0x61, 0xE1), (2, 0x75, 0xFA)],
    *[(3, 0x05, 0xEA), (3, 0x12, 0x3A6), (3, 0x1F, 0xCA), (3, 0x41, 0xC0), (3, 0x61, 0xC2), (3, 0x7F, 0xE2)],
    *[(4, 0x00, 0x40), (4, 0x13, 0xA1), (4, 0x15, 0xA1), (4, 0x19, 0x9E6), (4, 0x24, 0x9DF), (4, 0x34, 0x9FA)],
    *[(5, 0x19, 0x964), (5, 0x1A, 0x965), (5, 0x1C, 0xAE6), (5, 0x25, 0xAEF), (5, 0x41, 0x41), (5, 0x5A, 0x5A)],
    *[(6, 0x26, 0x951), (6, 0x27, 0x952), (6, 0x2E, 0x95A), (6, 0x30, 0x95B), (6, 0x38, 0x963), (6, 0x3A, 0x971)],
    *[(7, 0x1F, 0xCE9), (7, 0x26, 0xCDE), (7, 0x27, 0xCF1), (7, 0x2A, 0xCF2), (7, 0x40, 0x7C), (7, 0x65, 0x20AC)],
    *[(8, 0x1C, 0xD66), (8, 0x26, 0xD70), (8, 0x2D, 0xD75), (8, 0x2E, 0xD7A), (8, 0x30, 0xD7B), (8, 0x34, 0xD7F)],
    *[(9, 0x20, 0xB6A), (9, 0x26, 0xB5C), (9, 0x27, 0xB5D), (9, 0x2A, 0xB5F), (9, 0x2B, 0xB70), (9, 0x2C, 0xB71)],
    *[(10, 0x26, 0xA59), (10, 0x27, 0xA5A), (10, 0x2A, 0xA5B), (10, 0x2B, 0xA5C), (10, 0x2C, 0xA5E), (10, 0x2D, 0xA75)],
    *[(11, 0x24, 0xBEE), (11, 0x25, 0xBEF), (11, 0x26, 0xBF3), (11, 0x2A, 0xBF5), (11, 0x2D, 0xBF8), (11, 0x2E, 0xBFA)],
    *[(12, 0x1C, 0xC66), (12, 0x26, 0xC58), (12, 0x27, 0xC59), (12, 0x2A, 0xC78), (12, 0x30, 0xC7D), (12, 0x32, 0xC7F)],
    *[(13, 0x19, 0x600), (13, 0x1C, 0x6F0), (13, 0x26, 0x60C), (13, 0x30, 0x613), (13, 0x3B, 0x6CD), (13, 0x3F, 0x6D4)],
]
# How many of the 127 places have a character, by language
FILLED_LOCKING = (127, 127, 127, 127, 114, 120, 127, 120, 120, 116, 110, 102, 120, 127)
FILLED_SINGLE = (10, 17, 19, 37, 82, 70, 88, 73, 82, 75, 76, 77, 78, 90)


@pytest.mark.parametrize(("language", "septet", "code_point"), LOCKING)
def test_locking_tables(language: int, septet: int, code_point: int) -> None:
    assert gsm.decode(bytes((septet,)), locking=language) == chr(code_point)


@pytest.mark.parametrize(("language", "septet", "code_point"), SINGLE)
def test_single_shift_tables(language: int, septet: int, code_point: int) -> None:
    assert gsm.decode(bytes((0x1B, septet)), single=language) == chr(code_point)


def test_tables_are_filled_where_the_standard_fills_them() -> None:
    languages = range(len(LANGUAGES))
    assert tuple(len(tables.locking(language)) for language in languages) == FILLED_LOCKING
    assert tuple(len(tables.single(language)) for language in languages) == FILLED_SINGLE


def test_default_alphabet_in_order() -> None:
    rows = [
        "@£$¥èéùìòÇ\nØø\rÅå",
        "Δ_ΦΓΛΩΠΨΣΘΞ",
        "ÆæßÉ",
        " !\"#¤%&'()*+,-./",
        "0123456789:;<=>?",
        "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§",
        "¿abcdefghijklmnopqrstuvwxyzäöñüà",
    ]
    assert gsm.encode("".join(rows)) == bytes(septet for septet in range(128) if septet != 0x1B)
    assert gsm.encode("\f^{}\\[~]|€") == bytes.fromhex("1B0A1B141B281B291B2F1B3C1B3D1B3E1B401B65")


@pytest.mark.parametrize(
    ("text", "locking", "single", "octets"),
    [
        ("çÇ", 0, 2, "1B0909"),  # Spanish single shift: only the small one needs it
        ("ç", 1, 1, "60"),  # Turkish has it in both tables: the shorter way
        ("ç€", 1, 0, "6004"),
        ("नमस्ते", 6, 6, "2F424C5F2759"),
        ("@", 6, 6, "1B00"),
        ("A", 6, 6, "1B41"),
        ("۱", 13, 13, "1B1D"),
    ],
)
def test_national_tables_encode(text: str, locking: int, single: int, octets: str) -> None:
    assert gsm.encode(text, locking, single).hex().upper() == octets
    assert gsm.decode(bytes.fromhex(octets), locking, single) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("1B", " "),  # nothing behind the escape
        ("1B1B", " "),  # reserved for another table
        ("411B1B42", "A B"),
        ("1B1B1B65", " €"),
        ("1B1B1B", "  "),
        ("1B41", "A"),  # not in the extension: the character without the escape
        ("1B0A", "\f"),
        ("1B0D", "\r"),
        ("80FF41", "\ufffd\ufffdA"),  # no septets
        ("1B80", "\ufffd"),
        ("", ""),
    ],
)
def test_decoding_what_means_little(octets: str, text: str) -> None:
    assert gsm.decode(bytes.fromhex(octets)) == text


def test_an_empty_place_and_an_unknown_language() -> None:
    assert gsm.decode(b"\x0c", locking=4) == "\ufffd"
    assert gsm.decode(b"\x04\x1b\x65", locking=200, single=14) == "è€"
    assert gsm.encode("è€", 200, 14) == b"\x04\x1b\x65"


@pytest.mark.parametrize(
    ("text", "at"),
    [("ab`", 2), ("\x1b", 0), ("a\0", 1), ("€\0я", 1), ("\ud800", 0), ("aá", 1), ("\ufffe", 0), ("\t", 0)],
)
def test_what_is_not_in_the_alphabet(text: str, at: int) -> None:
    assert gsm.septets(text) is None
    assert gsm.unfit(text) == at
    with pytest.raises(TextError, match=str(at)):
        gsm.encode(text)


@given(st.data(), st.integers(0, 13), st.integers(0, 13))
def test_round_trip(data: st.DataObject, locking: int, single: int) -> None:
    characters = [*tables.locking(locking).values(), *tables.single(single).values()]
    text = data.draw(st.text(st.sampled_from(characters), max_size=50))
    septets = gsm.encode(text, locking, single)
    assert max(septets, default=0) < 128
    assert gsm.decode(septets, locking, single) == text
    assert gsm.unfit(text, locking, single) == -1


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("hello", "E8329BFD06"),
        ("hellohello", "E8329BFD4697D9EC37"),
        ("12345678", "31D98C56B3DD70"),
        ("How are you?", "C8F71D14969741F977FD07"),
        ("€", "9B32"),
        ("", ""),
    ],
)
def test_packing(text: str, packed: str) -> None:
    assert gsm.pack(gsm.encode(text)).hex().upper() == packed
    assert gsm.decode(gsm.unpack(bytes.fromhex(packed))) == text


def test_packing_after_a_header_starts_on_a_septet_boundary() -> None:
    # six octets of header are 48 bits: one more makes seven septets
    assert gsm.pack(b"hello", fill=1).hex().upper() == "D06536FB0D"
    assert gsm.unpack(bytes.fromhex("D06536FB0D"), fill=1) == b"hello"


@given(st.binary(max_size=200).map(lambda octets: bytes(octet & 0x7F for octet in octets)), st.integers(0, 6))
def test_packing_round_trip(septets: bytes, fill: int) -> None:
    packed = gsm.pack(septets, fill)
    assert len(packed) == (fill + 7 * len(septets) + 7) // 8
    assert gsm.unpack(packed, fill, len(septets)) == septets


def test_fill_is_not_taken_for_an_at_sign() -> None:
    assert gsm.unpack(gsm.pack(b"1234567")) == b"1234567"
    assert gsm.unpack(gsm.pack(b"1234567\r")) == b"1234567"
    assert gsm.unpack(gsm.pack(b"1234567\0"), count=8) == b"1234567\0"


@given(st.binary(max_size=50), st.integers(0, 6))
def test_unpacking_takes_anything(octets: bytes, fill: int) -> None:
    assert len(gsm.unpack(octets, fill)) <= len(octets) * 8 // 7


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("0041", "A"),
        ("D83DDE00", "😀"),
        ("D83D", "\ufffd"),
        ("DE000041", "\ufffdA"),
        ("D83D0041", "\ufffdA"),
        ("004100", "A\ufffd"),
        ("FEFF0041", "A"),
        ("FFFE4100", "A"),
        ("", ""),
    ],
)
def test_ucs2_decoding(octets: str, text: str) -> None:
    assert ucs2.decode(bytes.fromhex(octets)) == text


def test_ucs2_encoding() -> None:
    assert ucs2.encode("Aя😀").hex().upper() == "0041044FD83DDE00"
    assert ucs2.units("Aя😀") == 4
    with pytest.raises(TextError, match="1"):
        ucs2.encode("a\ud83d")
