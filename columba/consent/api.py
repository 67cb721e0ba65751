"""`/v1/consents`, `/v1/suppressions` and `/v1/settings/consent`.

Everything belongs to an account in one of its modes.
"""

from collections.abc import Callable
from typing import Any, Final

from columba.consent import EVERY_CLASS, OPT_IN, OPT_OUT, REQUESTED, SQL
from columba.consent import settings as rules
from columba.consent.gate import DETAILS
from columba.consent.keywords import MEANINGS, usual
from columba.consent.ledger import Ledger, Said, deciding, proof_text, view
from columba.consent.pools import Pools, written
from columba.consent.settings import KINDS, Document, InForce
from columba.consent.settings import OPT_IN as NEEDS_OPT_IN
from columba.consent.shapes import (
    CLASSES,
    Answer,
    Consent,
    NewConsent,
    Question,
    Settings,
    Suppression,
    Suppressions,
    Tried,
    Understood,
)
from columba.consent.shapes import Ledger as LedgerQuery
from columba.core import ids, model, status
from columba.core.submission import is_pool
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, decode_cursor, page
from columba.http.times import milliseconds
from columba.keys import Key
from columba.numbers import NumberError, normalise
from columba.policies import Policies, Policy
from columba.policies.api import endpoints as settings_endpoints
from columba.store import Row, Store

TAG: Final = "Consent"
NEVER_ID: Final = (1 << 63) - 1
EXAMPLE: Final = {
    "number": "+12025550123",
    "action": "opt_in",
    "class": "marketing",
    "source": "web form",
    "words": "Send me offers by text",
    "proof": {"page": "https://example.org/signup", "ip": "203.0.113.7"},
}


def endpoints(
    store: Store,
    ledger: Ledger,
    policies: Policies,
    policy: Policy[Document, InForce],
    pools: Pools,
    clock: Callable[[], int],
    country: Callable[[int], str | None],
) -> list[Endpoint]:
    """`country` gives an account's default country."""

    def number_of(call: Call[Any, Any], raw: str, field: str = "number") -> str:
        try:
            return normalise(raw, country(call.caller.account_id))
        except NumberError as error:
            raise invalid([FieldError(field, "invalid_number", error.detail)]) from None

    def sender_of(call: Call[Any, Any], raw: str | None) -> str:
        sender = written(raw)
        if is_pool(sender) and not pools.exists(call.caller.account_id, call.caller.mode, sender):
            raise invalid([FieldError("sender", "invalid_sender", "There is no such pool.")])
        return sender

    async def word_on(who: Key, number: str, sender: str, klass: int) -> Row | None:
        """What decides over a message."""
        standings = await ledger.standings(who.account_id, who.mode, number)
        return deciding(standings, sender, klass, pools.of(who.account_id, who.mode, sender))

    async def consent_of(account_id: int, mode: int, an_id: int) -> model.Json | None:
        rows = await store.read(SQL["consent"], id=an_id, account_id=account_id, mode=mode)
        return view(rows[0]) if rows else None

    @endpoint(
        "POST", "/v1/consents", body=NewConsent, answer=Consent, status=201, scope="consent:write", tag=TAG,
        summary="Record what a person said", refusals=("invalid_number", "invalid_sender", "opted_out"), example=EXAMPLE,
    )  # fmt: skip
    async def record_consent(call: Call[NewConsent, None]) -> model.Json:
        """Writes a row into the ledger. From an `opt_out` on nothing that it covers leaves, whatever was accepted before;
        an `opt_in` ends an earlier opt-out. With `confirm` the person is asked, and counts once they have said yes."""
        who, asked = _caller(call), call.body
        number = number_of(call, asked.number)
        in_force = policy.of(who.account_id, who.mode)
        now = clock()
        at = now if asked.at is None else milliseconds(asked.at)
        if at > now:
            raise invalid([FieldError("at", "invalid_time", "Expected a time that has been.")])
        sender = sender_of(call, asked.sender)
        klass = EVERY_CLASS if asked.class_ is None else CLASSES[asked.class_]
        confirm = in_force.document.double_opt_in if asked.confirm is None else asked.confirm
        action, reply = OPT_OUT if asked.action == "opt_out" else OPT_IN, None
        if action == OPT_IN and confirm:
            standing = deciding(
                await ledger.standings(who.account_id, who.mode, number),
                sender,
                status.TRANSACTIONAL,
                pools.of(who.account_id, who.mode, sender),
            )
            if standing is not None and standing[2] == OPT_OUT:
                detail = "The person has opted out, and so can't be asked: they may text START."
                raise Refusal("opted_out", detail, errors=[FieldError("number", "opted_out", detail)])
            action, reply = REQUESTED, (sender, "confirm", in_force.answer("confirm", in_force.document.language))
        said = Said(
            who.account_id, who.mode, number, action, asked.source, at, sender, klass, asked.purpose, asked.words, None,
            proof_text(asked.proof), reply=reply if reply is not None and reply[2] else None,
        )  # fmt: skip
        (an_id,) = await ledger.record([said])
        shown = None if an_id is None else await consent_of(who.account_id, who.mode, an_id)
        if shown is None:
            raise Refusal("internal")
        return shown

    @endpoint(
        "GET", "/v1/consents", query=LedgerQuery, answer=Page[Consent], scope="consent:read", tag=TAG,
        summary="Read the ledger",
    )  # fmt: skip
    async def list_consents(call: Call[None, LedgerQuery]) -> Page[model.Json]:
        """What people said, the newest first. Rows are never changed."""
        who, query = _caller(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        before, most = NEVER_ID if last is None else last[0], query.limit + 1
        if query.number is None:
            rows = await store.read(SQL["ledger"], account_id=who.account_id, mode=who.mode, before=before, most=most)
        else:
            hashed = ledger.hashes(number_of(call, query.number))
            rows = await store.read(
                SQL["ledger_of"], account_id=who.account_id, mode=who.mode, hash=hashed, before=before, most=most
            )
        return page(rows, query.limit, view, lambda row: (row[0],))

    @endpoint(
        "GET", "/v1/consents/check", query=Question, answer=Answer, scope="consent:read", tag=TAG,
        summary="Ask whether a person may be texted", refusals=("invalid_number",),
    )  # fmt: skip
    async def check_consent(call: Call[None, Question]) -> Answer:
        """What the ledger says to a message of this class from this sender, at this moment."""
        who, query = _caller(call), call.query
        number, klass = number_of(call, query.number), CLASSES[query.class_]
        sender = sender_of(call, query.sender)
        need = policy.of(who.account_id, who.mode).needs[klass]
        word = deciding(
            await ledger.standings(who.account_id, who.mode, number),
            sender,
            klass,
            pools.of(who.account_id, who.mode, sender),
        )
        state = None if word is None else word[2]
        code = None
        if need and state == OPT_OUT:
            code = "opted_out"
        elif need == NEEDS_OPT_IN and state is None:
            code = "consent_required"
        detail = "It would be sent." if code is None else DETAILS[code]
        known = None if word is None else await consent_of(who.account_id, who.mode, word[4])
        return Answer(allowed=code is None, code=code, detail=detail, consent=known)  # type: ignore[arg-type]

    @endpoint(
        "GET", "/v1/consents/{id}", answer=Consent, scope="consent:read", tag=TAG, summary="Read a row of the ledger"
    )
    async def get_consent(call: Call[None, None]) -> model.Json:
        who = _caller(call)
        an_id = ids.read("con", call.path["id"])
        found = None if an_id is None else await consent_of(who.account_id, who.mode, an_id)
        if found is None:
            raise Refusal("not_found", "There is no such row.")
        return found

    @endpoint(
        "GET", "/v1/suppressions", query=Suppressions, answer=Page[Suppression], scope="consent:read", tag=TAG,
        summary="List who must not be texted",
    )  # fmt: skip
    async def list_suppressions(call: Call[None, Suppressions]) -> Page[Suppression]:
        """Who has opted out and not in again, the newest first."""
        who, query = _caller(call), call.query
        last = decode_cursor(query.cursor, tuple[int, int]) or (NEVER_ID, NEVER_ID)
        most = query.limit + 1
        if query.number is None:
            rows = await store.read(
                SQL["suppressions"], account_id=who.account_id, mode=who.mode, before=last[0], hash=last[1], most=most
            )
        else:
            hashed = ledger.hashes(number_of(call, query.number))
            rows = await store.read(
                SQL["suppressions_of"], account_id=who.account_id, mode=who.mode, hash=hashed, most=most
            )
        return page(rows, query.limit, suppression, lambda row: (row[0], row[6]))

    @endpoint(
        "POST", "/v1/consents/try", body=Tried, answer=Understood, scope="consent:read", tag=TAG,
        summary="See what a text would mean", idempotency="none", example={"text": "Please stop texting me!!"},
    )  # fmt: skip
    async def try_words(call: Call[Tried, None]) -> Understood:
        """Nothing is recorded or sent."""
        who = _caller(call)
        in_force = policy.of(who.account_id, who.mode)
        found = in_force.matcher(call.body.text)
        if found is None:
            return Understood(meaning=None, language=None, reply=None)
        kind = "start" if found.meaning == "weak" else found.meaning
        return Understood(
            meaning=found.meaning, language=found.language, reply=in_force.answer(kind, found.language) or None
        )

    settings = settings_endpoints(
        policies, policy, path="consent", name="consent", about="what classes need, words and answers", tag=TAG,
        read="consent:read", write="consent:write", answer=Settings, shown=shown, document=Document,
        example={"brand": "Columba Coffee", "support": "Call +1 202 555 0100.", "stop_scope": "sender"},
        read_more="All that is in force, with the sources of the words that come with the program.",
    )  # fmt: skip
    return [
        record_consent, list_consents, check_consent, get_consent, list_suppressions, try_words, *settings,
    ]  # fmt: skip


def suppression(row: Row) -> Suppression:
    consent_id, number, sender, klass, source, at, _ = row
    return Suppression(
        number=number or None, class_=None if klass == EVERY_CLASS else status.CLASSES[klass],  # type: ignore[arg-type]
        sender=sender or None, source=source, since=model.rfc3339(at), consent_id=ids.show("con", consent_id),
    )  # fmt: skip


def shown(document: Document, mode: int) -> model.Json:
    in_force = rules.in_force(document, mode)
    names = {each: name for name, each in rules.NEEDS.items()}
    languages = sorted({*usual().replies, *document.replies})
    return {
        "otp": names[in_force.needs[0]],
        "transactional": names[in_force.needs[1]],
        "marketing": names[in_force.needs[2]],
        **{
            name: getattr(document, name)
            for name in ("stop_scope", "double_opt_in", "brand", "support", "language", "phrases", "reply")
        },
        "keywords": {
            language: {
                **{meaning: list(words.get(meaning, ())) for meaning in MEANINGS},
                "sources": usual().sources.get(language, []),
            }
            for language, words in rules.words_of(document).items()
        },
        "replies": {
            language: {
                kind: text for kind in KINDS if (text := rules.replies_of(document, language).get(kind)) is not None
            }
            for language in languages
        },
    }


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
