"""A template's text, made into a function from values to a message's text.

It is written in the language of forwarding's templates and runs in the same sandbox, `columba.usercode`, which bounds it
in time and memory. What is words and names alone, as most are, is joined here: a quarter of the time. Fails with
TemplateError, when it is made or when it is run.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import Environment, TemplateSyntaxError, meta

from columba.usercode import Template, UserCodeError
from columba.usercode.values import text_of

_NAME: Final = re.compile(r"\{\{ *([A-Za-z][A-Za-z0-9_]*) *\}\}")
_MARKS: Final = ("{{", "}}", "{%", "%}", "{#", "#}")
_SYNTAX: Final = Environment(autoescape=False)  # noqa: S701  # to find names: nothing is ever run in it

Render = Callable[[Mapping[str, Any]], str]


class TemplateError(Exception):
    """A text that is no template, or that could not be filled in: why, for its author."""


def compiled(text: str) -> tuple[Render, frozenset[str]]:
    """The function, and the names that it wants. TemplateError for what is no template."""
    try:
        names = frozenset(meta.find_undeclared_variables(_SYNTAX.parse(text)))
    except (TemplateSyntaxError, RecursionError, ValueError):
        names = frozenset()  # what is wrong with it is said below, with its place
    try:
        template = Template.parse(text, names)
    except UserCodeError as error:
        raise TemplateError(str(error)) from None

    pieces = _NAME.split(text)
    if names == frozenset(pieces[1::2]) and not any(mark in words for words in pieces[::2] for mark in _MARKS):
        return joined(pieces), names

    def render(values: Mapping[str, Any]) -> str:
        try:
            return template.render(values)
        except UserCodeError as error:
            raise TemplateError(str(error)) from None

    return render, names


def joined(pieces: list[str]) -> Render:
    """Words and names in turn, filled in as the sandbox would."""
    names = pieces[1::2]
    words = "%s".join(each.replace("%", "%%") for each in pieces[::2])

    def render(values: Mapping[str, Any]) -> str:
        return words % tuple([value if type(value := values[name]) is str else text_of(value) for name in names])

    return render
