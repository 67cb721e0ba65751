"""What providers tell us: `/callbacks/{carrier id}/{name}`, receipts and texts from people. Raw ASGI, as it carries load.

A callback is answered once what it says is durable; one that comes twice does nothing twice. The kind of the carrier says
what is in it and whether it is the provider's: if not, 403, and nothing is kept. Fails with problems: 404 for a carrier
that is unknown, 400 for what can't be read, 503 while the store can't be written, so that it is sent again.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from starlette.types import Receive, Scope, Send

from columba.carriers import kinds
from columba.carriers.over_http import Callback, Said, Unsigned
from columba.core import ids
from columba.core.contract import Carrier
from columba.core.receive import Receive as ReceivePath
from columba.errors import Refusal
from columba.http.problems import internal, send_problem
from columba.http.wire import Disconnected, read_body, request_id, send_answer
from columba.store import StoreUnavailable

PREFIX: Final = "/callbacks/"
ROUTE: Final = "/callbacks/{carrier}/{name}"
BODY_LIMIT: Final = 256 * 1024
MOST_NONCES: Final = 20_000
QUIET: Final = 1.0  # seconds between two lines of the log about one carrier: anyone can send us nonsense

log = structlog.get_logger()


class Nonces:
    """Numbers used once, each with the body that it came with: a signature that doesn't cover the body proves it once."""

    def __init__(self, most: int = MOST_NONCES) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[int, str], bytes] = OrderedDict()

    def used(self, carrier_id: int, nonce: str, body: bytes) -> bool:
        """Whether it came before with another body."""
        digest = hashlib.blake2b(body, digest_size=16).digest()
        known = self._seen.setdefault((carrier_id, nonce), digest)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return known != digest


class Callbacks:
    def __init__(
        self,
        carriers: Callable[[], Mapping[int, Carrier]],
        receive: ReceivePath,
        clock: Callable[[], int],
        new_request_id: Callable[[], str],
        observe: Callable[[str, str, int, float], None],
        public_url: str = "",
    ) -> None:
        self._carriers = carriers
        self._receive = receive
        self._clock = clock
        self._new_request_id = new_request_id
        self._observe = observe
        self._public = public_url.rstrip("/")
        self._nonces = Nonces()
        self._warned: dict[int, tuple[float, int]] = {}  # by carrier: when it was last told of, and what wasn't since

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        code = 500
        try:
            if scope["method"] not in ("POST", "GET"):
                raise Refusal("method_not_allowed", "Allowed here: GET, POST.")
            carrier, name = self._find(scope["path"])
            body = await read_body(receive, BODY_LIMIT, headers) if scope["method"] == "POST" else b""
            said = self._parse(carrier, name, scope, headers, body)
            if said.receipts:
                await self._receive.receipts(carrier, said.receipts)
            if said.inbound:
                await self._receive.inbound(carrier, said.inbound)
            code = said.reply.status
            await send_answer(send, code, said.reply.body, ((b"content-type", said.reply.media_type.encode()),))
        except Disconnected:
            code = 499
        except Exception as error:
            an_id = request_id(headers, self._new_request_id)
            if isinstance(error, Refusal):
                refusal = error
            elif isinstance(error, StoreUnavailable):
                refusal = Refusal("store_unavailable", retry_after=2)
            else:
                refusal = internal(error, an_id, scope)
            code = refusal.kind.http
            await send_problem(send, refusal, an_id)
        self._observe(scope["method"], ROUTE, code, time.perf_counter() - started)

    def _find(self, path: str) -> tuple[Carrier, str]:
        shown, _, name = path.removeprefix(PREFIX).partition("/")
        an_id = ids.read("car", shown)
        carrier = self._carriers().get(an_id) if an_id is not None else None
        if carrier is not None and carrier.state != "deleted":
            kind = kinds().get(carrier.kind)
            if kind is not None and kind.parse is not None and name in kind.callbacks and carrier.config is not None:
                return carrier, name
        raise Refusal("not_found", "No carrier has its callbacks here.")

    def _parse(self, carrier: Carrier, name: str, scope: Scope, headers: dict[bytes, bytes], body: bytes) -> Said:
        path = (scope.get("raw_path") or scope["path"].encode()).decode("ascii", "replace")
        query = scope["query_string"].decode("ascii", "replace")
        resource = f"{path}?{query}" if query else path
        host = headers.get(b"host", b"localhost").decode("latin-1")
        homes = (self._public, f"https://{host}", f"http://{host}")
        callback = Callback(
            name,
            scope["method"],
            tuple(home + resource for home in homes if home),
            query,
            {field.decode("latin-1"): value.decode("latin-1") for field, value in headers.items()},
            body,
            self._clock(),
            lambda nonce: self._nonces.used(carrier.id, nonce, body),
        )
        parse = kinds()[carrier.kind].parse
        assert parse is not None
        try:
            said: Said = parse(carrier.config, callback)
        except Unsigned as why:
            self._warn(carrier, "callback.refused", name, why=str(why))
            raise Refusal("bad_signature", str(why)) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._warn(carrier, "callback.unreadable", name, error=type(error).__name__)
            raise Refusal("invalid_callback") from None
        if said.strange.strip():
            self._warn(carrier, "callback.strange", name, status=said.strange)
        return said

    def _warn(self, carrier: Carrier, event: str, name: str, **words: str) -> None:
        now = time.monotonic()
        last, untold = self._warned.get(carrier.id, (-QUIET, 0))
        if now - last < QUIET:
            self._warned[carrier.id] = (last, untold + 1)
            return
        self._warned[carrier.id] = (now, 0)
        log.warning(event, carrier=carrier.name, name=name, untold=untold, **words)
