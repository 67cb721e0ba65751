"""A kind of carrier for tests: it has secrets, and its sessions do as they are told."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from columba.carriers import SECRET, CarrierKind
from columba.core.contract import Air, Carrier, Outcome, Part
from columba.errors import FieldError

Password = Annotated[str, Meta(max_length=8, extra_json_schema=SECRET)]


class NoAuth(msgspec.Struct, frozen=True, tag="none", tag_field="kind", forbid_unknown_fields=True):
    pass


class Bearer(msgspec.Struct, frozen=True, tag="bearer", tag_field="kind", forbid_unknown_fields=True):
    token: Annotated[str, Meta(extra_json_schema=SECRET)]
    realm: str = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(min_length=1)]
    password: Password | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] = 2775
    binds: Annotated[int, Meta(ge=1, le=200)] = 1
    auth: NoAuth | Bearer = NoAuth()
    headers: dict[str, Annotated[str, Meta(extra_json_schema=SECRET)]] = {}
    numbers: list[str] = []

    def check_port(self) -> Iterable[FieldError]:
        if self.host == "odd" and self.port % 2 == 0:
            yield FieldError("port", "invalid_value", "Expected an odd port.")


class Line:
    """A session. `answer` has the network answer what it took; on a host named `down` it never gets up."""

    opened: list["Line"] = []

    def __init__(self, carrier: Carrier, n: int, air: Air) -> None:
        self.config: Config = carrier.config
        self.n = n
        self.air = air
        self.taken: list[tuple[Part, Callable[[Part, Outcome], None]]] = []
        self.closed = False
        Line.opened.append(self)
        if self.config.host == "raises":
            raise OSError(f"no way with {self.config.password}")
        if self.config.host == "down":
            air.ready(False, "The network refused the bind: ESME_RBINDFAIL.")
        elif self.config.host != "silent":
            air.ready(True, "")

    def send(self, parts: Sequence[Part], done: Callable[[Part, Outcome], None]) -> None:
        self.taken += [(part, done) for part in parts]

    def answer(self, kind: str = "sent") -> None:
        taken, self.taken = self.taken, []
        for part, done in taken:
            done(part, Outcome(kind, f"{part.message_id}-{part.n}"))  # type: ignore[arg-type]

    async def close(self) -> None:
        self.closed = True


KIND = CarrierKind("line", Config, Line, lambda config: config.binds, 5, True, ("receipts", "inbound"))
