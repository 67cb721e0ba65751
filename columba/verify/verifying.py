"""Verifications: begun, sent again, checked, ended.

Beginning one takes two commits: the guard's counts and the verification itself, whose code is not accepted yet; then its
message, with which the code becomes good. A crash between them leaves one that is never asked for and is begun anew. A
check is one transaction, in which of all that try at once the first right one wins. Fails with Refusals.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from columba.core import events, status
from columba.core.accept import Accept
from columba.core.ids import Ids
from columba.core.model import (
    VERIFICATION_APPROVED,
    VERIFICATION_CANCELED,
    VERIFICATION_EXPIRED,
    Event,
    Message,
)
from columba.core.submission import Caller, Submission
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.numbers import NumberError, normalise
from columba.policies import Policy
from columba.spend import money
from columba.store import Step, Store, plan
from columba.templates.room import Templates
from columba.verify import guard
from columba.verify.codes import Codes
from columba.verify.counting import Counting, Who, uncounted
from columba.verify.found import (
    APPROVED,
    CANCELED,
    EXPIRED,
    PENDING,
    SQL,
    STARTING,
    Asked,
    Found,
    found_of,
    state,
    view,
)
from columba.verify.guard import InForce, Limit
from columba.verify.shapes import NewVerification, Settings
from columba.verify.words import bound, sentence

STALE_MS: Final = 10_000  # a verification that was begun and whose message was not accepted
TRIES, PAUSE_S = 100, 0.02  # for one that another request is beginning at this moment
KNOWN_BEGUN: Final = 20_000
BEGUN_KEPT_MS: Final = 60_000
AT_ONCE: Final = 500
CHECKS_BY_NUMBER: Final = 5  # in 10 minutes
NOBODY: Final = 0

Cost = Callable[[int, int, str, str, str | None, int], int | None]
"""What a text costs an account in a mode (to, text, sender, class), in millionths; None where nobody knows."""
_encode = msgspec.json.Encoder().encode


def policy() -> Policy[Settings, InForce]:
    """What accounts set for verifications."""
    return Policy("verify", Settings, guard.in_force, Settings())


class Verifying:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        codes: Codes,
        rules: Policy[Settings, InForce],
        templates: Templates,
        accept: Accept,
        publisher: events.Publisher,
        default_country: Callable[[int], str | None],
        tried: dict[int, frozenset[int]],
        cost: Cost,
    ) -> None:
        """`tried` is shared with the route: carriers that are not to get a message that is being accepted."""
        self.counting = Counting(store, new_id, clock, publisher)
        self.rules = rules
        self._cost = cost
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._codes = codes
        self._templates = templates
        self._accept = accept
        self._publisher = publisher
        self._country = default_country
        self._tried = tried
        self._sending: set[int] = set()
        self._begun: dict[int, Found] = {}  # those of a moment ago that nobody has checked yet

    # Reading

    async def find(self, who: Who, an_id: int) -> Found | None:
        rows = await self._store.read(SQL["verification"], id=an_id, account_id=who[0], mode=who[1])
        return found_of(rows[0]) if rows else None

    def begun(self, who: Who, an_id: int) -> Found | None:
        """One that was begun here a moment ago and is checked for the first time: what never changes of it is known."""
        found = self._begun.pop(an_id, None)
        return found if found is not None and (found.account_id, found.mode) == who else None

    async def newest_of(self, who: Who, to: str) -> Found | None:
        rows = await self._store.read(SQL["verification_of"], account_id=who[0], mode=who[1], to_addr=to)
        return found_of(rows[0]) if rows else None

    def number(self, account_id: int, to: str) -> str:
        try:
            return normalise(to, self._country(account_id))
        except NumberError as error:
            raise invalid([FieldError("to", "invalid_number", error.detail)]) from None

    # Beginning and sending

    async def start(self, caller: Caller, new: NewVerification) -> Found:
        """A code on its way. Where the number has one that is good, that one is sent again."""
        who = (caller.account_id, caller.mode)
        rules = self.rules.of(*who)
        to = self.number(caller.account_id, new.to)
        asked = _complete(new, rules.settings)
        limits = self._screen(who, to, asked, rules)
        for _ in range(TRIES):
            made = await self._begin(caller, to, asked, rules, limits)
            if made is not None:
                return made
            found = await self.newest_of(who, to)
            if found is None or not found.is_open:
                continue
            now = self._clock()
            if found.status == STARTING and now < found.created_at + STALE_MS:
                await asyncio.sleep(PAUSE_S)
            elif found.status == STARTING:
                await self._store.commit(plan(Step(SQL["drop_verification"], [(found.id,)])))
            elif now >= found.expires_at:
                await self._end(found, EXPIRED, VERIFICATION_EXPIRED)
            elif found.checks >= found.max_checks or not _same(found.asked, asked):
                await self._end(found, CANCELED, VERIFICATION_CANCELED)
            else:
                return await self.resend(caller, found, limits)
        raise Refusal("conflict", "Another request is beginning a verification of this number.")

    def _screen(self, who: Who, to: str, asked: Asked, rules: InForce) -> Sequence[Limit]:
        usual: frozenset[str] | None = None
        if who[1] == status.LIVE:
            country = self._country(who[0])
            usual = frozenset((country,)) if country else frozenset()
        return guard.screen(to, asked.address, asked.device, rules, usual)

    async def _begin(
        self, caller: Caller, to: str, asked: Asked, rules: InForce, limits: Sequence[Limit]
    ) -> Found | None:
        """A new one; None where the number has one already."""
        who = (caller.account_id, caller.mode)
        now = self._clock()
        self.counting.check_known(who, limits, now)
        an_id, message_id = self._ids(), self._ids()
        code, hashed = self._codes.new(an_id, asked.length, asked.alphabet)
        text = self._text(who, asked, code)
        settings = rules.settings
        limits = self._with_cost(who, to, asked, text, limits, settings)
        made = Found(
            an_id, *who, to, PENDING, hashed, asked, [each.key for each in limits], 0, settings.checks, 1, settings.sends,
            message_id, now, now, now, now + 1000 * asked.expires_in,
        )  # fmt: skip
        row = (
            an_id, *who, to, hashed, _encode(asked).decode(), _encode(made.counted).decode(), made.max_checks,
            made.max_sends, message_id, now, self._second_at(settings, now), made.expires_at,
        )  # fmt: skip
        keep = Step(SQL["insert_verification"], [row])
        if not await self.counting.admit(who, an_id, limits, keep, now):
            return None
        begun = Step(SQL["begin_verification"], [(message_id, an_id)])
        outcome = await self._send(caller, made, text, begun)
        if isinstance(outcome, Refusal):
            await self._store.commit(
                plan(
                    *uncounted(an_id, who, limits),
                    Step(SQL["drop_verification"], [(an_id,)]),
                )
            )
            raise outcome
        if len(self._begun) >= KNOWN_BEGUN:
            del self._begun[next(iter(self._begun))]
        self._begun[an_id] = made
        return made

    @staticmethod
    def _second_at(settings: Settings, now: int) -> int:
        return now + 1000 * settings.second_carrier_after if settings.second_carrier_after else 0

    async def resend(
        self, caller: Caller, found: Found, limits: Sequence[Limit] | None = None, tried: frozenset[int] | None = None
    ) -> Found:
        """The same code once more; where carriers `tried` it in vain, over another one."""
        who = (caller.account_id, caller.mode)
        now = self._clock()
        if found.status != PENDING or now >= found.expires_at:
            raise Refusal("conflict", f"The verification is {state(found, now)}.")
        if found.sends >= found.max_sends:
            raise Refusal("too_many_attempts", f"The code was sent {found.sends} times.", retry_after=_wait(found, now))
        if limits is None:
            limits = self._screen(who, found.to, found.asked, self.rules.of(*who))
        self.counting.check_known(who, limits, now)
        if found.id in self._sending:
            raise Refusal("conflict", "It is being sent at this moment.")
        code = self._codes.again(found.id, found.asked.length, found.asked.alphabet, found.hash)
        if code is None:
            raise Refusal("conflict", "Its code was made with a key that is not here any more: begin another.")
        text = self._text(who, found.asked, code)
        limits = self._with_cost(who, found.to, found.asked, text, limits, self.rules.of(*who).settings)
        message_id = self._ids()
        self._sending.add(found.id)
        try:
            if tried is not None:
                self._tried[message_id] = tried
            second_at = 0 if tried is not None else self._second_at(self.rules.of(*who).settings, now)
            keep = Step(SQL["claim_send"], [(found.id, message_id, now, second_at)])
            if not await self.counting.admit(who, found.id, limits, keep, now):
                raise Refusal("conflict", "It was ended, or sent as often as it may be, at this moment.")
            again = found._replace(sends=found.sends + 1, message_id=message_id, sent_at=now, updated_at=now)
            outcome = await self._send(caller, again, text)
        finally:
            self._sending.discard(found.id)
            self._tried.pop(message_id, None)
        if isinstance(outcome, Refusal):
            await self._store.commit(
                plan(
                    *uncounted(found.id, who, limits),
                    Step(SQL["unclaim_send"], [(found.id, message_id, found.message_id)]),
                )
            )
            raise outcome
        return again

    async def _send(self, caller: Caller, found: Found, text: str, also: Step | None = None) -> "Message | Refusal":
        left = max(1, (found.expires_at - self._clock()) // 1000)
        submission = Submission(found.to, text, found.asked.sender, status.OTP, valid_for=left, id=found.message_id)
        more = None if also is None else lambda _messages, first: [also._replace(given=first)]
        (outcome,) = await self._accept(caller, [submission], also=more)
        return outcome

    def _text(self, who: Who, asked: Asked, code: str) -> str:
        if asked.template is None:
            return bound(sentence(code, asked.brand, asked.language), code, asked.domain)
        values = {
            "code": code,
            **self._templates.known(*who, asked.template, brand=asked.brand, minutes=asked.expires_in // 60),
            **asked.params,
        }
        try:
            made = self._templates.make(*who, asked.template, values, asked.language)
        except Refusal as refusal:
            problems = [
                FieldError("template", "invalid_value", "Expected a template with a parameter `code`.")
                if each.field == "params.code"
                else each
                for each in refusal.errors
            ]
            raise invalid(problems) from None
        if made.klass not in (None, status.OTP):
            raise invalid([FieldError("template", "invalid_value", "Its messages are not of class otp.")])
        return bound(made.text, code, asked.domain)

    def _with_cost(
        self, who: Who, to: str, asked: Asked, text: str, limits: Sequence[Limit], settings: Settings
    ) -> Sequence[Limit]:
        """With what the send costs, where the account caps that."""
        cap = settings.guard.daily_spend
        if cap is None:
            return limits
        cost = self._cost(*who, to, text, asked.sender, status.OTP)
        return [*limits, Limit(guard.LEVELS - 1, "spd:", guard.DAY, money.read(cap), 0, cost)] if cost else limits

    # Checking

    def nobody(self, who: Who, to: str) -> Found:
        """What stands for the verification of a number that has none, so that it takes as long to check."""
        counted = [f"to:{to}", *(f"pre:{to[:-digits]}" for digits, _ in guard.BEGINNINGS), "cty:"]
        return Found(NOBODY, *who, to, PENDING, "", Asked(6, "digits"), counted, 0, 5, 1, 5, NOBODY, 0, 0, 0, 0)

    async def check(self, who: Who, found: Found, code: str, to: str | None = None) -> tuple[int, bool]:
        """The status after it, and whether the code was right. With `to` the number's checks are limited, whether or not
        it has a code."""
        now = self._clock()
        ref = self._ids()
        an_id = found.id
        hashed = self._codes.entered(an_id, code, found.hash)
        event_id = self._ids()
        right = found._replace(status=APPROVED, checks=found.checks + 1, updated_at=now)
        data = _encode(view(right, now)).decode()
        counted = [(ref, *who, key, found.sends) for key in found.counted]
        judged = [] if to is None else [(ref, *who, f"chk:{to}", now, guard.TEN_MINUTES, CHECKS_BY_NUMBER, 0, 1)]
        attempt = [(ref, an_id, hashed, now)]
        results = await self._store.commit(
            plan(
                Step(SQL["touch_counts"], judged),
                Step(SQL["judge_counts"], judged),
                Step(SQL["count_sends"], [(ref, *who, row[3], 1) for row in judged], missing=1),
                Step(SQL["hold_counts"], counted, missing=1),
                Step(SQL["hold_verifications"], attempt, missing=1),
                Step(SQL["right_checks"], attempt, missing=1),
                Step(SQL["tally_checks"], attempt, missing=1),
                Step(SQL["approve"], [(ref, an_id, now)], given=5),
                Step(
                    SQL["pass_events"],
                    [(ref, an_id, event_id, *who, VERIFICATION_APPROVED, now, data, None)],
                    given=5,
                ),
                *events.steps((), 9, feed=8),
                Step(SQL["count_entered"], counted, given=5),
            ),
            apart=True,
        )
        over = [row for row in results[1] if row[0] == ref]
        if over:
            raise Refusal("too_many_attempts", retry_after=max(1, (over[0][3] - now) // 1000))
        if any(row[0] == ref for row in results[5]):
            event = Event(event_id, *who, VERIFICATION_APPROVED, an_id, now, msgspec.json.decode(data))
            self._publisher.published(results[10], {event_id: event})
            return APPROVED, True
        if any(row[1] == an_id for row in results[5]):
            return APPROVED, False
        return found.status, False

    # Ending

    async def cancel(self, found: Found) -> Found:
        now = self._clock()
        if found.status != PENDING or now >= found.expires_at:
            raise Refusal("conflict", f"The verification is {state(found, now)}.")
        ended = await self._end(found, CANCELED, VERIFICATION_CANCELED)
        if ended is None:
            raise Refusal("conflict", "It was ended at this moment.")
        return ended

    async def _end(self, found: Found, what: int, kind: int) -> Found | None:
        now = self._clock()
        ended = found._replace(status=what, updated_at=now)
        event = Event(self._ids(), found.account_id, found.mode, kind, found.id, now, view(ended, now))
        results = await self._store.commit(
            plan(
                Step(SQL["end_verification"], [(found.id, what, now)]),
                *events.steps([events.row(event)], 1, given=0),
            )
        )
        if not any(row[0] == found.id for row in results[0]):
            return None
        self._publisher.published(results[2], {event.id: event})
        return ended

    async def expire(self) -> int:
        """End those whose time is over: a chore. How many that were."""
        now = self._clock()
        self._forget(now)
        rows = [found_of(row) for row in await self._store.read(SQL["due_verifications"], now=now, most=AT_ONCE)]
        due = [each for each in rows if each.status == PENDING]
        happened = {}
        made = []
        for each in due:
            shown = view(each._replace(status=EXPIRED, updated_at=now), now)
            event = Event(self._ids(), each.account_id, each.mode, VERIFICATION_EXPIRED, each.id, now, shown)
            happened[event.id] = event
            made.append(events.row(event))
        if rows:
            results = await self._store.commit(
                plan(
                    Step(SQL["end_verification"], [(each.id, EXPIRED, now) for each in due]),
                    *events.steps(made, 1, given=0),
                    Step(SQL["drop_verification"], [(each.id,) for each in rows if each.status == STARTING]),
                )
            )
            self._publisher.published(results[2], happened)
        return len(rows)

    def _forget(self, now: int) -> None:
        """Memory keeps nobody for long: who is erased is to be erased here too."""
        while self._begun and next(iter(self._begun.values())).created_at < now - BEGUN_KEPT_MS:
            del self._begun[next(iter(self._begun))]
        self.counting.forget(now)


def _complete(new: NewVerification, settings: Settings) -> Asked:
    return Asked(
        new.length or settings.length,
        new.alphabet or settings.alphabet,
        new.template or settings.template,
        dict(new.params),
        new.language or settings.language,
        settings.brand if new.brand is None else new.brand,
        new.from_ or settings.from_,
        new.domain or settings.domain,
        new.address,
        new.device,
        new.metadata,
        new.expires_in or settings.expires_in,
    )


def _same(one: Asked, other: Asked) -> bool:
    """Whether a code that was asked for in one way will do for the other."""
    return (one.length, one.alphabet, one.domain) == (other.length, other.alphabet, other.domain)


def _wait(found: Found, now: int) -> int:
    return max(1, (found.expires_at - now) // 1000)
