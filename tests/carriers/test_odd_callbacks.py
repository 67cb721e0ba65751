"""Callbacks that are signed as they should be, with one value that nobody expected: each is read or refused, no worse."""

import copy
import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from columba.carriers.over_http import Said, Unsigned
from columba.core.contract import Inbound, Receipt
from columba.http.egress import Answer
from tests.carriers import air, replay
from tests.carriers.replay import HOME, Case

GONE = object()
ODD: list[Any] = [
    GONE, None, True, 0, -1, 2**53, 10**400, 1.5e300, float("nan"), "", " ", "\0", "\ud800", "x" * 70_000, [], {}, [[]],
    [None], {"": None}, "2999-99-99T99:99:99Z", "0001-01-01", "+", "٣", "null",
]  # fmt: skip
INT64 = 2**63


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands: every value, and every list and object of them."""
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from leaves(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    made = copy.deepcopy(value)
    at = made
    for key in path[:-1]:
        at = at[key]
    if odd is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = odd
    return made


def mutants(case: Case) -> Iterator[Case]:
    for name in ("json", "form"):
        for path in leaves(case.case.get(name, ())):
            for odd in ODD:
                if name == "json" or odd is GONE or (isinstance(odd, str) and odd != "\ud800"):
                    yield case._replace(case={**case.case, name: changed(case.case[name], path, odd)})


def fits(said: Said) -> None:
    for receipt in said.receipts:
        assert isinstance(receipt, Receipt)
        assert isinstance(receipt.carrier_message_id, str)
        assert type(receipt.status) is int
        assert abs(receipt.at) < INT64
        for value in (receipt.error, receipt.code):
            assert value is None or isinstance(value, str)
        assert all(isinstance(each, str) for each in receipt.alternatives)
    for text in said.inbound:
        assert isinstance(text, Inbound)
        assert all(isinstance(value, str) for value in (text.sender, text.to, text.text, *text.media))
        assert text.carrier_message_id is None or isinstance(text.carrier_message_id, str)
        if text.fragment is not None:
            assert isinstance(text.fragment.ref, str)
            assert 1 <= text.fragment.n <= text.fragment.of <= 255


@pytest.mark.parametrize("case", replay.cases("callbacks"))
def test_one_odd_value(case: Case) -> None:
    config = case.built()
    parse = replay.kind_of(case).parse
    assert parse is not None
    url = f"{HOME}/callbacks/car_x/{case.case['to']}"
    for mutant in mutants(case):
        try:
            made = replay.signed(mutant, url)
        except UnicodeEncodeError:  # half a character: the signature is of the text, which has no bytes
            continue
        try:
            said = parse(config, replay.callback(mutant, made))
        except (Unsigned, ValueError, LookupError, TypeError, AttributeError):
            continue
        except Exception as error:
            raise AssertionError(mutant.case) from error
        try:
            fits(said)
        except AssertionError as error:
            raise AssertionError((mutant.case, said)) from error


@pytest.mark.parametrize("case", replay.cases("sends"))
def test_one_odd_value_in_an_answer(case: Case) -> None:
    """It comes to an outcome that can be kept; an answer that says that it was sent is never a failure of ours to read."""
    given = case.case.get("answer", {})
    if "json" not in given:
        return
    heart: Any = importlib.import_module(f"columba.carriers.{case.kind}")
    config, part = case.built(), air.part()
    for path in leaves(given["json"]):
        for odd in ODD:
            reply = replay.reply({**given, "json": changed(given["json"], path, odd)})
            answer = Answer(reply.status, (), reply.body, False, 0.0)
            try:
                outcome = heart.answer(config, part, answer)
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
            assert outcome.kind in ("sent", "failed", "retry", "throttled", "reroute", "unknown"), outcome
            for value in (outcome.id, outcome.error, outcome.code):
                assert value is None or isinstance(value, str), (path, odd, outcome)
            assert isinstance(outcome.wait_ms, int)
