"""`/v1/contacts`: added, found, changed, removed. Each belongs to an account in one of its modes."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from columba.contacts import SQL, shapes
from columba.contacts.room import Contacts, Known, contact_of, merged, said_of, view
from columba.core import ids
from columba.core.model import Json
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Answer, Call, Endpoint, endpoint
from columba.http.paging import Page, decode_cursor, page
from columba.keys import Key
from columba.numbers import NumberError, normalise
from columba.store import Store

TAG: Final = "Contacts"
NEWEST: Final = (1 << 63) - 1
BEYOND: Final = "\U0010ffff"  # no name begins so
EXAMPLE: Final[Json] = {
    "number": "+447700900123",
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "language": "en",
    "tags": ["vip"],
    "attributes": {"plan": "gold", "seats": 12},
}


def endpoints(contacts: Contacts, store: Store, country: Callable[[int], str | None]) -> list[Endpoint]:
    """`country` gives an account's default country."""

    def number_of(call: Call[Any, Any], raw: str) -> str:
        try:
            return normalise(raw, country(caller_of(call).account_id))
        except NumberError as error:
            raise invalid([FieldError("number", "invalid_number", error.detail)]) from None

    @endpoint(
        "POST", "/v1/contacts", body=shapes.NewContact, answer=shapes.Contact, status=201, scope="contacts:write",
        tag=TAG, summary="Add a contact", refusals=("invalid_number", "conflict"), example=EXAMPLE,
    )  # fmt: skip
    async def create_contact(call: Call[shapes.NewContact, None]) -> Json:
        """Rules and templates see it as `contact` when a text comes from its number. Refused where the number is a
        contact's already, whose id is named: PUT changes that."""
        number = number_of(call, call.body.number)
        return view(await contacts.add(owner_of(call), merged(Known(number), said_of(call.body))))

    @endpoint(
        "PUT", "/v1/contacts", body=shapes.PutContact, answer=shapes.Contact, scope="contacts:write", tag=TAG,
        summary="Add or change a contact by its number", refusals=("invalid_number", "conflict"),
        example={"number": "+447700900123", "add_tags": ["newsletter"], "attributes": {"plan": "gold"}},
    )  # fmt: skip
    async def put_contact(call: Call[shapes.PutContact, None]) -> Any:
        """Changes the contact with this number: what is left out stays. Where there is none it is made, and the answer
        is a 201."""
        number, owner = number_of(call, call.body.number), owner_of(call)
        (done,) = await contacts.put(owner, [(number, call.body)])
        if done.refused is not None:
            raise done.refused
        found = await contacts.find(owner, done.id)
        if found is None:
            raise Refusal("conflict", "It was removed at this moment.")
        return Answer(view(found), 201) if done.made else view(found)

    @endpoint(
        "GET", "/v1/contacts", query=shapes.ContactList, answer=Page[shapes.Contact], scope="contacts:read", tag=TAG,
        summary="List contacts",
    )  # fmt: skip
    async def list_contacts(call: Call[None, shapes.ContactList]) -> Page[Json]:
        """The newest first; with `name`, by their names."""
        query, owner = call.query, owner_of(call)
        if query.number is not None:
            found = (await contacts.by_number(owner, [number_of(call, query.number)])).values()
            return Page([view(each) for each in found if _fits(each.known, query)])
        asked: dict[str, Any] = {"account_id": owner[0], "mode": owner[1], "most": query.limit + 1}
        if query.name is not None:
            begins = query.name.casefold()
            by_name = decode_cursor(query.cursor, tuple[str, int]) or ("", 0)
            rows = await store.read(
                SQL["contacts_named"], **asked, first=max(begins, by_name[0]), beyond=begins + BEYOND, folded=by_name[0],
                after=by_name[1], tag=query.tag or "",
            )  # fmt: skip
            return page(rows, query.limit, lambda row: view(contact_of(row)), lambda row: (row[10], row[0]))
        last = decode_cursor(query.cursor, tuple[int])
        asked["before"] = NEWEST if last is None else last[0]
        if query.tag is not None:
            rows = await store.read(SQL["contacts_tagged"], **asked, tag=query.tag)
        else:
            rows = await store.read(SQL["contacts"], **asked)
        return page(rows, query.limit, lambda row: view(contact_of(row)), lambda row: (row[0],))

    @endpoint(
        "GET", "/v1/contacts/{id}", answer=shapes.Contact, scope="contacts:read", tag=TAG, summary="Read a contact"
    )
    async def get_contact(call: Call[None, None]) -> Json:
        found = await contacts.find(owner_of(call), ids.read("cnt", call.path["id"]))
        if found is None:
            raise Refusal("not_found", "There is no such contact.")
        return view(found)

    @endpoint(
        "PATCH", "/v1/contacts/{id}", body=shapes.ContactChange, answer=shapes.Contact, scope="contacts:write", tag=TAG,
        summary="Change a contact", refusals=("invalid_number", "conflict"),
        example={"tags": ["vip", "london"], "attributes": {"plan": None}},
    )  # fmt: skip
    async def update_contact(call: Call[shapes.ContactChange, None]) -> Json:
        """Rules and templates see it at once."""
        asked = call.body
        number = None if asked.number is UNSET else number_of(call, asked.number)
        return view(await contacts.change(owner_of(call), ids.read("cnt", call.path["id"]), number, asked))

    @endpoint("DELETE", "/v1/contacts/{id}", scope="contacts:write", tag=TAG, summary="Remove a contact")
    async def delete_contact(call: Call[None, None]) -> None:
        """Messages, consent and all else that is kept of the person stay: POST /v1/privacy/erase erases those too."""
        await contacts.remove(owner_of(call), ids.read("cnt", call.path["id"]))

    return [create_contact, put_contact, list_contacts, get_contact, update_contact, delete_contact]


def _fits(known: Known, query: shapes.ContactList) -> bool:
    begins = (query.name or "").casefold()
    return (query.tag is None or query.tag in known.tags) and (known.name or "").casefold().startswith(begins)


def owner_of(call: Call[Any, Any]) -> tuple[int, int]:
    who = caller_of(call)
    return who.account_id, who.mode


def caller_of(call: Call[Any, Any]) -> Key:
    """Who asks."""
    assert isinstance(call.caller, Key)
    return call.caller
