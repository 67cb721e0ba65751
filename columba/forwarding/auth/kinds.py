"""The kinds of auth, as they are configured. A secret is a text, or the name of one of the account's secrets.

What isn't secret may be a template over `params`. Each kind names its secrets in SECRETS.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from columba.errors import FieldError
from columba.usercode import NAMES, Template, UserCodeError, parse_path
from columba.webhooks.signature import decode_secret

SEEN = NAMES | {"params", "secrets", "values"}
SIGNED = SEEN | {"body", "timestamp", "method", "url", "path", "idempotency_id"}  # by an HMAC's template
HEADER = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"


class SecretRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """secret: the name of one of the account's secrets"""

    secret: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


Secret: TypeAlias = (
    Annotated[str, Meta(min_length=1, max_length=20_000, extra_json_schema={"writeOnly": True})] | SecretRef
)
Short = Annotated[str, Meta(max_length=2_000)]
Header = Annotated[str, Meta(pattern=HEADER)]


class _Kind(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True
):
    SECRETS: ClassVar[tuple[str, ...]] = ()
    TEMPLATES: ClassVar[tuple[str, ...]] = ()

    def check_templates(self) -> Iterable[FieldError]:
        for name in self.TEMPLATES:
            source = getattr(self, name)
            if isinstance(source, str):
                try:
                    Template.check(source, SEEN)
                except UserCodeError as error:
                    yield error.at(name)


class NoAuth(_Kind, frozen=True, tag="none"):
    """Nothing."""


class HeaderAuth(_Kind, frozen=True, tag="header"):
    """An API key in a header.

    prefix: what stands before it, such as `Token `; a template
    """

    SECRETS = ("value",)
    TEMPLATES = ("prefix",)
    value: Secret
    name: Header = "X-API-Key"
    prefix: Short = ""


class QueryAuth(_Kind, frozen=True, tag="query"):
    """An API key in the URL."""

    SECRETS = ("value",)
    value: Secret
    name: Annotated[str, Meta(min_length=1, max_length=100)] = "api_key"


class Basic(_Kind, frozen=True, tag="basic"):
    """A name and a password (RFC 7617).

    username: a template; or a secret, where an API key stands in its place
    """

    SECRETS = ("password",)
    TEMPLATES = ("username",)
    username: Short | SecretRef
    password: Secret | Literal[""] = ""


class Bearer(_Kind, frozen=True, tag="bearer"):
    """A token (RFC 6750).

    scheme: another word before it, such as `bearer` or `token`
    """

    SECRETS = ("token",)
    token: Secret
    scheme: Annotated[str, Meta(pattern=HEADER)] = "Bearer"


class Digest(_Kind, frozen=True, tag="digest"):
    """A name and a password that is never sent (RFC 7616)."""

    SECRETS = ("password",)
    TEMPLATES = ("username",)
    username: Short
    password: Secret


class OAuth2(_Kind, frozen=True, tag="oauth2"):
    """OAuth 2.0 (RFC 6749). The token is kept and renewed in time, and when the server refuses it.

    grant: `client_credentials`, or `refresh_token` with one that was got elsewhere; if the server replaces it, the new one
      is kept
    client_auth: how the client proves who it is to the token's server; `auto` tries both
    params: further fields for the token's server, such as `audience` or `resource`
    token_path, expires_in_path: JSONPaths into the answer of the token's server, where it isn't a standard one
    scheme: what stands before the token
    """

    SECRETS = ("client_secret", "refresh_token")
    TEMPLATES = ("token_url", "client_id", "scope")
    token_url: Short
    client_id: Short = ""
    client_secret: Secret | None = None
    scope: Short | None = None
    grant: Literal["client_credentials", "refresh_token"] = "client_credentials"
    refresh_token: Secret | None = None
    client_auth: Literal["auto", "basic", "body"] = "auto"
    params: Annotated[dict[str, Short], Meta(max_length=20)] = {}
    token_path: Short = "$.access_token"  # noqa: S105
    expires_in_path: Short = "$.expires_in"
    header: Header = "Authorization"
    scheme: Annotated[str, Meta(max_length=50)] = "Bearer"

    def check_grant(self) -> Iterable[FieldError]:
        if self.grant == "refresh_token" and self.refresh_token is None:
            yield FieldError("refresh_token", "required", "Expected the refresh token, got nothing.")

    def check_paths(self) -> Iterable[FieldError]:
        for name in ("token_path", "expires_in_path"):
            try:
                parse_path(getattr(self, name))
            except UserCodeError as error:
                yield error.at(name)


class Hmac(_Kind, frozen=True, tag="hmac"):
    """A signature of the request.

    template: what is signed: a template that sees `body`, `timestamp` (seconds), `method`, `url`, `path` and
      `idempotency_id` besides the usual
    prefix: what stands before the signature, such as `sha256=`; a template over the same
    timestamp_header: a header for the time that was signed
    key: how the secret stands for the key's bytes
    """

    SECRETS = ("secret",)
    secret: Secret
    template: Annotated[str, Meta(max_length=4_000)] = "{{ body }}"
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    header: Header = "X-Signature"
    prefix: Short = ""
    timestamp_header: Header | None = None
    key: Literal["text", "hex", "base64"] = "text"

    def check_template(self) -> Iterable[FieldError]:
        for name in ("template", "prefix"):
            try:
                Template.check(getattr(self, name), SIGNED)
            except UserCodeError as error:
                yield error.at(name)


class StandardWebhooks(_Kind, frozen=True, tag="standard_webhooks"):
    """The headers of Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

    secret: `whsec_` and Base64 of 24 to 64 bytes
    """

    SECRETS = ("secret",)
    secret: Secret

    def check_secret(self) -> Iterable[FieldError]:
        if isinstance(self.secret, str) and self.secret != "***":  # noqa: S105
            try:
                decode_secret(self.secret)
            except ValueError as error:
                yield FieldError("secret", "invalid_value", str(error))


class SigV4(_Kind, frozen=True, tag="sigv4"):
    """AWS Signature Version 4."""

    SECRETS = ("secret_access_key", "session_token")
    TEMPLATES = ("region", "service", "access_key_id")
    access_key_id: Short
    secret_access_key: Secret
    region: Short
    service: Short
    session_token: Secret | None = None


Pem = Annotated[str, Meta(max_length=100_000)]


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What TLS connections are made with.

    certificate: ours, in PEM, with its chain
    key: its key, in PEM, not encrypted
    ca: the authorities that the server's certificate is checked against, in PEM, instead of the system's
    """

    SECRETS: ClassVar[tuple[str, ...]] = ("key",)
    certificate: Pem | None = None
    key: Annotated[str, Meta(max_length=100_000, extra_json_schema={"writeOnly": True})] | SecretRef | None = None
    ca: Pem | None = None

    def check_pair(self) -> Iterable[FieldError]:
        if (self.certificate is None) != (self.key is None):
            field = "key" if self.key is None else "certificate"
            yield FieldError(field, "required", "A certificate and its key go together.")


class ClientCertificate(_Kind, frozen=True, tag="client_certificate"):
    """A client certificate; as `tls` says it, which goes with any other kind too."""

    SECRETS = ("key",)
    certificate: Pem
    key: Secret
    ca: Pem | None = None


Auth: TypeAlias = (
    NoAuth | HeaderAuth | QueryAuth | Basic | Bearer | Digest | OAuth2 | Hmac | StandardWebhooks | SigV4
    | ClientCertificate
)  # fmt: skip
