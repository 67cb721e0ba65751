"""What a carrier is to the main path: parts go to a session, outcomes and receipts come back.

A carrier kind is one file in `columba/carriers`. It owns the wire and nothing else: no database, no retries, no queue.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

OutcomeKind = Literal["sent", "failed", "retry", "throttled", "unsent", "unknown"]


class Part(NamedTuple):
    """One SMS on the wire. `ref`, `n` and `of` tell a long text's parts apart; `flight` is the lane's own."""

    message_id: int
    n: int
    of: int
    ref: int
    to: str
    sender: str
    text: str
    encoding: int
    klass: int
    attempt: int
    expires_at: int
    flight: Any


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of handing one part over.

    sent: the carrier has it, under `id`. failed: it never will. retry: not now (its trouble). throttled: not so fast.
    unsent: it did not leave us. unknown: it left, and no answer came.
    """

    kind: OutcomeKind
    id: str | None = None
    error: str | None = None
    code: str | None = None


class Receipt(NamedTuple):
    """A carrier's word on a part: `status` is a number of columba.core.status."""

    carrier_message_id: str
    status: int
    error: str | None
    code: str | None
    at: int


class Inbound(NamedTuple):
    """A text from a person, joined from its parts."""

    sender: str
    to: str
    text: str
    media: tuple[str, ...] = ()
    carrier_message_id: str | None = None


class Carrier(msgspec.Struct, frozen=True):
    """A configured way to a network. Its lanes are `id`, `id + 1`, ... (ids of carriers leave room for 64)."""

    id: int
    account_id: int | None
    name: str
    kind: str
    mode: int
    config: Any  # the kind's struct; None when it can't be read
    rate: float | None = None  # of all its lanes together
    window: int | None = None  # of each lane
    state: Literal["on", "paused", "off", "deleted"] = "on"
    lanes: int = 1
    # What an unanswered submit becomes: another copy, or `unknown`. One-time codes are always `unknown`.
    on_unknown: Literal["resend", "unknown"] = "resend"
    serial: bool = False
    receipts: bool = True
    revision: int = 0  # another one needs a new session
    most_lanes: int = 0  # how many there were: what waits on those beyond `lanes` is moved

    def has_session(self, n: int) -> bool:
        return n < self.lanes and self.state in ("on", "paused") and self.config is not None

    def lane_of(self, to: str) -> int:
        """A person's texts always take the same one of its lanes."""
        return self.id if self.lanes == 1 else self.id + int(to[-4:]) % self.lanes


class Session(Protocol):
    """An open way to a network, owned by one lane."""

    def send(self, parts: Sequence[Part], done: Callable[[Part, Outcome], None]) -> None:
        """Put parts on the wire; `done` is called once for each, now or later."""
        ...

    async def close(self) -> None: ...


class Air(NamedTuple):
    """What a session is given: where receipts and inbound texts go, and how it says that it is up or down."""

    receipts: Callable[[Sequence[Receipt]], Any]
    inbound: Callable[[Sequence[Inbound]], Any]
    ready: Callable[[bool, str], None]
    unresolved: Callable[[int], Any]
    clock: Callable[[], int]
    random: Callable[[], float]
