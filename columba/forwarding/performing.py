"""Performing a destination: its steps and its own request sent, each answer judged, what was asked for saved.

    requests = render(destination, context, at=now, idempotency_id=an_id, masked=True)
    done = await performing.perform(destination, context, idempotency_id=an_id)

Nothing is raised for what a destination or its server did: `Performed` says it, with `code: what happened` as its error.
What is kept of an exchange has no secrets. A forward that is tried again may be given what its earlier steps came to, so
that they aren't done twice.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from time import perf_counter
from typing import Any

import msgspec
import structlog

from columba.forwarding.auth import digest
from columba.forwarding.auth.kinds import Digest, OAuth2
from columba.forwarding.auth.oauth2 import Asked, NoToken, Tokens
from columba.forwarding.destinations import LEAST_HIDDEN, Destination
from columba.forwarding.destinations_shapes import HIDDEN, SEEN
from columba.forwarding.destinations_views import GotResponse, SentRequest
from columba.forwarding.judging import MOST_KEPT, Judged, judge, result_of, saved_of, shown_of
from columba.forwarding.rendering import (
    MAIN,
    NO_FILES,
    CompiledStep,
    File,
    Files,
    Rendered,
    draft_step,
    finish_step,
    inner_context,
    leaves,
    veil,
)
from columba.http.egress import Answer, Egress, EgressError
from columba.usercode import Schema, Template, UserCodeError
from columba.webhooks.outcomes import retry_after

MOST_READ = 100_000  # bytes that are read, for what is looked up in them
MOST_FILE = 10_000_000  # bytes of one file of media
MOST_FILES = 10
MOST_SHOWN = 4_000_000  # characters of a body, in a dry run
HOPELESS_KINDS = frozenset({"invalid_url", "invalid_request", "forbidden_address"})

log = structlog.get_logger()
_control = re.compile(r"[\x00-\x1f\x7f]")

Fetch = Callable[[str, float], Awaitable[File | None]]


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request and what came back, without secrets; as it is kept with an attempt."""

    step: str
    at: int  # ms
    request: SentRequest | None = None
    response: GotResponse | None = None
    error: str | None = None  # `code: what happened`
    skipped: bool = False


class Performed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    error: `code: what happened`: a code of EgressError, `http_NNN`, or one of `check` (the answer is no success),
      `template`, `schema`, `auth`, `internal`
    permanent: the same again would fail again
    counts: False when it was our own fault: the destination's health doesn't suffer
    saved: the values that its own request and its steps save, by name
    steps: what each step came to, as templates see it: for the actions after this one, and for another attempt
    """

    ok: bool
    exchanges: tuple[Exchange, ...]
    error: str | None = None
    permanent: bool = False
    retry_after: float | None = None
    slow: bool = False  # the other side asks for time: at least a minute
    counts: bool = True
    saved: dict[str, Any] = {}
    steps: dict[str, dict[str, Any]] = {}
    reply: str | None = None
    skipped: bool = False  # its own condition wasn't true: nothing was to be sent
    latency_ms: int = 0

    @property
    def last(self) -> Exchange | None:
        """The last exchange in which something was sent, or should have been."""
        return next((each for each in reversed(self.exchanges) if not each.skipped), None)

    @property
    def status(self) -> int | None:
        last = self.last
        return None if last is None or last.response is None else last.response.status


def render(
    destination: Destination,
    context: Mapping[str, Any],
    *,
    at: int,
    idempotency_id: str,
    masked: bool = True,
    done: Mapping[str, Mapping[str, Any]] | None = None,
    files: Files = NO_FILES,
) -> list[Rendered]:
    """All requests, as they would be sent at this moment: nothing is sent. UserCodeError for what can't be rendered;
    SchemaMismatch has the requests that would not be sent.

    What steps before would have answered is missing in those after them, unless it is given as `done`.
    """
    compiled, secrets = destination.compiled, destination.secrets
    inner = inner_context(compiled, secrets, context, masked)
    inner["steps"].update(done or {})
    found = []
    for step in compiled.steps:
        if done is not None and step.name in done:
            continue
        known = step.when is None or not compiled.spec.steps
        if step.when is not None and known and not step.when.holds(inner):
            continue
        draft, document = draft_step(compiled, step, inner, idempotency_id, files)
        rendered = finish_step(
            compiled,
            step,
            draft,
            inner,
            secrets,
            at=at,
            idempotency_id=idempotency_id,
            masked=masked,
            unknown=not known,
        )
        found.append(rendered)
        if step.name == MAIN and compiled.schema is not None and not compiled.spec.steps:
            _check_schema(compiled.schema, document, found)
    return found


class _Failed(Exception):
    """A step that could not be sent, or whose request got no answer."""

    def __init__(
        self, error: str, *, permanent: bool = False, counts: bool = True, wait: float | None = None, slow: bool = False
    ) -> None:
        self.error = error
        self.permanent = permanent
        self.counts = counts
        self.wait = wait
        self.slow = slow
        super().__init__(error)


class Performing:
    """Sends destinations' requests. `fetch` gives the files of media that are kept here, None for what is elsewhere."""

    def __init__(
        self,
        egress: Egress,
        tokens: Tokens,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        fetch: Fetch | None = None,
    ) -> None:
        self._egress = egress
        self._tokens = tokens
        self._clock = clock
        self._random = random
        self._fetch = fetch
        self._challenges: dict[int, tuple[digest.Challenge, int]] = {}

    async def perform(
        self,
        destination: Destination,
        context: Mapping[str, Any],
        *,
        idempotency_id: str,
        done: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Performed:
        """Send it all. `done` is what `Performed.steps` of an earlier attempt said: steps that succeeded aren't repeated."""
        began = perf_counter()
        exchanges: list[Exchange] = []
        steps: dict[str, dict[str, Any]] = {}
        saved: dict[str, Any] = {}
        private: set[str] = set()  # what private steps were answered

        def ended(**more: Any) -> Performed:
            latency = int((perf_counter() - began) * 1000)
            return Performed(exchanges=tuple(exchanges), steps=steps, saved=saved, latency_ms=latency, **more)

        try:
            compiled, secrets = destination.compiled, destination.secrets
            inner = inner_context(compiled, secrets, context, False)
            veiled = inner_context(compiled, secrets, context, True) if compiled.veiled else inner
        except UserCodeError as error:
            exchanges.append(Exchange(step=MAIN, at=self._clock(), error=f"template: {error}"))
            return ended(ok=False, error=f"template: {error}", permanent=True)
        for step in compiled.steps:
            earlier = (done or {}).get(step.name)
            if earlier is not None and earlier.get("ok"):
                result = dict(earlier)
            else:
                if step.when is not None and not step.when.holds(inner):
                    exchanges.append(Exchange(step=step.name, at=self._clock(), skipped=True))
                    result = {"ok": True, "skipped": True}
                    if step.name == MAIN:
                        return ended(ok=True, skipped=True)
                else:
                    try:
                        answer, result, judged = await self._step(
                            destination, step, inner, veiled, idempotency_id, exchanges, private
                        )
                    except _Failed as failed:
                        if step.may_fail:
                            result = {"ok": False, "skipped": False, "error": failed.error}
                        else:
                            return ended(
                                ok=False, error=failed.error, permanent=failed.permanent, retry_after=failed.wait,
                                counts=failed.counts, slow=failed.slow,
                            )  # fmt: skip
                    else:
                        if judged.error is not None and not step.may_fail:
                            wait = retry_after(answer.header("retry-after"), self._clock())
                            return ended(
                                ok=False, error=judged.error, permanent=judged.permanent, retry_after=wait,
                                slow=answer.status == 429,
                            )  # fmt: skip
            if step.private:
                inner["steps"][step.name] = result
                veiled["steps"][step.name] = veil(result)
                private |= {
                    each for each in leaves([result.get("json"), result.get("saved"), result.get("body")]) if each
                }
                continue
            if step.name != MAIN:
                steps[step.name] = result
                inner["steps"][step.name] = veiled["steps"][step.name] = result
            saved.update(result.get("saved") or {})
        reply = None
        if compiled.reply is not None:
            try:
                reply = compiled.reply.render({**inner, "saved": saved, **result, "answer": result}) or None
            except UserCodeError as error:
                return ended(ok=True, error=f"template: the reply could not be made: {error}")
        return ended(ok=True, reply=reply)

    async def rehearse(self, destination: Destination, context: Mapping[str, Any], *, idempotency_id: str) -> Performed:
        """What `perform` would send at this moment. Nothing is sent; but media is fetched, since it is a part of it."""
        compiled, at = destination.compiled, self._clock()
        rendered: Sequence[Rendered] = ()
        error: str | None = None
        try:
            wanted = any(step.files for step in compiled.steps)
            files = await self._files(context.get("media"), compiled.spec.timeout) if wanted else NO_FILES
            rendered = render(destination, context, at=at, idempotency_id=idempotency_id, files=files)
        except _Failed as failed:
            error = failed.error
        except EgressError as failed:
            error = f"{failed.kind}: {failed.detail}"
        except SchemaMismatch as failed:
            rendered, error = failed.rendered, f"schema: {failed}"
        except UserCodeError as failed:
            error = f"template: {failed}"
        exchanges = [Exchange(step=each.step, at=at, request=_cut(each.shown(), MOST_SHOWN)) for each in rendered]
        if error is not None:
            exchanges[-1:] = [
                msgspec.structs.replace(each, error=error) for each in exchanges[-1:] or [Exchange(step=MAIN, at=at)]
            ]
        skipped = not exchanges
        return Performed(
            ok=error is None,
            exchanges=tuple(exchanges) or (Exchange(step=MAIN, at=at, skipped=True),),
            error=error,
            permanent=error is not None,
            skipped=skipped,
        )

    async def _step(
        self,
        destination: Destination,
        step: CompiledStep,
        inner: Mapping[str, Any],
        veiled: Mapping[str, Any],
        idempotency_id: str,
        exchanges: list[Exchange],
        private: Collection[str],
    ) -> tuple[Answer, dict[str, Any], Judged]:
        """One request sent and its answer read. The exchange is added, whatever comes of it."""
        compiled, secrets = destination.compiled, destination.secrets
        at = self._clock()
        shown: SentRequest | None = None
        token: str | None = None
        try:
            files = await self._files(inner.get("media"), compiled.spec.timeout) if step.files else NO_FILES
            draft, document = draft_step(compiled, step, inner, idempotency_id, files)
            if compiled.veiled:
                veiled_draft, _ = draft_step(compiled, step, veiled, idempotency_id, files)
            else:
                veiled_draft = draft.copy()
            masked = finish_step(
                compiled, step, veiled_draft, veiled, secrets, at=at, idempotency_id=idempotency_id, masked=True
            )
            shown = _cut(masked.shown())
            if isinstance(compiled.spec.auth, OAuth2) and step.auth:
                token = await self._tokens.get(self._asked(destination, inner))
            rendered = finish_step(
                compiled, step, draft, inner, secrets, at=at, idempotency_id=idempotency_id, token=token
            )
            if step.name == MAIN and compiled.schema is not None:
                _check_schema(compiled.schema, document)
            answer, sent = await self._send(destination, step, rendered, inner, token, idempotency_id, files)
            hide = (lambda _: HIDDEN) if step.private else _hider(destination, masked, sent, private)
        except _Failed as error:
            failed = error
        except SchemaMismatch as error:
            failed = _Failed(f"schema: {error}", permanent=True, counts=False)
        except UserCodeError as error:
            failed = _Failed(f"template: {error}", permanent=True, counts=False)
        except NoToken as error:
            failed = _Failed(f"auth: {error.detail}", wait=error.retry_after)
        except EgressError as error:
            failed = _Failed(
                f"{error.kind}: {error.detail}", permanent=error.kind in HOPELESS_KINDS, counts=error.kind != "busy",
                slow=error.kind == "timeout",
            )  # fmt: skip
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except Exception:
            log.exception("destination.failed", destination=destination.id, step=step.name)
            failed = _Failed("internal: This is Columba's own fault, and its log says more.", counts=False)
        else:
            result = result_of(answer)
            judged = judge(step.success, answer, {**inner, **result, "answer": result})
            result["ok"] = judged.error is None
            if judged.error is None:
                try:
                    result["saved"] = {each.name: saved_of(each, result, inner) for each in step.save}
                except UserCodeError as error:
                    judged = Judged(f"check: a value could not be saved: {error}", True)
                    result["ok"] = False
            result["body"] = result["body"][:MOST_KEPT]
            exchanges.append(
                Exchange(step=step.name, at=at, request=shown, response=shown_of(answer, hide), error=judged.error)
            )
            return answer, result, judged
        exchanges.append(Exchange(step=step.name, at=at, request=shown, error=failed.error))
        raise failed

    async def _send(
        self,
        destination: Destination,
        step: CompiledStep,
        rendered: Rendered,
        inner: Mapping[str, Any],
        token: str | None,
        idempotency_id: str,
        files: Files,
    ) -> tuple[Answer, Rendered]:
        """The answer, and the request that it answers."""
        auth = destination.compiled.spec.auth
        if isinstance(auth, Digest) and step.auth:
            return await self._digest(destination, auth, rendered, inner), rendered
        answer = await self._request(destination, rendered, rendered.headers)
        if answer.status == 401 and token is not None:  # it was refused, so nothing was done: another token, once
            fresh = await self._tokens.get(self._asked(destination, inner), refused=token)
            draft, _ = draft_step(destination.compiled, step, inner, idempotency_id, files)
            again = finish_step(
                destination.compiled, step, draft, inner, destination.secrets, at=self._clock(),
                idempotency_id=idempotency_id, token=fresh,
            )  # fmt: skip
            return await self._request(destination, again, again.headers), again
        return answer, rendered

    async def _request(self, destination: Destination, rendered: Rendered, headers: Mapping[str, str]) -> Answer:
        compiled = destination.compiled
        return await self._egress.request(
            rendered.method,
            rendered.url,
            headers=headers,
            body=rendered.body,
            timeout=compiled.spec.timeout,
            max_answer=MOST_READ,
            client_cert=destination.client_cert,
            ca=compiled.ca,
        )

    async def _digest(
        self, destination: Destination, auth: Digest, rendered: Rendered, inner: Mapping[str, Any]
    ) -> Answer:
        """With the server's last challenge where there is one, else without; once more with a new one it gives."""
        username = Template.parse(auth.username, SEEN, "line").render(inner)
        password = destination.secrets.open(auth.password)

        def headers(found: digest.Challenge, count: int) -> dict[str, str]:
            proof = digest.authorization(
                found, username, password, rendered.method, rendered.url, rendered.body, count, self._random(8).hex()
            )
            return {**rendered.headers, "Authorization": proof}

        known = self._challenges.get(destination.id)
        sent = rendered.headers
        if known is not None:
            found, count = known
            self._challenges[destination.id] = (found, count + 1)
            sent = headers(found, count + 1)
        answer = await self._request(destination, rendered, sent)
        if answer.status == 401:
            fields = [value.decode("latin-1") for name, value in answer.fields if name.lower() == b"www-authenticate"]
            new = digest.challenge(", ".join(fields))
            if new is None or (known is not None and new.nonce == known[0].nonce):
                self._challenges.pop(destination.id, None)
                return answer
            if len(self._challenges) > 10_000:
                self._challenges.clear()
            self._challenges[destination.id] = (new, 1)
            answer = await self._request(destination, rendered, headers(new, 1))
        return answer

    def _asked(self, destination: Destination, inner: Mapping[str, Any]) -> Asked:
        auth = destination.compiled.spec.auth
        assert isinstance(auth, OAuth2)

        async def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
            return await self._egress.request(
                "POST", url, headers=headers, body=body, timeout=destination.compiled.spec.timeout, max_answer=65_536,
                client_cert=destination.client_cert, ca=destination.compiled.ca,
            )  # fmt: skip

        return Asked(destination.id, auth, inner, destination.secrets.open, post)

    async def _files(self, media: Any, timeout: float) -> Files:
        urls = [each for each in media if isinstance(each, str)][:MOST_FILES] if isinstance(media, list) else []
        return Files([await self._file(url, timeout) for url in urls])

    async def _file(self, url: str, timeout: float) -> File:
        kept = None if self._fetch is None else await self._fetch(url, timeout)
        return kept if kept is not None else await self._fetch_url(url, timeout)

    async def _fetch_url(self, url: str, timeout: float) -> File:
        answer = await self._egress.request("GET", url, timeout=timeout, max_answer=MOST_FILE)
        if answer.status != 200 or answer.truncated:
            why = f"answered {answer.status}" if answer.status != 200 else f"has more than {MOST_FILE} bytes"
            raise _Failed(f"media: The address of a file {why}.")
        kind = (answer.header("content-type") or "application/octet-stream").partition(";")[0].strip()
        name = url.partition("?")[0].rstrip("/").rpartition("/")[2] or "file"
        return File(
            answer.body, kind if kind.isprintable() else "application/octet-stream", _control.sub("", name)[:200]
        )


class SchemaMismatch(UserCodeError):
    """The body doesn't fit the destination's schema."""

    rendered: Sequence[Rendered] = ()


def _check_schema(schema: Schema, document: Any, rendered: Sequence[Rendered] = ()) -> None:
    problems = schema.problems(document)
    if problems:
        mismatch = SchemaMismatch(0, 0, f"{'; '.join(problems[:5])}.")
        mismatch.rendered = rendered
        raise mismatch


def _cut(request: SentRequest, most: int = MOST_KEPT) -> SentRequest:
    """What is kept of a request: as much as of an answer, and no NUL, which no store keeps."""
    if request.body is not None and (len(request.body) > most or "\0" in request.body):
        request.body = request.body[:most].replace("\0", "\ufffd")
    return request


def _hider(
    destination: Destination, masked: Rendered, sent: Rendered, private: Collection[str]
) -> Callable[[str], str]:
    """Replaces what an answer repeats of the secrets, of private answers, and of what this request had of them."""
    made = {
        value.partition(" ")[2] or value for name, value in sent.headers.items() if masked.headers.get(name) != value
    }
    known = [*(each for each in (*made, *private) if len(each) >= LEAST_HIDDEN), *destination.hidden]
    if not known:
        return lambda text: text

    def hide(text: str) -> str:
        for secret in known:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text

    return hide
