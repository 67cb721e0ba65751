"""`/v1/audit`: who saw or changed what, and whether the log of it is whole."""

from typing import Final

from columba.core.model import Json
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, decode_cursor, page
from columba.http.times import milliseconds
from columba.privacy import shapes
from columba.privacy.audit import SQL, Audit, shown
from columba.store import Store

TAG: Final = "Audit"
NEWEST: Final = 1 << 62


def endpoints(audit: Audit, store: Store) -> list[Endpoint]:
    @endpoint(
        "GET", "/v1/audit", query=shapes.AuditList, answer=Page[shapes.AuditEntry], scope="audit:read", tag=TAG,
        summary="List who saw or changed what",
    )  # fmt: skip
    async def list_audit(call: Call[None, shapes.AuditList]) -> Page[Json]:
        """The newest first: every request that changed something, and every one that was shown what is personal. Entries
        hold ids, no texts and no numbers. A page may hold fewer entries than `limit`, even none, while `next_cursor` is
        not null."""
        query = call.query
        last = decode_cursor(query.cursor, tuple[int])
        named = {"key": query.key, "action": query.action, "operator": query.operator}
        wanted = [f'"{word}"' for word in (*named.values(), query.about) if word]
        rows = await store.read(
            SQL["audit_page"], account_id=call.caller.account_id, mode=call.caller.mode,
            before=NEWEST if last is None else last[0],
            since=0 if query.created_after is None else milliseconds(query.created_after),
            until=NEWEST if query.created_before is None else milliseconds(query.created_before),
            pattern=f"%{wanted[0]}%" if wanted else "", most=query.limit + 1,
        )  # fmt: skip
        found = page(rows, query.limit, shown, lambda row: (row[0],))
        kept = [
            each
            for each in found.data
            if all(not value or each[name] == value for name, value in named.items())
            and (not query.about or query.about in each["about"].values())
        ]
        return Page(kept, found.next_cursor)

    @endpoint(
        "GET", "/v1/audit/verify", answer=shapes.Verified, scope="audit:read", tag=TAG,
        summary="Verify the log",
    )  # fmt: skip
    async def verify_audit(call: Call[None, None]) -> shapes.Verified:
        """Goes through the account's chain from its beginning, entry by entry. Note `head` somewhere else now and then:
        with it, `columba audit verify --head` also finds entries that were cut off at the end."""
        found = await audit.verify(call.caller.account_id)
        return shapes.Verified(
            found.entries, found.head, found.broken is None, found.broken, found.why, found.waiting, found.let_go
        )

    return [list_audit, verify_audit]
