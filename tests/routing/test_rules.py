"""Which routes are for a message: each condition, the order, and that the index forgets none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.core import status
from columba.core.model import NO_EXTRA, Extra, Message
from columba.numbers import country_of
from columba.routing.rules import Range, Rule, Spec, Table, Way, When

WAY = (Way(64),)
CLASSES = {"otp": 0, "transactional": 1, "marketing": 2}


def message(
    to: str = "+447700900123",
    sender: str = "",
    klass: str = "transactional",
    text: str = "Hello",
    segments: int = 1,
    tags: tuple[str, ...] = (),
) -> Message:
    extra = Extra(tags=list(tags)) if tags else NO_EXTRA
    return Message(
        1, 1, status.LIVE, 0, CLASSES[klass], 0, to, sender, text, 0, segments, status.QUEUED, 0, 0, 0, extra=extra
    )  # fmt: skip


def rules(*whens: When) -> list[Rule]:
    return [Rule(n, f"route {n}", Spec(WAY, when), WAY) for n, when in enumerate(whens)]


@pytest.mark.parametrize(
    ("when", "yes", "no", "why"),
    [
        (When(country=("GB", "FR")), {}, {"to": "+4915112345678"}, "The number is of DE, not of GB, FR."),
        (When(prefix=("+4477", "+33")), {}, {"to": "+447400900123"}, "The number begins with none of +4477, +33."),
        (When(sender=("Columba",)), {"sender": "Columba"}, {"sender": "+12025550100"}, "not from Columba."),
        (When(sender=("Columba",)), {"sender": "Columba"}, {}, "It comes from no sender, not from Columba."),
        (When(klass=(0,)), {"klass": "otp"}, {"klass": "marketing"}, "It is marketing, not otp."),
        (When(tag=("a", "b")), {"tags": ("x", "b")}, {"tags": ("x",)}, "It has no tag of a, b."),
        (When(tag=("a",)), {"tags": ("a",)}, {}, "It has no tag of a."),
        (When(account=(2,)), None, {}, "It is another account's."),
        (When(segments=Range(2)), {"segments": 2}, {"segments": 1}, "It has 1 parts, not 2 or more."),
        (When(length=Range(2, 5)), {"text": "12345"}, {"text": "123456"}, "It has 6 characters, not 2 to 5."),
        (When(length=Range(2, 5)), {"text": "12"}, {"text": "1"}, "It has 1 characters, not 2 to 5."),
        (When(country=("CA",)), {"to": "+14165550100"}, {"to": "+12025550100"}, "The number is of US, not of CA."),
        (When(prefix=tuple(f"+9{n:02d}" for n in range(12))), {"to": "+9055512345"}, {}, "+908, +909 and 2 more."),
    ],
)  # fmt: skip
def test_each_condition_says_yes_and_says_why_not(
    when: When, yes: dict[str, Any] | None, no: dict[str, Any], why: str
) -> None:
    (rule,) = rules(when)
    table = Table([rule])
    if yes is not None:
        assert table.first(message(**yes)) is rule
        assert rule.why_not(message(**yes), country_of(message(**yes).to)) == ""
    assert table.first(message(**no)) is None
    assert rule.why_not(message(**no), country_of(message(**no).to)).endswith(why)


def test_the_first_by_position_is_taken_whatever_it_is_found_by() -> None:
    table = Table(
        rules(
            When(prefix=("+447700",), klass=(0,)),
            When(sender=("Columba",)),
            When(country=("GB",), tag=("vip",)),
            When(prefix=("+44", "+447")),
            When(country=("GB",)),
            When(),
        )
    )
    assert [rule.id for rule in table.matching(message())] == [3, 4, 5]
    assert [rule.id for rule in table.matching(message(klass="otp", sender="Columba", tags=("vip", "vip")))] == [
        *range(6)
    ]
    assert [rule.id for rule in table.matching(message(to="+33612345678"))] == [5]


def test_what_is_remembered_of_one_message_does_not_hold_for_another_that_differs_in_what_counts() -> None:
    table = Table(rules(When(sender=("A",)), When(tag=("b",)), When(length=Range(0, 4)), When(segments=Range(3, 3))))
    ask = [
        (message(sender="A"), 0),
        (message(), None),
        (message(tags=("x",)), None),
        (message(tags=("x", "b")), 1),
        (message(text="1234"), 2),
        (message(text="12345"), None),
        (message(text="12345", segments=3), 3),
    ]
    for _ in range(2):
        for each, wanted in ask:
            found = table.first(each)
            assert (found.id if found is not None else None) == wanted


NUMBERS = ["+447700900123", "+447400900123", "+33612345678", "+12025550100", "+14165550100"]
PREFIXES = ["+4", "+44", "+4477", "+1", "+1416", "+336"]
COUNTRIES = ["GB", "FR", "US", "CA"]
TAGS = ["a", "b"]
SENDERS = ["", "A", "+12025550100"]


def some(values: list[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


RANGE = st.none() | st.tuples(st.integers(0, 3), st.integers(3, 6)).map(lambda pair: Range(*pair))
WHEN = st.builds(
    When, country=some(COUNTRIES), prefix=some(PREFIXES), sender=some(["A", "+12025550100"]), klass=some([0, 1, 2]),
    tag=some(TAGS), length=RANGE, segments=RANGE,
)  # fmt: skip
MESSAGE = st.builds(
    message, to=st.sampled_from(NUMBERS), sender=st.sampled_from(SENDERS), klass=st.sampled_from(list(CLASSES)),
    text=st.sampled_from(["", "123", "1234567"]), segments=st.integers(1, 4), tags=some(TAGS),
)  # fmt: skip


@given(st.lists(WHEN, max_size=12), st.lists(MESSAGE, min_size=1, max_size=6))
def test_the_index_finds_what_looking_at_each_route_finds(whens: list[When], messages: list[Message]) -> None:
    all_of_them = rules(*whens)
    table = Table(all_of_them)
    for each in messages:
        country = country_of(each.to)
        wanted = [rule.id for rule in all_of_them if rule.why_not(each, country) == ""]
        assert [rule.id for rule in table.matching(each)] == wanted
        first = table.first(each)
        assert (first.id if first is not None else None) == (wanted[0] if wanted else None)
