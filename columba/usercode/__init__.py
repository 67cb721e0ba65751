"""Code that users write: templates, expressions, patterns, paths into JSON and schemas, each bounded in time and memory.

Pure: no store, no network, no clock. What is wrong with a piece of code is told when it is parsed, by UserCodeError with
line and column; what goes wrong while it runs, by the same. Nothing else is raised.

    Template.parse("Hi {{ from }}").render(context)              -> str
    structure({"id": "{{ groups.order | int }}"}).render(context) -> {"id": 12}
    Expression.parse('text.contains("order")').evaluate(context) -> True
    Pattern.parse("(?i)^order (?P<order>[0-9]+)").match(text)     -> {"0": ..., "1": "12", "order": "12"} or None
    jsonpath("$.ticket.id", document)                            -> a value or None
    Schema.parse({"type": "object"}).problems(document)          -> [] or what is wrong
"""

from columba.usercode.documents import Schema, jsonpath, parse_path
from columba.usercode.errors import TooMuch, UserCodeError
from columba.usercode.expressions import Expression
from columba.usercode.names import NAMES
from columba.usercode.patterns import Pattern
from columba.usercode.templates import Escape, Structure, Template, structure

__all__ = [
    "NAMES",
    "Escape",
    "Expression",
    "Pattern",
    "Schema",
    "Structure",
    "Template",
    "TooMuch",
    "UserCodeError",
    "jsonpath",
    "parse_path",
    "structure",
]
