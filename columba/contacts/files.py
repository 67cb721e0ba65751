"""`/v1/contacts/imports`, and the contacts as a CSV file: of any size, in pages, never held whole."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response

from columba.contacts import SQL
from columba.contacts.api import TAG, owner_of
from columba.contacts.room import Contact, Owner, contact_of
from columba.contacts.rows import cell_of
from columba.contacts.shapes import ATTRIBUTE
from columba.core import ids
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.times import rfc3339
from columba.imports.api import endpoints as import_endpoints
from columba.imports.room import Imports
from columba.imports.writing import csv_of, file_answer, plain
from columba.store import Store

AT_ONCE: Final = 2_000  # contacts of a page of a file
MOST_COLUMNS: Final = 200  # attributes with a column of their own; others share one
FIRST: Final = ("number", "name", "email", "language", "tags")
ANNOUNCING: Final = """
Then send it to the `upload_url` of the answer. Who is in it is found by the number: new ones are made, those that are
known changed, unless `known` is `skip`.
""".strip()
SENDING: Final = """
The file itself, as the body, in UTF-8: comma, semicolon or tab between columns. A heading names them in any order:
`number` (or `phone`, `mobile`), `name`, `email`, `language`, `tags` (with `,`, `;` or `|` between them), `attributes.plan`
for an attribute. Other columns are attributes that are called as they are, unless the announcement says otherwise; an empty
cell leaves what is known. It is read as it comes and may be of any size. Sent again after an interruption, it goes on where
it stopped; meanwhile `GET /v1/contacts/imports/{id}` says how far it is.
""".strip()


def endpoints(store: Store, imports: Imports) -> list[Endpoint]:
    @endpoint("GET", "/v1/contacts/export", media="text/csv", scope="contacts:read", tag=TAG, summary="Export contacts")
    async def export_contacts(call: Call[None, None]) -> Response:
        """All of them as CSV, the oldest first, with a column for each attribute. The file can be imported again."""
        return file_answer("contacts.csv", lines(store, owner_of(call)))

    files = import_endpoints(
        imports, base="/v1/contacts/imports", read="contacts:read", tag=TAG, noun="contact_import", of="contacts",
        announcing=ANNOUNCING, sending=SENDING, refusals=(),
        example={"name": "members.csv", "tags": ["members"], "columns": {"Mobile no.": "number", "Shoe size": None}},
    )  # fmt: skip
    return [export_contacts, *files]


async def _pages(store: Store, owner: Owner) -> AsyncIterator[list[Contact]]:
    after = 0
    while True:
        rows = await store.read(SQL["contacts_from"], account_id=owner[0], mode=owner[1], after=after, most=AT_ONCE)
        if rows:
            yield [contact_of(row) for row in rows]
        if len(rows) < AT_ONCE:
            return
        after = rows[-1][0]


async def lines(store: Store, owner: Owner) -> AsyncIterator[str]:
    names: dict[str, None] = {}  # of all attributes: they are the columns
    more = False
    async for found in _pages(store, owner):
        for each in found:
            for name in each.known.attributes:
                if name in names or len(names) < MOST_COLUMNS:
                    names[name] = None
                else:
                    more = True
    columns = [*names]
    last = ["attributes"] if more else []
    yield csv_of([[*FIRST, *(ATTRIBUTE + name for name in columns), *last, "id", "created_at", "updated_at"]])
    async for found in _pages(store, owner):
        yield csv_of(_row(each, columns, more) for each in found)


def _row(found: Contact, columns: Sequence[str], more: bool) -> list[str]:
    known = found.known
    attributes: dict[str, Any] = dict(known.attributes)
    cells = [plain(cell_of(attributes.pop(name))) if name in attributes else "" for name in columns]
    rest = [msgspec.json.encode(attributes).decode() if attributes else ""] if more else []
    return [
        known.number, plain(known.name), plain(known.email), known.language or "", plain(", ".join(known.tags)), *cells,
        *rest, ids.show("cnt", found.id), rfc3339(found.created_at), rfc3339(found.updated_at),
    ]  # fmt: skip
