"""Trying a carrier out: a session beside those of its lanes, opened, looked at and closed.

What the network sends on it is taken as on any other session. Never fails: a `Trial` says what happened.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from columba.core.contract import Air, Carrier, Inbound, Receipt, Session, Web, anywhere
from columba.core.receive import Receive

PATIENCE_S = 10.0
CLOSE_S = 5.0

log = structlog.get_logger()


class Trial(msgspec.Struct, frozen=True):
    """What came of opening a session.

    ok: whether the network let us in
    detail: what it said, or what stood in the way
    took_ms: how long that took
    """

    ok: bool
    detail: str
    took_ms: int


async def try_out(
    carrier: Carrier,
    connect: Callable[[Carrier, int, Air], Session],
    receive: Receive,
    clock: Callable[[], int],
    random: Callable[[], float],
    patience: float = PATIENCE_S,
    *,
    reach: Callable[[str], Awaitable[str]] = anywhere,
    web: Web | None = None,
) -> Trial:
    loop = asyncio.get_running_loop()
    began = loop.time()
    heard: asyncio.Future[tuple[bool, str]] = loop.create_future()

    def ready(up: bool, why: str) -> None:
        if not heard.done() and (up or why):
            heard.set_result((up, why))

    async def nothing_unresolved(_since: int) -> Sequence[object]:
        return ()

    def receipts(those: Sequence[Receipt]) -> Awaitable[None]:
        return receive.receipts(carrier, those)

    def inbound(those: Sequence[Inbound]) -> Awaitable[object]:
        return receive.inbound(carrier, those)

    session = None
    try:
        air = Air(receipts, inbound, ready, nothing_unresolved, clock, random, reach, web, trial=True)
        session = connect(carrier, 0, air)
        ok, why = await asyncio.wait_for(heard, patience)
        detail = why or "The session was opened."
    except TimeoutError:
        ok, detail = False, f"Nothing was heard for {patience:g} seconds."
    except Exception as error:
        log.exception("carrier.trial_failed", carrier=carrier.name)
        ok, detail = False, f"The session could not be opened: {type(error).__name__}."
    took_ms = int((loop.time() - began) * 1000)
    if session is not None:
        try:
            await asyncio.wait_for(session.close(), CLOSE_S)
        except Exception:
            log.exception("carrier.close_raised", carrier=carrier.name)
    return Trial(ok, detail, took_ms)
