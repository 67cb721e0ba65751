"""The gate of consent: asks in the accepting transaction whether the person has opted out, or has not opted in.

One probe by primary key a message, where its class needs one. Its refusals say how to get on.
"""

from columba.consent import SQL
from columba.consent.hashes import Hashes
from columba.consent.pools import Pools
from columba.consent.replies import Replies
from columba.consent.settings import OPT_IN, Document, InForce
from columba.core import status
from columba.core.model import Message
from columba.errors import FieldError, Refusal
from columba.policies import Policy
from columba.store import Row, Statement

DETAILS = {
    "opted_out": "The recipient has opted out. They may text START, or give their consent again (POST /v1/consents).",
    "consent_required": "Marketing needs an opt-in of the recipient: record it with POST /v1/consents, or change what "
    "this class needs with PATCH /v1/settings/consent.",
}


class ConsentGate:
    """A StoreGate."""

    refuses: Statement = SQL["refused"]
    keeps: Statement | None = None

    def __init__(self, policy: Policy[Document, InForce], hashes: Hashes, pools: Pools, replies: Replies) -> None:
        self._policy = policy
        self._hashes = hashes
        self._pools = pools
        self._replies = replies

    def row(self, ref: int, message: Message) -> Row | None:
        need = self._policy.of(message.account_id, message.mode).needs[message.klass]
        if not need or self._replies.spares(message):
            return None
        pools = self._pools.of(message.account_id, message.mode, message.sender)
        return (
            ref, message.id, message.account_id, message.mode, self._hashes(message.to), message.sender, message.klass,
            1 if need == OPT_IN and not self._replies.asks(message) else 0, f"|{'|'.join(pools)}|" if pools else "",
        )  # fmt: skip

    def kept(self, message: Message) -> Row | None:
        return None

    def refusal(self, message: Message, code: str) -> Refusal:
        detail = DETAILS[code]
        if code == "consent_required":
            detail = detail.replace("Marketing", f"A message of class {status.CLASSES[message.klass]}", 1)
        return Refusal(code, detail, errors=[FieldError("to", code, detail)])
