"""What verifications hold of a person: shown and erased. Their events are erased with all that name the number."""

from collections.abc import AsyncIterator, Callable

from columba.core.model import Json
from columba.privacy.holding import Holding, Person
from columba.store import Step, Store, plan
from columba.verify.found import SQL, found_of, view
from columba.verify.verifying import AT_ONCE


def holding(store: Store, clock: Callable[[], int]) -> Holding:
    async def show(person: Person) -> AsyncIterator[Json]:
        after = 0
        while rows := await store.read(
            SQL["verifications_to"], account_id=person.account_id, mode=person.mode, to_addr=person.number, after=after,
            most=AT_ONCE,
        ):  # fmt: skip
            after = rows[-1][0]
            for row in rows:
                found = found_of(row)
                yield {**view(found, clock()), "address": found.asked.address, "device": found.asked.device}

    async def erase(person: Person) -> int | None:
        rows = await store.read(
            SQL["verifications_to"], account_id=person.account_id, mode=person.mode, to_addr=person.number, after=0,
            most=AT_ONCE,
        )  # fmt: skip
        counted = [(person.account_id, person.mode, f"{kind}:{person.number}") for kind in ("to", "chk")]
        results = await store.commit(
            plan(
                Step(SQL["erase_verifications"], [(row[0],) for row in rows]),
                Step(SQL["erase_counts"], [] if rows else counted),
            )
        )
        return len(results[0]) if rows else None

    return Holding("verifications", show, erase)
