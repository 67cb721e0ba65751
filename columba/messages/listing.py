"""Which messages a list shows: filters to statements, each led by the index that narrows most.

Every list goes by ids, which are in the order of time, so a page is found by its place and never by counting. Fails with
the Refusal `invalid_request` for a filter that can't be meant.
"""

from collections.abc import Sequence
from typing import Any, Final

from columba.core import ids, model, status
from columba.errors import FieldError
from columba.http.body import invalid
from columba.http.paging import Page, decode_cursor, encode_cursor
from columba.http.times import milliseconds
from columba.messages.cancel import SQL
from columba.messages.shapes import Messages
from columba.messages.sift import sift
from columba.numbers import NumberError, normalise, sender
from columba.store import Row, Statement, Store

LAST_ID: Final = (1 << 63) - 1
LAST_MS: Final = ids.time_of(LAST_ID)
IN_TROUBLE: Final = frozenset(
    {status.SCHEDULED, status.UNKNOWN, status.UNDELIVERED, status.FAILED, status.EXPIRED, status.CANCELED}
)


async def list_messages(
    store: Store, account_id: int, mode: int, country: str | None, query: Messages
) -> Page[model.Json]:
    """One page of an account's messages in one mode."""
    wanted: dict[str, Any] = {
        "account_id": account_id,
        "mode": mode,
        "status": status.NUMBERS[query.status] if query.status is not None else 0,
        "direction": status.DIRECTIONS.index(query.direction) if query.direction is not None else -1,
        "to_addr": address(query.to, country),
        "from_addr": address(query.from_, country),
        "tag": query.tag or "",
        "batch_id": batch_of(query.batch_id),
    }
    statement, value = leading(wanted)
    after = first_id(query.created_after)
    cursor = decode_cursor(query.cursor, tuple[int])
    before = LAST_ID if query.created_before is None else first_id(query.created_before)
    if cursor is not None:
        before = min(before, cursor[0])

    async def newest(below: int, most: int) -> Sequence[Row]:
        return await store.read(
            statement, account_id=account_id, mode=mode, value=value, after=after, before=below, most=most
        )

    async def pick(found: Sequence[Row], most: int) -> list[Any]:
        return await store.read(SQL["sift"], [(row[0],) for row in found], most=most, **wanted)

    rows, then = await sift(newest, pick, before, query.limit)
    shown = [model.view(model.message_of(row)) for row in rows]
    return Page(shown, None if then is None else encode_cursor(then))


def leading(wanted: dict[str, Any]) -> tuple[Statement, int | str]:
    """The statement that gives the fewest ids, and what it is led by."""
    if wanted["batch_id"]:
        return SQL["newest_of_batch"], wanted["batch_id"]
    if wanted["tag"]:
        return SQL["newest_tagged"], wanted["tag"]
    if wanted["to_addr"]:
        return SQL["newest_to"], wanted["to_addr"]
    if wanted["from_addr"]:
        return SQL["newest_from"], wanted["from_addr"]
    if wanted["status"] in IN_TROUBLE:
        return SQL["newest_in_trouble"], wanted["status"]
    return SQL["newest"], 0


def address(raw: str | None, country: str | None) -> str:
    """A number or a sender as messages have it; what is neither as it came: nothing will be found."""
    if not raw:
        return ""
    try:
        return normalise(raw, country)
    except NumberError:
        pass
    try:
        return sender(raw).value
    except NumberError:
        return raw


def batch_of(text: str | None) -> int:
    if text is None:
        return 0
    found = ids.read("bat", text)
    if not found:
        raise invalid([FieldError("batch_id", "invalid_value", "Expected the id of a batch (bat_...).")])
    return found


def first_id(moment: Any) -> int:
    """The smallest id of a time; 0 for none, and times that no id has are the nearest that one has."""
    return 0 if moment is None else ids.first_at(min(milliseconds(moment), LAST_MS))
