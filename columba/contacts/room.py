"""Contacts kept: found, made, changed, removed.

A change is made to a contact as it was read, and tried again where somebody else changed it meanwhile. Refusal
`conflict` for a number that is another's, `invalid_request` for what would be too much of it all, StoreUnavailable.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from columba.contacts import MOST_TAGS, SQL
from columba.contacts.shapes import NewContact, Said, too_large
from columba.core import ids
from columba.core.ids import Ids
from columba.core.model import Json
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.times import rfc3339
from columba.privacy.holding import Holding, Person
from columba.store import Plan, Row, Step, Store, plan
from columba.templates.shapes import tag as spelled

TRIES: Final = 5  # to change what others change at the same moment
MOST_TRIES: Final = 50  # of a batch, in which others may change one after the other
MADE, CHANGED, MOVED = 0, 1, 2  # the places of the steps that say what took effect

_encode = msgspec.json.Encoder().encode
_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_attributes = msgspec.json.Decoder(dict[str, Any]).decode
Owner = tuple[int, int]


class Known(NamedTuple):
    """What is known of a person."""

    number: str
    name: str | None = None
    email: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = {}


class Contact(NamedTuple):
    """A row of `contacts`."""

    id: int
    known: Known
    revision: int
    created_at: int
    updated_at: int


class Put(NamedTuple):
    """What came of one that was put: `made` anew, `changed` or neither; or why it can't be."""

    id: int = 0
    made: bool = False
    changed: bool = False
    refused: Refusal | None = None


def contact_of(row: Row) -> Contact:
    known = Known(row[1], row[2], row[3], row[4], _tags(row[5]), _attributes(row[6]))
    return Contact(row[0], known, row[7], row[8], row[9])


def view(found: Contact) -> Json:
    """As the API shows it."""
    return {
        **shown(found.id, found.known), "created_at": rfc3339(found.created_at), "updated_at": rfc3339(found.updated_at),
    }  # fmt: skip


def shown(an_id: int, known: Known) -> Json:
    """As rules and templates see it."""
    return {
        "id": ids.show("cnt", an_id), "number": known.number, "name": known.name, "email": known.email,
        "language": known.language, "tags": list(known.tags), "attributes": dict(known.attributes),
    }  # fmt: skip


def said_of(new: NewContact) -> Said:
    return Said(name=new.name, email=new.email, language=new.language, tags=new.tags, attributes=dict(new.attributes))


def merged(was: Known, said: Said) -> Known:
    """What is known once something was said. Refusal `invalid_request` where it would be too much."""
    attributes = was.attributes
    if said.attributes:
        attributes = {**attributes, **said.attributes}
        attributes = {name: value for name, value in attributes.items() if value is not None}
    tags = was.tags
    if said.tags is not UNSET:
        tags = tuple(dict.fromkeys(said.tags))
    elif said.add_tags or said.remove_tags:
        tags = tuple(each for each in dict.fromkeys((*tags, *said.add_tags)) if each not in said.remove_tags)
    language = said.language
    if isinstance(language, str):
        language = spelled(language)
    problems = []
    if len(tags) > MOST_TAGS:
        problems.append(FieldError("tags", "too_many", f"Expected at most {MOST_TAGS} tags, got {len(tags)}."))
    if attributes is not was.attributes and (problem := too_large(dict(attributes))):
        problems.append(FieldError("attributes", "too_long", problem))
    if problems:
        raise invalid(problems)
    return Known(
        was.number, _or(said.name, was.name), _or(said.email, was.email), _or(language, was.language), tags, attributes
    )


def _or(new: Any, old: Any) -> Any:
    return old if new is UNSET else new


class Contacts:
    def __init__(self, store: Store, new_id: Ids, clock: Callable[[], int]) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock

    async def find(self, owner: Owner, an_id: int | None) -> Contact | None:
        if an_id is None:
            return None
        rows = await self._store.read(SQL["contact"], id=an_id, account_id=owner[0], mode=owner[1])
        return contact_of(rows[0]) if rows else None

    async def by_number(self, owner: Owner, numbers: Collection[str]) -> dict[str, Contact]:
        rows = await self._store.read(SQL["contacts_by_number"], [(*owner, number) for number in numbers])
        return {row[1]: contact_of(row) for row in rows}

    async def add(self, owner: Owner, known: Known) -> Contact:
        """Refusal `conflict` where the number is somebody's already."""
        change = _Change(self._ids, owner, self._clock())
        an_id = change.insert(known)
        results = await self._store.commit(change.plan())
        if change.is_in(results[MADE]) and (made := await self.find(owner, an_id)) is not None:
            return made
        raise await self._taken(owner, known.number)

    async def _taken(self, owner: Owner, number: str) -> Refusal:
        other = (await self.by_number(owner, [number])).get(number)
        whose = "" if other is None else f": {ids.show('cnt', other.id)}"
        detail = f"There is a contact with this number already{whose}."
        return Refusal("conflict", detail, [FieldError("number", "conflict", detail)])

    async def change(self, owner: Owner, an_id: int | None, number: str | None, said: Said) -> Contact:
        """`number` is the new one, None where that stays."""
        for _ in range(TRIES):
            was = await self.find(owner, an_id)
            if was is None:
                raise Refusal("not_found", "There is no such contact.")
            now = merged(was.known, said)
            if number is not None:
                now = now._replace(number=number)
            if now == was.known:
                return was
            moves = now.number != was.known.number
            if moves and await self.by_number(owner, [now.number]):
                raise await self._taken(owner, now.number)
            change = _Change(self._ids, owner, self._clock())
            change.update(was, now)
            results = await self._store.commit(change.move(was, now) if moves else change.plan())
            if change.is_in(results[MOVED if moves else CHANGED]):
                return await self.find(owner, an_id) or was
        raise Refusal("conflict", "It is being changed by others at this moment.")

    async def put(
        self, owner: Owner, wanted: Sequence[tuple[str, Said]], only_new: bool = False, more: Sequence[Step] = ()
    ) -> list[Put]:
        """By their numbers: those that are known are changed (not with `only_new`), the others are made. A number may
        come twice. `more` is written once all of them are."""
        done: list[Put] = [Put()] * len(wanted)
        left: dict[str, list[int]] = {}
        for place, (number, _) in enumerate(wanted):
            left.setdefault(number, []).append(place)
        for _ in range(MOST_TRIES):
            if left:
                left = await self._put(owner, wanted, left, only_new, done)
            if not left:
                if more:
                    await self._store.commit(plan(*more))
                return done
        raise Refusal("conflict", "They are being changed by others at this moment.")

    async def _put(
        self,
        owner: Owner,
        wanted: Sequence[tuple[str, Said]],
        left: Mapping[str, list[int]],
        only_new: bool,
        done: list[Put],
    ) -> dict[str, list[int]]:
        """Those that somebody else changed meanwhile."""
        there = await self.by_number(owner, left)
        change = _Change(self._ids, owner, self._clock())
        tried: dict[int, str] = {}
        for number in sorted(left):  # in one order, so that no two wait for each other
            was = there.get(number)
            an_id, known = (0, Known(number)) if was is None else (was.id, was.known)
            made = was is None
            for place in left[number]:
                done[place], known = _step(an_id, known, wanted[place][1], made, only_new)
                made = made and done[place].refused is not None
            if was is None and not made:
                an_id = change.insert(known)
                for place in left[number]:
                    done[place] = done[place]._replace(id=an_id)
                tried[change.revision] = number
            elif was is not None and known != was.known:
                change.update(was, known)
                tried[change.revision] = number
        if not tried:
            return {}
        results = await self._store.commit(change.plan())
        landed = {row[0] for row in (*results[MADE], *results[CHANGED])}
        return {number: left[number] for revision, number in tried.items() if revision not in landed}

    async def remove(self, owner: Owner, an_id: int | None) -> None:
        for _ in range(TRIES):
            was = await self.find(owner, an_id)
            if was is None:
                raise Refusal("not_found", "There is no such contact.")
            if await self._remove(owner, was):
                return
        raise Refusal("conflict", "It is being changed by others at this moment.")

    async def _remove(self, owner: Owner, was: Contact) -> bool:
        tags = [(was.revision, *owner, tag, was.id) for tag in was.known.tags]
        results = await self._store.commit(
            plan(
                Step(SQL["delete_contacts"], [(was.revision, was.id)]), Step(SQL["delete_contact_tags"], tags, given=0)
            )
        )
        return any(row[0] == was.revision for row in results[0])

    # Persons

    async def _of(self, person: Person) -> Contact | None:
        return (await self.by_number((person.account_id, person.mode), [person.number])).get(person.number)

    async def _show(self, person: Person) -> AsyncIterator[Json]:
        found = await self._of(person)
        if found is not None:
            yield view(found)

    async def _erase(self, person: Person) -> int | None:
        found = await self._of(person)
        if found is None:
            return None
        return int(await self._remove((person.account_id, person.mode), found))

    def holding(self) -> Holding:
        """What is known of a person: shown and erased."""
        return Holding("contacts", self._show, self._erase)


def _step(an_id: int, was: Known, said: Said, new: bool, only_new: bool) -> tuple[Put, Known]:
    """One row more that says something of a person."""
    if only_new and not new:
        return Put(an_id), was
    try:
        now = merged(was, said)
    except Refusal as refusal:
        return Put(an_id, refused=refusal), was
    return Put(an_id, new, not new and now != was), now


class _Change:
    """The rows of a plan that makes and changes contacts."""

    def __init__(self, new_id: Ids, owner: Owner, now: int) -> None:
        self.revision = 0  # of what was added last
        self._ids = new_id
        self._owner = owner
        self._now = now
        self._made: list[Row] = []
        self._changed: list[Row] = []
        self._new_tags: tuple[list[Row], list[Row]] = ([], [])
        self._old_tags: list[Row] = []

    def insert(self, known: Known) -> int:
        """Its id."""
        self.revision = an_id = self._ids()
        self._made.append((an_id, an_id, *self._owner, *_row(known), self._now))
        self._new_tags[0].extend((an_id, *self._owner, tag, an_id) for tag in known.tags)
        return an_id

    def update(self, was: Contact, known: Known) -> None:
        self.revision = revision = self._ids()
        now = max(self._now, was.updated_at)
        self._changed.append((revision, was.id, was.revision, *_row(known), now))
        before, after = set(was.known.tags), set(known.tags)
        self._old_tags += [(revision, *self._owner, tag, was.id) for tag in sorted(before - after)]
        self._new_tags[1].extend((revision, *self._owner, tag, was.id) for tag in sorted(after - before))

    def plan(self) -> Plan:
        return plan(
            Step(SQL["insert_contacts"], self._made),
            Step(SQL["update_contacts"], self._changed),
            Step(SQL["delete_contact_tags"], self._old_tags, given=CHANGED),
            Step(SQL["insert_contact_tags"], self._new_tags[0], given=MADE),
            Step(SQL["insert_contact_tags"], self._new_tags[1], given=CHANGED),
        )

    def move(self, was: Contact, known: Known) -> Plan:
        """To another number: a contact that is there for a moment keeps it from everybody else."""
        held = (self.revision, self.revision, *self._owner, *_row(Known(known.number)), was.created_at)
        return plan(
            Step(SQL["insert_contacts"], [held]),
            Step(SQL["delete_contacts"], [(self.revision, self.revision)], given=0),
            Step(SQL["update_contacts"], self._changed, given=0),
            Step(SQL["delete_contact_tags"], self._old_tags, given=MOVED),
            Step(SQL["insert_contact_tags"], self._new_tags[1], given=MOVED),
        )

    def is_in(self, result: Sequence[Row]) -> bool:
        """Did it take effect?"""
        return any(row[0] == self.revision for row in result)


def _row(known: Known) -> Row:
    name = known.name
    return (
        known.number, name, (name or "").casefold(), known.email, known.language, _encode(known.tags).decode(),
        _encode(known.attributes).decode(),
    )  # fmt: skip
