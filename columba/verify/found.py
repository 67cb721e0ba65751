"""A verification as the store has it, and as its owner sees it."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from columba.core import ids
from columba.core.model import Json, rfc3339
from columba.store import Row, statements

SQL = statements(Path(__file__).with_name("verify.sql"))
STARTING, PENDING, APPROVED, EXPIRED, CANCELED = range(5)
STATUSES: Final = ("pending", "pending", "approved", "expired", "canceled")


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a verification was begun with: how each of its sends is made."""

    length: int
    alphabet: str
    template: str | None = None
    params: dict[str, Any] = {}
    language: str | None = None
    brand: str = ""
    sender: str | None = None
    domain: str | None = None
    address: str | None = None
    device: str | None = None
    metadata: dict[str, Any] = {}
    expires_in: int = 600


class Found(NamedTuple):
    """A verification: a row of `verification`."""

    id: int
    account_id: int
    mode: int
    to: str
    status: int
    hash: str
    asked: Asked
    counted: list[str]
    checks: int
    max_checks: int
    sends: int
    max_sends: int
    message_id: int
    sent_at: int
    created_at: int
    updated_at: int
    expires_at: int

    @property
    def is_open(self) -> bool:
        return self.status in (STARTING, PENDING)


_asked = msgspec.json.Decoder(Asked).decode
_keys = msgspec.json.Decoder(list[str]).decode


def found_of(row: Row) -> Found:
    return Found(*row[:6], _asked(row[6]), _keys(row[7]), *row[8:])  # type: ignore[call-arg]  # as the statement has them


def state(found: Found, now: int) -> str:
    """Its status as it is shown."""
    return STATUSES[EXPIRED if found.is_open and now >= found.expires_at else found.status]


def view(found: Found, now: int) -> Json:
    asked = found.asked
    return {
        "id": ids.show("ver", found.id),
        "status": state(found, now),
        "to": found.to,
        "length": asked.length,
        "alphabet": asked.alphabet,
        "template": asked.template,
        "language": asked.language,
        "from": asked.sender,
        "domain": asked.domain,
        "checks": found.checks,
        "checks_left": found.max_checks - found.checks if found.status == PENDING else 0,
        "sends": found.sends,
        "sends_left": found.max_sends - found.sends if found.status == PENDING else 0,
        "message_id": ids.show("msg", found.message_id),
        "metadata": asked.metadata,
        "created_at": rfc3339(found.created_at),
        "updated_at": rfc3339(found.updated_at),
        "sent_at": rfc3339(found.sent_at),
        "expires_at": rfc3339(found.expires_at),
    }
