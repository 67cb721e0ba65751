"""Smart encoding: the plain character for one that only costs. Nothing here fails.

A text that holds one typographic quote goes out as UCS-2, 70 characters a part instead of 160. `smart` replaces such
characters where the meaning is kept: quotes, dashes, dots, spaces, ligatures, full-width and styled letters, some
signs, letters written as letter and accent, and invisible characters, which go away. It does not touch letters that a
language needs (á, ç, Cyrillic, Greek), nor signs without an equal (°, ½, ², emoji).

All or nothing: replacing is worth it only if every character of the text then is in the GSM alphabet. If one is not, or
if the result would take more parts than before (`…` becomes three characters), or nothing is left, the text stays
exactly as it was. So the joiners and selectors inside emoji and Indic words need no rule of their own: such texts are
never touched.
"""

import unicodedata
from collections.abc import Iterator

import msgspec

from . import gsm
from .segments import segments_of

# What takes the place, and the code points that it takes the place of.
_EQUALS = (
    ("'", "0060 00B4 02B9 02BB-02BD 2018-201B 2032 2035 2039-203A 275B-275C FF40"),
    ('"', "00AB 00BB 02BA 02EE 201C-201F 2033 2036 275D-275E 301D-301F"),
    ("-", "02D7 2010-2015 2212 FE58 FE63"),
    ("*", "2022-2023 2043 204E 2217"),
    ("/", "00F7 2044 2215"),
    ("~", "02DC 223C 301C"),
    ("^", "02C6"),
    ("|", "00A6 2223"),
    ("<", "27E8"),
    (">", "27E9"),
    ("<=", "2264 2A7D"),
    (">=", "2265 2A7E"),
    ("->", "2192 27F6"),
    ("<-", "2190 27F5"),
    ("=>", "21D2"),
    ("+/-", "00B1"),
    ("x", "00D7"),
    (":", "2236"),
    (";", "037E"),
    ("Δ", "2206"),
    ("Π", "220F"),
    ("Σ", "2211"),
    ("(c)", "00A9"),
    ("(R)", "00AE"),
    ("(TM)", "2122"),
    ("No.", "2116"),
    ("OE", "0152"),
    ("oe", "0153"),
    ("SS", "1E9E"),
    (" ", "0009"),
    ("\n", "0085 2028-2029"),
    # Invisible: hyphenation, joiners, marks of direction (but for overrides, which do show), variation selectors, BOM.
    ("", "00AD 034F 061C 180E 200B-200F 202A-202C 2060-2064 2066-2069 FE00-FE0F FEFF"),
)
# Those that Unicode's own compatibility mapping says right: spaces, dot leaders, double marks, c/o, styled letters and
# digits, Ohm, Kelvin and Ångström, Roman numerals, ligatures, full-width forms.
_COMPATIBLE = (
    "00A0 0132-0133 2000-200A 2024-2026 202F 203C 2047-2049 205F 2102 2105 210A-210E 2110-2113 2115 2119-211D 2124 "
    "2126 2128 212A-212D 212F-2131 2133-2134 2160-217F 3000 FB00-FB06 FF01-FF5E FFE1 FFE5 1D400-1D7FF"
)


def _code_points(runs: str) -> Iterator[int]:
    for run in runs.split():
        first, _, last = run.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


_REPLACEMENTS = {
    code: plain
    for code in _code_points(_COMPATIBLE)
    if gsm.septets(plain := unicodedata.normalize("NFKC", chr(code))) is not None
} | {code: plain for plain, runs in _EQUALS for code in _code_points(runs)}


class Forced(msgspec.Struct, frozen=True):
    """A character that has a text sent as UCS-2. `replacement` is what `smart` would put in its place, or None; for an
    accent of its own, the letter that it and the one before it become."""

    index: int
    character: str
    code_point: str
    name: str
    replacement: str | None


def smart(text: str) -> str:
    """The text in the GSM alphabet if replacing gets it there, else the text itself."""
    first = gsm.unfit(text)
    if first < 0 or (ord(text[first]) not in _REPLACEMENTS and not unicodedata.combining(text[first])):
        return text
    plain = unicodedata.normalize("NFC", text).translate(_REPLACEMENTS)
    septets = gsm.septets(plain)
    if not septets or (len(septets) > 160 and segments_of(plain) > segments_of(text)):
        return text
    return plain


def forced_by(text: str, limit: int = 100) -> list[Forced]:
    """The characters that have the text sent as UCS-2, the first `limit` of them."""
    found: list[Forced] = []
    if gsm.unfit(text) < 0:
        return found
    for index, character in enumerate(text):
        if gsm.unfit(character) < 0:
            continue
        if len(found) == limit:
            break
        replacement = _REPLACEMENTS.get(ord(character))
        if replacement is None and unicodedata.combining(character):
            letter = unicodedata.normalize("NFC", text[max(index - 1, 0) : index + 1])
            replacement = letter if len(letter) == 1 and gsm.unfit(letter) < 0 else None
        found.append(Forced(index, character, f"U+{ord(character):04X}", _name(character), replacement))
    return found


def _name(character: str) -> str:
    kinds = {"Cc": "control character", "Cs": "lone surrogate", "Co": "private use"}
    return unicodedata.name(character, "") or kinds.get(unicodedata.category(character), "unassigned")
