"""Files of consent: what a row means, and what the rows don't say themselves.

A heading names the columns, in any order; without one the first column is the number. How files are read and gone on
with is `columba/imports`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from columba.consent import (
    EVERY_CLASS,
    IF_NEW,
    IF_NEWER,
    IF_NOT_OUT,
    OPT_IN,
    OPT_OUT,
    REQUESTED,
)
from columba.consent.ledger import Ledger, Said, proof_text
from columba.consent.pools import written
from columba.consent.settings import Document, InForce
from columba.consent.shapes import CLASSES, NewImport
from columba.http.times import milliseconds, parse_time
from columba.imports.reading import simple
from columba.imports.room import Announced, Kind, Refused
from columba.numbers import NumberError
from columba.policies import Policy
from columba.store import Step

PATH: Final = "/v1/consents/imports/data"

COLUMNS: Final[Mapping[str, str]] = {
    "number": "number", "phone": "number", "phone_number": "number", "to": "number", "msisdn": "number",
    "mobile": "number", "action": "action", "status": "action", "class": "class", "sender": "sender", "from": "sender",
    "purpose": "purpose", "source": "source", "at": "at", "date": "at", "timestamp": "at", "words": "words",
    "proof": "proof",
}  # fmt: skip
ACTIONS: Final[Mapping[str, int]] = {
    "opt_in": OPT_IN, "opted_in": OPT_IN, "subscribed": OPT_IN, "in": OPT_IN, "yes": OPT_IN, "opt_out": OPT_OUT,
    "opted_out": OPT_OUT, "unsubscribed": OPT_OUT, "suppressed": OPT_OUT, "out": OPT_OUT, "no": OPT_OUT,
}  # fmt: skip


class Usual(NamedTuple):
    """What the rows of a file don't say."""

    import_id: int
    account_id: int
    mode: int
    asked: NewImport
    at: int
    confirm: str  # what those who are asked to confirm are told; '' asks nobody


def kind(ledger: Ledger, policy: Policy[Document, InForce], clock: Callable[[], int]) -> Kind:
    """Files of consent."""

    def taking(file: Announced) -> "Rows":
        asked: NewImport = file.said
        in_force = policy.of(file.account_id, file.mode)
        document = in_force.document
        usual = Usual(
            file.id, file.account_id, file.mode, asked,
            file.at if asked.at is None else milliseconds(asked.at),
            in_force.answer("confirm", document.language) if document.double_opt_in else "",
        )  # fmt: skip
        return Rows(ledger, clock, usual)

    return Kind("consents", PATH, "consent:write", NewImport, taking)


class Rows:
    """A Taking of columba/imports."""

    def __init__(self, ledger: Ledger, clock: Callable[[], int], usual: Usual) -> None:
        self._ledger = ledger
        self._clock = clock
        self._usual = usual

    def columns(self, names: Sequence[str]) -> list[str | None]:
        return [COLUMNS.get(simple(name)) for name in names]

    def read(self, row: Mapping[str, str]) -> Said:
        """A row as what somebody said."""
        usual = self._usual
        asked = usual.asked
        action = ACTIONS.get((row.get("action") or asked.action).lower().replace("-", "_").replace(" ", "_"))
        if action is None:
            raise Refused("invalid_value", "action: expected opt_in or opt_out.")
        klass = row.get("class") or asked.class_
        if klass and klass not in CLASSES:
            raise Refused("invalid_value", f"class: expected one of {', '.join(CLASSES)}.")
        sender = row.get("sender") or asked.sender or ""
        try:
            sender = written(sender)
        except NumberError as error:
            raise Refused("invalid_sender", error.detail) from None
        at, dated = usual.at, asked.at is not None
        if row.get("at"):
            try:
                at, dated = parse_time(_whole_time(row["at"])), True
            except ValueError:
                raise Refused("invalid_time", "at: expected a date or time such as 2026-01-31T09:30:00Z.") from None
        if at > self._clock():
            raise Refused("invalid_time", "at: expected a time that has been.")
        only_if = IF_NEW if action == OPT_OUT else IF_NEWER if dated or asked.overrule else IF_NOT_OUT
        reply = None
        if action == OPT_IN and usual.confirm:
            action, only_if, reply = REQUESTED, IF_NOT_OUT, (sender, "confirm", usual.confirm)
        return Said(
            usual.account_id, usual.mode, row["number"], action, (row.get("source") or asked.source)[:64], at, sender,
            CLASSES[klass] if klass else EVERY_CLASS, (row.get("purpose") or asked.purpose or "")[:200] or None,
            row.get("words", "")[:2_000] or None, None, _proof((row.get("proof") or asked.proof or "")[:4_000]),
            import_id=usual.import_id, only_if=only_if, reply=reply, quiet=True,
        )  # fmt: skip

    async def write(self, items: Sequence[Said], *more: Step) -> list[bool | Refused]:
        return [an_id is not None for an_id in await self._ledger.record(items, *more)]


def _whole_time(text: str) -> str:
    """A date is its first moment, and a time without a zone is UTC."""
    text = text.strip().replace(" ", "T", 1)
    if len(text) == 10:
        return f"{text}T00:00:00Z"
    if len(text) == 16:
        text += ":00"
    return text if text[-1] in "Zz" or "+" in text[10:] or "-" in text[10:] else f"{text}Z"


def _proof(text: str) -> str | None:
    """As JSON: what was exported is so already."""
    with suppress(ValueError):
        if text[:1] in ("{", '"') and isinstance(json.loads(text), dict | str):
            return text
    return proof_text(text or None)
