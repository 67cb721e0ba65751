"""Texts from people, in every form that a deliver_sm or data_sm can have."""

from typing import Any

import msgspec
import pytest

from columba.carriers.smpp.config import Config
from columba.carriers.smpp.incoming import reader
from columba.core.contract import Inbound
from columba.smpp import tlv
from columba.smpp.pdu import DataSm, DeliverSm
from columba.text import gsm

FROM: dict[str, Any] = {"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": "447700900123"}
TO: dict[str, Any] = {"dest_addr_ton": 3, "destination_addr": "12345"}


def read(pdu: DeliverSm | DataSm, **settings: Any) -> Inbound:
    return reader(msgspec.convert({"host": "x", **settings}, Config))(pdu)


def deliver(octets: bytes, data_coding: int = 0, **other: Any) -> DeliverSm:
    return DeliverSm(**{**FROM, **TO, "short_message": octets, "data_coding": data_coding, **other})


@pytest.mark.parametrize(
    ("data_coding", "octets", "settings", "said"),
    [
        (0x00, gsm.encode("@ £ {é} €"), {}, "@ £ {é} €"),
        (0x00, gsm.pack(gsm.encode("hello there")), {"alphabet": "gsm7-packed"}, "hello there"),
        (0x00, "é £".encode("latin-1"), {"alphabet": "latin1"}, "é £"),
        (0x00, "é €".encode(), {"inbound_alphabet": "utf8"}, "é €"),
        (0x00, "Привет".encode("utf-16-be"), {"alphabet": "ucs2"}, "Привет"),
        (0x00, b"plain", {"alphabet": "ascii"}, "plain"),
        (0x01, b"IA5 @[{}]$_", {}, "IA5 @[{}]$_"),
        (0x01, b"IA5\t\r\n\0\0", {}, "IA5\t\r\n"),
        (0x01, gsm.encode("@ £ [é]"), {}, "@ £ [é]"),  # as some gateways have it
        (0x01, gsm.encode("für"), {"inbound_data_codings": {"1": "gsm7"}}, "für"),
        (0x04, "Ж".encode("utf-16-be"), {"inbound_data_codings": {"0x04": "ucs2"}}, "Ж"),
        (0x03, "Grüße".encode("latin-1"), {}, "Grüße"),
        (0x05, "テキスト".encode("shift_jis"), {}, "テキスト"),
        (0x06, "Привет".encode("iso8859-5"), {}, "Привет"),
        (0x07, "שלום".encode("iso8859-8"), {}, "שלום"),
        (0x08, "Привет 🕊".encode("utf-16-be"), {}, "Привет 🕊"),
        (0x0E, "안녕".encode("euc_kr"), {}, "안녕"),
        (0x10, b"class 0", {}, "class 0"),  # message classes
        (0x18, "Ж".encode("utf-16-be"), {}, "Ж"),
        (0xF0, b"class 0", {}, "class 0"),
        (0xF1, b"class 1", {}, "class 1"),
        (0xC8, b"voice mail", {}, "voice mail"),
        (0xE0, "Ж".encode("utf-16-be"), {}, "Ж"),
        (0x00, b"", {}, ""),
        (0x00, b"the end\0", {"alphabet": "latin1"}, "the end"),
    ],
)
def test_every_alphabet_and_class(data_coding: int, octets: bytes, settings: dict[str, Any], said: str) -> None:
    assert read(deliver(octets, data_coding), **settings) == Inbound("+447700900123", "12345", said)


@pytest.mark.parametrize(
    "pdu",
    [
        DeliverSm(**FROM, **TO, tlvs=(tlv.MESSAGE_PAYLOAD("Ж".encode("utf-16-be") * 200),), data_coding=8),
        DataSm(**FROM, **TO, tlvs=(tlv.MESSAGE_PAYLOAD("Ж".encode("utf-16-be") * 200),), data_coding=8),
    ],
)
def test_a_text_in_message_payload(pdu: DeliverSm | DataSm) -> None:
    assert read(pdu).text == "Ж" * 200


@pytest.mark.parametrize(
    ("pdu", "ref", "n", "of", "text"),
    [
        (deliver(b"\x05\x00\x03\x2a\x03\x02two", esm_class=0x40), "n42", 2, 3, "two"),
        (deliver(b"\x06\x08\x04\x01\x2a\x03\x02two", esm_class=0x40), "w298", 2, 3, "two"),
        (
            deliver(
                b"two",
                tlvs=(tlv.SAR_MSG_REF_NUM(42), tlv.SAR_TOTAL_SEGMENTS(3), tlv.SAR_SEGMENT_SEQNUM(2)),
            ),
            "s42", 2, 3, "two",
        ),
        (
            DataSm(**FROM, **TO, esm_class=0x40, tlvs=(tlv.MESSAGE_PAYLOAD(b"\x05\x00\x03\x2a\x03\x02two"),)),
            "n42", 2, 3, "two",
        ),
    ],
)  # fmt: skip
def test_a_part_of_a_longer_text(pdu: DeliverSm | DataSm, ref: str, n: int, of: int, text: str) -> None:
    found = read(pdu, join_seconds=7.0)
    assert found.fragment is not None
    assert found.fragment[:3] == (ref, n, of)
    assert (found.text, found.fragment.body.text, found.fragment.wait_ms) == (text, text, 7_000)


@pytest.mark.parametrize(
    "pdu",
    [
        deliver(b"\x05\x00\x03\x2a\x01\x01all", esm_class=0x40),  # the only part
        deliver(b"\x05\x00\x03\x2a\x02\x03all", esm_class=0x40),  # the third of two
        deliver(b"all", esm_class=0x40),  # a header is promised, and isn't there
        deliver(b"\x06\x05\x04\x0b\x84\x23\xf0all", esm_class=0x40),  # ports
        deliver(b"all", tlvs=(tlv.SAR_MSG_REF_NUM(1), tlv.SAR_TOTAL_SEGMENTS(2))),
        deliver(b"all", tlvs=(tlv.SAR_MSG_REF_NUM(1), tlv.SAR_TOTAL_SEGMENTS(2), tlv.SAR_SEGMENT_SEQNUM(3))),
        deliver(b"all", tlvs=(tlv.SAR_MSG_REF_NUM(1), tlv.SAR_TOTAL_SEGMENTS(1), tlv.SAR_SEGMENT_SEQNUM(1))),
        deliver(b"all", tlvs=(tlv.SAR_MSG_REF_NUM(1), tlv.SAR_TOTAL_SEGMENTS(0), tlv.SAR_SEGMENT_SEQNUM(0))),
    ],
)
def test_what_claims_to_be_a_part_and_is_none(pdu: DeliverSm) -> None:
    assert read(pdu) == Inbound("+447700900123", "12345", "all")


@pytest.mark.parametrize(
    ("ton", "written", "expected"),
    [
        (1, "447700900123", "+447700900123"),
        (1, "00447700900123", "+447700900123"),
        (1, "+447700900123", "+447700900123"),
        (0, "447700900123", "447700900123"),  # whoever keeps the text makes the best of it
        (2, "07700900123", "07700900123"),
        (5, "Columba", "Columba"),
        (3, "12345", "12345"),
        (1, "1", "1"),
        (1, "", ""),
        (5, "a\nb\x7f", "a?b?"),
    ],
)
def test_whom_it_is_from(ton: int, written: str, expected: str) -> None:
    assert read(deliver(b"x", source_addr_ton=ton, source_addr=written)).sender == expected


@pytest.mark.parametrize(
    ("ton", "written", "expected"),
    [
        (1, "12025550100", "+12025550100"),
        (0, "12025550100", "+12025550100"),
        (0, "12345", "12345"),
        (3, "12345", "12345"),
        (5, "Columba", "Columba"),
        (0, "07700900123", "07700900123"),
        (0, "", ""),
    ],
)
def test_whom_it_is_to(ton: int, written: str, expected: str) -> None:
    assert read(deliver(b"x", dest_addr_ton=ton, destination_addr=written)).to == expected


def test_what_is_no_text_is_not_lost() -> None:
    found = read(deliver(b"\x06\x05\x04\x0b\x84\x23\xf0\x00\xff\x10", 0xF5, esm_class=0x40))
    assert (found.text, found.media) == ("", ("data:application/octet-stream;base64,AP8Q",))
