"""How destinations prove who they are, held against the libraries that others check it with."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import authlib.integrations.flask_oauth2 as flask_oauth2
import flask
import httpx
import msgspec
import pytest
import time_machine
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from standardwebhooks import Webhook
from werkzeug.serving import make_server

from columba.forwarding.auth.digest import authorization, challenge
from columba.forwarding.auth.oauth2 import Token
from tests.destinations.standin import AT, ID, Answer, Got, Shelf, destination, forwarder, problems, standing
from tests.http.egress.peer import Authority

SECRET = "a-very-secret-secret"


def answer_ok(got: Got) -> Answer:
    return Answer(200, {"headers": got.headers, "target": got.target})


class TestPlain:
    @pytest.mark.parametrize(
        ("auth", "header", "value"),
        [
            ({"kind": "none"}, "authorization", None),
            ({"kind": "header", "name": "X-Key", "value": SECRET, "prefix": "Token "}, "x-key", f"Token {SECRET}"),
            ({"kind": "bearer", "token": SECRET}, "authorization", f"Bearer {SECRET}"),
            ({"kind": "bearer", "token": SECRET, "scheme": "bearer"}, "authorization", f"bearer {SECRET}"),
            ({"kind": "basic", "username": "{{ params.me }}/token", "password": SECRET}, "authorization",
             "Basic " + base64.b64encode(f"Zoë/token:{SECRET}".encode()).decode()),
            ({"kind": "basic", "username": {"secret": "key"}, "password": "X"}, "authorization",
             "Basic " + base64.b64encode(b"account-secret:X").decode()),
            ({"kind": "bearer", "token": {"secret": "key"}}, "authorization", "Bearer account-secret"),
        ],
    )  # fmt: skip
    async def test_headers_and_that_they_are_masked(self, auth: Any, header: str, value: str | None) -> None:
        async with standing(answer_ok) as peer, forwarder() as forward:
            found = destination(
                request={"url": peer.url}, auth=auth, params={"me": "Zoë"}, account={"key": "account-secret"}
            )
            done = await forward(found)
        assert peer.got[0].headers.get(header) == value
        if value is not None:
            kept = msgspec.json.encode(done.exchanges).decode()
            assert "***" in kept
            for part in (SECRET, "account-secret", value.split(" ")[1]):
                assert part not in kept  # in what was sent, nor in the answer that repeats it

    async def test_a_key_in_the_url(self) -> None:
        async with standing(answer_ok) as peer, forwarder() as forward:
            auth = {"kind": "query", "name": "api key", "value": "a&b c-secret"}
            done = await forward(destination(request={"url": f"{peer.url}/x?y=1#z"}, auth=auth))
        assert peer.got[0].target == "/x?y=1&api%20key=a%26b%20c-secret"
        assert "b%20c" not in msgspec.json.encode(done.exchanges[0].request).decode()

    async def test_secrets_in_templates(self) -> None:
        async with standing(answer_ok) as peer, forwarder() as forward:
            found = destination(
                request={"url": peer.url + "/bot{{ secrets.token }}/{{ secrets.shared }}",
                    "headers": {"X-A": "{{ secrets.token }}!"},
                         "body": {"json": {"key": "{{ secrets.token }}"}}},
                secrets={"token": "12345:own-token"}, account={"shared": "account-secret", "token": "not this one"},
            )  # fmt: skip
            done = await forward(found)
        assert peer.got[0].target == "/bot12345%3Aown-token/account-secret"
        assert peer.got[0].json == {"key": "12345:own-token"}
        kept = msgspec.json.encode(done.exchanges).decode()
        assert "own-token" not in kept
        assert "account-secret" not in kept
        assert done.exchanges[0].request is not None
        assert done.exchanges[0].request.url.endswith("/bot***/***")

    def test_headers_that_hold_secrets_become_ones(self) -> None:
        headers = {"Authorization": f"Bearer {SECRET}", "X-Ok": "1", "Cookie": "{{ params.a }}"}
        step = {"name": "find", "request": {"url": "https://x.test", "headers": {"X-Api-Key": "k3y"}}}
        found = destination(request={"url": "https://x.test", "headers": headers}, steps=[step])
        assert found.spec.request.headers == headers | {"Authorization": "{{ secrets.header_authorization }}"}
        assert found.spec.steps[0].request.headers == {"X-Api-Key": "{{ secrets.find_header_x_api_key }}"}
        assert found.spec.secrets == {"header_authorization": f"Bearer {SECRET}", "find_header_x_api_key": "k3y"}

    @pytest.mark.parametrize(
        ("auth", "field"),
        [
            ({"kind": "bearer", "token": {"secret": "nope"}}, "auth"),
            ({"kind": "bearer", "token": "***"}, "auth.token"),
            ({"kind": "basic", "username": "{{ x }}", "password": "x"}, "auth.username"),
            ({"kind": "oauth2", "token_url": "https://x.test", "grant": "refresh_token"}, "auth.refresh_token"),
            ({"kind": "oauth2", "token_url": "https://x.test", "token_path": "token"}, "auth.token_path"),
            ({"kind": "hmac", "secret": "x", "template": "{{ bdy }}"}, "auth.template"),
            ({"kind": "standard_webhooks", "secret": "short"}, "auth.secret"),
            ({"kind": "magic"}, "auth.kind"),
            ({"kind": "bearer"}, "auth.token"),
        ],
    )
    def test_what_is_refused(self, auth: Any, field: str) -> None:
        assert field in problems(request={"url": "https://x.test"}, auth=auth)


class TestSignatures:
    @pytest.mark.parametrize(
        ("auth", "header", "value"),
        [
            ({}, "x-signature", hmac.new(SECRET.encode(), b'{"t":"Hello"}', "sha256").hexdigest()),
            ({"prefix": "sha256=", "header": "X-Hub-Signature-256"}, "x-hub-signature-256",
             "sha256=" + hmac.new(SECRET.encode(), b'{"t":"Hello"}', "sha256").hexdigest()),
            ({"template": "v0:{{ timestamp }}:{{ body }}", "timestamp_header": "X-Time",
                "prefix": "t={{ timestamp }},v1="},
             "x-signature", f"t={AT // 1000},v1=" + hmac.new(SECRET.encode(),
                 f'v0:{AT // 1000}:{{"t":"Hello"}}'.encode(), "sha256").hexdigest()),
            ({"template": "{{ method }}\n{{ path }}\n{{ idempotency_id }}\n{{ body | hash }}", "algorithm": "sha512",
                "encoding": "base64"},
             "x-signature", base64.b64encode(hmac.digest(
                 SECRET.encode(),
                 ("POST\n/a/b\n" + ID + "\n" + hashlib.sha256(b'{"t":"Hello"}').hexdigest()).encode(), "sha512")).decode()),
        ],
    )  # fmt: skip
    async def test_hmac_over_a_template(self, auth: Any, header: str, value: str) -> None:
        async with standing(answer_ok) as peer, forwarder() as forward:
            request = {"url": f"{peer.url}/a/b?c=d", "body": {"json": {"t": "{{ text }}"}}}
            done = await forward(destination(request=request, auth={"kind": "hmac", "secret": SECRET, **auth}))
        assert peer.got[0].headers[header] == value
        assert done.exchanges[0].request is not None
        assert (
            done.exchanges[0]
            .request.headers[next(n for n in ("X-Signature", "X-Hub-Signature-256") if n.lower() == header)]
            .endswith("***")
        )

    async def test_hmac_with_a_key_of_bytes(self) -> None:
        async with standing(answer_ok) as peer, forwarder() as forward:
            for form, text in (("hex", "00ff10"), ("base64", base64.b64encode(b"\0\xff\x10").decode())):
                auth = {"kind": "hmac", "secret": text, "key": form}
                assert (await forward(destination(request={"url": peer.url, "body": {"text": "x"}}, auth=auth))).ok
            done = await forward(
                destination(request={"url": peer.url}, auth={"kind": "hmac", "secret": "xyz", "key": "hex"})
            )
            assert done.error == "template: The secret is not hex."
        assert {got.headers["x-signature"] for got in peer.got} == {hmac.new(b"\0\xff\x10", b"x", "sha256").hexdigest()}

    async def test_standard_webhooks(self) -> None:
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        async with standing(answer_ok) as peer, forwarder() as forward:
            auth = {"kind": "standard_webhooks", "secret": secret}
            await forward(destination(request={"url": peer.url, "body": {"json": {"t": "{{ text }}"}}}, auth=auth))
        with time_machine.travel(datetime.fromtimestamp(AT / 1000, UTC), tick=False):
            Webhook(secret).verify(peer.got[0].body, peer.got[0].headers)
        assert peer.got[0].headers["webhook-id"] == ID

    @pytest.mark.parametrize("service", ["execute-api", "s3", "sqs"])
    @pytest.mark.parametrize("target", ["/", "/a%20b/c//d?x=1&a=%2B&a=&b=c%20d&b=", "/stage/%E2%82%AC", "/./a/../b/"])
    @pytest.mark.parametrize("token", [None, "session-token"])
    async def test_aws_signatures_are_botocores(self, service: str, target: str, token: str | None) -> None:
        async with standing(answer_ok) as peer, forwarder() as forward:
            auth = {
                "kind": "sigv4", "access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET, "region": "eu-west-1",
                "service": service, **({"session_token": token} if token else {}),
            }  # fmt: skip
            request = {
                "url": peer.url + target,
                "body": {"json": {"t": "{{ text }}"}},
                "headers": {"X-Amz-Meta-A": "a  b"},
            }
            done = await forward(destination(request=request, auth=auth))
            assert done.ok
            got = peer.got[0]
            names = ("content-type", "x-amz-meta-a", *(("x-amz-content-sha256",) if service == "s3" else ()))
            asked = AWSRequest("POST", peer.url + got.target, {name: got.headers[name] for name in names}, got.body)
            credentials = Credentials("AKIDEXAMPLE", SECRET, token)
            kind = S3SigV4Auth if service == "s3" else SigV4Auth
            with time_machine.travel(datetime.fromtimestamp(AT / 1000, UTC), tick=False):
                kind(credentials, service, "eu-west-1").add_auth(asked)
        assert got.headers["authorization"] == asked.headers["Authorization"]
        assert got.headers["x-amz-date"] == asked.headers["X-Amz-Date"]
        assert (got.headers.get("x-amz-security-token")) == token
        kept = msgspec.json.encode(done.exchanges).decode()
        assert "session-token" not in kept
        assert re.search(r"Signature=([0-9a-f]{64})", got.headers["authorization"])[1] not in kept  # type: ignore[index]


class Guarded:
    """A server that asks for Digest, each nonce good for a few answers."""

    def __init__(self, algorithm: str, qop: str | None, uses: int = 3) -> None:
        self.algorithm = algorithm
        self.qop = qop
        self.uses = uses  # of a nonce
        self.nonce = 0
        self.counts: list[str] = []

    def __call__(self, got: Got) -> Answer:
        given = got.headers.get("authorization", "")
        fields = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', given)}
        if fields.get("nonce") == f"nonce{self.nonce}" and len(self.counts) < self.uses:
            self.counts.append(fields.get("nc", ""))
            return Answer(200, b"in") if fields["uri"] == got.target else Answer(401)
        self.nonce += 1
        self.counts.clear()
        qop = f', qop="{self.qop}"' if self.qop else ""
        asks = f'Digest realm="a \\"realm\\"", nonce="nonce{self.nonce}", algorithm={self.algorithm}, opaque="op"{qop}'
        return Answer(401, b"", {"WWW-Authenticate": asks})


class TestDigest:
    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "MD5-sess", "SHA-256-sess"])
    @pytest.mark.parametrize("qop", ["auth", "auth,auth-int", None])
    def test_answers_are_httpxs(self, algorithm: str, qop: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        asks = f'Digest realm="r", nonce="n0nce", algorithm={algorithm}, opaque="op"' + (
            f', qop="{qop}"' if qop else ""
        )
        url = "https://x.test/a/b?c=d%20e"
        oracle = httpx.DigestAuth("Zoe", SECRET)
        monkeypatch.setattr(oracle, "_get_client_nonce", lambda count, nonce: b"0123456789abcdef")
        request = httpx.Request("POST", url)
        flow = oracle.auth_flow(request)
        next(flow)
        theirs = flow.send(httpx.Response(401, headers={"WWW-Authenticate": asks}, request=request)).headers[
            "Authorization"
        ]
        found = challenge(asks)
        assert found is not None
        ours = authorization(found, "Zoe", SECRET, "POST", url, b"", 1, "0123456789abcdef")
        fields = [dict(re.findall(r'(\w+)="?([^",]*)"?', each)) for each in (ours, theirs)]
        assert fields[0] == fields[1]

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Basic realm=x",
            'Digest realm="x"',
            'Digest nonce="x", algorithm=NOPE',
            'Digest nonce="x", qop="other"',
        ],
    )
    def test_challenges_that_can_not_be_answered(self, header: str | None) -> None:
        assert challenge(header) is None

    def test_the_strongest_is_taken(self) -> None:
        found = challenge(
            'Basic realm="x", Digest realm="a", nonce="1", algorithm=MD5, '
            'Digest realm="a", nonce="2", algorithm=SHA-256'
        )
        assert found is not None
        assert (found.algorithm, found.nonce) == ("SHA-256", "2")

    async def test_a_challenge_is_used_again_until_there_is_another(self) -> None:
        guarded = Guarded("SHA-256", "auth")
        async with standing(guarded) as peer, forwarder() as forward:
            found = destination(
                request={"url": f"{peer.url}/x?y=z"}, auth={"kind": "digest", "username": "me", "password": SECRET}
            )
            for _ in range(5):
                assert (await forward(found)).ok
        # The first asks; three use its nonce; the fourth is asked anew.
        assert ["authorization" in got.headers for got in peer.got] == [False, True, True, True, True, True, True]
        assert [re.search("nc=([0-9a-f]+)", got.headers.get("authorization",
            "nc=0"))[1] for got in peer.got] == [  # type: ignore[index]
            "0", "00000001", "00000002", "00000003", "00000004", "00000001", "00000002",
        ]  # fmt: skip
        assert SECRET not in str(peer.got)

    async def test_a_password_that_is_wrong_is_tried_once(self) -> None:
        async with (
            standing(lambda got: Answer(401, b"", {"WWW-Authenticate": 'Digest realm="r", nonce="same"'})) as peer,
            forwarder() as forward,
        ):
            found = destination(
                request={"url": peer.url}, auth={"kind": "digest", "username": "me", "password": "wrong"}
            )
            for asked in (2, 3):
                done = await forward(found)
                assert (done.ok, done.status, len(peer.got)) == (False, 401, asked)


class Tokens(threading.Thread):
    """Authlib's authorization server and a resource that takes its tokens, over HTTP."""

    def __init__(self, method: str) -> None:
        super().__init__(daemon=True)
        self.given: dict[str, Any] = {}
        self.refreshing = {"refresh-0"}
        self.asked: list[dict[str, list[str]]] = []
        self.method = method
        app = flask.Flask("tokens")
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": 600, "refresh_token": 600}
        app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
        server = flask_oauth2.AuthorizationServer(app, query_client=self.client, save_token=self.save)
        outer = self

        class Credentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

        class Refreshing(grants.RefreshTokenGrant):  # type: ignore[misc]
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
            INCLUDE_NEW_REFRESH_TOKEN = True

            def authenticate_refresh_token(self, refresh_token: str) -> Any:
                return _Refresh(refresh_token) if refresh_token in outer.refreshing else None

            def authenticate_user(self, refresh_token: Any) -> Any:
                return "user"

            def revoke_old_credential(self, refresh_token: Any) -> None:
                outer.refreshing.discard(refresh_token.text)

        class Validator(BearerTokenValidator):  # type: ignore[misc]
            def authenticate_token(self, token_string: str) -> Any:
                return _Access() if token_string in outer.given else None

        server.register_grant(Credentials)
        server.register_grant(Refreshing)
        protect = flask_oauth2.ResourceProtector()
        protect.register_token_validator(Validator())

        @app.post("/token")
        def token() -> Any:
            outer.asked.append(parse_qs(flask.request.get_data(as_text=True)))
            return server.create_token_response()

        @app.post("/resource")
        @protect()
        def resource() -> Any:
            return {"token": flask.request.headers["Authorization"]}

        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def run(self) -> None:
        self.server.serve_forever(poll_interval=0.05)

    def client(self, client_id: str) -> Any:
        return _Client(self.method) if client_id == "a client" else None

    def save(self, token: dict[str, Any], request: Any) -> None:
        self.given[token["access_token"]] = token
        if "refresh_token" in token:
            self.refreshing.add(token["refresh_token"])


class _Client:
    client_id = "a client"

    def __init__(self, method: str) -> None:
        self.method = method

    def check_client_secret(self, secret: str) -> bool:
        return secret == "s3cret/+&"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.method

    def check_grant_type(self, grant: str) -> bool:
        return True

    def check_response_type(self, kind: str) -> bool:
        return True

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""


class _Refresh:
    def __init__(self, text: str) -> None:
        self.text = text

    def check_client(self, client: Any) -> bool:
        return True

    def get_scope(self) -> str:
        return "texts"

    def get_expires_in(self) -> int:
        return 600

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False


class _Access:
    def get_scope(self) -> str:
        return "texts"

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False


@pytest.fixture
def tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokens]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    server = Tokens(getattr(request, "param", "client_secret_basic"))
    server.start()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.join()
        server.server.server_close()


def oauth(tokens: Tokens, **more: Any) -> Any:
    auth = {
        "kind": "oauth2", "token_url": f"{tokens.url}/token", "client_id": "a client", "client_secret": "s3cret/+&",
        "scope": "texts", **more,
    }  # fmt: skip
    return destination(request={"url": f"{tokens.url}/resource"}, auth=auth)


class TestOAuth2:
    @pytest.mark.parametrize("tokens", ["client_secret_basic", "client_secret_post"], indirect=True)
    async def test_client_credentials_however_the_server_wants_them(self, tokens: Tokens) -> None:
        async with forwarder() as forward:
            for _ in range(3):
                done = await forward(oauth(tokens))
                assert done.ok, done.error
        assert len(tokens.given) == 1
        assert tokens.asked[-1]["scope"] == ["texts"]
        (token,) = tokens.given
        kept = msgspec.json.encode(done.exchanges).decode()
        assert token not in kept
        assert '"Authorization":"Bearer ***"' in kept

    async def test_one_renewal_for_many_that_wait(self, tokens: Tokens) -> None:
        async with forwarder() as forward:
            found = oauth(tokens)
            assert all(done.ok for done in await asyncio.gather(*(forward(found) for _ in range(25))))
            assert len(tokens.asked) == 1
            tokens.given.clear()  # the server forgets them: each is refused with 401
            assert all(done.ok for done in await asyncio.gather(*(forward(found) for _ in range(25))))
        assert len(tokens.asked) == 2

    async def test_it_is_renewed_before_it_ends(self, tokens: Tokens) -> None:
        async with forwarder() as forward:
            for later, asked in ((0, 1), (530_000, 1), (545_000, 2)):
                forward.clock.now = AT + later
                assert (await forward(oauth(tokens))).ok
                assert len(tokens.asked) == asked

    async def test_it_outlives_a_restart_and_other_settings_do_not_use_it(self, tokens: Tokens) -> None:
        shelf = Shelf()
        for scope, asked in (("texts", 1), ("texts", 1), ("texts more", 2)):
            async with forwarder(shelf=shelf) as forward:
                assert (await forward(oauth(tokens, scope=scope))).ok
            assert len(tokens.asked) == asked

    async def test_refresh_tokens_that_the_server_replaces(self, tokens: Tokens) -> None:
        shelf = Shelf()
        more = {"grant": "refresh_token", "refresh_token": "refresh-0"}
        async with forwarder(shelf=shelf) as forward:
            assert (await forward(oauth(tokens, **more))).ok
            tokens.given.clear()
            assert (await forward(oauth(tokens, **more))).ok
        async with forwarder(shelf=shelf) as forward:  # another process, later
            tokens.given.clear()
            assert (await forward(oauth(tokens, **more))).ok
        sent = [each["refresh_token"][0] for each in tokens.asked]
        assert sent[0] == "refresh-0"
        assert len(set(sent)) == 3
        assert tokens.refreshing == {msgspec.json.decode(shelf.kept[7], type=Token).refresh_token}

    async def test_a_server_that_gives_none(self, tokens: Tokens) -> None:
        async with forwarder() as forward:
            done = await forward(oauth(tokens, client_secret="wrong-secret"))
            assert (done.ok, done.permanent) == (False, False)
            assert (done.error or "").startswith("auth: The token's server answered 401 (invalid_client)")
            assert "wrong-secret" not in (done.error or "")
            done = await forward(oauth(tokens, token_url="http://127.0.0.1:9/token"))
            assert (done.error or "").startswith("auth: The token's server gave no answer (connect)")

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (Answer(200, b"<html>"), "not JSON"),
            (Answer(200, {"token": "x"}), "no token at $.access_token"),
            (Answer(200, {"access_token": "a\nb"}), "no token"),
            (Answer(503, b"", {"Retry-After": "9"}), "answered 503"),
        ],
    )
    async def test_servers_that_are_not_as_they_should_be(self, answer: Answer, words: str) -> None:
        async with standing(lambda got: answer) as peer, forwarder() as forward:
            auth = {"kind": "oauth2", "token_url": peer.url, "client_id": "a", "client_secret": "b"}
            done = await forward(destination(request={"url": peer.url}, auth=auth))
        assert words in (done.error or "")
        assert done.retry_after == (9.0 if answer.status == 503 else None)

    async def test_tokens_in_other_places(self) -> None:
        def answer(got: Got) -> Answer:
            if got.target == "/token":
                assert parse_qs(got.body.decode())["audience"] == ["x"]
                return Answer(200, {"data": {"jwt": "t0ken-value", "ttl": "120"}})
            return Answer(200 if got.headers.get("x-auth") == "JWT t0ken-value" else 401)

        async with standing(answer) as peer, forwarder() as forward:
            auth = {
                "kind": "oauth2", "token_url": "{{ params.base }}/token", "client_id": "a", "client_secret": "b",
                "params": {"audience": "x"}, "token_path": "$.data.jwt", "expires_in_path": "$.data.ttl",
                    "header": "X-Auth",
                "scheme": "JWT",
            }  # fmt: skip
            found = destination(request={"url": peer.url}, auth=auth, params={"base": peer.url})
            assert (await forward(found)).ok


class TestCertificates:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    @pytest.mark.parametrize("place", ["tls", "auth"])
    async def test_a_client_certificate_and_a_private_authority(self, authority: Authority, place: str) -> None:
        pem = authority.issue("client.test").decode()
        certificate, key = pem[: pem.index("-----BEGIN PRIVATE")], pem[pem.index("-----BEGIN PRIVATE") :]
        ours = {"certificate": certificate, "key": key, "ca": authority.pem.decode()}
        async with (
            standing(answer_ok, authority.server("127.0.0.1", wants_client=True)) as peer,
            forwarder() as forward,
        ):
            more: dict[str, Any] = {"tls": ours} if place == "tls" else {"auth": {"kind": "client_certificate", **ours}}
            done = await forward(destination(request={"url": peer.url}, **more))
            assert done.ok, done.error
            lesser: list[dict[str, Any]] = [{"tls": {"ca": ours["ca"]}}, {}]
            for less in lesser:
                done = await forward(destination(request={"url": peer.url}, **less))
                assert (done.error or "").partition(":")[0] in ("tls", "disconnected")
        assert "PRIVATE KEY" not in json.dumps(problems(request={"url": "https://x.test"}, tls={"key": key}))

    async def test_a_key_in_the_vault(self, authority: Authority) -> None:
        pem = authority.issue("client.test").decode()
        at = pem.index("-----BEGIN PRIVATE")
        async with (
            standing(answer_ok, authority.server("127.0.0.1", wants_client=True)) as peer,
            forwarder() as forward,
        ):
            tls = {"certificate": pem[:at], "key": {"secret": "key"}, "ca": authority.pem.decode()}
            assert (await forward(destination(request={"url": peer.url}, tls=tls, account={"key": pem[at:]}))).ok
