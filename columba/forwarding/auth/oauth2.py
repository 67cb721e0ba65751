"""OAuth 2.0 access tokens (RFC 6749): got, kept, renewed before they end and when a server refuses them.

One token for a destination. Many that wait for it wait for one renewal. A token is in the store too, sealed, so that a
restart needs no new one and a refresh token that the server replaced isn't lost. Fails with NoToken, whose words hold
nothing of what the token's server was sent.
"""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

import msgspec

from columba.forwarding.auth.kinds import SEEN, OAuth2, SecretRef
from columba.http.egress import Answer, EgressError
from columba.usercode import Template, UserCodeError, jsonpath

MARGIN_MS = 60_000  # a token is renewed so long before its end, or in the last fifth of a short life
LASTS_MS = 3_600_000  # a token whose server doesn't say
MOST_ANSWER = 65_536


class NoToken(Exception):
    """There is no token. `detail` may be shown."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(detail)


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """`made_for` tells the settings that it was made with; `body_auth` how the client last proved who it is."""

    access_token: str
    renew_at: int
    expires_at: int
    made_for: str
    refresh_token: str | None = None
    body_auth: bool = False


class Shelf(Protocol):
    """Where tokens are kept between processes: the store, sealed."""

    async def load(self, destination_id: int) -> str | None: ...
    async def keep(self, destination_id: int, token: str, at: int) -> None: ...


Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Answer]]


class Asked(NamedTuple):
    """For whom a token is wanted, and how it is got. `post` sends to the token's server."""

    destination_id: int
    auth: OAuth2
    context: Mapping[str, Any]
    secret: Callable[[str | SecretRef | None], str]
    post: Post


class Tokens:
    def __init__(self, shelf: Shelf, clock: Callable[[], int]) -> None:
        self._shelf = shelf
        self._clock = clock
        self._known: dict[int, Token] = {}
        self._renewing: dict[int, asyncio.Task[Token]] = {}

    def known(self, destination_id: int) -> str | None:
        """The token that would be used now, if there is one."""
        token = self._known.get(destination_id)
        return None if token is None or token.expires_at <= self._clock() else token.access_token

    async def get(self, asked: Asked, refused: str | None = None) -> str:
        """A token that is good for a while; another one than the one that was `refused`."""
        made_for = _fingerprint(asked)
        token = self._known.get(asked.destination_id)
        if token is not None and _good(token, made_for, refused, self._clock()):
            return token.access_token
        return (await self._renewed(asked, made_for, refused)).access_token

    def forget(self, destination_id: int) -> None:
        self._known.pop(destination_id, None)

    async def _renewed(self, asked: Asked, made_for: str, refused: str | None) -> Token:
        an_id = asked.destination_id
        task = self._renewing.get(an_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._renew(asked, made_for, refused), name="oauth2.renew")
            self._renewing[an_id] = task
            task.add_done_callback(lambda done: self._done(an_id, done))
        return await asyncio.shield(task)  # who gives up doesn't take it from the others

    def _done(self, destination_id: int, task: "asyncio.Task[Token]") -> None:
        self._renewing.pop(destination_id, None)
        if not task.cancelled():
            task.exception()  # it is told to all who wait, perhaps to nobody

    async def _renew(self, asked: Asked, made_for: str, refused: str | None) -> Token:
        kept = await self._kept(asked.destination_id)
        if kept is not None and _good(kept, made_for, refused, self._clock()):
            self._known[asked.destination_id] = kept
            return kept
        last = kept if kept is not None and kept.made_for == made_for else None
        try:
            token = await self._ask(asked, made_for, last)
        except NoToken:
            again = await self._kept(asked.destination_id)  # another process may have renewed it meanwhile
            if again is None or again == kept or not _good(again, made_for, refused, self._clock()):
                raise
            token = again
        else:
            await self._shelf.keep(asked.destination_id, msgspec.json.encode(token).decode(), self._clock())
        self._known[asked.destination_id] = token
        return token

    async def _kept(self, destination_id: int) -> Token | None:
        text = await self._shelf.load(destination_id)
        try:
            return None if text is None else msgspec.json.decode(text, type=Token)
        except msgspec.MsgspecError:
            return None

    async def _ask(self, asked: Asked, made_for: str, last: Token | None) -> Token:
        auth = asked.auth
        form: dict[str, str] = {"grant_type": auth.grant}
        if auth.grant == "refresh_token":
            form["refresh_token"] = (last and last.refresh_token) or asked.secret(auth.refresh_token)
        if auth.scope is not None:
            form["scope"] = _line(auth.scope, asked)
        form |= auth.params
        ways = [auth.client_auth == "body"]
        if auth.client_auth == "auto":
            first = last is not None and last.body_auth
            ways = [first, not first] if auth.client_secret is not None else [True]
        answer: Answer | None = None
        for in_body in ways:
            answer = await self._post(asked, form, in_body)
            if 200 <= answer.status < 300:
                return self._read(asked, answer, made_for, last, in_body)
            if not _names_client(answer):
                break
        assert answer is not None
        raise NoToken(_told(answer), _seconds(answer.header("retry-after")))

    async def _post(self, asked: Asked, form: Mapping[str, str], in_body: bool) -> Answer:
        auth = asked.auth
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        client_id = _line(auth.client_id, asked)
        if in_body:
            form = {**form, "client_id": client_id} if client_id else dict(form)
            if auth.client_secret is not None:
                form["client_secret"] = asked.secret(auth.client_secret)
        else:  # RFC 6749 §2.3.1
            pair = f"{quote(client_id, safe='')}:{quote(asked.secret(auth.client_secret), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        url = Template.parse(auth.token_url, SEEN, "url").render(asked.context)
        try:
            return await asked.post(url, headers, urlencode(form).encode())
        except EgressError as error:
            raise NoToken(f"The token's server gave no answer ({error.kind}): {error.detail}") from None

    def _read(self, asked: Asked, answer: Answer, made_for: str, last: Token | None, in_body: bool) -> Token:
        auth = asked.auth
        try:
            document = msgspec.json.decode(answer.body)
        except msgspec.MsgspecError:
            raise NoToken("The token's server answered with something that is not JSON.") from None
        access_token = jsonpath(auth.token_path, document)
        if not isinstance(access_token, str) or not access_token.isprintable() or not access_token:
            raise NoToken(f"The token's server gave no token at {auth.token_path}.")
        lasts = _number(jsonpath(auth.expires_in_path, document))
        lasts_ms = LASTS_MS if lasts is None else int(min(lasts, 10**9) * 1000)
        now = self._clock()
        refresh = jsonpath("$.refresh_token", document) if auth.grant == "refresh_token" else None
        return Token(
            access_token, now + lasts_ms - min(MARGIN_MS, lasts_ms // 5), now + lasts_ms, made_for,
            refresh if isinstance(refresh, str) and refresh else last.refresh_token if last is not None else None,
            in_body,
        )  # fmt: skip


def _good(token: Token, made_for: str, refused: str | None, now: int) -> bool:
    return token.made_for == made_for and token.renew_at > now and token.access_token != refused


def _fingerprint(asked: Asked) -> str:
    """Of all that a token depends on: with other settings, another token."""
    auth = asked.auth
    try:
        secrets = [asked.secret(each) for each in (auth.client_secret, auth.refresh_token)]
        parts = [_line(auth.token_url, asked), _line(auth.client_id, asked), _line(auth.scope or "", asked)]
    except UserCodeError as error:
        raise NoToken(f"The token can't be asked for: {error.detail}") from None
    known = msgspec.json.encode([auth.grant, auth.params, *secrets, *parts])
    return hashlib.sha256(b"columba oauth2" + known).hexdigest()[:32]


def _line(source: str, asked: Asked) -> str:
    return Template.parse(source, SEEN, "line").render(asked.context)


def _names_client(answer: Answer) -> bool:
    """Whether the way in which the client proved who it is may be what was refused (RFC 6749 §5.2)."""
    return answer.status == 401 or (
        answer.status == 400 and (b"invalid_client" in answer.body or b"invalid_request" in answer.body)
    )


def _told(answer: Answer) -> str:
    """Only the words that the standard has: anything else might repeat what was sent."""
    word = ""
    try:
        document = msgspec.json.decode(answer.body)
        if isinstance(document, dict) and document.get("error") in _ERRORS:
            word = f" ({document['error']})"
    except msgspec.MsgspecError:
        pass
    return f"The token's server answered {answer.status}{word}: check token_url, client_id, client_secret and scope."


_ERRORS = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
        *("invalid_scope", "temporarily_unavailable", "server_error", "access_denied"),
    }
)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 10**10 else None


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isascii() and header.isdigit() and len(header) < 8 else None
