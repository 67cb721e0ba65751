"""Fetching media: what came with a text is got from the carrier and kept, durably: until it is there, or given up.

Jobs are rows of an outbox, whose kinds are carriers: one carrier's trouble takes only its own places. Redirects are
followed, each to a checked address, and a carrier's own authorization never leaves its own host. What came is told as an
event. Fails by trying again.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from columba.core import events
from columba.core.ids import Ids
from columba.core.model import MEDIA_FAILED, MEDIA_RECEIVED, Event
from columba.core.outbox import Claims, Failed, Outbox, again_in
from columba.errors import Refusal
from columba.http.egress import Egress, EgressError
from columba.media.kept import Kept
from columba.media.room import FAILED, FETCHING, READY, RECEIVED, SQL, Media, Medium
from columba.media.sniff import UNKNOWN, file_name, kind_of
from columba.store import Row, Step, Store, plan
from columba.vault import VaultError

SCHEDULE_S: Final = (5, 20, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400)  # after each failed try
TIMEOUT_S: Final = 30.0
STOP_S: Final = 3.0
WHOLE_S: Final = 45.0  # redirects and all
CLAIM_MS: Final = 75_000  # longer than one try may take
MOST_AT_ONCE, MOST_OF_A_CARRIER = 16, 4
MOST_AWAITED: Final = 16  # for those who wait: each file may be held in memory
MOST_READ: Final = 200
MOST_REDIRECTS: Final = 5

Authorize = Callable[[int, str], Mapping[str, str]]
"""What headers a carrier wants to see on a request for media of its own at a URL."""


class Got(NamedTuple):
    body: bytes
    declared: str


def nothing(_carrier_id: int, _url: str) -> Mapping[str, str]:
    return {}


class Fetching:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        media: Media,
        kept: Kept,
        egress: Egress,
        open_secret: Callable[[str], str],
        publisher: events.Publisher,
        authorize: Authorize = nothing,
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._random = random
        self._media = media
        self._kept = kept
        self._egress = egress
        self._open = open_secret
        self._publisher = publisher
        self._authorize = authorize
        self._awaited = asyncio.Semaphore(MOST_AWAITED)
        self._outbox = Outbox(
            "media", store, clock, Claims(SQL["to_fetch"], SQL["claim_fetch"], SQL["fetching"]), self._fetch,
            claim_ms=CLAIM_MS, most_of_a_kind=MOST_OF_A_CARRIER, most=MOST_AT_ONCE, most_read=MOST_READ,
        )  # fmt: skip
        self.wake = self._outbox.wake
        self.outcomes: dict[str, float] = {"kept": 0, "retried": 0, "failed": 0}

    async def step(self) -> None:
        """A chore: begin what is due, as far as there are places."""
        self.wake()

    async def _fetch(self, row: Row) -> None:
        an_id, account_id, mode, name, sealed, carrier_id, message_id, tries = row
        medium = Medium(an_id, account_id, mode, RECEIVED, FETCHING, name, "", 0, "", message_id, tries, 0, None, 0)
        try:
            async with asyncio.timeout(WHOLE_S):
                got = await self.get(self._open(sealed), carrier_id)
            kind = kind_of(got.body) or UNKNOWN
            await self._kept.put(medium.key, got.body, kind.type)
        except Failed as error:
            await self._failed(medium, error)
        except VaultError as error:
            await self._failed(medium, Failed(f"Its address can't be read: {error}", True))
        except Refusal as error:
            await self._failed(medium, Failed(error.detail))
        except TimeoutError:
            await self._failed(medium, Failed("The server took too long."))
        else:
            await self._keep(
                medium._replace(
                    state=READY,
                    name=file_name(name, kind),
                    content_type=kind.type,
                    size=len(got.body),
                    digest=hashlib.sha256(got.body).hexdigest(),
                    updated_at=self._clock(),
                )
            )

    async def _keep(self, medium: Medium) -> None:
        row = (
            medium.id, medium.account_id, medium.name, medium.content_type, medium.size, medium.digest,
            medium.updated_at, self._media.limits.quota,
        )  # fmt: skip
        event = Event(
            self._ids(), medium.account_id, medium.mode, MEDIA_RECEIVED, medium.id, medium.updated_at,
            self._media.view(medium),
        )  # fmt: skip
        results = await self._store.commit(
            plan(
                Step(SQL["fetched"], [row]),
                Step(SQL["count_media"], [(medium.id, medium.account_id, medium.size)], given=0),
                *events.steps([events.row(event)], 2, given=0),
            )
        )
        if medium.id in {found[0] for found in results[0]}:
            self.outcomes["kept"] += 1
            self._publisher.published(results[3], {event.id: event})
            return
        await self._kept.delete([medium.key])  # it was redacted meanwhile, or there is no room for it
        await self._failed(
            medium._replace(state=FETCHING, size=0, digest=""),
            Failed(f"An account may keep {self._media.limits.quota} bytes of media, and this one does not fit.", True),
        )

    async def _failed(self, medium: Medium, why: Failed) -> None:
        now = self._clock()
        wait = again_in(SCHEDULE_S, medium.attempts, why, self._random())
        last = wait is None
        self.outcomes["failed" if last else "retried"] += 1
        told = medium._replace(state=FAILED if last else FETCHING, error=str(why), updated_at=now)
        event = Event(self._ids(), medium.account_id, medium.mode, MEDIA_FAILED, medium.id, now, self._media.view(told))
        made = [events.row(event)] if last else []
        results = await self._store.commit(
            plan(
                Step(SQL["not_fetched"], [(medium.id, told.state, now + int((wait or 0) * 1000), str(why), now)]),
                *events.steps(made, 1, given=0),
            )
        )
        if last and medium.id in {row[0] for row in results[0]}:
            self._publisher.published(results[2], {event.id: event})

    async def now(self, url: str) -> Got:
        """What is at a URL, for somebody who waits; Failed if it can't be had soon."""
        try:
            async with asyncio.timeout(WHOLE_S), self._awaited:
                return await self.get(url)
        except TimeoutError:
            raise Failed("The server took too long.") from None

    async def get(self, url: str, carrier_id: int = 0) -> Got:
        """What is at a URL; Failed if it can't be had."""
        if url.startswith("data:"):
            return _data(url)
        limit = self._media.limits.size
        for _ in range(MOST_REDIRECTS + 1):
            try:
                answer = await self._egress.request(
                    "GET", url, headers={"accept": "*/*", **self._authorize(carrier_id, url)}, timeout=TIMEOUT_S,
                    max_answer=limit,
                )  # fmt: skip
            except EgressError as error:
                raise Failed(error.detail, error.kind in ("invalid_url", "invalid_request")) from None
            headers = answer.headers
            if answer.status in (301, 302, 303, 307, 308) and "location" in headers:
                url = urljoin(url, headers["location"])
                if urlsplit(url).scheme not in ("http", "https"):
                    raise Failed("It leads to an address that is no http or https URL.", True)
                continue
            if not 200 <= answer.status < 300:
                raise Failed(
                    f"The server answered {answer.status}.", answer.status == 410, _seconds(headers.get("retry-after"))
                )
            if answer.truncated:
                raise Failed(f"It has more than {limit} bytes.", True)
            if headers.get("content-encoding", "identity") != "identity":
                raise Failed("The server sent it in a coding that was not asked for.")
            if not answer.body:
                raise Failed("The server answered with nothing.")
            return Got(answer.body, headers.get("content-type", ""))
        raise Failed(f"It leads on, more than {MOST_REDIRECTS} times.", True)

    async def stop(self) -> None:
        """Wait a little for what is under way; what is left is due again when its claim ends."""
        await self._outbox.stop(STOP_S)


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 9 else 0.0


def _data(url: str) -> Got:
    """RFC 2397."""
    head, _, rest = url[5:].partition(",")
    kind, _, coding = head.rpartition(";")
    try:
        if coding.strip().lower() == "base64":
            return Got(base64.b64decode(unquote_to_bytes(rest), validate=True), kind)
        return Got(unquote_to_bytes(rest), head)
    except binascii.Error:
        raise Failed("What came is not Base64.", True) from None
