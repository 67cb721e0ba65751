"""What is asked of carriers and answered about them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from columba.carriers import kinds
from columba.errors import FieldError
from columba.http.times import Timestamp
from columba.http.words import short
from columba.routing import config as configs
from columba.routing.carriers import LANES

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Config = Annotated[
    dict[str, Any],
    Meta(description="What its kind takes: see GET /v1/carriers/kinds.", examples=[{"latency_ms": 20}]),
]
Rate = Annotated[float, Meta(gt=0, le=100_000, description="Parts a second, of all its sessions together.")]
Window = Annotated[int, Meta(ge=1, le=10_000, description="Parts that wait for their answer at once, on each session.")]
Lanes = Annotated[int, Meta(ge=1, le=LANES, description="Sessions that share its traffic.")]
OnUnknown = Literal["resend", "unknown"]


class NewCarrier(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A carrier to be set up.

    rate: as much as it takes, if it is left out
    window: what its kind usually takes, if it is left out
    lanes: as many as its configuration asks for (one, for most kinds), if it is left out
    enabled: false only writes it down
    on_unknown: what is done with a text whose sending was never answered: another copy, or nothing (`unknown`). One-time
      codes are never sent twice.
    """

    name: Name
    kind: Annotated[str, Meta(max_length=32, examples=["sandbox"])]
    config: Config = {}
    rate: Rate | None = None
    window: Window | None = None
    lanes: Lanes | None = None
    enabled: bool = True
    on_unknown: OnUnknown = "resend"

    def check_kind(self) -> Iterable[FieldError]:
        if self.kind not in kinds():
            known = ", ".join(short(name) for name in sorted(kinds()))
            yield FieldError("kind", "invalid_value", f"Expected one of {known}, got {short(self.kind)}.")

    def check_config(self) -> Iterable[FieldError]:
        kind = kinds().get(self.kind)
        return configs.read(kind, self.config)[1] if kind is not None else ()


class CarrierChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays.

    config: only the fields that change; null takes one back to its default, and a secret as it was shown (`***`) stays
    rate: null for no limit
    window: null for what its kind usually takes
    lanes: null for as many as its configuration asks for
    """

    name: Name | UnsetType = UNSET
    config: Config | UnsetType = UNSET
    rate: Rate | None | UnsetType = UNSET
    window: Window | None | UnsetType = UNSET
    lanes: Lanes | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    on_unknown: OnUnknown | UnsetType = UNSET


class Deletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    force: Annotated[bool, Meta(description="Let the messages that wait for it fail.")] = False


class CarrierError(msgspec.Struct, frozen=True):
    """What went wrong last with handing a part over.

    code: as in a message's `error`
    carrier_code: the network's own
    """

    code: str | None
    carrier_code: str | None
    at: Timestamp


class CarrierSession(msgspec.Struct, frozen=True):
    """One connection to the network.

    n: 0 for the first
    why: why it isn't up
    since: when it became so; null while no process has it
    window_in_use: how many parts wait for their answer
    """

    n: int
    state: Literal["up", "connecting", "down"]
    why: str
    since: Timestamp | None
    window_in_use: int
    last_error: CarrierError | None


class CarrierHealth(msgspec.Struct, frozen=True):
    """How it has done lately. Counts fade: by half in 20 seconds those of parts, in 5 minutes those of receipts.

    standing: 1 without a flaw, 0 for one that is down. Below 0.5 messages take another carrier of their route, but for one
      a second to see whether it is better
    why: what is wrong with it
    """

    standing: float
    why: str
    taken: float
    refused: float
    delivered: float
    undelivered: float


class CarrierView(msgspec.Struct, kw_only=True):
    """A way to a network.

    state: `up` as soon as one of its sessions is; `down` too when it isn't enabled
    why: why it isn't up
    config: with its defaults, and `***` for each secret
    waiting: messages still to be sent through it, scheduled ones too; 100000 stands for that many or more
    callbacks: the addresses at which the network is to call us
    """

    id: str
    name: str
    kind: str
    mode: Literal["test", "live"]
    state: Literal["up", "connecting", "down", "paused"]
    why: str
    enabled: bool
    config: dict[str, Any]
    rate: float | None
    window: int | None
    lanes: int
    on_unknown: OnUnknown
    window_in_use: int
    waiting: int
    health: CarrierHealth
    last_error: CarrierError | None
    sessions: list[CarrierSession]
    callbacks: Mapping[str, str]
    created_at: Timestamp | None
    updated_at: Timestamp | None


class CarrierKindView(msgspec.Struct):
    """A kind of carrier.

    config: the JSON schema of what a carrier of this kind is configured with
    callbacks: what the network calls us for, if it does
    """

    kind: str
    config: dict[str, Any]
    callbacks: list[str]


class CarrierKinds(msgspec.Struct):
    data: list[CarrierKindView]
