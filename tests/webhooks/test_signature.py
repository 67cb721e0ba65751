"""Signatures that any Standard Webhooks receiver takes, and that nothing else passes."""

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from columba.webhooks.signature import decode_secret, new_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
KEY = decode_secret(SECRET)
OTHER = decode_secret(new_secret(bytes(32)))


def test_the_published_vector() -> None:
    assert sign(ID, TIME, BODY, [KEY]) == SIGNATURE
    assert verify(ID, str(TIME), SIGNATURE, BODY, [KEY], TIME)


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=2000), st.integers(0, 10**11))
def test_it_is_hmac_sha256(secret: bytes, body: bytes, timestamp: int) -> None:
    digest = hmac.digest(secret, b"evt_1.%d.%b" % (timestamp, body), hashlib.sha256)
    assert sign("evt_1", timestamp, body, [secret]) == f"v1,{b64encode(digest).decode()}"


@pytest.mark.parametrize("secret", [SECRET, new_secret(bytes(range(24))), new_secret(bytes(range(64)))])
@pytest.mark.parametrize("body", ["{}", '{"text": "Grüße 你好 \U0001f600"}', ""])
def test_the_reference_receiver_agrees_both_ways(secret: str, body: str) -> None:
    other, key = Webhook(secret), decode_secret(secret)
    with time_machine.travel(TIME, tick=False):
        headers = {"webhook-id": ID, "webhook-timestamp": str(TIME)}
        signatures = sign(ID, TIME, body.encode(), [OTHER, key])
        other.verify(body, {**headers, "webhook-signature": signatures}, json_parse=False)
        theirs = other.sign(ID, datetime.fromtimestamp(TIME, UTC), body)
        assert verify(ID, str(TIME), theirs, body.encode(), [key], TIME)


def test_a_rotation_has_two_signatures_and_either_secret_verifies() -> None:
    header = sign(ID, TIME, BODY, [OTHER, KEY])
    assert header.split(" ") == [sign(ID, TIME, BODY, [OTHER]), SIGNATURE]
    for keys in ([KEY], [OTHER], [KEY, OTHER]):
        assert verify(ID, str(TIME), header, BODY, keys, TIME)
        assert verify(ID, str(TIME), f"v1a,abc {header} v2,x", BODY, keys, TIME)
    assert verify(ID, str(TIME), SIGNATURE, BODY, [OTHER, KEY], TIME)


@pytest.mark.parametrize(
    ("message_id", "timestamp", "signatures", "body", "keys", "now"),
    [
        ("msg_other", "1614265330", SIGNATURE, BODY, [KEY], TIME),
        (ID, "1614265331", SIGNATURE, BODY, [KEY], TIME),
        (ID, "1614265330", SIGNATURE, BODY + b" ", [KEY], TIME),
        (ID, "1614265330", SIGNATURE, BODY, [OTHER], TIME),
        (ID, "1614265330", SIGNATURE, BODY, [], TIME),
        (ID, "1614265330", "", BODY, [KEY], TIME),
        (ID, "1614265330", SIGNATURE[:-1], BODY, [KEY], TIME),
        (ID, "1614265330", SIGNATURE.replace("v1,", "v2,"), BODY, [KEY], TIME),
        (ID, "1614265330", SIGNATURE.replace("v1,", ""), BODY, [KEY], TIME),
        (ID, "1614265330", SIGNATURE.replace(",", ", "), BODY, [KEY], TIME),
        (ID, "1614265330", "v1,ä\ud800 " + SIGNATURE, BODY, [KEY], TIME),
        (ID, "1614265330", "v1,x " * 16 + SIGNATURE, BODY, [KEY], TIME),
        ("\ud800", "1614265330", SIGNATURE, BODY, [KEY], TIME),
        (ID, "1614265330.0", SIGNATURE, BODY, [KEY], TIME),
        (ID, "+1614265330", SIGNATURE, BODY, [KEY], TIME),
        (ID, "１614265330", SIGNATURE, BODY, [KEY], TIME),
        (ID, "", SIGNATURE, BODY, [KEY], TIME),
        (ID, "9" * 5000, SIGNATURE, BODY, [KEY], TIME),
        (ID, "1614265330", SIGNATURE, BODY, [KEY], TIME + 301),
        (ID, "1614265330", SIGNATURE, BODY, [KEY], TIME - 301),
    ],
)
def test_what_does_not_verify(
    message_id: str, timestamp: str, signatures: str, body: bytes, keys: list[bytes], now: float
) -> None:
    assert not verify(message_id, timestamp, signatures, body, keys, now)


@pytest.mark.parametrize("now", [TIME - 300, TIME + 300])
def test_five_minutes_are_tolerated(now: float) -> None:
    assert verify(ID, str(TIME), SIGNATURE, BODY, [KEY], now)
    assert not verify(ID, str(TIME), SIGNATURE, BODY, [KEY], now, tolerance=299)


def test_the_parts_of_what_is_signed_do_not_run_together() -> None:
    assert not verify("msg_1", "16142653", sign("msg_1", 16142653, b"30.x", [KEY]), b"x", [KEY], 16142653)
    assert sign("msg_1", 16, b"1.x", [KEY]) != sign("msg_1", 161, b"x", [KEY])


def test_a_new_secret_can_be_read_again() -> None:
    secret = new_secret(bytes(range(32)))
    assert secret == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    for text in (secret, secret.rstrip("=")):
        assert sign(ID, TIME, BODY, [decode_secret(text)]) == sign(ID, TIME, BODY, [bytes(range(32))])


@pytest.mark.parametrize("size", [0, 23, 65])
def test_secrets_have_their_size(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        new_secret(bytes(size))
    with pytest.raises(ValueError, match="24 to 64"):
        decode_secret("whsec_" + b64encode(bytes(size)).decode())


@pytest.mark.parametrize(
    "secret",
    [
        *("", "whsec_", "whsk_" + SECRET[6:], SECRET[6:], "WHSEC_" + SECRET[6:], SECRET + "!", SECRET[:-1] + " "),
        *(SECRET + "ä", "whsec_a", SECRET + "A", "whsec_\n" + SECRET[6:], SECRET.replace("9", "-"), SECRET + "\ud800"),
    ],
)
def test_what_is_no_secret_is_not_told(secret: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode_secret(secret)
    assert SECRET[6:20] not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
