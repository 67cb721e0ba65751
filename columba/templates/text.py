"""A template's text, made into a function from values to a message's text.

It is written in the language of forwarding's templates and runs in the same sandbox, `columba.usercode`, which bounds it
in time and memory. Fails with TemplateError, when it is made or when it is run.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import Environment, TemplateSyntaxError, meta

from columba.usercode import Template, UserCodeError

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

    def render(values: Mapping[str, Any]) -> str:
        try:
            return template.render(values)
        except UserCodeError as error:
            raise TemplateError(str(error)) from None

    return render, names
