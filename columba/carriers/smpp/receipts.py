"""A carrier's receipts as the main path takes them: which part, what became of it, and why.

Fails never: a receipt that names no message or no end gives None, and there is nothing to record.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Final

from columba.core import status
from columba.core.contract import Receipt
from columba.smpp.pdu import DataSm, ShortMessagePdu
from columba.smpp.receipt import STATS, parse_receipt, read_receipt
from columba.smpp.receipt import Receipt as Told
from columba.smpp.tlv import MESSAGE_PAYLOAD, MESSAGE_STATE, RECEIPTED_MESSAGE_ID, find
from columba.smpp.values import EsmClass, MessageState

from .config import Config
from .ids import Ids

_DELIVERED: Final = (status.DELIVERED, None)
# What a state means: the status, and the failure. None: not the end yet.
_MEANS: Final[Mapping[MessageState, tuple[int, str | None] | None]] = {
    MessageState.DELIVERED: _DELIVERED,
    MessageState.EXPIRED: (status.EXPIRED, "expired"),
    MessageState.DELETED: (status.UNDELIVERED, "deleted"),
    MessageState.UNDELIVERABLE: (status.UNDELIVERED, "unreachable"),
    MessageState.REJECTED: (status.UNDELIVERED, "rejected"),
    MessageState.SKIPPED: (status.UNDELIVERED, "rejected"),
    MessageState.UNKNOWN: (status.UNKNOWN, "no_receipt"),
    MessageState.SCHEDULED: None,
    MessageState.ENROUTE: None,
    # By the letter somebody read it to the subscriber; what carriers mean is that they have taken it.
    MessageState.ACCEPTED: None,
}
_CONFIGURED: Final[Mapping[str, tuple[int, str | None] | None]] = {
    "delivered": _DELIVERED,
    "undelivered": (status.UNDELIVERED, "unreachable"),
    "expired": (status.EXPIRED, "expired"),
    "unknown": (status.UNKNOWN, "no_receipt"),
    "not-final": None,
}
_STATES: Final = {stat: state for state, stat in STATS.items()}
# SMPP 3.4 Appendix B to the letter, as nearly all are.
_USUAL: Final = re.compile(
    rb"id:([0-9A-Za-z-]{1,64}) sub:\d{1,9} dlvrd:\d{1,9} submit date:\d{10,12} done date:\d{10,12} stat:("
    + b"|".join(stat.encode() for stat in _STATES)
    + rb") err:([0-9A-Za-z]{1,20})(?: text:|\Z)"
)
_ODD: Final = re.compile(r"[^!-~]+")  # a code for people: printable, one word


def is_receipt(pdu: ShortMessagePdu | DataSm, config: Config) -> Told | None:
    """What a PDU tells of a message of ours; None when it is a text from a person."""
    if pdu.esm_class == EsmClass.DELIVERY_RECEIPT and isinstance(pdu, ShortMessagePdu):
        usual = _USUAL.match(pdu.short_message)
        if usual is not None:
            return _usual(usual, pdu)
    told = read_receipt(pdu, UTC)
    if told is None and config.unmarked_receipts and not pdu.esm_class & 0x3C:
        octets = pdu.short_message if isinstance(pdu, ShortMessagePdu) else b""
        text = (octets or find(pdu.tlvs, MESSAGE_PAYLOAD) or b"").decode("latin-1")
        found = parse_receipt(text, UTC)
        # Anybody can write a text with an id and a state; the dates are what only receipts have.
        if found is not None and found.id and found.state is not None and found.done_date is not None:
            told = found
    return told


def _usual(found: re.Match[bytes], pdu: ShortMessagePdu) -> Told:
    """What `read_receipt` makes of it, at a tenth of the cost: nothing that is not used is looked at."""
    an_id, stat, err = found[1].decode("ascii"), found[2].decode("ascii"), found[3].decode("ascii")
    state: MessageState | None = _STATES[stat]
    told_id, text_id = an_id, ""
    if pdu.tlvs:
        named = find(pdu.tlvs, RECEIPTED_MESSAGE_ID)
        if named and named != an_id:
            told_id, text_id = named, an_id
        number = find(pdu.tlvs, MESSAGE_STATE)
        if number is not None:
            state = MessageState(number) if number in STATS else None
    return Told(told_id, state, stat, err, text_id=text_id)


def reader(config: Config, ids: Ids) -> Callable[[Told, int], Receipt | None]:
    """How this carrier's receipts are understood; the second argument is the time."""
    words = {word.upper(): _CONFIGURED[meaning] for word, meaning in config.receipt_states.items()}
    errors = {number.lstrip("0"): failure for number, failure in config.receipt_errors.items()}

    def read(told: Told, now: int) -> Receipt | None:
        if not told.id:
            return None
        if told.stat in words:
            means = words[told.stat]
        elif told.state is None or not told.final:
            means = None
        else:
            means = _MEANS[told.state]
        if means is None:
            return None
        candidates = ids.told(_clean(told.id, 65))
        if told.text_id:
            candidates = tuple(dict.fromkeys((*candidates, *ids.told(_clean(told.text_id, 65)))))
        if means is _DELIVERED:
            return Receipt(candidates[0], status.DELIVERED, None, None, now, candidates[1:])
        state, failure = means
        code = _clean(told.stat, 20) or (told.state.name if told.state is not None else "")
        number = _clean(told.err, 20)
        if number.strip("0"):
            code = f"{code} {number}"
            failure = errors.get(number.lstrip("0"), failure)
        return Receipt(candidates[0], state, failure, code, now, candidates[1:])

    return read


def _clean(word: str, most: int) -> str:
    return word[:most] if word.isascii() and word.isprintable() else _ODD.sub("?", word)[:most]
