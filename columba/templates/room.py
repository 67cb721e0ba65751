"""The templates in memory, from which messages are made, and the changes to them.

Only approved revisions are in memory; the hot path asks nothing else. What cannot be filled in is a Refusal that names
every problem, by its field.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from columba.core import ids, status
from columba.core.snapshots import Snapshots
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.store import Row, Step, Store, plan, statements
from columba.templates.params import Check, Param, checker
from columba.templates.shapes import Content, tag
from columba.templates.text import Render, TemplateError, compiled

SQL = statements(Path(__file__).with_name("templates.sql"))
MOST_TEMPLATES: Final = 1_000  # of an account in one mode
LONGEST: Final = 5_000  # characters of a text that was made
AT_ONCE: Final = 100  # templates that are made before others have their turn

log = structlog.get_logger()
_decode = msgspec.json.Decoder(Content).decode


class Made(NamedTuple):
    """What a template gives to a message; class and sender are None where it is bound to none."""

    text: str
    klass: int | None
    sender: str | None

    def for_message(self, text: str | None, klass: int | None, sender: str | None) -> tuple[str, int, str | None]:
        """Text, class and sender of a message that says these by itself. Refusal where that is not the template's."""
        if text is None and klass is None and sender is None:
            return self.text, status.TRANSACTIONAL if self.klass is None else self.klass, self.sender
        problems: list[FieldError] = []
        if text is not None:
            problems.append(FieldError("text", "invalid_value", "The template makes the text: name one of the two."))
        if self.klass is not None and klass not in (None, self.klass):
            detail = f"The template is for messages of class {status.CLASSES[self.klass]}."
            problems.append(FieldError("class", "invalid_value", detail))
        if self.sender is not None and sender is not None and sender != self.sender:
            problems.append(FieldError("from", "invalid_value", f"The template's messages come from {self.sender}."))
        if problems:
            raise Refusal("invalid_request", errors=problems)
        bound = self.klass if klass is None else klass
        return self.text, status.TRANSACTIONAL if bound is None else bound, self.sender or sender


class Ready(NamedTuple):
    """A revision that messages can be made from."""

    id: int
    texts: Mapping[str, Render]  # by language
    default: str
    check: Check
    names: frozenset[str]
    klass: int | None
    sender: str | None

    def language(self, wanted: str | None) -> str:
        """The version for a language: its own, that without the country, the default one."""
        if wanted is None:
            return self.default
        found = tag(wanted)
        while found not in self.texts:
            found, dash, _ = found.rpartition("-")
            if not dash:
                return self.default
        return found


def ready(an_id: int, content: Content) -> Ready:
    """TemplateError for texts that are none."""
    texts = {}
    for each in content.versions:
        render, _ = compiled(each.text)
        texts[each.language] = render
    return Ready(
        an_id, texts, content.default_language or content.versions[0].language, checker(content.params),
        frozenset(content.params), content.klass,
        content.from_,
    )  # fmt: skip


def wanted_names(content: Content) -> dict[str, list[int]]:
    """The names that its texts use, each with the places of the versions that do. TemplateError."""
    names: dict[str, list[int]] = {}
    for n, each in enumerate(content.versions):
        for name in sorted(compiled(each.text)[1]):
            names.setdefault(name, []).append(n)
    return names


def complete(content: Content) -> Content:
    """A content as it is kept: names that nobody declared are required strings where none is declared at all.

    Raises the Refusal that names every problem of its texts.
    """
    problems: list[FieldError] = []
    for n, each in enumerate(content.versions):
        try:
            compiled(each.text)
        except TemplateError as error:
            problems.append(FieldError(f"versions[{n}].text", "invalid_value", str(error)))
    if problems:
        raise invalid(problems)
    names = wanted_names(content)
    params = {} if content.inferred else content.params
    inferred = not params
    if inferred:
        params = {name: Param() for name in names}
    for name, places in names.items():
        if name not in params:
            detail = f"{{{{ {name} }}}} is not among the parameters: {', '.join(params)}."
            problems.append(FieldError(f"versions[{places[0]}].text", "invalid_value", detail))
    if problems:
        raise invalid(problems)
    versions = [msgspec.structs.replace(each, language=tag(each.language)) for each in content.versions]
    default = tag(content.default_language or versions[0].language)
    if default not in {each.language for each in versions}:
        raise invalid([FieldError("default_language", "invalid_value", "Expected a language that has a version.")])
    return msgspec.structs.replace(
        content, versions=versions, params=params, default_language=default, inferred=inferred
    )


def fill(found: Ready, params: Mapping[str, Any] | None, language: str | None) -> Made:
    """The text with its values. Refusal `invalid_request` with every problem of them."""
    values, problems = found.check(params)
    if problems:
        raise Refusal("invalid_request", errors=problems)
    try:
        text = found.texts[found.default if language is None else found.language(language)](values)
    except TemplateError as error:
        raise Refusal("invalid_request", errors=[FieldError("template", "invalid_value", str(error))]) from None
    if len(text) > LONGEST:
        detail = f"Filled in, it has {len(text)} characters; {LONGEST} is the most."
        raise Refusal("invalid_request", errors=[FieldError("template", "too_long", detail)])
    return Made(text, found.klass, found.sender)


class Templates:
    """The approved ones in memory."""

    def __init__(self, store: Store, snapshots: Snapshots, clock: Callable[[], int]) -> None:
        self._ready: Mapping[tuple[int, int], Mapping[str, Ready]] = {}
        self._rows: dict[int, tuple[Row, Ready]] = {}
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        snapshots.on("templates", self._load)

    async def _load(self) -> None:
        found: dict[tuple[int, int], dict[str, Ready]] = {}
        rows: dict[int, tuple[Row, Ready]] = {}
        for n, row in enumerate(await self._store.read(SQL["approved_templates"])):
            known = self._rows.get(row[0])
            if known is None or known[0] != row:
                if n % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
                try:
                    known = (row, ready(row[0], _decode(row[5])))
                except (TemplateError, msgspec.DecodeError) as error:  # saved by a version that allowed more
                    log.warning("template.not_loaded", template=ids.show("tpl", row[0]), error=str(error))
                    continue
            rows[row[0]] = known
            names = found.setdefault((row[1], row[2]), {})
            names[row[3]] = names[ids.show("tpl", row[0])] = known[1]
        self._rows, self._ready = rows, found

    def make(
        self, account_id: int, mode: int, name: str, params: Mapping[str, Any] | None, language: str | None
    ) -> Made:
        """A message's text, from an approved template by name or id. Refusal with every problem."""
        names = self._ready.get((account_id, mode))
        found = None if names is None else names.get(name)
        if found is None:
            detail = "There is no approved template of this name or id."
            raise Refusal("invalid_request", errors=[FieldError("template", "unknown_template", detail)])
        return fill(found, params, language)

    def known(self, account_id: int, mode: int, name: str, **values: Any) -> dict[str, Any]:
        """Those of the values that an approved template has parameters for."""
        names = self._ready.get((account_id, mode))
        found = None if names is None else names.get(name)
        return {} if found is None else {name: value for name, value in values.items() if name in found.names}

    # Changes

    async def changed(self) -> None:
        await self._snapshots.changed()

    async def add(
        self, an_id: int, account_id: int, mode: int, name: str, description: str, content: Content, key_id: int,
        approved: bool,
    ) -> bool:  # fmt: skip
        """A new template; False when there is one of this name."""
        now = self._clock()
        revision = (
            an_id, 1, _text(content), now, key_id, now if approved else None, key_id if approved else None,
        )  # fmt: skip
        results = await self._store.commit(
            plan(
                Step(
                    SQL["insert_template"],
                    [(an_id, account_id, mode, name, description, 1 if approved else None, now)],
                ),
                Step(SQL["insert_revision"], [revision], given=0),
                Step(SQL["bump_templates"], [(an_id,)], given=0),
            )
        )
        if not any(row[0] == an_id for row in results[0]):
            return False
        await self.changed()
        return True

    async def change(
        self, row: Row, name: str, description: str, content: Content | None, key_id: int, approved: int | None
    ) -> bool:
        """Change a template as it was read (a row of `template`). `content` makes a new revision; `approved` is the
        revision to be approved, 0 for none, None for the one that was. False when others changed it meanwhile, or the
        name is taken."""
        now = max(self._clock(), row[6] + 1)
        an_id, newest = row[0], row[3] + (content is not None)
        revisions, approvals = [], []
        if content is not None:
            mine = approved == newest
            revisions = [(an_id, newest, _text(content), now, key_id, now if mine else None, key_id if mine else None)]
        elif approved:
            approvals = [(an_id, approved, now, key_id)]
        results = await self._store.commit(
            plan(
                Step(
                    SQL["change_template"],
                    [(an_id, row[3], row[6], name, description, newest, approved, now)],
                ),
                Step(SQL["insert_revision"], revisions, given=0),
                Step(SQL["approve_revision"], approvals, given=0),
                Step(SQL["bump_templates"], [(an_id,)], given=0),
            )
        )
        if not any(found[0] == an_id for found in results[0]):
            return False
        await self.changed()
        return True

    async def remove(self, an_id: int, account_id: int, mode: int) -> None:
        await self._store.commit(
            plan(
                Step(SQL["delete_template"], [(an_id, account_id, mode)]),
                Step(SQL["delete_revisions"], [(an_id,)], given=0),
                Step(SQL["bump_templates"], [(an_id,)], given=0),
            )
        )
        await self.changed()


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
