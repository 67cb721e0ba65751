"""What each command_status comes to, and how a carrier overrules it."""

from typing import Any

import msgspec
import pytest

from columba.carriers.smpp.answers import refusals
from columba.carriers.smpp.config import Config
from columba.core.contract import Outcome
from columba.core.model import FAILURES
from columba.smpp import tlv
from columba.smpp.pdu import SubmitSmResp
from columba.smpp.status import Status


def answer(status: int, tlvs: tlv.Tlvs = (), **settings: Any) -> Outcome:
    return refusals(msgspec.convert({"host": "x", **settings}, Config))(SubmitSmResp(tlvs, status))


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (Status.ESME_RTHROTTLED, "throttled", "throttled"),
        (Status.ESME_RMSGQFUL, "throttled", "throttled"),
        (Status.ESME_RSYSERR, "retry", "carrier_failed"),
        (Status.ESME_RX_T_APPN, "retry", "carrier_failed"),
        (Status.ESME_RINVDSTADR, "failed", "unknown_number"),
        (Status.ESME_RX_P_APPN, "failed", "rejected"),
        (Status.ESME_RINVSRCADR, "reroute", "rejected"),
        (Status.ESME_RPROHIBITED, "reroute", "rejected"),
        (0x00000401, "retry", "carrier_failed"),  # nobody but the vendor knows
        (0xFFFFFFFF, "retry", "carrier_failed"),
    ],
)
def test_without_a_word_of_the_carriers(status: int, kind: str, error: str) -> None:
    found = answer(status)
    assert (found.kind, found.error) == (kind, error)


def test_every_code_has_an_error_that_people_can_read() -> None:
    for status in Status:
        found = answer(status)
        assert found.error in FAILURES
        assert found.code == status.name


@pytest.mark.parametrize(
    ("written", "status"), [("0x0000000B", 0x0B), ("11", 11), ("ESME_RINVDSTADR", 0x0B), ("0x401", 0x401)]
)
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("retry", ("retry", "carrier_failed")),
        ("throttle", ("throttled", "throttled")),
        ("reroute", ("reroute", "rejected")),
    ],
)
def test_a_carrier_overrules_it(written: str, status: int, action: str, expected: tuple[str, str]) -> None:
    found = answer(status, command_status={written: action})
    assert (found.kind, found.error) == expected


def test_the_reason_stays_where_only_the_action_is_confirmed() -> None:
    assert answer(0x0B, command_status={"0x0B": "fail"}).error == "unknown_number"
    assert answer(0x401, command_status={"0x401": "fail"}).error == "rejected"


def test_the_carriers_own_words_are_kept() -> None:
    words = tlv.ADDITIONAL_STATUS_INFO_TEXT("no credit left")
    assert answer(0x45, (words,)).code == "ESME_RSUBMITFAIL: no credit left"
    assert answer(0x45, (tlv.ADDITIONAL_STATUS_INFO_TEXT("\n"),)).code == "ESME_RSUBMITFAIL"
    assert len(answer(0x45, (tlv.ADDITIONAL_STATUS_INFO_TEXT("x" * 500),)).code or "") < 130
