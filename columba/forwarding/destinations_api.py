"""`/v1/destinations`, `/v1/presets` and `/v1/secrets`: where texts are forwarded to.

Everything belongs to an account in one of its modes. Secrets are taken and never given back: `***` stands for each.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from columba.core import ids
from columba.core.ids import Ids
from columba.core.inbound import person as number_of
from columba.core.model import rfc3339
from columba.errors import Refusal
from columba.forwarding import curl
from columba.forwarding.auth.kinds import (
    SEEN,
    Basic,
    Bearer,
    ClientCertificate,
    Digest,
    HeaderAuth,
    Hmac,
    NoAuth,
    OAuth2,
    QueryAuth,
    SecretRef,
    SigV4,
    StandardWebhooks,
)
from columba.forwarding.destinations import Destination as Found
from columba.forwarding.destinations import Destinations
from columba.forwarding.destinations_making import changed, made, shown, tried_context
from columba.forwarding.destinations_shapes import HIDDEN, DestinationChange, NewDestination
from columba.forwarding.destinations_views import (
    Destination,
    Exported,
    NewSecret,
    Preset,
    Presets,
    SecretChange,
    Secrets,
    SecretView,
    SentRequest,
    Tried,
    TriedExchange,
    TriedMessage,
    Try,
)
from columba.forwarding.people import People, nobody, seen_by
from columba.forwarding.performing import Performed, Performing, render
from columba.forwarding.presets import presets
from columba.forwarding.rendering import inner_context
from columba.forwarding.telling import explain
from columba.http.egress import Egress
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.keys import Key
from columba.usercode import Template, UserCodeError

LARGEST = 131_072  # bytes of a destination
TRIES = 5  # to change what others change at the same moment
_MADE_BY_CURL = ("authorization", "x-amz-date", "x-amz-content-sha256")  # from the options of these kinds of auth


def endpoints(
    destinations: Destinations,
    performing: Performing,
    egress: Egress,
    new_id: Ids,
    clock: Callable[[], int],
    account: Callable[[int], Mapping[str, Any]],
    used_by: Callable[[Found], Iterable[str]] = lambda _destination: (),
    people: People = nobody,
) -> list[Endpoint]:
    """The endpoints. `account` is what templates see of one, `used_by` names the rules that forward to a destination."""

    async def find(call: Call[Any, Any]) -> Found:
        await destinations.refresh()
        who, an_id = _caller(call), ids.read("dst", call.path["id"])
        found = None if an_id is None else destinations.get(an_id, who.account_id, who.mode)
        if found is None:
            raise Refusal("not_found", "There is no such destination.")
        return found

    def secrets_of(who: Key) -> dict[str, object]:
        return dict.fromkeys((each.name for each in destinations.secrets_of(who.account_id, who.mode)), True)

    @endpoint(
        "POST", "/v1/destinations", body=NewDestination, body_limit=LARGEST, answer=Destination,
        status=201, scope="destinations:write",
        tag="Destinations", summary="Add a destination",
        refusals=("too_many", "invalid_code", "invalid_url", "forbidden_url"),
        example={
            "name": "Orders",
            "request": {
                "url": "https://example.org/orders", "body": {"json": {"from": "{{ from }}", "text": "{{ text }}"}},
            },
            "auth": {"kind": "bearer", "token": "a token"},
        },
    )  # fmt: skip
    async def create_destination(call: Call[NewDestination, None]) -> Destination:
        """Written as a `request` with templates, made from a `preset`, or read from a `curl` command. Rules forward to it
        by its id; POST .../test tries it at once."""
        who = _caller(call)
        await destinations.refresh()
        wanted = made(call.body, egress.check_url, secrets_of(who))
        return _view(await destinations.add(new_id(), who.account_id, who.mode, wanted))

    @endpoint(
        "GET", "/v1/destinations", query=Paging, answer=Page[Destination], scope="destinations:read", tag="Destinations",
        summary="List destinations",
    )  # fmt: skip
    async def list_destinations(call: Call[None, Paging]) -> Page[Destination]:
        """The newest first."""
        who, query = _caller(call), call.query
        await destinations.refresh()
        last = decode_cursor(query.cursor, tuple[int])
        those = [each for each in destinations.of(who.account_id, who.mode) if last is None or each.id < last[0]]
        return page(those[: query.limit + 1], query.limit, _view, lambda each: (each.id,))

    @endpoint(
        "GET", "/v1/destinations/{id}", answer=Destination, scope="destinations:read", tag="Destinations",
        summary="Read a destination",
    )  # fmt: skip
    async def get_destination(call: Call[None, None]) -> Destination:
        return _view(await find(call))

    @endpoint(
        "PATCH", "/v1/destinations/{id}", body=DestinationChange, body_limit=LARGEST, answer=Destination,
        scope="destinations:write",
        tag="Destinations", summary="Change a destination",
        refusals=("conflict", "invalid_code", "invalid_url", "forbidden_url"), example={"timeout": 30},
    )  # fmt: skip
    async def update_destination(call: Call[DestinationChange, None]) -> Destination:
        """In force within a second everywhere, for what waits already too."""
        for _ in range(TRIES):
            was = await find(call)
            wanted = changed(was, call.body, egress.check_url, secrets_of(_caller(call)))
            now = await destinations.change(was, wanted)
            if now is not None:
                return _view(now)
        raise Refusal("conflict", "It is being changed by others at this moment.")

    @endpoint(
        "DELETE", "/v1/destinations/{id}", scope="destinations:write", tag="Destinations",
        summary="Delete a destination", refusals=("conflict",),
    )  # fmt: skip
    async def delete_destination(call: Call[None, None]) -> None:
        """With its secrets. Refused while a rule forwards to it."""
        found = await find(call)
        rules = [*used_by(found)]
        if rules:
            raise Refusal("conflict", f"These rules forward to it: {', '.join(rules[:10])}. Change them first.")
        await destinations.remove(found.id)

    @endpoint(
        "POST", "/v1/destinations/{id}/test", body=Try, body_may_be_missing=True, answer=Tried,
        scope="destinations:write", tag="Destinations", summary="Test a destination",
        example={"message": {"from": "+447700900123", "to": "+12025550100", "text": "Hello"}},
    )  # fmt: skip
    async def test_destination(call: Call[Try | None, None]) -> Tried:
        """Really sends, unless `send` is false, and answers with what was sent, `***` for its secrets, and what came back.
        Nothing is tried again. One that isn't enabled can be tested too."""
        found, who, asked = await find(call), _caller(call), call.body or Try()
        an_id, now = new_id(), clock()
        person = (who.account_id, who.mode, number_of(asked.message.from_))
        contact = (await seen_by(people, who.scopes)([person])).get(person)
        context = tried_context(asked.message, an_id, account(who.account_id), now, contact)
        name = ids.show("fwd", an_id)
        do = performing.perform if asked.send else performing.rehearse
        return _tried(await do(found, context, idempotency_id=name))

    @endpoint(
        "GET", "/v1/destinations/{id}/curl", answer=Exported, scope="destinations:read", tag="Destinations",
        summary="Export a destination to curl",
    )  # fmt: skip
    async def export_destination(call: Call[None, None]) -> Exported:
        """Its requests for a text of ours. Secrets are variables of the shell, to be set before."""
        found, who = await find(call), _caller(call)
        context = tried_context(TriedMessage(), 0, account(who.account_id), clock())
        try:
            rendered = render(found, context, at=clock(), idempotency_id=ids.show("fwd", 0))
        except UserCodeError as error:
            raise Refusal("conflict", f"It can't be rendered: {error}") from None
        inner = inner_context(found.compiled, found.secrets, context, True)
        return Exported([exported(found, each.shown(), inner) for each in rendered])

    @endpoint(
        "GET", "/v1/presets", answer=Presets, scope="destinations:read", tag="Destinations", summary="List presets"
    )
    async def list_presets(call: Call[None, None]) -> Presets:
        """The systems that destinations can be made for, and what each asks for."""
        return Presets([*presets().values()])

    @endpoint(
        "GET",
        "/v1/presets/{name}",
        answer=Preset,
        scope="destinations:read",
        tag="Destinations",
        summary="Read a preset",
    )
    async def get_preset(call: Call[None, None]) -> Preset:
        found = presets().get(call.path["name"])
        if found is None:
            raise Refusal("not_found", f"There is no such preset. There are {', '.join(presets())}.")
        return found

    # Secrets

    def secret(call: Call[Any, Any]) -> SecretView:
        who = _caller(call)
        for each in destinations.secrets_of(who.account_id, who.mode):
            if each.name == call.path["name"]:
                return _secret(each)
        raise Refusal("not_found", "There is no such secret.")

    @endpoint(
        "POST", "/v1/secrets", body=NewSecret, answer=SecretView, status=201, scope="secrets:write", tag="Secrets",
        summary="Add a secret", refusals=("conflict", "too_many"), example={"name": "crm_token", "value": "a token"},
    )  # fmt: skip
    async def create_secret(call: Call[NewSecret, None]) -> SecretView:
        """Destinations of the account name it: `{"secret": "crm_token"}` in auth, `{{ secrets.crm_token }}` in templates.
        It is never shown."""
        who = _caller(call)
        await destinations.refresh()
        if not await destinations.add_secret(who.account_id, who.mode, call.body.name, call.body.value):
            raise Refusal("conflict", f"There is a secret {call.body.name} already: PATCH it.")
        call.path["name"] = call.body.name
        return secret(call)

    @endpoint("GET", "/v1/secrets", answer=Secrets, scope="secrets:read", tag="Secrets", summary="List secrets")
    async def list_secrets(call: Call[None, None]) -> Secrets:
        """Their names, and nothing of what they are."""
        who = _caller(call)
        await destinations.refresh()
        return Secrets([_secret(each) for each in destinations.secrets_of(who.account_id, who.mode)])

    @endpoint(
        "PATCH", "/v1/secrets/{name}", body=SecretChange, answer=SecretView, scope="secrets:write", tag="Secrets",
        summary="Replace a secret", example={"value": "another token"},
    )  # fmt: skip
    async def update_secret(call: Call[SecretChange, None]) -> SecretView:
        """In force within a second everywhere."""
        await destinations.refresh()
        secret(call)
        who = _caller(call)
        await destinations.change_secret(who.account_id, who.mode, call.path["name"], call.body.value)
        return secret(call)

    @endpoint(
        "DELETE", "/v1/secrets/{name}", scope="secrets:write", tag="Secrets", summary="Delete a secret",
        refusals=("conflict",),
    )  # fmt: skip
    async def delete_secret(call: Call[None, None]) -> None:
        """Refused while a destination names it."""
        await destinations.refresh()
        secret(call)
        who = _caller(call)
        using = destinations.using(who.account_id, who.mode, call.path["name"])
        if using:
            names = ", ".join(ids.show("dst", each.id) for each in using[:10])
            raise Refusal("conflict", f"These destinations use it: {names}. Change them first.")
        await destinations.remove_secret(who.account_id, who.mode, call.path["name"])

    return [
        create_destination, list_destinations, get_destination, update_destination, delete_destination, test_destination,
        export_destination, list_presets, get_preset, create_secret, list_secrets, update_secret, delete_secret,
    ]  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller


def _view(found: Found) -> Destination:
    spec = shown(found)
    return Destination(
        id=ids.show("dst", found.id),
        name=found.name,
        description=found.description,
        enabled=found.enabled,
        preset=found.preset,
        problem=found.problem,
        created_at=rfc3339(found.created_at),
        updated_at=rfc3339(found.updated_at),
        **spec,
    )


def _tried(performed: Performed) -> Tried:
    last = performed.last
    return Tried(
        ok=performed.ok,
        request=None if last is None else last.request,
        response=None if last is None else last.response,
        error=None if performed.error is None else explain(performed.error),
        permanent=performed.permanent,
        retry_after=performed.retry_after,
        saved=performed.saved,
        reply=performed.reply,
        exchanges=[
            TriedExchange(
                step=each.step,
                request=each.request,
                response=each.response,
                error=None if each.error is None else explain(each.error),
                skipped=each.skipped,
            )
            for each in performed.exchanges
        ],
    )


def _secret(row: Any) -> SecretView:
    return SecretView(name=row.name, created_at=rfc3339(row.created_at), updated_at=rfc3339(row.updated_at))


def exported(found: Found, request: SentRequest, inner: Mapping[str, Any]) -> str:
    """Auth that curl makes by itself is an option of curl's; else a variable stands in its header. `inner` is what the
    destination's templates see, masked."""

    def shown(source: str) -> str:
        return Template.parse(source, SEEN, "line").render(inner)

    (step,) = [each for each in found.compiled.steps if each.name == request.step]
    auth = found.spec.auth if step.auth else NoAuth()
    variables: dict[str, str] = {}
    options: list[str] = []
    match auth:
        case Basic() | Digest():
            name = f"{HIDDEN}:" if isinstance(auth.username, SecretRef) else f"{shown(auth.username)}:"
            known = auth.username.secret.upper() if isinstance(auth.username, SecretRef) else "SECRET"
            way = "--digest " if isinstance(auth, Digest) else ""
            options.append(f"{way}-u {curl.quoted(name, known)}" + ('"$PASSWORD"' if auth.password else ""))
        case SigV4():
            place = f"aws:amz:{shown(auth.region)}:{shown(auth.service)}"
            key_id = curl.quoted(f"{shown(auth.access_key_id)}:", "SECRET")
            options.append(f'--aws-sigv4 {curl.quoted(place, "SECRET")} -u {key_id}"$SECRET_ACCESS_KEY"')
            variables["x-amz-security-token"] = "SESSION_TOKEN"
        case Bearer():
            variables["authorization"] = "TOKEN"
        case OAuth2():
            variables[auth.header.lower()] = "ACCESS_TOKEN"
        case HeaderAuth():
            variables[auth.name.lower()] = "API_KEY"
        case QueryAuth():
            variables["url"] = "API_KEY"
        case Hmac():
            variables[auth.header.lower()] = "SIGNATURE"
        case StandardWebhooks():
            variables["webhook-signature"] = "SIGNATURE"
        case NoAuth() | ClientCertificate():
            pass
    if found.compiled.client_cert is not None:
        options.append('--cert "$CERTIFICATE_FILE" --key "$KEY_FILE"')
    if found.compiled.ca is not None:
        options.append('--cacert "$CA_FILE"')
    made_by_curl = isinstance(auth, Basic | Digest | SigV4)
    return curl.write(request, variables, options, _MADE_BY_CURL if made_by_curl else ())
