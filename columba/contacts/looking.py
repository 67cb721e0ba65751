"""Who texts: contacts looked up for rules and templates, in one read for all that ask at that moment.

While a read is under way those who ask gather for the next, so that there is one at a time and everybody is answered in
the order of asking. What is not found is not there. Raises what the store raises.
"""

import asyncio
from collections.abc import Collection, Mapping

import msgspec

from columba.contacts import SQL
from columba.contacts.room import Known, shown
from columba.core.model import Json
from columba.store import Store

Who = tuple[int, int, str]  # account, mode, number

_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_attributes = msgspec.json.Decoder(dict[str, object]).decode


class Looking:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[Who, None] = {}
        self._next: asyncio.Future[Mapping[Who, Json]] | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __call__(self, people: Collection[Who]) -> Mapping[Who, Json]:
        """Those who are known, and others that somebody else asked for."""
        self._wanted |= dict.fromkeys(people)
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._next)

    async def _read(self) -> None:
        try:
            while self._next is not None:
                wanted, answer = [*self._wanted], self._next
                self._wanted, self._next = {}, None
                try:
                    rows = await self._store.read(SQL["known"], wanted)
                    found = {(row[0], row[1], row[2]): _shown(row) for row in rows}
                except Exception as error:
                    answer.set_exception(error)
                    answer.exception()  # whoever asked may have gone
                else:
                    answer.set_result(found)
        finally:
            self._reading = None


def _shown(row: tuple[object, ...]) -> Json:
    _, _, number, an_id, name, email, language, tags, attributes = row
    known = Known(number, name, email, language, _tags(tags), _attributes(attributes))  # type: ignore[arg-type]
    return shown(an_id, known)  # type: ignore[arg-type]
