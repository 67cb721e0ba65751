"""What makes a text unsendable. Nothing here fails."""

import re

# Tab, line feed, form feed and carriage return are text: GSM has three of them, and smart encoding makes a tab a space.
# Other control characters have no look on any handset, and some mean something to the equipment on the way. The rest of
# Unicode passes, unassigned and private characters too: a network carries any 16 bits.
_UNSENDABLE = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")


def check(text: str, limit: int = 100) -> list[tuple[int, str]]:
    """Where the text can't be sent and why, the first `limit` places; nothing if it can be."""
    problems: list[tuple[int, str]] = []
    if text.isascii() and text.isprintable():
        return problems
    for match in _UNSENDABLE.finditer(text):
        if len(problems) == limit:
            break
        problems.append((match.start(), _reason(match[0])))
    return problems


def _reason(character: str) -> str:
    if character == "\0":
        return "NUL"
    if character > "\x7f":
        return f"lone surrogate U+{ord(character):04X}"
    return f"control character U+{ord(character):04X}"
