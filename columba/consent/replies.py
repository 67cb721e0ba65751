"""Answers to people: that they are unsubscribed, are back, how to get help, whether they meant it.

An answer is written in the transaction that makes it due, with the id that its message will have; then it is accepted
like any message, in a plan that marks it done. A crash in between leaves it to `step`, and the id keeps it from being sent
twice. What could not be sent within five minutes is not sent at all. It is spared by the gates: it was asked for.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from columba.consent import SQL
from columba.core import status
from columba.core.accept import Also
from columba.core.model import Message
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.store import Step, Store, StoreUnavailable, plan

LATEST_MS: Final = 300_000  # 47 CFR 64.1200(a)(12): within five minutes
AGAIN_MS: Final = 60_000  # two machines that answer each other
SPARED: Final = 10_000

log = structlog.get_logger()


class Reply(NamedTuple):
    """What is to be said to whom, as the message `id`."""

    id: int
    account_id: int
    mode: int
    number: str
    sender: str
    kind: str
    text: str


class AcceptPath(Protocol):
    def __call__(
        self, caller: Caller, asked: Sequence[Submission], *, also: Also | None = None
    ) -> Awaitable[list[Message | Refusal]]: ...


class Replies:
    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self.accept: AcceptPath | None = None
        self.spared: dict[int, bool] = {}  # ids of what goes whatever was said, or (False) to who has not opted out
        self._store = store
        self._clock = clock
        self._busy: set[int] = set()

    def spares(self, message: Message) -> bool:
        """Is it an answer to what the person has just said?"""
        return self.spared.get(message.id, False)

    def asks(self, message: Message) -> bool:
        """Does it ask for an opt-in, and so needs none?"""
        return message.id in self.spared

    async def send(self, reply: Reply) -> None:
        """Have it accepted, once."""
        if self.accept is None or reply.id in self._busy:
            return
        self._busy.add(reply.id)
        while len(self.spared) >= SPARED:
            del self.spared[next(iter(self.spared))]
        self.spared[reply.id] = reply.kind != "confirm"
        done = Step(SQL["reply_done"], [(reply.id,)])
        asked = Submission(
            reply.number,
            reply.text,
            reply.sender or None,
            status.TRANSACTIONAL,
            valid_for=LATEST_MS // 1000,
            id=reply.id,
        )
        try:
            (outcome,) = await self.accept(
                Caller(reply.account_id, reply.mode), [asked], also=lambda _messages, _kept: (done,)
            )
            if isinstance(outcome, Refusal):
                log.info("consent.reply_refused", kind=reply.kind, code=outcome.code)
                await self._store.commit(plan(done))
        except StoreUnavailable:
            log.info("consent.reply_waits")
        except Refusal as refusal:
            log.info("consent.reply_waits", code=refusal.code)
        finally:
            self._busy.discard(reply.id)

    async def step(self) -> int:
        """Those that were written and not accepted, because the process ended or the store was away."""
        now = self._clock()
        rows = await self._store.read(SQL["due_replies"], since=now - LATEST_MS, before=now - 5_000)
        for row in rows:
            await self.send(Reply(*row))
        return len(rows)

    async def sweep(self) -> None:
        now = self._clock()
        await self._store.commit(
            plan(Step(SQL["sweep_replies"], [(now - 3_600_000,)]), Step(SQL["sweep_requests"], [(now,)]))
        )
