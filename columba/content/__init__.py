"""Content advice: what carriers are likely to filter, told before it is sent.

By account: `advise` notes what speaks against a text on its message, `hold` keeps one below the mark until a person has
approved it, `refuse` doesn't take it. The gate asks memory only; what it came to is counted by reason and day, written
every few seconds (a crash loses those of the last ones). Held messages are rows like any other, due in the far future.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from columba.content.advice import Adviser, Category, Reason, score
from columba.core import status
from columba.core.model import HELD_MS, Message
from columba.errors import FieldError, Refusal
from columba.policies import Policies, Policy
from columba.store import Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("content.sql"))
ROOM: Final = "content"
WAITING: Final = "approval"
USUAL_MINIMUM: Final = 50
REMEMBERED: Final = 4_096  # texts
KEPT_DAYS: Final = 400
DAY_MS: Final = 86_400_000

Action = Literal["off", "advise", "hold", "refuse"]


Class = Literal["otp", "transactional", "marketing"]
Word = Annotated[str, Meta(min_length=1, max_length=60)]
Domain = Annotated[
    str, Meta(pattern=r"^([a-z0-9-]{1,63}\.)+[a-z0-9-]{2,24}$", max_length=253, examples=["example.org"])
]


class OwnWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words that you want to hear of.

    weight: what each takes from the score
    title: what they are
    """

    words: Annotated[tuple[Word, ...], Meta(min_length=1, max_length=500)]
    weight: Annotated[int, Meta(ge=1, le=100)] = 30
    title: Annotated[str, Meta(max_length=100)] = "Your own words"


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As it was set.

    action: what becomes of a text below the mark: nothing, a note on its message, a person's approval, a refusal
    classes: the classes that are looked at
    minimum: the mark
    brand: how you are called in marketing
    domains: your own: links elsewhere are unknown
    words: words of your own
    ignored: words that come with the program and are nothing to you
    opt_out: the sentence that a rewrite adds
    """

    action: Action = "advise"
    classes: Annotated[tuple[Class, ...], Meta(max_length=3)] = ("marketing",)
    minimum: Annotated[int, Meta(ge=0, le=100)] = USUAL_MINIMUM
    brand: Annotated[str, Meta(max_length=60)] = ""
    domains: Annotated[tuple[Domain, ...], Meta(max_length=200)] = ()
    words: Annotated[tuple[OwnWords, ...], Meta(max_length=50)] = ()
    ignored: Annotated[tuple[Word, ...], Meta(max_length=500)] = ()
    opt_out: Annotated[str, Meta(min_length=1, max_length=100)] = "Reply STOP to opt out."


class Judged(NamedTuple):
    score: int
    reasons: Sequence[Reason]


class InForce(NamedTuple):
    """`covers` by class: whether the gate looks at it."""

    document: Document
    covers: tuple[bool, bool, bool]
    adviser: Adviser
    seen: dict[tuple[str, int], Judged]

    def judge(self, text: str, klass: int) -> Judged:
        """Campaigns say the same to many."""
        key = (text, klass)
        found = self.seen.get(key)
        if found is None:
            reasons = self.adviser(text, status.CLASSES[klass])
            if len(self.seen) >= REMEMBERED:
                self.seen.clear()
            found = self.seen[key] = Judged(score(reasons), reasons)
        return found


def in_force(document: Document, mode: int) -> InForce:
    on = document.action != "off"
    first, second, third = (on and klass in document.classes for klass in status.CLASSES)
    words = [
        Category(f"own_words_{n}" if n > 1 else "own_words", own.title, own.weight, own.words)
        for n, own in enumerate(document.words, 1)
    ]
    adviser = Adviser(document.brand, document.domains, words, document.ignored, document.opt_out)
    return InForce(document, (first, second, third), adviser, {})


class Content:
    def __init__(
        self, store: Store, policies: Policies, clock: Callable[[], int], spares: Callable[[Message], bool]
    ) -> None:
        self.policy: Policy[Document, InForce] = policies.room(Policy(ROOM, Document, in_force, Document()))
        self._store = store
        self._clock = clock
        self._spares = spares
        self._counts: Counter[tuple[int, int, int, str, str]] = Counter()

    def gate(self, message: Message) -> Refusal | None:
        rules = self.policy.of(message.account_id, message.mode)
        if not rules.covers[message.klass] or not message.text or self._spares(message):
            return None
        judged = rules.judge(message.text, message.klass)
        document = rules.document
        if judged.score >= document.minimum:
            return None
        self._count(message, document.action, judged)
        if document.action == "refuse":
            return refusal(judged, document.minimum)
        changes: dict[str, object] = {"advice": (judged.score, *(reason.code for reason in judged.reasons))}
        if document.action == "hold":
            message.expires_at += HELD_MS - message.due_at
            message.due_at = HELD_MS
            message.status = status.SCHEDULED
            changes["waits_for"] = WAITING
        message.extra = msgspec.structs.replace(message.extra, **changes)
        return None

    def _count(self, message: Message, what: str, judged: Judged) -> None:
        day = message.updated_at // DAY_MS
        for reason in judged.reasons:
            self._counts[(message.account_id, message.mode, day, what, reason.code)] += 1

    async def flush(self) -> None:
        """Write down what was counted."""
        counts, self._counts = self._counts, Counter()
        if counts:
            try:
                await self._store.commit(plan(Step(SQL["count_content"], [(*key, n) for key, n in counts.items()])))
            except BaseException:
                self._counts.update(counts)
                raise

    async def sweep(self) -> None:
        await self._store.commit(plan(Step(SQL["sweep_counts"], [(self._clock() // DAY_MS - KEPT_DAYS,)])))


def refusal(judged: Judged, minimum: int) -> Refusal:
    """It, with every reason."""
    errors = [FieldError("text", "content_refused", reason.detail) for reason in judged.reasons]
    return Refusal(
        "content_refused",
        f"The text scores {judged.score}, and {minimum} is needed. {judged.reasons[0].detail}",
        errors,
    )
