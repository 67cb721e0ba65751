"""What templates make of a text, what is refused when they are saved, and that no template takes the program with it."""

import time
from typing import Any

import msgspec
import pytest

from columba.usercode import NAMES, Template, TooMuch, UserCodeError, structure

SEEN: dict[str, Any] = {
    "id": "msg_1",
    "from": "+447700900123",
    "to": "+12025550100",
    "text": 'He said "hi" & left',
    "media": ["https://a.example/1.jpg", "https://a.example/2.jpg"],
    "received_at": "2026-01-02T03:04:05.678Z",
    "keyword": "HE",
    "groups": {"order": "12", "items": "x"},
    "contact": None,
    "account": {"id": "acc_1"},
    "steps": {"find": {"status": 200, "json": {"total": 1, "items": [{"id": 5, "tags": ["b", "a", "b"]}]}}},
    "metadata": {"n": 3, "f": 1.5, "ok": True, "none": None, "html": "<b>&'\"</b>"},
}


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("Hi {{ from }}", "Hi +447700900123"),
        ("no braces at all", "no braces at all"),
        ("{{ steps.find.json.items[0].id }}", "5"),  # `items` is a name like any other
        ("{{ groups.items }}/{{ groups['order'] }}", "x/12"),
        ("[{{ groups.nope }}|{{ steps.a.b.c[3] }}|{{ contact.name }}]", "[||]"),
        ("{{ metadata.ok }} {{ metadata.none }} {{ metadata.n }} {{ metadata.f }}", "true  3 1.5"),
        ("{{ steps.find.json.items[0] }}", '{"id":5,"tags":["b","a","b"]}'),
        ("{% for each in media %}{{ loop.index }}={{ each[-5] }} {% endfor %}", "1=1 2=2 "),
        ("{% if 'hi' in text and keyword == 'HE' %}yes{% elif x is defined %}no{% endif %}{% set x = 1 %}", "yes"),
        ("{{ 'many' if media | length > 1 else 'one' }}", "many"),
        ("{{ contact.name | default(from) }} {{ '' | default('x', true) }}", "+447700900123 x"),
        ("{{ 7 // 2 }} {{ 7 % 4 }} {{ 1 / 4 }} {{ -2 * 3 }} {{ (1 + 2) ~ 'x' }}", "3 3 0.25 -6 3x"),
        ("{{ text | upper | truncate(7) }}", 'HE SAI…'),
        ("{{ 'a-b-c' | split('-') | join('+') }} {{ 'abc' | replace('b', 'xx') }}", "a+b+c axxc"),
        ("{{ steps.find.json.items[0].tags | unique | sort | join(',') }}", "a,b"),
        ("{{ steps.find.json.items | pluck('id') | sum }}", "5"),
        ("{{ '12' | int + 1 }} {{ 'x' | int(7) }} {{ '1.5' | float }} {{ 2.567 | round(1) }} {{ -3 | abs }}",
         "13 7 1.5 2.6 3"),
        ("{{ 'Zoë Ünal' | ascii | lower }}", "zoe unal"),
        ("{{ text | regex_replace('[^a-zA-Z ]+', '') }}", "He said hi  left"),
        (r"{{ 'ab-12' | regex_replace('(\\w+)-(\\d+)', '\\2:\\1') }}", "12:ab"),
        ("{{ 'order 77' | regex_search('order (?P<n>[0-9]+)', 'n') }}{{ 'x' | regex_match('y') }}", "77false"),
        ("{{ received_at | date('%d.%m.%Y %H:%M %Z', 'Europe/Berlin') }}", "02.01.2026 04:04 CET"),
        ("{{ received_at | date('%A %e %B %j %I%p %z') }}", "Friday 2 January 002 03AM +0000"),
        ("{{ received_at | date('unix') }} {{ received_at | timestamp }}", "1767323045 1767323045"),
        ("{{ received_at | shift(days=-1, hours=2) }} {{ 1767323045 | date('date') }}",
         "2026-01-01T05:04:05.678Z 2026-01-02"),
        ("{{ from | phone('national') }} {{ from | phone('digits') }} {{ from | country }}", "07700 900123 447700900123 GB"),
        ("{{ '2025550100' | phone('significant', 'US') }} {{ 'ACME' | phone }}", "2025550100 ACME"),
        ("{{ 'abc' | hash }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("{{ 'abc' | hmac('key', 'sha1', 'base64') }}", "T9CyFSdu8S8rPkyOysKBFJi2Vvw="),
        ("{{ 'ab?' | base64 }} {{ 'YWI/' | base64_decode }} {{ 'a b+' | urlencode }}", "YWI/ ab? a+b%2B"),
        ("{{ {'a': [1, text]} | json }}", '{"a":[1,"He said \\"hi\\" & left"]}'),
        ("{{ '{\"a\": [1, 2]}' | parse_json | jsonpath('$.a[1]') }}", "2"),
        ("{{ metadata.html | xml }}", "&lt;b&gt;&amp;&#39;&quot;&lt;/b&gt;"),
        ("{{ groups | items | length }} {{ groups | keys | join }} {{ {'a': 1} | merge({'b': 2}) | json }}",
         '2 orderitems {"a":1,"b":2}'),
        ("{% for g in [1, 2] %}{% for h in [3] %}{{ g * h }} {% endfor %}{% endfor %}{# not shown #}", "3 6 "),
        ("{{ text[:2] }}{{ media[1:] | length }}{{ 3 is odd }}{{ '%9d' is even }}", "He1truefalse"),
    ],
)  # fmt: skip
def test_what_a_template_shows(source: str, shown: str) -> None:
    assert Template.parse(source).render(SEEN) == shown


@pytest.mark.parametrize(
    ("source", "escape", "shown"),
    [
        ("https://x.test/{{ from }}?q={{ text }}", "url",
         "https://x.test/%2B447700900123?q=He%20said%20%22hi%22%20%26%20left"),
        ("{{ metadata.base }}/a/{{ metadata.base }}", "url", "http://127.0.0.1:80/x/a/http%3A%2F%2F127.0.0.1%3A80%2Fx"),
        ("https://{{ metadata.host }}/{{ metadata.host | raw }}", "url", "https://a.test:8080/a.test:8080"),
        ("<a b='{{ metadata.html }}'>{{ '<i/>' | raw }}</a>", "xml", "<a b='&lt;b&gt;&amp;&#39;&quot;&lt;/b&gt;'><i/></a>"),
        ("<a>{{ metadata.control }}</a>", "xml", "<a>ab\n</a>"),
        ("{{ metadata.control }}!", "line", "a b !"),
    ],
)  # fmt: skip
def test_values_are_escaped_for_where_they_go(source: str, escape: Any, shown: str) -> None:
    more = {"base": "http://127.0.0.1:80/x", "host": "a.test:8080", "control": "a\x01b\n"}
    seen = {**SEEN, "metadata": {**SEEN["metadata"], **more}}
    assert Template.parse(source, NAMES, escape).render(seen) == shown


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        ("{{ nosuch }}", (1, 4), "There is no `nosuch`"),
        ("a\n  {{ txt }}", (2, 6), "is `text` meant?"),
        ("{{ text | uper }}", (1, 11), "is `upper` meant?"),
        ("{{ text | truncate }}", (1, 11), "length"),
        ("{{ text | join(',', 1, 2) }}", (1, 11), "too many"),
        ("{{ text is fancy }}", (1, 9), "no test `fancy`"),
        ("{{ text.upper() }}", (1, 14), "use a filter"),
        ("x {{ text", (1, 6), "'}}'"),
        ("{{ text }", (1, 9), "unexpected"),
        ("{{ 1 + }}", (1, 8), "unexpected '}}'"),
        ("{% if text %}\n  never closed", (1, 14), "nexpected end"),
        ("{% for x in media recursive %}{% endfor %}", (1, 4), "ecursive"),
        ("{% macro m() %}{% endmacro %}", (1, 4), "Macros"),
        ("{% include 'a' %}", (1, 4), "included"),
        ("{% import 'a' as b %}", (1, 4), "imported"),
        ("{% extends 'a' %}", (1, 4), "extend"),
        ("{% block b %}{% endblock %}", (1, 4), "Blocks"),
        ("{{ 2 ** 9 }}", (1, 4), "**"),
        ("{{ text | regex_replace('(?=a)', '') }}", (1, 25), "lookahead"),
        ("{{ text | regex_search('(a') }}", (1, 24), "missing )"),
        ("{{ 1 < 2 < 3 }}", (1, 4), "two values"),
        ("{{ text | _each(1) }}", (1, 11), "no filter"),
        ("{% set _x = 1 %}", (1, 8), "underscore"),
        ("{{ '\\ud800' }}", (1, 4), "surrogate"),
        ("{{ " + "9" * 5_000 + " }}", (1, 4), "digits"),
        ("{{ self }}", (1, 4), "no `self`"),
        ("{{ range(9) }}", (1, 9), "Calls"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where(source: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(UserCodeError) as caught:
        Template.parse(source)
    assert words in caught.value.detail
    assert (caught.value.line, caught.value.column) == place


DOUBLE = "".join("{% set a = a ~ a %}" for _ in range(40))
BOMBS = {
    "repeated text": "{{ 'x' * 1000000000 }}",
    "a power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "large numbers": "{% set a = 4611686018427387904 %}" + "{% set a = a * a %}" * 20,
    "doubled text": "{% set a = text ~ text %}" + DOUBLE + "{{ a }}",
    "doubled by plus": "{% set a = 'xxxxxxxx' %}" + DOUBLE.replace("~", "+"),
    "doubled lists": "{% set a = [1, 1] %}" + "{% set a = a + a %}" * 40,
    "nested lists": "{% set a = [text] %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}",
    "nested mappings": "{% set a = {} %}" + "{% set a = {'a': a, 'b': a} %}" * 40 + "{{ a == a }}",
    "nested loops": "{% set a = [1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0] %}"
    "{% set a = a + a + a + a + a %}{% for x in a %}{% for y in a %}{% for z in a %}{{ text | hash }}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "empty loops": "{% set a = [1,2,3,4,5,6,7,8,9,0] %}{% set a = a + a + a + a + a %}{% set a = a + a + a + a + a %}"
    "{% for x in a %}{% for y in a %}{% for z in a %}{% endfor %}{% endfor %}{% endfor %}",
    "many loops": "{% for a in media %}" * 10 + "x" + "{% endfor %}" * 10,
    "replaced by more": "{{ 'llllllllll'" + f" | replace('l', '{'l' * 3_000}')" * 2 + " }}",
    "joined": "{{ [text, text, text]" + f" | join('{'x' * 4_000}') | replace(' ', '{' ' * 12_000}')" + " }}",
    "formatted numbers": "{{ '%1000000000d' % 1 }}",
    "formatted times": "{{ received_at | date('%999999999Y') }}",
    "deep nesting": "{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}",
    "deep lists": "{{ " + "[" * 3_000 + "]" * 3_000 + " }}",
    "a chain of filters": "{{ text" + " | upper" * 2_000 + " }}",
    "a chain of signs": "{{ " + "-" * 5_000 + "1 }}",
    "a chain of nots": "{{ " + "not " * 4_000 + "1 }}",
    "a chain of sums": "{{ 1" + "+1" * 5_000 + " }}",
    "a chain of attributes": "{{ steps" + ".a" * 5_000 + " }}",
    "many ifs": "{% if 1 %}" * 1_000 + "{% endif %}" * 1_000,
    "a large pattern": "{{ text | regex_replace('(((a{1,30}){1,30}){1,30})', 'x') }}",
    "a slow pattern": "{% set t = metadata.long %}"
    "{% for a in [1,2,3,4,5,6,7,8,9] %}{{ t | regex_search('[ab]*a[ab]{100}c') }}{% endfor %}",
    "much text": "{{ metadata.long" + " ~ metadata.long" * 7 + " }}",
    "sorted again and again": "{% set a = metadata.longs %}{% for x in a %}{% set b = a | sort %}{% endfor %}",
    "compared again and again": "{% set a = metadata.longs %}{% for x in a %}{% if a == a %}{% endif %}{% endfor %}",
    "JSON again and again": "{% for x in metadata.longs %}{{ metadata.longs | json | parse_json | length }}{% endfor %}",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_or_stopped(name: str) -> None:
    seen = {**SEEN, "metadata": {"long": "ab" * 10_000, "longs": [str(n) for n in range(3_000)]}}
    began = time.process_time()
    with pytest.raises(UserCodeError):
        Template.parse(BOMBS[name]).render(seen)
    assert time.process_time() - began < 1.0  # for the machine's sake only: they take milliseconds


@pytest.mark.parametrize(
    "source",
    [
        "{{ text.__class__ }}", "{{ text['__class__'] }}", "{{ ''.__class__.__mro__ }}", "{{ media.append }}",
        "{{ groups.keys }}", "{{ loop }}" , "{{ steps.find.__init__.__globals__ }}", "{{ (1).real }}",
    ],
)  # fmt: skip
def test_nothing_but_values_is_seen(source: str) -> None:
    try:
        shown = Template.parse(source).render(SEEN)
    except UserCodeError:
        return
    assert shown == ""


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("\n\n{{ text - 1 }}", 3, "takes numbers"),
        ("{{ 1 / 0 }}", 1, "zero"),
        ("{{ received_at | date('%Q') }}", 1, "no %Q"),
        ("{{ received_at | date('iso', 'Mars/Base') }}", 1, "no time zone"),
        ("{{ 'soon' | date }}", 1, "no time"),
        ("{{ text < 1 }}", 1, "can't be compared"),
        ("{{ text | hash('crc32') }}", 1, "Expected one of"),
        ("{% for a in 5 %}{% endfor %}", 1, "A list was expected"),
        ("{{ text | truncate('x') }}", 1, "whole number"),
    ],
)
def test_what_fails_when_it_runs_says_the_line(source: str, line: int, words: str) -> None:
    with pytest.raises(UserCodeError) as caught:
        Template.parse(source).render(SEEN)
    assert (caught.value.line, words in caught.value.detail) == (line, True)


def test_output_is_bounded() -> None:
    with pytest.raises(TooMuch):
        Template.parse("{{ text }}" * 400).render({**SEEN, "text": "x" * 1_000})


class TestStructure:
    def test_texts_keep_quotes_and_single_expressions_keep_types(self) -> None:
        made = structure(
            {
                "text": "{{ text }}",
                "said": "<{{ text }}>",
                "id": "{{ groups.order | int }}",
                "ok": "{{ metadata.ok }}",
                "list": ["{{ media }}", 1, None, True, "{{ steps.nope }}"],
                "whole": "{{ steps.find.json }}",
                "{{ key }}": "keys are as they are",
            }
        ).render(SEEN)
        assert made == {
            "text": 'He said "hi" & left',
            "said": '<He said "hi" & left>',
            "id": 12,
            "ok": True,
            "list": [SEEN["media"], 1, None, True, None],
            "whole": {"total": 1, "items": [{"id": 5, "tags": ["b", "a", "b"]}]},
            "{{ key }}": "keys are as they are",
        }
        assert msgspec.json.decode(msgspec.json.encode(made)) == made

    @pytest.mark.parametrize(
        "text", ['"', "\\", '"}, "admin": true, {"', "\n\r\t\x00", "\ud83d\ude00", "{{ 7*7 }}", "}}"]
    )
    def test_nothing_in_a_text_breaks_the_json(self, text: str) -> None:
        made = structure({"a": "{{ text }}", "b": "x{{ text }}x"}).render(
            {**SEEN, "text": text.encode("utf-8", "ignore").decode()}
        )
        assert set(msgspec.json.decode(msgspec.json.encode(made))) == {"a", "b"}

    def test_a_problem_names_its_place(self) -> None:
        with pytest.raises(UserCodeError) as caught:
            structure({"a": {"b": ["x", "{{ nope }}"]}})
        assert "a.b[1]" in caught.value.detail

    def test_its_size_is_bounded(self) -> None:
        deep: Any = "x"
        for _ in range(50):
            deep = [deep]
        for value in (deep, ["x"] * 5_000):
            with pytest.raises(UserCodeError):
                structure(value)
