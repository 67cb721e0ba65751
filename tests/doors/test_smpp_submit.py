"""What programs submit, read: whatever it is, it is a submission or is refused with a command_status."""

import contextlib

import hypothesis.strategies as st
from hypothesis import given

from columba.doors.smpp.encoded import raw_of
from columba.doors.smpp.submit import Wrong, body_of, octets_of, person, place_of, submission
from columba.smpp.codec import decode, encode
from columba.smpp.pdu import SubmitSm
from columba.smpp.tlv import TAGS
from columba.text import Alphabet

NOW = 1_790_000_000_000
octet = st.integers(0, 255)
words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=16)
tags = st.one_of(st.sampled_from(sorted(TAGS)), st.integers(0x1400, 0x3FFF))
tlvs = st.lists(st.tuples(tags, st.binary(min_size=1, max_size=4)), max_size=4).map(tuple)


@given(
    octets=st.binary(max_size=254), coding=octet, esm_class=octet, protocol_id=octet, priority=octet, tlvs=tlvs,
    service_type=words.map(lambda text: text[:5]), to=words, ton=octet, default=st.sampled_from(["gsm7", "latin1", "utf8"]),
)  # fmt: skip
def test_nothing_but_a_refusal_comes_of_it(
    octets: bytes,
    coding: int,
    esm_class: int,
    protocol_id: int,
    priority: int,
    tlvs: tuple[tuple[int, bytes], ...],
    service_type: str,
    to: str,
    ton: int,
    default: Alphabet,
) -> None:
    given_pdu = SubmitSm(
        tlvs, service_type, ton, 0, to, ton, 0, to, esm_class, protocol_id, priority, data_coding=coding,
        short_message=octets,
    )  # fmt: skip
    with contextlib.suppress(Wrong):
        pdu, _ = decode(encode(given_pdu, 1))
        assert isinstance(pdu, SubmitSm)
        found = octets_of(pdu)
        body = body_of(pdu, found, default)
        raw = raw_of(pdu, found, body, default)
        asked = submission(pdu, body.text, raw, person(pdu.dest_addr_ton, pdu.destination_addr, "GB"), -1, NOW)
        place_of(pdu, body)
        assert asked.text or raw is not None
        if raw is not None:
            assert raw.octets == found
            assert (raw.data_coding, raw.esm_class & 0xFC) == (coding, esm_class & 0xFC)
