"""What is joined here is what the sandbox would have made of it."""

from typing import Any

import pytest

from columba.templates.text import TemplateError, compiled
from columba.usercode import Template

VALUES: dict[str, Any] = {"a": "x", "b": 5, "c": 2.0, "d": True, "e": ["x", 1], "f": "", "g": "{{ a }} %s", "h": 1e20}
TEXTS = (
    "", "plain", "{{ a }}", "{{a}}{{  b  }}", "100 % {{ c }}%s %(a)s", "{{ d }}\n{{ e }}\n", "{{ g }} { { a } }", "{{ h }}",
    "{{ f }}|{{ a }}", "{{ a | upper }}", "{{ a }}{# never seen #}", "{% if d %}{{ a }}{% endif %}", "{{ '{{ a }}' }}",
    "{{ a.b }}", "{{\ta }}", "{{- a -}}",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_as_the_sandbox_makes_it(text: str) -> None:
    render, names = compiled(text)
    assert render(VALUES) == Template.parse(text, frozenset(VALUES)).render(VALUES)
    assert names <= set(VALUES)


@pytest.mark.parametrize("text", ["{{ a", "{{ }}", "{% if %}", "{{ a() }}", "{{ a }} {% x %}", "{{ a b }}"])
def test_what_is_none_is_told_with_its_place(text: str) -> None:
    with pytest.raises(TemplateError, match="line 1"):
        compiled(text)
