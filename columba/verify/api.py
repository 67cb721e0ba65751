"""`/v1/verifications`: codes that are sent and checked, what holds for them, and what the guard blocks.

Everything belongs to an account in one of its modes.
"""

import base64
from collections.abc import Callable
from typing import Any, Final

from columba.core import ids
from columba.core.model import Json
from columba.core.submission import Caller
from columba.errors import Refusal
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import milliseconds, rfc3339
from columba.keys import Key
from columba.policies import Policies
from columba.policies.api import endpoints as settings_endpoints
from columba.store import Store
from columba.verify import guard, shapes
from columba.verify.found import APPROVED, SQL, STATUSES, Found, found_of, state, view
from columba.verify.verifying import Verifying

TAG: Final = "Verifications"
NEWEST: Final = 1 << 62

START: Final = """
A code is made and sent at once, as a message of class `otp`. Where the number has a code that is still good, the same
code is sent again: whichever text arrives first is right. The code itself is in the text alone; it is not kept here.
""".strip()
BY_NUMBER: Final = """
For programs that keep no id. A number to which nothing was sent is answered like one whose code was not right, and takes
as long; 5 checks of a number in 10 minutes are answered.
""".strip()


def endpoints(verifying: Verifying, policies: Policies, store: Store, clock: Callable[[], int]) -> list[Endpoint]:
    """The endpoints under /v1/verifications."""

    async def load(call: Call[Any, Any]) -> Found:
        an_id = ids.read("ver", call.path["id"])
        found = None if an_id is None else await verifying.find(_who(call), an_id)
        if found is None:
            raise Refusal("not_found", "There is no such verification.")
        return found

    @endpoint(
        "POST", "/v1/verifications", body=shapes.NewVerification, answer=shapes.Verification, status=201,
        scope="verifications:write", tag=TAG, summary="Send a code", description=START,
        refusals=(
            "invalid_number", "invalid_sender", "too_many_attempts", "blocked", "country_not_allowed", "conflict",
            "no_route", "no_recipient", "opted_out", "unknown_template",
        ),
        example={"to": "+447700900123"},
    )  # fmt: skip
    async def start_verification(call: Call[shapes.NewVerification, None]) -> Json:
        return view(await verifying.start(_caller(call), call.body), clock())

    @endpoint(
        "GET", "/v1/verifications", query=shapes.Verifications, answer=Page[shapes.Verification],
        scope="verifications:read", tag=TAG, summary="List verifications",
    )  # fmt: skip
    async def list_verifications(call: Call[None, shapes.Verifications]) -> Page[Json]:
        """The newest first."""
        (account_id, mode), query = _who(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        before = NEWEST if last is None else last[0]
        if query.created_before is not None:
            before = min(before, ids.first_at(milliseconds(query.created_before)))
        wanted = -1 if query.status is None else STATUSES.index(query.status, 1)
        rows = await store.read(
            SQL["verifications"], account_id=account_id, mode=mode, before=before,
            after=0 if query.created_after is None else ids.first_at(milliseconds(query.created_after)),
            to_addr=verifying.number(account_id, query.to) if query.to else "", status=wanted, most=query.limit + 1,
        )  # fmt: skip
        now = clock()
        return page([found_of(row) for row in rows], query.limit, lambda each: view(each, now), lambda each: (each.id,))

    @endpoint(
        "GET", "/v1/verifications/{id}", answer=shapes.Verification, scope="verifications:read", tag=TAG,
        summary="Get a verification",
    )  # fmt: skip
    async def get_verification(call: Call[None, None]) -> Json:
        return view(await load(call), clock())

    @endpoint(
        "POST", "/v1/verifications/{id}/check", body=shapes.Check, answer=shapes.Checked, scope="verifications:write",
        tag=TAG, summary="Check a code", refusals=("too_many_attempts",), idempotency="none", example={"code": "123456"},
    )  # fmt: skip
    async def check_verification(call: Call[shapes.Check, None]) -> shapes.Checked:
        """A right code is right once: of all that enter it at the same moment, one. After 5 that were wrong none is right
        any more."""
        found = verifying.begun(_who(call), ids.read("ver", call.path["id"]) or 0) or await load(call)
        if found.status == 1 and found.checks >= found.max_checks:
            wait = max(1, (found.expires_at - clock()) // 1000)
            raise Refusal("too_many_attempts", f"{found.checks} codes were entered: send a new one.", retry_after=wait)
        became, valid = await verifying.check(_who(call), found, call.body.code)
        shown = STATUSES[became] if became == APPROVED else state(await load(call), clock())
        return shapes.Checked(ids.show("ver", found.id), shown, valid)  # type: ignore[arg-type]

    @endpoint(
        "POST", "/v1/verifications/check", body=shapes.CheckByNumber, answer=shapes.Checked, scope="verifications:write",
        tag=TAG, summary="Check a code by number", description=BY_NUMBER,
        refusals=("invalid_number", "too_many_attempts"), idempotency="none",
        example={"to": "+447700900123", "code": "123456"},
    )  # fmt: skip
    async def check_verification_by_number(call: Call[shapes.CheckByNumber, None]) -> shapes.Checked:
        who = _who(call)
        to = verifying.number(who[0], call.body.to)
        found = await verifying.newest_of(who, to) or verifying.nobody(who, to)
        _, valid = await verifying.check(who, found, call.body.code, to)
        if valid:
            return shapes.Checked(ids.show("ver", found.id), "approved", True)
        return shapes.Checked(None, "pending", False)

    @endpoint(
        "POST", "/v1/verifications/{id}/resend", answer=shapes.Verification, scope="verifications:write", tag=TAG,
        summary="Send a code again", refusals=("too_many_attempts", "blocked", "conflict"),
    )  # fmt: skip
    async def resend_verification(call: Call[None, None]) -> Json:
        """The same code in another text. It counts towards the sends of its number."""
        return view(await verifying.resend(_caller(call), await load(call)), clock())

    @endpoint(
        "POST", "/v1/verifications/{id}/cancel", answer=shapes.Verification, scope="verifications:write", tag=TAG,
        summary="Cancel a verification", refusals=("conflict",),
    )  # fmt: skip
    async def cancel_verification(call: Call[None, None]) -> Json:
        """Its code is not right any more. The number can be sent another."""
        return view(await verifying.cancel(await load(call)), clock())

    @endpoint(
        "GET", "/v1/verifications/blocks", query=Paging, answer=Page[shapes.Block], scope="verifications:read", tag=TAG,
        summary="List what the guard blocks",
    )  # fmt: skip
    async def list_verification_blocks(call: Call[None, Paging]) -> Page[Json]:
        """What too many codes were sent to that nobody entered. Each ends after an hour, or is ended by you."""
        (account_id, mode), query = _who(call), call.query
        last = decode_cursor(query.cursor, tuple[str])
        rows = await store.read(
            SQL["blocks"], account_id=account_id, mode=mode, now=clock(), after="" if last is None else last[0],
            most=query.limit + 1,
        )  # fmt: skip

        def show(row: tuple[Any, ...]) -> Json:
            key, until, sent, entered = row
            about = guard.what(key)
            return {"id": block_id(key), **about, "sent": sent, "unentered": sent - entered, "until": rfc3339(until)}

        return page(rows, query.limit, show, lambda row: (row[0],))

    @endpoint("DELETE", "/v1/verifications/blocks/{id}", scope="verifications:manage", tag=TAG, summary="End a block")
    async def delete_verification_block(call: Call[None, None]) -> None:
        """Codes are sent to these numbers again. Put them on the list `allow` to keep them from being blocked."""
        key = read_block_id(call.path["id"])
        if key is None or not await verifying.counting.unblock(_who(call), key):
            raise Refusal("not_found", "There is no such block.")

    settings = settings_endpoints(
        policies, verifying.rules, path="verifications", name="verification", about="the settings of verifications",
        tag=TAG, read="verifications:read", write="verifications:manage", answer=shapes.Settings,
        shown=lambda document, _mode: document, document=shapes.Settings,
        example={"brand": "Acme", "countries": ["GB", "IE"], "deny": [{"kind": "prefix", "value": "+447700999"}]},
    )  # fmt: skip
    return [
        start_verification,
        list_verifications,
        get_verification,
        check_verification,
        check_verification_by_number,
        resend_verification,
        cancel_verification,
        *settings,
        list_verification_blocks,
        delete_verification_block,
    ]


def block_id(key: str) -> str:
    """`blk_...`: a key in letters that stand in a path."""
    return "blk_" + base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def read_block_id(text: str) -> str | None:
    if not text.startswith("blk_"):
        return None
    try:
        return base64.urlsafe_b64decode(text[4:] + "=" * (-len(text[4:]) % 4)).decode()
    except ValueError:
        return None


def _who(call: Call[Any, Any]) -> tuple[int, int]:
    return call.caller.account_id, call.caller.mode


def _caller(call: Call[Any, Any]) -> Caller:
    key = call.caller
    assert isinstance(key, Key)
    return Caller(key.account_id, key.mode, key.id, key.scopes)
