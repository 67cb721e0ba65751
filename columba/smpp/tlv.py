"""Optional parameters: the table of standard tags with their types, and their reading and writing.

A PDU's `tlvs` are pairs of tag and value in the order of the wire. The value of a tag that the table knows is an int,
a str or bytes; any other tag's is its raw octets, both ways. Build one by calling its tag, `MESSAGE_STATE(2)`, and read
one with `find(pdu.tlvs, MESSAGE_STATE)`.

Reading is liberal where nothing is lost by it: an int of another width, a string without its NUL. Fails with
MalformedPdu where a TLV can't be read, with Unsendable where one can't be written.
"""

from collections.abc import Mapping
from struct import Struct
from struct import error as StructError
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from .errors import MalformedPdu, Unsendable
from .status import Status

Value: TypeAlias = int | str | bytes
Tlvs: TypeAlias = tuple[tuple[int, Value], ...]
V = TypeVar("V", bound=int | str | bytes)

_HEAD = Struct(">HH")  # SMPP 3.4 §3.2.4.1: tag and length, two octets each


class Tag(NamedTuple, Generic[V]):
    """A standard tag. `width` is an int's octets as it is written."""

    number: int
    name: str
    type: type[V]
    width: int = 0

    def __call__(self, value: V) -> tuple[int, V]:
        return (self.number, value)


# SMPP 3.4 §5.3.2
DEST_ADDR_SUBUNIT = Tag(0x0005, "dest_addr_subunit", int, 1)
DEST_NETWORK_TYPE = Tag(0x0006, "dest_network_type", int, 1)
DEST_BEARER_TYPE = Tag(0x0007, "dest_bearer_type", int, 1)
DEST_TELEMATICS_ID = Tag(0x0008, "dest_telematics_id", int, 2)
SOURCE_ADDR_SUBUNIT = Tag(0x000D, "source_addr_subunit", int, 1)
SOURCE_NETWORK_TYPE = Tag(0x000E, "source_network_type", int, 1)
SOURCE_BEARER_TYPE = Tag(0x000F, "source_bearer_type", int, 1)
SOURCE_TELEMATICS_ID = Tag(0x0010, "source_telematics_id", int, 1)
QOS_TIME_TO_LIVE = Tag(0x0017, "qos_time_to_live", int, 4)
PAYLOAD_TYPE = Tag(0x0019, "payload_type", int, 1)
ADDITIONAL_STATUS_INFO_TEXT = Tag(0x001D, "additional_status_info_text", str)
RECEIPTED_MESSAGE_ID = Tag(0x001E, "receipted_message_id", str)
MS_MSG_WAIT_FACILITIES = Tag(0x0030, "ms_msg_wait_facilities", int, 1)
PRIVACY_INDICATOR = Tag(0x0201, "privacy_indicator", int, 1)
SOURCE_SUBADDRESS = Tag(0x0202, "source_subaddress", bytes)
DEST_SUBADDRESS = Tag(0x0203, "dest_subaddress", bytes)
USER_MESSAGE_REFERENCE = Tag(0x0204, "user_message_reference", int, 2)
USER_RESPONSE_CODE = Tag(0x0205, "user_response_code", int, 1)
SOURCE_PORT = Tag(0x020A, "source_port", int, 2)
DESTINATION_PORT = Tag(0x020B, "destination_port", int, 2)
SAR_MSG_REF_NUM = Tag(0x020C, "sar_msg_ref_num", int, 2)
LANGUAGE_INDICATOR = Tag(0x020D, "language_indicator", int, 1)
SAR_TOTAL_SEGMENTS = Tag(0x020E, "sar_total_segments", int, 1)
SAR_SEGMENT_SEQNUM = Tag(0x020F, "sar_segment_seqnum", int, 1)
SC_INTERFACE_VERSION = Tag(0x0210, "sc_interface_version", int, 1)
CALLBACK_NUM_PRES_IND = Tag(0x0302, "callback_num_pres_ind", int, 1)
CALLBACK_NUM_ATAG = Tag(0x0303, "callback_num_atag", bytes)
NUMBER_OF_MESSAGES = Tag(0x0304, "number_of_messages", int, 1)
CALLBACK_NUM = Tag(0x0381, "callback_num", bytes)
DPF_RESULT = Tag(0x0420, "dpf_result", int, 1)
SET_DPF = Tag(0x0421, "set_dpf", int, 1)
MS_AVAILABILITY_STATUS = Tag(0x0422, "ms_availability_status", int, 1)
NETWORK_ERROR_CODE = Tag(0x0423, "network_error_code", bytes)  # the network's type, then two octets of code
MESSAGE_PAYLOAD = Tag(0x0424, "message_payload", bytes)
DELIVERY_FAILURE_REASON = Tag(0x0425, "delivery_failure_reason", int, 1)
MORE_MESSAGES_TO_SEND = Tag(0x0426, "more_messages_to_send", int, 1)
MESSAGE_STATE = Tag(0x0427, "message_state", int, 1)
USSD_SERVICE_OP = Tag(0x0501, "ussd_service_op", int, 1)
DISPLAY_TIME = Tag(0x1201, "display_time", int, 1)
SMS_SIGNAL = Tag(0x1203, "sms_signal", int, 2)
MS_VALIDITY = Tag(0x1204, "ms_validity", bytes)  # one octet in 3.4, four in 5.0
ALERT_ON_MESSAGE_DELIVERY = Tag(0x130C, "alert_on_message_delivery", bytes)  # empty in 3.4, one octet in 5.0
ITS_REPLY_TYPE = Tag(0x1380, "its_reply_type", int, 1)
ITS_SESSION_INFO = Tag(0x1383, "its_session_info", bytes)

# SMPP 5.0 §4.8.4
CONGESTION_STATE = Tag(0x0428, "congestion_state", int, 1)
BROADCAST_CHANNEL_INDICATOR = Tag(0x0600, "broadcast_channel_indicator", int, 1)
BROADCAST_CONTENT_TYPE = Tag(0x0601, "broadcast_content_type", bytes)
BROADCAST_CONTENT_TYPE_INFO = Tag(0x0602, "broadcast_content_type_info", bytes)
BROADCAST_MESSAGE_CLASS = Tag(0x0603, "broadcast_message_class", int, 1)
BROADCAST_REP_NUM = Tag(0x0604, "broadcast_rep_num", int, 2)
BROADCAST_FREQUENCY_INTERVAL = Tag(0x0605, "broadcast_frequency_interval", bytes)
BROADCAST_AREA_IDENTIFIER = Tag(0x0606, "broadcast_area_identifier", bytes)
BROADCAST_ERROR_STATUS = Tag(0x0607, "broadcast_error_status", int, 4)
BROADCAST_AREA_SUCCESS = Tag(0x0608, "broadcast_area_success", int, 1)
BROADCAST_END_TIME = Tag(0x0609, "broadcast_end_time", str)
BROADCAST_SERVICE_GROUP = Tag(0x060A, "broadcast_service_group", bytes)
BILLING_IDENTIFICATION = Tag(0x060B, "billing_identification", bytes)
SOURCE_NETWORK_ID = Tag(0x060D, "source_network_id", str)
DEST_NETWORK_ID = Tag(0x060E, "dest_network_id", str)
SOURCE_NODE_ID = Tag(0x060F, "source_node_id", bytes)
DEST_NODE_ID = Tag(0x0610, "dest_node_id", bytes)
DEST_ADDR_NP_RESOLUTION = Tag(0x0611, "dest_addr_np_resolution", int, 1)
DEST_ADDR_NP_INFORMATION = Tag(0x0612, "dest_addr_np_information", bytes)
DEST_ADDR_NP_COUNTRY = Tag(0x0613, "dest_addr_np_country", bytes)

TAGS: Mapping[int, Tag[int] | Tag[str] | Tag[bytes]] = {
    tag.number: tag for tag in tuple(globals().values()) if isinstance(tag, Tag)
}
_INTS = {tag.number: tag.width for tag in TAGS.values() if tag.type is int}
_TEXTS = frozenset(tag.number for tag in TAGS.values() if tag.type is str)


def name_of(tag: int) -> str:
    """`message_payload`, or `0x1401` for a tag that the table doesn't have."""
    return TAGS[tag].name if tag in TAGS else f"0x{tag:04x}"


def find(tlvs: Tlvs, tag: Tag[V]) -> V | None:
    """The value of the first TLV with this tag."""
    for number, value in tlvs:
        if number == tag.number:
            return value if isinstance(value, tag.type) else None
    return None


def decode_tlvs(data: bytes, pos: int, end: int, strict: bool = True) -> Tlvs:
    """All TLVs of data[pos:end]; unless `strict`, those that can be read."""
    found: list[tuple[int, Value]] = []
    while pos < end:
        if pos + 4 > end:
            if not strict:
                break
            raise MalformedPdu(Status.ESME_RINVOPTPARSTREAM, "octets after the last field are no TLV")
        number, length = _HEAD.unpack_from(data, pos)
        pos += 4
        stop = pos + length
        if stop > end:
            if not strict:
                break
            raise MalformedPdu(Status.ESME_RINVOPTPARSTREAM, f"TLV {name_of(number)} runs past the PDU")
        value: Value = data[pos:stop]
        if number in _INTS:
            # Gateways disagree on widths (sar_msg_ref_num in one octet, ports in four); the number is the same.
            if 1 <= length <= 4:
                value = int.from_bytes(data[pos:stop], "big")
            elif strict:
                raise MalformedPdu(Status.ESME_RINVPARLEN, f"TLV {name_of(number)} has {length} octets")
        elif number in _TEXTS:
            value = data[pos:stop].partition(b"\0")[0].decode("latin-1")
        found.append((number, value))
        pos = stop
    return tuple(found)


def encode_tlvs(tlvs: Tlvs) -> bytes:
    """The TLVs as they are sent. Raw octets are taken for any tag."""
    parts: list[bytes] = []
    for number, value in tlvs:
        try:
            if isinstance(value, int):
                octets = value.to_bytes(_INTS[number], "big")
            elif isinstance(value, str):
                if number not in _TEXTS or "\0" in value:
                    raise ValueError
                octets = value.encode("latin-1") + b"\0"
            else:
                octets = value
            parts += (_HEAD.pack(number, len(octets)), octets)
        except (LookupError, ValueError, TypeError, OverflowError, StructError):
            raise Unsendable(f"TLV {number!r:.20}: the value doesn't fit the tag") from None
    return b"".join(parts)
