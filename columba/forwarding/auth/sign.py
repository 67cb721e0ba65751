"""Proofs that a request carries by itself: keys, Basic, bearer, HMAC, Standard Webhooks, AWS Signature Version 4. Pure.

Where `masked` is set, `***` stands for whatever is secret or made from a secret alone. Fails with UserCodeError.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from columba.forwarding.auth.kinds import (
    SEEN,
    SIGNED,
    Auth,
    Basic,
    Bearer,
    HeaderAuth,
    Hmac,
    QueryAuth,
    SecretRef,
    SigV4,
    StandardWebhooks,
)
from columba.usercode import Template, UserCodeError
from columba.webhooks.signature import decode_secret
from columba.webhooks.signature import sign as sign_webhook

HIDDEN = "***"


class Draft:
    """A request that is being made."""

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, method: str, url: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body

    def copy(self) -> "Draft":
        return Draft(self.method, self.url, {**self.headers}, self.body)

    def set(self, name: str, value: str) -> None:
        """A header; in place of one of this name, however it is written."""
        if name not in self.headers:
            low = name.lower()
            for known in [each for each in self.headers if each.lower() == low]:
                del self.headers[known]
        self.headers[name] = value

    def add_query(self, name: str, value: str) -> None:
        url, mark, fragment = self.url.partition("#")
        joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
        self.url = f"{url}{joint}{quote(name, safe='')}={value}{mark}{fragment}"


class Moment(NamedTuple):
    """What a proof may depend on besides the request. `context` is what templates see."""

    at: int  # ms
    idempotency_id: str
    context: Mapping[str, Any]
    secret: Callable[[str | SecretRef | None], str]
    masked: bool


def sign(draft: Draft, auth: Auth, moment: Moment) -> None:
    """Put the proof in, for the kinds that need no answer of a server first."""
    made = _SIGNERS.get(type(auth))
    if made is not None:
        made(draft, auth, moment)


def _line(source: str, moment: Moment) -> str:
    return Template.parse(source, SEEN, "line").render(moment.context)


def _header(draft: Draft, auth: HeaderAuth, moment: Moment) -> None:
    draft.set(auth.name, _line(auth.prefix, moment) + (HIDDEN if moment.masked else moment.secret(auth.value)))


def _query(draft: Draft, auth: QueryAuth, moment: Moment) -> None:
    draft.add_query(auth.name, HIDDEN if moment.masked else quote(moment.secret(auth.value), safe=""))


def _basic(draft: Draft, auth: Basic, moment: Moment) -> None:
    if moment.masked:
        draft.set("Authorization", f"Basic {HIDDEN}")
    else:
        name = auth.username
        username = moment.secret(name) if isinstance(name, SecretRef) else _line(name, moment)
        pair = f"{username}:{moment.secret(auth.password)}"
        draft.set("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")


def _bearer(draft: Draft, auth: Bearer, moment: Moment) -> None:
    draft.set("Authorization", f"{auth.scheme} {HIDDEN if moment.masked else moment.secret(auth.token)}")


def _hmac(draft: Draft, auth: Hmac, moment: Moment) -> None:
    seconds = moment.at // 1000
    context = {
        **moment.context,
        "body": draft.body.decode("utf-8", "replace"),
        "timestamp": seconds,
        "method": draft.method,
        "url": draft.url,
        "path": "" if moment.masked else urlsplit(draft.url).path,
        "idempotency_id": moment.idempotency_id,
    }
    if auth.timestamp_header is not None:
        draft.set(auth.timestamp_header, str(seconds))
    prefix = Template.parse(auth.prefix, SIGNED, "line").render(context)
    if moment.masked:
        draft.set(auth.header, prefix + HIDDEN)
        return
    if auth.template == "{{ body }}":  # the very bytes, whatever they are
        signed = draft.body
    else:
        signed = Template.parse(auth.template, SIGNED).render(context).encode("utf-8", "replace")
    digest = hmac.digest(_key(moment.secret(auth.secret), auth.key), signed, auth.algorithm)
    if auth.encoding == "hex":
        shown = digest.hex()
    elif auth.encoding == "base64":
        shown = base64.b64encode(digest).decode()
    else:
        shown = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    draft.set(auth.header, prefix + shown)


def _key(secret: str, form: str) -> bytes:
    try:
        if form == "hex":
            return bytes.fromhex(secret)
        if form == "base64":
            return base64.b64decode(secret + "=" * (-len(secret) % 4))
    except (ValueError, binascii.Error):
        raise UserCodeError(0, 0, f"The secret is not {form}.") from None
    return secret.encode()


def _standard_webhooks(draft: Draft, auth: StandardWebhooks, moment: Moment) -> None:
    seconds = moment.at // 1000
    draft.set("webhook-id", moment.idempotency_id)
    draft.set("webhook-timestamp", str(seconds))
    if moment.masked:
        draft.set("webhook-signature", f"v1,{HIDDEN}")
        return
    try:
        key = decode_secret(moment.secret(auth.secret))
    except ValueError as error:
        raise UserCodeError(0, 0, str(error)) from None
    draft.set("webhook-signature", sign_webhook(moment.idempotency_id, seconds, draft.body, [key]))


# AWS Signature Version 4: "Create a signed AWS API request", in the IAM User Guide.

_UNRESERVED = "-_.~"


def _sigv4(draft: Draft, auth: SigV4, moment: Moment) -> None:
    stamp = datetime.fromtimestamp(moment.at / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    region, service, key_id = (_line(each, moment) for each in (auth.region, auth.service, auth.access_key_id))
    payload = hashlib.sha256(draft.body).hexdigest()
    draft.set("X-Amz-Date", stamp)
    if service == "s3":
        draft.set("X-Amz-Content-SHA256", payload)
    if auth.session_token is not None:
        draft.set("X-Amz-Security-Token", HIDDEN if moment.masked else moment.secret(auth.session_token))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    fields = {"host": _host(draft.url)} | {
        name.lower(): " ".join(value.split())
        for name, value in draft.headers.items()
        if name.lower().startswith("x-amz-") or name.lower() == "content-type"
    }
    names = ";".join(sorted(fields))
    if moment.masked:
        signature = HIDDEN
    else:
        canonical = "\n".join(
            (
                draft.method,
                _canonical_path(draft.url, service),
                _canonical_query(draft.url),
                *(f"{name}:{fields[name]}" for name in sorted(fields)),
                "",
                names,
                payload,
            )
        )
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{moment.secret(auth.secret_access_key)}".encode()
        for part in (stamp[:8], region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
    draft.set(
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}",
    )


def _host(url: str) -> str:
    """As the Host field has it."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    try:
        port = parts.port
    except ValueError:
        port = None
    return host if port in (None, default) else f"{host}:{port}"


def _canonical_path(url: str, service: str) -> str:
    path = urlsplit(url).path or "/"
    if service == "s3":
        return quote(unquote(path), safe="/" + _UNRESERVED)
    segments: list[str] = []
    for segment in path.split("/"):  # RFC 3986 §5.2.4
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in (".", ""):
            segments.append(segment)
    normal = "/" + "/".join(segments) + ("/" if path.endswith("/") and segments else "")
    return quote(normal, safe="/" + _UNRESERVED)  # encoded twice, but for S3


def _canonical_query(url: str) -> str:
    pairs = parse_qsl(urlsplit(url).query.replace("+", "%2B"), keep_blank_values=True)
    encoded = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


_SIGNERS: Mapping[type, Callable[[Draft, Any, Moment], None]] = {
    HeaderAuth: _header,
    QueryAuth: _query,
    Basic: _basic,
    Bearer: _bearer,
    Hmac: _hmac,
    StandardWebhooks: _standard_webhooks,
    SigV4: _sigv4,
}
