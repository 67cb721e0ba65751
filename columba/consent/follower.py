"""Hears what people say of being texted: the first follower of inbound texts, and of what carriers refuse.

A text that means stop, start or help is recorded and answered in the transaction that records the text, and marked as
handled, so that only a rule that names it sees it. A word that often means something else ("yes") counts only for
somebody who has opted out or was asked to confirm, and rules see it too. A carrier's word that somebody has opted out
goes to the same ledger.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from columba.consent import EVERY_CLASS, IF_IN_QUESTION, IF_NEW, OPT_IN, OPT_OUT, SQL
from columba.consent.ledger import STEPS, Entry, Ledger, Said
from columba.consent.pools import Pools
from columba.consent.replies import AGAIN_MS, Replies, Reply
from columba.consent.settings import Document, InForce
from columba.core import events, model
from columba.core.ids import Ids
from columba.core.inbound import RECORDED, Heard
from columba.core.model import Message
from columba.policies import Policy
from columba.store import Results, Step, Store, StoreUnavailable

MINE: Final = "consent"
HELP: Final = STEPS  # the place of the step for help, after those of the ledger

log = structlog.get_logger()
Spawn = Callable[[Awaitable[None]], None]


class Follower:
    """Of columba.core.inbound."""

    def __init__(
        self,
        policy: Policy[Document, InForce],
        ledger: Ledger,
        replies: Replies,
        pools: Pools,
        new_id: Ids,
        clock: Callable[[], int],
        spawn: Spawn,
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._replies = replies
        self._pools = pools
        self._ids = new_id
        self._clock = clock
        self._spawn = spawn

    def steps(self, heard: Sequence[Heard], at: int) -> Sequence[Step]:
        entries: list[Entry] = []
        helps: list[Reply] = []
        for each in heard:
            made = self._understood(each)
            if isinstance(made, Entry):
                entries.append(made)
            elif made is not None:
                helps.append(made)
            if made is not None:
                each.noticed[MINE] = made
        if not entries and not helps:
            return ()
        now = self._clock()
        by_id = {each.noticed[MINE].id: each.message.id for each in heard if MINE in each.noticed}
        rows = [
            (
                by_id[reply.id], reply.id, reply.account_id, reply.mode, self._ledger.hashes(reply.number), reply.number,
                reply.sender, reply.kind, reply.text, now, now - AGAIN_MS,
            )
            for reply in helps
        ]  # fmt: skip
        return [*self._ledger.steps(entries, at, RECORDED), Step(SQL["insert_replies"], rows, given=RECORDED)]

    def _understood(self, heard: Heard) -> Entry | Reply | None:
        message = heard.message
        if not message.sender.startswith("+"):
            return None
        in_force = self._policy.of(message.account_id, message.mode)
        told: str | None = heard.noticed.get("opt_out")  # the carrier's own word, and its own answer
        found = in_force.matcher(message.text or "")
        if told is None and found is None:
            return None
        meaning = told or (found.meaning if found is not None else "")
        language = found.language if found is not None else in_force.document.language
        heard.keyword = "start" if meaning == "weak" else meaning
        heard.handled = meaning != "weak"
        text = "" if told else in_force.answer(heard.keyword, language)
        if meaning == "help":
            if not text:
                return None
            return Reply(self._ids(), message.account_id, message.mode, message.sender, message.to, "help", text)
        said = Said(
            message.account_id, message.mode, message.sender, OPT_OUT if meaning == "stop" else OPT_IN,
            "carrier" if told else "keyword", message.updated_at,
            sender=self._scope(message, in_force.document), klass=EVERY_CLASS, words=message.text,
            language=language, message_id=message.id, only_if=IF_IN_QUESTION if meaning == "weak" else 0,
            reply=(message.to, heard.keyword, text) if text else None,
        )  # fmt: skip
        return self._ledger.entry(said, message.id)

    def _scope(self, message: Message, document: Document) -> str:
        """What a stop or a start to one of the account's numbers is about."""
        if document.stop_scope == "account":
            return ""
        pools = self._pools.of(message.account_id, message.mode, message.to) if document.stop_scope == "pool" else ()
        return pools[0] if pools else message.to

    def published(self, results: Results, at: int, recorded: Sequence[Heard]) -> None:
        mine = [each.noticed[MINE] for each in recorded if MINE in each.noticed]
        if not mine:
            return
        self._ledger.stored(results, at, [each for each in mine if isinstance(each, Entry)])
        answered = {row[0] for row in results[at + HELP]}
        for each in mine:
            if isinstance(each, Reply) and each.id in answered:
                self._spawn(self._replies.send(each))


class Carriers:
    """Messages that failed because the carrier says that the person has opted out there."""

    def __init__(self, store: Store, ledger: Ledger, spawn: Spawn) -> None:
        self._store = store
        self._ledger = ledger
        self._spawn = spawn

    def failed(self, failures: Sequence[events.Failure]) -> None:
        """(message id, error, the carrier's code) of messages that have just failed."""
        those = [(an_id, code) for an_id, error, code in failures if error == "opted_out"]
        if those:
            self._spawn(self._record(those))

    async def _record(self, those: Sequence[tuple[int, str | None]]) -> None:
        try:
            codes = dict(those)
            said = []
            for row in await self._store.read(events.SQL["messages_by_id"], [(an_id,) for an_id in codes]):
                message = model.message_of(row)
                said.append(
                    Said(
                        message.account_id, message.mode, message.to, OPT_OUT, "carrier", message.updated_at,
                        sender=message.sender, words=codes[message.id], message_id=message.id, only_if=IF_NEW,
                    )
                )  # fmt: skip
            await self._ledger.record(said)
        except StoreUnavailable:
            log.warning("consent.carrier_opt_out_not_recorded", messages=len(those))
