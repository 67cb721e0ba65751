"""Which route a message matches: conditions, and an index over them that a thousand routes cost next to nothing.

Pure. `Rule.mismatch` is the one place that says whether a route is for a message; the index only leaves out those of which
it would say no.
"""

import heapq
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from columba.core.model import Message
from columba.core.status import CLASSES
from columba.numbers import country_of
from columba.numbers.plan import SHARED

K = TypeVar("K", bound=Hashable)
Strategy = Literal["order", "weight", "price", "sticky"]
Receipt = Literal["undelivered", "no_receipt"]

MOST_KNOWN: Final = 20_000  # kinds of messages whose route is remembered
MOST_TOLD: Final = 10  # values of a condition that are listed when it isn't met
_COUNTRY: Final = 1 + max(map(len, SHARED))  # what of a number tells its country


class Range(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """From `min` to `max`, both included."""

    min: int = 0
    max: int | None = None

    def __contains__(self, value: int) -> bool:
        return self.min <= value and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        return f"{self.min} or more" if self.max is None else f"{self.min} to {self.max}"


class When(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message must be like; each list is "one of these", and an empty one is any."""

    country: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()  # with their plus
    sender: tuple[str, ...] = ()
    klass: tuple[int, ...] = ()
    account: tuple[int, ...] = ()
    tag: tuple[str, ...] = ()
    length: Range | None = None  # characters
    segments: Range | None = None


class Way(msgspec.Struct, frozen=True):
    """A carrier of a route."""

    carrier: int
    weight: float = 1.0


class Failover(msgspec.Struct, frozen=True, omit_defaults=True):
    """When another carrier of the route is tried. `after` in seconds; `max_cost` in millionths, of all tries together."""

    submit: bool = True
    on: tuple[Receipt, ...] = ()
    after: int | None = None
    max_cost: int | None = None


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the column `spec` of a route holds."""

    ways: tuple[Way, ...]
    when: When = When()
    strategy: Strategy = "order"
    failover: Failover = Failover()


class Rule(NamedTuple):
    """A route as messages meet it. `ways` are those of its carriers that messages may go to now."""

    id: int
    name: str
    spec: Spec
    ways: tuple[Way, ...]

    def mismatch(self, message: Message, country: str) -> str:
        """The first of its conditions that the message doesn't meet; "" if it is for this message."""
        when = self.spec.when
        if when.prefix and not message.to.startswith(when.prefix):
            return "prefix"
        if when.country and country not in when.country:
            return "country"
        if when.klass and message.klass not in when.klass:
            return "class"
        if when.sender and message.sender not in when.sender:
            return "sender"
        if when.account and message.account_id not in when.account:
            return "account"
        if when.tag and not (message.extra.tags and any(tag in when.tag for tag in message.extra.tags)):
            return "tag"
        if when.segments is not None and message.segments not in when.segments:
            return "segments"
        if when.length is not None and len(message.text or "") not in when.length:
            return "length"
        return ""

    def why_not(self, message: Message, country: str) -> str:
        """Why it is not for this message, in words; "" if it is."""
        when = self.spec.when
        match self.mismatch(message, country):
            case "prefix":
                return f"The number begins with none of {_some(when.prefix)}."
            case "country":
                return f"The number is of {country or 'no country'}, not of {_some(when.country)}."
            case "class":
                return f"It is {CLASSES[message.klass]}, not {_some([CLASSES[each] for each in when.klass])}."
            case "sender":
                return f"It comes from {message.sender or 'no sender'}, not from {_some(when.sender)}."
            case "account":
                return "It is another account's."
            case "tag":
                return f"It has no tag of {_some(when.tag)}."
            case "segments":
                return f"It has {message.segments} parts, not {when.segments}."
            case "length":
                return f"It has {len(message.text or '')} characters, not {when.length}."
        return ""


class Table:
    """An account's routes in their order. Each stands in one index: under what leaves the fewest messages to look at."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_prefix: dict[str, list[int]] = {}
        self._by_sender: dict[str, list[int]] = {}
        self._by_tag: dict[str, list[int]] = {}
        self._by_country: dict[tuple[str, int], list[int]] = {}
        self._by_class: dict[int, list[int]] = {}
        self._others: list[int] = []
        for place, rule in enumerate(self.rules):
            when = rule.spec.when
            if when.prefix:
                _index(self._by_prefix, when.prefix, place)
            elif when.sender:
                _index(self._by_sender, when.sender, place)
            elif when.tag:
                _index(self._by_tag, when.tag, place)
            elif when.country:
                _index(self._by_country, [(each, k) for each in when.country for k in when.klass or (0, 1, 2)], place)
            elif when.klass:
                _index(self._by_class, when.klass, place)
            else:
                self._others.append(place)
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})
        whens = [rule.spec.when for rule in self.rules]
        self._digits = max(
            [_COUNTRY if when.country else 0 for when in whens]
            + [len(prefix) for when in whens for prefix in when.prefix],
            default=0,
        )
        self._senders = any(when.sender for when in whens)
        self._tags = frozenset(tag for when in whens for tag in when.tag)
        self._bounds = sorted(
            {bound for when in whens if when.length is not None for bound in (when.length.min, _after(when.length))}
        )
        self._known: dict[tuple[object, ...], Rule | None] = {}

    def first(self, message: Message) -> Rule | None:
        """The first route that is for the message. Messages that no route tells apart are looked at once."""
        tags = message.extra.tags
        key = (
            message.to[: self._digits],
            message.klass,
            message.segments,
            message.sender if self._senders else None,
            bisect_right(self._bounds, len(message.text or "")) if self._bounds else None,
            tuple(tag for tag in tags if tag in self._tags) if tags and self._tags else None,
        )
        try:
            return self._known[key]
        except KeyError:
            pass
        found = next(self.matching(message), None)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = found
        return found

    def matching(self, message: Message) -> Iterator[Rule]:
        """All routes for the message, in their order."""
        to = message.to
        country = country_of(to)
        lists = [found for length in self._lengths if (found := self._by_prefix.get(to[:length]))]
        if self._by_sender and (found := self._by_sender.get(message.sender)):
            lists.append(found)
        if self._by_tag:
            lists += [found for tag in set(message.extra.tags or ()) if (found := self._by_tag.get(tag))]
        if found := self._by_country.get((country, message.klass)):
            lists.append(found)
        if found := self._by_class.get(message.klass):
            lists.append(found)
        if self._others:
            lists.append(self._others)
        last = -1
        for place in _merged(lists):
            rule = self.rules[place]
            if place != last and not rule.mismatch(message, country):
                yield rule
            last = place


def _some(words: Sequence[str]) -> str:
    return (
        ", ".join(words)
        if len(words) <= MOST_TOLD
        else f"{', '.join(words[:MOST_TOLD])} and {len(words) - MOST_TOLD} more"
    )


def _index(index: dict[K, list[int]], keys: Iterable[K], place: int) -> None:
    for key in dict.fromkeys(keys):
        index.setdefault(key, []).append(place)


def _merged(lists: list[list[int]]) -> Iterable[int]:
    if len(lists) == 1:
        return lists[0]
    if sum(map(len, lists)) < 100:
        return sorted(chain.from_iterable(lists))
    return heapq.merge(*lists)


def _after(length: Range) -> int:
    return (1 << 30) if length.max is None else length.max + 1
