"""What doors ask `accept` for, for whom, and what is wrong with it by itself: number, sender, text, times. Pure."""

from typing import Any, NamedTuple

import msgspec

from columba.core import status
from columba.core.model import Raw
from columba.errors import FieldError
from columba.numbers import NumberError, normalise, sender
from columba.text import check, encoding_of, segments_of, smart

MOST_SEGMENTS = 10
DEFAULT_VALID_S = 48 * 3600
MOST_VALID_S = 14 * 86_400
MOST_AHEAD_MS = 366 * 86_400_000


class Submission(msgspec.Struct, gc=False):
    """What a door asks for. `to` and `sender` as they were written; `send_at` in ms."""

    to: str
    text: str | None = None
    sender: str | None = None
    klass: int = status.TRANSACTIONAL
    send_at: int | None = None
    valid_for: int | None = None
    media: list[str] | None = None
    callback_url: str | None = None
    smart: bool = True
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    # For doors: who is to get the deliveries of its outcome and which (registered_delivery), and an id it has already.
    callback: int | None = None
    receipts: int | None = None
    id: int | None = None
    raw: list[Raw] | None = None  # its parts as they are, where they are encoded already


class Caller(msgspec.Struct, frozen=True):
    """For whom: an account in one of its modes, and what it may."""

    account_id: int
    mode: int
    key_id: int = 0
    scopes: frozenset[str] = frozenset()
    default_country: str | None = None


class Examined(NamedTuple):
    """A submission as it would be sent, and every problem that it has."""

    to: str
    sender: str
    text: str | None
    encoding: int
    segments: int
    due_at: int
    problems: list[FieldError]


def examine(asked: Submission, default_country: str | None, now: int) -> Examined:
    """What a submission comes to by itself."""
    problems: list[FieldError] = []
    to = sent_from = ""
    try:
        to = normalise(asked.to, default_country)
    except NumberError as error:
        problems.append(FieldError("to", "invalid_number", error.detail))
    if asked.sender is not None:
        try:
            sent_from = asked.sender if is_pool(asked.sender) else sender(asked.sender).value
        except NumberError as error:
            problems.append(FieldError("from", "invalid_sender", error.detail))
    text = asked.text
    encoding, segments = 0, 1
    if text:
        wrong = check(text, 1)
        if wrong:
            index, reason = wrong[0]
            problems.append(FieldError("text", "invalid_text", f"character {index + 1}: {reason}"))
        else:
            if encoding_of(text) != "gsm7":
                if asked.smart:
                    text = smart(text)
                encoding = 0 if encoding_of(text) == "gsm7" else 1
            segments = segments_of(text)
            if segments > MOST_SEGMENTS:
                problems.append(
                    FieldError("text", "too_long", f"it takes {segments} parts; {MOST_SEGMENTS} is the most")
                )
    elif not asked.media and not asked.raw:
        problems.append(FieldError("text", "required", "a message needs text or media"))
    due = now
    if asked.send_at is not None:
        if asked.send_at <= now:
            problems.append(FieldError("send_at", "invalid_time", "it is in the past"))
        elif asked.send_at > now + MOST_AHEAD_MS:
            problems.append(FieldError("send_at", "invalid_time", "it is more than a year ahead"))
        due = asked.send_at
    if asked.valid_for is not None and not 1 <= asked.valid_for <= MOST_VALID_S:
        problems.append(FieldError("valid_for", "out_of_range", f"Expected 1 to {MOST_VALID_S} seconds."))
    return Examined(to, sent_from, text, encoding, segments, due, problems)


def is_pool(sent_from: str) -> bool:
    """Whether it is the id of a pool of senders, which a gate chooses from. It is too long for a name."""
    return sent_from[:5] == "pool_" and len(sent_from) > 11
