"""Parts as submit_sm: addresses, alphabets, long texts, and all that a configuration asks for."""

from typing import Any

import msgspec
import pytest

from columba.carriers.smpp.config import Config
from columba.carriers.smpp.outgoing import writer
from columba.core import status
from columba.core.contract import Part
from columba.core.model import Raw
from columba.smpp import tlv
from columba.smpp.pdu import SubmitSm
from columba.text import TextError, decode, gsm, plan
from tests.carriers.air import part

NOW = 1_770_000_000_000  # 2026-02-02 02:40:00 UTC


def written(given: Part, **settings: Any) -> SubmitSm:
    return writer(msgspec.convert({"host": "smsc.example", **settings}, Config))(given, NOW)


def fields(pdu: SubmitSm) -> dict[str, Any]:
    """What differs from an empty submit_sm."""
    pairs = zip(pdu.__struct_fields__, pdu.__struct_defaults__, strict=True)
    return {name: getattr(pdu, name) for name, default in pairs if getattr(pdu, name) != default}


PLAIN = {
    "source_addr_ton": 1,
    "source_addr_npi": 1,
    "source_addr": "12025550100",
    "dest_addr_ton": 1,
    "dest_addr_npi": 1,
    "destination_addr": "447700900123",
    "registered_delivery": 1,
    "short_message": b"hello",
}


def test_a_part_as_it_is_without_any_setting() -> None:
    assert fields(written(part())) == PLAIN


@pytest.mark.parametrize(
    ("given", "settings", "differs"),
    [
        # Addresses
        ({"sender": "12345"}, {}, {"source_addr_ton": 3, "source_addr_npi": None, "source_addr": "12345"}),
        ({"sender": "Columba"}, {}, {"source_addr_ton": 5, "source_addr_npi": None, "source_addr": "Columba"}),
        ({"sender": ""}, {}, {"source_addr_ton": None, "source_addr_npi": None, "source_addr": None}),
        ({"sender": ""}, {"sender": "Aero"}, {"source_addr_ton": 5, "source_addr_npi": None, "source_addr": "Aero"}),
        (
            {"sender": "12345"},
            {"types": {"short_code": [6, 9]}},
            {"source_addr_ton": 6, "source_addr_npi": 9, "source_addr": "12345"},
        ),
        ({}, {"plus": True}, {"source_addr": "+12025550100", "destination_addr": "+447700900123"}),
        ({}, {"types": {"destination": [0, 1]}}, {"dest_addr_ton": None}),
        # What the carrier is told besides
        ({}, {"service_type": "CMT", "protocol_id": 65}, {"service_type": "CMT", "protocol_id": 65}),
        ({"klass": status.OTP}, {"priority": {"otp": 3}}, {"priority_flag": 3}),
        ({"klass": status.MARKETING}, {"priority": {"otp": 3}}, {}),
        ({}, {"registered_delivery": 0}, {"registered_delivery": None}),
        ({}, {"registered_delivery": 17}, {"registered_delivery": 17}),
        (
            {},
            {"tlvs": {"0x1400": {"ascii": "1201"}, "0x1401": {"hex": "00ff"}, "5122": {"int": 258, "octets": 2}}},
            {"tlvs": ((0x1400, b"1201"), (0x1401, b"\0\xff"), (5122, b"\1\2"))},
        ),
        # Validity
        ({"expires_at": NOW + 90_061_000}, {}, {"validity_period": "000001010101000R"}),
        ({"expires_at": NOW - 5_000}, {}, {"validity_period": "000000000001000R"}),
        ({"expires_at": NOW + 90_061_000}, {"validity": "absolute"}, {"validity_period": "260203034101000+"}),
        ({"expires_at": NOW + 90_061_000}, {"validity": "off"}, {}),
        ({"expires_at": NOW + 90_061_000}, {"validity_most": 3_600}, {"validity_period": "000000010000000R"}),
        # Alphabets
        ({"text": "£ {é}"}, {}, {"short_message": b"\x01 \x1b\x28\x05\x1b\x29"}),
        ({"text": "£ {é}"}, {"alphabet": "latin1"}, {"short_message": "£ {é}".encode("latin-1")}),
        ({"text": "a{b"}, {"alphabet": "ascii"}, {"short_message": b"a{b"}),
        ({"text": "hello"}, {"alphabet": "gsm7-packed"}, {"short_message": bytes.fromhex("e8329bfd06")}),
        ({"text": "hello"}, {"data_coding": 0xF1}, {"data_coding": 0xF1}),
        (
            {"text": "Ж", "encoding": 1},
            {"data_coding": 0xF1},
            {"data_coding": 8, "short_message": b"\x04\x16"},
        ),
        (
            {"text": "Ж", "encoding": 1},
            {"ucs2_data_coding": 0x18},
            {"data_coding": 0x18, "short_message": b"\x04\x16"},
        ),
        # Long texts
        (
            {"text": "two", "n": 2, "of": 3},
            {},
            {"esm_class": 0x40, "short_message": b"\x05\x00\x03\x34\x03\x02two"},
        ),
        (
            {"text": "two", "n": 2, "of": 3},
            {"long": "udh16"},
            {"esm_class": 0x40, "short_message": b"\x06\x08\x04\x12\x34\x03\x02two"},
        ),
        (
            {"text": "two", "n": 2, "of": 3},
            {"long": "sar", "tlvs": {"0x1401": {"int": 7}}},
            {
                "short_message": b"two",
                "tlvs": (
                    tlv.SAR_MSG_REF_NUM(0x1234),
                    tlv.SAR_TOTAL_SEGMENTS(3),
                    tlv.SAR_SEGMENT_SEQNUM(2),
                    (0x1401, b"\7"),
                ),
            },
        ),
        (
            {"text": "é2", "n": 2, "of": 3},
            {"alphabet": "latin1"},
            {"esm_class": 0x40, "short_message": b"\x05\x00\x03\x34\x03\x02\xe92"},
        ),
        ({"text": "x" * 160}, {"long": "payload"}, {"short_message": b"x" * 160}),
        (
            {"text": "x" * 161},
            {"long": "payload"},
            {"short_message": None, "tlvs": (tlv.MESSAGE_PAYLOAD(b"x" * 161),)},
        ),
        (
            {"text": "Ж" * 71, "encoding": 1},
            {"long": "payload"},
            {"short_message": None, "data_coding": 8, "tlvs": (tlv.MESSAGE_PAYLOAD(b"\x04\x16" * 71),)},
        ),
    ],
)
def test_what_a_setting_makes_of_it(given: dict[str, Any], settings: dict[str, Any], differs: dict[str, Any]) -> None:
    expected = {name: value for name, value in {**PLAIN, **differs}.items() if value is not None}
    if "text" not in given:
        expected["short_message"] = b"hello"
    assert fields(written(part(**given), **settings)) == expected


TEXTS = [
    "a" * 400,
    "Grüße {aus} Köln \\ €uro [" * 20,
    "Привет, мир! " * 30,
    "🕊️ dove 👩‍👩‍👧‍👦 family " * 12,
    "日本語のテキスト" * 40,
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("alphabet", ["gsm7", "gsm7-packed"])
@pytest.mark.parametrize("long", ["udh8", "udh16", "sar"])
def test_a_long_text_can_be_read_again_and_no_part_is_too_long(text: str, alphabet: Any, long: str) -> None:
    planned = plan(text, wide=long == "udh16")
    encoding = ("gsm7", "ucs2").index(planned.encoding)
    again = []
    for n, each in enumerate(planned.parts, 1):
        given = part(each, n=n, of=planned.segments, encoding=encoding)
        pdu = written(given, alphabet=alphabet, long=long)
        read = decode(pdu.data_coding, pdu.short_message, bool(pdu.esm_class & 0x40), alphabet=alphabet)
        header = len(read.header.build())
        units = len(read.data) if encoding == 0 else len(read.data) * 8 // 7
        assert header * 8 + units * 7 <= 140 * 8 + 6
        if long != "sar":
            assert read.header.concat is not None
            assert (read.header.concat.number, read.header.concat.total) == (n, planned.segments)
        again.append(read.text)
    assert "".join(map(str, again)) == text


@pytest.mark.parametrize(
    ("text", "alphabet"),
    [("Ж", "gsm7"), ("Ω", "latin1"), ("€", "latin1"), ("é", "ascii"), ("x" * 161, "gsm7"), ("", "gsm7")],
)
def test_what_the_alphabet_lacks_is_never_sent_as_something_else(text: str, alphabet: str) -> None:
    with pytest.raises(TextError):
        written(part(text), alphabet=alphabet)


def test_septets_are_what_they_should_be() -> None:
    assert gsm.decode(written(part("@£$¥èéù[]{}^€ÄÖ")).short_message) == "@£$¥èéù[]{}^€ÄÖ"


INDIA = {"dlt_entity_id": "1201159", "dlt_template_id": "1007", "unknown": "x"}


@pytest.mark.parametrize(
    ("given", "settings", "tlvs"),
    [
        ({}, {}, ((0x1400, b"1201159"), (0x1401, b"1007"))),
        ({}, {"registration_tlvs": {"dlt_entity_id": "0x1500"}}, ((0x1500, b"1201159"),)),
        ({}, {"registration_tlvs": {}}, ()),
        ({}, {"interface_version": "3.3"}, ()),
        ({}, {"tlvs": {"0x1400": {"ascii": "ours"}}}, ((0x1400, b"ours"), (0x1401, b"1007"))),
        ({"raw": Raw(b"hello", tlvs=[(0x1401, b"9")])}, {}, ((0x1401, b"9"), (0x1400, b"1201159"))),
    ],
)
def test_a_senders_registration_goes_along(given: dict[str, Any], settings: dict[str, Any], tlvs: object) -> None:
    assert written(part(registration=INDIA, **given), **settings).tlvs == tlvs


def test_what_a_program_has_encoded_goes_as_it_came() -> None:
    raw = Raw(b"\x06\x05\x04\x0b\x84\x23\xf0push", 0xF5, 0x43, 0x7F, "", [(0x020B, b"\x0b\x84")])
    differs = {"short_message": raw.octets, "data_coding": 0xF5, "esm_class": 0x43, "protocol_id": 0x7F}
    pdu = written(part("", raw=raw, encoding=2), protocol_id=1, tlvs={"0x020b": {"int": 1, "octets": 2}})
    assert fields(pdu) == {**PLAIN, **differs, "tlvs": ((0x020B, b"\x0b\x84"),)}
    long = written(part("", raw=Raw(bytes(255)), encoding=2))
    assert (long.short_message, long.tlvs) == (b"", (tlv.MESSAGE_PAYLOAD(bytes(255)),))
