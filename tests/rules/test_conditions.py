"""Which texts a rule's conditions match, what they capture, and what they say when they don't."""

from typing import Any

import msgspec
import pytest

from columba.core import ids
from columba.core.model import Extra, Message
from columba.forwarding.conditions import Facts, Problems, Said, compile_when, said_of
from columba.forwarding.rule import Rule, rule_of
from columba.forwarding.rules_index import RuleSet
from columba.forwarding.rules_shapes import Spec, When
from columba.forwarding.runs import context_of
from columba.http.times import parse_time

WEDNESDAY = parse_time("2026-07-15T08:30:00Z")
CARRIER = 128


def text(said: str = "Order 12, please", at: int = WEDNESDAY, media: tuple[str, ...] = (), **facts: Any) -> Said:
    extra = Extra(media=[*media]) if media else Extra()
    message = Message(
        ids.first_at(at) + 1,
        1,
        0,
        1,
        1,
        CARRIER,
        "+12025550100",
        "+447700900123",
        said,
        0,
        1,
        60,
        at,
        0,
        at,
        extra=extra,
    )
    return said_of(message, context_of(message, {}, {"name": "ours"}), Facts(**facts))


def rule(n: int, when: dict[str, Any], **more: Any) -> Rule:
    spec = msgspec.convert({"when": when, "then": [{"tag": "x"}], **more}, Spec)
    return rule_of((n, 1, 0, 1, float(n), 1, f"rule {n}", msgspec.json.encode(spec).decode(), 0, 0))


CASES: list[tuple[dict[str, Any], Said, str | None]] = [
    ({}, text(), None),
    ({"to": ["+12025550100"]}, text(), None),
    ({"to": ["+1 202 555 0100"]}, text(), None),
    ({"to": ["12345"]}, text(), "to: +12025550100 is not 12345"),
    ({"from": ["+447700900123", "+447700900124"]}, text(), None),
    ({"from": ["+447700900124"]}, text(), "from: +447700900123 is not +447700900124"),
    ({"prefix": ["+4477"]}, text(), None),
    ({"prefix": ["+33", "+49"]}, text(), "prefix: +447700900123 does not begin with +33, +49"),
    ({"country": ["GB"]}, text(), None),
    ({"country": ["FR"]}, text(), "country: GB is not FR"),
    ({"keyword": ["order"]}, text(), None),
    ({"keyword": ["HELP"]}, text("help!"), None),
    ({"keyword": ["HELP"]}, text("helpless"), "keyword: HELPLESS is not HELP"),
    ({"keyword": ["HELP"]}, text("..."), "keyword: none is not HELP"),
    ({"text": {"is": "yes"}}, text(" YES\n"), None),
    ({"text": {"is": ["yes", "ja"]}}, text("Ja"), None),
    ({"text": {"is": "yes"}}, text("yes!"), "text: it is not yes"),
    ({"text": {"contains": "please"}}, text(), None),
    ({"text": {"contains": "PLEASE", "match_case": True}}, text(), "text: it does not contain PLEASE"),
    ({"text": {"starts": "order", "ends": "please"}}, text(), None),
    ({"text": {"starts": "order", "ends": "now"}}, text(), "text: it does not end with now"),
    ({"text": {"contains": "straße"}}, text("STRASSE"), None),
    ({"text": {"regex": "^Order [0-9]+"}}, text(), None),
    ({"text": {"regex": "^order [0-9]+"}}, text(), "text: ^order [0-9]+ is not found in it"),
    ({"media": True}, text(media=("https://example.org/a.png",)), None),
    ({"media": True}, text(), "media: it brings none"),
    ({"media": False}, text(), None),
    ({"carrier": [ids.show("car", CARRIER)]}, text(), None),
    ({"carrier": [ids.show("car", 64)]}, text(), f"carrier: it came through {ids.show('car', CARRIER)}"),
    ({"first": "text"}, text(first_text=True), None),
    ({"first": "text"}, text(), "first: there were texts from this number before"),
    ({"first": "reply"}, text(first_reply=True), None),
    ({"cel": "size(text) > 5 && keyword == 'ORDER'"}, text(), None),
    ({"cel": "size(text) > 500"}, text(), "cel: it is False, not true"),
    ({"cel": "groups.order == '12'", "text": {"regex": "(?P<order>[0-9]+)"}}, text(), None),
    ({"cel": "groups.order == '12'"}, text(), "cel: "),
    ({"all": [{"keyword": ["ORDER"]}, {"country": ["FR"]}]}, text(), "country: GB is not FR"),
    ({"any": [{"keyword": ["HELP"]}, {"country": ["GB"]}]}, text(), None),
    ({"any": [{"keyword": ["HELP"]}, {"country": ["FR"]}]}, text(), "any: none of them holds"),
    ({"none": [{"keyword": ["HELP"]}, {"country": ["FR"]}]}, text(), None),
    ({"none": [{"keyword": ["HELP"]}, {"country": ["GB"]}]}, text(), "none: number 2 of them holds"),
]  # fmt: skip


@pytest.mark.parametrize(("when", "said", "why"), CASES)
def test_a_condition_holds_or_says_why_not(when: dict[str, Any], said: Said, why: str | None) -> None:
    problems = Problems()
    condition = compile_when(msgspec.convert(when, When), "when", problems)
    assert problems.found == []
    assert condition.holds(said) is (why is None)
    told = condition.why_not(said)
    assert told is None if why is None else (told or "").startswith(why)


@pytest.mark.parametrize(("when", "said", "why"), CASES)
def test_the_index_finds_what_the_condition_holds_for(when: dict[str, Any], said: Said, why: str | None) -> None:
    crowd = [rule(n, {"keyword": [f"K{n}"]}) for n in range(2, 8)]
    found = RuleSet([rule(1, when), *crowd]).match(said)
    assert [match.rule.id for match in found] == ([1] if why is None else [])


@pytest.mark.parametrize(
    ("window", "moment", "holds"),
    [
        ({"days": ["wed"], "from": "08:00", "until": "09:00"}, "2026-07-15T08:30:00Z", True),
        ({"days": ["tue"], "from": "08:00", "until": "09:00"}, "2026-07-15T08:30:00Z", False),
        ({"from": "08:00", "until": "08:30"}, "2026-07-15T08:30:00Z", False),
        ({"from": "09:00", "until": "17:00", "time_zone": "Europe/London"}, "2026-07-15T08:30:00Z", True),
        ({"from": "09:00", "until": "17:00", "time_zone": "Europe/London"}, "2026-12-16T08:30:00Z", False),
        ({"days": ["wed"], "from": "22:00", "until": "06:00"}, "2026-07-15T23:00:00Z", True),
        ({"days": ["wed"], "from": "22:00", "until": "06:00"}, "2026-07-16T05:59:00Z", True),
        ({"days": ["wed"], "from": "22:00", "until": "06:00"}, "2026-07-15T05:59:00Z", False),
        ({"days": ["wed"]}, "2026-07-15T23:59:59Z", True),
    ],
)
def test_a_time_and_a_schedule(window: dict[str, Any], moment: str, holds: bool) -> None:
    said = text(at=parse_time(moment))
    for found in (RuleSet([rule(1, {"time": window})]), RuleSet([rule(1, {}, schedule=window)])):
        assert bool(found.match(said)) is holds
        judged, _ = found.judge(said)
        assert (judged[0].why is None) is holds


def test_what_patterns_capture_belongs_to_their_rule() -> None:
    first = rule(1, {"text": {"regex": "(?P<order>[0-9]+)"}})
    second = rule(2, {"none": [{"text": {"regex": "(?P<other>zzz|[a-z]+x)"}}]})
    matches = RuleSet([first, second]).match(text())
    assert matches[0].groups == {"0": "12", "1": "12", "order": "12"}
    assert matches[1].groups == {}


@pytest.mark.parametrize(
    ("when", "field"),
    [
        ({"text": {"regex": "(?=x)"}}, "when.text.regex"),
        ({"text": {"regex": "("}}, "when.text.regex"),
        ({"cel": "size(text) >"}, "when.cel"),
        ({"cel": "nothing == 1"}, "when.cel"),
        ({"keyword": ["two words"]}, "when.keyword[0]"),
        ({"prefix": ["+44", "abc"]}, "when.prefix[1]"),
        ({"carrier": ["rul_0000000000000"]}, "when.carrier[0]"),
        ({"any": [{}, {"text": {"regex": "["}}]}, "when.any[1].text.regex"),
        ({"all": [{"all": [{"all": [{"all": [{}]}]}]}]}, "when.all[0].all[0].all[0].all"),
    ],
)
def test_what_is_wrong_with_a_condition_is_told_by_field(when: dict[str, Any], field: str) -> None:
    problems = Problems()
    compile_when(msgspec.convert(when, When), "when", problems)
    assert [problem.field for problem in problems.found] == [field]
