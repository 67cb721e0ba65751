"""What rules did with a person's texts: shown, and erased with them."""

from collections.abc import AsyncIterator

from columba.core import ids
from columba.core.model import Json, rfc3339
from columba.forwarding.runs import SQL, about, error_view
from columba.privacy import others
from columba.privacy.holding import Holding, Person
from columba.privacy.people import AT_ONCE
from columba.store import Store


def holding(store: Store) -> Holding:
    async def show(person: Person) -> AsyncIterator[Json]:
        after = 0
        while rows := await store.read(
            SQL["runs_of_person"], number=person.number, account_id=person.account_id, mode=person.mode, after=after,
            most=AT_ONCE,
        ):  # fmt: skip
            after = rows[-1][0]
            for message_id, an_id, rule_id, kind, state, at, answer_status, error in rows:
                if an_id is not None:
                    told = {"answer_status": answer_status, "error": error_view(error), "at": rfc3339(at)}
                    yield about(an_id, rule_id, kind, state, message=ids.show("msg", message_id), **told)

    return Holding("forwards", show, parts=others.forwards)
