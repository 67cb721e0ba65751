"""The ledger: what people said about being texted, and all that follows from it in the same transaction.

Rows are only ever added (privacy alone takes them out). `steps` is the one way in, for what is said in texts, by the API,
in files and by carriers: the row, where the person stands now, the messages to be stopped, the answer and the event.
Results of a plan may be those of many callers: `stored` looks at its own. Fails with StoreUnavailable.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from columba.consent import ACTIONS, ALWAYS, EVERY_CLASS, OPT_IN, OPT_OUT, REQUESTED, SQL
from columba.consent.hashes import Hashes
from columba.consent.replies import AGAIN_MS, Replies, Reply
from columba.consent.stopping import Stop, Stopping
from columba.core import events, ids, model, status
from columba.core.ids import Ids
from columba.core.model import Event
from columba.store import Results, Row, Step, Store, plan

STEPS = 12  # of `steps`
CHANGED, REPLIED = 3, 8  # places in them
REQUEST_MS = 7 * 86_400_000  # how long a yes is waited for
MARGIN_MS = 5_000  # clocks of processes differ
EVENTS = {OPT_OUT: model.CONSENT_OPTED_OUT, OPT_IN: model.CONSENT_OPTED_IN, REQUESTED: model.CONSENT_REQUESTED}


class Said(NamedTuple):
    """What somebody said. `sender` '' and `klass` -1 are all of them; `at` is when."""

    account_id: int
    mode: int
    number: str
    action: int
    source: str
    at: int
    sender: str = ""
    klass: int = EVERY_CLASS
    purpose: str | None = None
    words: str | None = None
    language: str | None = None
    proof: str | None = None
    message_id: int | None = None
    import_id: int | None = None
    only_if: int = ALWAYS
    reply: tuple[str, str, str] | None = None  # from, kind, text
    quiet: bool = False  # one of many: it makes no event, and is stopped for where there is something to stop


class Entry(NamedTuple):
    """It, with the ids that it is written under."""

    ref: int
    id: int
    said: Said
    event: Event | None
    reply: Reply | None


class Ledger:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        hashes: Hashes,
        publisher: events.Publisher,
        stopping: Stopping,
        replies: Replies,
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self.hashes = hashes
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._stopping = stopping
        self._replies = replies
        self._spawn = spawn

    def entry(self, said: Said, ref: int | None = None) -> Entry:
        """`ref` is the inbound text that it stands and falls with."""
        an_id = self._ids()
        event = reply = None
        if not said.quiet:
            event = Event(
                self._ids(), said.account_id, said.mode, EVENTS[said.action], an_id, self._clock(), view_of(an_id, said)
            )
        if said.reply is not None:
            sender, kind, text = said.reply
            reply = Reply(self._ids(), said.account_id, said.mode, said.number, sender, kind, text)
        return Entry(an_id if ref is None else ref, an_id, said, event, reply)

    def steps(self, entries: Sequence[Entry], at: int, given: int | None = None) -> list[Step]:
        """Twelve steps, the first at the place `at`; nothing leaves to who opts out from now on."""
        now = self._clock()
        record: list[Row] = []
        stops: list[Row] = []
        replies: list[Row] = []
        made: list[Row] = []
        before = ids.first_at(now + MARGIN_MS)
        for ref, an_id, said, event, reply in entries:
            number_hash = self.hashes(said.number)
            record.append(
                (
                    ref, an_id, said.account_id, said.mode, number_hash, said.number, said.sender, said.klass,
                    said.purpose, said.action, said.source, said.at, said.words, said.language, said.proof,
                    said.message_id, said.import_id, said.only_if, now,
                )
            )  # fmt: skip
            if said.action == OPT_OUT:
                stops.append((an_id, before, reply.id if reply is not None else 0, now, 0 if said.quiet else 1))
                self._stopping.storing((said.account_id, said.mode, said.number))
            if reply is not None:
                replies.append(
                    (
                        an_id, reply.id, reply.account_id, reply.mode, number_hash, reply.number, reply.sender,
                        reply.kind, reply.text, now, now - AGAIN_MS,
                    )
                )  # fmt: skip
            if event is not None:
                made.append(events.row(event))
        own = [(entry.id,) for entry in entries]
        asked = [(entry.id, now + REQUEST_MS) for entry in entries if entry.said.action == REQUESTED]
        backs = [(entry.id,) for entry in entries if entry.said.action == OPT_IN]
        final = [(entry.id,) for entry in entries if entry.said.action != REQUESTED]
        return [
            Step(SQL["record"], record, given=given),
            Step(SQL["drop_narrower"], final, given=at),
            Step(SQL["set_standings"], final, given=at),
            Step(SQL["changed"], own, given=at),
            Step(SQL["insert_stopping"], stops, given=at),
            Step(SQL["drop_stopping"], backs, given=at),
            Step(SQL["set_requests"], asked, given=at),
            Step(SQL["drop_requests"], final, given=at),
            Step(SQL["insert_replies"], replies, given=at + CHANGED),
            *events.steps(made, at + 9, given=at + CHANGED),
        ]

    def stored(self, results: Results, at: int, entries: Sequence[Entry]) -> set[int]:
        """After the commit: tell of it, stop what is to be stopped, answer. The ids of those that were recorded."""
        recorded = {row[0] for row in results[at]}
        changed = {row[0] for row in results[at + CHANGED]}
        answered = {row[0] for row in results[at + REPLIED]}
        now = self._clock()
        happened: dict[int, Event] = {}
        for _, an_id, said, event, reply in entries:
            person = (said.account_id, said.mode, said.number)
            if said.action == OPT_OUT and not said.quiet:
                stop = Stop(
                    an_id,
                    *person,
                    said.sender,
                    said.klass,
                    ids.first_at(now + MARGIN_MS),
                    reply.id if reply else 0,
                    now,
                )
                self._stopping.stored(person, (stop,) if an_id in recorded else ())
            elif said.action == OPT_IN and an_id in recorded:
                self._stopping.lifted(person, said.sender, said.klass, an_id)
            if event is not None and an_id in changed:
                happened[event.id] = event
            if reply is not None and reply.id in answered:
                self._spawn(self._replies.send(reply))
        self._publisher.published(results[at + 10], happened)
        return recorded

    def failed(self, entries: Sequence[Entry]) -> None:
        """It was not stored."""
        for entry in entries:
            if entry.said.action == OPT_OUT:
                self._stopping.stored((entry.said.account_id, entry.said.mode, entry.said.number), ())

    async def record(self, said: Sequence[Said], *also: Step) -> list[int | None]:
        """Write it down by itself, or with more steps: the ids, None for what was not to be recorded."""
        entries = [self.entry(each) for each in said]
        try:
            results = await self._store.commit(plan(*self.steps(entries, 0), *also))
        except BaseException:
            self.failed(entries)
            raise
        recorded = self.stored(results, 0, entries)
        quiet = [each for each in said if each.quiet and each.action == OPT_OUT]
        if quiet:
            await self._stopping.step()
            for each in quiet:
                self._stopping.stored((each.account_id, each.mode, each.number), ())
        return [entry.id if entry.id in recorded else None for entry in entries]

    async def standings(self, account_id: int, mode: int, number: str) -> list[Row]:
        """(sender, class, state, at, consent id), the newest word first."""
        return await self._store.read(SQL["standings_of"], account_id=account_id, mode=mode, hash=self.hashes(number))


def deciding(standings: Sequence[Row], sender: str, klass: int, pools: Sequence[str] = ()) -> Row | None:
    """The word that decides over a message: the newest that covers it."""
    for row in standings:
        if row[0] in ("", sender, *pools) and row[1] in (EVERY_CLASS, klass):
            return row
    return None


def view_of(an_id: int, said: Said) -> model.Json:
    return view(
        (
            an_id, said.number, said.sender, said.klass, said.purpose, said.action, said.source, said.at, said.words,
            said.language, said.proof, said.message_id, said.import_id,
        )
    )  # fmt: skip


def view(row: Row) -> model.Json:
    """A row of the ledger as the API and events show it."""
    an_id, number, sender, klass, purpose, action, source, at, words, language, proof, message_id, import_id = row
    return {
        "id": ids.show("con", an_id),
        "number": number or None,
        "action": ACTIONS[action],
        "class": None if klass == EVERY_CLASS else status.CLASSES[klass],
        "sender": sender or None,
        "purpose": purpose,
        "source": source,
        "at": model.rfc3339(at),
        "recorded_at": model.rfc3339(ids.time_of(an_id)),
        "words": words,
        "language": language,
        "proof": None if proof is None else json.loads(proof),
        "message_id": None if message_id is None else ids.show("msg", message_id),
        "import_id": None if import_id is None else ids.show("imp", import_id),
    }


def proof_text(proof: Any) -> str | None:
    return None if proof is None else json.dumps(proof, ensure_ascii=False)
