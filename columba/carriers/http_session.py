"""A lane's session with a carrier over HTTP: a request a part, as many at once as the window allows.

Owns the requests on their way, and how the carrier is doing: after some failures in a row, or at once where the account
itself is refused, it goes down and gets a rest; then one part goes alone, and the others follow if that went well. Never
fails: what goes wrong with a part is its outcome. One that left us without an answer is `unknown`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import structlog

from columba.carriers.over_http import Heart, Request, Unsendable, Way, by_status, wait_ms
from columba.core import ids
from columba.core.again import jittered
from columba.core.contract import Air, Carrier, Outcome, Part
from columba.http.egress import Answer, EgressError

MOST_ANSWER: Final = 65_536
FAILURES: Final = 5  # in a row, until it gets a rest
REST_S, MOST_REST_S = 1.0, 30.0
TRIAL_S: Final = 8.0

UNSENT: Final = Outcome("unsent")
NO_RECEIPTS: Final = "Without --public-url the provider is not told where receipts go."
# What the configuration does wrong: no other message would fare better.
_MISCONFIGURED: Final = frozenset({"invalid_url", "forbidden_address", "invalid_request"})

log = structlog.get_logger()
Done = Callable[[Part, Outcome], None]


class HttpSession:
    def __init__(self, heart: Heart, carrier: Carrier, air: Air) -> None:
        assert air.web is not None
        self._heart = heart
        self._config: Any = carrier.config
        self._name = carrier.name
        self._air = air
        self._web = air.web
        self._loop = asyncio.get_running_loop()
        aimed = getattr(self._config, "elsewhere", True)
        home = air.web.outside or (air.web.here if aimed else "")
        self._callbacks = f"{home}/callbacks/{ids.show('car', carrier.id)}" if home else ""
        self._well = "" if home else NO_RECEIPTS
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._up = True
        self._failures = 0  # in a row
        self._rests = 0
        self._trying: list[tuple[Part, Done]] | None = None  # after a rest: what waits for the first one's answer
        self._timer: asyncio.TimerHandle | None = None
        if air.trial:
            self._spawn(self._try())
        else:
            air.ready(True, self._well)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Out

    def send(self, parts: Sequence[Part], done: Done) -> None:
        if self._closed or not self._up:
            for part in parts:
                done(part, UNSENT)
            return
        if self._trying is not None:
            self._trying += [(part, done) for part in parts]
            return
        if self._rests and self._failures:  # back from a rest: one goes alone
            first, *others = parts
            self._trying = [(part, done) for part in others]
            self._spawn(self._carry(first, done))
            return
        for part in parts:
            self._spawn(self._carry(part, done))

    async def _carry(self, part: Part, done: Done) -> None:
        try:
            outcome = await self._exchange(part)
        except asyncio.CancelledError:
            done(part, Outcome("unknown", None, "no_answer", "closed"))
            raise
        except Exception as error:  # a kind's own mistake must not stop the lane
            log.exception("carrier.kind_raised", carrier=self._name)
            outcome = Outcome("unknown", None, "carrier_failed", type(error).__name__)
        done(part, outcome)
        self._heard(outcome)

    async def _exchange(self, part: Part) -> Outcome:
        now = self._air.clock()
        try:
            request = self._heart.request(self._config, part, Way(now, self._callbacks))
        except Unsendable as why:
            return Outcome("failed", None, "rejected", str(why))
        try:
            answer = await self._ask(request, self._config.timeout)
        except EgressError as error:
            return _lost(error)
        try:
            outcome = self._heart.answer(self._config, part, answer)
        except (ValueError, LookupError, TypeError, AttributeError):  # not what it should be
            outcome = by_status(answer.status)
        if outcome.kind in ("retry", "throttled", "unknown") and not outcome.wait_ms:
            ms = wait_ms(answer, now)
            if ms:
                outcome = msgspec.structs.replace(outcome, wait_ms=ms)
        return outcome

    async def _ask(self, request: Request, timeout: float) -> Answer:
        answer: Answer = await self._web.request(
            request.method, request.url, headers=request.headers, body=request.body, timeout=timeout,
            max_answer=MOST_ANSWER,
        )  # fmt: skip
        return answer

    # How it is doing

    def _heard(self, outcome: Outcome) -> None:
        if self._closed or outcome.kind == "unsent":
            self._release(False)
            return
        if outcome.kind not in ("retry", "unknown"):
            if self._failures:
                self._failures = self._rests = 0
                self._up = True
                if self._timer is not None:
                    self._timer.cancel()
                self._air.ready(True, self._well)
            self._release(True)
            return
        self._failures += 1
        if self._failures >= FAILURES or outcome.error == "carrier_unavailable" or self._trying is not None:
            self._rest(f"{outcome.error}: {outcome.code}" if outcome.code else f"{outcome.error}")

    def _release(self, well: bool) -> None:
        held, self._trying = self._trying, None
        for part, done in held or ():
            if well:
                self._spawn(self._carry(part, done))
            else:
                done(part, UNSENT)

    def _rest(self, why: str) -> None:
        if not self._up:
            return
        self._up = False
        self._air.ready(False, why)
        self._release(False)
        rest = jittered(min(MOST_REST_S, REST_S * 2**self._rests), self._air.random())
        self._rests = min(self._rests + 1, 10)
        self._timer = self._loop.call_later(rest, self._back, why)

    def _back(self, why: str) -> None:
        self._timer = None
        if not self._closed:
            self._up = True
            self._air.ready(True, f"On trial again, after: {why}")

    async def _try(self) -> None:
        """Say what the provider thinks of the configuration, without sending anything."""
        try:
            request = self._heart.probe(self._config)
            if request is None:
                self._air.ready(True, "Nothing was asked: there is no request that would change nothing.")
                return
            answer = await self._ask(request, min(self._config.timeout, TRIAL_S))
        except EgressError as error:
            self._air.ready(False, error.detail)
            return
        except Exception as error:
            log.exception("carrier.kind_raised", carrier=self._name)
            self._air.ready(False, f"The request could not be made: {type(error).__name__}.")
            return
        if answer.status in (401, 403):
            self._air.ready(False, f"The provider refuses the credentials: HTTP {answer.status}.")
        elif answer.status >= 500:
            self._air.ready(False, f"The provider is in trouble: HTTP {answer.status}.")
        elif answer.status >= 300:
            self._air.ready(True, f"The server answers, but not as the provider's does: HTTP {answer.status}.")
        else:
            self._air.ready(True, "The provider takes the credentials.")

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._release(False)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _lost(error: EgressError) -> Outcome:
    """No answer: what became of the part depends on whether any of the request had left."""
    if error.sent:
        return Outcome("unknown", None, "no_answer", error.kind)
    if error.kind == "busy":  # our own bound
        return UNSENT
    if error.kind in _MISCONFIGURED:
        return Outcome("retry", None, "carrier_unavailable", error.kind)
    return Outcome("retry", None, "carrier_failed", error.kind)
