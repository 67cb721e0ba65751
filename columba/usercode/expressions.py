"""CEL expressions: conditions and values over a text and what systems answered. Google's evaluator, with limits.

Its own: 10,000 steps of iteration and 32 levels of nesting. Ours: a short source, no `map` or `filter`, no `all` or
`exists` within another, and `matches` by RE2 with a budget. Fails with UserCodeError; a key that isn't there is such a
failure too (`has(groups.order)` asks first).
"""

import re
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from columba.usercode.errors import UserCodeError
from columba.usercode.names import NAMES
from columba.usercode.patterns import MOST_SEARCHED, Pattern

LONGEST: Final = 4_000  # characters
MOST_MATCHED: Final = 800_000  # units of work that patterns may do in one evaluation
_LIMITS: Final = """
stdlib:
  exclude_macros: [map, filter]
  exclude_functions:
    - name: matches
"""
_BOUNDED: Final = "_match_"  # what `matches` is called inside: as long, so that columns stay
_MATCHES: Final = re.compile(r"\bmatches(?=\s*\()")
_STRING: Final = re.compile(
    r"[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+')|//[^\n]*", re.DOTALL
)
_MACRO: Final = re.compile(r"\.\s*(all|exists|exists_one)\s*\(|[()]")
_NAME: Final = re.compile(r"(?<![\w.])[a-zA-Z_]\w*")
# What is small enough to be looked at again for each item of a list.
_SMALL: Final = frozenset(
    {"id", "from", "to", "text", "received_at", "keyword", "groups", "contact", "account", "status"}
)
_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]+)")
_SOURCE_LINE: Final = re.compile(r"\n \|.*", re.DOTALL)


class _Spent:
    left = 0


def _matches(text: str, source: str) -> bool:
    pattern = Pattern.parse(source)
    _Spent.left -= min(len(text), MOST_SEARCHED) * pattern.price + 500
    if _Spent.left < 0:
        raise ValueError("patterns look at too much")
    return pattern.matches(text)


@cache
def _cel() -> Any:
    from cel_expr_python import cel  # here, because it takes 4 MB and many never use it

    return cel


@lru_cache(maxsize=64)
def _environment(names: frozenset[str]) -> Any:
    cel = _cel()
    kinds = [cel.Type.STRING, cel.Type.STRING]
    declared = cel.FunctionDecl(
        _BOUNDED,
        [
            cel.Overload("matches_bounded", cel.Type.BOOL, kinds, True, _matches),
            cel.Overload("matches_bounded_global", cel.Type.BOOL, kinds, False, _matches),
        ],
    )
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(_LIMITS),
        variables=dict.fromkeys(names, cel.Type.DYN),
        functions=[declared],
    )


class Expression:
    """An expression that is ready to use."""

    __slots__ = ("_compiled", "names", "source")

    def __init__(self, source: str, compiled: Any, names: frozenset[str]) -> None:
        self.source = source
        self.names = names
        self._compiled = compiled

    @staticmethod
    def parse(source: str, names: Collection[str] = NAMES) -> "Expression":
        return _parse(source, frozenset(names))

    def evaluate(self, context: Mapping[str, Any]) -> Any:
        """Its value, as plain JSON; UserCodeError where there is none."""
        _Spent.left = MOST_MATCHED
        names = self.names
        try:
            value = self._compiled.eval(data={name: context.get(name) for name in names})
            kind = value.type()
            plain = value.plain_value()
        except RuntimeError as error:
            raise UserCodeError(0, 0, _short(str(error))) from None
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise UserCodeError(0, 0, "It is given a value that expressions can't hold.") from None
        if kind == _cel().Type.ERROR:
            raise UserCodeError(0, 0, _short(str(plain)))
        return _plain(plain)

    def holds(self, context: Mapping[str, Any]) -> bool:
        """Whether it is true; an expression without a value isn't."""
        try:
            return self.evaluate(context) is True
        except UserCodeError:
            return False


@lru_cache(maxsize=4096)
def _parse(source: str, names: frozenset[str]) -> Expression:
    if len(source) > LONGEST:
        raise UserCodeError(1, 1, f"The expression is longer than {LONGEST} characters.")
    bare = _STRING.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)
    _check_macros(bare, names)
    inner = source
    for found in _MATCHES.finditer(bare):
        inner = inner[: found.start()] + _BOUNDED + inner[found.end() :]
    environment = _environment(names)
    try:
        return Expression(source, environment.compile(inner), names)
    except RuntimeError as error:
        raise _refused(str(error)) from None
    except (TypeError, ValueError) as error:
        raise UserCodeError(1, 1, _short(str(error))) from None


def _check_macros(bare: str, names: frozenset[str]) -> None:
    """What is done for each item of a list must be small, for it multiplies: no other list, and no large value."""
    opened: list[tuple[int, str]] = []  # where, and by which macro
    for found in _MACRO.finditer(bare):
        if found[0] != ")":
            if found[1] and any(macro for _, macro in opened):
                detail = f"`{found[1]}` can't be used within another all, exists or exists_one."
                raise UserCodeError(*_place(bare, found.start()), detail)
            opened.append((found.end(), found[1] or ""))
        elif opened:
            start, macro = opened.pop()
            if macro:
                _check_body(bare, start, found.start(), names)


def _check_body(bare: str, start: int, end: int, names: frozenset[str]) -> None:
    used = [found for found in _NAME.finditer(bare, start, end) if found[0] in names]
    for found in used:
        if found[0] not in _SMALL:
            detail = f"`{found[0]}` can't be used for each item of a list: it may be large."
            raise UserCodeError(*_place(bare, found.start()), detail)
    plus = bare.find("+", start, end)
    if used and plus >= 0:
        raise UserCodeError(*_place(bare, plus), "Nothing can be added for each item of a list.")


def _place(source: str, at: int) -> tuple[int, int]:
    return source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)


def _refused(message: str) -> UserCodeError:
    found = _ERROR.search(message)
    if found is None:
        return UserCodeError(1, 1, _short(message))
    line, column = max(int(found[1]), 1), max(int(found[2]), 1)
    detail = found[3].replace(" (in container '')", "").replace(_BOUNDED, "matches")
    if "undeclared reference to 'map'" in message or "undeclared reference to 'filter'" in message:
        detail = "map and filter can't be used: all, exists and exists_one can."
    elif "mismatched input '<EOF>'" in detail:
        detail = "It ends too early."
    return UserCodeError(line, column, detail[:300])


def _short(message: str) -> str:
    text = _SOURCE_LINE.sub("", message).partition(" [")[0]
    head, _, rest = text.partition(": ")
    return (rest if head.isupper() or head.replace("_", "").isupper() else text)[:200] or "It has no value."


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
