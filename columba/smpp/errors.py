"""The errors this room declares: nothing else leaves it, whatever a peer sends or a caller hands in.

None of them carries a field's value, so that no password or text ends up in a log.
"""


class SmppError(Exception):
    """The base of all errors of this room."""


class MalformedPdu(SmppError):
    """What was received breaks a rule; `status` is the command_status that the specification answers it with."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(f"{detail} (command_status 0x{status:08x})")


class Unsendable(SmppError):
    """A field's value doesn't fit the PDU; the message names the field."""


class NotAllowed(SmppError):
    """The session's state, role or window forbids sending this now."""


class InvalidTime(SmppError):
    """Not a time as SMPP writes it, or one that it can't express."""
