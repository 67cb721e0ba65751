"""`/v1/consents/imports`, and the ledger and the suppressions as CSV files: of any size, in pages, never held whole."""

from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import Response

from columba.consent import ACTIONS, EVERY_CLASS, SQL
from columba.core import ids, model, status
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.imports.api import endpoints as import_endpoints
from columba.imports.room import Imports
from columba.imports.writing import csv_of, file_answer, plain
from columba.keys import Key
from columba.store import Row, Store

TAG: Final = "Consent"
NEVER_ID: Final = (1 << 63) - 1
AT_ONCE: Final = 2_000  # rows of a page of a file
LEDGER: Final = (
    "id", "number", "action", "class", "sender", "purpose", "source", "at", "recorded_at", "words", "language", "proof",
    "message_id", "import_id",
)  # fmt: skip
SUPPRESSIONS: Final = ("number", "action", "class", "sender", "source", "at", "consent_id")
SENDING: Final = """
The file itself, as the body, in UTF-8: comma, semicolon or tab between columns. A heading names them in any order:
`number` (or `phone`, `to`), `action`, `class`, `sender`, `purpose`, `source`, `at`, `words`, `proof`; without one the
first column is the number. It is read as it comes and may be of any size. Sent again after an interruption, it goes on
where it stopped; meanwhile `GET /v1/consents/imports/{id}` says how far it is.
""".strip()
ANNOUNCING: Final = """
Then send it to the `upload_url` of the answer. What its rows say themselves goes before what is said here. An opt-in never
overrules an opt-out that is newer; one without a time overrules none, unless with `overrule`.
""".strip()


def endpoints(store: Store, imports: Imports) -> list[Endpoint]:
    @endpoint(
        "GET", "/v1/consents/export", media="text/csv", scope="consent:read", tag=TAG, summary="Export the ledger"
    )
    async def export_consents(call: Call[None, None]) -> Response:
        """All rows as CSV, the oldest first, but for those of erased persons. The file can be imported again."""
        who = _caller(call)
        return file_answer("consents.csv", _ledger(store, who.account_id, who.mode))

    @endpoint(
        "GET", "/v1/suppressions/export", media="text/csv", scope="consent:read", tag=TAG,
        summary="Export the suppressions",
    )  # fmt: skip
    async def export_suppressions(call: Call[None, None]) -> Response:
        """Who must not be texted, as CSV, the newest first; those of erased persons, who are no number any more, are left
        out. The file can be imported again."""
        who = _caller(call)
        return file_answer("suppressions.csv", _suppressions(store, who.account_id, who.mode))

    files = import_endpoints(
        imports, base="/v1/consents/imports", read="consent:read", tag=TAG, noun="import", of="consent",
        announcing=ANNOUNCING, sending=SENDING, refusals=("invalid_sender",),
        example={"name": "suppressions of 2026.csv", "action": "opt_out", "source": "former provider"},
    )  # fmt: skip
    return [*files, export_consents, export_suppressions]


async def _ledger(store: Store, account_id: int, mode: int) -> AsyncIterator[str]:
    yield csv_of([LEDGER])
    after = 0
    while True:
        rows = await store.read(SQL["ledger_from"], account_id=account_id, mode=mode, after=after, most=AT_ONCE)
        if rows:
            yield csv_of(_ledger_row(row) for row in rows if row[1])
        if len(rows) < AT_ONCE:
            return
        after = rows[-1][0]


async def _suppressions(store: Store, account_id: int, mode: int) -> AsyncIterator[str]:
    yield csv_of([SUPPRESSIONS])
    before, last = NEVER_ID, NEVER_ID
    while True:
        rows = await store.read(
            SQL["suppressions"], account_id=account_id, mode=mode, before=before, hash=last, most=AT_ONCE
        )
        shown = [_suppression_row(row) for row in rows if row[1]]
        if shown:
            yield csv_of(shown)
        if len(rows) < AT_ONCE:
            return
        before, last = rows[-1][0], rows[-1][6]


def _ledger_row(row: Row) -> list[str]:
    an_id, number, sender, klass, purpose, action, source, at, words, language, proof, message_id, import_id = row
    return [
        ids.show("con", an_id), number, ACTIONS[action], "" if klass == EVERY_CLASS else status.CLASSES[klass], sender,
        plain(purpose), plain(source), model.rfc3339(at), model.rfc3339(ids.time_of(an_id)), plain(words), language or "",
        plain(proof), "" if message_id is None else ids.show("msg", message_id),
        "" if import_id is None else ids.show("imp", import_id),
    ]  # fmt: skip


def _suppression_row(row: Row) -> list[str]:
    consent_id, number, sender, klass, source, at, _ = row
    return [
        number, "opt_out", "" if klass == EVERY_CLASS else status.CLASSES[klass], sender, plain(source), model.rfc3339(at),
        ids.show("con", consent_id),
    ]  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
