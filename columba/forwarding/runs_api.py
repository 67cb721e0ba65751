"""`/v1/forwards`: what rules did with texts, and what became of it; dead ones changed and tried again.

An id of a forward is what its receiver knows it by, and stays the same whatever is done with it here.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from columba.core import ids
from columba.core.lanes import Lanes
from columba.core.model import rfc3339
from columba.errors import FieldError, Refusal
from columba.forwarding.rule import FORWARD, KINDS
from columba.forwarding.runs import (
    CANCELED,
    DEAD,
    DELIVERED,
    FAILED,
    NO_DESTINATION,
    PENDING,
    SQL,
    STATUSES,
    WAITING,
    error_view,
)
from columba.forwarding.runs_forwarding import Forwarding
from columba.forwarding.runs_shapes import (
    Again,
    Forward,
    ForwardAttempt,
    ForwardChange,
    ForwardDetail,
    ForwardError,
    ForwardList,
    ForwardsReplayed,
)
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, decode_cursor, encode_cursor
from columba.http.times import milliseconds
from columba.keys import Key
from columba.store import Row, Step, Store, plan

TAG: Final = "Forwards"
LOOK: Final = 20_000  # rows that are looked at for one page
AT_ONCE: Final = 1_000  # that are replayed in one transaction
NEVER: Final = (1 << 63) - 1

_edits = msgspec.json.Decoder(dict[str, Any]).decode
_request = msgspec.json.Decoder(dict[str, Any]).decode


class Wanted(NamedTuple):
    """Which runs. 0, -1 and no error are any."""

    account_id: int
    mode: int
    rule_id: int = 0
    lane: int = 0
    status: int = -1
    kind: int = -1
    message_id: int = 0
    error: str = ""  # the code of the last one


class IsDestination(NamedTuple):
    """What is asked of destinations: has an account one in a mode; is it on?"""

    there: Callable[[int, int, int], bool]
    enabled: Callable[[int], bool]


def endpoints(
    store: Store,
    clock: Callable[[], int],
    forwarding: Forwarding,
    lanes: Lanes,
    destinations: IsDestination,
) -> list[Endpoint]:
    def view(row: Row) -> Forward:
        return Forward(**_fields(row, destinations.enabled))

    async def find(call: Call[Any, Any]) -> Row:
        who = _caller(call)
        an_id = ids.read("fwd", call.path["id"])
        rows = [] if an_id is None else await store.read(SQL["run"], id=an_id, account_id=who.account_id, mode=who.mode)
        if not rows:
            raise Refusal("not_found", "There is no such forward.")
        return rows[0]

    async def detail(row: Row) -> ForwardDetail:
        attempts = await store.read(SQL["attempts_of"], run_id=row[0])
        return ForwardDetail(
            **_fields(row, destinations.enabled),
            values=_values(row[13]),
            attempts=[_attempt_view(each) for each in reversed(attempts)],
        )

    async def page_of(wanted: Wanted, before: int, limit: int, after: int = 0) -> tuple[list[Row], int | None]:
        """So many at most, and where the next page begins."""
        owner: dict[str, Any] = {"account_id": wanted.account_id, "mode": wanted.mode}
        same: dict[str, Any] = {
            **owner, "rule_id": wanted.rule_id, "lane": wanted.lane, "status": wanted.status, "kind": wanted.kind,
            "error": wanted.error, "before": before,
        }  # fmt: skip
        if wanted.message_id:
            mine = {**same, "message_id": wanted.message_id, "after": after}
            found = await store.read(SQL["runs_of_message"], **mine, most=limit + 1)
        elif wanted.status == DEAD:
            found = await store.read(SQL["runs_dead"], **same, after=after, most=limit + 1)
        else:
            ((low, looked),) = await store.read(SQL["runs_looked"], **owner, before=before, look=LOOK)
            if low is None:
                return [], None
            found = await store.read(SQL["runs_between"], **same, after=max(low, after), most=limit + 1)
            if len(found) <= limit:
                return list(found), low if looked == LOOK and low > after else None
        return list(found[:limit]), found[limit - 1][0] if len(found) > limit else None

    async def again(run_ids: Sequence[int]) -> int:
        results = await store.commit(plan(Step(SQL["again"], [(an_id, clock()) for an_id in run_ids])))
        mine = set(run_ids)
        found = [row for row in results[0] if row[0] in mine]
        for lane in {row[1] for row in found}:
            forwarding.poke(lane)
        return len(found)

    @endpoint(
        "GET", "/v1/forwards", query=ForwardList, answer=Page[Forward], scope="rules:read", tag=TAG,
        summary="List forwards",
    )  # fmt: skip
    async def list_forwards(call: Call[None, ForwardList]) -> Page[Forward]:
        """The newest first; with `kind` also the other things that rules do. A page of a list that is narrowed down may
        have fewer than `limit`, or none: go on until `next_cursor` is null."""
        query = call.query
        problems: list[FieldError] = []
        wanted = Wanted(
            _caller(call).account_id, _caller(call).mode,
            _id("rul", "rule", query.rule, problems), _id("dst", "destination", query.destination, problems),
            -1 if query.status is None else STATUSES.index(query.status), _kind(query.kind),
            _id("msg", "message_id", query.message_id, problems), query.error or "",
        )  # fmt: skip
        if problems:
            raise invalid(problems)
        after = 0 if query.since is None else _first_at(query.since)
        before = NEVER if query.until is None else _first_at(query.until)
        if (reached := decode_cursor(query.cursor, tuple[int])) is not None:
            before = min(before, reached[0])
        rows, last = await page_of(wanted, before, query.limit, after)
        return Page([view(row) for row in rows], None if last is None else encode_cursor(last))

    @endpoint(
        "GET", "/v1/forwards/{id}", answer=ForwardDetail, scope="rules:read", tag=TAG,
        summary="Read a forward with its attempts",
    )  # fmt: skip
    async def get_forward(call: Call[None, None]) -> ForwardDetail:
        """Each attempt with what was sent, its secrets masked, what came back and, where it failed, why."""
        return await detail(await find(call))

    @endpoint(
        "PATCH", "/v1/forwards/{id}", body=ForwardChange, answer=ForwardDetail, scope="rules:write", tag=TAG,
        summary="Change a dead forward", refusals=("conflict",), example={"values": {"text": "Order 12"}},
    )  # fmt: skip
    async def update_forward(call: Call[ForwardChange, None]) -> ForwardDetail:
        """What it is when it is replayed: with other values than the text had, or to another destination. Its id stays."""
        row, asked, who = await find(call), call.body, _caller(call)
        if row[8] not in (DEAD, FAILED, CANCELED):
            raise Refusal(
                "conflict", f"It is {STATUSES[row[8]]}: only one that is dead, failed or canceled can be changed."
            )
        lane, edits = row[7], {} if row[13] is None else _edits(row[13])
        if asked.destination is not UNSET:
            problems: list[FieldError] = []
            lane = _id("dst", "destination", asked.destination, problems)
            if row[6] != FORWARD or not destinations.there(who.account_id, who.mode, lane):
                raise invalid([FieldError("destination", "invalid_value", "There is no such destination.")])
        if asked.values is not UNSET:
            edits.pop("values", None)
            if asked.values:
                edits["values"] = asked.values
        text = msgspec.json.encode(edits).decode() if edits else None
        results = await store.commit(plan(Step(SQL["edit_run"], [(row[0], lane, text, clock())])))
        if not any(found[0] == row[0] for found in results[0]):
            raise Refusal("conflict", "It is being tried again at this moment.")
        return await detail(await find(call))

    @endpoint(
        "POST", "/v1/forwards/{id}/replay", answer=ForwardDetail, status=202, scope="rules:write", tag=TAG,
        summary="Forward again", refusals=("conflict",),
    )  # fmt: skip
    async def replay_forward(call: Call[None, None]) -> ForwardDetail:
        """It is tried as soon as may be, with the same idempotency id, and its retry schedule begins anew."""
        row = await find(call)
        if not await again([row[0]]):
            raise Refusal("conflict", f"It is {STATUSES[row[8]]}: there is nothing to be tried again.")
        if KINDS[row[6]] == "look":  # in its place comes what the rules do
            return await detail(row)
        return await detail(await find(call))

    @endpoint(
        "POST", "/v1/forwards/{id}/cancel", answer=ForwardDetail, scope="rules:write", tag=TAG,
        summary="Cancel a forward", refusals=("conflict",),
    )  # fmt: skip
    async def cancel_forward(call: Call[None, None]) -> ForwardDetail:
        """One that is pending or waiting is not tried any more, unless it is just on its way. The destinations after it in
        the same forward are skipped, and what waited for its answer goes on without."""
        row, now = await find(call), clock()
        an_id, message_id, rule_id, n, k = row[:5]
        lane = lanes.owned.get(row[7])
        if lane is not None:
            lane.drop([an_id])
        results = await store.commit(
            plan(
                Step(SQL["cancel_runs"], [(an_id, now)]),
                Step(SQL["skip_rest"], [(an_id, message_id, rule_id, n, k, now)] if row[6] == FORWARD else [], given=0),
                Step(SQL["release_waiting"], [(an_id, message_id, rule_id, now)], given=0),
            )
        )
        if not any(found[0] == an_id for found in results[0]):
            raise Refusal("conflict", f"It is {STATUSES[row[8]]}: there is nothing to cancel.")
        store.ring(f"runs:{message_id}")
        forwarding.reread(message_id)
        for released in {found[1] for found in results[2]}:
            forwarding.poke(released)
        return await detail(await find(call))

    @endpoint(
        "POST", "/v1/forwards/replay", body=Again, answer=ForwardsReplayed, status=202, scope="rules:write", tag=TAG,
        summary="Forward many again", example={"destination": "dst_0ajk7w2kn0401", "error": "http_503"},
    )  # fmt: skip
    async def replay_forwards(call: Call[Again, None]) -> ForwardsReplayed:
        """All that are dead and fit are tried as soon as may be, each with the idempotency id that it had."""
        asked, who = call.body, _caller(call)
        problems: list[FieldError] = []
        wanted = Wanted(
            who.account_id, who.mode, _id("rul", "rule", asked.rule, problems),
            _id("dst", "destination", asked.destination, problems), STATUSES.index(asked.status), _kind(asked.kind),
            _id("msg", "message_id", asked.message_id, problems), asked.error or "",
        )  # fmt: skip
        if problems:
            raise invalid(problems)
        after = 0 if asked.since is None else _first_at(asked.since)
        last: int | None = NEVER if asked.until is None else _first_at(asked.until)
        count = 0
        while last is not None:
            rows, last = await page_of(wanted, last, AT_ONCE, after)
            if rows:
                count += await again([row[0] for row in rows])
        return ForwardsReplayed(count=count)

    return [
        list_forwards, replay_forwards, get_forward, update_forward, replay_forward, cancel_forward,
    ]  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller


def _id(prefix: str, field: str, text: str | None, problems: list[FieldError]) -> int:
    if text is None:
        return 0
    found = ids.read(prefix, text)
    if found is None:
        problems.append(FieldError(field, "invalid_value", f"Expected an id that begins with {prefix}_."))
        return 0
    return found


def _first_at(moment: datetime) -> int:
    return min(ids.first_at(milliseconds(moment)), NEVER)


def _kind(name: str) -> int:
    return -1 if name == "all" else KINDS.index(name)


def _fields(row: Row, enabled: Callable[[int], bool]) -> dict[str, Any]:
    (
        an_id, message_id, rule_id, n, _, version, kind, lane, state, due_at, attempts, updated_at, ref, edits, code,
        latency, error,
    ) = row  # fmt: skip
    held = None
    if state == PENDING and kind == FORWARD and not enabled(lane):
        held = "The destination is disabled, deleted, or can't be used: GET it, and PATCH it with `enabled: true`."
    elif state == WAITING:
        held = "Another action of its rule comes first."
    if state == DEAD and error is None:
        error = NO_DESTINATION
    return {
        "id": ids.show("fwd", an_id),
        "kind": KINDS[kind],
        "status": STATUSES[state],
        "message_id": ids.show("msg", message_id),
        "rule": ids.show("rul", rule_id),
        "rule_version": version,
        "action": n + 1,
        "destination": ids.show("dst", lane) if kind == FORWARD else None,
        "made": ids.show("msg", ref) if ref is not None and state == DELIVERED else None,
        "edited": edits is not None,
        "attempt_count": attempts,
        "last_attempt_at": rfc3339(updated_at) if attempts else None,
        "next_attempt_at": rfc3339(due_at) if state == PENDING and held is None else None,
        "waits_for": held,
        "last_status": code,
        "latency_ms": latency,
        "error": _error(error),
        "created_at": rfc3339(ids.time_of(an_id)),
        "updated_at": rfc3339(updated_at),
    }


def _error(error: str | None) -> ForwardError | None:
    shown = error_view(error)
    return None if shown is None else ForwardError(**shown)


def _values(edits: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {} if edits is None else _edits(edits).get("values", {})
    return values


def _attempt_view(row: Row) -> ForwardAttempt:
    _, at, code, latency, error, request, answer, exchanges = row
    return ForwardAttempt(
        at=rfc3339(at), request=None if request is None else _request(request), status=code, latency_ms=latency,
        answer=answer, error=_error(error), exchanges=[] if exchanges is None else msgspec.json.decode(exchanges),
    )  # fmt: skip
