"""Destinations: the tables, the snapshot of them in memory, and the changes to them; and the secrets of accounts.

`all` is replaced whenever something has changed. A destination is compiled when it is first used. One whose secrets can't
be opened stays there, and `problem` says why. Fails with StoreUnavailable, and with Refusal for what is not to be done.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import structlog

from columba.core.snapshots import Snapshots
from columba.errors import Refusal
from columba.forwarding.auth.kinds import SecretRef
from columba.forwarding.destinations_shapes import HIDDEN, Spec
from columba.forwarding.rendering import Compiled, Secrets, compile_spec
from columba.store import Row, Step, Store, plan, statements
from columba.usercode import UserCodeError
from columba.vault import Vault, VaultError

SQL = statements(Path(__file__).with_name("destinations.sql"))
MOST = 1_000  # destinations of an account in a mode
MOST_SECRETS = 500
LEAST_HIDDEN = 6  # characters of a secret that is looked for in answers: shorter ones are found anywhere

log = structlog.get_logger()
_read_spec = msgspec.json.Decoder(Spec).decode
_read_secrets = msgspec.json.Decoder(dict[str, str]).decode
Sealed = Mapping[str, str]  # secrets by their places, such as `auth.password`


class Destination:
    """A destination as it is used. `spec` has its secrets in it."""

    def __init__(
        self,
        an_id: int,
        account_id: int,
        mode: int,
        name: str,
        description: str,
        preset: str | None,
        enabled: bool,
        spec: Spec,
        vault: Callable[[], Mapping[str, str]],
        problem: str | None,
        version: int,
        created_at: int,
        updated_at: int,
    ) -> None:
        self.id = an_id
        self.account_id = account_id
        self.mode = mode
        self.name = name
        self.description = description
        self.preset = preset
        self.enabled = enabled
        self.spec = spec
        self.problem = problem
        self.version = version
        self.created_at = created_at
        self.updated_at = updated_at
        self._vault = vault

    @cached_property
    def compiled(self) -> Compiled:
        if self.problem is not None:
            raise UserCodeError(0, 0, self.problem)
        return compile_spec(self.spec)

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets(self.spec.secrets, self._vault())

    @cached_property
    def client_cert(self) -> bytes | None:
        """Certificate and key, as TLS takes them."""
        compiled = self.compiled
        if compiled.client_cert is None:
            return None
        return f"{compiled.client_cert}\n{self.secrets.open(compiled.client_key)}".encode()

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """Its secrets as texts, also as URLs have them, the longest first."""
        known = {*divided(self.spec)[1].values(), *self.secrets.seen(False).values()}
        known |= {quote(each, safe="") for each in known}
        return tuple(sorted((each for each in known if len(each) >= LEAST_HIDDEN), key=len, reverse=True))


class Wanted(NamedTuple):
    """What is asked of a destination."""

    name: str
    description: str
    preset: str | None
    enabled: bool
    spec: Spec


class SecretRow(NamedTuple):
    name: str
    created_at: int
    updated_at: int


class Destinations:
    """The destinations in memory, and the changes to them."""

    def __init__(self, store: Store, snapshots: Snapshots, vault: Vault, clock: Callable[[], int]) -> None:
        self.all: Mapping[int, Destination] = {}
        self._rows: dict[int, Row] = {}
        self._secret_rows: list[Row] = []
        self._secrets: dict[tuple[int, int], dict[str, str]] = {}
        self._store = store
        self._snapshots = snapshots
        self._vault = vault
        self._clock = clock
        self._turn = asyncio.Lock()
        snapshots.on("destinations", self.load)

    async def load(self) -> None:
        secret_rows = list(await self._store.read(SQL["secrets"]))
        changed = {row[:2] for row in {*secret_rows} ^ {*self._secret_rows}}
        if changed:
            self._secrets = self._opened(secret_rows)
            self._secret_rows = secret_rows
        rows = {row[0]: row for row in await self._store.read(SQL["destinations"])}
        found = {}
        for an_id, row in rows.items():
            same = self._rows.get(an_id) == row and row[1:3] not in changed
            found[an_id] = self.all[an_id] if same else self._destination(row)
        self.all, self._rows = found, rows

    def _opened(self, rows: list[Row]) -> dict[tuple[int, int], dict[str, str]]:
        found: dict[tuple[int, int], dict[str, str]] = {}
        for account_id, mode, name, value, *_ in rows:
            try:
                found.setdefault((account_id, mode), {})[name] = self._vault.open(value)
            except VaultError:
                log.warning("secret.unreadable", account=account_id, name=name)
        return found

    def _destination(self, row: Row) -> Destination:
        an_id, account_id, mode, name, description, preset, enabled, spec_text, sealed, version, made, changed = row
        problem = None
        try:
            spec = _read_spec(spec_text)
        except msgspec.MsgspecError:
            log.warning("destination.unreadable", destination=an_id)
            spec, problem = _BROKEN, "It was made by another version of Columba: make it anew."
        try:
            if sealed:
                spec = united(spec, _read_secrets(self._vault.open(sealed)))
        except VaultError:
            problem = "Its secrets were sealed with another key: set COLUMBA_SECRET_KEY, or give them again."
        return Destination(
            an_id, account_id, mode, name, description, preset, bool(enabled), spec,
            lambda: self._secrets.get((account_id, mode), {}), problem, version, made, changed,
        )  # fmt: skip

    async def refresh(self) -> None:
        """See what other processes have just changed."""
        await self._snapshots.refresh()

    def get(self, an_id: int, account_id: int, mode: int) -> Destination | None:
        found = self.all.get(an_id)
        return found if found is not None and found.account_id == account_id and found.mode == mode else None

    def exists(self, account_id: int, mode: int, an_id: int) -> bool:
        return self.get(an_id, account_id, mode) is not None

    def ordered(self, an_id: int) -> bool:
        """Whether texts of one person keep their order there."""
        found = self.all.get(an_id)
        return found is not None and found.spec.ordered

    def of(self, account_id: int, mode: int) -> list[Destination]:
        """The newest first."""
        return [each for each in reversed([*self.all.values()]) if each.account_id == account_id and each.mode == mode]

    # Changes

    async def add(self, an_id: int, account_id: int, mode: int, wanted: Wanted) -> Destination:
        public, secrets = self._sealed(wanted.spec)
        row = (
            an_id, account_id, mode, wanted.name, wanted.description, wanted.preset, int(wanted.enabled), public, secrets,
            self._clock(),
        )  # fmt: skip
        async with self._turn:
            if len(self.of(account_id, mode)) >= MOST:
                raise Refusal("too_many", f"There are {MOST} destinations already.")
            await self._commit(Step(SQL["insert_destination"], [row]))
        return self.all[an_id]

    async def change(self, was: Destination, wanted: Wanted) -> Destination | None:
        """Make it so; None when it was changed since it was read."""
        public, secrets = self._sealed(wanted.spec)
        row = (
            was.id, was.version, wanted.name, wanted.description, int(wanted.enabled), public, secrets, self._clock(),
        )  # fmt: skip
        results = await self._commit(Step(SQL["update_destination"], [row]))
        return self.all.get(was.id) if any(found[0] == was.id for found in results[0]) else None

    async def remove(self, an_id: int) -> None:
        await self._store.commit(
            plan(
                Step(SQL["delete_destination"], [(an_id,)]),
                Step(SQL["delete_token"], [(an_id,)]),
                self._snapshots.bump("destinations"),
            )
        )
        await self._snapshots.changed()

    def _sealed(self, spec: Spec) -> tuple[str, str | None]:
        public, secrets = divided(spec)
        sealed = self._vault.seal(msgspec.json.encode(secrets).decode()) if secrets else None
        return msgspec.json.encode(public).decode(), sealed

    async def _commit(self, step: Step) -> list[list[Row]]:
        results = await self._store.commit(plan(step, self._snapshots.bump("destinations")))
        await self._snapshots.changed()
        return results

    # Secrets of accounts

    def secrets_of(self, account_id: int, mode: int) -> list[SecretRow]:
        return [
            SecretRow(row[2], row[4], row[5]) for row in self._secret_rows if row[0] == account_id and row[1] == mode
        ]

    async def add_secret(self, account_id: int, mode: int, name: str, value: str) -> bool:
        """False when there is one of this name."""
        async with self._turn:
            known = {each.name for each in self.secrets_of(account_id, mode)}
            if name in known:
                return False
            if len(known) >= MOST_SECRETS:
                raise Refusal("too_many", f"There are {MOST_SECRETS} secrets already.")
            await self._commit(
                Step(SQL["insert_secret"], [(name, account_id, mode, self._vault.seal(value), self._clock())])
            )
        return True

    async def change_secret(self, account_id: int, mode: int, name: str, value: str) -> None:
        await self._commit(
            Step(SQL["update_secret"], [(name, account_id, mode, self._vault.seal(value), self._clock())])
        )

    async def remove_secret(self, account_id: int, mode: int, name: str) -> None:
        await self._commit(Step(SQL["delete_secret"], [(name, account_id, mode)]))

    def using(self, account_id: int, mode: int, name: str) -> list[Destination]:
        """The destinations that name a secret of the account, and have none of this name themselves."""
        return [each for each in self.of(account_id, mode) if name not in each.spec.secrets and _names(each.spec, name)]


class TokenShelf:
    """OAuth tokens in the store, sealed."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    async def load(self, destination_id: int) -> str | None:
        rows = await self._store.read(SQL["token"], id=destination_id)
        try:
            return self._vault.open(rows[0][0]) if rows else None
        except VaultError:
            return None

    async def keep(self, destination_id: int, token: str, at: int) -> None:
        await self._store.commit(plan(Step(SQL["keep_token"], [(destination_id, self._vault.seal(token), at)])))


# Secrets within a spec


def _places(spec: Spec) -> Iterator[tuple[str, str]]:
    """The places of secrets that are given themselves, with what they are."""
    for part, name in ((spec.auth, "auth"), (spec.tls, "tls")):
        for field in part.SECRETS if part is not None else ():
            value = getattr(part, field)
            if isinstance(value, str) and value:
                yield f"{name}.{field}", value
    for field, value in spec.secrets.items():
        yield f"secrets.{field}", value


def divided(spec: Spec) -> tuple[Spec, dict[str, str]]:
    """The spec with `***` for each secret, and the secrets by their places."""
    secrets = dict(_places(spec))
    return (united(spec, dict.fromkeys(secrets, HIDDEN)) if secrets else spec), secrets


def united(spec: Spec, secrets: Sealed) -> Spec:
    """The spec with these secrets in their places."""
    replace = msgspec.structs.replace
    changes: dict[str, Any] = {}
    for name in ("auth", "tls"):
        part = getattr(spec, name)
        found = {
            field: secrets[f"{name}.{field}"]
            for field in (part.SECRETS if part is not None else ())
            if f"{name}.{field}" in secrets
        }
        if found:
            changes[name] = replace(part, **found)
    own = {field: secrets.get(f"secrets.{field}", value) for field, value in spec.secrets.items()}
    if own != spec.secrets:
        changes["secrets"] = own
    return replace(spec, **changes) if changes else spec


def kept_secrets(new: Spec, old: Spec) -> Spec:
    """A secret that is given as it was shown is the one it was, if it is in the same place of the same kind."""
    before = dict(_places(old))
    if type(new.auth) is not type(old.auth):
        before = {place: value for place, value in before.items() if not place.startswith("auth.")}
    again = {place: before[place] for place, value in _places(new) if value == HIDDEN and place in before}
    return united(new, again)


def unknown_secrets(spec: Spec) -> list[str]:
    """The places where `***` stands for nothing."""
    return [place for place, value in _places(spec) if value == HIDDEN]


def references(spec: Spec) -> set[str]:
    """The names of secrets that auth and TLS refer to."""
    found = set()
    for part in (spec.auth, spec.tls):
        for field in part.__struct_fields__ if part is not None else ():
            value = getattr(part, field)
            if isinstance(value, SecretRef):
                found.add(value.secret)
    return found


def _names(spec: Spec, name: str) -> bool:
    return name in references(spec) or f"secrets.{name}" in msgspec.json.encode(spec).decode()


_BROKEN = msgspec.json.decode(b'{"request": {"url": "http://invalid.invalid/"}}', type=Spec)
