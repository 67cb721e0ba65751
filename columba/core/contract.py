"""What a carrier is to the main path: parts go to a session, outcomes and receipts come back.

A carrier kind is one file in `columba/carriers`. It owns the wire and nothing else: no database, no retries, no queue.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from columba.core import ids
from columba.core.model import Raw
from columba.text import Decoded

OutcomeKind = Literal["sent", "failed", "retry", "throttled", "reroute", "unsent", "unknown"]


class Cut(NamedTuple):
    """How texts are cut into parts for a carrier.

    whole: not at all, it takes a text in one piece. wide: for references of 16 bits, which leave less room. alphabet:
    the texts that it takes in its own alphabet, among those that are GSM; all others go as UCS-2.
    """

    whole: bool = False
    wide: bool = False
    alphabet: Literal["gsm7", "latin1", "ascii", "ucs2"] = "gsm7"


CUT = Cut()


class Can(NamedTuple):
    """What a carrier can do, beyond a text from one number to another.

    media: pictures and files go with a text; else they become links in it. names: senders may have letters.
    receipts: it tells what became of a text. inbound: it brings texts from people. raw: parts that a program has encoded
    already pass as they are, those in these alphabets ("" for a data_coding that names its own); what is no text passes
    in any. None: it takes texts alone.
    """

    media: bool = False
    names: bool = True
    receipts: bool = True
    inbound: bool = True
    raw: tuple[str, ...] | None = None


CAN = Can()


class Part(NamedTuple):
    """One SMS on the wire, or the whole text where a carrier takes it in one piece (then it is 1 of 1, however long).

    `ref`, `n` and `of` tell a long text's parts apart; `flight` is the lane's own; `media` are addresses, with the first.
    `raw` is the part as it came from a program, to go as it is. `registration` is what the sender's registration adds, for
    networks that ask for it: India's `dlt_entity_id` and `dlt_template_id`.
    """

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
    media: tuple[str, ...] = ()
    raw: Raw | None = None
    registration: Mapping[str, str] | None = None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of handing one part over.

    sent: the carrier has it, under `id`. failed: it never will. retry: not now (its trouble). throttled: not so fast.
    reroute: not this carrier, perhaps another. unsent: it did not leave us. unknown: it left, and no answer came.
    `match` is what receipts call it, where that is not `id`. `final`: an unknown one stays so, no other copy is sent.
    `alone`: it was throttled for its own sake, the lane may go on as fast as before. `wait_ms`: not to be tried again
    before that, where somebody said so. `parts`: a whole text's own parts at the carrier, each with its outcome.
    """

    kind: OutcomeKind
    id: str | None = None
    error: str | None = None
    code: str | None = None
    match: str | None = None
    final: bool = False
    alone: bool = False
    wait_ms: int = 0
    parts: tuple["Outcome", ...] = ()


class Receipt(NamedTuple):
    """A carrier's word on a part: `status` is a number of columba.core.status.

    `alternatives` are ids that it may mean instead, the likeliest first: they count where there is no part with its id.
    """

    carrier_message_id: str
    status: int
    error: str | None
    code: str | None
    at: int
    alternatives: tuple[str, ...] = ()


class Fragment(NamedTuple):
    """What makes an inbound text a part of a longer one: the `n`th of `of`, from 1, that have the same `ref`.

    The others are waited for so long; then what has come is a text with gaps.
    """

    ref: str
    n: int
    of: int
    body: Decoded
    wait_ms: int


class Inbound(NamedTuple):
    """A text from a person, or one part of it. One with an id of the carrier's that was there before is left out.

    `raw` is what is no text, as it came, for programs that know what to do with it. `opt_out` is what the carrier says
    that it means, where it keeps opt-outs itself and has answered: `stop`, `start` or `help`.
    """

    sender: str
    to: str
    text: str
    media: tuple[str, ...] = ()
    carrier_message_id: str | None = None
    fragment: Fragment | None = None
    raw: Raw | None = None
    opt_out: str | None = None


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
    sends: bool = True  # messages may be routed to it
    cut: Cut = CUT
    can: Can = CAN
    revision: int = 0  # another one needs a new session
    most_lanes: int = 0  # how many there were: what waits on those beyond `lanes` is moved

    def has_session(self, n: int) -> bool:
        return n < self.lanes and self.state in ("on", "paused") and self.config is not None

    def lane_of(self, to: str) -> int:
        """A person's texts always take the same one of its lanes."""
        return self.id if self.lanes == 1 else self.id + int(to[-4:]) % self.lanes


def by_name(carriers: Iterable[Carrier]) -> dict[str, int]:
    """Carriers as people name them: by id, and by a name that is one's alone."""
    found: dict[str, int] = {}
    several: set[str] = set()
    for carrier in carriers:
        if carrier.name in found:
            several.add(carrier.name)
        found[carrier.name] = carrier.id
        found[ids.show("car", carrier.id)] = carrier.id
    return {name: an_id for name, an_id in found.items() if name not in several}


class Session(Protocol):
    """An open way to a network, owned by one lane."""

    def send(self, parts: Sequence[Part], done: Callable[[Part, Outcome], None]) -> None:
        """Put parts on the wire; `done` is called once for each, now or later."""
        ...

    async def close(self) -> None: ...


async def anywhere(host: str) -> str:
    """A host as it is: for those who may reach every network."""
    return host


class Web(NamedTuple):
    """What a carrier over HTTP is given: the one safe way out, and the addresses at which its callbacks come in.

    `outside` is how the world reaches us, "" where nobody has said; `here` how this machine does.
    """

    request: Callable[..., Awaitable[Any]]  # columba.http.egress.Egress.request
    outside: str = ""
    here: str = ""


class Air(NamedTuple):
    """What a session is given: where receipts and inbound texts go, and how it says that it is up or down.

    `reach` turns a host into an address that the operator permits, the one to connect to; OSError where there is none.
    `trial`: it is opened to try it out, nothing is sent.
    """

    receipts: Callable[[Sequence[Receipt]], Any]
    inbound: Callable[[Sequence[Inbound]], Any]
    ready: Callable[[bool, str], None]
    unresolved: Callable[[int], Any]
    clock: Callable[[], int]
    random: Callable[[], float]
    reach: Callable[[str], Awaitable[str]] = anywhere
    web: Web | None = None
    trial: bool = False
