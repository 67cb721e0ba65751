"""Smart encoding, what forces UCS-2, and what can't be sent."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.text import check, encoding_of, forced_by, segments_of, smart


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("“It’s” – ok…", '"It\'s" - ok...'),
        ("„Ja“ «oui» ‹si›", '"Ja" "oui" \'si\''),
        ("a\u00a0b\u2009c\u202fd\u3000e\tf", "a b c d e f"),
        ("one\u2028two", "one\ntwo"),
        ("zero\u200bwidth\ufeff so\u00adft \u200ejoin\u200der", "zerowidth soft joiner"),
        ("ﬁne ﬂow oﬃce cœur", "fine flow office coeur"),
        ("ＨＥＬＬＯ　１２３！ ￥５ ￡６", "HELLO 123! ¥5 £6"),
        ("𝗛𝗲𝗹𝗹𝗼 𝟙𝟚𝟛 ℝ Ⅳ", "Hello 123 R IV"),
        ("e\u0301te\u0301 A\u030angstro\u0308m n\u0303", "été Ångström ñ"),
        ("5 \u2126 3 \u212b \u212a", "5 Ω 3 Å K"),
        ("don`t ´x´ 5′ 3″", "don't 'x' 5' 3\""),
        ("Acme™ © 2024 ®", "Acme(TM) (c) 2024 (R)"),
        ("• a → b × 2 ≤ 3 ± 1 ÷ 2 − 1", "* a -> b x 2 <= 3 +/- 1 / 2 - 1"),
        ("wait‼️ what⁉", "wait!! what!?"),
        ("№ 5", "No. 5"),
        ("€ {ok} – ñ", "€ {ok} - ñ"),
    ],
)
def test_smart_replaces(text: str, plain: str) -> None:
    assert encoding_of(text) == "ucs2"
    assert smart(text) == plain
    assert encoding_of(plain) == "gsm7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text, €5 {ok}",
        "“Привет” – да…",  # Cyrillic stays, and so do its quotes
        "\u0391 \u0392 \u0395",  # Greek capitals that look Latin
        "саfе",  # Cyrillic among Latin
        "“Olá”",  # á is in no GSM alphabet
        "family “👨‍👩‍👧‍👦”",
        "❤️ – 1️⃣",
        "क्‍ष “न”",  # a joiner inside a word
        "می‌خواهم…",
        "20 °C – ½ m²",
        "ı ş ğ – ç",
        "\u200b",  # nothing would be left
        "\u202eabc",  # an override of direction shows
        "a\0“b”",
        "…" * 70,  # one part as it is, two with three dots each
        "\ud800“",
    ],
)
def test_smart_leaves(text: str) -> None:
    assert smart(text) == text


@given(st.text(st.one_of(st.sampled_from("ab €“–…\u00a0ﬁ\u0301e\u200d™"), st.characters()), max_size=250))
def test_smart_is_all_or_nothing(text: str) -> None:
    plain = smart(text)
    assert smart(plain) == plain
    assert segments_of(plain) <= segments_of(text)
    if plain != text:
        assert (encoding_of(text), encoding_of(plain)) == ("ucs2", "gsm7")


def test_forced_by_names_each_character_and_its_way_out() -> None:
    text = "It’s e\u0301té 😀\u200bç\t"
    found = [(one.index, one.character, one.code_point, one.name, one.replacement) for one in forced_by(text)]
    assert found == [
        (2, "’", "U+2019", "RIGHT SINGLE QUOTATION MARK", "'"),
        (6, "\u0301", "U+0301", "COMBINING ACUTE ACCENT", "é"),
        (10, "😀", "U+1F600", "GRINNING FACE", None),
        (11, "\u200b", "U+200B", "ZERO WIDTH SPACE", ""),
        (12, "ç", "U+00E7", "LATIN SMALL LETTER C WITH CEDILLA", None),
        (13, "\t", "U+0009", "control character", " "),
    ]


def test_forced_by_is_bounded_and_takes_anything() -> None:
    assert forced_by("plain €") == []
    assert len(forced_by("я" * 5000)) == 100
    assert len(forced_by("я" * 5000, limit=3)) == 3
    assert [one.name for one in forced_by("\ud800\ue000\u0378\0\u0301")] == [
        "lone surrogate",
        "private use",
        "unassigned",
        "control character",
        "COMBINING ACUTE ACCENT",
    ]
    assert forced_by("\u0301x")[0].replacement is None


@given(st.text(st.one_of(st.characters(), st.sampled_from("ab’\u0301")), max_size=50))
def test_forced_by_names_all_that_force(text: str) -> None:
    found = {one.index for one in forced_by(text)}
    assert bool(found) == (encoding_of(text) == "ucs2")
    assert encoding_of("".join(char for index, char in enumerate(text) if index not in found)) == "gsm7"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", []),
        ("plain", []),
        ("a\tb\nc\r\nd\fe", []),
        ("é € я 😀 \u200b \x85 \ue000", []),
        ("a\0b", [(1, "NUL")]),
        ("\x1b[0m", [(0, "control character U+001B")]),
        ("a\x7f", [(1, "control character U+007F")]),
        ("x\ud83d", [(1, "lone surrogate U+D83D")]),
        ("\x01\ude00", [(0, "control character U+0001"), (1, "lone surrogate U+DE00")]),
    ],
)
def test_check(text: str, problems: list[tuple[int, str]]) -> None:
    assert check(text) == problems


def test_check_is_bounded() -> None:
    assert len(check("\0" * 5000)) == 100


@given(st.text(st.characters(), max_size=100))
def test_what_passes_can_be_sent(text: str) -> None:
    if not check(text):
        text.encode()
        assert not any(unicodedata.category(char) == "Cs" for char in text)
