"""PDUs for a person's eyes, and the names of what they hold."""

import json

import pytest

from columba.smpp import pdu as p
from columba.smpp import tlv
from columba.smpp.pdu import Pdu
from columba.smpp.status import Status, meaning_of, name_of
from columba.smpp.trace import describe, fields

from .cases import CASES, Case

LINES: list[tuple[Pdu, int | None, str]] = [
    (p.EnquireLink(), 5, "enquire_link seq=5"),
    (
        p.SubmitSm(source_addr_ton=5, source_addr="My Shop", destination_addr="4477", short_message=b"hello"),
        7,
        "submit_sm seq=7 source_addr_ton=5 source_addr='My Shop' destination_addr=4477 short_message=68656c6c6f",
    ),
    (p.SubmitSmResp(status=0x58), 7, "submit_sm_resp seq=7 command_status=ESME_RTHROTTLED"),
    (p.SubmitSmResp(status=0x401), 7, "submit_sm_resp seq=7 command_status='vendor 0x00000401'"),
    (
        p.BindTransceiver(system_id="me", password="secret"),
        None,
        "bind_transceiver system_id=me password=***",
    ),
    (p.Outbind(password="secret"), None, "outbind password=***"),
    (
        p.DeliverSm(tlvs=(tlv.RECEIPTED_MESSAGE_ID("x"), tlv.MESSAGE_STATE(2), (0x1401, b"\x01\x02"))),
        None,
        "deliver_sm receipted_message_id=x message_state=2 0x1401=0102",
    ),
    (
        p.DataSm(source_addr="1\nsubmit_sm seq=8", destination_addr="\xe9"),
        None,
        "data_sm source_addr='1\\nsubmit_sm seq=8' destination_addr='\\xe9'",
    ),
    (
        p.SubmitMulti(destinations=(p.SmeAddress(1, 1, "1"), p.DistributionList("d"))),
        None,
        "submit_multi destinations=[[1, 1, '1'], ['d']]",
    ),
]


@pytest.mark.parametrize(("pdu", "sequence", "line"), LINES)
def test_a_line(pdu: Pdu, sequence: int | None, line: str) -> None:
    assert describe(pdu, sequence) == line


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_any_pdu_is_one_printable_line_and_a_json_object_without_its_password(case: Case) -> None:
    line, document = describe(case.pdu), json.dumps(fields(case.pdu))
    assert line.isprintable()
    password = getattr(case.pdu, "password", "")
    if len(password) > 1:
        assert password not in line + document


RECEIPT = b"id:7 sub:001 dlvrd:001 submit date:2611201015 done date:2611201016 stat:DELIVRD err:000 text:Your code"
MASKED: list[tuple[Pdu, str]] = [
    (p.SubmitSm(short_message=b"my secret"), "submit_sm short_message='*** (9 octets)'"),
    (p.SubmitMulti(short_message=b"my secret"), "submit_multi short_message='*** (9 octets)'"),
    (p.DataSm(tlvs=(tlv.MESSAGE_PAYLOAD(b"my secret"),)), "data_sm message_payload='*** (9 octets)'"),
    (p.DeliverSm(short_message=b"id:7 text:x"), "deliver_sm short_message='*** (11 octets)'"),
    (
        p.DeliverSm(esm_class=4, short_message=RECEIPT),
        f"deliver_sm esm_class=4 short_message='{RECEIPT[:-9].decode()}*** (9 octets)'",
    ),
]


@pytest.mark.parametrize(("pdu", "line"), MASKED)
def test_what_people_wrote_is_masked_unless_it_is_asked_for(pdu: Pdu, line: str) -> None:
    assert describe(pdu, bodies=False) == line
    assert describe(pdu) != line
    assert "secret" not in json.dumps(fields(pdu, bodies=False))


def test_a_long_value_is_cut() -> None:
    line = describe(p.SubmitSm(tlvs=(tlv.MESSAGE_PAYLOAD(b"x" * 60_000), *[(0x1400, b"y")] * 5_000)))
    assert "(60000 octets)" in line
    assert len(line) < 2_000


def test_every_status_has_a_name_and_one_line() -> None:
    assert [name_of(code) for code in (0, 0x0B, 0x58, 0xC2, 0x112, 0x4FF, 0x500, 0x10)] == [
        "ESME_ROK",
        "ESME_RINVDSTADR",
        "ESME_RTHROTTLED",
        "ESME_RINVPARLEN",
        "ESME_RINVBCASTCHANIND",
        "vendor 0x000004ff",
        "reserved 0x00000500",
        "reserved 0x00000010",
    ]
    for code in [*Status, 0x400, 0x99999999]:
        assert meaning_of(code)
        assert "\n" not in meaning_of(code)
