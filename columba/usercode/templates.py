"""Templates: Jinja's syntax, an allow-list of it, with filters of ours; compiled once, rendered in microseconds.

A template sees plain values by the names that it was parsed with, and nothing else of the program. Rendering is bounded
in work, time and output. Fails with UserCodeError, with line and column where it is parsed, with the line where it runs.
"""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Literal, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from columba.usercode import syntax, work
from columba.usercode.errors import TooMuch, UserCodeError
from columba.usercode.filters import FILTERS, TESTS
from columba.usercode.names import NAMES
from columba.usercode.rewritten import INTERNAL
from columba.usercode.values import Missing, number_of, plain, whole

Escape = Literal["none", "xml", "url", "line"]

_MISSING: Final = Missing()


class _Environment(ImmutableSandboxedEnvironment):
    """Looks into mappings and lists, never at an object's attributes; computes with numbers of bounded size."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%"))

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            return obj.get(attribute, _MISSING)
        if isinstance(obj, LoopContext) and attribute in syntax.LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Missing):
            return obj
        try:
            if isinstance(obj, dict | list | tuple | str):
                return obj[argument]
        except (LookupError, TypeError):
            pass
        return _MISSING

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return work.held(left + right)
        if operator == "+" and isinstance(left, list) and isinstance(right, list):
            made = left + right
            work.count(made)
            return made
        a, b = number_of(left, operator), number_of(right, operator)
        try:
            return whole(_ARITHMETIC[operator](a, b))
        except ZeroDivisionError:
            raise UserCodeError(0, 0, "Something is divided by zero.") from None
        except OverflowError:
            raise UserCodeError(0, 0, "A number becomes too large.") from None


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


def _environment() -> _Environment:
    made = _Environment(undefined=Missing, optimized=False, keep_trailing_newline=True, cache_size=0)
    made.filters = {**FILTERS, **INTERNAL}
    made.tests = dict(TESTS)
    made.globals = {}
    return made


_ENV: Final = _environment()
_RULES: Final = syntax.Rules(FILTERS, TESTS.keys())
_OUTPUT: Final[dict[str, str]] = {"none": "_as_text", "xml": "_as_xml", "line": "_as_line"}


class Template:
    """A template that is ready to use."""

    __slots__ = ("_constant", "_root", "_template", "lone", "source")

    def __init__(self, source: str, template: jinja2.Template | None, lone: bool) -> None:
        self.source = source
        self.lone = lone  # one single expression and nothing else
        self._template = template
        self._root = None if template is None else template.root_render_func
        self._constant = source

    @staticmethod
    def parse(source: str, names: Collection[str] = NAMES, escape: Escape = "none") -> "Template":
        """`escape` is what is done to values: quoted for XML or a URL, or put on one line."""
        return _parse(source, names if isinstance(names, frozenset) else frozenset(names), escape, False)

    @staticmethod
    def check(source: str, names: Collection[str] = NAMES) -> None:
        """Raises what `parse` raises, at a fifth of its price: for what is kept now and used later."""
        if "{" in source or len(source) > syntax.LONGEST:
            _RULES.check(syntax.parse(_ENV, source), names)

    def render(self, context: Mapping[str, Any]) -> str:
        """The text."""
        root = self._root
        if root is None:
            return self._constant
        work.begin()
        try:
            return self._run(context)
        except Exception as error:
            self._failed(error)

    def value(self, context: Mapping[str, Any]) -> Any:
        """What a single expression comes to, whatever its type; the text of any other template."""
        if not self.lone:
            return self.render(context)
        work.begin()
        work.run.kept = None
        try:
            self._run(context)
            kept, work.run.kept = work.run.kept, None
            if isinstance(kept, dict | list | tuple):
                work.count(kept)
                return plain(kept)
            return None if isinstance(kept, Missing) else str(kept) if isinstance(kept, str) else kept
        except Exception as error:
            self._failed(error)

    def _run(self, context: Mapping[str, Any]) -> str:
        assert self._root is not None
        pieces = []
        left = work.MOST_OUTPUT
        for piece in self._root(Context(_ENV, context, None, {})):  # type: ignore[arg-type]
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise TooMuch(f"It makes more than {work.MOST_OUTPUT} characters.")
        return pieces[0] if len(pieces) == 1 else "".join(pieces)

    def _failed(self, error: Exception) -> NoReturn:
        line = self._line(error.__traceback__)
        if isinstance(error, UserCodeError):
            raise (
                type(error)(error.detail) if isinstance(error, TooMuch) else UserCodeError(line, 0, error.detail)
            ) from None
        if isinstance(error, jinja2.TemplateRuntimeError):
            raise UserCodeError(line, 0, f"{error.message}."[:200]) from None
        if isinstance(error, (TypeError, ValueError, LookupError, ArithmeticError, RecursionError, AttributeError)):
            raise UserCodeError(line, 0, "A value has the wrong type for this.") from None
        raise error

    def _line(self, trace: TracebackType | None) -> int:
        line = 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>" and self._template is not None:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


@lru_cache(maxsize=2048)  # those in use are held by who uses them
def _parse(source: str, names: frozenset[str], escape: Escape, typed: bool) -> Template:
    if "{" not in source and len(source) <= syntax.LONGEST:
        return Template(source, None, False)
    tree = syntax.parse(_ENV, source)
    _RULES.check(tree, names)
    lone = typed and syntax.single(tree)

    def output(part: nodes.Expr, before: str) -> str:
        if lone:
            return "_kept"
        return _OUTPUT[escape] if escape != "url" else _place_in_url(before)

    try:
        tree = syntax.Bounded(output).visit(tree)
        tree.set_environment(_ENV)
        made = _ENV.compile(tree)
    except (SyntaxError, RecursionError, MemoryError, jinja2.TemplateError):
        raise UserCodeError(1, 1, "It is too large or nested too deeply.") from None
    return Template(source, jinja2.Template.from_code(_ENV, made, {}, None), lone)


def _place_in_url(before: str) -> str:
    """A value that begins a URL goes in as it is, one in its host with its port, any other as one piece of data."""
    if not before:
        return "_as_text"
    _, scheme, rest = before.partition("://")
    return "_as_host" if scheme and "/" not in rest and "?" not in rest and "\0" not in before else "_as_url"


class Structure:
    """A JSON value whose texts are templates. One that is a single `{{ expression }}` keeps the type of its value."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Mapping[str, Any]], Any]) -> None:
        self._make = make

    def render(self, context: Mapping[str, Any]) -> Any:
        return self._make(context)


DEEPEST: Final = 20
MOST_LEAVES: Final = 1_000


def structure(value: Any, names: Collection[str] = NAMES) -> Structure:
    """`UserCodeError.detail` names the place of a text that is no template."""
    fixed = names if isinstance(names, frozenset) else frozenset(names)
    return Structure(_compile(value, fixed, "", 0, [MOST_LEAVES]))


def _compile(
    value: Any, names: frozenset[str], path: str, depth: int, left: list[int]
) -> Callable[[Mapping[str, Any]], Any]:
    left[0] -= 1
    if depth > DEEPEST or left[0] < 0:
        raise UserCodeError(0, 0, f"At most {DEEPEST} levels and {MOST_LEAVES} values are allowed.")
    if isinstance(value, str):
        try:
            template = _parse(value, names, "none", True)
        except UserCodeError as error:
            raise UserCodeError(
                error.line, error.column, f"{error.detail} (in {path})" if path else error.detail
            ) from None
        return template.value if template.lone else template.render
    if isinstance(value, dict):
        pairs = [
            (name, _compile(each, names, f"{path}.{name}" if path else str(name), depth + 1, left))
            for name, each in value.items()
        ]
        return lambda context: {name: make(context) for name, make in pairs}
    if isinstance(value, list | tuple):
        makers = [_compile(each, names, f"{path}[{n}]", depth + 1, left) for n, each in enumerate(value)]
        return lambda context: [make(context) for make in makers]
    return lambda context: value
