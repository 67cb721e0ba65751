"""PDUs to octets and back, and what becomes of those that break a rule."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columba.smpp import pdu as p
from columba.smpp import tlv
from columba.smpp.codec import decode, encode, fields_of
from columba.smpp.errors import MalformedPdu, Unsendable
from columba.smpp.pdu import PDUS, Field, Pdu
from columba.smpp.session import Refused, Role, State, Stray
from columba.smpp.status import Status

from .cases import CASES, Case, header, raw
from .test_session import in_state, sent

EMPTY_SM = b"\0" * 16 + b"\0"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    assert encode(case.pdu, case.sequence) == case.octets
    assert decode(case.octets) == (case.pdu, case.sequence)


def test_every_pdu_has_a_case() -> None:
    assert {type(case.pdu) for case in CASES} == set(PDUS.values())


BROKEN = {
    "nothing": (b"", Status.ESME_RINVCMDLEN),
    "half a header": (raw(0x15)[:9], Status.ESME_RINVCMDLEN),
    "a length that is another": (header(0x15, 17), Status.ESME_RINVCMDLEN),
    "no such command": (raw(0x0C), Status.ESME_RINVCMDID),
    "no such response": (raw(0x8000000C), Status.ESME_RINVCMDID),
    "service_type too long": (raw(0x04, b"123456\0" + EMPTY_SM), Status.ESME_RINVSERTYP),
    "source too long": (raw(0x04, b"\0\0\0" + b"1" * 21 + b"\0" * 14), Status.ESME_RINVSRCADR),
    "destination too long": (raw(0x04, b"\0" * 6 + b"1" * 21 + b"\0" * 11), Status.ESME_RINVDSTADR),
    "schedule too long": (raw(0x04, b"\0" * 10 + b"1" * 17 + b"\0" * 7), Status.ESME_RINVSCHED),
    "validity too long": (raw(0x04, b"\0" * 11 + b"1" * 17 + b"\0" * 6), Status.ESME_RINVEXPIRY),
    "a text without its end": (raw(0x04, b"\0\0\0abc"), Status.ESME_RINVCMDLEN),
    "a last text without its end": (raw(0x03, b"id\0\0\0abc"), Status.ESME_RINVCMDLEN),
    "no body": (raw(0x04), Status.ESME_RINVCMDLEN),
    "an end among the octets": (raw(0x04, b"\0" * 14), Status.ESME_RINVCMDLEN),
    "sm_length beyond the end": (raw(0x04, b"\0" * 16 + b"\x06hello"), Status.ESME_RINVMSGLEN),
    "sm_length too short": (raw(0x04, b"\0" * 16 + b"\x04hello"), Status.ESME_RINVOPTPARSTREAM),
    "half a TLV": (raw(0x05, EMPTY_SM + b"\x04\x24\0"), Status.ESME_RINVOPTPARSTREAM),
    "a TLV beyond the end": (raw(0x05, EMPTY_SM + b"\x04\x24\0\x02x"), Status.ESME_RINVOPTPARSTREAM),
    "an int without octets": (raw(0x05, EMPTY_SM + b"\x04\x27\0\0"), Status.ESME_RINVPARLEN),
    "an int of five octets": (raw(0x05, EMPTY_SM + b"\x04\x27\0\x0512345"), Status.ESME_RINVPARLEN),
    "message_id too long": (raw(0x03, b"1" * 65 + b"\0" * 4), Status.ESME_RINVMSGID),
    "system_id too long": (raw(0x09, b"1" * 16 + b"\0" * 7), Status.ESME_RINVSYSID),
    "password too long": (raw(0x09, b"\0" + b"1" * 9 + b"\0" * 6), Status.ESME_RINVPASWD),
    "system_type too long": (raw(0x09, b"\0\0" + b"1" * 13 + b"\0" * 5), Status.ESME_RINVSYSTYP),
    "address_range too long": (raw(0x09, b"\0" * 6 + b"1" * 41 + b"\0"), Status.ESME_RBINDFAIL),
    "no destinations": (raw(0x21, b"\0" * 5 + b"\0" * 11), Status.ESME_RINVNUMDESTS),
    "fewer destinations": (raw(0x21, b"\0" * 4 + b"\xfe\x02a\0"), Status.ESME_RINVNUMDESTS),
    "another dest_flag": (raw(0x21, b"\0" * 4 + b"\x01\x03a\0" + b"\0" * 10), Status.ESME_RINVDESTFLAG),
    "dl_name too long": (raw(0x21, b"\0" * 4 + b"\x01\x02" + b"a" * 21 + b"\0" * 11), Status.ESME_RINVDLNAME),
    "an SME address too long": (
        raw(0x21, b"\0" * 4 + b"\x01\x01\0\0" + b"1" * 21 + b"\0" * 11),
        Status.ESME_RINVDSTADR,
    ),
    "an SME address without its end": (raw(0x21, b"\0" * 4 + b"\x01\x01\0\x001"), Status.ESME_RINVCMDLEN),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pdu_names_the_status_that_answers_it(name: str) -> None:
    octets, status = BROKEN[name]
    with pytest.raises(MalformedPdu) as caught:
        decode(octets)
    assert caught.value.status == status


# All but the first five, which are no request or can't be framed.
@pytest.mark.parametrize("name", list(BROKEN)[5:])
def test_in_a_session_the_answer_is_sent_and_the_pdu_behind_it_is_read(name: str) -> None:
    """Behind it in the same block, so that its octets are there for a decoder that runs past the end."""
    octets, status = BROKEN[name]
    kind = PDUS[int.from_bytes(octets[4:8], "big")]
    assert issubclass(kind, p.Request)
    role = Role.ESME if kind is p.DeliverSm else Role.SMSC
    session = in_state(role, State.OPEN if issubclass(kind, p.Bind) else State.BOUND_TRX)
    [refused] = session.receive_data(octets + encode(p.EnquireLink(), 2), 0.0)
    assert isinstance(refused, Refused)
    assert refused.status == status
    assert kind.response is not None
    assert sent(session) == [(kind.response(status=status), 1), (p.EnquireLinkResp(), 2)]


# No one can be answered about a response: what can be read of it is.
LENIENT = {
    "submit_sm_resp without a body": (raw(0x80000004), p.SubmitSmResp()),
    "deliver_sm_resp without a body": (raw(0x80000005), p.DeliverSmResp()),
    "a message_id without its NUL": (raw(0x80000004, b"abc"), p.SubmitSmResp(message_id="abc")),
    "a message_id too long": (raw(0x80000004, b"1" * 80 + b"\0"), p.SubmitSmResp(message_id="1" * 80)),
    "octets after it": (raw(0x80000004, b"abc\0\0"), p.SubmitSmResp(message_id="abc")),
    "a body with an error": (raw(0x80000004, b"abc\0", 8), p.SubmitSmResp(status=8, message_id="abc")),
    "a TLV beyond the end": (
        raw(0x80000004, b"a\0\x04\x28\0\x01\x05\x14\x01\0\x09x"),
        p.SubmitSmResp(message_id="a", tlvs=(tlv.CONGESTION_STATE(5),)),
    ),
    "an int TLV of no width": (
        raw(0x80000004, b"a\0\x04\x28\0\0"),
        p.SubmitSmResp(message_id="a", tlvs=((0x0428, b""),)),
    ),
    "half a query_sm_resp": (raw(0x80000003, b"id\0\0\x02"), p.QuerySmResp(message_id="id")),
    "fewer failures than said": (
        raw(0x80000021, b"id\0\x03\x01\x01123\0\0\0\0\x0b\0"),
        p.SubmitMultiResp(message_id="id", unsuccessful=(p.Unsuccessful(1, 1, "123", 0x0B),)),
    ),
    "no failures at all": (raw(0x80000021, b"id\0"), p.SubmitMultiResp(message_id="id")),
}


@pytest.mark.parametrize("name", LENIENT)
def test_a_response_is_read_as_far_as_it_goes_and_no_further(name: str) -> None:
    octets, pdu = LENIENT[name]
    assert decode(octets) == (pdu, 1)
    [stray, _] = in_state(Role.ESME, State.BOUND_TRX).receive_data(octets + encode(p.QuerySmResp(), 2), 0.0)
    assert isinstance(stray, Stray)
    assert stray.pdu == pdu


TOLERATED = {
    "255 octets, as in 5.0": (raw(0x05, b"\0" * 16 + b"\xff" + b"x" * 255), p.DeliverSm(short_message=b"x" * 255)),
    "an int TLV of another width": (
        raw(0x05, EMPTY_SM + b"\x02\x0c\0\x01\x07"),
        p.DeliverSm(tlvs=(tlv.SAR_MSG_REF_NUM(7),)),
    ),
    "a text TLV without its NUL": (
        raw(0x05, EMPTY_SM + b"\x00\x1e\0\x02ab"),
        p.DeliverSm(tlvs=(tlv.RECEIPTED_MESSAGE_ID("ab"),)),
    ),
    "a bind with TLVs": (
        raw(0x09, b"\0" * 7 + b"\x14\0\0\x01x"),
        p.BindTransceiver(interface_version=0, tlvs=((0x1400, b"x"),)),
    ),
    "a request with a status": (raw(0x15, status=5), p.EnquireLink()),
    "the same TLV twice": (
        raw(0x05, EMPTY_SM + b"\x03\x81\0\x01a\x03\x81\0\x01b"),
        p.DeliverSm(tlvs=(tlv.CALLBACK_NUM(b"a"), tlv.CALLBACK_NUM(b"b"))),
    ),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_peers_do_differently_is_read(name: str) -> None:
    octets, pdu = TOLERATED[name]
    assert decode(octets) == (pdu, 1)


UNSENDABLE: dict[str, Pdu] = {
    "submit_sm.source_addr": p.SubmitSm(source_addr="1" * 21),
    "submit_sm.destination_addr": p.SubmitSm(destination_addr="12\x0034"),
    "submit_sm.service_type": p.SubmitSm(service_type="123456"),
    "submit_sm.short_message": p.SubmitSm(short_message=b"x" * 255),
    "submit_sm.esm_class": p.SubmitSm(esm_class=256),
    "submit_sm.protocol_id": p.SubmitSm(protocol_id=-1),
    "submit_sm.data_coding": p.SubmitSm(data_coding=1.5),  # type: ignore[arg-type]
    "submit_sm.validity_period": p.SubmitSm(validity_period=b"0"),  # type: ignore[arg-type]
    "submit_sm.schedule_delivery_time": p.SubmitSm(schedule_delivery_time=None),  # type: ignore[arg-type]
    "data_sm.source_addr": p.DataSm(source_addr="\u20ac"),
    "deliver_sm.short_message": p.DeliverSm(short_message="text"),  # type: ignore[arg-type]
    "submit_sm_resp.message_id": p.SubmitSmResp(message_id="1" * 65),
    "query_sm.message_id": p.QuerySm(message_id=b"1"),  # type: ignore[arg-type]
    "submit_sm_resp": p.SubmitSmResp(status=1 << 32),
    "submit_multi": p.SubmitMulti(),
    "submit_multi: ": p.SubmitMulti(destinations=(p.SmeAddress(1, 1, "1" * 21),)),
    "submit_multi_resp": p.SubmitMultiResp(unsuccessful=(p.Unsuccessful(1, 1, "1", -1),)),
    "TLV 1063": p.SubmitSm(tlvs=(tlv.MESSAGE_STATE(256),)),
    "TLV 5121": p.SubmitSm(tlvs=((0x1401, "text"),)),
    "TLV 5122": p.SubmitSm(tlvs=((0x1402, 5),)),
    "TLV 30": p.SubmitSm(tlvs=(tlv.RECEIPTED_MESSAGE_ID("a\0b"),)),
    "TLV 65536": p.SubmitSm(tlvs=((0x10000, b""),)),
    "TLV 1060": p.SubmitSm(tlvs=(tlv.MESSAGE_PAYLOAD(b"x" * 65536),)),
    "int is no PDU": 5,  # type: ignore[dict-item]
}


@pytest.mark.parametrize("word", UNSENDABLE)
def test_what_does_not_fit_is_refused_by_name(word: str) -> None:
    with pytest.raises(Unsendable) as caught:
        encode(UNSENDABLE[word], 1)
    assert word in str(caught.value)


def test_no_error_and_no_repr_shows_a_password() -> None:
    for bad in (p.BindTransceiver(password="s3cret" * 20), p.Outbind(password="s3cret\u20ac")):
        with pytest.raises(Unsendable) as caught:
            encode(bad, 1)
        assert "s3cret" not in str(caught.value)
        assert caught.value.__context__ is None
        assert "s3cret" not in repr(bad)


def test_a_carriers_overlong_password_is_sent_but_not_taken() -> None:
    octets = encode(p.BindTransceiver(system_id="me", password="123456789012"), 1)
    assert b"me\x00123456789012\0" in octets
    with pytest.raises(MalformedPdu):
        decode(octets)


def test_find_gives_a_tags_value_in_its_type() -> None:
    tlvs = (tlv.MESSAGE_STATE(2), (0x1401, b"x"), tlv.RECEIPTED_MESSAGE_ID("1"), tlv.RECEIPTED_MESSAGE_ID("2"))
    assert tlv.find(tlvs, tlv.MESSAGE_STATE) == 2
    assert tlv.find(tlvs, tlv.RECEIPTED_MESSAGE_ID) == "1"
    assert tlv.find(tlvs, tlv.MESSAGE_PAYLOAD) is None
    assert tlv.find(((0x0427, b""),), tlv.MESSAGE_STATE) is None


def test_ints_have_the_widths_of_the_specification() -> None:
    """SMPP 3.4 §5.3.2 and 5.0 §4.8.4: one octet, but for these."""
    two = "dest_telematics_id user_message_reference source_port destination_port sar_msg_ref_num sms_signal"
    widths = {
        **dict.fromkeys(two.split(), 2),
        "broadcast_rep_num": 2,
        "qos_time_to_live": 4,
        "broadcast_error_status": 4,
    }
    for tag in tlv.TAGS.values():
        if tag.type is int:
            assert tag.width == widths.pop(tag.name, 1)
    assert not widths


def values(field: Field) -> st.SearchStrategy[Any]:
    octet = st.integers(0, 255)
    if field.kind == "octet":
        return octet
    if field.kind == "text":
        return texts(field.size - 1)
    if field.kind == "message":
        return st.binary(max_size=field.size)
    if field.kind == "unsuccessful":
        return st.lists(st.builds(p.Unsuccessful, octet, octet, texts(20), st.integers(0, 0xFFFFFFFF)), max_size=4).map(
            tuple
        )
    return st.lists(
        st.builds(p.SmeAddress, octet, octet, texts(20)) | st.builds(p.DistributionList, texts(20)),
        min_size=1,
        max_size=4,
    ).map(tuple)


def texts(longest: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=longest)


def tlvs() -> st.SearchStrategy[Any]:
    def value(number: int) -> st.SearchStrategy[Any]:
        tag = tlv.TAGS.get(number)
        if tag is None or tag.type is bytes:
            return st.binary(max_size=20)
        return texts(20) if tag.type is str else st.integers(0, 256**tag.width - 1)

    numbers = st.sampled_from(list(tlv.TAGS)) | st.integers(0, 0xFFFF)
    return st.lists(numbers.flatmap(lambda number: st.tuples(st.just(number), value(number))), max_size=4).map(tuple)


@st.composite
def pdus(draw: st.DrawFn) -> Pdu:
    kind = draw(st.sampled_from(list(PDUS.values())))
    given_fields = {name: draw(values(field)) for name, field in fields_of(kind).items()}
    if issubclass(kind, p.Response):
        given_fields["status"] = draw(st.sampled_from([0, 8, 0x58, 0x401, 0xFFFFFFFF]))
    return kind(**given_fields, tlvs=draw(tlvs()))


@settings(max_examples=300, deadline=None)
@given(pdu=pdus(), sequence=st.integers(0, 0xFFFFFFFF))
def test_any_pdu_comes_back_as_it_went(pdu: Pdu, sequence: int) -> None:
    octets = encode(pdu, sequence)
    assert decode(octets) == (pdu, sequence)
    assert int.from_bytes(octets[:4], "big") == len(octets)
