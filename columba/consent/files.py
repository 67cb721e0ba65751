"""`/v1/consents/imports`, and the ledger and the suppressions as CSV files: of any size, in pages, never held whole."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from columba.consent import ACTIONS, EVERY_CLASS, SQL
from columba.consent.imports import FORMULA, PATH, Imports, Which
from columba.consent.shapes import Import, NewImport, RowRefusal
from columba.core import ids, model, status
from columba.http.endpoint import Call, Endpoint, describe, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
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
UPLOAD: Final = """
The file itself, as the body, in UTF-8: comma, semicolon or tab between columns. A heading names them in any order:
`number` (or `phone`, `to`), `action`, `class`, `sender`, `purpose`, `source`, `at`, `words`, `proof`; without one the
first column is the number. It is read as it comes and may be of any size. Sent again after an interruption, it goes on
where it stopped; meanwhile `GET /v1/consents/imports/{id}` says how far it is.
""".strip()


def endpoints(store: Store, imports: Imports) -> list[Endpoint]:
    @endpoint(
        "POST", "/v1/consents/imports", body=NewImport, answer=Import, status=201, scope="consent:write", tag=TAG,
        summary="Announce a file of consent", refusals=("invalid_sender",),
        example={"name": "suppressions of 2026.csv", "action": "opt_out", "source": "former provider"},
    )  # fmt: skip
    async def create_import(call: Call[NewImport, None]) -> model.Json:
        """Then send it to the `upload_url` of the answer. What its rows say themselves goes before what is said here. An
        opt-in never overrules an opt-out that is newer; one without a time overrules none, unless with `overrule`."""
        return await imports.announce(_caller(call), call.body)

    upload = describe(
        "POST", PATH, name="upload_import", tag=TAG, summary="Send a file of consent", description=UPLOAD,
        query=Which, answer=Import, scope="consent:write", refusals=("conflict", "not_found"), idempotency="none",
    )  # fmt: skip

    @endpoint(
        "GET", "/v1/consents/imports", query=Paging, answer=Page[Import], scope="consent:read", tag=TAG,
        summary="List files of consent",
    )  # fmt: skip
    async def list_imports(call: Call[None, Paging]) -> Page[model.Json]:
        who, query = _caller(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        rows = await store.read(
            SQL["imports"], account_id=who.account_id, mode=who.mode, most=query.limit + 1,
            before=NEVER_ID if last is None else last[0],
        )  # fmt: skip
        return page(rows, query.limit, imports.view, lambda row: (row[0],))

    @endpoint(
        "GET", "/v1/consents/imports/{id}", answer=Import, scope="consent:read", tag=TAG,
        summary="See how far a file has come",
    )  # fmt: skip
    async def get_import(call: Call[None, None]) -> model.Json:
        return await imports.find(_caller(call), ids.read("imp", call.path["id"]))

    @endpoint(
        "GET", "/v1/consents/imports/{id}/refusals", query=Paging, answer=Page[RowRefusal], scope="consent:read", tag=TAG,
        summary="List the rows of a file that were refused",
    )  # fmt: skip
    async def list_import_refusals(call: Call[None, Paging]) -> Page[RowRefusal]:
        """In the order of the file; the first 100,000 are kept."""
        who, query = _caller(call), call.query
        an_id = ids.read("imp", call.path["id"])
        await imports.find(who, an_id)
        last = decode_cursor(query.cursor, tuple[int])
        rows = await store.read(
            SQL["import_refusals"], id=an_id or 0, after=0 if last is None else last[0], most=query.limit + 1
        )
        return page(
            rows, query.limit, lambda row: RowRefusal(row=row[0], number=row[1], code=row[2], detail=row[3]),
            lambda row: (row[0],),
        )  # fmt: skip

    @endpoint(
        "GET", "/v1/consents/export", media="text/csv", scope="consent:read", tag=TAG, summary="Export the ledger"
    )
    async def export_consents(call: Call[None, None]) -> Response:
        """All rows as CSV, the oldest first, but for those of erased persons. The file can be imported again."""
        who = _caller(call)
        return _file("consents.csv", _ledger(store, who.account_id, who.mode))

    @endpoint(
        "GET", "/v1/suppressions/export", media="text/csv", scope="consent:read", tag=TAG,
        summary="Export the suppressions",
    )  # fmt: skip
    async def export_suppressions(call: Call[None, None]) -> Response:
        """Who must not be texted, as CSV, the newest first; those of erased persons, who are no number any more, are left
        out. The file can be imported again."""
        who = _caller(call)
        return _file("suppressions.csv", _suppressions(store, who.account_id, who.mode))

    return [
        create_import, upload, list_imports, get_import, list_import_refusals, export_consents, export_suppressions,
    ]  # fmt: skip


def _file(name: str, lines: AsyncIterator[str]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


async def _ledger(store: Store, account_id: int, mode: int) -> AsyncIterator[str]:
    yield _csv([LEDGER])
    after = 0
    while True:
        rows = await store.read(SQL["ledger_from"], account_id=account_id, mode=mode, after=after, most=AT_ONCE)
        if rows:
            yield _csv(_ledger_row(row) for row in rows if row[1])
        if len(rows) < AT_ONCE:
            return
        after = rows[-1][0]


async def _suppressions(store: Store, account_id: int, mode: int) -> AsyncIterator[str]:
    yield _csv([SUPPRESSIONS])
    before, last = NEVER_ID, NEVER_ID
    while True:
        rows = await store.read(
            SQL["suppressions"], account_id=account_id, mode=mode, before=before, hash=last, most=AT_ONCE
        )
        shown = [_suppression_row(row) for row in rows if row[1]]
        if shown:
            yield _csv(shown)
        if len(rows) < AT_ONCE:
            return
        before, last = rows[-1][0], rows[-1][6]


def _plain(text: str | None) -> str:
    """What people wrote, so that no spreadsheet takes it for a formula; `imports` takes the mark away again."""
    return f"'{text}" if text and text[0] in FORMULA else text or ""


def _csv(rows: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _ledger_row(row: Row) -> list[str]:
    an_id, number, sender, klass, purpose, action, source, at, words, language, proof, message_id, import_id = row
    return [
        ids.show("con", an_id), number, ACTIONS[action], "" if klass == EVERY_CLASS else status.CLASSES[klass], sender,
        _plain(purpose), _plain(source), model.rfc3339(at), model.rfc3339(ids.time_of(an_id)), _plain(words), language or "",
        _plain(proof), "" if message_id is None else ids.show("msg", message_id),
        "" if import_id is None else ids.show("imp", import_id),
    ]  # fmt: skip


def _suppression_row(row: Row) -> list[str]:
    consent_id, number, sender, klass, source, at, _ = row
    return [
        number, "opt_out", "" if klass == EVERY_CLASS else status.CLASSES[klass], sender, _plain(source), model.rfc3339(at),
        ids.show("con", consent_id),
    ]  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
