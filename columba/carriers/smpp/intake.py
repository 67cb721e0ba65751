"""What a carrier sends us: receipts and texts, answered once they are durable.

While the store can't take them the carrier is told to send them again. Requests that have come and are not answered are
bounded: beyond `_MANY` the connection isn't read, which the carrier notices as a window that stays full.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final

import structlog

from columba.core.contract import Air, Inbound, Receipt
from columba.smpp.errors import NotAllowed
from columba.smpp.pdu import DataSm, DataSmResp, DeliverSm, DeliverSmResp, Request, Response
from columba.smpp.session import Requested
from columba.smpp.status import Status
from columba.smpp.stream import Link
from columba.store import StoreUnavailable

from . import incoming, receipts
from .config import Config
from .ids import Ids

_MANY: Final = 5_000
_FEW: Final = 2_500
# A text that was answered just before the connection broke may come again: the answer may not have arrived.
_DOUBT_S: Final = 30.0
_AGAIN_S: Final = 60.0
_TAKEN: Final[dict[type[Request], Response]] = {DeliverSm: DeliverSmResp(), DataSm: DataSmResp()}

log = structlog.get_logger()


class Intake:
    def __init__(self, config: Config, ids: Ids, air: Air) -> None:
        unavailable = Status[config.unavailable].value
        self._config = config
        self._air = air
        self._loop = asyncio.get_running_loop()
        self._receipt = receipts.reader(config, ids)
        self._text = incoming.reader(config)
        self._not_now = {DeliverSm: DeliverSmResp(status=unavailable), DataSm: DataSmResp(status=unavailable)}
        self._keeping: set[asyncio.Future[Any]] = set()
        self._paused: set[Link] = set()
        self._answered: deque[tuple[float, int]] = deque(maxlen=10_000)  # texts, when and by what they say
        self._doubtful: Counter[int] = Counter()
        self._doubtful_until = 0.0

    def take(self, link: Link, requests: Sequence[Requested]) -> None:
        """Requests that came together: deliver_sm and data_sm."""
        told: list[Receipt] = []
        told_by: list[Requested] = []
        texts: list[Inbound] = []
        texts_by: list[Requested] = []
        fragments: list[Inbound] = []
        fragments_by: list[Requested] = []
        now = self._air.clock()
        for request in requests:
            pdu = request.pdu
            assert isinstance(pdu, DeliverSm | DataSm)
            found = receipts.is_receipt(pdu, self._config)
            if found is not None:
                receipt = self._receipt(found, now)
                if receipt is not None:
                    told.append(receipt)
                    told_by.append(request)
                else:  # nothing to keep: it says no end, or not of what
                    if not found.id:
                        log.warning("smpp.receipt_without_id", stat=found.stat[:20])
                    self._answer(link, [request], _TAKEN)
                continue
            text = self._text(pdu)
            if text.fragment is not None:
                fragments.append(text)
                fragments_by.append(request)
            elif self._doubtful and self._is_repeated(pdu):
                self._answer(link, [request], _TAKEN)
            else:
                texts.append(text)
                texts_by.append(request)
        if told:
            self._keep(link, self._air.receipts(told), told_by)
        if texts:
            self._keep(link, self._air.inbound(texts), texts_by, remember=True)
        if fragments:
            self._keep(link, self._air.inbound(fragments), fragments_by)
        if link.session.pending > _MANY and link not in self._paused:
            self._paused.add(link)
            link.pause()

    # Back

    def _keep(self, link: Link, kept: Awaitable[Any], requests: Sequence[Requested], *, remember: bool = False) -> None:
        future = asyncio.ensure_future(kept)
        self._keeping.add(future)
        future.add_done_callback(partial(self._kept, link, requests, remember))

    def _kept(self, link: Link, requests: Sequence[Requested], remember: bool, future: asyncio.Future[Any]) -> None:
        self._keeping.discard(future)
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            if error is not None and not isinstance(error, StoreUnavailable):
                log.error("smpp.not_kept", error=type(error).__name__, exc_info=error)
            self._answer(link, requests, self._not_now)
        else:
            self._answer(link, requests, _TAKEN)
            if remember:
                self._remember(requests)
        if link in self._paused and link.session.pending < _FEW:
            self._paused.discard(link)
            link.resume()

    def _answer(self, link: Link, requests: Sequence[Requested], answers: Any) -> None:
        try:
            for request in requests:
                link.respond(request.sequence, answers[type(request.pdu)])
        except NotAllowed:  # the connection is gone: the carrier will send them again
            pass

    # What may come twice

    def _remember(self, requests: Sequence[Requested]) -> None:
        now = self._loop.time()
        answered = self._answered
        while answered and answered[0][0] < now - _DOUBT_S:
            answered.popleft()
        answered.extend([(now, _digest(request.pdu)) for request in requests])

    def lost(self, link: Link) -> None:
        """A connection is gone, and perhaps the last answers with it."""
        self._paused.discard(link)
        now = self._loop.time()
        self._doubtful = Counter(digest for moment, digest in self._answered if moment >= now - _DOUBT_S)
        self._answered.clear()
        self._doubtful_until = float("inf")

    def bound(self) -> None:
        """A carrier sends again what it has no answer to soon after the bind."""
        if self._doubtful:
            self._doubtful_until = self._loop.time() + _AGAIN_S

    def _is_repeated(self, pdu: DeliverSm | DataSm) -> bool:
        if self._loop.time() > self._doubtful_until:
            self._doubtful.clear()
            return False
        digest = _digest(pdu)
        if not self._doubtful[digest]:
            return False
        self._doubtful[digest] -= 1
        log.info("smpp.repeated_text")
        return True


def _digest(pdu: Request) -> int:
    """What a text says, who says it, to whom."""
    assert isinstance(pdu, DeliverSm | DataSm)
    said = pdu.short_message if isinstance(pdu, DeliverSm) else b""
    return hash((pdu.source_addr, pdu.destination_addr, pdu.esm_class, pdu.data_coding, said, pdu.tlvs))
