"""What the operator changes on the command line, in the store itself: left there for the log, by the change's own plan.

A command need not have the secret key that the log's chain is made with: to revoke a key must not wait for that. So what it
has done is left in the table audit_left in the transaction that does it, and put at the end of the chain by whoever has the
key: a server within a second, when it starts at the latest, or the command itself (`Audit.take_up`). Fails with
StoreUnavailable alone.
"""

import os
import pwd
import socket
from typing import Any, Final, NamedTuple

import msgspec

from columba.core import snapshots
from columba.privacy.audit import LEFT, SQL
from columba.store import Step

_encode = msgspec.json.Encoder().encode
COMMAND: Final = "CLI"


class Operator(NamedTuple):
    """Who runs this process, and where."""

    name: str
    host: str


def operator() -> Operator:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user has no name
        name = f"uid {uid}"
    return Operator(name, socket.gethostname())


def left(
    who: Operator, an_id: int, account_id: int, mode: int, at: int, action: str, subject: int, shown: str
) -> tuple[Step, ...]:
    """The steps that go with a change, for a plan whose step 0 returns `subject` if the change was really made. `shown` is
    the id of what was changed, as people see it."""
    said: dict[str, Any] = {
        "operator": who.name,
        "address": who.host,
        "action": action,
        "method": COMMAND,
        "about": {"id": shown},
    }
    row = (subject, an_id, account_id, mode, at, _encode(said).decode())
    return Step(SQL["leave_audit"], [row], given=0), Step(snapshots.SQL["bump"], [(LEFT,)])
