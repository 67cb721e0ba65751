"""The platform in a test's own process: on either store, with keys, and its endpoints asked without a network.

A folder's conftest.py says `from tests.api import columba`; its tests then run on SQLite and on PostgreSQL:

    async def test_it(columba: Columba) -> None:
        api = columba.api(webhooks.endpoints(...))
        reply = await api("POST", "/v1/webhooks", {"url": "https://example.org/hook", "events": ["*"]})
        assert reply.status == 201, reply.json

`running(folder, url)` is the same for tests that want several processes' worth of it on one database.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import pytest
import pytest_asyncio
from starlette.types import ASGIApp, Message

from columba.app import App, clock
from columba.core import status
from columba.core.model import Message as Text
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.http.dispatch import build
from columba.http.endpoint import Endpoint
from columba.keys.auth import Auth
from columba.keys.limits import Limits
from columba.settings import Settings
from columba.store import Step, plan
from columba.store.sql import Statement
from tests import tables
from tests.http.client import Reply

PATIENCE = 30.0

_ACCOUNT = Statement(
    "test_account",
    (("id", "int"), ("name", "text")),
    (),
    "insert into accounts (id, name, created_at) select id, name, 0 from {rows} r",
)


async def eventually(look: Callable[[], Awaitable[Any]], seconds: float = PATIENCE) -> Any:
    """What `look` finds, once it finds something. It looks less and less often: that is work, too."""
    pause = 0.005
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(pause)
            pause = min(0.05, pause * 1.1)
    return found


class Heard(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: Any


class Stream:
    """A stream being followed."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        self.status = 0
        self.body = b""
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._left = asyncio.Event()
        self._begun = asyncio.Event()
        self._scope = scope
        self._app = app
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        async with asyncio.timeout(PATIENCE):
            await self._begun.wait()
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._left.set()
        if self._task is not None:
            async with asyncio.timeout(PATIENCE):
                await self._task

    async def _run(self) -> None:
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                return
            self.body += message.get("body", b"")
            self._chunks.put_nowait(message.get("body", b""))
            self._begun.set()

        try:
            await self._app(self._scope, receive, send)
        finally:
            self._begun.set()
            self._chunks.put_nowait(None)

    async def next(self, seconds: float = PATIENCE) -> Heard:
        """The next event; heartbeats are passed over. Raises EOFError once the stream has ended."""
        async with asyncio.timeout(seconds):
            while (chunk := await self._chunks.get()) is not None:
                if chunk.startswith(b"id:"):
                    lines = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n"))
                    return Heard(lines["id"], lines["event"], json.loads(lines["data"]))
        raise EOFError

    async def take(self, count: int) -> list[Heard]:
        return [await self.next() for _ in range(count)]


class Api:
    """An ASGI app, asked as a client with a key would."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app = app
        self.key = key

    def _scope(self, method: str, target: str, key: str | None, headers: Mapping[str, str]) -> dict[str, Any]:
        path, _, query = target.partition("?")
        secret = self.key if key is None else key
        given = {"host": "test", **({"authorization": f"Bearer {secret}"} if secret else {}), **headers}
        return {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("127.0.0.1", 50_000),
            "scheme": "http",
        }

    async def __call__(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request, with the test key unless another is given ("" is none). Bytes go as they are, all else as JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        more = {} if body is None else {"content-type": "application/json", "content-length": str(len(raw))}
        scope = self._scope(method, target, key, {**more, **(headers or {})})
        sent: list[Message] = []
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        async with asyncio.timeout(PATIENCE):
            await self.app(scope, receive, send)
        kept = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], kept, b"".join(message.get("body", b"") for message in sent[1:]))

    def follow(self, target: str, *, key: str | None = None, headers: Mapping[str, str] | None = None) -> Stream:
        """A stream of events: `async with api.follow("/v1/events/stream") as stream: await stream.next()`."""
        return Stream(self.app, self._scope("GET", target, key, headers or {}))


class Columba:
    """A started App with one account, and keys of it."""

    def __init__(self, app: App, account_id: int) -> None:
        self.app = app
        self.account_id = account_id
        self.live_key = ""
        self.test_key = ""
        self.limits = Limits(clock)
        self.auth = Auth(app.keys, app.vault, clock, self.limits)

    async def key(self, mode: int = status.TEST, scopes: Iterable[str] = (), account_id: int | None = None) -> str:
        """The secret of a new key; with no scopes named it may do everything."""
        secret = f"ck_{status.MODES[mode]}_{uuid.uuid4().hex}"
        owner = self.account_id if account_id is None else account_id
        await self.app.keys.create(self.app.ids(), owner, mode, "a key", list(scopes), secret)
        return secret

    async def another_account(self) -> int:
        """One more tenant."""
        account_id = self.app.ids()
        await self.app.store.commit(plan(Step(_ACCOUNT, [(account_id, "another")]), self.app.snapshots.bump("keys")))
        await self.app.snapshots.changed()
        return account_id

    @property
    def whole(self) -> Api:
        """Everything that the App serves."""
        return Api(self.app.asgi, self.test_key)

    def api(
        self,
        endpoints: Iterable[Endpoint] = (),
        raw_routes: Mapping[tuple[str, str], ASGIApp] | None = None,
        **hooks: Any,
    ) -> Api:
        """These endpoints and nothing else; `hooks` are those of `columba.http.dispatch.build`."""
        usual: dict[str, Any] = {"authenticate": self.auth.key, "idempotency": self.app.repeats, "limit": self.limits}
        asgi = build(
            endpoints,
            raw_routes=raw_routes,
            new_request_id=lambda: f"req_{uuid.uuid4().hex}",
            clock=time.perf_counter,
            **{**usual, **hooks},
        )
        return Api(asgi, self.test_key)

    async def send(self, to: str = "+447700900123", text: str = "Hello", mode: int = status.TEST, **more: Any) -> Text:
        """A message, accepted as any door would."""
        (outcome,) = await self.app.accept(Caller(self.account_id, mode), [Submission(to, text, **more)])
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome


@contextlib.asynccontextmanager
async def running(folder: Path, url: str = "", **settings: Any) -> AsyncIterator[Columba]:
    """An App on SQLite in a folder, or on PostgreSQL at a URL."""
    if url:  # processes over one database share the key
        settings.setdefault("secret_key", "5e" * 32)
    else:
        tables.lay(folder)
    app = App(Settings(data=str(folder), database=url, stop_timeout=2, **settings))
    await app.start()
    try:
        await app.keys.first_account(app.ids(), "test")
        (account_id,) = [*app.keys.accounts][:1]
        started = Columba(app, account_id)
        started.live_key = await started.key(status.LIVE)
        started.test_key = await started.key(status.TEST)
        yield started
    finally:
        await app.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """A store's URL, "" for SQLite: a test that takes it runs on both. It has its tables already."""
    return request.getfixturevalue("tables_url") if request.param == "postgres" else ""


@pytest_asyncio.fixture
async def columba(tmp_path: Path, database: str) -> AsyncIterator[Columba]:
    """A started App on either store."""
    async with running(tmp_path, database) as started:
        yield started
