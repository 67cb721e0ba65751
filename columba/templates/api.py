"""`/v1/templates`: made, revised, approved, previewed. Each belongs to an account in one of its modes."""

from collections.abc import Callable
from typing import Any, Final, NoReturn

import msgspec
from msgspec import UNSET

from columba.core import ids, status
from columba.core.ids import Ids
from columba.core.model import Json
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import rfc3339
from columba.keys import Key
from columba.numbers import sender
from columba.store import Row, Store
from columba.templates import shapes
from columba.templates.params import sample_of, worst_of
from columba.templates.room import MOST_TEMPLATES, SQL, Ready, Templates, complete, fill, ready
from columba.templates.shapes import Content, tag
from columba.text import plan as plan_text
from columba.text import smart

TAG: Final = "Templates"
TRIES: Final = 5  # to change what others change at the same moment
NEWEST: Final = 1 << 62
LAST: Final = 1 << 30  # revision

EXAMPLE: Final[Json] = {
    "name": "order_shipped",
    "versions": [
        {"language": "en", "text": "Hi {{ name }}, your order {{ order }} is on its way."},
        {"language": "de", "text": "Hallo {{ name }}, Ihre Bestellung {{ order }} ist unterwegs."},
    ],
    "params": {
        "name": {"type": "string", "default": "there", "max_length": 40},
        "order": {"type": "integer", "min": 1},
    },
    "class": "transactional",
}

Price = Callable[[int, int, str, str, str | None, int], str | None]
"""What a text costs an account in a mode: to a number, from a sender, of a class. None where nobody knows."""

_decode = msgspec.json.Decoder(Content).decode


def endpoints(templates: Templates, store: Store, new_id: Ids, price: Price | None = None) -> list[Endpoint]:
    """The endpoints under /v1/templates."""

    async def load(call: Call[Any, Any]) -> Row:
        who, named = caller_of(call), call.path["id"]
        an_id = ids.read("tpl", named)
        rows = await store.read(
            SQL["template"], account_id=who.account_id, mode=who.mode, id=an_id or 0, name="" if an_id else named
        )
        if not rows:
            raise Refusal("not_found", "There is no such template.")
        return rows[0]

    async def revision_of(row: Row, n: int | None) -> tuple[int, Content]:
        if n is None or n == row[3]:
            return row[3], _decode(row[7])
        found = await store.read(SQL["template_revisions"], id=row[0], before=n + 1, most=1)
        if not found or found[0][0] != n:
            raise invalid([FieldError("revision", "invalid_value", f"The template has the revisions 1 to {row[3]}.")])
        return n, _decode(found[0][1])

    def may_approve(call: Call[Any, Any], draft: bool | None) -> bool:
        may = "templates:approve" in caller_of(call).scopes
        if draft is False and not may:
            raise Refusal("forbidden", "The key lacks the scope templates:approve.")
        return may and not draft

    async def changed(
        call: Call[Any, Any],
        what: Callable[[Row], tuple[str, str, Content | None, int | None]],
    ) -> Json:
        for _ in range(TRIES):
            row = await load(call)
            name, description, content, approved = what(row)
            if await templates.change(row, name, description, content, caller_of(call).id, approved):
                call.path["id"] = ids.show("tpl", row[0])  # it may have been named by a name that it has no more
                return view(await load(call))
            if name != row[1]:
                who = caller_of(call)
                if await store.read(SQL["template"], account_id=who.account_id, mode=who.mode, id=0, name=name):
                    _taken(name)
        raise Refusal("conflict", "It is being changed by others at this moment.")

    @endpoint(
        "POST", "/v1/templates", body=shapes.NewTemplate, answer=shapes.Template, status=201, scope="templates:write",
        tag=TAG, summary="Add a template", refusals=("too_many", "conflict", "invalid_sender"), example=EXAMPLE,
    )  # fmt: skip
    async def create_template(call: Call[shapes.NewTemplate, None]) -> Json:
        """A text with parameters, in one language or several, to be sent by its name or id: `{"to": ..., "template":
        "order_shipped", "params": {...}}`. A key with the scope `templates:approve` may send it at once; what others
        make is a draft."""
        who, asked = caller_of(call), call.body
        approved = may_approve(call, asked.draft)
        content = complete(
            Content(
                asked.versions,
                shapes.read_params(asked.params),
                asked.class_,
                None if asked.from_ is None else sender(asked.from_).value,
                asked.default_language or "",
            )
        )
        ((count,),) = await store.read(SQL["count_templates"], account_id=who.account_id, mode=who.mode)
        if count >= MOST_TEMPLATES:
            raise Refusal("too_many", f"There are {MOST_TEMPLATES} templates already.")
        an_id = new_id()
        if not await templates.add(
            an_id, who.account_id, who.mode, asked.name, asked.description, content, who.id, approved
        ):
            _taken(asked.name)
        call.path["id"] = ids.show("tpl", an_id)
        return view(await load(call))

    @endpoint(
        "GET", "/v1/templates", query=shapes.Templates, answer=Page[shapes.Template], scope="templates:read", tag=TAG,
        summary="List templates",
    )  # fmt: skip
    async def list_templates(call: Call[None, shapes.Templates]) -> Page[Json]:
        """The newest first, each as its newest revision has it."""
        who, query = caller_of(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        rows = await store.read(
            SQL["templates"], account_id=who.account_id, mode=who.mode, before=NEWEST if last is None else last[0],
            name=query.name or "", most=query.limit + 1,
        )  # fmt: skip
        return page(rows, query.limit, view, lambda row: (row[0],))

    @endpoint(
        "GET", "/v1/templates/{id}", answer=shapes.Template, scope="templates:read", tag=TAG, summary="Get a template"
    )
    async def get_template(call: Call[None, None]) -> Json:
        """By its id or its name."""
        return view(await load(call))

    @endpoint(
        "PATCH", "/v1/templates/{id}", body=shapes.TemplateChange, answer=shapes.Template, scope="templates:write",
        tag=TAG, summary="Change a template", refusals=("conflict", "invalid_sender"),
        example={"versions": [{"language": "en", "text": "{{ name }}, order {{ order }} is on its way."}]},
    )  # fmt: skip
    async def update_template(call: Call[shapes.TemplateChange, None]) -> Json:
        """What is said by it changes as a new revision; what was approved is sent until that is. Messages that were
        accepted keep their text."""
        asked = call.body
        approve = may_approve(call, asked.draft)

        def what(row: Row) -> tuple[str, str, Content | None, int | None]:
            was = _decode(row[7])
            changes: dict[str, Any] = {
                name: value
                for name in ("versions", "default_language", "class_")
                if (value := getattr(asked, name)) is not UNSET
            }
            if asked.params is not UNSET:
                changes |= {"params": shapes.read_params(asked.params), "inferred": False}
            if asked.from_ is not UNSET:
                changes["from_"] = None if asked.from_ is None else sender(asked.from_).value
            if "versions" in changes and "default_language" not in changes:
                there = [tag(each.language) for each in changes["versions"]]
                changes["default_language"] = was.default_language if was.default_language in there else there[0]
            content = complete(msgspec.structs.replace(was, **changes)) if changes else was
            if content == was:
                content = None  # type: ignore[assignment]
            return (
                row[1] if asked.name is UNSET else asked.name,
                row[2] if asked.description is UNSET else asked.description,
                content,
                row[3] + 1 if approve and content is not None else None,
            )

        return await changed(call, what)

    @endpoint("DELETE", "/v1/templates/{id}", scope="templates:write", tag=TAG, summary="Delete a template")
    async def delete_template(call: Call[None, None]) -> None:
        """With all of its revisions. Messages that were accepted are sent."""
        row, who = await load(call), caller_of(call)
        await templates.remove(row[0], who.account_id, who.mode)

    @endpoint(
        "POST", "/v1/templates/{id}/approve", body=shapes.Approval, body_may_be_missing=True, answer=shapes.Template,
        scope="templates:approve", tag=TAG, summary="Approve a revision", refusals=("conflict",), example={},
    )  # fmt: skip
    async def approve_template(call: Call[shapes.Approval | None, None]) -> Json:
        """From now on messages are made from it: from the newest revision, or an older one, which takes a change
        back."""
        n, _ = await revision_of(await load(call), None if call.body is None else call.body.revision)
        return await changed(call, lambda row: (row[1], row[2], None, n))

    @endpoint(
        "POST", "/v1/templates/{id}/withdraw", answer=shapes.Template, scope="templates:approve", tag=TAG,
        summary="Withdraw a template", refusals=("conflict",),
    )  # fmt: skip
    async def withdraw_template(call: Call[None, None]) -> Json:
        """No message can be made from it until a revision is approved again."""
        return await changed(call, lambda row: (row[1], row[2], None, 0))

    @endpoint(
        "GET", "/v1/templates/{id}/revisions", query=Paging, answer=Page[shapes.Revision], scope="templates:read",
        tag=TAG, summary="List a template's revisions",
    )  # fmt: skip
    async def list_template_revisions(call: Call[None, Paging]) -> Page[Json]:
        """The newest first, with the keys that made and approved them."""
        row, query = await load(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        rows = await store.read(
            SQL["template_revisions"],
            id=row[0],
            before=LAST if last is None else min(last[0], LAST),
            most=query.limit + 1,
        )
        return page(rows, query.limit, revision_view, lambda found: (found[0],))

    @endpoint(
        "POST", "/v1/templates/{id}/preview", body=shapes.NewTrial, body_may_be_missing=True, answer=shapes.Trial,
        scope="templates:read", tag=TAG, summary="Preview a template",
        example={"language": "de", "params": {"name": "Ada", "order": 42}},
    )  # fmt: skip
    async def preview_template(call: Call[shapes.NewTrial | None, None]) -> shapes.Trial:
        """How it would be sent with these values, and what the worst values that its parameters allow would make of
        it: encoding and segments, and the price where it is known. Nothing is sent; drafts can be previewed too."""
        asked = call.body or shapes.NewTrial()
        who = caller_of(call)
        n, content = await revision_of(await load(call), asked.revision)
        found = ready(0, content)
        params = {name: sample_of(name, param) for name, param in content.params.items()}
        params |= {name: value for name, value in asked.params.items() if value is not None}
        worst = {name: worst_of(param) for name, param in content.params.items()}

        def priced(text: str) -> str | None:
            if price is None or asked.to is None:
                return None
            klass = status.TRANSACTIONAL if content.klass is None else content.klass
            return price(who.account_id, who.mode, asked.to, text, content.from_, klass)

        try:
            return shapes.Trial(
                found.language(asked.language), n, params, filled(found, params, asked.language, priced),
                filled(found, worst, asked.language, priced),
            )  # fmt: skip
        except Refusal as refusal:
            raise invalid(list(refusal.errors)) from None

    return [
        create_template,
        list_templates,
        get_template,
        update_template,
        delete_template,
        approve_template,
        withdraw_template,
        list_template_revisions,
        preview_template,
    ]


def _taken(name: str) -> NoReturn:
    raise Refusal("conflict", f"There is a template named {name} already.")


def filled(
    found: Ready, params: dict[str, Any], language: str | None, priced: Callable[[str], str | None]
) -> shapes.Filled:
    text = smart(fill(found, params, language).text)
    planned = plan_text(text)
    return shapes.Filled(text, planned.encoding, planned.segments, planned.units, priced(text))


def _said(content: Content) -> Json:
    shown: Json = {
        "versions": content.versions,
        "params": {name: {"type": each.type, **msgspec.to_builtins(each)} for name, each in content.params.items()},
        "class": content.class_,
        "from": content.from_,
        "default_language": content.default_language,
    }
    return shown


def view(row: Row) -> Json:
    """A template as its owner sees it, from a row of `template`."""
    an_id, name, description, newest, approved, created_at, updated_at, content, _ = row
    return {
        "id": ids.show("tpl", an_id),
        "name": name,
        "description": description,
        "state": "approved" if approved == newest else "draft",
        "revision": newest,
        "approved_revision": approved,
        **_said(_decode(content)),
        "created_at": rfc3339(created_at),
        "updated_at": rfc3339(updated_at),
    }


def revision_view(row: Row) -> Json:
    """From a row of `template_revisions`."""
    n, content, created_at, created_by, approved_at, approved_by = row
    return {
        "revision": n,
        **_said(_decode(content)),
        "created_at": rfc3339(created_at),
        "created_by": ids.show("key", created_by),
        "approved_at": None if approved_at is None else rfc3339(approved_at),
        "approved_by": None if approved_by is None else ids.show("key", approved_by),
    }


def caller_of(call: Call[Any, Any]) -> Key:
    """Who asks."""
    assert isinstance(call.caller, Key)
    return call.caller
