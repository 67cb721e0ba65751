"""The alphabets of 3GPP TS 23.038 as data: the default alphabet, its extension, and the national language tables.

A table maps a septet (0 to 127) to its character; a place that the standard leaves empty is absent. The escape 0x1B is
in no table. An identifier that the standard does not define gives the default table (§6.2.1.2.4: receivers ignore it).

Where editions of the standard print a code point that breaks the order around it (Kannada locking 0x24, Oriya single
0x20, Tamil single 0x24, Telugu single 0x1C), the one that keeps the order is taken, as handsets do.
"""

from collections.abc import Iterator, Mapping
from functools import cache

# The index is the national language identifier, §6.2.1.2.4
LANGUAGES = (
    "default",
    "turkish",
    "spanish",
    "portuguese",
    "bengali",
    "gujarati",
    "hindi",
    "kannada",
    "malayalam",
    "oriya",
    "punjabi",
    "tamil",
    "telugu",
    "urdu",
)

# §6.2.1, eight rows of sixteen; 0x1B holds the escape.
_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)

# What follows is written as septet and character: "65€" is the euro at 0x65.
_EXTENSION = "14^ 28{ 29} 2F\\ 3C[ 3D~ 3E] 40| 65€"  # §6.2.1.1; and 0x0A, the form feed

# A.3.1 and A.3.3: the default alphabet but for these. Spanish has no locking table (A.3.2 is void).
_LOCKING_CHANGES = {
    1: "04€ 07ı 0BĞ 0Cğ 1CŞ 1Dş 40İ 60ç",
    3: (
        "04ê 06ú 07í 08ó 09ç 0BÔ 0Cô 0EÁ 0Fá 12ª 13Ç 14À 15∞ 16^ 17\\ 18€ 19Ó 1A| 1CÂ 1Dâ 1EÊ 24º 40Í "
        "5BÃ 5CÕ 5DÚ 60~ 7Bã 7Cõ 7D`"
    ),
}

# A.2.1 to A.2.3: the default extension and these.
_SINGLE_ADDITIONS = {
    1: "47Ğ 49İ 53Ş 63ç 67ğ 69ı 73ş",
    2: "09ç 41Á 49Í 4FÓ 55Ú 61á 69í 6Fó 75ú",
    3: ("05ê 09ç 0BÔ 0Cô 0EÁ 0Fá 12Φ 13Γ 15Ω 16Π 17Ψ 18Σ 19Θ 1FÊ 41À 49Í 4FÓ 55Ú 5BÃ 5CÕ 61Â 69í 6Fó 75ú 7Bã 7Cõ 7Fâ"),
}

# A.3.4 to A.3.13 share their signs, digits and small Latin letters (the parentheses are the wrong way round in the
# standard too). The script fills the other places, marked with a middle dot, in this order: code points, "_" where a
# place stays empty.
_INDIC_LOCKING = (
    "··········\n··\r··"
    "···········\x1b····"
    " !······)(··,·.·"
    "0123456789:;···?"
    "················"
    "················"
    "·abcdefghijklmno"
    "pqrstuvwxyz·····"
)
_LOCKING_SCRIPTS = {
    4: (
        "0981-0983 0985-098C _ _ 098F-0990 _ _ 0993-09A8 _ 09AA-09B0 _ 09B2 _ _ _ 09B6-09B9 09BC-09C4 _ _ "
        "09C7-09C8 _ _ 09CB-09CE 09D7 09DC-09DD 09F0-09F1"
    ),
    5: (
        "0A81-0A83 0A85-0A8D _ 0A8F-0A91 _ 0A93-0AA8 _ 0AAA-0AB0 _ 0AB2-0AB3 _ 0AB5-0AB9 0ABC-0AC5 _ 0AC7-0AC9 _ "
        "0ACB-0ACD 0AD0 0AE0-0AE3 0AF1"
    ),
    6: "0901-0903 0905-0939 093C-094D 0950 0972 097B-097C 097E-097F",
    7: (
        "_ 0C82-0C83 0C85-0C8C _ 0C8E-0C90 _ 0C92-0CA8 _ 0CAA-0CB3 _ 0CB5-0CB9 0CBC-0CC4 _ 0CC6-0CC8 _ 0CCA-0CCD "
        "0CD5-0CD6 0CE0-0CE3"
    ),
    8: (
        "_ 0D02-0D03 0D05-0D0C _ 0D0E-0D10 _ 0D12-0D28 _ 0D2A-0D39 _ 0D3D-0D44 _ 0D46-0D48 _ 0D4A-0D4D 0D57 "
        "0D60-0D63 0D79"
    ),
    9: (
        "0B01-0B03 0B05-0B0C _ _ 0B0F-0B10 _ _ 0B13-0B28 _ 0B2A-0B30 _ 0B32-0B33 _ 0B35-0B39 0B3C-0B44 _ _ "
        "0B47-0B48 _ _ 0B4B-0B4D 0B56-0B57 0B60-0B63"
    ),
    10: (
        "0A01-0A03 0A05-0A0A _ _ _ _ 0A0F-0A10 _ _ 0A13-0A28 _ 0A2A-0A30 _ 0A32-0A33 _ 0A35-0A36 _ 0A38-0A39 0A3C "
        "_ 0A3E-0A42 _ _ _ _ 0A47-0A48 _ _ 0A4B-0A4D 0A51 0A70-0A74"
    ),
    11: (
        "_ 0B82-0B83 0B85-0B8A _ _ _ 0B8E-0B90 _ 0B92-0B95 _ _ _ 0B99-0B9A _ 0B9C _ 0B9E-0B9F _ _ _ 0BA3-0BA4 _ _ "
        "_ 0BA8-0BAA _ _ _ 0BAE-0BB9 _ _ 0BBE-0BC2 _ _ _ 0BC6-0BC8 _ 0BCA-0BCD 0BD0 0BD7 0BF0-0BF2 0BF9"
    ),
    12: (
        "0C01-0C03 0C05-0C0C _ 0C0E-0C10 _ 0C12-0C28 _ 0C2A-0C33 _ 0C35-0C39 _ 0C3D-0C44 _ 0C46-0C48 _ 0C4A-0C4D "
        "0C55-0C56 0C60-0C63"
    ),
    13: (
        "0627 0622 0628 067B 0680 067E 06A6 062A 06C2 067F 0679 067D 067A 067C 062B-062C 0681 0684 0683 0685-0687 "
        "062D-062F 068C 0688-068A 068F 068D 0630-0631 0691 0693 0699 0632 0696 0698 069A 0633-0639 0641-0642 "
        "06A9-06AB 06AF 06B3 06B1 0644-0646 06BA-06BC 0648 06C4 06D5 06C1 06BE 0621 06CC 06D0 06D2 064D 0650 064F "
        "0657 0654 0655 0651 0653 0656 0670"
    ),
}

# A.2.4 to A.2.13, in the same manner. 0x0D is a control (CR2) that carries no character.
_INDIC_SINGLE = (
    "@£$¥¿\"¤%&'\f*+\0-/"
    "<=>¡^¡_#*··\x1b····"
    "········{}·····\\"
    "············[~]·"
    "|ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZ\0\0\0\0\0"
    "\0\0\0\0\0€\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
)
_SINGLE_SCRIPTS = {
    4: "09E6-09EF 09DF 09E0-09E3 09F2-09FA",
    5: "0964-0965 0AE6-0AEF",
    6: "0964-096F 0951-0954 0958-0963 0970-0971",
    7: "0964-0965 0CE6-0CEF 0CDE 0CF1-0CF2",
    8: "0964-0965 0D66-0D75 0D7A-0D7F",
    9: "0964-0965 0B66-0B6F 0B5C-0B5D 0B5F 0B70-0B71",
    10: "0964-0965 0A66-0A6F 0A59-0A5C 0A5E 0A75",
    11: "0964-0965 0BE6-0BEF 0BF3-0BF8 0BFA",
    12: "_ _ 0C66-0C6F 0C58-0C59 0C78-0C7F",
    13: "0600-0601 06F0-06F9 060C-0614 061B 061F 0640 0652 0658 066B-066C 0672-0673 06CD 06D4",
}


@cache
def locking(language: int) -> Mapping[int, str]:
    """The characters that stand for themselves: the default alphabet, or a language's locking shift table."""
    if language in _LOCKING_SCRIPTS:
        return _scripted(_INDIC_LOCKING, _LOCKING_SCRIPTS[language])
    table = {septet: char for septet, char in enumerate(_DEFAULT) if char != "\x1b"}
    return table | _listed(_LOCKING_CHANGES.get(language, ""))


@cache
def single(language: int) -> Mapping[int, str]:
    """The characters behind an escape: the default extension, or a language's single shift table."""
    if language in _SINGLE_SCRIPTS:
        return _scripted(_INDIC_SINGLE, _SINGLE_SCRIPTS[language])
    return {0x0A: "\f"} | _listed(_EXTENSION) | _listed(_SINGLE_ADDITIONS.get(language, ""))


def _listed(entries: str) -> dict[int, str]:
    return {int(entry[:2], 16): entry[2:] for entry in entries.split()}


def _scripted(frame: str, script: str) -> dict[int, str]:
    letters = _letters(script)
    table: dict[int, str] = {}
    for septet, sign in enumerate(frame):
        char = next(letters, "") if sign == "·" else sign
        if char and char not in "\0\x1b":
            table[septet] = char
    return table


def _letters(script: str) -> Iterator[str]:
    for run in script.split():
        if run == "_":
            yield ""
        else:
            first, _, last = run.partition("-")
            yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))
