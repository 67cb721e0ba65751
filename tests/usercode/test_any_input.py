"""Whatever is given as code is taken or refused by UserCodeError, and whatever is rendered ends: nothing else comes out."""

import contextlib
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from columba.forwarding import curl
from columba.usercode import Expression, Pattern, Schema, Template, UserCodeError, jsonpath, structure
from columba.usercode.filters import FILTERS, TESTS

NAMES = ("text", "from", "groups", "steps", "media", "metadata", "contact", "id", "nope")
ATOMS = st.sampled_from(
    [*NAMES, "1", "0", "-2", "1.5", "'x'", "''", "true", "none", "[]", "{}", "[text, 1]", "{'a': media}"]
)
ARGUMENTS = st.lists(ATOMS, max_size=3).map(", ".join)
FILTERED = st.tuples(ATOMS, st.lists(st.tuples(st.sampled_from(sorted(FILTERS)), ARGUMENTS), max_size=4)).map(
    lambda made: made[0] + "".join(f" | {name}({given})" for name, given in made[1])
)
COMPARED = st.tuples(
    FILTERED, st.sampled_from(["+", "-", "*", "/", "//", "%", "~", "==", "<", "in", "and", "or"]), FILTERED
).map(" ".join)
TESTED = st.tuples(FILTERED, st.sampled_from(sorted(TESTS))).map(" is ".join)
LOOKED = st.tuples(ATOMS, st.sampled_from(["a", "items", "__class__", "0"])).map(
    lambda made: f"{made[0]}['{made[1]}'].{made[1]}"
)
EXPRESSIONS = st.one_of(FILTERED, COMPARED, TESTED, LOOKED)
TEMPLATES = st.one_of(
    EXPRESSIONS.map(lambda source: f"a {{{{ {source} }}}} b"),
    st.tuples(EXPRESSIONS, EXPRESSIONS).map(
        lambda m: f"{{% for x in {m[0]} %}}{{{{ loop.index }}}}{{{{ {m[1]} }}}}{{% endfor %}}"
    ),
    st.tuples(EXPRESSIONS, EXPRESSIONS).map(
        lambda m: f"{{% set y = {m[0]} %}}{{% if y %}}{{{{ {m[1]} }}}}{{% endif %}}"
    ),
    st.text(st.sampled_from("{}%#|.()[]'\"ab1 \n-+~=<>\\")),
    st.text(),
)
WORDS = [
    *(
        "-H",
        "-d",
        "-X",
        "POST",
        "https://x.test/a",
        "a: b",
        "'",
        '"',
        "-u",
        "me:pw",
        "--json",
        "{}",
        "-F",
        "a=b",
        "\\\n",
    ),
    *("$'\\x41'", "--data-urlencode", "-G", "-sS", "--", "-", "--url", "--aws-sigv4", "aws:amz:a:b", "@f"),
    "-H 'Content-Type: application/json'",
]
COMMANDS = st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join)).map("curl {}".format)
TEXTS = st.sampled_from(
    ["", "a", "12", "-1.5", "é😀", "\x00\n", "2026-01-02T03:04:05Z", "+447700900123", "{{ x }}", '"', "a" * 500]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, -7, 2**70, 1.5, float("inf"), float("nan")]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
SEEN = st.builds(
    lambda text, value: {
        "text": text, "from": text, "groups": {"a": text}, "steps": value, "media": [text], "metadata": value,
        "contact": value, "id": text,
    },
    TEXTS,
    JSON,
)  # fmt: skip


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What is refused is refused with words; any other exception goes through."""
    try:
        yield
    except (UserCodeError, curl.CurlError) as error:
        if not str(error):
            raise


@settings(max_examples=80)
@given(TEMPLATES, SEEN, st.sampled_from(["none", "xml", "url", "line"]))
def test_templates(source: str, seen: dict[str, Any], escape: Any) -> None:
    with told():
        assert isinstance(Template.parse(source, escape=escape).render(seen), str)


@settings(max_examples=80)
@given(JSON, SEEN)
def test_structures(value: Any, seen: dict[str, Any]) -> None:
    with told():
        structure(value).render(seen)


@settings(max_examples=80)
@given(
    st.one_of(
        st.text(),
        st.text(st.sampled_from("textfromgroups.()[]{}'\"!&|=<>+-*/1 ,:?\n")),
        st.tuples(ATOMS, st.sampled_from(["==", "+", "in", "&&", ".matches", "<"]), ATOMS).map(
            lambda m: f"{m[0]} {m[1]} ({m[2]})"
        ),
    ),
    SEEN,
)
def test_expressions(source: str, seen: dict[str, Any]) -> None:
    with told():
        expression = Expression.parse(source)
        expression.holds(seen)
        expression.evaluate(seen)


@settings(max_examples=80)
@given(st.one_of(st.text(), st.text(st.sampled_from("ab()[]{}*+?|\\^$.<>P:=!1,0"))), st.text(), st.text())
def test_patterns(source: str, text: str, replacement: str) -> None:
    with told():
        pattern = Pattern.parse(source)
        groups = pattern.match(text)
        assert (groups is not None) is pattern.matches(text)
        pattern.replace(text, replacement, 1_000)


@settings(max_examples=80)
@given(st.one_of(st.text(), st.text(st.sampled_from("$.[]'*?@=<>ab01(),:-\"&|!~")).map("${}".format)), JSON)
def test_paths(query: str, document: Any) -> None:
    with told():
        jsonpath(query, document)


@settings(max_examples=80)
@given(
    st.dictionaries(
        st.sampled_from(["type", "properties", "items", "pattern", "enum", "$ref", "minimum", "not"]), JSON
    ),
    JSON,
)
def test_schemas(schema: dict[str, Any], document: Any) -> None:
    with told():
        Schema.parse(schema).problems(document)


@settings(max_examples=80)
@given(COMMANDS)
def test_curl_commands(command: str) -> None:
    with told():
        assert curl.read(command)["request"]["url"]
