"""What programs have encoded themselves, kept as it came beside the text that it says: pure.

A part with a header, a message class, ports or vendors' TLVs, or one that is no text at all, goes to a network that takes
such parts octet by octet. Fails with Wrong where it is more than a message may be.
"""

from typing import Final

from columba.core.model import Raw, segments_of_raw
from columba.doors.smpp.submit import Submit, Wrong
from columba.smpp.errors import Unsendable
from columba.smpp.pdu import DataSm
from columba.smpp.status import Status
from columba.smpp.tlv import (
    ALERT_ON_MESSAGE_DELIVERY,
    CALLBACK_NUM,
    CALLBACK_NUM_ATAG,
    CALLBACK_NUM_PRES_IND,
    DEST_ADDR_SUBUNIT,
    DEST_SUBADDRESS,
    DESTINATION_PORT,
    DISPLAY_TIME,
    ITS_REPLY_TYPE,
    ITS_SESSION_INFO,
    LANGUAGE_INDICATOR,
    MS_MSG_WAIT_FACILITIES,
    MS_VALIDITY,
    NUMBER_OF_MESSAGES,
    PAYLOAD_TYPE,
    PRIVACY_INDICATOR,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    SMS_SIGNAL,
    SOURCE_ADDR_SUBUNIT,
    SOURCE_PORT,
    SOURCE_SUBADDRESS,
    USER_MESSAGE_REFERENCE,
    USER_RESPONSE_CODE,
    USSD_SERVICE_OP,
    encode_tlvs,
)
from columba.smpp.values import EsmClass
from columba.text import Alphabet, Decoded, Header, decode

MOST_OCTETS: Final = 1_340  # of one message: ten SMS with a header
# Codings that say how a text is to be read and nothing else: SMPP 3.4 §5.2.19.
_PLAIN: Final = frozenset({0x00, 0x01, 0x03, 0x05, 0x06, 0x07, 0x08, 0x0A, 0x0E})
_IA5: Final = 0x01
# Those that leave it to the network's default alphabet.
_DEFAULT: Final = frozenset(coding for coding in range(256) if decode(coding, b"").coding == "gsm7")
_VENDORS: Final = range(0x1400, 0x4000)  # §5.3.1
_NONE: Final = Header()
# What goes along with any message, and makes none of them special: the joining of parts is ours where it is a text's.
_BESIDE: Final = frozenset(
    tag.number
    for tag in (
        LANGUAGE_INDICATOR, PAYLOAD_TYPE, SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS, USER_MESSAGE_REFERENCE
    )
)  # fmt: skip
# What its recipient gets with a message. All other TLVs are about our session, or about how it is sent.
_KEPT: Final = _BESIDE | frozenset(
    tag.number
    for tag in (
        ALERT_ON_MESSAGE_DELIVERY, CALLBACK_NUM, CALLBACK_NUM_ATAG, CALLBACK_NUM_PRES_IND, DEST_ADDR_SUBUNIT,
        DEST_SUBADDRESS, DESTINATION_PORT, DISPLAY_TIME, ITS_REPLY_TYPE, ITS_SESSION_INFO,
        MS_MSG_WAIT_FACILITIES, MS_VALIDITY, NUMBER_OF_MESSAGES, PRIVACY_INDICATOR, SMS_SIGNAL,
        SOURCE_ADDR_SUBUNIT, SOURCE_PORT, SOURCE_SUBADDRESS, USER_RESPONSE_CODE, USSD_SERVICE_OP,
    )
)  # fmt: skip


def raw_of(pdu: Submit, octets: bytes, body: Decoded, alphabet: Alphabet) -> Raw | None:
    """The part as it came, where there is more to it than a text."""
    coding, protocol_id = pdu.data_coding, 0 if isinstance(pdu, DataSm) else pdu.protocol_id
    plain = coding in _PLAIN and not protocol_id and body.header == _NONE
    if plain and body.text and not pdu.tlvs:
        return None
    tlvs = [each for each in pdu.tlvs if each[0] in _KEPT or each[0] in _VENDORS]
    mode = pdu.esm_class & EsmClass.MODE
    try:
        kept = [(tag, encode_tlvs(((tag, value),))[4:]) for tag, value in tlvs]
    except Unsendable:  # a number that came in more octets than it has room for
        raise Wrong(Status.ESME_RINVOPTPARAMVAL) from None
    raw = Raw(
        octets,
        coding,
        pdu.esm_class if mode == EsmClass.STORE_AND_FORWARD else pdu.esm_class & ~EsmClass.MODE,
        protocol_id,
        alphabet if coding in _DEFAULT else "",
        kept,
    )
    if not body.text:
        if len(octets) > MOST_OCTETS:
            raise Wrong(Status.ESME_RINVMSGLEN)
        return raw if body.text is None or body.header != _NONE else None
    if plain and all(tag in _BESIDE for tag, _ in tlvs):
        return None
    if coding == _IA5 and body.coding != "ascii":
        return None  # it says that it is what it isn't
    return raw if segments_of_raw([raw]) == 1 else None
