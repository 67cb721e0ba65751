"""Expressions, patterns, paths and schemas: what they say, what is refused, and that none of them runs away."""

import time
from typing import Any

import pytest

from columba.usercode import Expression, Pattern, Schema, UserCodeError, jsonpath

SEEN: dict[str, Any] = {
    "id": "msg_1", "from": "+447700900123", "to": "+12025550100", "text": "order 12 now", "media": ["a", "b"],
    "received_at": "2026-01-02T23:04:05.678Z", "keyword": "ORDER", "groups": {"order": "12"}, "contact": None,
    "account": {}, "metadata": {"n": 3}, "steps": {"find": {"ok": True, "json": {"items": [{"id": 5}, {"id": 6}]}}},
}  # fmt: skip


class TestExpressions:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("text.contains('12') && keyword == 'ORDER'", True),
            ("text.matches('(?i)ORDER [0-9]+')", True),
            ("matches(text, 'z')", False),
            ("'a matches(x) b'.contains('matches(x)')", True),  # within a text it is a text
            ("from.startsWith('+44') || false", True),
            ("steps.find.json.items[1].id + 1", 7),
            ("steps.find.json.items.exists(i, i.id == 6)", True),
            ("media.all(m, m != text)", True),
            ("size(media)", 2),
            ("has(groups.nope)", False),
            ("contact == null", True),
            ("timestamp(received_at).getHours('Europe/Berlin')", 0),
            ("metadata.n > 2 ? 'many' : 'few'", "many"),
            ("{'a': [1, 2.5]}", {"a": [1, 2.5]}),
        ],
    )
    def test_values(self, source: str, value: object) -> None:
        assert Expression.parse(source).evaluate(SEEN) == value

    @pytest.mark.parametrize(
        ("source", "place", "words"),
        [
            ("text +", (1, 7), "too early"),
            ("nosuch == 1", (1, 1), "nosuch"),
            ("'a' +\n  nosuch", (2, 3), "nosuch"),
            ("[1].map(x, x)", (1, 9), "can't be used"),
            ("media.exists(m, media.all(x, true))", (1, 22), "within another"),
            ("media.all(m, m in steps.find.json.items)", (1, 19), "large"),
            ("media.all(m, size(text + text) > 1)", (1, 24), "added"),
            ("text.matches(1)", (1, 13), "matches"),
            ("(" * 200 + "1" + ")" * 200, (1, 1), ""),
            ("1" + " + 1" * 900, (1, 1), ""),
            ("true || " * 600 + "true", (1, 1), "longer"),
        ],
    )
    def test_what_is_refused_says_where(self, source: str, place: tuple[int, int], words: str) -> None:
        began = time.process_time()
        with pytest.raises(UserCodeError) as caught:
            Expression.parse(source)
        assert words in caught.value.detail
        assert (caught.value.line, caught.value.column) == place
        assert time.process_time() - began < 1.0

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("groups.nope == '1'", "nope"),
            ("1 / 0 == 1", "zero"),
            ("text.matches('(?=a)')", "lookahead"),
            ("steps.find.json.items[7].id", ""),
            ("steps.find.big.all(i, i != -1) && steps.find.big.all(i, i != -1)", ""),
            ("metadata.long.matches('[ab]*a[ab]{100}c') || metadata.long.matches('[ab]*a[ab]{100}d')", "too much"),
        ],
    )
    def test_what_has_no_value(self, source: str, words: str) -> None:
        seen = SEEN | {
            "metadata": {"long": "ab" * 50_000},
            "steps": {"find": {"big": list(range(9_000)), "json": {"items": []}}},
        }
        expression = Expression.parse(source)
        began = time.process_time()
        with pytest.raises(UserCodeError) as caught:
            expression.evaluate(seen)
        assert words in caught.value.detail
        assert not expression.holds(seen)
        assert time.process_time() - began < 1.0


class TestPatterns:
    def test_groups(self) -> None:
        pattern = Pattern.parse("(?i)^order (?P<order>[0-9]+)( now)?( never)?")
        assert pattern.match("ORDER 12 now") == {"0": "ORDER 12 now", "1": "12", "2": " now", "3": "", "order": "12"}
        assert pattern.match("reorder") is None
        assert pattern.names == ("order",)

    @pytest.mark.parametrize(
        ("source", "column", "words"),
        [
            ("(a", 1, "missing )"),
            ("ab[z", 3, "missing ]"),
            ("a(?=b)", 2, "lookahead"),
            ("a(?<!b)", 2, "lookbehind"),
            (r"(a)\1", 4, "backreferences"),
            ("x{2000}", 2, "repetition"),
            ("(((a{1,30}){1,30}){1,30})", 0, ""),
            ("x" * 2_000, 0, "longer"),
            ("(?:a?){500}a{500}", 0, "too large"),
        ],
    )
    def test_what_is_refused_says_where(self, source: str, column: int, words: str) -> None:
        with pytest.raises(UserCodeError) as caught:
            Pattern.parse(source)
        assert words in caught.value.detail
        assert column in (0, caught.value.column)

    @pytest.mark.parametrize(
        "source", ["(a+)+$", "(a|a)*b", "(a*)*(a*)*(a*)*b", "(.*)(.*)(.*)(.*)[ab]c", "^(([a-z])+.)+[A-Z]([a-z])+$"]
    )
    def test_no_text_makes_it_slow(self, source: str) -> None:
        began = time.process_time()
        Pattern.parse(source).match("a" * 100_000 + "!")
        assert time.process_time() - began < 1.0


class TestPaths:
    @pytest.mark.parametrize(
        ("query", "value"),
        [
            ("$.ticket.id", 7), ("$['ticket']['id']", 7), ("$.list[0]", "a"), ("$.list[-1]", "b"), ("$..id", 7),
            ("$.rows[?@.n == 2].name", "two"), ("$.rows[?@.n in [2, 3]].name", "two"), ("$['x','ticket'].id", 7),
            ("$['a,b']['c,d']", None), ("$.nope.nope", None), ("$.list[9]", None), ("$", {"ticket": {"id": 7}}),
        ],
    )  # fmt: skip
    def test_the_first_value(self, query: str, value: object) -> None:
        document: dict[str, Any] = {"ticket": {"id": 7}}
        if query != "$":
            document |= {"list": ["a", "b"], "rows": [{"n": 1, "name": "one"}, {"n": 2, "name": "two"}]}
        assert jsonpath(query, document) == value

    @pytest.mark.parametrize(
        "query",
        [
            "ticket.id",
            "$.a[",
            "$..a..b",
            "$.a[?@.b =~ /c/]",
            "$.a[?search(@.b, 'c')]",
            "$.a | $.b",
            "$" + ".a" * 400,
            "$" + "[0,0]" * 40,  # two to the fortieth
            "$['a','b'][*,*]",
            "$[" + "0," * 100 + "0]",
            "",
        ],
    )
    def test_what_is_refused(self, query: str) -> None:
        with pytest.raises(UserCodeError):
            jsonpath(query, {})

    def test_documents_of_any_shape(self) -> None:
        documents: list[Any] = [None, 1, "x", [], [[[]]], True]
        for document in documents:
            assert jsonpath("$.a.b[0]", document) is None


def doubling(word: str, levels: int) -> dict[str, Any]:
    """A small schema, each level of which looks twice at the next."""
    parts: dict[str, Any] = {f"d{n}": {word: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**parts, f"d{levels}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


def unevaluated(levels: int) -> dict[str, Any]:
    return {"allOf": [unevaluated(levels - 1)], "unevaluatedProperties": False} if levels else {"type": "object"}


class TestSchemas:
    def test_problems_name_places_and_no_values(self) -> None:
        schema = Schema.parse(
            {
                "type": "object",
                "required": ["id", "name"],
                "properties": {"id": {"type": "integer"}, "tags": {"items": {"maxLength": 2}}},
            }
        )
        assert schema.problems({"id": 1, "name": "x"}) == []
        told = " ".join(schema.problems({"id": "secret", "tags": ["a", "secret"]}))
        assert "id: " in told
        assert "tags[1]: " in told
        assert "name" in told
        assert "secret" not in told

    @pytest.mark.parametrize(
        "schema",
        [{"type": "nope"}, {"$ref": "https://x.test/schema.json"}, {"$ref": "file:///etc/passwd"}, {"pattern": "(?=a)"},
         {"pattern": "("}, {"enum": ["x" * 60_000]}, {"$ref": "#"}, {"$ref": "#/$defs/nothing"},
         doubling("anyOf", 40), doubling("allOf", 12), unevaluated(20),
         {"$defs": {"a": {"$id": "https://x.test/a", **doubling("anyOf", 20)}, "d1": {}}, "$ref": "#/$defs/a"}],
    )  # fmt: skip
    def test_what_is_refused(self, schema: dict[str, Any]) -> None:
        with pytest.raises(UserCodeError):
            Schema.parse(schema)

    def test_references_within_the_schema(self) -> None:
        schema = Schema.parse({"$defs": {"a~/b c": {"type": "integer"}}, "items": {"$ref": "#/$defs/a~0~1b%20c"}})
        assert schema.problems([1, 2]) == []
        assert schema.problems([1, "x"]) == ['[1]: the value is not of type "integer"']
        assert Schema.parse(doubling("anyOf", 5)).problems("x")

    def test_a_large_document_and_a_large_schema_are_not_multiplied(self) -> None:
        choices = {"items": {"anyOf": [{"const": n} for n in range(400)]}}
        began = time.process_time()
        assert Schema.parse(choices).problems(["x"] * 5_000)
        assert Schema.parse(choices).problems(["x"] * 500)
        assert time.process_time() - began < 1.0
        assert Schema.parse(choices).problems([1] * 500) == []

    def test_patterns_are_linear(self) -> None:
        began = time.process_time()
        assert Schema.parse({"pattern": "^(a+)+$"}).problems("a" * 50_000 + "!")
        assert time.process_time() - began < 1.0
