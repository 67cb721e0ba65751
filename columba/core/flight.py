"""A message on the wire: what its carrier is handed of it, what came back, and what that means for the message. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from columba.core import status
from columba.core.again import jittered
from columba.core.contract import CUT, Carrier, Cut, Outcome, Part
from columba.core.cutting import encoding_number, planned
from columba.core.model import Message, Raw, segments_of_raw

MAX_ATTEMPTS = 16
RETRY_FIRST_MS, RETRY_MOST_MS = 2_000, 900_000
THROTTLED_FIRST_MS, THROTTLED_MOST_MS = 250, 30_000
THROTTLED_COUNTS = 7  # attempts, at most: a long queue at the carrier must not use up what real trouble needs
EXPIRED = Outcome("failed", None, "expired")
NO_TEXT = Outcome("reroute", None, "rejected", "no text, and this carrier takes nothing else")

# What a message with media is for a carrier that takes media, or takes none: its text, and the addresses beside it.
Attach = Callable[[Message, bool], tuple[str, tuple[str, ...]]]


def as_they_are(message: Message, _takes_media: bool) -> tuple[str, tuple[str, ...]]:
    return message.text or "", tuple(message.extra.media or ())


class Flight:
    """A message on the wire: what of it is still out, and what came back."""

    __slots__ = ("cost", "left", "marked", "message", "outcomes", "recut", "stopped", "whole")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.cost = message.cost
        self.left = 0
        self.outcomes: list[tuple[int, Outcome]] = []
        self.marked = False
        self.recut = False  # this carrier wants another encoding, or other parts, than were counted
        self.whole = False  # one outcome for all parts
        self.stopped = False  # by us, before the carrier had any of it


class Verdict(NamedTuple):
    """What a flight means for its message. `status` 0: try again at `due_at`."""

    status: int
    due_at: int
    error: str | None
    code: str | None


def parts_of(flight: Flight, carrier: Carrier, attach: Attach, registration: Mapping[str, str] | None) -> list[Part]:
    """What is still to go of a message, as this carrier takes it; none, and an outcome, where it can't take it."""
    message = flight.message
    counted = message.text or ""
    text, media = (counted, ()) if message.extra.media is None else attach(message, carrier.can.media)
    cut, raw = carrier.cut, message.extra.raw
    if raw is not None and not _passes(text, raw, carrier.can.raw):
        if not text:
            flight.outcomes.append((0, NO_TEXT))
            return []
        raw = None
    if raw is not None:
        texts = _as_they_came(flight, text, raw)
    elif message.extra.raw is None and cut == CUT and text is counted and message.segments == 1:
        texts = (text,)
    else:
        texts = _recut(flight, text, cut)
    of = len(texts)
    # A person's texts must not be taken for parts of each other: some networks keep 8 bits of it.
    ref = (message.id >> 22) + message.id & 0xFFFF
    out = [
        Part(
            message.id, n, of, ref, message.to, message.sender, each, message.encoding, message.klass, message.attempts,
            message.expires_at, flight, media if n == 1 else (), None if raw is None else raw[n - 1], registration,
        )
        for n, each in enumerate(texts, 1)
        if n not in message.sent_parts
    ]  # fmt: skip
    flight.left = len(out)
    return out


def worst_of(flight: Flight) -> Outcome | None:
    """The outcome that decides; None where all of it was taken."""
    worst: Outcome | None = None
    for _, outcome in flight.outcomes:
        if outcome.kind != "sent" and (worst is None or _GRAVITY[outcome.kind] > _GRAVITY[worst.kind]):
            worst = outcome
    return worst


def judge(flight: Flight, worst: Outcome | None, now: int, drawn: float) -> Verdict:
    """What becomes of a message; `drawn` spreads another try, from 0 to 1."""
    message = flight.message
    if worst is None:
        return Verdict(status.SENT, message.due_at, None, None)
    if worst is EXPIRED:
        return Verdict(status.EXPIRED, message.due_at, "expired", None)
    if worst.kind in ("failed", "reroute"):
        return Verdict(status.FAILED, message.due_at, worst.error or "rejected", worst.code)
    if worst.kind == "unknown" and (flight.marked or worst.final):
        return Verdict(status.UNKNOWN, message.due_at, "no_answer", worst.code)
    if worst.kind == "throttled":
        wait = min(THROTTLED_MOST_MS, THROTTLED_FIRST_MS << min(message.attempts, 10))
    elif worst.kind == "unsent":
        wait = 100
    else:
        if message.attempts + 1 >= MAX_ATTEMPTS:
            return Verdict(status.FAILED, message.due_at, worst.error or "carrier_unavailable", worst.code)
        wait = min(RETRY_MOST_MS, RETRY_FIRST_MS << min(message.attempts, 12))
    due = now + max(int(jittered(wait, drawn)), worst.wait_ms)
    if message.expires_at:
        due = min(due, message.expires_at)  # it ends there, on time
    return Verdict(0, due, worst.error, worst.code)


_GRAVITY = {"unsent": 1, "throttled": 2, "retry": 3, "unknown": 4, "reroute": 5, "failed": 6, "sent": 0}


def _recut(flight: Flight, text: str, cut: Cut) -> tuple[str, ...]:
    """The parts of a text for a carrier that wants other ones than those that were counted when it was accepted."""
    message = flight.message
    plan = planned(text, cut)
    encoding = encoding_number(plan)
    if (encoding, plan.segments) != (message.encoding, message.segments):
        message.encoding, message.segments = encoding, plan.segments
        message.sent_parts = ()  # they were others
        flight.recut = True
    if not cut.whole:
        return plan.parts
    if len(message.sent_parts) < message.segments:
        message.sent_parts = ()
    flight.whole = True
    return (text,)


def _passes(text: str, raw: Sequence[Raw], can: tuple[str, ...] | None) -> bool:
    """Whether parts that are encoded already go to a carrier as they are."""
    return can is not None and (not text or all(part.alphabet in can for part in raw))


def _as_they_came(flight: Flight, text: str, raw: Sequence[Raw]) -> tuple[str, ...]:
    """A text for each of the parts that a program has encoded: what they say is in the parts themselves."""
    message = flight.message
    segments = segments_of_raw(raw)
    if segments != message.segments:
        message.segments, message.sent_parts = segments, ()
        flight.recut = True
    flight.whole = len(raw) < segments
    if flight.whole and len(message.sent_parts) < segments:
        message.sent_parts = ()
    return ("",) * len(raw) if len(raw) > 1 else (text,)


def spread(flight: Flight, parts: tuple[Outcome, ...]) -> None:
    """A whole text was cut by the carrier: each of its parts has its own outcome, and its own receipt."""
    message = flight.message
    flight.whole = False
    if len(parts) != message.segments:
        message.segments = len(parts)
        flight.recut = True
    flight.outcomes += enumerate(parts, 1)
