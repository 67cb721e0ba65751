"""`/v1/settings/<capability>`: what an account has set for a room, read and changed in one way for all of them.

`GET` shows all that is in force. `PATCH` is a JSON Merge Patch (RFC 7396): what is left out stays, what is null is as it
usually is, objects are merged and lists replaced. A room says what its document is (a struct whose docstring and types
bound it) and how it is shown.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from columba.http import body
from columba.http.checks import checks_of
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.policies import Policies, Policy

PREFIX: Final = "/v1/settings/"
LEFT_OUT: Final = "What is to be different; what is left out stays, and what is null is as it usually is."
IN_FORCE: Final = "In force here when this is answered, elsewhere within a second."

Document = TypeVar("Document")


def endpoints(
    policies: Policies,
    policy: Policy[Document, Any],
    *,
    path: str,
    name: str,
    about: str,
    tag: str,
    read: str,
    write: str,
    answer: Any,
    shown: Callable[[Document, int], Any],
    example: dict[str, Any],
    document: type[msgspec.Struct],
    read_more: str = "",
    write_more: str = "",
) -> list[Endpoint]:
    """`about` is what is read and changed, in words; `read` and `write` are scopes; `shown` makes the answer of a document
    and a mode. `document` is as it may be set: its JSON is what the policy reads."""
    change = change_of(document, f"{name.title().replace('_', '')}SettingsChange", LEFT_OUT)

    def as_it_is(call: Call[Any, Any]) -> Any:
        who = call.caller
        return shown(policy.document(who.account_id, who.mode), who.mode)

    @endpoint(
        "GET", PREFIX + path, name=f"get_{name}_settings", answer=answer, scope=read, tag=tag, summary=f"Read {about}",
        description=read_more or "All that is in force, whether it was set or usually holds.",
    )  # fmt: skip
    async def get_settings(call: Call[None, None]) -> Any:
        return as_it_is(call)

    @endpoint(
        "PATCH", PREFIX + path, name=f"update_{name}_settings", body=change, answer=answer, scope=write, tag=tag,
        summary=f"Change {about}", description=f"{write_more} {IN_FORCE}".strip(), example=example,
    )  # fmt: skip
    async def update_settings(call: Call[Any, None]) -> Any:
        def check(text: bytes) -> object:
            return body.decode(document, text)

        who = call.caller
        await policies.change(policy, who.account_id, who.mode, msgspec.to_builtins(call.body), check)
        return as_it_is(call)

    return [get_settings, update_settings]


@cache  # one struct each, or the API's document has two of one name
def change_of(document: type[msgspec.Struct], name: str = "", says: str = "") -> type[msgspec.Struct]:
    """A change to a document: its fields, each of which may be left out or null, and its checks."""
    hints = get_type_hints(document, include_extras=True)
    fields = [
        (each.name, Union[_changed(hints[each.name]), None, UnsetType], UNSET)  # noqa: UP007  made when this runs
        for each in msgspec.structs.fields(document)
    ]
    first, _, rest = (document.__doc__ or "").partition("\n")
    return msgspec.defstruct(
        name or f"{document.__name__}Change",
        fields,
        module=document.__module__,
        namespace={"__doc__": f"{says or first}\n{rest}", **{each.__name__: each for each in checks_of(document)}},
        rename={each.name: each.encode_name for each in msgspec.structs.fields(document)},
        forbid_unknown_fields=True,
        kw_only=True,
    )


def _changed(hint: Any) -> Any:
    """The type of what a field is merged with: lists and all that is no object are replaced."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return change_of(hint)
    if get_origin(hint) is Annotated:
        kind, *meta = get_args(hint)
        return Annotated[(_changed(kind), *meta)]
    if get_origin(hint) is dict:
        names, values = get_args(hint)
        return dict.__class_getitem__((names, Union[_changed(values), None]))  # noqa: UP007
    return hint
