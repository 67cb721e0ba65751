"""What rooms below hold of a person, where erasing is no more than a few statements: consent, forwards, routes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from columba.core import ids, status
from columba.core.model import Json, rfc3339
from columba.privacy.holding import Holding, Person
from columba.privacy.people import AT_ONCE, SQL, WAIT_S, national
from columba.store import Step, Store, plan


def consent(store: Store, hash_of: Callable[[str], int]) -> Holding:
    """The ledger's words go; that the person opted out stays, under the keyed hash of the number."""

    async def show(person: Person) -> AsyncIterator[Json]:
        after = 0
        while rows := await store.read(
            SQL["consents_of"], account_id=person.account_id, mode=person.mode, hash=hash_of(person.number), after=after,
            most=AT_ONCE,
        ):  # fmt: skip
            after = rows[-1][0]
            for an_id, sender, klass, purpose, action, source, at, words, language, proof, message_id in rows:
                yield {
                    "id": ids.show("con", an_id),
                    "action": ("opt_out", "opt_in", "opt_in_asked")[action],
                    "sender": sender or None,
                    "class": status.CLASSES[klass] if klass >= 0 else None,
                    "purpose": purpose,
                    "source": source,
                    "at": rfc3339(at),
                    "words": words,
                    "language": language,
                    "proof": proof,
                    "message_id": None if message_id is None else ids.show("msg", message_id),
                }

    async def erase(person: Person) -> int | None:
        rows = [(person.account_id, person.mode, hash_of(person.number), person.number)]
        names = ("erase_consents", "erase_opt_in_requests", "erase_consent_replies")
        refused = [(person.account_id, person.mode, person.number, national(person.number))]
        results = await store.commit(
            plan(*(Step(SQL[name], rows) for name in names), Step(SQL["erase_import_refusals"], refused))
        )
        ((left,),) = await store.read(
            SQL["still_stopping"], account_id=person.account_id, mode=person.mode, hash=hash_of(person.number)
        )
        if left:  # an opt-out of a moment ago is still being carried out; its row goes by itself
            await asyncio.sleep(WAIT_S)
        return len(results[0]) if left or results[0] else None

    return Holding("consents", show, erase)


def forwards(message_ids: Sequence[int]) -> Sequence[Step]:
    """Forwards, replies and tags that rules made of texts, and what came back."""
    rows = [(an_id,) for an_id in message_ids]
    return [Step(SQL[name], rows) for name in ("erase_run_attempts", "erase_runs", "erase_second_routes")]
