"""One rule, ready to be asked: its conditions compiled, its actions checked. Pure.

Templates are compiled when they are first used: an account may have thousands.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from columba.core import ids
from columba.errors import FieldError
from columba.forwarding.conditions import Condition, Problems, compile_when, keywords_of, names_contact
from columba.forwarding.rules_shapes import Action, Spec
from columba.numbers import NumberError, normalise, sender
from columba.store import Row
from columba.usercode import NAMES, Template, UserCodeError

FORWARD, REPLY, TAG, TEXT, EMAIL, DROP, LOOK = range(7)
KINDS = ("forward", "reply", "tag", "text", "email", "drop", "look")
MODES = ("all", "first_success", "until_failure")
ALL, FIRST_SUCCESS, UNTIL_FAILURE = range(3)

ACTION_NAMES = NAMES | {"answer", "answers"}  # what templates of actions see
decode_spec = msgspec.json.Decoder(Spec).decode
_USES_ANSWERS = re.compile(r"\banswers?\b").search


class Move(NamedTuple):
    """An action as it is planned for a text.

    lanes: the destinations of a forward. times: how many runs it is, of the others. waits: it uses answers. awaited:
    something after it does.
    """

    n: int
    kind: int
    mode: int
    lanes: tuple[int, ...]
    times: int
    waits: bool
    awaited: bool
    tag: str | None


class Rule(msgspec.Struct, frozen=True):
    """A rule in memory."""

    id: int
    account_id: int
    mode: int
    version: int
    place: float
    enabled: bool
    name: str
    spec: Spec
    created_at: int
    updated_at: int
    condition: Condition
    moves: tuple[Move, ...]
    ends: bool  # no rule after it sees a text that it matched
    keywords: frozenset[str]  # that it names


def rule_of(row: Row) -> Rule:
    """From a row of `rules`."""
    spec = decode_spec(row[7])
    condition = compile_when(spec.when, "when", Problems())
    ends = spec.stop or any(action.drop for action in spec.then)
    return Rule(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        bool(row[5]),
        row[6],
        spec,
        row[8],
        row[9],
        condition,
        moves_of(spec),
        ends,
        keywords_of(spec.when),
    )


def moves_of(spec: Spec) -> tuple[Move, ...]:
    last = max((n for n, action in enumerate(spec.then) if waits_for_answers(action)), default=-1)
    moves = []
    for n, action in enumerate(spec.then):
        forward = action.forward
        lanes = () if forward is None else tuple(ids.read("dst", an_id) or 0 for an_id in forward.to)
        mode = ALL if forward is None else MODES.index(forward.mode)
        count = len(action.text.to) if action.text is not None else 1
        moves.append(Move(n, kind_of(action), mode, lanes, count, waits_for_answers(action), n < last, action.tag))
    return tuple(moves)


def template(source: str) -> Template:
    return Template.parse(source, ACTION_NAMES)


def kind_of(action: Action) -> int:
    return next(kind for kind, name in enumerate(KINDS) if getattr(action, name) is not None)


def waits_for_answers(action: Action) -> bool:
    """Does it use what destinations before it answered?"""
    return any(_USES_ANSWERS(source) is not None for _, source in _templates(action))


def knows(action: Action) -> bool:
    """Does it use who the person is?"""
    return any(names_contact(source) for _, source in _templates(action))


def problems_of(spec: Spec, is_destination: Callable[[str], bool], default_country: str | None) -> list[FieldError]:
    """What is wrong with a rule."""
    problems = Problems()
    compile_when(spec.when, "when", problems)
    for index, action in enumerate(spec.then):
        field = f"then[{index}]"
        for name, source in _templates(action):
            try:
                template(source)
            except UserCodeError as error:
                problems.found.append(error.at(f"{field}.{name}"))
        if action.forward is not None:
            for place, an_id in enumerate(action.forward.to):
                if not is_destination(an_id):
                    detail = "There is no such destination."
                    problems.add(f"{field}.forward.to[{place}]", "invalid_value", detail)
        if action.text is not None:
            for place, number in enumerate(action.text.to):
                try:
                    normalise(number, default_country)
                except NumberError as error:
                    problems.add(f"{field}.text.to[{place}]", "invalid_number", error.detail)
        for name in ("reply", "text"):
            inner = getattr(action, name)
            if inner is not None and inner.from_ is not None:
                try:
                    sender(inner.from_)
                except NumberError as error:
                    problems.add(f"{field}.{name}.from", "invalid_sender", error.detail)
        if action.drop and index < len(spec.then) - 1:
            problems.add(f"then[{index + 1}]", "invalid_value", "Nothing is done after drop.")
    return problems.found


def _templates(action: Action) -> Iterable[tuple[str, str]]:
    """The templates of an action, each with the name of its field."""
    if action.reply is not None:
        yield "reply.text", action.reply.text
    if action.text is not None:
        yield "text.text", action.text.text
    if action.email is not None:
        yield "email.subject", action.email.subject
        yield "email.text", action.email.text


def destinations_of(then: Sequence[Action]) -> list[str]:
    return [an_id for action in then if action.forward is not None for an_id in action.forward.to]
