"""Beside the sending stands who knows more ways than one: how carriers do, and where else a message may go.

Here is what the two say to each other, and what is seen of parts that came back: which messages a carrier has surely not
taken, so that another may have them, and what that says of the carrier. Pure but for the statements of a plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from columba.core import events, status
from columba.core.contract import Outcome
from columba.core.inbound import clean
from columba.core.model import Event, Message
from columba.store import Step, statements

SQL = statements(Path(__file__).with_name("aside.sql"))
LANES = 64  # of a carrier

# Errors of a carrier's own, which say nothing of the message: another may take it.
ITS_OWN = frozenset({None, "rejected", "carrier_failed", "carrier_unavailable", "throttled"})


class Stranded(NamedTuple):
    """A message that a carrier has surely not taken, and why."""

    message: Message
    outcome: Outcome


class Move(NamedTuple):
    """Where a message goes on. `hop` counts its carriers from 0; `told` is what its event says."""

    lane: int
    hop: int
    told: dict[str, Any]


class Aside(Protocol):
    """What stands beside the sending, and knows more ways than one: health, prices, where else a message may go."""

    def settled(self, carrier_id: int, taken: int, refused: int, heard: int) -> None:
        """Of the parts that a carrier was given, how many it took, refused for reasons of its own, and answered at all."""
        ...

    def taken(self, lane_id: int, sent: Sequence[tuple[Message, list[int]]]) -> Sequence[Step]:
        """Steps for messages that are sent now, with the numbers of the parts that went. Steps 0 and 2 of their plan are
        the fence, and the messages that became `sent`."""
        ...

    async def elsewhere(self, carrier_id: int, stranded: Sequence[Stranded]) -> Mapping[int, Move]:
        """Those that may go on with another carrier, by their ids."""
        ...


class Seen(NamedTuple):
    """What came back from a carrier: how many parts it took, refused for reasons of its own, and answered at all."""

    taken: int
    refused: int
    heard: int
    stranded: Sequence[Stranded]


class Try(NamedTuple):
    """A message that goes on, and what its parts came to."""

    message: Message
    move: Move
    event: Event
    outcomes: Sequence[tuple[int, Outcome]]


def seen_of(flights: Iterable[tuple[Message, Sequence[tuple[int, Outcome]], bool]]) -> Seen:
    """Messages with the outcomes of their parts, by number, and whether their time is over. A number of 0 is no carrier's
    word: somebody else stopped the message, or this carrier can't take its like."""
    stranded = []
    taken = refused = heard = 0
    for message, outcomes, is_over in flights:
        worst: Outcome | None = None
        surely = not message.sent_parts and not is_over
        for n, outcome in outcomes:
            kind = outcome.kind
            if n:
                taken += kind == "sent"
                refused += kind in ("retry", "reroute", "unknown", "unsent") or (
                    kind == "failed" and outcome.error in ("carrier_failed", "carrier_unavailable")
                )
                heard += kind not in ("unknown", "unsent")
            if kind in ("sent", "unknown"):
                surely = False
            elif kind == "reroute" or (n and (kind == "retry" or (kind == "failed" and outcome.error in ITS_OWN))):
                worst = outcome
            elif kind == "failed":
                surely = False
        if surely and worst is not None:
            stranded.append(Stranded(message, worst))
    return Seen(taken, refused, heard, stranded)


def reroute_steps(lane_id: int, tries: Sequence[Try], now: int, first: int) -> tuple[Step, Step, Step, Step, Step]:
    """Steps from the place `first` on: messages go to other lanes, and what they have been through is kept."""
    rows, hops, made = [], [], []
    for message, move, event, outcomes in tries:
        rows.append((lane_id, message.id, move.lane, now))
        made.append(events.row(event, message.callback if (message.callback or 0) > 0 else None))
        hops += [
            (
                message.id, move.hop, n or 1, lane_id & ~(LANES - 1), status.FAILED, clean(outcome.error),
                clean(outcome.code), now,
            )
            for n, outcome in outcomes
        ]  # fmt: skip
    return (
        Step(SQL["reroute_messages"], rows, given=0),
        Step(SQL["insert_hops"], hops, given=first),
        *events.steps(made, first + 2, given=first),
    )
