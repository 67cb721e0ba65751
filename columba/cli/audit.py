"""`columba audit`: who saw or changed what, over the API; and whether the log of it is whole, in the store itself.

Exit codes: 0 done (`verify`: the log is whole), 1 refused or failed (`verify`: it is not), 2 asked wrongly.
"""

import sys
from pathlib import Path

import click

from columba.cli import stores
from columba.cli.admin import vault_of
from columba.cli.api import Api, Json, with_api
from columba.cli.client import Listing
from columba.cli.keys import Failed
from columba.cli.options import Settings, with_settings
from columba.cli.privacy import MOST_LISTED, listed
from columba.cli.show import json_text, style
from columba.core import ids
from columba.privacy.audit import SQL, Audit, Head
from columba.store import StoreRefused, StoreUnavailable, open_store
from columba.vault import VaultError

AUDIT = ("n", "created_at", "key", "operator", "address", "action", "answered", "about")


@click.group(cls=Listing)
def audit() -> None:
    """See who saw or changed what, and whether the log of it is whole.

    Without a command the newest entries are listed.
    """


@audit.command("list")
@with_api
@click.option("--by", metavar="KEY|NAME", help="Only those of this key, or of this user of the command line.")
@click.option("--action", metavar="ACTION", help="Only those of this action, such as erase_person.")
@click.option("--about", metavar="ID", help="Only those that name this id.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_(api: Api, as_json: bool, by: str | None, action: str | None, about: str | None, limit: int) -> None:
    """List entries, the newest first."""
    whose = "key" if by is not None and by.startswith("key_") else "operator"
    query = [(name, value) for name, value in ((whose, by), ("action", action), ("about", about)) if value]
    listed(list(api.pages("/v1/audit", query, limit)), AUDIT, as_json)


@audit.command("verify")
@with_settings("data", "database")
@click.option("--head", metavar="N:HASH", help="A head that was noted before: it must still be there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify_(ctx: click.Context, settings: Settings, head: str | None, as_json: bool) -> None:
    """Go through the log from its beginning, in the store itself, server running or not.

    It prints the head, to be noted somewhere else: with `--head` a later run finds also what was cut off at the end.
    """
    expected = None
    if head is not None:
        number, sign, hashed = head.partition(":")
        if not sign or not number.isdecimal():
            raise click.BadParameter("Expected N:HASH, as it was printed.", param_hint="--head")
        expected = Head(int(number), hashed)
    try:
        found = stores.wait(verified(settings, expected))
    except (Failed, StoreRefused, StoreUnavailable, VaultError) as error:
        sys.exit(f"columba: {error}")
    if as_json:
        click.echo(json_text(found))
    for each in () if as_json else found:
        word = style("whole", "good") if each["intact"] else style("altered", "bad")
        click.echo(f"{each['account']}  {word}  {each['entries']:,} entries  head {each['entries']}:{each['head']}")
        if not each["intact"]:
            click.echo(f"  {each['why']}")
        if each["let_go"]:
            click.echo(f"  The oldest {each['let_go']:,} were let go: they were too old to be kept.")
        if each["waiting"]:
            click.echo(f"  {each['waiting']:,} changes on the command line wait for a server to put them into the log.")
    ctx.exit(0 if all(each["intact"] for each in found) else 1)


async def verified(settings: Settings, expected: Head | None) -> list[Json]:
    """What going through each account's chain came to."""
    if not await stores.applied(settings):
        raise Failed(f"there is no installation in {stores.shown(settings)}: run `columba serve` once first.")
    store = await open_store(settings.database or Path(settings.data))
    try:
        log = Audit(store, (await vault_of(settings, store)).derived("audit")[0])
        found = []
        for account_id, _, _ in await store.read(SQL["audit_accounts"]):
            each = await log.verify(account_id, expected)
            found.append(
                {
                    "account": ids.show("acc", account_id),
                    "entries": each.entries,
                    "head": each.head,
                    "intact": each.broken is None,
                    "broken_at": each.broken,
                    "why": each.why,
                    "waiting": each.waiting,
                    "let_go": each.let_go,
                }
            )
        return found
    finally:
        await store.close()
