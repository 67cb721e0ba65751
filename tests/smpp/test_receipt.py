"""Delivery receipts: as the specification gives them, as vendors send them, and our own."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from columba.smpp import tlv
from columba.smpp.pdu import DataSm, DeliverSm, ShortMessagePdu
from columba.smpp.receipt import STATS, Receipt, format_receipt, parse_receipt, read_receipt
from columba.smpp.values import MessageState


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2020, 11, 20, hour, minute, second, tzinfo=UTC)


FULL = Receipt(
    id="0123456789",
    state=MessageState.DELIVERED,
    stat="DELIVRD",
    err="000",
    sub=1,
    dlvrd=1,
    submit_date=at(10, 15),
    done_date=at(10, 16),
    text="Hello there",
)


def but(**changes: object) -> Receipt:
    return msgspec.structs.replace(FULL, **changes)


TEXTS = {
    "Appendix B": (
        "id:0123456789 sub:001 dlvrd:001 submit date:2011201015 done date:2011201016 stat:DELIVRD err:000"
        " text:Hello there",
        FULL,
    ),
    "Text with a capital, spaces and an end": (
        "id: 0123456789 sub: 001 dlvrd: 001 submit date: 2011201015 done date: 2011201016 stat: DELIVRD err: 000"
        " Text: Hello there\0",
        FULL,
    ),
    "all capitals": (
        "ID:0123456789 SUB:001 DLVRD:001 SUBMIT DATE:2011201015 DONE DATE:2011201016 STAT:DELIVRD ERR:000"
        " TEXT:Hello there",
        FULL,
    ),
    "underlined, another order, the words in full": (
        "status:delivered error:000 done_date:2011201016 submitdate:2011201015 dlvrd:1 sub:1 id:0123456789"
        " text:Hello there",
        but(stat="DELIVERED"),
    ),
    "seconds in the dates": (
        "id:0123456789 sub:001 dlvrd:001 submit date:201120101501 done date:201120101602 stat:DELIVRD err:000"
        " text:Hello there",
        but(submit_date=at(10, 15, 1), done_date=at(10, 16, 2)),
    ),
    "the century in the dates": (
        "id:0123456789 sub:001 dlvrd:001 submit date:202011201015 done date:20201120101602 stat:DELIVRD err:000"
        " text:Hello there",
        but(done_date=at(10, 16, 2)),
    ),
    "dates for people": (
        "id:0123456789 sub:001 dlvrd:001 submit date:2020-11-20 10:15:01 done date:20/11/20 10:16 stat:DELIVRD err:000"
        " text:Hello there",
        but(submit_date=at(10, 15, 1)),
    ),
    "no sub, no dlvrd, no text": (
        "id:1526758174 submit date:1701240904 done date:1701240904 stat:DELIVRD err:000",
        Receipt(
            id="1526758174",
            state=MessageState.DELIVERED,
            stat="DELIVRD",
            err="000",
            submit_date=datetime(2017, 1, 24, 9, 4, tzinfo=UTC),
            done_date=datetime(2017, 1, 24, 9, 4, tzinfo=UTC),
        ),
    ),
    "hexadecimal, as it stands": (
        "id:6C7C7DE28BB3E9 stat:UNDELIV",
        Receipt("6C7C7DE28BB3E9", _U := MessageState(5), "UNDELIV"),
    ),
    "zeros before, as they stand": (
        "id:00012345678901234567890 stat:UNDELIV",
        Receipt("00012345678901234567890", _U, "UNDELIV"),
    ),
    "a UUID": (
        "id:018f3c5e-7a1b-7000-8000-aabbccddeeff stat:EXPIRED err:00A",
        Receipt("018f3c5e-7a1b-7000-8000-aabbccddeeff", MessageState.EXPIRED, "EXPIRED", "00A"),
    ),
    "unknown fields between": (
        "id:77 mcc:262 stat:REJECTD reason:none err:12 networkid:5 text:",
        Receipt("77", MessageState.REJECTED, "REJECTD", "12"),
    ),
    "commas": ("id:77,sub:001,stat:ACCEPTD", Receipt("77", MessageState.ACCEPTED, "ACCEPTD", sub=1)),
    "a word that no one knows": ("id:77 stat:PARKED", Receipt("77", None, "PARKED")),
    "no id": ("stat:DELIVRD", Receipt("", MessageState.DELIVERED, "DELIVRD")),
    "what the text says is not the receipt's word": (
        "id:77 stat:UNDELIV text:id:88 stat:DELIVRD err:000",
        Receipt("77", MessageState.UNDELIVERABLE, "UNDELIV", text="id:88 stat:DELIVRD err:000"),
    ),
    "the text in the middle": (
        "id:77 text:lunch at noon stat:DELIVRD",
        Receipt("77", MessageState.DELIVERED, "DELIVRD", text="lunch at noon"),
    ),
    "impossible numbers and dates": (
        "id:77 sub:one dlvrd:²  submit date:2013451015 done date:never stat:DELIVRD",
        Receipt("77", MessageState.DELIVERED, "DELIVRD"),
    ),
    "a text": ("Hi, is this kid: yours? stat", None),
    "nothing": ("", None),
    "keys without values": ("id: stat:", None),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str) -> None:
    text, receipt = TEXTS[name]
    assert parse_receipt(text, UTC) == receipt


def test_dates_are_in_the_smscs_zone() -> None:
    zone = timezone(timedelta(hours=2))
    receipt = parse_receipt("id:1 stat:DELIVRD done date:2011201216", zone)
    assert receipt is not None
    assert receipt.done_date == at(10, 16)


def test_a_huge_text_is_read_in_no_time() -> None:
    assert parse_receipt("id " * 100_000, UTC) is None
    assert parse_receipt("id" + "\t" * 100_000 + "submit date " * 10_000, UTC) is None


TEXT = b"id:12 sub:001 dlvrd:001 stat:DELIVRD err:007 text:x"
READ = Receipt("12", MessageState.DELIVERED, "DELIVRD", "007", 1, 1, text="x")
PDUS: dict[str, tuple[ShortMessagePdu | DataSm, Receipt | None]] = {
    "by text": (DeliverSm(esm_class=4, short_message=TEXT), READ),
    "by text in the payload": (DeliverSm(esm_class=4, tlvs=(tlv.MESSAGE_PAYLOAD(TEXT),)), READ),
    "by text after a header": (DeliverSm(esm_class=0x44, short_message=b"\x05\0\x03\x01\x01\x01" + TEXT), READ),
    "by text in UCS-2": (DeliverSm(esm_class=4, data_coding=8, short_message=TEXT.decode().encode("utf-16-be")), READ),
    "by data_sm": (DataSm(esm_class=4, tlvs=(tlv.MESSAGE_PAYLOAD(TEXT),)), READ),
    "by TLVs alone": (
        DeliverSm(
            esm_class=4,
            tlvs=(tlv.RECEIPTED_MESSAGE_ID("C"), tlv.MESSAGE_STATE(5), tlv.NETWORK_ERROR_CODE(b"\x03\x01\x02")),
        ),
        Receipt("C", MessageState.UNDELIVERABLE, err="258"),
    ),
    "by both, the TLV's id in another notation": (
        DeliverSm(esm_class=4, short_message=TEXT, tlvs=(tlv.RECEIPTED_MESSAGE_ID("C"), tlv.MESSAGE_STATE(2))),
        msgspec.structs.replace(READ, id="C", text_id="12"),
    ),
    "by both, agreeing": (DeliverSm(esm_class=4, short_message=TEXT, tlvs=(tlv.RECEIPTED_MESSAGE_ID("12"),)), READ),
    "a state that no one knows": (
        DeliverSm(esm_class=4, short_message=TEXT, tlvs=(tlv.MESSAGE_STATE(99),)),
        msgspec.structs.replace(READ, state=None),
    ),
    "without the flag but with the id": (
        DeliverSm(tlvs=(tlv.RECEIPTED_MESSAGE_ID("12"), tlv.MESSAGE_STATE(2))),
        Receipt("12", MessageState.DELIVERED),
    ),
    "on the way": (
        DeliverSm(esm_class=0x20, short_message=b"id:12 stat:ENROUTE"),
        Receipt("12", MessageState.ENROUTE, "ENROUTE", final=False),
    ),
    "flagged, but telling nothing": (DeliverSm(esm_class=4, short_message=b"?"), Receipt()),
    "a text from a person that looks like one": (DeliverSm(short_message=TEXT), None),
    "a person's acknowledgement": (DeliverSm(esm_class=0x10, short_message=TEXT), None),
}


@pytest.mark.parametrize("name", PDUS)
def test_pdu(name: str) -> None:
    pdu, receipt = PDUS[name]
    assert read_receipt(pdu, UTC) == receipt


def test_ours_is_as_appendix_b_has_it_and_reads_back() -> None:
    assert format_receipt(FULL) == TEXTS["Appendix B"][0].encode()
    assert parse_receipt(format_receipt(FULL).decode(), UTC) == FULL


@pytest.mark.parametrize("state", MessageState)
def test_every_state_has_a_word_of_seven_letters_that_reads_back(state: MessageState) -> None:
    assert len(STATS[state]) == 7
    back = parse_receipt(format_receipt(Receipt(id="1", state=state)).decode(), UTC)
    assert back is not None
    assert back.state is state


def test_ours_takes_20_characters_of_any_text() -> None:
    octets = format_receipt(Receipt(id="x" * 64, state=MessageState.DELIVERED, text="\u20ac" * 200))
    assert octets.endswith(b" text:" + b"?" * 20)
    assert len(octets) < 254
