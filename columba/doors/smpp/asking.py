"""query_sm and cancel_sm: what became of a message, and taking it back. A key sees its account's messages of its mode."""

from datetime import UTC, datetime

from columba.core import ids, status
from columba.core.model import Message
from columba.core.submission import Caller
from columba.doors.smpp.words import error_of, state_of
from columba.errors import Refusal
from columba.messages.cancel import Canceling, find
from columba.smpp.pdu import CancelSm, CancelSmResp, QuerySm, QuerySmResp
from columba.smpp.status import Status
from columba.smpp.times import format_absolute
from columba.store import Store, StoreUnavailable


async def _message(store: Store, caller: Caller, shown: str) -> Message | None:
    an_id = ids.read("msg", shown)
    return None if an_id is None else await find(store, caller.account_id, caller.mode, an_id)


async def query(store: Store, caller: Caller, pdu: QuerySm) -> QuerySmResp:
    """SMPP 3.4 §4.8. The source address is not compared: ids are unique."""
    if "messages:read" not in caller.scopes:
        return QuerySmResp(status=Status.ESME_RQUERYFAIL)
    try:
        message = await _message(store, caller, pdu.message_id)
    except StoreUnavailable:
        return QuerySmResp(status=Status.ESME_RSYSERR)
    if message is None:
        return QuerySmResp(status=Status.ESME_RINVMSGID)
    ended = message.status >= status.DELIVERED
    state = state_of(message.status, message.error)
    return QuerySmResp(
        message_id=pdu.message_id,
        final_date=format_absolute(datetime.fromtimestamp(message.updated_at / 1000, UTC)) if ended else "",
        message_state=state,
        error_code=error_of(message.error, message.carrier_code) & 0xFF,
    )


async def take_back(store: Store, cancel: Canceling, caller: Caller, pdu: CancelSm) -> CancelSmResp:
    """SMPP 3.4 §4.9, for one message by its id; not for all to a number."""
    if not pdu.message_id:
        return CancelSmResp(status=Status.ESME_RCANCELFAIL)
    try:
        message = await _message(store, caller, pdu.message_id)
        if message is None:
            return CancelSmResp(status=Status.ESME_RINVMSGID)
        await cancel(message)
    except StoreUnavailable:
        return CancelSmResp(status=Status.ESME_RSYSERR)
    except Refusal:
        return CancelSmResp(status=Status.ESME_RCANCELFAIL)
    return CancelSmResp()
