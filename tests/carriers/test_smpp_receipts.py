"""Receipts as carriers write them, and what they mean."""

from datetime import UTC
from typing import Any

import msgspec
import pytest

from columba.carriers.smpp.config import Config
from columba.carriers.smpp.ids import Ids
from columba.carriers.smpp.receipts import is_receipt, reader
from columba.core import status
from columba.core.contract import Receipt
from columba.smpp import tlv
from columba.smpp.pdu import DataSm, DeliverSm
from columba.smpp.receipt import read_receipt

NOW = 1_770_000_000_000
DELIVERED, UNDELIVERED, EXPIRED, UNKNOWN = status.DELIVERED, status.UNDELIVERED, status.EXPIRED, status.UNKNOWN


def read(pdu: DeliverSm | DataSm, **settings: Any) -> Receipt | None | str:
    """The receipt; None if it says nothing that has to be kept; "text" if it is none."""
    config = msgspec.convert({"host": "x", "message_id": "dec", "receipt_id": "dec", **settings}, Config)
    told = is_receipt(pdu, config)
    return "text" if told is None else reader(config, Ids(config))(told, NOW)


def text(words: str, **fields: Any) -> DeliverSm:
    return DeliverSm(**{"esm_class": 4, "short_message": words.encode(), **fields})


APPENDIX_B = (
    "id:0000000123 sub:001 dlvrd:001 submit date:2602020230 done date:2602020231 stat:DELIVRD err:000 text:hello"
)


@pytest.mark.parametrize(
    ("pdu", "state", "error", "code"),
    [
        (text(APPENDIX_B), DELIVERED, None, None),
        (text("id:123 stat:EXPIRED err:000"), EXPIRED, "expired", "EXPIRED"),
        (text("id:123 stat:UNDELIV err:011"), UNDELIVERED, "unreachable", "UNDELIV 011"),
        (text("id:123 stat:REJECTD err:0"), UNDELIVERED, "rejected", "REJECTD"),
        (text("id:123 stat:DELETED"), UNDELIVERED, "deleted", "DELETED"),
        (text("id:123 stat:UNKNOWN"), UNKNOWN, "no_receipt", "UNKNOWN"),
        (text("ID:123 STAT:undelivered ERR:5"), UNDELIVERED, "unreachable", "UNDELIVERED 5"),
        (text("id: 123, status: FAILED, error: 42"), UNDELIVERED, "unreachable", "FAILED 42"),
        (
            DeliverSm(tlvs=(tlv.RECEIPTED_MESSAGE_ID("123"), tlv.MESSAGE_STATE(2))),
            DELIVERED, None, None,
        ),
        (
            DataSm((tlv.RECEIPTED_MESSAGE_ID("123"), tlv.MESSAGE_STATE(5), tlv.NETWORK_ERROR_CODE(b"\3\0\x0b"))),
            UNDELIVERED, "unreachable", "UNDELIVERABLE 11",
        ),
        (
            DeliverSm(tlvs=(tlv.MESSAGE_PAYLOAD(APPENDIX_B.encode()),), esm_class=4),
            DELIVERED, None, None,
        ),
        # The TLV has the last word.
        (text("id:77 stat:DELIVRD", tlvs=(tlv.RECEIPTED_MESSAGE_ID("123"), tlv.MESSAGE_STATE(3))),
            EXPIRED, "expired", "DELIVRD"),
    ],
)  # fmt: skip
def test_what_they_mean(pdu: DeliverSm | DataSm, state: int, error: str | None, code: str | None) -> None:
    found = read(pdu)
    assert isinstance(found, Receipt)
    assert found[:5] == ("123", state, error, code, NOW)


@pytest.mark.parametrize(
    "pdu",
    [
        text("id:123 stat:ENROUTE err:000"),
        text("id:123 stat:ACCEPTD err:000"),
        text("id:123 stat:DELIVRD err:000", esm_class=0x20),  # an intermediate notification
        text("id:123 stat:WHATEVER err:000"),
        text("stat:DELIVRD err:000"),  # nobody knows of what
        text("hello"),
        text(""),
        DeliverSm(esm_class=4, short_message=b"\xff\xfe\0\0", data_coding=8),
    ],
)
def test_what_says_no_end_or_not_of_what_is_taken_and_changes_nothing(pdu: DeliverSm) -> None:
    assert read(pdu) is None


@pytest.mark.parametrize(
    ("pdu", "settings", "expected"),
    [
        (text("id:123 stat:ACCEPTD"), {"receipt_states": {"acceptd": "delivered"}}, (DELIVERED, None)),
        (
            text("id:123 stat:TELEPORTED"),
            {"receipt_states": {"TELEPORTED": "undelivered"}},
            (UNDELIVERED, "unreachable"),
        ),
        (text("id:123 stat:UNDELIV err:069"), {"receipt_errors": {"069": "filtered"}}, (UNDELIVERED, "filtered")),
        (text("id:123 stat:UNDELIV err:69"), {"receipt_errors": {"069": "filtered"}}, (UNDELIVERED, "filtered")),
        (text(APPENDIX_B, esm_class=0), {"unmarked_receipts": True}, (DELIVERED, None)),
    ],
)
def test_what_a_carrier_means_by_it(pdu: DeliverSm, settings: dict[str, Any], expected: tuple[int, str | None]) -> None:
    found = read(pdu, **settings)
    assert isinstance(found, Receipt)
    assert (found.status, found.error) == expected


@pytest.mark.parametrize(
    ("pdu", "settings"),
    [
        (text(APPENDIX_B, esm_class=0), {}),  # a person may have written it
        (text("id:123 stat:DELIVRD is what it said", esm_class=0), {"unmarked_receipts": True}),
        (text(APPENDIX_B, esm_class=8), {"unmarked_receipts": True}),  # the phone's own acknowledgement
    ],
)
def test_what_is_a_text(pdu: DeliverSm, settings: dict[str, Any]) -> None:
    assert read(pdu, **settings) == "text"


def test_an_id_in_the_text_that_is_not_the_tlvs_is_another_possibility() -> None:
    pdu = text("id:439041101 stat:DELIVRD", tlvs=(tlv.RECEIPTED_MESSAGE_ID("1A2B3C4D"),))
    found = read(pdu, message_id="auto", receipt_id="auto")
    assert isinstance(found, Receipt)
    assert found.carrier_message_id == "1a2b3c4d"
    assert "439041101" in found.alternatives


@pytest.mark.parametrize(
    "pdu",
    [
        text(APPENDIX_B),
        text(APPENDIX_B.replace("hello", "stat:UNDELIV err:1")),
        text(APPENDIX_B.replace("DELIVRD", "UNDELIV").replace("000 ", "0ab ")),
        text(APPENDIX_B.partition(" text")[0]),
        text(APPENDIX_B, tlvs=(tlv.RECEIPTED_MESSAGE_ID("7B"), tlv.MESSAGE_STATE(5))),
        text(APPENDIX_B, tlvs=(tlv.RECEIPTED_MESSAGE_ID("0000000123"), tlv.MESSAGE_STATE(77))),
        text(APPENDIX_B, tlvs=(tlv.NETWORK_ERROR_CODE(b"\3\0\x0b"),)),
    ],
)
def test_the_short_way_of_reading_sees_what_the_long_one_does(pdu: DeliverSm) -> None:
    short, long = is_receipt(pdu, Config(host="x")), read_receipt(pdu, UTC)
    assert short is not None
    assert long is not None
    assert short.submit_date is None  # it was the short one
    for name in ("id", "state", "stat", "err", "text_id", "final"):
        assert getattr(short, name) == getattr(long, name)


def test_no_word_of_a_receipt_is_longer_or_stranger_than_a_store_can_keep() -> None:
    pdu = text(f"id:{'9' * 200} stat:\0\x01é{'X' * 90} err:{'7' * 200}", tlvs=(tlv.MESSAGE_STATE(5),))
    found = read(pdu)
    assert isinstance(found, Receipt)
    assert len(found.carrier_message_id) <= 65
    assert found.code is not None
    assert found.code.isascii()
    assert found.code.isprintable()
    assert len(found.code) <= 41
