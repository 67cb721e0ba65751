"""One process's worth of keys, for tests: a store, a clock that stands still, and the API without a network."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message

from columba.core.ids import Ids
from columba.core.snapshots import Snapshots
from columba.core.status import TEST
from columba.http.dispatch import build
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.keys import Key, Keys, Settings, new_secret
from columba.keys.api import endpoints
from columba.keys.auth import Auth
from columba.keys.limits import Limits
from columba.keys.oauth import PATH, OAuth
from columba.keys.repeats import Repeats
from columba.store import Store, open_store
from columba.vault import Vault
from tests import tables

START = 1_770_000_000_000
SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [(error["field"], error["code"]) for error in self.json["errors"]]


class Made(NamedTuple):
    """A key and its secret."""

    key: Key
    secret: str

    @property
    def bearer(self) -> bytes:
        return f"Bearer {self.secret}".encode()


class House:
    """What app.py puts together, as far as keys go."""

    app: ASGIApp

    def __init__(self, store: Store, node: int, clock: Clock, vault: Vault) -> None:
        self.clock = clock
        self.store = store
        self.vault = vault
        self.ids = Ids(node, clock)
        self.snapshots = Snapshots(store)
        self.keys = Keys(store, self.snapshots, clock)
        self.limits = Limits(clock)
        self.auth = Auth(self.keys, vault, clock, self.limits)
        self.repeats = Repeats(store, vault, self.ids, clock)
        self.oauth = OAuth(self.auth, vault, clock, lambda: "req_1")
        self.served = 0
        declared = [*endpoints(self.keys, self.ids, clock, secrets.token_bytes), self._work()]
        self.app = build(
            [*declared, *self.oauth.endpoints()],
            authenticate=self.auth.key,
            new_request_id=lambda: "req_1",
            clock=lambda: clock.now / 1000,
            idempotency=self.repeats,
            limit=self.limits,
            raw_routes={("POST", PATH): self.oauth},
        )

    def _work(self) -> Endpoint:
        @endpoint("POST", "/v1/work", answer=int, status=201, scope="webhooks:write", tag="Work", summary="Work")
        async def work(call: Call[None, None]) -> int:
            self.served += 1
            return self.served

        return work

    async def account(self) -> int:
        """The account; the first to ask makes it."""
        await self.keys.first_account(self.ids(), "default")
        return next(iter(self.keys.accounts))

    async def make(
        self,
        *scopes: str,
        mode: int = TEST,
        account_id: int | None = None,
        expires_at: int | None = None,
        rate_limit: int | None = None,
    ) -> Made:
        secret = new_secret(mode, secrets.token_bytes)
        account_id = account_id or await self.account()
        key = await self.keys.create(
            self.ids(), account_id, mode, "a key", scopes, secret, expires_at, Settings(rate_limit)
        )
        return Made(key, secret)

    async def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        key: Made | str | None = None,
        headers: Mapping[str, str] | None = None,
        client: str = "203.0.113.7",
    ) -> Reply:
        """One request. A dict goes as JSON, a text as a form."""
        lines = {"authorization": f"Bearer {key.secret if isinstance(key, Made) else key}"} if key else {}
        raw = b""
        if body is not None:
            form = isinstance(body, str)
            raw = body.encode() if form else json.dumps(body).encode()
            lines["content-type"] = "application/x-www-form-urlencoded" if form else "application/json"
        lines |= headers or {}
        path, _, query = target.partition("?")
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines.items()],
            "client": (client, 5000),
        }
        await self.app(scope, receive, send)
        kept = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        answer = sent[1]["body"]
        return Reply(sent[0]["status"], kept, json.loads(answer) if answer else None)


@contextlib.asynccontextmanager
async def house(place: Path | str, clock: Clock, node: int = 1, vault: Vault | None = None) -> AsyncIterator[House]:
    tables.lay(place)
    store = await open_store(place)
    it = House(store, node, clock, vault or Vault(b"k" * 32))
    await it.snapshots.start()
    try:
        yield it
    finally:
        await it.snapshots.stop()
        await store.close()
