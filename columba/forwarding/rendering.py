"""A destination compiled, and its requests rendered: the exact method, URL, headers and body. Pure.

`Compiled` is made once for a destination's spec. What is rendered masked differs in its secrets alone: `***` stands for
them where templates put them in, and for what auth makes of them. Fails with UserCodeError.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import msgspec
from msgspec import UNSET

from columba.forwarding.auth.kinds import ClientCertificate, Digest, NoAuth, OAuth2, SecretRef, Tls
from columba.forwarding.auth.sign import Draft, Moment, sign
from columba.forwarding.conditions import names_contact
from columba.forwarding.destinations_shapes import ANSWERED, HIDDEN, SEEN, Body, Part, Request, Saved, Spec, Success
from columba.forwarding.destinations_views import SentRequest
from columba.usercode import Expression, Pattern, Schema, Structure, Template, UserCodeError, structure
from columba.usercode.filters import Raw
from columba.usercode.values import text_of

MAIN = "request"  # the name of a destination's own request among its steps
MASK = Raw(HIDDEN)  # as it is in URLs and XML too

_encode = msgspec.json.Encoder().encode


class Rendered(msgspec.Struct, frozen=True):
    """A request, as it goes over the wire but for what every request has (Host, Content-Length, User-Agent)."""

    step: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    when: str | None = None  # its condition, where that isn't known yet

    def shown(self) -> SentRequest:
        """As the API shows it."""
        encoded = False
        text: str | None = None
        if self.body:
            try:
                text = self.body.decode()
            except UnicodeDecodeError:
                text, encoded = base64.b64encode(self.body).decode(), True
        return SentRequest(
            step=self.step, method=self.method, url=self.url, headers=self.headers, body=text, base64=encoded,
            when=self.when,
        )  # fmt: skip


class File(NamedTuple):
    """One file of a message."""

    content: bytes
    content_type: str
    name: str


class Files(NamedTuple):
    """The message's media, as far as they were fetched; by their place."""

    found: Sequence[File] = ()


NO_FILES = Files()


class Payload(NamedTuple):
    content_type: str | None
    content: bytes
    document: Any  # what a schema looks at: the JSON, or the form's fields


class CompiledSaved(NamedTuple):
    name: str
    spec: Saved
    look: Expression | Template | None


class CompiledStep(NamedTuple):
    name: str
    request: Request
    url: Template
    headers: tuple[tuple[str, Template], ...]
    query: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...]
    body: Callable[[Mapping[str, Any], Files, str], Payload] | None
    files: bool  # it sends media
    when: Expression | None
    success: "CompiledSuccess"
    save: tuple[CompiledSaved, ...]
    auth: bool
    may_fail: bool
    private: bool  # what it is answered is a secret


class CompiledSuccess(NamedTuple):
    status: Callable[[int], bool]
    spelled: str
    headers: tuple[tuple[str, Pattern], ...]
    cel: Expression | None
    permanent: Expression | None


class Compiled(NamedTuple):
    """A destination's spec, ready to use. The last of `steps` is its own request."""

    spec: Spec
    steps: tuple[CompiledStep, ...]
    transform: tuple[tuple[str, Structure], ...]
    schema: Schema | None
    reply: Template | None
    veiled: bool  # its templates have secrets in them: what is shown is rendered apart from what is sent
    client_cert: str | None
    client_key: str | SecretRef | None
    ca: bytes | None
    knows: bool  # its templates look at the contact


def compile_spec(spec: Spec) -> Compiled:
    tls: Tls | ClientCertificate | None = spec.auth if isinstance(spec.auth, ClientCertificate) else spec.tls
    steps = [
        _step(
            step.name,
            step.request,
            step.when,
            step.success,
            step.save,
            step.auth,
            step.on_failure == "go_on",
            step.private,
        )
        for step in spec.steps
    ]
    steps.append(_step(MAIN, spec.request, spec.when, spec.success, spec.save, True, False, False))
    return Compiled(
        spec,
        tuple(steps),
        tuple((name, structure(value, SEEN)) for name, value in spec.transform.items()),
        None if spec.schema is None else Schema.parse(spec.schema),
        None if spec.reply is None else Template.parse(spec.reply, ANSWERED),
        b"secrets" in _encode([spec.request, spec.steps, spec.transform, spec.auth])
        or any(step.private for step in spec.steps),
        None if tls is None else tls.certificate,
        None if tls is None else tls.key,
        None if tls is None or tls.ca is None else tls.ca.encode(),
        names_contact(_encode(spec).decode()),
    )


def _step(
    name: str,
    request: Request,
    when: str | None,
    success: Success,
    save: Mapping[str, Saved],
    auth: bool,
    may_fail: bool,
    private: bool,
) -> CompiledStep:
    return CompiledStep(
        name,
        request,
        Template.parse(request.url, SEEN, "url"),
        tuple((header, Template.parse(source, SEEN, "line")) for header, source in request.headers.items()),
        tuple((key, structure(value, SEEN).render) for key, value in request.query.items()),
        None if request.body is None else _body(request.body),
        request.body is not None and any(part.media is not None for part in request.body.multipart or ()),
        None if when is None else Expression.parse(when, SEEN),
        _success(success),
        tuple(CompiledSaved(key, saved, _look(saved)) for key, saved in save.items()),
        auth,
        may_fail,
        private,
    )


def _success(success: Success) -> CompiledSuccess:
    codes = frozenset(code for code in success.status if isinstance(code, int))
    classes = frozenset(int(code[0]) for code in success.status if isinstance(code, str))
    return CompiledSuccess(
        lambda status: status in codes or status // 100 in classes,
        ", ".join(map(str, success.status)),
        tuple((name.lower(), Pattern.parse(source)) for name, source in success.headers.items()),
        None if success.cel is None else Expression.parse(success.cel, ANSWERED),
        None if success.permanent is None else Expression.parse(success.permanent, ANSWERED),
    )


def _look(saved: Saved) -> Expression | Template | None:
    if saved.cel is not None:
        return Expression.parse(saved.cel, ANSWERED)
    return None if saved.template is None else Template.parse(saved.template, ANSWERED)


# Bodies


def _body(body: Body) -> Callable[[Mapping[str, Any], Files, str], Payload]:
    given = body.content_type
    if body.form is not None:
        fields = tuple((name, structure(value, SEEN).render) for name, value in body.form.items())

        def form(context: Mapping[str, Any], files: Files, boundary: str) -> Payload:
            values = {name: make(context) for name, make in fields}
            pairs = [
                f"{quote_plus(name)}={_form_text(each)}" for name, value in values.items() for each in _several(value)
            ]
            return Payload(given or "application/x-www-form-urlencoded", "&".join(pairs).encode(), values)

        return form
    if body.multipart is not None:
        parts = tuple(map(_part, body.multipart))
        return lambda context, files, boundary: _multipart(parts, given, context, files, boundary)
    if body.xml is not None:
        xml = Template.parse(body.xml, SEEN, "xml")
        return lambda context, files, boundary: Payload(
            given or "application/xml; charset=utf-8", _bytes(xml.render(context)), None
        )
    if body.text is not None:
        text = Template.parse(body.text, SEEN)
        return lambda context, files, boundary: Payload(
            given or "text/plain; charset=utf-8", _bytes(text.render(context)), None
        )
    assert body.json is not UNSET
    shape = structure(body.json, SEEN)

    def json(context: Mapping[str, Any], files: Files, boundary: str) -> Payload:
        value = shape.render(context)
        try:
            return Payload(given or "application/json", _encode(value), value)
        except (ValueError, TypeError, RecursionError):
            raise UserCodeError(0, 0, "The body can't be written as JSON.") from None

    return json


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _form_text(value: Any) -> str:
    return quote_plus(_bytes(text_of(value)))


def _several(value: Any) -> list[Any]:
    """A list is several of one name, null is none."""
    return value if isinstance(value, list) else [] if value is None else [value]


class _Part(NamedTuple):
    spec: Part
    text: Template | None
    filename: Template | None


def _part(part: Part) -> _Part:
    return _Part(
        part,
        None if part.text is None else Template.parse(part.text, SEEN),
        None if part.filename is None else Template.parse(part.filename, SEEN, "line"),
    )


def _multipart(
    parts: Sequence[_Part], given: str | None, context: Mapping[str, Any], files: Files, boundary: str
) -> Payload:
    made: list[tuple[str, bytes]] = []

    def add(name: str, content: bytes, content_type: str | None, filename: str | None) -> None:
        head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
        if filename is not None:
            head += f'; filename="{_quoted(filename)}"'
        if content_type is not None:
            head += f"\r\nContent-Type: {content_type}"
        made.append((head, content))

    for part in parts:
        spec = part.spec
        filename = None if part.filename is None else part.filename.render(context)
        if part.text is not None:
            add(spec.name, _bytes(part.text.render(context)), spec.content_type, filename)
            continue
        wanted = range(len(files.found)) if spec.media == "all" else [spec.media]
        for place in wanted:
            if isinstance(place, int) and place < len(files.found):
                file = files.found[place]
                add(spec.name, file.content, spec.content_type or file.content_type, filename or file.name)
    while any(boundary.encode() in content for _, content in made):
        boundary += "-"
    pieces = [b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary.encode(), head.encode(), content) for head, content in made]
    body = b"".join([*pieces, b"--%b--\r\n" % boundary.encode()])
    return Payload(f"{given or 'multipart/form-data'}; boundary={boundary}", body, None)


def _quoted(name: str) -> str:
    """HTML's multipart/form-data encoding: quotes and ends of lines are percent-encoded."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


# Requests


class Secrets:
    """The secrets that a destination's templates and auth see: its own, then those of its account."""

    __slots__ = ("_account", "_own", "masked")

    def __init__(self, own: Mapping[str, str], account: Mapping[str, str]) -> None:
        self._own = own
        self._account = account
        self.masked: dict[str, Any] = dict.fromkeys([*account, *own], MASK)

    def seen(self, masked: bool) -> dict[str, Any]:
        return self.masked if masked else {**self._account, **self._own}

    def open(self, secret: str | SecretRef | None) -> str:
        """What a field of auth stands for."""
        if secret is None:
            return ""
        if isinstance(secret, str):
            return secret
        found = self._own.get(secret.secret) or self._account.get(secret.secret)
        if found is None:
            raise UserCodeError(0, 0, f"There is no secret {secret.secret!r}.")
        return found


def inner_context(compiled: Compiled, secrets: Secrets, context: Mapping[str, Any], masked: bool) -> dict[str, Any]:
    """What the destination's own templates see: the text's context, with params, secrets and transformed values."""
    values: dict[str, Any] = {}
    inner = {
        **context,
        "params": compiled.spec.params,
        "secrets": secrets.seen(masked),
        "values": values,
        "steps": dict(context.get("steps") or {}),
    }
    for name, shape in compiled.transform:
        values[name] = shape.render(inner)
    return inner


def draft_step(
    compiled: Compiled, step: CompiledStep, inner: Mapping[str, Any], idempotency_id: str, files: Files = NO_FILES
) -> tuple[Draft, Any]:
    """One request without its proof, with the document that a schema looks at."""
    request = step.request
    draft = Draft(request.method, step.url.render(inner), {}, b"")
    for name, template in step.headers:
        if value := template.render(inner):  # one that comes to nothing is left out
            draft.headers[name] = value
    for name, make in step.query:
        for each in _several(make(inner)):
            draft.add_query(name, quote(_bytes(text_of(each)), safe="*" if each == HIDDEN else ""))
    document: Any = None
    if step.body is not None:
        content_type, draft.body, document = step.body(inner, files, f"columba-{idempotency_id}")
        if content_type is not None and not _has(draft.headers, "content-type"):
            draft.headers["Content-Type"] = content_type
    header = compiled.spec.idempotency_header
    if header is not None and not _has(draft.headers, header.lower()):
        if step.name == MAIN:
            draft.headers[header] = idempotency_id
        elif request.method != "GET":  # a look-up changes nothing
            draft.headers[header] = f"{idempotency_id}-{step.name}"
    return draft, document


def finish_step(
    compiled: Compiled,
    step: CompiledStep,
    draft: Draft,
    inner: Mapping[str, Any],
    secrets: Secrets,
    *,
    at: int,
    idempotency_id: str,
    masked: bool = False,
    token: str | None = None,
    unknown: bool = False,
) -> Rendered:
    """The request with its proof. `unknown`: its condition is not known yet."""
    auth = compiled.spec.auth
    if step.auth and not isinstance(auth, NoAuth):
        _token(draft, compiled.spec, token, masked)
        sign(draft, auth, Moment(at, idempotency_id, inner, secrets.open, masked))
    when = step.when.source if step.when is not None and unknown else None
    return Rendered(step.name, draft.method, draft.url, draft.headers, draft.body, when)


def veil(value: Any) -> Any:
    """The same shape without what is in it."""
    if isinstance(value, dict):
        return {name: veil(each) for name, each in value.items()}
    if isinstance(value, list):
        return [veil(each) for each in value]
    return value if value is None or isinstance(value, bool) else MASK


def leaves(value: Any) -> Iterator[str]:
    """The texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)


def _token(draft: Draft, spec: Spec, token: str | None, masked: bool) -> None:
    """What only a server's word makes possible: an access token, or (masked) a Digest."""
    if isinstance(spec.auth, OAuth2):
        shown = HIDDEN if masked or token is None else token
        draft.set(spec.auth.header, f"{spec.auth.scheme} {shown}".strip())
    elif isinstance(spec.auth, Digest) and masked:
        draft.set("Authorization", f"Digest {HIDDEN}")


def _has(headers: Mapping[str, str], low: str) -> bool:
    return any(name.lower() == low for name in headers)
