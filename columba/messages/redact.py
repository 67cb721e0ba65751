"""Redacting: a message's text and media are removed, its record stays.

The store forgets first, with the answer that an Idempotency-Key would give again; then every process forgets what it
holds in memory. A message that has not left needs its text: it is refused (`conflict`), to be canceled first. Doing it
again changes nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from columba.core import ids, model, status
from columba.core.model import Message
from columba.errors import Refusal
from columba.messages.cancel import SQL
from columba.store import Step, Store, plan

# When an answer may have been kept for an Idempotency-Key, counted from the message's id.
BEFORE_MS: Final = 1_000
AFTER_MS: Final = 15_000

Forget = Callable[[int], None]
"""Drop what is in memory of a message's text."""


Also = Callable[[Sequence[int]], Sequence[Step]]
"""More steps for the plan that redacts these messages."""


class Redacting:
    def __init__(
        self, store: Store, clock: Callable[[], int], forget: Sequence[Forget] = (), also: Sequence[Also] = ()
    ) -> None:
        self._also = also
        self._store = store
        self._clock = clock
        self._forget = forget

    async def __call__(self, message: Message) -> Message:
        """The message, redacted."""
        if message.status in (status.SCHEDULED, status.QUEUED):
            raise Refusal("conflict", f"The message is {status.NAMES[message.status]}: cancel it first.")
        if message.extra.redacted_at is not None:
            return message
        message.text = None
        message.extra = msgspec.structs.replace(message.extra, media=None, raw=None, redacted_at=self._clock())
        made = ids.time_of(message.id)
        answer = (message.id, message.account_id, message.mode, made - BEFORE_MS, made + AFTER_MS)
        await self._store.commit(
            plan(
                Step(SQL["redact"], [(message.id, model.extra_text(message.extra))]),
                Step(SQL["redact_answers"], [answer]),
                *(step for more in self._also for step in more([message.id])),
            )
        )
        self.everywhere(message.id)
        self._store.ring(f"redact:{message.id}")
        return message

    def everywhere(self, an_id: int) -> None:
        """Forget what memory has of a message, in this process."""
        for forget in self._forget:
            forget(an_id)

    def heard(self, topic: str) -> None:
        """The bell rang: another process has redacted a message."""
        kind, _, an_id = topic.partition(":")
        if kind == "redact" and an_id.isdecimal():
            self.everywhere(int(an_id))
