"""Callbacks signed as the providers sign them: by their own libraries, where there are any."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from plivo.utils import validate_signature
from plivo.utils.signature_v3 import construct_post_url, get_signature_v3
from twilio.request_validator import RequestValidator
from vonage_http_client.auth import Auth

TELNYX = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TELNYX_PUBLIC = base64.b64encode(TELNYX.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


class Signed(NamedTuple):
    url: str
    headers: Mapping[str, str]
    body: bytes


def twilio(config: Any, url: str, body: bytes, now: int) -> Signed:
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    return Signed(
        url, {"X-Twilio-Signature": RequestValidator(config["auth_token"]).compute_signature(url, form)}, body
    )


def plivo(config: Any, url: str, body: bytes, now: int) -> Signed:
    """Version 2, as texts have it."""
    nonce = hashlib.sha256(body).hexdigest()[:20]
    mac = hmac.digest(config["auth_token"].encode(), (url.partition("?")[0] + nonce).encode(), "sha256")
    signature = base64.b64encode(mac).decode()
    assert validate_signature(url, nonce, signature, config["auth_token"])
    return Signed(url, {"X-Plivo-Signature-V2": signature, "X-Plivo-Signature-V2-Nonce": nonce}, body)


def plivo_v3(config: Any, url: str, body: bytes, now: int) -> Signed:
    nonce = hashlib.sha256(body).hexdigest()[:20]
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    base = construct_post_url(url, form).decode()
    signature = get_signature_v3(config["auth_token"].encode(), base, nonce).decode()
    return Signed(url, {"X-Plivo-Signature-V3": signature, "X-Plivo-Signature-V3-Nonce": nonce}, body)


def vonage(config: Any, url: str, body: bytes, now: int) -> Signed:
    secret = config["signature_secret"]
    if config.get("api") == "sms":
        auth = Auth(api_key=config["api_key"], signature_secret=secret, signature_method=config["signature_method"])
        form = body[:1] != b"{"
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True)) if form else json.loads(body)
        fields["timestamp"] = str(now // 1000)
        fields["sig"] = auth.sign_params(dict(fields))
        return Signed(url, {}, (urlencode(fields) if form else json.dumps(fields)).encode())
    claims = {
        "iat": now // 1000, "jti": "1", "iss": "Vonage", "api_key": config["api_key"],
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }  # fmt: skip
    return Signed(url, {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}, body)


def telnyx(config: Any, url: str, body: bytes, now: int) -> Signed:
    at = str(now // 1000)
    signature = base64.b64encode(TELNYX.sign(f"{at}|".encode() + body)).decode()
    return Signed(url, {"telnyx-signature-ed25519": signature, "telnyx-timestamp": at}, body)


def infobip(config: Any, url: str, body: bytes, now: int) -> Signed:
    return Signed(f"{url}?secret={config['callback_secret']}", {}, body)


def smsgate(config: Any, url: str, body: bytes, now: int) -> Signed:
    at = str(now // 1000)
    mac = hmac.new(config["signing_key"].encode(), body + at.encode(), hashlib.sha256)
    return Signed(url, {"X-Signature": mac.hexdigest(), "X-Timestamp": at}, body)


SIGN: Mapping[str, Callable[[Any, str, bytes, int], Signed]] = {
    "twilio": twilio,
    "plivo": plivo,
    "vonage": vonage,
    "telnyx": telnyx,
    "infobip": infobip,
    "smsgate": smsgate,
}
