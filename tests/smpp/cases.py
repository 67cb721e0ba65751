"""PDUs as they are on the wire and as structs: one table for the encoder, the decoder and the session."""

from typing import NamedTuple

from columba.smpp import pdu as p
from columba.smpp import tlv
from columba.smpp.pdu import Pdu


class Case(NamedTuple):
    name: str
    octets: bytes
    sequence: int
    pdu: Pdu


def header(command: int, length: int, status: int = 0, sequence: int = 1) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in (length, command, status, sequence))


def raw(command: int, body: bytes = b"", status: int = 0, sequence: int = 1) -> bytes:
    """A PDU with this body."""
    return header(command, 16 + len(body), status, sequence) + body


def case(name: str, command: int, body: bytes, pdu: Pdu, status: int = 0, sequence: int = 1) -> Case:
    return Case(name, raw(command, body, status, sequence), sequence, pdu)


# SMPP 3.4 §3.2.3's example of a bind_transmitter
EXAMPLE = bytes.fromhex(
    "0000002F 00000002 00000000 00000001 534D5050335445535400 7365637265743038 00 5355424D495431 00 00 01 01 00"
)

CASES = [
    Case(
        "the specification's example",
        EXAMPLE,
        1,
        p.BindTransmitter(
            system_id="SMPP3TEST",
            password="secret08",
            system_type="SUBMIT1",
            interface_version=0,
            addr_ton=1,
            addr_npi=1,
        ),
    ),
    case(
        "bind_receiver",
        0x01,
        b"esme\0pw\0\0\x34\x01\x01^1234.*\0",
        p.BindReceiver(system_id="esme", password="pw", addr_ton=1, addr_npi=1, address_range="^1234.*"),
    ),
    case("bind_transceiver", 0x09, b"a\0b\0c\0\x50\0\0\0", p.BindTransceiver((), "a", "b", "c", 0x50)),
    case("bind_receiver_resp", 0x80000001, b"smsc\0", p.BindReceiverResp(system_id="smsc")),
    case(
        "bind_transmitter_resp with a version",
        0x80000002,
        b"smsc\0\x02\x10\x00\x01\x34",
        p.BindTransmitterResp(system_id="smsc", tlvs=(tlv.SC_INTERFACE_VERSION(0x34),)),
    ),
    case("bind_transceiver_resp, refused", 0x80000009, b"", p.BindTransceiverResp(status=0x0E), status=0x0E),
    case("outbind", 0x0B, b"smsc\0secret\0", p.Outbind(system_id="smsc", password="secret")),
    case("unbind", 0x06, b"", p.Unbind(), sequence=0x7FFFFFFF),
    case("unbind_resp", 0x80000006, b"", p.UnbindResp()),
    case("generic_nack", 0x80000000, b"", p.GenericNack(status=3), status=3, sequence=0),
    case(
        "submit_sm",
        0x04,
        b"\0\x05\x00Columba\0\x01\x01447700900123\0\0\0\0\0\0\x01\0\0\0\x05hello",
        p.SubmitSm(
            source_addr_ton=5,
            source_addr="Columba",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr="447700900123",
            registered_delivery=1,
            short_message=b"hello",
        ),
        sequence=7,
    ),
    case(
        "submit_sm with everything",
        0x04,
        b"CMT\0\x01\x02src\0\x03\x04dst\0\x40\x7f\x03020610233429000R\0991231235959948+\0\x1d\x01\xf5\x02\x02\0\xff"
        b"\x02\x04\x00\x02\x12\x34\x14\x01\x00\x03abc",
        p.SubmitSm(
            service_type="CMT",
            source_addr_ton=1,
            source_addr_npi=2,
            source_addr="src",
            dest_addr_ton=3,
            dest_addr_npi=4,
            destination_addr="dst",
            esm_class=0x40,
            protocol_id=0x7F,
            priority_flag=3,
            schedule_delivery_time="020610233429000R",
            validity_period="991231235959948+",
            registered_delivery=0x1D,
            replace_if_present_flag=1,
            data_coding=0xF5,
            sm_default_msg_id=2,
            short_message=b"\0\xff",
            tlvs=(tlv.USER_MESSAGE_REFERENCE(0x1234), (0x1401, b"abc")),
        ),
    ),
    case(
        "submit_sm with a payload",
        0x04,
        b"\0\0\0\0\0\0" + b"9" * 20 + b"\0\0\0\0\0\0\0\0\x08\0\0\x04\x24\x01\x2c" + b"\x04\x22" * 150,
        p.SubmitSm(destination_addr="9" * 20, data_coding=8, tlvs=(tlv.MESSAGE_PAYLOAD(b"\x04\x22" * 150),)),
    ),
    case(
        "submit_sm as full as can be",
        0x04,
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xfe" + b"x" * 254,
        p.SubmitSm(short_message=b"x" * 254),
    ),
    case("submit_sm_resp", 0x80000004, b"0123456789\0", p.SubmitSmResp(message_id="0123456789"), sequence=7),
    case("submit_sm_resp, refused", 0x80000004, b"", p.SubmitSmResp(status=0x58), status=0x58),
    case(
        "submit_sm_resp of 5.0",
        0x80000004,
        b"a\0\x04\x28\0\x01\x55",
        p.SubmitSmResp(message_id="a", tlvs=(tlv.CONGESTION_STATE(85),)),
    ),
    case(
        "submit_multi",
        0x21,
        b"\0\0\0from\0\x03\x01\x01\x01123\0\x02friends\0\x01\0\x00456\0\0\0\0\0\0\0\0\0\0\x02hi",
        p.SubmitMulti(
            source_addr="from",
            destinations=(p.SmeAddress(1, 1, "123"), p.DistributionList("friends"), p.SmeAddress(0, 0, "456")),
            short_message=b"hi",
        ),
    ),
    case("submit_multi_resp", 0x80000021, b"id\0\0", p.SubmitMultiResp(message_id="id")),
    case(
        "submit_multi_resp with failures",
        0x80000021,
        b"id\0\x02\x01\x01123\0\0\0\0\x0b\0\x00456\0\0\0\x04\x01",
        p.SubmitMultiResp(
            message_id="id", unsuccessful=(p.Unsuccessful(1, 1, "123", 0x0B), p.Unsuccessful(0, 0, "456", 0x401))
        ),
    ),
    case(
        "deliver_sm with a receipt",
        0x05,
        b"\0\x01\x01447700900123\0\x05\0Columba\0\x04\0\0\0\0\0\0\0\0\x15id:1 stat:DELIVRD err"
        b"\x00\x1e\x00\x021\0\x04\x27\x00\x01\x02\x04\x23\x00\x03\x03\x00\x00",
        p.DeliverSm(
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr="447700900123",
            dest_addr_ton=5,
            destination_addr="Columba",
            esm_class=4,
            short_message=b"id:1 stat:DELIVRD err",
            tlvs=(tlv.RECEIPTED_MESSAGE_ID("1"), tlv.MESSAGE_STATE(2), tlv.NETWORK_ERROR_CODE(b"\x03\0\0")),
        ),
    ),
    case("deliver_sm_resp", 0x80000005, b"\0", p.DeliverSmResp()),
    case("deliver_sm_resp, refused", 0x80000005, b"\0", p.DeliverSmResp(status=0x64), status=0x64),
    case(
        "data_sm",
        0x103,
        b"WAP\0\0\0" + b"1" * 64 + b"\0\0\x002\0\x40\x01\x04\x02\x0b\0\x02\x0b\x84",
        p.DataSm(
            service_type="WAP",
            source_addr="1" * 64,
            destination_addr="2",
            esm_class=0x40,
            registered_delivery=1,
            data_coding=4,
            tlvs=(tlv.DESTINATION_PORT(2948),),
        ),
    ),
    case(
        "data_sm_resp",
        0x80000103,
        b"x\0\x04\x25\0\x01\x02\x00\x1d\0\x04why\0",
        p.DataSmResp(
            status=0xFE,
            message_id="x",
            tlvs=(tlv.DELIVERY_FAILURE_REASON(2), tlv.ADDITIONAL_STATUS_INFO_TEXT("why")),
        ),
        status=0xFE,
    ),
    case("query_sm", 0x03, b"id\0\x05\0me\0", p.QuerySm(message_id="id", source_addr_ton=5, source_addr="me")),
    case(
        "query_sm_resp",
        0x80000003,
        b"id\x00201120101500000+\0\x02\0",
        p.QuerySmResp(message_id="id", final_date="201120101500000+", message_state=2),
    ),
    case(
        "cancel_sm",
        0x08,
        b"\0id\0\0\0a\0\x01\x01b\0",
        p.CancelSm(message_id="id", source_addr="a", dest_addr_ton=1, dest_addr_npi=1, destination_addr="b"),
    ),
    case("cancel_sm_resp", 0x80000008, b"", p.CancelSmResp(status=0x11), status=0x11),
    case(
        "replace_sm",
        0x07,
        b"id\0\0\0a\0\0\0\x01\0\x03new",
        p.ReplaceSm(message_id="id", source_addr="a", registered_delivery=1, short_message=b"new"),
    ),
    case("replace_sm_resp", 0x80000007, b"", p.ReplaceSmResp()),
    case("enquire_link", 0x15, b"", p.EnquireLink()),
    case("enquire_link_resp", 0x80000015, b"", p.EnquireLinkResp()),
    case(
        "alert_notification",
        0x102,
        b"\x01\x01123\0\x02\x02456\0\x04\x22\0\x01\0",
        p.AlertNotification(
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr="123",
            esme_addr_ton=2,
            esme_addr_npi=2,
            esme_addr="456",
            tlvs=(tlv.MS_AVAILABILITY_STATUS(0),),
        ),
    ),
    case(
        "a sender in Latin-1",
        0x04,
        b"\0\x05\0\xc9mile\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        p.SubmitSm(source_addr_ton=5, source_addr="\xc9mile"),
    ),
]
