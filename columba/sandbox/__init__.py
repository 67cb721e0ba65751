"""The sandbox: what a test key sends to. Its carrier is `columba/carriers/sandbox.py`; here are its gate and its people.

The simulated carrier always exists, with an id of its own, and belongs to every account's test mode.
"""

from columba.carriers.sandbox import Config, can
from columba.core import status
from columba.core.contract import Carrier
from columba.core.model import Message
from columba.errors import FieldError, Refusal

CARRIER_ID = 64
LANES = 2


def carrier(config: Config | None = None) -> Carrier:
    config = config or Config()
    return Carrier(
        CARRIER_ID, None, "sandbox", "sandbox", status.TEST, config, None, 1_000, "on", LANES, can=can(config)
    )


def gate(message: Message) -> Refusal | None:
    """Numbers that a carrier would refuse at once."""
    if message.mode == status.TEST:
        tail = message.to[-4:]
        if tail == "0001":
            return Refusal("no_recipient", errors=[FieldError("to", "no_recipient", "The number does not exist.")])
        if tail == "0004":
            return Refusal("opted_out", errors=[FieldError("to", "opted_out", "The recipient has opted out.")])
    return None
