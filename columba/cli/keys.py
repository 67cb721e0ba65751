"""`columba keys`: makes, lists, rotates and revokes keys in the store itself, whether a server runs or not.

A running server sees every change within a second. A secret goes alone to standard output, what is said about it to
standard error: `KEY=$(columba keys create --mode test)`. Fails with one line that says what to do: 1 for what could not
be done, 2 for what was asked wrongly.
"""

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from columba.cli.options import Settings, with_settings
from columba.cli.show import table
from columba.core import ids, status
from columba.core.ids import Ids
from columba.doors.smpp.logins import Limits, Logins, new_password, system_id
from columba.errors import Refusal
from columba.keys import SCOPES, Key, Keys, new_secret, unknown_scopes
from columba.keys import Settings as KeySettings
from columba.keys.api import LONGEST_S, MOST_OVERLAP_S, fields
from columba.privacy.commands import left, operator
from columba.store import Step, StoreRefused, StoreUnavailable
from columba.vault import VaultError

T = TypeVar("T")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
COLUMNS = ("id", "name", "mode", "status", "scopes", "hint", "expires_at")


class Opened(NamedTuple):
    """A store that is open, its keys loaded, and the account whose keys these are."""

    keys: Keys
    new_id: Ids
    clock: Callable[[], int]
    account_id: int
    logins: Logins | None = None


OpenKeys = Callable[[Settings], AbstractAsyncContextManager[Opened]]


class Failed(Exception):
    """What was asked can't be done; the text says what can."""


def duration(least: int, most: int) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """An option's callback: `90s`, `15m`, `24h`, `30d` or a number of seconds, as seconds."""

    def convert(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
        if value is None:
            return None
        found = re.fullmatch(r"([0-9]{1,12})([smhd]?)", value, re.ASCII)
        if found is None:
            raise click.BadParameter(f"{value[:40]!r} is no time: write 90s, 15m, 24h or 30d.")
        seconds = int(found[1]) * UNITS[found[2] or "s"]
        if not least <= seconds <= most:
            raise click.BadParameter(f"{value} is not within {least}s and {most // 86_400}d.")
        return seconds

    return convert


def group(open_keys: OpenKeys) -> click.Group:
    """The command group. `open_keys` opens the store that the settings name."""

    def run(settings: Settings, work: Callable[[Opened], Awaitable[T]]) -> T:
        async def opened() -> T:
            async with open_keys(settings) as it:
                return await work(it)

        try:
            return asyncio.run(opened())
        except StoreUnavailable as error:
            why = f"the store can't be used: {error.why}"
        except Refusal as refusal:
            why = refusal.detail
        except (StoreRefused, VaultError, Failed) as error:
            why = str(error)
        click.echo(f"columba: {why}", err=True)
        sys.exit(1)

    @click.group()
    def keys() -> None:
        """Make, list, rotate and revoke API keys, in the store itself."""

    @keys.command()
    @with_settings("data", "database")
    @click.option("--mode", type=click.Choice(status.MODES), required=True, help="What the key may reach.")
    @click.option("--name", default="", metavar="NAME", help="What it is for.")
    @click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="A scope; may be given again. All without.")
    @click.option("--expires-in", callback=duration(1, LONGEST_S), metavar="TIME", help="Such as 30d. Never without.")
    @click.option("--rate-limit", type=click.IntRange(1, 1_000_000), metavar="N", help="Requests a second.")
    @click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
    def create(
        settings: Settings,
        mode: str,
        name: str,
        scopes: Sequence[str],
        expires_in: int | None,
        rate_limit: int | None,
        as_json: bool,
    ) -> None:
        """Make a key. Its secret is shown this once."""
        _check_scopes(scopes)
        if len(name) > 100:
            raise click.BadParameter("at most 100 characters.", param_hint="--name")

        async def work(it: Opened) -> None:
            number = status.MODES.index(mode)
            secret = new_secret(number, os.urandom)
            an_id = it.new_id()
            key = await it.keys.create(
                an_id,
                it.account_id,
                number,
                name or f"{mode} key",
                [] if "*" in scopes else list(dict.fromkeys(scopes)),
                secret,
                None if expires_in is None else it.clock() + expires_in * 1000,
                KeySettings(rate_limit),
                _noted(it, "create_key", an_id, number),
            )
            _show_secret(key, secret, it.clock(), as_json, f"{key.key_id} is made. Its secret is shown this once:")

        run(settings, work)

    @keys.command("list")
    @with_settings("data", "database")
    @click.option("--json", "as_json", is_flag=True, help="Answer as a JSON array.")
    def list_(settings: Settings, as_json: bool) -> None:
        """List the keys, revoked ones too."""

        async def work(it: Opened) -> list[dict[str, Any]]:
            now = it.clock()
            return [fields(key, now) for key in it.keys.all.values() if key.account_id == it.account_id]

        rows = run(settings, work)
        if as_json:
            _print_json(rows)
        else:
            _table(rows)

    @keys.command()
    @with_settings("data", "database")
    @click.argument("key_id", metavar="ID")
    @click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
    def revoke(settings: Settings, key_id: str, as_json: bool) -> None:
        """Revoke a key: refused everywhere within a second, for good."""

        async def work(it: Opened) -> None:
            key = _find(it, key_id)
            done = await it.keys.revoke(key.id, _noted(it, "revoke_key", key.id, key.mode))
            if as_json:
                _print_json({"id": key.key_id, "revoked": True})
            else:
                click.echo(f"{key.key_id} is revoked." if done else f"{key.key_id} was revoked before.", err=True)

        run(settings, work)

    @keys.command()
    @with_settings("data", "database")
    @click.argument("key_id", metavar="ID")
    @click.option(
        "--overlap",
        callback=duration(0, MOST_OVERLAP_S),
        default="24h",
        show_default=True,
        metavar="TIME",
        help="For how long the old secret stays good.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
    def rotate(settings: Settings, key_id: str, overlap: int, as_json: bool) -> None:
        """Replace a key's secret. The new one is shown this once."""

        async def work(it: Opened) -> None:
            found = _find(it, key_id)
            secret = new_secret(found.mode, os.urandom)
            noted = _noted(it, "rotate_key", found.id, found.mode)
            if not await it.keys.rotate(found.id, secret, overlap, noted):
                raise Failed(f"{found.key_id} was revoked: make another with `columba keys create`.")
            key = it.keys.all[found.id]
            until = fields(key, it.clock())["previous_until"]
            old = f"the old one is good until {until}" if until else "the old one is good no more"
            _show_secret(key, secret, it.clock(), as_json, f"{key.key_id} has a new secret; {old}:")

        run(settings, work)

    @keys.command()
    @with_settings("data", "database", "smpp_port")
    @click.argument("key_id", metavar="ID")
    @click.option("--binds", type=click.IntRange(1, 1_000), metavar="N", help="Sessions at once.  [default: 10]")
    @click.option(
        "--window",
        type=click.IntRange(1, 10_000),
        metavar="N",
        help="A session's unanswered requests.  [default: 1000]",
    )
    @click.option(
        "--alphabet",
        type=click.Choice(["gsm7", "latin1", "ascii", "utf8"]),
        help="What data_coding 0 stands for.  [default: gsm7]",
    )
    @click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
    def smpp(settings: Settings, key_id: str, as_json: bool, **given: Any) -> None:
        """Let programs bind over SMPP with a key. The password is shown this once; another one replaces it."""

        async def work(it: Opened) -> None:
            key = _find(it, key_id)
            if key.revoked_at is not None:
                raise Failed(f"{key.key_id} was revoked: make another with `columba keys create`.")
            assert it.logins is not None
            login = it.logins.all.get(key.id)
            limits = msgspec.structs.replace(
                login.limits if login is not None else Limits(),
                **{name: value for name, value in given.items() if value is not None},
            )
            password = new_password(os.urandom)
            noted = _noted(it, "set_smpp_login", key.id, key.mode)
            await it.logins.put(key, password, os.urandom(16), limits, noted)
            shown = {"system_id": system_id(key.id), "password": password, "port": settings.smpp_port or None}
            if as_json:
                _print_json(shown)
                return
            if shown["port"] is None:
                click.echo("The SMPP server is off: `columba serve --smpp-port 2775` has it listen.", err=True)
            click.echo(f"{key.key_id} may bind now. The password is shown this once:", err=True)
            for name, value in shown.items():
                if value is not None:
                    click.echo(f"{name}\t{value}")

        run(settings, work)

    return keys


def _find(it: Opened, text: str) -> Key:
    an_id = ids.read("key", text)
    key = None if an_id is None else it.keys.all.get(an_id)
    if key is None or key.account_id != it.account_id:
        raise Failed(f"there is no key {text[:60]!r}: `columba keys list` shows those that there are.")
    return key


def _noted(it: Opened, action: str, key_id: int, mode: int) -> Sequence[Step]:
    """The steps that have a change noted in the log of who changed what."""
    shown = ids.show("key", key_id)
    return left(operator(), it.new_id(), it.account_id, mode, it.clock(), action, key_id, shown)


def _check_scopes(scopes: Sequence[str]) -> None:
    if unknown := unknown_scopes(scopes):
        raise click.BadParameter(
            f"there is no scope {', '.join(unknown)[:200]!r}. There are {', '.join(SCOPES)}.", param_hint="--scope"
        )


def _show_secret(key: Key, secret: str, now: int, as_json: bool, about: str) -> None:
    if as_json:
        _print_json({**fields(key, now), "secret": secret})
    else:
        click.echo(about, err=True)
        click.echo(secret)


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _table(rows: Sequence[dict[str, Any]]) -> None:
    table(COLUMNS, [[_cell(row[name]) for name in COLUMNS] for row in rows])


def _cell(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else "" if value is None else str(value)
