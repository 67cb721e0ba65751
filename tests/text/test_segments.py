"""How texts are split: what people are billed for, and what must never be cut."""

import subprocess
import sys

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from columba.text import Plan, encoding_of, gsm, plan, segments, segments_of, ucs2

FAMILY = "👨‍👩‍👧‍👦"  # 11 units
FLAG = "🇫🇷"  # 4 units
WAVE = "👋🏽"  # 4 units
HANGUL = "\u1100\u1161\u11a8"  # one syllable


def units_of(text: str, planned: Plan) -> int:
    if planned.encoding == "gsm7":
        return len(gsm.encode(text, planned.locking, planned.single))
    return ucs2.units(text)


@pytest.mark.parametrize(
    ("text", "encoding", "segments", "units", "left"),
    [
        ("", "gsm7", 1, 0, 160),
        ("hello", "gsm7", 1, 5, 155),
        ("a" * 160, "gsm7", 1, 160, 0),
        ("a" * 161, "gsm7", 2, 161, 145),
        ("a" * 306, "gsm7", 2, 306, 0),
        ("a" * 307, "gsm7", 3, 307, 152),
        ("a" * 459, "gsm7", 3, 459, 0),
        ("a" * 460, "gsm7", 4, 460, 152),
        ("a" * 158 + "€", "gsm7", 1, 160, 0),
        ("a" * 159 + "€", "gsm7", 2, 161, 145),
        ("€" * 80, "gsm7", 1, 160, 0),
        ("€" * 153, "gsm7", 3, 306, 151),  # 76 a part: the last septet of a full part would be an escape
        ("Ω" * 160, "gsm7", 1, 160, 0),
        ("я" * 70, "ucs2", 1, 70, 0),
        ("я" * 71, "ucs2", 2, 71, 63),
        ("я" * 134, "ucs2", 2, 134, 0),
        ("я" * 135, "ucs2", 3, 135, 66),
        ("😀" * 35, "ucs2", 1, 70, 0),
        ("😀" * 36, "ucs2", 2, 72, 61),
        ("😀" * 67, "ucs2", 3, 134, 65),  # 33 a part
        ("a" * 69 + "ç", "ucs2", 1, 70, 0),
        ("a" * 160 + "`", "ucs2", 3, 161, 40),
    ],
)
def test_plan(text: str, encoding: str, segments: int, units: int, left: int) -> None:
    planned = plan(text)
    assert (planned.encoding, planned.segments, planned.units, planned.left) == (encoding, segments, units, left)
    assert len(planned.parts) == segments
    assert (encoding_of(text), segments_of(text)) == (encoding, segments)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 152 + "€" + "b" * 20, ["a" * 152, "€" + "b" * 20]),
        ("a" * 151 + "€" + "b" * 20, ["a" * 151 + "€", "b" * 20]),
        ("a" * 152 + "\r\n" + "b" * 20, ["a" * 152, "\r\n" + "b" * 20]),
        ("a" * 152 + "\n\r" + "b" * 20, ["a" * 152 + "\n", "\r" + "b" * 20]),
        ("я" * 66 + "😀" + "ю" * 9, ["я" * 66, "😀" + "ю" * 9]),
        ("я" * 65 + "😀" + "ю" * 9, ["я" * 65 + "😀", "ю" * 9]),
        ("я" * 60 + FAMILY + "ю", ["я" * 60, FAMILY + "ю"]),
        ("я" * 56 + FAMILY + "юю" * 3, ["я" * 56 + FAMILY, "юю" * 3]),
        ("я" * 64 + FLAG + "юююю", ["я" * 64, FLAG + "юююю"]),
        (FLAG * 18, [FLAG * 16, FLAG * 2]),
        ("я" * 65 + WAVE + "юю", ["я" * 65, WAVE + "юю"]),
        ("я" * 66 + "e\u0301" + "юю" * 2, ["я" * 66, "e\u0301" + "юю" * 2]),
        ("中" * 66 + "か\u3099" + "文" * 9, ["中" * 66, "か\u3099" + "文" * 9]),
        ("я" * 66 + HANGUL + "юю" * 2, ["я" * 66, HANGUL + "юю" * 2]),
        ("я" * 66 + "क्षि" + "ю", ["я" * 66, "क्षि" + "ю"]),
        ("я" * 66 + "\r\n" + "ююю", ["я" * 66, "\r\n" + "ююю"]),
        # a cluster whole in its part even where that costs a part
        ("я" * 60 + FAMILY + "ю" * 63, ["я" * 60, FAMILY + "ю" * 56, "ю" * 7]),
        # larger than any part: cut, but between characters
        ("e" + "\u0301" * 99, ["e" + "\u0301" * 66, "\u0301" * 33]),
        ("я" + "👨" + "\u200d👨" * 29, ["я", ("👨" + "\u200d👨" * 29)[:44], ("👨" + "\u200d👨" * 29)[44:]]),
    ],
)
def test_what_is_never_cut(text: str, parts: list[str]) -> None:
    planned = plan(text)
    assert list(planned.parts) == parts
    assert planned.segments == segments_of(text) == len(parts)


def test_wide_references_take_an_octet_more() -> None:
    assert [len(part) for part in plan("a" * 305, wide=True).parts] == [152, 152, 1]
    assert [len(part) for part in plan("я" * 133, wide=True).parts] == [66, 66, 1]
    assert plan("a" * 160, wide=True).segments == 1


def test_unicode_when_asked() -> None:
    planned = plan("a" * 71, unicode=True)
    assert (planned.encoding, planned.segments) == ("ucs2", 2)


@pytest.mark.parametrize(
    ("text", "locking", "single", "segments", "left"),
    [
        ("ğ" * 71, 1, 0, 1, 155 - 71),
        ("ğ" * 155, 1, 0, 1, 0),
        ("ğ" * 156, 1, 0, 2, 149 - 7),
        ("a" * 100 + "ú", 3, 0, 1, 155 - 101),
        ("a" * 100 + "ñú", 0, 2, 1, 155 - 103),
        ("न" * 100 + "।", 6, 6, 1, 152 - 102),
        ("न" * 153, 6, 0, 1, 2),
    ],
)
def test_national_tables_when_asked(text: str, locking: int, single: int, segments: int, left: int) -> None:
    assert plan(text).encoding == "ucs2"
    planned = plan(text, national=True)
    assert planned.encoding == "gsm7"
    assert (planned.locking, planned.single, planned.segments, planned.left) == (locking, single, segments, left)


def test_national_tables_only_where_they_save_a_part() -> None:
    assert plan("ğ" * 70, national=True).encoding == "ucs2"
    assert plan("ğя" * 80, national=True).encoding == "ucs2"
    assert plan("ğ" * 71, national=True, unicode=True).encoding == "ucs2"
    assert (plan("a" * 200, national=True).locking, plan("a" * 200, national=True).single) == (0, 0)


def test_a_cluster_with_an_escape_in_it_is_not_cut_either() -> None:
    planned = plan("न" * 143 + "क\u0951\u0951" + "न" * 142, national=True)
    assert (planned.locking, planned.single) == (6, 6)
    assert planned.parts == ("न" * 143, "क\u0951\u0951" + "न" * 141, "न")


def test_headers_of_a_plan() -> None:
    assert plan("a").header(1, 7).build() == b""
    assert plan("a" * 161).header(2, 0x1234).build().hex() == "050003340202"
    assert plan("a" * 161, wide=True).header(2, 0x1234).build().hex() == "06080412340202"
    assert plan("ğ" * 156, national=True).header(1, 1).build().hex() == "080003010201250101"


PIECES = [
    "a",
    "hello ",
    "€",
    "{",
    "\r\n",
    "\n",
    "é",
    "Ω",
    "я",
    "中",
    "ç",
    "😀",
    FAMILY,
    FLAG,
    WAVE,
    "e\u0301",
    "\u200d",
    "ก็",
]
PIECES += ["क्षि", HANGUL, "\u0600", "\u0301" * 40, "1\ufe0f\u20e3", "\ud83d", "\ude00"]
GSM_PIECES = ["a", "hello ", "€", "{|}", "\r\n", "\r", "\n", "é", "Ω"]
TURKISH_PIECES = ["ğ", "ş", "a" * 30, "€", "{"]
HINDI_PIECES = ["क्षि", "क\u0951\u0952", "नमस्ते ", "।", "A", "1"]


def texts(pieces: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(st.sampled_from(pieces), st.integers(1, 30)), max_size=20).map(
        lambda runs: "".join(piece * times for piece, times in runs)
    )


@given(
    st.one_of(texts(PIECES), texts(GSM_PIECES), texts(TURKISH_PIECES), texts(HINDI_PIECES), st.text(max_size=400)),
    st.booleans(),
    st.booleans(),
)
def test_every_split_keeps_its_promises(text: str, national: bool, wide: bool) -> None:
    planned = plan(text, national=national, wide=wide)
    parts = planned.parts
    assert "".join(parts) == text
    assert len(parts) == planned.segments
    assert planned.units == sum(units_of(part, planned) for part in parts) or "\ud83d\ude00" in text
    if not national and not wide:
        assert (encoding_of(text), segments_of(text)) == (planned.encoding, planned.segments)

    header = len(planned.header(1, 0).build()) if planned.segments <= 255 else 0
    room = segments.room(planned.encoding, header)
    assert all(units_of(part, planned) <= room for part in parts)
    assert planned.left == room - units_of(parts[-1], planned)
    if planned.segments == 1:
        return
    assert all(parts)
    inside = {at: match for match in regex.finditer(r"\X", text) for at in range(match.start() + 1, match.end())}
    for cut in planned.cuts:
        if cut in inside:  # then the cluster is larger than a part
            assert units_of(inside[cut][0], planned) > room
    for start, part in zip((0, *planned.cuts[:-1]), parts[:-1], strict=True):
        following = text[start + len(part) :]
        cluster = regex.match(r"\X", following)[0]
        assert units_of(part + cluster, planned) > room, "a part ends where more would fit"


def test_characters_taken_to_stand_apart_do() -> None:
    single = segments._APART.pattern.removesuffix("{2}")
    characters = "".join(regex.findall(single, "".join(map(chr, range(0x10000)))))
    assert len(characters) > 28_000
    assert regex.findall(r"\X", characters) == list(characters)
    assert regex.findall(r"\X", characters[::-1].replace("\r", "")) == list(characters[::-1].replace("\r", ""))


def test_the_cluster_tables_are_loaded_only_for_texts_that_need_them() -> None:
    code = """if True:
        import sys
        from columba.text import plan
        plan("Plain €{}Ω\\r\\n" * 99), plan("Привет, " * 99), plan("中文。" * 99)
        assert "regex" not in sys.modules
        plan("👨‍👩‍👧‍👦" * 99)
        assert "regex" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
