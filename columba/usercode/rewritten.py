"""What rewritten templates call (columba/usercode/syntax.py): filters that no template can name, for loops, comparisons,
literals, and for what becomes of a value where it is put out. Each spends from the budget. Fails with UserCodeError.
"""

import operator
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape as xml_escape

from columba.usercode import work
from columba.usercode.errors import UserCodeError
from columba.usercode.filters import Raw
from columba.usercode.values import Missing, items_of, kind_of, text_of


def failed(detail: str) -> UserCodeError:
    return UserCodeError(0, 0, detail)


def _each(value: Any, cost: int) -> list[Any]:
    found = items_of(value)
    work.spend(len(found) * cost + cost)
    work.still_time()
    return found


def _joined(*parts: Any) -> str:
    return work.held("".join([text_of(part) for part in parts]))


_COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def _compare(left: Any, how: str, right: Any) -> bool:
    left = None if isinstance(left, Missing) else left
    right = None if isinstance(right, Missing) else right
    for side in (left, right):
        if isinstance(side, str):
            work.spend(len(side))
        elif isinstance(side, dict | list | tuple):
            work.count(side)
    if how in ("in", "notin"):
        return _within(left, right) is (how == "in")
    try:
        return bool(_COMPARISONS[how](left, right))
    except TypeError:
        raise failed(f"{kind_of(left).capitalize()} can't be compared with {kind_of(right)}.") from None


def _within(left: Any, right: Any) -> bool:
    if isinstance(right, str):
        return text_of(left) in right
    if right is None:
        return False
    try:
        return left in (right if isinstance(right, dict) else items_of(right))
    except TypeError:  # a list as a name
        return False


def _made(value: Any) -> Any:
    work.count(value)
    return value


def _slice(value: Any, start: Any, stop: Any, step: Any) -> Any:
    if value is None or isinstance(value, Missing):
        return ""
    if not isinstance(value, str | list | tuple):
        raise failed(f"A text or a list was expected, and this is {kind_of(value)}.")
    work.spend(len(value))
    try:
        return value[start:stop:step]
    except (TypeError, ValueError):
        raise failed("The places of a slice are whole numbers.") from None


def _kept(value: Any) -> str:
    work.run.kept = value
    return ""


def _as_xml(value: Any) -> str:
    text = text_of(value)
    # XML 1.0 §2.2: most control characters can't be written at all.
    clean = text if text.isprintable() else "".join(c for c in text if c >= " " or c in "\t\n\r")
    return clean if isinstance(value, Raw) else work.held(xml_escape(clean, {'"': "&quot;", "'": "&#39;"}))


def _as_url(value: Any) -> str:
    return text_of(value) if isinstance(value, Raw) else work.held(quote(_whole_text(value), safe=""))


def _as_host(value: Any) -> str:
    return work.held(quote(_whole_text(value), safe=":[]"))


def _whole_text(value: Any) -> str:
    return text_of(value).encode("utf-8", "replace").decode()


def _as_line(value: Any) -> str:
    """On one line: what goes into a header."""
    text = text_of(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


INTERNAL: Final[dict[str, Callable[..., Any]]] = {
    "_as_host": _as_host, "_as_line": _as_line, "_as_text": text_of, "_as_url": _as_url, "_as_xml": _as_xml,
    "_compare": _compare, "_each": _each, "_join": _joined, "_kept": _kept, "_made": _made, "_slice": _slice,
}  # fmt: skip
