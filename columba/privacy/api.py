"""`/v1/privacy`: people exported and erased by number, and how that goes."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from columba.core import ids
from columba.core.model import Json
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, decode_cursor, page
from columba.keys import Key
from columba.numbers import NumberError, normalise
from columba.policies import Policies, Policy
from columba.policies.api import endpoints as settings_endpoints
from columba.privacy import shapes
from columba.privacy.holding import Person
from columba.privacy.jobs import Job, Jobs, view
from columba.privacy.people import SQL
from columba.store import Store

TAG: Final = "Privacy"
NEWEST: Final = 1 << 62
MOST_INLINE: Final = 1_000  # things in the answer to an export
LINES: Final = 200  # sent at once

ERASE: Final = """
Everything that is kept of the person in this account and mode: messages to and from the number with their texts, media,
parts, events, deliveries and answers; forwards; verifications; what was said of consent. What has not left is canceled. That
the person opted out stays, under a keyed hash of the number. It cannot be undone.

The erasure goes on in the background, in small steps: ask for the job until its status is `done`, or wait for the event
`privacy.erased`. Lines of logs hold no whole number.
""".strip()
EXPORT: Final = """
Everything that is kept of the person in this account and mode. Where that is not much it is in the answer, `data`, by what
holds it; all of it is at `url`, one thing a line.
""".strip()

_encode = msgspec.json.Encoder().encode


def endpoints(
    jobs: Jobs,
    store: Store,
    country: Callable[[int], str | None],
    policies: Policies,
    rules: Policy[shapes.Retention, Any],
) -> list[Endpoint]:
    """The endpoints under /v1/privacy. `country` gives an account's default country."""

    def person_of(call: Call[Any, Any], number: str) -> Person:
        try:
            return Person(call.caller.account_id, call.caller.mode, normalise(number, country(call.caller.account_id)))
        except NumberError as error:
            raise invalid([FieldError("number", "invalid_number", error.detail)]) from None

    async def load(call: Call[Any, Any]) -> Job:
        an_id = ids.read("prv", call.path["id"])
        found = None if an_id is None else await jobs.find(call.caller.account_id, call.caller.mode, an_id)
        if found is None:
            raise Refusal("not_found", "There is no such job.")
        return found

    def shown(job: Job) -> Json:
        return view(job, jobs.number_of(job))

    @endpoint(
        "POST", "/v1/privacy/export", body=shapes.Whom, answer=shapes.Export, scope="privacy:write", tag=TAG,
        summary="Export a person", description=EXPORT, refusals=("invalid_number",), example={"number": "+447700900123"},
        idempotency="none",
    )  # fmt: skip
    async def export_person(call: Call[shapes.Whom, None]) -> Json:
        person = person_of(call, call.body.number)
        call.path["id"] = ids.show("prv", await jobs.export(person, _key(call).id))
        job = await load(call)
        data: dict[str, list[Json]] | None = {}
        count = 0
        async for name, each in jobs.show(person):
            count += 1
            if count > MOST_INLINE or data is None:
                data = None
                break
            data.setdefault(name, []).append(each)
        return {**shown(job), "url": f"/v1/privacy/jobs/{call.path['id']}/data", "data": data}

    @endpoint(
        "POST", "/v1/privacy/erase", body=shapes.Whom, answer=shapes.Job, status=202, scope="privacy:write", tag=TAG,
        summary="Erase a person", description=ERASE, refusals=("invalid_number",), example={"number": "+447700900123"},
    )  # fmt: skip
    async def erase_person(call: Call[shapes.Whom, None]) -> Json:
        person = person_of(call, call.body.number)
        call.path["id"] = ids.show("prv", await jobs.erase(person, _key(call).id))
        return {**shown(await load(call)), "number": None}  # the answer may be kept: it must not say whom

    @endpoint(
        "GET", "/v1/privacy/jobs", query=shapes.Jobs, answer=Page[shapes.Job], scope="privacy:read", tag=TAG,
        summary="List exports and erasures",
    )  # fmt: skip
    async def list_privacy_jobs(call: Call[None, shapes.Jobs]) -> Page[Json]:
        """The newest first. With `number`: whether and when somebody was exported or erased."""
        query = call.query
        last = decode_cursor(query.cursor, tuple[int])
        hashed = "" if query.number is None else jobs.hash_of(person_of(call, query.number).number)
        rows = await store.read(
            SQL["jobs"], account_id=call.caller.account_id, mode=call.caller.mode,
            before=NEWEST if last is None else last[0], hash=hashed, most=query.limit + 1,
        )  # fmt: skip
        return page([Job(*row) for row in rows], query.limit, shown, lambda job: (job.id,))

    @endpoint(
        "GET", "/v1/privacy/jobs/{id}", answer=shapes.Job, scope="privacy:read", tag=TAG,
        summary="Get an export or erasure",
    )  # fmt: skip
    async def get_privacy_job(call: Call[None, None]) -> Json:
        return shown(await load(call))

    @endpoint(
        "GET", "/v1/privacy/jobs/{id}/data", media="application/x-ndjson", scope="privacy:write", tag=TAG,
        summary="Download an export", refusals=("conflict",),
    )  # fmt: skip
    async def download_export(call: Call[None, None]) -> StreamingResponse:
        """Lines of JSON, each with `kind` and what it is, as it is now: no copy is kept. For a week after the export was
        asked for."""
        job = await load(call)
        number = jobs.number_of(job) if job.kind == "export" else None
        if number is None:
            raise Refusal("conflict", "There is nothing to download: it is no export, or one of more than a week ago.")
        return _Lines(
            _lines(jobs, person_of(call, number)), media_type="application/x-ndjson",
            headers={"content-disposition": f'attachment; filename="{call.path["id"]}.ndjson"'},
        )  # fmt: skip

    settings = settings_endpoints(
        policies, rules, path="retention", name="retention", about="how long what is kept", tag=TAG,
        read="privacy:read", write="privacy:write", answer=shapes.Retention, shown=lambda document, _mode: document,
        document=shapes.Retention,
        example={"bodies": {"otp": 1, "marketing": 30}, "media": {"marketing": 30}, "numbers": {"marketing": 365}},
        write_more="What is older goes for good, beginning within a minute. The messages themselves stay, with what became"
        " of them, unless `messages` says for how long; those that have not ended yet are spared until they have.",
    )  # fmt: skip
    return [
        *settings,
        export_person,
        erase_person,
        list_privacy_jobs,
        get_privacy_job,
        download_export,
    ]


class _Lines(StreamingResponse):
    """One that doesn't listen meanwhile for its reader to leave: the next line tells."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


async def _lines(jobs: Jobs, person: Person) -> AsyncIterator[bytes]:
    lines: list[bytes] = []
    async for name, each in jobs.show(person):
        lines.append(_encode({"kind": name, **each}) + b"\n")
        if len(lines) >= LINES:
            yield b"".join(lines)
            lines.clear()
    yield b"".join(lines)


def _key(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
