"""The rules of an account in their order, and which of them a text matches.

Most rules of a large set can't match a given text. Each is filed under the condition of its own that fewest others
share: a number, a keyword, a word or a pattern that the text must have. So a text is held against the few that are left,
not against thousands. Immutable once made.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import re2

from columba.forwarding.conditions import Keys, Said, is_within
from columba.forwarding.rule import Rule
from columba.forwarding.rules_shapes import Window

_EXACT = ("to", "from", "keyword", "is")


class Match(NamedTuple):
    rule: Rule
    groups: dict[str, str]


class Judged(NamedTuple):
    """What a rule made of a text. `why` it didn't match; None when it did."""

    rule: Rule
    why: str | None


class RuleSet:
    """All rules of an account in a mode, those that are off too, in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules

    @cached_property
    def asks(self) -> bool:
        """Do some ask what only the store knows?"""
        return any(rule.condition.asks for rule in self._on)

    @cached_property
    def knows(self) -> bool:
        """Do some ask who the person is?"""
        return any(rule.condition.knows for rule in self._on)

    @cached_property
    def _on(self) -> list[Rule]:
        return [rule for rule in self.rules if rule.enabled]

    @cached_property
    def _files(self) -> "_Files":
        return _Files(self._on)

    def match(self, said: Said) -> list[Match]:
        """The rules that a text matches, in order; one with `stop` is the last."""
        matches: list[Match] = []
        on = self._on
        for place in self._files.places(said):
            rule = on[place]
            said.groups = {}
            if fits(rule, said):
                matches.append(Match(rule, said.groups))
                if rule.ends:
                    break
        return matches

    def judge(self, said: Said) -> tuple[list[Judged], list[Match]]:
        """Every rule, with why it doesn't match: for the dry run."""
        judged: list[Judged] = []
        matches: list[Match] = []
        ended: Rule | None = None
        for rule in self.rules:
            said.groups = {}
            why = why_not(rule, said) if ended is None else f"stopped: the rule {ended.name!r} before it matched"
            judged.append(Judged(rule, why))
            if why is None:
                matches.append(Match(rule, said.groups))
                ended = rule if rule.ends else None
        return judged, matches


class _Files:
    """Where rules are filed. Made when a text comes: many changes in a row cost it once."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._exact: dict[tuple[str, str], list[int]] = {}
        self._holds: list[tuple[str, int]] = []
        self._patterns: list[int] = []
        self._always: list[int] = []
        shared = Counter(
            (key.kind, value) for rule in rules for way in rule.condition.filed for key in way for value in key.values
        )
        sources: list[str] = []
        for place, rule in enumerate(rules):
            way = _narrowest(rule.condition.filed, shared)
            if way is None:
                self._always.append(place)
                continue
            for key in way:
                if key.kind in _EXACT:
                    for value in set(key.values):
                        self._exact.setdefault((key.kind, value), []).append(place)
                elif key.kind == "holds":
                    self._holds += [(value, place) for value in key.values]
                else:
                    self._patterns.append(place)
                    sources.append(key.values[0])
        self._may_find = _filter(sources)
        if self._may_find is None:
            self._always = sorted(self._always + self._patterns)

    def places(self, said: Said) -> Iterable[int]:
        """Those of the rules that may match, in order."""
        exact = self._exact
        message = said.message
        found = list(self._always)
        if exact:
            for key in (("to", message.to), ("from", message.sender), ("keyword", said.keyword), ("is", said.low)):
                places = exact.get(key)
                if places is not None:
                    found += places
        if self._holds:
            low = said.low
            found += [place for word, place in self._holds if word in low]
        if self._may_find is not None and message.text:
            patterns = self._patterns
            found += [patterns[n] for n in self._may_find.Match(message.text, True) or ()]
        return sorted(set(found)) if len(found) > 1 else found


def fits(rule: Rule, said: Said) -> bool:
    """Whatever place it has, and whether it is on."""
    if said.handled and said.keyword not in rule.keywords:
        return False
    schedule = rule.spec.schedule
    return (schedule is None or is_on(schedule, said)) and rule.condition.holds(said)


def why_not(rule: Rule, said: Said) -> str | None:
    if not rule.enabled:
        return "disabled"
    if said.handled and said.keyword not in rule.keywords:
        return f"keyword: {said.keyword} is answered before the rules, but for those that name it"
    if rule.spec.schedule is not None and not is_on(rule.spec.schedule, said):
        return f"schedule: it is not on at that hour ({rule.spec.schedule.time_zone})"
    return rule.condition.why_not(said)


def is_on(schedule: Window, said: Said) -> bool:
    return is_within(schedule, said.at)


def _narrowest(ways: Sequence[tuple[Keys, ...]], shared: Counter[tuple[str, str]]) -> tuple[Keys, ...] | None:
    """The way that fewest rules share; looking a value up is better than looking for it in the text."""

    def cost(way: tuple[Keys, ...]) -> int:
        return sum(max(shared[key.kind, value] for value in key.values) + _EXTRA.get(key.kind, 0) for key in way)

    return min(ways, key=cost, default=None)


_EXTRA = {"holds": 50, "regex": 100}


def _filter(sources: Sequence[str]) -> "re2.Filter | None":
    """Which of all patterns may be found in a text, by the words that they can't do without."""
    if not sources:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.Filter()
        for source in sources:
            found.Add(source, options)
        found.Compile()
    except re2.error:
        return None
    return found
