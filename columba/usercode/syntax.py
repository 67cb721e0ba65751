"""What of Jinja's syntax a template may use, and how it is made safe. Pure; fails with UserCodeError, with its place.

An allow-list of nodes: outputs, conditions, loops, `set`, literals, arithmetic, filters and tests of ours. No calls, no
macros, no includes, no inheritance. What could grow or repeat without bound is then rewritten into filters that spend
from a budget (columba/usercode/work.py). A token's line is an int that knows its column too, so that every node does.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer

from columba.usercode.errors import UserCodeError

LONGEST: Final = 20_000  # characters
DEEPEST: Final = 40  # levels of nesting
MOST_NODES: Final = 1_500
DEEPEST_LOOP: Final = 3

_ALLOWED: Final = frozenset(
    {
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr, nodes.For,
        nodes.Assign, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Keyword, nodes.Compare,
        nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
        nodes.FloorDiv, nodes.Mod, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair,
    }
)  # fmt: skip
_NAMES: Final[dict[type[nodes.Node], str]] = {
    nodes.Call: "Calls are not allowed: use a filter, such as {{ text | upper }}.",
    nodes.Pow: "** is not allowed.",
    nodes.Macro: "Macros are not allowed.",
    nodes.CallBlock: "Calls are not allowed.",
    nodes.Include: "Other templates can't be included.",
    nodes.Import: "Other templates can't be imported.",
    nodes.FromImport: "Other templates can't be imported.",
    nodes.Extends: "Templates can't extend others.",
    nodes.Block: "Blocks are not allowed.",
    nodes.AssignBlock: "Write {% set name = value %}: blocks can't be set.",
    nodes.NSRef: "Only plain names can be set.",
    nodes.FilterBlock: "Filter blocks are not allowed: use {{ value | filter }}.",
    nodes.With: "{% with %} is not allowed: use {% set %}.",
}
_LOOP: Final = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NEWLINE: Final = re.compile(r"\r\n|\r")


class At(int):
    """A line's number, with a column."""

    column: int

    def __new__(cls, line: int, column: int) -> "At":
        made = super().__new__(cls, line)
        made.column = column
        return made


def place(line: int | None) -> tuple[int, int]:
    return (int(line or 0), line.column if isinstance(line, At) else 0)


def parse(env: Environment, source: str) -> nodes.Template:
    """The syntax tree, each of its nodes with line and column."""
    if len(source) > LONGEST:
        raise UserCodeError(1, 1, f"The template is longer than {LONGEST} characters.")
    source = _NEWLINE.sub("\n", source)
    reached = [0]
    try:
        raw = ((At(line, _column(source, at)), token, text) for line, token, text, at in _tokens(env, source, reached))
        parser = Parser(env, "")
        parser.stream = TokenStream(env.lexer.wrap(raw), None, None)
        tree = parser.parse()
    except TemplateSyntaxError as error:
        line = error.lineno
        where = place(line) if isinstance(line, At) else (line or 1, _column(source, reached[0]))
        raise UserCodeError(*where, _words(error.message or "It is no template.")) from None
    except RecursionError:
        raise UserCodeError(1, 1, "It is nested too deeply.") from None
    except ValueError as error:  # a number of thousands of digits
        raise UserCodeError(1, _column(source, reached[0]), f"It is no template: {error}"[:200]) from None
    _measure(tree)
    return tree


def _tokens(env: Environment, source: str, reached: list[int]) -> Iterator[tuple[int, str, str, int]]:
    at = 0
    for line, token, text in env.lexer.tokeniter(source, None):
        at = max(source.find(text, at), at)  # only whitespace is ever left out before a token
        yield line, token, text, at
        at += len(text)
        reached[0] = at


def _column(source: str, at: int) -> int:
    return at - source.rfind("\n", 0, at)


def _words(message: str) -> str:
    """Jinja's words, without its advice about features that there aren't here."""
    message = message.partition(" Jinja was looking for")[0].partition(" You probably")[0]
    message = message.replace("'end of print statement'", "'}}'").replace("'end of statement block'", "'%}'")
    return message if message.endswith((".", "?")) else f"{message}."


def _measure(tree: nodes.Template) -> None:
    """Size and depth, without recursion: what follows may recurse."""
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > DEEPEST:
            raise UserCodeError(*place(node.lineno), f"It is nested too deeply: {DEEPEST} levels at most.")
        if count > MOST_NODES:
            raise UserCodeError(*place(node.lineno), f"It is too large: {MOST_NODES} parts at most.")
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]


class Rules:
    """What names, filters and tests there are."""

    def __init__(self, filters: Mapping[str, Callable[..., Any]], tests: Collection[str]) -> None:
        self.filters = filters
        self.tests = tests
        self._signatures = {name: inspect.signature(each) for name, each in filters.items()}

    def check(self, tree: nodes.Template, names: Collection[str]) -> None:
        """Raises for the first thing that is not allowed."""
        own = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}
        self._visit(tree, frozenset(names) | own, 0)

    def _visit(self, node: nodes.Node, names: frozenset[str], loops: int) -> None:
        kind = type(node)
        where = place(node.lineno)
        if kind not in _ALLOWED:
            raise UserCodeError(*where, _NAMES.get(kind, f"{kind.__name__} is not allowed here."))
        if isinstance(node, nodes.Name) and node.ctx == "load" and node.name not in names:
            raise UserCodeError(*where, f"There is no `{node.name}`{_near(node.name, names)}")
        if isinstance(node, nodes.Name) and node.ctx == "store" and node.name.startswith("_"):
            raise UserCodeError(*where, "A name can't begin with an underscore.")
        if isinstance(node, nodes.Const) and isinstance(node.value, str) and _SURROGATE.search(node.value):
            raise UserCodeError(*where, "Half of a surrogate pair can't be written.")
        if isinstance(node, nodes.Filter):
            self._filter(node, where)
        elif isinstance(node, nodes.Test):
            if node.name not in self.tests:
                raise UserCodeError(*where, f"There is no test `{node.name}`{_near(node.name, self.tests)}")
            if len(node.args) > 1 or node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
                raise UserCodeError(*where, f"The test `{node.name}` takes no such arguments.")
        elif isinstance(node, nodes.Compare) and len(node.ops) > 1:
            where = place(node.expr.lineno)
            raise UserCodeError(*where, "Compare two values at a time, and join comparisons with `and`.")
        elif isinstance(node, nodes.Assign) and not isinstance(node.target, nodes.Name):
            raise UserCodeError(*where, "Only one plain name can be set at a time.")
        elif isinstance(node, nodes.For):
            if node.recursive:
                raise UserCodeError(*where, "Recursive loops are not allowed.")
            if loops == DEEPEST_LOOP:
                raise UserCodeError(*where, f"At most {DEEPEST_LOOP} loops may be nested.")
            loops += 1
            names |= {"loop"}
        for child in node.iter_child_nodes():
            self._visit(child, names, loops)

    def _filter(self, node: nodes.Filter, where: tuple[int, int]) -> None:
        signature = self._signatures.get(node.name)
        if signature is None or node.name.startswith("_"):
            raise UserCodeError(*where, f"There is no filter `{node.name}`{_near(node.name, self.filters)}")
        if node.dyn_args is not None or node.dyn_kwargs is not None or node.node is None:
            raise UserCodeError(*where, f"The filter `{node.name}` takes no such arguments.")
        try:
            signature.bind(None, *node.args, **{str(each.key): each.value for each in node.kwargs})
        except TypeError as error:
            raise UserCodeError(*where, f"The filter `{node.name}`: {error}.") from None
        pattern = node.args[0] if node.args else None
        if node.name.startswith("regex_") and isinstance(pattern, nodes.Const):
            self._pattern(pattern)

    @staticmethod
    def _pattern(node: nodes.Const) -> None:
        from columba.usercode.patterns import Pattern

        try:
            Pattern.parse(str(node.value))
        except UserCodeError as error:
            raise UserCodeError(*place(node.lineno), error.detail) from None


def _near(name: str, known: Collection[str]) -> str:
    shown = [each for each in known if not each.startswith("_")]
    near = difflib.get_close_matches(name, shown, 1, 0.7)
    if near:
        return f"; is `{near[0]}` meant?"
    return f". There are {', '.join(sorted(shown))}." if len(shown) <= 20 else "."


class Bounded(NodeTransformer):
    """Rewrites what repeats or grows into filters that spend."""

    def __init__(self, output: Callable[[nodes.Expr, str], str]) -> None:
        self._output = output  # which filter an output goes through, given what stands before it
        self._before = ""

    def _call(self, name: str, node: nodes.Node, *args: nodes.Expr) -> nodes.Filter:
        return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        parts: list[nodes.Expr] = []
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                self._before += part.data
                parts.append(part)
            else:
                name = self._output(part, self._before)
                self._before += "\0"
                parts.append(self._call(name, self.visit(part)))
        node.nodes = parts
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        cost = sum(1 for _ in _all(node))
        self.generic_visit(node)
        node.iter = self._call("_each", node.iter, nodes.Const(cost * 4))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        first, *others = node.nodes
        return self._call("_join", first, *others)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        (operand,) = node.ops
        return self._call("_compare", node.expr, nodes.Const(operand.op), operand.expr)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            none = nodes.Const(None)
            cut = node.arg
            return self._call("_slice", node.node, cut.start or none, cut.stop or none, cut.step or none)
        return node

    def _made(self, node: nodes.Node) -> nodes.Node:
        self.generic_visit(node)
        return self._call("_made", node)

    visit_List = visit_Dict = _made

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return node if node.ctx == "store" else self._made(node)


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def single(tree: nodes.Template) -> bool:
    """Whether the template is one single expression and nothing else."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return False
    parts = tree.body[0].nodes
    return len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData)


LOOP_ATTRIBUTES: Final = _LOOP
