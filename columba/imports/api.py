"""The endpoints that files of every kind have."""

from collections.abc import Sequence
from typing import Any, Final

from columba.core import ids
from columba.core.model import Json
from columba.http.endpoint import Call, Endpoint, describe, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.imports.room import Imports
from columba.imports.shapes import Import, RowRefusal, Which
from columba.keys import Key

NEVER_ID: Final = (1 << 63) - 1


def endpoints(
    imports: Imports,
    *,
    base: str,
    read: str,
    tag: str,
    noun: str,
    of: str,
    announcing: str,
    sending: str,
    refusals: Sequence[str],
    example: Json,
) -> list[Endpoint]:
    """Under `base`, for keys with the scope `read`. `noun` is in their names, `of` in what they are about; `announcing`
    and `sending` describe the two requests that a file takes."""
    write = imports.kind.scope

    @endpoint(
        "POST", base, name=f"create_{noun}", description=announcing, body=imports.kind.shape, answer=Import, status=201,
        scope=write, tag=tag, summary=f"Announce a file of {of}", refusals=refusals, example=example,
    )  # fmt: skip
    async def create(call: Call[Any, None]) -> Json:
        return await imports.announce(_caller(call), call.body.name, call.body)

    upload = describe(
        "POST", imports.kind.path, name=f"upload_{noun}", tag=tag, summary=f"Send a file of {of}", description=sending,
        query=Which, answer=Import, scope=write, refusals=("conflict", "not_found"), idempotency="none",
    )  # fmt: skip

    @endpoint(
        "GET", base, name=f"list_{noun}s", query=Paging, answer=Page[Import], summary=f"List files of {of}",
        description="The newest first.", scope=read, tag=tag,
    )  # fmt: skip
    async def listed(call: Call[None, Paging]) -> Page[Json]:
        query = call.query
        last = decode_cursor(query.cursor, tuple[int])
        rows = await imports.listed(_caller(call), NEVER_ID if last is None else last[0], query.limit + 1)
        return page(rows, query.limit, imports.view, lambda row: (row[0],))

    @endpoint(
        "GET", f"{base}/{{id}}", name=f"get_{noun}", answer=Import, summary=f"See how far a file of {of} has come",
        scope=read, tag=tag,
    )  # fmt: skip
    async def get(call: Call[None, None]) -> Json:
        return await imports.find(_caller(call), ids.read("imp", call.path["id"]))

    @endpoint(
        "GET", f"{base}/{{id}}/refusals", name=f"list_{noun}_refusals", query=Paging, answer=Page[RowRefusal],
        summary=f"List the rows of a file of {of} that were refused",
        description="In the order of the file; the first 100,000 are kept.", scope=read, tag=tag,
    )  # fmt: skip
    async def refused(call: Call[None, Paging]) -> Page[RowRefusal]:
        query = call.query
        last = decode_cursor(query.cursor, tuple[int])
        an_id = ids.read("imp", call.path["id"])
        rows = await imports.refusals(_caller(call), an_id, 0 if last is None else last[0], query.limit + 1)
        return page(
            rows, query.limit, lambda row: RowRefusal(row=row[0], number=row[1], code=row[2], detail=row[3]),
            lambda row: (row[0],),
        )  # fmt: skip

    return [create, upload, listed, get, refused]


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
