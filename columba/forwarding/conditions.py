"""Conditions: a rule's `when`, compiled into tests of a text. Pure; memory only.

A test says whether it holds and, for the dry run, why it doesn't. What a pattern captured is left in `Said.groups`.
Conditions that only the store can answer (`first`) look at `Said.facts`, and the rules that have them say so
(`Condition.asks`). `compile_when` raises Refusal with every problem of expressions and patterns, by field.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from columba.core import ids
from columba.core.inbound import person
from columba.core.model import Message
from columba.errors import FieldError
from columba.forwarding.rules_shapes import DAYS, DEEPEST, ContactTest, TextTest, When, Window
from columba.numbers import NumberError, country_of
from columba.usercode import Expression, Pattern, UserCodeError

_FIRST_WORD = re.compile(r"\W*([^\W_]+)").match


class Facts(NamedTuple):
    """What the store knows of a text's sender."""

    first_text: bool = False  # nothing came from this number before
    first_reply: bool = False  # it was sent a text, and nothing has come from it since
    contact: Mapping[str, Any] | None = None  # who that is


NO_FACTS = Facts()


class Said(msgspec.Struct):
    """A text as rules see it."""

    message: Message
    at: int  # when it came, in ms
    carrier: int
    keyword: str
    low: str  # for tests that ignore case
    context: Mapping[str, Any]  # what expressions and templates see
    facts: Facts = NO_FACTS
    handled: bool = False  # it was a keyword that has had its answer: STOP and the like
    groups: dict[str, str] = {}


class Test(NamedTuple):
    holds: Callable[[Said], bool]
    why: Callable[[Said], str]  # it doesn't


class Keys(NamedTuple):
    """What a text must have, one of `values`: by that a rule is found among thousands."""

    kind: str  # to, from, keyword, is: the very value. holds: in the text, in lower case. regex: a pattern
    values: tuple[str, ...]


class Condition(NamedTuple):
    """What must hold. `filed`: ways to file it, by keys of which a text has one at least if it holds."""

    tests: tuple[Test, ...]
    holds: Callable[[Said], bool]
    filed: tuple[tuple[Keys, ...], ...] = ()
    asks: bool = False  # it needs Facts that are there with the text alone
    knows: bool = False  # it needs the contact

    def why_not(self, said: Said) -> str | None:
        """The first reason for which it doesn't hold."""
        return next((test.why(said) for test in self.tests if not test.holds(said)), None)


class Problems:
    """Gathers what is wrong, by field."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []

    def add(self, field: str, code: str, detail: str) -> None:
        self.found.append(FieldError(field, code, detail))


def keyword_of(text: str) -> str:
    """The first word, in capitals, without what stands around it."""
    found = _FIRST_WORD(text)
    return found[1].upper() if found else ""


def said_of(
    message: Message,
    context: Mapping[str, Any],
    facts: Facts = NO_FACTS,
    handled: bool = False,
) -> Said:
    """A text from a person, for rules; what came in has its carrier's number as its lane."""
    text = message.text or ""
    keyword = context["keyword"]
    return Said(
        message, ids.time_of(message.id), message.lane, keyword, text.strip().casefold(), context, facts, handled
    )


def keywords_of(when: When) -> frozenset[str]:
    """The keywords that it names."""
    within = (keywords_of(each) for each in (*(when.all or ()), *(when.any or ())))
    return frozenset(map(keyword_of, when.keyword or ())).union(*within)


def compile_when(when: When, field: str, problems: Problems, depth: int = 1) -> Condition:
    """What a rule's `when` comes to; what is wrong with it goes to `problems`."""
    tests: list[Test] = []
    filed: list[tuple[Keys, ...]] = []
    asks = knows = False
    for name, values in (("to", when.to), ("from", when.from_)):
        if values:
            wanted = tuple(map(person, values))
            tests.append(_number(name, wanted))
            filed.append((Keys(name, wanted),))
    if when.keyword:
        words = tuple(map(keyword_of, when.keyword))
        for index, word in enumerate(words):
            if not word or word != when.keyword[index].strip().upper():
                problems.add(f"{field}.keyword[{index}]", "invalid_value", "Expected one word of letters and digits.")
        tests.append(_keyword(words))
        filed.append((Keys("keyword", words),))
    if when.prefix:
        for index, prefix in enumerate(when.prefix):
            if not re.fullmatch(r"\+?[0-9]+", prefix):
                problems.add(f"{field}.prefix[{index}]", "invalid_value", "Expected + and digits.")
        tests.append(_prefix(tuple("+" + prefix.lstrip("+") for prefix in when.prefix)))
    if when.country:
        tests.append(_country(frozenset(when.country)))
    if when.carrier:
        carriers = [ids.read("car", an_id) for an_id in when.carrier]
        for index, carrier in enumerate(carriers):
            if carrier is None:
                problems.add(f"{field}.carrier[{index}]", "invalid_value", "Expected a carrier's id (car_...).")
        tests.append(_carrier(frozenset(filter(None, carriers))))
    if when.media is not None:
        tests.append(_media(when.media))
    if when.time is not None:
        tests.append(_time(when.time))
    if when.text is not None:
        more, found = _text(when.text, f"{field}.text", problems)
        tests += more
        filed += [(key,) for key in found]
    if when.contact is not None:
        knows = True
        tests += [_known(when.contact)] if isinstance(when.contact, bool) else _contact(when.contact)
    if when.first is not None:
        asks = True
        tests.append(_first(when.first))
    for name, group in (("all", when.all), ("any", when.any), ("none", when.none)):
        if group:
            if depth >= DEEPEST:
                problems.add(f"{field}.{name}", "out_of_range", f"Expected at most {DEEPEST} levels of conditions.")
                continue
            inner = [
                compile_when(each, f"{field}.{name}[{index}]", problems, depth + 1) for index, each in enumerate(group)
            ]
            asks = asks or any(each.asks for each in inner)
            knows = knows or any(each.knows for each in inner)
            tests.append(_GROUPS[name](inner))
            if name == "all":
                filed += [way for each in inner for way in each.filed]
            elif name == "any" and all(each.filed for each in inner):
                filed.append(tuple(key for each in inner for key in each.filed[0]))
    if when.cel is not None:  # last: it takes longest
        try:
            tests.append(_cel(Expression.parse(when.cel)))
            knows = knows or names_contact(when.cel)
        except UserCodeError as error:
            problems.found.append(error.at(f"{field}.cel"))
    return Condition(tuple(tests), _joined(tests), tuple(filed), asks, knows)


def _joined(tests: Sequence[Test]) -> Callable[[Said], bool]:
    checks = tuple(test.holds for test in tests)
    if len(checks) == 1:
        return checks[0]

    def holds(said: Said) -> bool:
        for check in checks:  # noqa: SIM110 - this runs for many rules a text, and a generator costs more than most tests
            if not check(said):
                return False
        return True

    return holds


# Each condition


def _number(name: str, values: Sequence[str]) -> Test:
    wanted = frozenset(values)
    if name == "to":
        return Test(
            lambda said: said.message.to in wanted,
            lambda said: f"to: {said.message.to} is not {_one_of(values)}",
        )
    return Test(
        lambda said: said.message.sender in wanted,
        lambda said: f"from: {said.message.sender} is not {_one_of(values)}",
    )


def _keyword(words: Sequence[str]) -> Test:
    wanted = frozenset(words)
    return Test(
        lambda said: said.keyword in wanted,
        lambda said: f"keyword: {said.keyword or 'none'} is not {_one_of(words)}",
    )


def _prefix(prefixes: tuple[str, ...]) -> Test:
    return Test(
        lambda said: said.message.sender.startswith(prefixes),
        lambda said: f"prefix: {said.message.sender} does not begin with {_one_of(prefixes)}",
    )


def _country(countries: frozenset[str]) -> Test:
    def of(said: Said) -> str:
        try:
            return country_of(said.message.sender)
        except NumberError:
            return ""

    return Test(
        lambda said: of(said) in countries,
        lambda said: f"country: {of(said) or 'none'} is not {_one_of(sorted(countries))}",
    )


def _carrier(carriers: frozenset[int]) -> Test:
    return Test(
        lambda said: said.carrier in carriers,
        lambda said: f"carrier: it came through {ids.show('car', said.carrier)}",
    )


def _media(wanted: bool) -> Test:
    return Test(
        lambda said: bool(said.message.extra.media) is wanted,
        lambda said: "media: it brings none" if wanted else "media: it brings some",
    )


def _time(window: Window) -> Test:
    return Test(
        lambda said: is_within(window, said.at),
        lambda said: f"time: it came on {_spoken(window, said.at)}",
    )


def _first(kind: str) -> Test:
    if kind == "text":
        return Test(lambda said: said.facts.first_text, lambda said: "first: there were texts from this number before")
    return Test(
        lambda said: said.facts.first_reply,
        lambda said: "first: it is not the first since a text was sent to this number",
    )


def _known(wanted: bool) -> Test:
    return Test(
        lambda said: (said.facts.contact is not None) is wanted,
        lambda said: f"contact: {said.message.sender} is {'none' if wanted else 'one'} of your contacts",
    )


def _contact(test: ContactTest) -> list[Test]:
    return [_known(True), *_traits(test)]


def _traits(test: ContactTest) -> Iterator[Test]:
    if test.tag is not None:
        tags = frozenset(test.tag)
        yield _trait("tags", lambda there: not tags.isdisjoint(there or ()), f"has not the tag {_one_of(test.tag)}")
    if test.language is not None:
        tongues = tuple(each.lower() + "-" for each in test.language)
        yield _trait(
            "language",
            lambda there: f"{there or ''}-".lower().startswith(tongues),
            f"has not the language {_one_of(test.language)}",
        )
    for name in ("name", "email"):
        words = getattr(test, name)
        if words is not None:
            folded = frozenset(each.casefold() for each in words)
            yield _trait(name, _is_among(folded), f"has not the {name} {_one_of(words)}")
    for name, value in (test.attributes or {}).items():
        values = value if isinstance(value, list) else [value]
        spelled = _one_of([str(each).lower() if isinstance(each, bool) else str(each) for each in values])
        yield _trait("attributes", _has(name, values), f"has not {spelled} as {name}")


def _trait(name: str, holds: Callable[[Any], bool], why: str) -> Test:
    return Test(lambda said: holds((said.facts.contact or {}).get(name)), lambda said: f"contact: it {why}")


def _is_among(folded: frozenset[str]) -> Callable[[Any], bool]:
    return lambda there: (there or "").casefold() in folded


def _has(name: str, values: Sequence[Any]) -> Callable[[Any], bool]:
    def holds(there: Any) -> bool:
        value = (there or {}).get(name)
        return any(value == each and isinstance(value, bool) is isinstance(each, bool) for each in values)

    return holds


def names_contact(source: str) -> bool:
    """May a template or an expression look at the contact?"""
    return "contact" in source


def _cel(expression: Expression) -> Test:
    def why(said: Said) -> str:
        try:
            return f"cel: it is {expression.evaluate(_seen(said))!r}, not true"[:300]
        except UserCodeError as error:
            return f"cel: {error}"

    return Test(lambda said: expression.holds(_seen(said)), why)


def _seen(said: Said) -> Mapping[str, Any]:
    return {**said.context, "groups": said.groups} if said.groups else said.context


def _text(test: TextTest, field: str, problems: Problems) -> tuple[list[Test], list[Keys]]:
    tests: list[Test] = []
    keys: list[Keys] = []
    exact = test.match_case
    for name, meaning in _MEANINGS.items():
        given = getattr(test, "is_" if name == "is" else name)
        if given is not None:
            words = (given,) if isinstance(given, str) else tuple(given)
            if name == "is":
                words = tuple(word.strip() for word in words)
            tests.append(_words(name, words, meaning, exact))
            low = tuple(word.casefold() for word in words)
            keys.append(Keys("is" if name == "is" else "holds", low))
    if test.regex is not None:
        try:
            tests.append(_regex(Pattern.parse(test.regex)))
            keys.append(Keys("regex", (test.regex,)))
        except UserCodeError as error:
            problems.found.append(error.at(f"{field}.regex"))
    return tests, keys


def _words(name: str, words: tuple[str, ...], meaning: Callable[[str, tuple[str, ...]], bool], exact: bool) -> Test:
    wanted = words if exact else tuple(word.casefold() for word in words)
    said_as: Callable[[Said], str] = (
        (lambda said: (said.message.text or "").strip()) if exact else (lambda said: said.low)
    )
    verb = {
        "is": "is not",
        "contains": "does not contain",
        "starts": "does not start with",
        "ends": "does not end with",
    }
    return Test(lambda said: meaning(said_as(said), wanted), lambda said: f"text: it {verb[name]} {_one_of(words)}")


_MEANINGS: Mapping[str, Callable[[str, tuple[str, ...]], bool]] = {
    "is": lambda text, words: text in words,
    "contains": lambda text, words: any(word in text for word in words),
    "starts": lambda text, words: text.startswith(words),
    "ends": lambda text, words: text.endswith(words),
}


def _regex(pattern: Pattern) -> Test:
    def holds(said: Said) -> bool:
        groups = pattern.match(said.message.text or "")
        if groups is None:
            return False
        said.groups = {**said.groups, **groups}
        return True

    return Test(holds, lambda said: f"text: {pattern.source} is not found in it")


# Several


def _all(inner: Sequence[Condition]) -> Test:
    return Test(
        lambda said: all(each.holds(said) for each in inner),
        lambda said: next(_reasons(inner, said)),
    )


def _any(inner: Sequence[Condition]) -> Test:
    return Test(
        lambda said: any(each.holds(said) for each in inner),
        lambda said: f"any: none of them holds ({'; '.join(_reasons(inner, said))})",
    )


def _none(inner: Sequence[Condition]) -> Test:
    def holds(said: Said) -> bool:
        kept = said.groups
        found = any(each.holds(said) for each in inner)
        said.groups = kept  # what must not be there captures nothing
        return not found

    def why(said: Said) -> str:
        return f"none: number {next(n for n, each in enumerate(inner, 1) if each.holds(said))} of them holds"

    return Test(holds, why)


_GROUPS: Mapping[str, Callable[[Sequence[Condition]], Test]] = {"all": _all, "any": _any, "none": _none}


def _reasons(inner: Sequence[Condition], said: Said) -> Iterator[str]:
    for each in inner:
        why = each.why_not(said)
        if why is not None:
            yield why


def _one_of(values: Sequence[str]) -> str:
    shown = ", ".join(values[:3])
    return shown if len(values) <= 3 else f"{shown} or one of {len(values) - 3} more"


# Time


def is_within(window: Window, ms: int) -> bool:
    """Hours that pass midnight belong to the day on which they begin."""
    day, minute = _local(window.time_zone, ms // 60_000)
    first, last = _minutes(window.from_), _minutes(window.until)
    if first < last:
        return first <= minute < last and _on(window, day)
    return _on(window, day) if minute >= first else minute < last and _on(window, (day - 1) % 7)


def _on(window: Window, day: int) -> bool:
    return window.days is None or DAYS[day] in window.days


@lru_cache(maxsize=1024)
def _local(zone: str, minute: int) -> tuple[int, int]:
    """The day of the week and the minute of the day."""
    there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).astimezone(ZoneInfo(zone))
    return there.weekday(), there.hour * 60 + there.minute


@lru_cache(maxsize=1024)
def _minutes(hour: str) -> int:
    return int(hour[:2]) * 60 + int(hour[3:])


def _spoken(window: Window, ms: int) -> str:
    day, minute = _local(window.time_zone, ms // 60_000)
    return f"{DAYS[day]} at {minute // 60:02}:{minute % 60:02} ({window.time_zone})"
