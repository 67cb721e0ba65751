"""Configured carriers: the table, the snapshot of it that the main path uses, and the changes to it.

`all` is replaced whenever something has changed, and never changed itself. What of a configuration is secret is sealed
by the vault. A carrier whose configuration can't be read any more (its kind is gone, the vault's key is another) stays
there, without sessions; `problem` says why. Fails with StoreUnavailable, and with Refusal for what is not to be done.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import structlog

from columba.carriers import CarrierKind, kinds
from columba.core.contract import Carrier
from columba.core.ids import Ids
from columba.core.snapshots import Snapshots
from columba.errors import Refusal
from columba.routing import config as configs
from columba.routing.config import Plain, Secrets
from columba.store import Row, Step, Store, plan, statements
from columba.vault import Vault, VaultError

SQL = statements(Path(__file__).with_name("routing.sql"))
LANES = 64  # ids that a carrier keeps free for its lanes, and the most lanes it may have
MOST = 200  # carriers of an account in a mode
DELETED_MS = 60_000  # how long a deleted carrier is still known, so that every process has heard of it

log = structlog.get_logger()


class Wanted(NamedTuple):
    """What an operator asks of a carrier. `given` is its configuration, and None leaves it as it is; `config` is the
    kind's struct of it. `lanes` is None when the configuration says how many."""

    name: str
    config: Any
    given: Plain | None
    rate: float | None
    window: int | None
    lanes: int | None
    on_unknown: Literal["resend", "unknown"]
    state: Literal["on", "paused", "off"]


class Configured(NamedTuple):
    """A carrier with what is to be known of it besides."""

    carrier: Carrier
    stored: tuple[str, str | None]  # the columns config and secrets
    secrets: Secrets
    lanes: int | None
    window: int | None
    problem: str
    version: int
    created_at: int
    updated_at: int

    @property
    def public(self) -> Plain:
        """Its configuration as it was given, without the secrets."""
        plain: Plain = msgspec.json.decode(self.stored[0])
        return plain

    @property
    def given(self) -> Plain:
        """Its configuration as it was given."""
        return configs.united(self.public, self.secrets)

    @property
    def wanted(self) -> Wanted:
        """It as it is."""
        carrier = self.carrier
        assert carrier.state != "deleted"
        return Wanted(
            carrier.name, carrier.config, None, carrier.rate, self.window, self.lanes, carrier.on_unknown, carrier.state
        )


class Carriers:
    def __init__(
        self, store: Store, snapshots: Snapshots, vault: Vault, clock: Callable[[], int], *builtin: Carrier
    ) -> None:
        self.all: Mapping[int, Carrier] = {carrier.id: carrier for carrier in builtin}
        self.configured: Mapping[int, Configured] = {}
        self._builtin = builtin
        self._store = store
        self._snapshots = snapshots
        self._vault = vault
        self._clock = clock
        self._turn = asyncio.Lock()
        snapshots.on("carriers", self.load)

    async def load(self) -> None:
        known = self.configured
        found: dict[int, Configured] = {}
        for row in await self._store.read(SQL["carriers"]):
            was = known.get(row[0])
            found[row[0]] = was if was is not None and was.version == row[14] else self._configured(row)
        self.configured = found
        self.all = {carrier.id: carrier for carrier in self._builtin} | {
            an_id: each.carrier for an_id, each in found.items()
        }

    def _configured(self, row: Row) -> Configured:
        an_id, account_id, mode, name, kind_name, config, secrets, rate, window, lanes, most_lanes = row[:11]
        on_unknown, state, revision, version, created_at, updated_at = row[11:]
        kind = kinds().get(kind_name)
        built: Any = None
        opened: Secrets = ()
        problem = ""
        if kind is None:
            problem = f"This Columba has no carriers of kind {kind_name}."
        elif state != "deleted":
            built, opened, problem = self._read(kind, config, secrets)
            if problem:
                log.warning("carrier.unreadable", carrier=an_id, name=name, problem=problem)
        carrier = Carrier(
            an_id, account_id, name, kind_name, mode, built, rate, window, state, most_lanes, on_unknown,
            revision=revision, most_lanes=most_lanes,
        )  # fmt: skip
        if kind is not None and built is not None:
            carrier = msgspec.structs.replace(
                carrier,
                window=window or kind.window,
                lanes=_lanes(kind, built, lanes),
                serial=kind.serial,
                cut=kind.cut(built),
                can=kind.can(built),
                sends=kind.sends(built),
            )
        return Configured(carrier, (config, secrets), opened, lanes, window, problem, version, created_at, updated_at)

    def _read(self, kind: CarrierKind, public: str, sealed: str | None) -> tuple[Any, Secrets, str]:
        try:
            secrets = _PLACES(self._vault.open(sealed)) if sealed else ()
            given = configs.united(msgspec.json.decode(public), secrets)
            return msgspec.convert(given, kind.config), secrets, ""
        except VaultError:
            return None, (), "Its secrets were sealed with another key: set COLUMBA_SECRET_KEY, or give them again."
        except (msgspec.ValidationError, TypeError, LookupError):  # no words of the decoder's: they may quote a secret
            return None, (), f"Its configuration is not one of kind {kind.name} any more: give it again."

    async def refresh(self) -> None:
        """See what other processes have just changed."""
        await self._snapshots.refresh()

    def problem(self, carrier_id: int) -> str:
        """Why a carrier can't be used, or ''."""
        found = self.configured.get(carrier_id)
        return found.problem if found is not None else ""

    def of(self, account_id: int, mode: int) -> list[Carrier]:
        """What an account may see in a mode: its own, the newest first, then those that everybody has."""
        own = (each.carrier for each in reversed(list(self.configured.values())))
        return [
            carrier
            for carrier in (*own, *self._builtin)
            if carrier.account_id in (account_id, None) and carrier.mode == mode and carrier.state != "deleted"
        ]

    # Changes

    async def add(self, an_id: int, account_id: int, mode: int, kind: CarrierKind, wanted: Wanted) -> Carrier:
        """`an_id` is a `block` of ids."""
        public, secrets = self._sealed(wanted.config, wanted.given or {})
        row = (
            an_id, account_id, mode, wanted.name, kind.name, public, secrets, wanted.rate, wanted.window, wanted.lanes,
            _lanes(kind, wanted.config, wanted.lanes), wanted.on_unknown, wanted.state, self._clock(),
        )  # fmt: skip
        async with self._turn:
            if sum(each.account_id == account_id for each in self.of(account_id, mode)) >= MOST:
                raise Refusal("too_many", f"There are {MOST} carriers already.")
            await self._commit(Step(SQL["insert_carrier"], [row]))
        return self.all[an_id]

    async def change(self, was: Configured, wanted: Wanted, anew: bool = False) -> bool:
        """Make it so, with new sessions where needed or `anew`; False when it was changed since it was read."""
        carrier = was.carrier
        given = wanted.given
        anew = anew or (given is not None and given != was.given) or wanted.on_unknown != carrier.on_unknown
        stored = was.stored if given is None else self._sealed(wanted.config, given)
        lanes = max(carrier.most_lanes, _lanes(kinds().get(carrier.kind), wanted.config, wanted.lanes))
        row = (
            carrier.id, was.version, wanted.name, *stored, wanted.rate, wanted.window, wanted.lanes, lanes,
            wanted.on_unknown, wanted.state, carrier.revision + anew, self._clock(),
        )  # fmt: skip
        return await self._commit(Step(SQL["update_carrier"], [row]), carrier.id)

    async def remove(self, an_id: int, forced: bool) -> None:
        """Refused while messages wait on its lanes, unless they are to fail."""
        while (known := self.configured.get(an_id)) is not None and known.carrier.state != "deleted":
            if await self._commit(Step(SQL["delete_carrier"], [(an_id, int(forced), self._clock())]), an_id):
                return
            if count := (await self.waiting([an_id])).get(an_id, 0):
                raise Refusal(
                    "conflict",
                    f"{count} messages wait to be sent through it. Let them go first, cancel them, or delete it with "
                    "?force=true: they then fail with carrier_unavailable.",
                )

    def _sealed(self, config: Any, given: Plain) -> tuple[str, str | None]:
        public, secrets = configs.divided(config, given)
        return _text(public), self._vault.seal(_text(secrets)) if secrets else None

    async def _commit(self, step: Step, an_id: int = 0) -> bool:
        """Commit it, and have it in force here when this returns. Whether it returned the id."""
        results = await self._store.commit(plan(step, self._snapshots.bump("carriers")))
        await self._snapshots.changed()
        return any(row[0] == an_id for row in results[0])

    # What is known of their lanes

    async def waiting(self, ids: list[int]) -> dict[int, int]:
        """How many messages each has still to send."""
        return {row[0]: row[1] for row in await self._store.read(SQL["waiting"], [(an_id,) for an_id in ids])}

    async def sweep(self) -> None:
        """Forget deleted carriers on whose lanes nothing is left."""
        before = self._clock() - DELETED_MS
        if any(each.carrier.state == "deleted" and each.updated_at < before for each in self.configured.values()):
            await self._store.commit(
                plan(
                    Step(SQL["sweep_carriers"], [(before,)]),
                    Step(SQL["sweep_states"], feed=0),
                    self._snapshots.bump("carriers"),
                )
            )
            await self._snapshots.changed()


def block(new_id: Ids) -> int:
    """An id for a carrier: nothing else gets it, nor one of those for its lanes."""
    first = new_id()
    while first & (LANES - 1):
        first = new_id()
    for _ in range(LANES - 1):
        new_id()
    return first


def _lanes(kind: CarrierKind | None, config: Any, asked: int | None) -> int:
    if asked is not None:
        return asked
    return min(LANES, max(1, kind.lanes(config))) if kind is not None and config is not None else 1


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


_PLACES = msgspec.json.Decoder(Secrets).decode
