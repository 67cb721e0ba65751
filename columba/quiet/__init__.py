"""Quiet hours and sending windows: what would reach a person at a wrong hour waits for the first right one.

A gate postpones what is accepted, and says so on the message; a last look does the same for what has waited elsewhere
until the hour was over. Both ask memory only. Answers to people who text are spared: they are awake.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from columba.core import status
from columba.core.contract import Outcome
from columba.core.model import Message
from columba.errors import FieldError, Refusal
from columba.policies import Policies, Policy
from columba.quiet.windows import Window, Windows, data

ROOM = "quiet"
WAITING = "quiet_hours"
MOST_WAIT_MS = 86_400_000  # then it is looked at again


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As it was set. enabled None: for live messages."""

    enabled: bool | None = None
    defaults: bool = True
    windows: list[Window] = []


class InForce(NamedTuple):
    """`covers` by class: whether there is anything to ask."""

    covers: tuple[bool, bool, bool]
    windows: Windows


def enabled(document: Document, mode: int) -> bool:
    return mode == status.LIVE if document.enabled is None else document.enabled


def in_force(document: Document, mode: int) -> InForce:
    groups = [data().windows] if document.defaults else []
    if document.windows:
        groups.append(tuple(document.windows))
    those = groups if enabled(document, mode) else []
    covered = {klass for group in those for window in group for klass in window.classes}
    first, second, third = (klass in covered for klass in status.CLASSES)
    return InForce((first, second, third), Windows(those))


class QuietHours:
    def __init__(self, policies: Policies, clock: Callable[[], int], spares: Callable[[Message], bool]) -> None:
        self.policy: Policy[Document, InForce] = policies.room(Policy(ROOM, Document, in_force, Document()))
        self._clock = clock
        self._spares = spares

    def gate(self, message: Message) -> Refusal | None:
        rules = self.policy.of(message.account_id, message.mode)
        if not rules.covers[message.klass] or self._spares(message):
            return None
        try:
            at = rules.windows.next_open(status.CLASSES[message.klass], message.to, message.due_at)
        except ValueError as error:  # without the time zone's data nobody knows: `columba doctor` says so too
            return _refused(f"It can't be told: {error}.")
        if at is None:
            return _refused("The windows that apply to this number and class are never open at once.")
        if at != message.due_at:
            message.expires_at += at - message.due_at
            message.due_at = at
            message.status = status.SCHEDULED
            message.extra = msgspec.structs.replace(message.extra, waits_for=WAITING)
        return None

    def look(self, message: Message) -> Outcome | None:
        rules = self.policy.of(message.account_id, message.mode)
        if not rules.covers[message.klass] or self._spares(message):
            return None
        now = self._clock()
        try:
            at = rules.windows.next_open(status.CLASSES[message.klass], message.to, now)
        except ValueError:
            return Outcome("unsent", wait_ms=60_000)
        if at == now:
            return None
        return Outcome("unsent", wait_ms=MOST_WAIT_MS if at is None else min(at - now, MOST_WAIT_MS))


def _refused(detail: str) -> Refusal:
    return Refusal("quiet_hours", detail, errors=[FieldError("to", "quiet_hours", detail)])
