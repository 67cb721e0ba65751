"""`columba keys` and `columba migrate`, and what they share: the store that the settings name, opened without serving.

A visit takes a node number for its ids and owns no lane: servers that run meanwhile don't notice it, but for what it
has changed. What it has changed is in the log of who changed what. Fails with one line that says what to do.
"""

import contextlib
import secrets
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import click

from columba import consent
from columba.cli import stores
from columba.cli.keys import Failed, Opened, group
from columba.cli.options import Settings, with_settings
from columba.cli.show import json_text
from columba.consent.hashes import NAME
from columba.core import lanes
from columba.core.ids import Ids
from columba.core.snapshots import Snapshots
from columba.doors.smpp.logins import Logins
from columba.keys import Keys
from columba.privacy.audit import Audit
from columba.store import (
    Step,
    Store,
    StoreRefused,
    StoreUnavailable,
    open_store,
    plan,
    statements,
)
from columba.store import (
    migrate as migrations,
)
from columba.vault import Vault, VaultError, parse_key

SQL = statements(Path(__file__).with_name("admin.sql"))
KEY_FILE = "secret.key"


def clock() -> int:
    return time.time_ns() // 1_000_000


@contextlib.asynccontextmanager
async def visit(settings: Settings) -> AsyncIterator[Opened]:
    """The store, its keys and its account, once a server has made one."""
    if not await stores.applied(settings):
        raise Failed(f"there is no installation in {stores.shown(settings)}: run `columba serve` once first.")
    store = await open_store(settings.database or Path(settings.data))
    try:
        snapshots = Snapshots(store)
        keys = Keys(store, snapshots, clock)
        logins = Logins(store, snapshots, clock)
        await snapshots.refresh()
        if not keys.accounts:
            raise Failed(f"there is no account in {stores.shown(settings)}: run `columba serve` once first.")
        yield Opened(keys, Ids(await node_number(store), clock), clock, next(iter(keys.accounts)), logins)
        with contextlib.suppress(VaultError, StoreUnavailable):
            await _note(settings, store)
    finally:
        await store.close()


async def _note(settings: Settings, store: Store) -> None:
    """Put what was changed into the log, if the secret key is here; else a server does, which has it."""
    await Audit(store, (await vault_of(settings, store)).derived("audit")[0]).take_up()


async def node_number(store: Store) -> int:
    """A number for the ids of a short visit: no running server takes it for one that could own lanes."""
    token = secrets.token_hex(8)
    joined, _ = await store.commit(plan(Step(lanes.SQL["join"], [(token,)]), Step(SQL["step_aside"], [(token,)])))
    if not joined:
        raise StoreUnavailable("1024 processes share this database: no node number is free")
    return int(joined[0][0])


def vault(settings: Settings) -> Vault:
    """The vault of this installation. Unlike a server's, it makes no key: VaultError where there is none."""
    if settings.secret_key:
        return Vault(parse_key(settings.secret_key))
    path = key_path(settings)
    try:
        return Vault(parse_key(path.read_text()))
    except FileNotFoundError:
        raise VaultError(f"there is no secret key: {path} is missing, and COLUMBA_SECRET_KEY is not set") from None
    except (OSError, UnicodeDecodeError) as error:
        raise VaultError(f"{path} can't be read: {error}") from error


async def vault_of(settings: Settings, store: Store) -> Vault:
    """The same, if it opens what is sealed in this store: VaultError where its key is another installation's."""
    found = vault(settings)
    for (sealed,) in await store.read(consent.SQL["hash_key"], name=NAME):  # every server makes it at its first start
        found.open(sealed)
    return found


def key_path(settings: Settings) -> Path:
    return Path(settings.data) / KEY_FILE


def key_mode(settings: Settings) -> int | None:
    """The permissions of the key file, None where there is none."""
    try:
        return stat.S_IMODE(key_path(settings).stat().st_mode)
    except OSError:
        return None


keys = group(visit)


@click.command()
@with_settings("data", "database")
@click.option("--check", is_flag=True, help="Change nothing: end with 1 if there is something to run.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_context
def migrate(ctx: click.Context, settings: Settings, check: bool, as_json: bool) -> None:
    """Bring the database to this version.

    `columba serve` does so by itself when it starts; with several servers it may be done ahead of them. What was run is
    printed. Processes that start together run each migration once.
    """
    names = {each.number: f"{each.number:04d}_{each.name}" for each in migrations.all_migrations()}
    try:
        have = stores.wait(stores.applied(settings))
        ran = [] if check else stores.wait(stores.bring_up(settings))
        missing = [each.number for each in migrations.missing(have)] if check else []
    except (StoreRefused, migrations.NewerDatabase) as error:
        sys.exit(f"columba: {error}")
    version = max([*have, *ran], default=0)
    if as_json:
        click.echo(
            json_text(
                {
                    "version": version,
                    "latest": migrations.latest(),
                    "ran": [names[number] for number in ran],
                    "missing": [names[number] for number in missing],
                }
            )
        )
    else:
        for number in ran:
            click.echo(f"{names[number]} was run.")
        for number in missing:
            click.echo(f"{names[number]} is to be run.")
        if not ran and not missing:
            click.echo(f"Nothing to run: the database is at version {version}.")
    ctx.exit(1 if missing else 0)
