"""The vendors' own libraries as judges: what we send is what they send, what they sign is good here, and the reverse."""

import base64
import hmac
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import msgspec
import plivo
import plivo.rest.client
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from plivo.utils import validate_signature
from plivo.utils.signature_v3 import validate_v3_signature
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from vonage_http_client.auth import Auth
from vonage_messages.models import MmsImage, MmsResource, Sms
from vonage_sms import SmsMessage

from columba.carriers import kinds, over_http, twilio, vonage
from columba.carriers import plivo as our_plivo
from columba.carriers.over_http import Callback, Unsigned, Way
from tests.carriers import replay, signing
from tests.carriers.air import part
from tests.program import Reply, Sink

NOW = 1_700_000_000_000
URL = "https://columba.example/callbacks/car_x/status"
WAY = Way(NOW, "https://columba.example/callbacks/car_x")
TEXTS = ("hello", "Grüße & = + ?", "你好 ☃\n😀", "x" * 1_000)
TWILIO = twilio.Config(account_sid="AC" + "0" * 32, auth_token="token")
PLIVO = our_plivo.Config(auth_id="MA" + "X" * 18, auth_token="token")
SECRET = "a signature secret of some length"
VONAGE: Any = {"api_key": "abcd1234", "api_secret": "s", "signature_secret": SECRET, "signature_method": "sha256"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def form(body: bytes) -> list[tuple[str, str]]:
    return sorted(parse_qsl(body.decode(), keep_blank_values=True))


# -- Requests


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("media", [(), ("https://example.com/a.png", "https://example.com/b?c=d&e")])
def test_twilio_sends_the_same(provider: Sink, text: str, media: tuple[str, ...]) -> None:
    provider.reply = Reply(201, json.dumps({"sid": "SM1"}).encode(), {"Content-Type": "application/json"})
    provider.requests.clear()
    client = Client(TWILIO.account_sid, TWILIO.auth_token, http_client=TwilioHttpClient(timeout=30))
    client.api.base_url = provider.url
    client.messages.create(
        to="+447700900123", from_="+12025550100", body=text, status_callback=URL, validity_period=600,
        **({"media_url": list(media)} if media else {}),
    )  # fmt: skip
    (theirs,) = provider.requests
    ours = twilio.request(
        msgspec.structs.replace(TWILIO, base_url=provider.url),
        part(text, media=media, expires_at=NOW + 600_000),
        WAY,
    )
    assert ours.method == theirs.method
    assert urlsplit(ours.url).path == theirs.path
    assert form(ours.body) == form(theirs.body)
    for name in ("Authorization", "Content-Type"):
        assert ours.headers[name] == theirs.headers[name.lower()]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("media", [(), ("https://example.com/a.png",)])
def test_plivo_sends_the_same(
    provider: Sink, text: str, media: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.reply = Reply(202, json.dumps({"api_id": "1", "message": "queued", "message_uuid": ["2"]}).encode())
    provider.requests.clear()
    monkeypatch.setattr(plivo.rest.client, "PLIVO_API_BASE_URI", f"{provider.url}/v1/Account")
    client = plivo.RestClient(PLIVO.auth_id, PLIVO.auth_token)
    more: Any = {"media_urls": list(media)} if media else {}
    client.messages.create(
        src="12025550100",
        dst="447700900123",
        text=text,
        type_="mms" if media else "sms",
        url=URL,
        message_expiry=600,
        **more,
    )
    (theirs,) = provider.requests
    ours = our_plivo.request(
        msgspec.structs.replace(PLIVO, base_url=provider.url), part(text, media=media, expires_at=NOW + 600_000), WAY
    )
    assert ours.method == theirs.method
    assert urlsplit(ours.url).path == theirs.path
    wanted = {name: value for name, value in theirs.json.items() if name not in ("log", "trackable")}
    assert json.loads(ours.body) == wanted
    assert ours.headers["Authorization"] == theirs.headers["authorization"]


@pytest.mark.parametrize("text", TEXTS)
def test_vonage_sends_the_same(text: str) -> None:
    """The bodies that its models make: its client can't be aimed at a server without TLS."""
    config = vonage.Config(**VONAGE)
    theirs = Sms(to="447700900123", from_="12025550100", text=text, ttl=600, webhook_url=URL, webhook_version="v1")
    ours = vonage.request(config, part(text, expires_at=NOW + 600_000), WAY)
    assert json.loads(ours.body) == theirs.model_dump(by_alias=True, exclude_none=True)
    assert ours.headers["Authorization"] == Auth(api_key="abcd1234", api_secret="s").create_basic_auth_string()

    picture = MmsImage(
        to="447700900123", from_="12025550100", image=MmsResource(url="https://example.com/a.png", caption=text),
        webhook_url=URL, webhook_version="v1",
    )  # fmt: skip
    ours = vonage.request(config, part(text, media=("https://example.com/a.png",)), WAY)
    assert json.loads(ours.body) == picture.model_dump(by_alias=True, exclude_none=True)

    unicode = not text.isascii()
    wanted = SmsMessage(
        to="447700900123",
        from_="12025550100",
        text=text,
        type="unicode" if unicode else "text",
        ttl=600_000,
        callback=URL,
    ).model_dump(by_alias=True, exclude_none=True)
    sms = msgspec.structs.replace(config, api="sms")
    ours = vonage.request(sms, part(text, encoding=int(unicode), expires_at=NOW + 600_000), WAY)
    assert dict(form(ours.body)) == {name: str(value) for name, value in wanted.items()}


def test_vonage_takes_our_signed_requests() -> None:
    config = vonage.Config(api="sms", api_key="abcd1234", signature_secret=SECRET, signature_method="sha512")
    fields = dict(form(vonage.request(config, part("a & b = c"), WAY).body))
    assert Auth(api_key="abcd1234", signature_secret=SECRET, signature_method="sha512").check_signature(fields)


def test_vonage_takes_our_tokens() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    config = vonage.Config(api_key="abcd1234", application_id="app-1", private_key=pem)
    token = vonage.request(config, part(), WAY).headers["Authorization"].removeprefix("Bearer ")
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(token, public, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False})
    assert claims["application_id"] == "app-1"
    assert claims["iat"] <= NOW // 1000 < claims["exp"]
    later = vonage.request(config, part(), Way(NOW + 3_600_000, "")).headers["Authorization"]
    assert later != f"Bearer {token}"


# -- Signatures: made here, good there (the reverse is in test_exchanges.py)


def callback(headers: dict[str, str], body: bytes, url: str = URL) -> Callback:
    return Callback(
        "status", "POST", (url,), urlsplit(url).query, {k.lower(): v for k, v in headers.items()}, body, NOW
    )


def test_twilio_finds_our_signatures_good() -> None:
    """With the example of its documentation."""
    form = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", "From": "+14158675310", "To": "+18005551212"}
    form["Caller"] = form["From"]
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    text = url + "".join(name + value for name, value in sorted(form.items()))
    assert twilio.signature("12345", text) == "GvWf1cFY/Q7PnoempGyD5oXAezc="
    assert RequestValidator("12345").validate(url, form, twilio.signature("12345", text))
    wide = twilio.signature("12345", text, "HMAC_SHA256")
    assert RequestValidator("12345").validate(url, form, wide, "HMAC_SHA256")


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_twilio_may_or_may_not_sign_the_port(port: str) -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": "delivered"}).encode()
    for signed_port in {"", port}:
        signature = RequestValidator("token").compute_signature(
            f"https://columba.example{signed_port}/x", dict(parse_qsl(body.decode()))
        )
        said = twilio.parse(
            TWILIO, callback({"X-Twilio-Signature": signature}, body, f"https://columba.example{port}/x")
        )
        assert said.receipts


def test_twilio_signs_with_a_shared_key() -> None:
    config = msgspec.structs.replace(TWILIO, shared_key="shared")
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    headers = {
        "X-Twilio-Signature": RequestValidator("shared").compute_signature(URL, form, "HMAC_SHA256"),
        "X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }
    assert twilio.parse(config, callback(headers, urlencode(form).encode())).receipts
    with pytest.raises(Unsigned):
        twilio.parse(TWILIO, callback(headers, urlencode(form).encode()))
    headers["X-Twilio-Webhooks-Signature-Settings"] = "key=x,algorithm=NONE"
    with pytest.raises(Unsigned):
        twilio.parse(config, callback(headers, urlencode(form).encode()))


def test_plivo_finds_our_signatures_good() -> None:
    """With the example of its library's tests."""
    assert (
        our_plivo.signature("my_auth_token", "https://answer.url12345")
        == "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc="
    )
    signature = our_plivo.signature("my_auth_token", "https://answer.url12345")
    assert validate_signature("https://answer.url", "12345", signature, "my_auth_token")


@pytest.mark.parametrize("query", ["", "?b=2&a=1"])
@pytest.mark.parametrize("fields", [{"MessageUUID": "1", "Status": "delivered", "A": "x y"}])
def test_plivos_third_version(query: str, fields: dict[str, str]) -> None:
    body = urlencode(fields).encode()
    made = signing.plivo_v3({"auth_token": "token"}, URL + query, body, NOW)
    assert validate_v3_signature(
        "POST",
        URL + query,
        made.headers["X-Plivo-Signature-V3-Nonce"],
        "token",
        made.headers["X-Plivo-Signature-V3"],
        fields,
    )
    assert our_plivo.parse(PLIVO, callback(dict(made.headers), body, URL + query)).receipts
    with pytest.raises(Unsigned):
        our_plivo.parse(PLIVO, callback(dict(made.headers), body.replace(b"delivered", b"failed"), URL + query))


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256", "sha512"])
def test_vonage_finds_our_signatures_good(method: str) -> None:
    fields = {"msisdn": "447700900123", "text": "a & b = c", "timestamp": "1700000000"}
    auth = Auth(api_key="abcd1234", signature_secret=SECRET, signature_method=method)
    assert auth.check_signature({**fields, "sig": vonage.signature(fields, SECRET, method)})


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"payload_hash": "0" * 64},
        {"api_key": "another"},
    ],
)
def test_vonage_tokens_are_of_the_body_and_the_account(claims: dict[str, str]) -> None:
    config = vonage.Config(**VONAGE)
    body = json.dumps({"message_uuid": "1", "to": "1", "from": "2", "status": "delivered"}).encode()
    good = jwt.decode(
        signing.vonage(VONAGE, URL, body, NOW).headers["Authorization"].removeprefix("Bearer "),
        SECRET, algorithms=["HS256"], options={"verify_iat": False},
    )  # fmt: skip
    bad = {**good, **claims} if claims else {"iat": 1}
    token = jwt.encode(bad, SECRET, "HS256")
    with pytest.raises(Unsigned):
        vonage.parse(config, callback({"Authorization": f"Bearer {token}"}, body))
    none = jwt.encode(good, "", "none")
    with pytest.raises(Unsigned):
        vonage.parse(config, callback({"Authorization": f"Bearer {none}"}, body))


def test_without_a_secret_nothing_is_believed() -> None:
    """A carrier whose callbacks can't be checked takes none."""
    bare: dict[str, Any] = {
        "vonage": {"api_key": "a", "api_secret": "b"},
        "telnyx": {"api_key": "a"},
        "infobip": {"api_key": "a", "base_url": "https://x.api.infobip.com"},
        "smsgate": {"username": "a", "password": "b"},
        "http": {"request": {"url": "https://example.com"}},
    }
    for name, config in bare.items():
        kind = kinds()[name]
        assert kind.parse is not None
        for body in (b"", b"{}"):
            with pytest.raises(Unsigned):
                kind.parse(msgspec.convert(config, kind.config), callback({}, body))


def test_hmac_is_what_the_standard_says() -> None:
    assert over_http.same("a", "a")
    assert not over_http.same("a", "\udce9")
    mac = base64.b64encode(hmac.digest(b"token", b"x", "sha256")).decode()
    assert our_plivo.signature("token", "x") == mac


@pytest.mark.parametrize(
    ("kind", "url", "sent"),
    [
        ("twilio", "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1", True),
        ("twilio", "https://media.twiliocdn.com/x", False),
        ("twilio", "http://api.twilio.com/x", False),
        ("twilio", "https://nottwilio.com/x", False),
        ("twilio", "https://evil.example/?https://api.twilio.com/", False),
        ("plivo", "https://media.plivo.com/x.png", True),
        ("vonage", "https://api.nexmo.com/v3/media/x", True),
        ("vonage", "https://example.com/x", False),
        ("infobip", "https://example.api.infobip.com/mms/1/x", True),
        ("telnyx", "https://s3.amazonaws.com/x", False),
        ("smsgate", "https://api.sms-gate.app/x", False),
        ("http", "https://sms.example.com/media/x", True),
        ("http", "http://sms.example.com/media/x", False),
    ],
)
def test_credentials_go_to_their_own_host_only(kind: str, url: str, sent: bool) -> None:
    config = replay.first(kind, "sends").built()
    assert bool(kinds()[kind].fetch(config, url)) is sent


@pytest.mark.parametrize("method", ["sha256", "md5hash"])
def test_vonage_may_call_with_get(method: str) -> None:
    """As accounts have it that never chose."""
    config = vonage.Config(**{**VONAGE, "api": "sms", "signature_method": method})
    fields = {"messageId": "A", "status": "delivered", "err-code": "0", "timestamp": "1700000000"}
    query = urlencode({**fields, "sig": vonage.signature(fields, SECRET, method)})
    said = vonage.parse(config, Callback("status", "GET", (URL,), query, {}, b"", NOW))
    assert said.receipts[0].carrier_message_id == "A"
    with pytest.raises(Unsigned):
        vonage.parse(config, Callback("status", "GET", (URL,), query.replace("=A", "=B"), {}, b"", NOW))
