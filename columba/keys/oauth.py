"""`POST /v1/oauth/token`: OAuth 2.0 client credentials (RFC 6749 §4.4) for programs that speak nothing else.

The client's id and secret are a key's. Answers and errors have the RFC's own shapes, so this is a raw route beside the
toolbox; what the RFC has no word for (a body that is too large, an address that keeps failing) is a problem as everywhere.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from columba.errors import Refusal
from columba.http.endpoint import Endpoint, describe
from columba.http.wire import (
    NO_STORE,
    TYPE_JSON,
    Headers,
    client_address,
    encode,
    read_body,
    request_id,
    send_answer,
)
from columba.keys import expand
from columba.keys.auth import Auth, Proof, basic
from columba.keys.tokens import DIGEST, LIFETIME_S, Token, seal
from columba.vault import Vault

PATH: Final = "/v1/oauth/token"
BODY_LIMIT: Final = 16_384
_FORM: Final = b"application/x-www-form-urlencoded"


class TokenRequest(msgspec.Struct, frozen=True):
    """A form.

    scope: the scopes that the token is to have, apart by spaces; without it, all of the key's
    client_id: a key's id, where it is not sent as Basic
    client_secret: the key's secret
    """

    grant_type: Literal["client_credentials"]
    scope: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


class AccessToken(msgspec.Struct, frozen=True):
    """What stands for the key for a while: send it as `Authorization: Bearer <access_token>`.

    expires_in: seconds
    scope: the scopes that it has, apart by spaces
    """

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(ge=1, le=LIFETIME_S)]
    scope: str


class TokenError(msgspec.Struct, frozen=True):
    """Why there is no token (RFC 6749 §5.2)."""

    error: Literal["invalid_request", "invalid_client", "unsupported_grant_type", "invalid_scope"]
    error_description: str


class _Denied(Exception):
    """An error of RFC 6749 §5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


class _Client(NamedTuple):
    key_id: str
    secret: str


class OAuth:
    """The raw route, and what to say of it in the API's document."""

    def __init__(self, auth: Auth, vault: Vault, clock: Callable[[], int], new_request_id: Callable[[], str]) -> None:
        self._auth = auth
        self._vault = vault
        self._clock = clock
        self._new_request_id = new_request_id

    def endpoints(self) -> list[Endpoint]:
        return [
            describe(
                "POST",
                PATH,
                name="create_token",
                tag="Keys",
                summary="Exchange a key for an access token",
                description=(
                    "OAuth 2.0 client credentials: a key's id and secret as Basic or in the form. The token is good for "
                    "an hour at most, and ends with its key or the secret that it was got with. Errors are those of "
                    'RFC 6749 §5.2: `{"error": "invalid_client", "error_description": "..."}`.'
                ),
                public=True,
                form=True,
                body=TokenRequest,
                body_limit=BODY_LIMIT,
                answer=AccessToken,
                status=200,
                refusals=("rate_limited",),
                errors={400: TokenError, 401: TokenError},
                idempotency="none",
            )
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        lines = [TYPE_JSON, NO_STORE, (b"pragma", b"no-cache")]
        lines.append((b"x-request-id", request_id(headers, self._new_request_id).encode("ascii")))
        body = await read_body(receive, BODY_LIMIT, headers)
        try:
            answer = encode(self._grant(headers, body, client_address(scope)))
        except _Denied as denied:
            status = 400
            if denied.error == "invalid_client":
                status = 401
                lines.append((b"www-authenticate", b'Basic realm="columba"'))
            answer = encode({"error": denied.error, "error_description": denied.description})
            await send_answer(send, status, answer, lines)
        else:
            await send_answer(send, 200, answer, lines)

    def _grant(self, headers: Headers, body: bytes, address: str) -> AccessToken:
        form = _form(headers, body)
        proof = self._client(_credentials(headers, form), address)
        match form.get("grant_type"):
            case None:
                raise _Denied("invalid_request", "grant_type is missing.")
            case "client_credentials":
                return self._token(proof, form.get("scope"))
        raise _Denied("unsupported_grant_type", "Only client_credentials is supported.")

    def _client(self, client: _Client, address: str) -> Proof:
        try:
            return self._auth.secret(client.secret, address, client.key_id)
        except Refusal as refusal:
            if refusal.code != "unauthorized":
                raise
            raise _Denied("invalid_client", refusal.detail) from None

    def _token(self, proof: Proof, scope: str | None) -> AccessToken:
        asked = tuple(dict.fromkeys(scope.split())) if scope else None
        granted = proof.scopes if asked is None else expand(asked)
        if missing := granted - proof.scopes:
            raise _Denied("invalid_scope", f"The key lacks {', '.join(sorted(missing))[:500]}.")
        now = self._clock()
        until = min(now + LIFETIME_S * 1000, proof.until)
        token = Token(proof.key.id, proof.digest[:DIGEST], until, asked)
        return AccessToken(seal(self._vault, token), "Bearer", -((now - until) // 1000), " ".join(sorted(granted)))


def _form(headers: Headers, body: bytes) -> Mapping[str, str]:
    """The parameters that have a value (RFC 6749 §3.2: without one they count as left out; none comes twice)."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _FORM:
        raise _Denied("invalid_request", f"Expected Content-Type: {_FORM.decode()}.")
    try:
        pairs = parse_qsl(body.decode(), errors="strict", max_num_fields=100)
    except ValueError:
        raise _Denied("invalid_request", "The form can't be read.") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise _Denied("invalid_request", "A parameter is given more than once.")
    return form


def _credentials(headers: Headers, form: Mapping[str, str]) -> _Client:
    """RFC 6749 §2.3.1: as Basic, each part form-encoded, or in the form; not both (§2.3)."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, rest = authorization.partition(b" ")
        pair = basic(rest.strip()) if scheme.lower() == b"basic" else None
        if pair is None:
            raise _Denied("invalid_client", "Expected Basic with a key's id and secret.")
        client = _Client(unquote_plus(pair[0]), unquote_plus(pair[1]))
        if "client_secret" in form or form.get("client_id", client.key_id) != client.key_id:
            raise _Denied("invalid_request", "The client is named in the header and in the form.")
        return client
    if "client_id" not in form or "client_secret" not in form:
        raise _Denied("invalid_client", "Send a key's id and secret, as Basic or as client_id and client_secret.")
    return _Client(form["client_id"], form["client_secret"])
