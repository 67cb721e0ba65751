"""A lane's session with an SMPP carrier: parts go out over it, receipts and texts come in.

Owns the parts on their way: those that wait for room in the window, and those that await their response. A part whose
response doesn't come is `unknown`, one that was not written `unsent`. Never fails: a connection that does is opened
again, and `air.ready` says how things stand.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from columba.core.contract import Air, Carrier, Outcome, Part
from columba.smpp.errors import NotAllowed, Unsendable
from columba.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter, DataSm, DeliverSm, SubmitSmResp
from columba.smpp.session import Answered, Event, Requested, Unanswered
from columba.smpp.stream import Link
from columba.text import TextError

from .answers import UNKNOWN, UNSENT, refusals
from .config import Config
from .ids import ids_of
from .intake import Intake
from .line import Line
from .outgoing import writer

WINDOW: Final = 100
_KINDS: Final[dict[str, tuple[type[Bind], ...]]] = {
    "transceiver": (BindTransceiver,),
    "transmitter": (BindTransmitter,),
    "receiver": (BindReceiver,),
    "pair": (BindTransmitter, BindReceiver),
}
_NO_SENDER: Final = Outcome("failed", None, "carrier_unavailable", "a receiver sends nothing")

Done = Callable[[Part, Outcome], None]


class SmppSession:
    def __init__(self, carrier: Carrier, n: int, air: Air) -> None:
        config: Config = carrier.config
        self._config = config
        self._air = air
        self._loop = asyncio.get_running_loop()
        self._ids = ids_of(config)
        self._write = writer(config)
        self._refusal = refusals(config)
        self._intake = Intake(config, self._ids, air)
        self._waiting: deque[tuple[Part, Done]] = deque()
        self._closed = False
        kinds = _KINDS[config.bind]
        self.lines = [Line(config, kind, carrier.window or WINDOW, air.random, self, air.reach) for kind in kinds]
        self._sender = None if config.bind == "receiver" else self.lines[0]

    # Out

    def send(self, parts: Sequence[Part], done: Done) -> None:
        """All that the window has room for leaves in one write, at the end of this turn of the event loop."""
        link = self._sender.link if self._sender is not None else None
        if link is None or self._closed:
            for part in parts:
                done(part, UNSENT if self._sender is not None else _NO_SENDER)
            return
        self._waiting.extend([(part, done) for part in parts])
        self._fill(link)

    def _fill(self, link: Link) -> None:
        waiting, write = self._waiting, self._write
        room = link.room
        now, moment = self._air.clock(), self._loop.time()
        while waiting and room > 0:
            part, done = waiting.popleft()
            try:
                link.send(write(part, now), (part, done, moment))
                room -= 1
            except (TextError, Unsendable) as error:
                done(part, Outcome("failed", None, "rejected", str(error)))
            except NotAllowed:
                waiting.appendleft((part, done))
                return

    def _sent(self, written: str) -> Outcome:
        if not written:
            return Outcome("sent")
        match = self._ids.given(written)
        return Outcome("sent", written) if match == written else Outcome("sent", written, None, None, match)

    # The lines' holder

    def changed(self) -> None:
        """Up as soon as something can be sent (without a sender, as soon as something can be received)."""
        if self._closed:
            return
        up = (self._sender or self.lines[0]).link is not None
        if up:
            self._intake.bound()
        whys = [line.why for line in self.lines if line.link is None and line.why]
        self._air.ready(up, whys[0] if whys else f"Bound as {self._config.bind}." if up else "")

    def received(self, line: Line, link: Link, events: Sequence[Event]) -> None:
        requests: list[Requested] = []
        silent = False
        for event in events:
            if type(event) is Answered and event.token is not None:
                part, done, _ = event.token
                pdu = event.pdu
                if pdu.status == 0 and type(pdu) is SubmitSmResp:
                    done(part, self._sent(pdu.message_id))
                else:
                    done(part, self._refusal(pdu))
            elif type(event) is Requested and isinstance(event.pdu, DeliverSm | DataSm):
                requests.append(event)
            elif type(event) is Unanswered and event.token is not None:
                part, done, written = event.token
                done(part, UNKNOWN)
                silent = silent or link.session.last_received < written
            else:
                line.ended(link, event)
        if requests:
            self._intake.take(link, requests)
        if silent:  # nothing at all has come since it was written: the connection is half open
            line.drop(link, f"Nothing was heard from the carrier for {self._config.response_timeout:g} s.")
        elif self._waiting and link is line.link:
            self._fill(link)

    def drained(self, link: Link) -> None:
        if self._waiting:
            self._fill(link)

    def lost(self, line: Line, link: Link, unanswered: Sequence[Unanswered]) -> None:
        self._intake.lost(link)
        for each in unanswered:
            part, done, _ = each.token
            done(part, UNKNOWN)
        if line is self._sender:
            waiting, self._waiting = self._waiting, deque()
            for part, done in waiting:
                done(part, UNSENT)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(line.close() for line in self.lines))
