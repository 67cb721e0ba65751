"""Whatever is given as code is taken or refused by UserCodeError, and whatever is rendered ends: nothing else comes out."""

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
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
SEEN = st.fixed_dictionaries(
    {
        "text": st.text(), "from": st.text(), "groups": st.dictionaries(st.text(), st.text()), "steps": JSON,
        "media": st.lists(st.text()), "metadata": JSON, "contact": st.none() | JSON, "id": st.text(),
    }
)  # fmt: skip


@settings(max_examples=300)
@given(TEMPLATES, SEEN, st.sampled_from(["none", "xml", "url", "line"]))
def test_templates(source: str, seen: dict[str, Any], escape: Any) -> None:
    try:
        shown = Template.parse(source, escape=escape).render(seen)
    except UserCodeError as error:
        assert error.detail
        assert error.line >= 0
        return
    assert isinstance(shown, str)


@settings(max_examples=100)
@given(JSON, SEEN)
def test_structures(value: Any, seen: dict[str, Any]) -> None:
    try:
        structure(value).render(seen)
    except UserCodeError as error:
        assert error.detail


@settings(max_examples=200)
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
    try:
        expression = Expression.parse(source)
        expression.holds(seen)
        expression.evaluate(seen)
    except UserCodeError as error:
        assert error.detail


@settings(max_examples=200)
@given(st.one_of(st.text(), st.text(st.sampled_from("ab()[]{}*+?|\\^$.<>P:=!1,0"))), st.text(), st.text())
def test_patterns(source: str, text: str, replacement: str) -> None:
    try:
        pattern = Pattern.parse(source)
    except UserCodeError as error:
        assert error.detail
        return
    groups = pattern.match(text)
    assert (groups is not None) is pattern.matches(text)
    pattern.replace(text, replacement, 1_000)


@settings(max_examples=150)
@given(st.one_of(st.text(), st.text(st.sampled_from("$.[]'*?@=<>ab01(),:-\"&|!~")).map("${}".format)), JSON)
def test_paths(query: str, document: Any) -> None:
    try:
        jsonpath(query, document)
    except UserCodeError as error:
        assert error.detail


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["type", "properties", "items", "pattern", "enum", "$ref", "minimum", "not"]), JSON
    ),
    JSON,
)
def test_schemas(schema: dict[str, Any], document: Any) -> None:
    try:
        Schema.parse(schema).problems(document)
    except UserCodeError as error:
        assert error.detail


@settings(max_examples=200)
@given(st.one_of(st.text(), st.lists(st.sampled_from([
    "-H", "-d", "-X", "POST", "https://x.test/a", "a: b", "'", '"', "-u", "me:pw", "--json", "{}", "-F", "a=b", "\\\n", "$'\\x41'",
    "--data-urlencode", "-G", "-sS", "--", "-", "--url", "--aws-sigv4", "aws:amz:a:b", "@f", "-H 'Content-Type: application/json'",
])).map(" ".join)).map("curl {}".format))  # fmt: skip
def test_curl_commands(command: str) -> None:
    try:
        assert curl.read(command)["request"]["url"]
    except curl.CurlError as error:
        assert str(error)
