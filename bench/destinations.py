"""What a forward costs before and after the wire: `python -m bench.destinations`.

Templates and expressions rendered, a destination's request made (with HMAC), and whole forwards to a sink of this process
over loopback, 64 at once: the sink's own work is in that figure. Times are of CPU.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from columba.forwarding.auth.oauth2 import Tokens
from columba.forwarding.destinations import Destination
from columba.forwarding.destinations_making import made, tried_context
from columba.forwarding.destinations_shapes import NewDestination
from columba.forwarding.destinations_views import TriedMessage
from columba.forwarding.performing import Performing, render
from columba.http.body import decode
from columba.http.egress import Egress
from columba.usercode import Expression, Pattern, Template, structure
from tests.http.egress.peer import LOOPBACK

CONTEXT = tried_context(TriedMessage(text="Order 12, please", groups={"order": "12"}), 1, {}, 1_767_323_045_678)
TEMPLATE = "Hi {{ from }}, order {{ groups.order }}{% if keyword %} ({{ keyword | lower }}){% endif %}: {{ text }}"
BODY = {"from": "{{ from }}", "text": "{{ text }}", "order": "{{ groups.order | int }}", "at": "{{ received_at }}"}
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


class Sink(asyncio.Protocol):
    """Answers each request at once; a request of ours comes whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)


class Shelf:
    async def load(self, destination_id: int) -> str | None:
        return None

    async def keep(self, destination_id: int, token: str, at: int) -> None: ...


def destination(**fields: Any) -> Destination:
    wanted = made(decode(NewDestination, msgspec.json.encode(fields)), lambda url: None, {})
    return Destination(7, 2, 1, "it", "", None, True, wanted.spec, dict, None, 1, 0, 0)


def timed(name: str, work: Callable[[], object], count: int = 20_000) -> None:
    work()
    began = time.process_time()
    for _ in range(count):
        work()
    print(f"{name:<46} {(time.process_time() - began) / count * 1e6:8.1f} us")


async def many(work: Callable[[], Awaitable[object]], seconds: float = 3.0, at_once: int = 64) -> tuple[float, float]:
    """How many a second, and the microseconds of CPU for each."""
    done = 0
    began, spent = time.perf_counter(), time.process_time()

    async def worker() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            await work()
            done += 1

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return done / (time.perf_counter() - began), (time.process_time() - spent) / done * 1e6


async def main() -> None:
    template, shape = Template.parse(TEMPLATE), structure(BODY)
    expression, pattern = (
        Expression.parse("text.contains('Order') && keyword == 'ORDER'"),
        Pattern.parse("(?i)^order ([0-9]+)"),
    )
    timed("template", lambda: template.render(CONTEXT))
    timed("JSON of 4 fields", lambda: shape.render(CONTEXT))
    timed("CEL", lambda: expression.evaluate(CONTEXT))
    timed("RE2 with a group", lambda: pattern.match(CONTEXT["text"]))
    hmac = {"kind": "hmac", "secret": "a secret", "template": "{{ timestamp }}.{{ body }}"}
    sink = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{sink.sockets[0].getsockname()[1]}/in"
    plain = destination(request={"url": url, "body": {"json": BODY}})
    signed = destination(
        request={"url": url, "body": {"json": BODY}},
        auth=hmac,
        success={"cel": "json.ok == true"},
        save={"ok": {"jsonpath": "$.ok"}},
    )
    timed("request", lambda: render(plain, CONTEXT, at=0, idempotency_id="fwd_1"))
    timed("request with HMAC", lambda: render(signed, CONTEXT, at=0, idempotency_id="fwd_1", masked=False))
    egress = Egress(LOOPBACK, per_endpoint=200)
    performing = Performing(egress, Tokens(Shelf(), lambda: 0), lambda: 0, bytes)
    for name, found in (("forwards", plain), ("forwards with HMAC, a check and a saved value", signed)):
        rate, cpu = await many(lambda found=found: performing.perform(found, CONTEXT, idempotency_id="fwd_1"))  # type: ignore[misc]
        print(f"{name:<46} {cpu:8.1f} us of CPU, {rate:.0f} a second")
    await egress.close()
    sink.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
