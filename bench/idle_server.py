"""The same server with nothing to do: reads the body, answers 202. What all figures of the door are compared with.

`/v1/messages` by ASGI, as every endpoint is served; `/v1/past` past it, as plain single messages are.
"""

import asyncio
import sys

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from columba.errors import Refusal
from columba.http.direct import Exchange
from columba.http.dispatch import build
from columba.http.server import with_direct
from columba.http.wire import read_body, send_answer


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await send_answer(send, 202, b"{}")


def nothing_past(exchange: Exchange) -> None:
    exchange.answer(202, b"content-type: application/json\r\ncache-control: no-store\r\n", b"{}")


def nobody(_headers: object, _client: str) -> object:
    raise Refusal("unauthorized")


async def serve(port: int) -> None:
    app = build(
        [],
        authenticate=nobody,  # type: ignore[arg-type]
        new_request_id=lambda: "req_0",
        clock=asyncio.get_running_loop().time,
        raw_routes={("POST", "/v1/messages"): nothing},
    )
    protocol = with_direct({b"/v1/past": nothing_past})
    config = uvicorn.Config(
        app, port=port, loop="none", http=protocol, ws="none", lifespan="off", access_log=False, log_config=None,
        server_header=False, date_header=False, proxy_headers=False, backlog=2048,
    )  # fmt: skip
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
