"""`columba senders`: what messages may come from, over the API.

Exit codes: 0 done, 1 refused or failed, 2 asked wrongly, 3 nobody knows.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.client import Listing
from columba.cli.show import clean, json_text
from columba.cli.values import place

MOST_LISTED = 10_000
NAMES = ("allowed", "registered", "refused")
USUAL = "usual"


@click.group(cls=Listing)
def senders() -> None:
    """Register numbers, short codes and names, and make pools of them.

    Without a command they are listed. From the first one on, the account sends from its own alone.
    """


@senders.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the senders, the newest first."""
    rows = list(api.pages("/v1/senders", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba senders create --help`.", err=True)
    else:
        show.table(
            ("id", "sender", "kind", "enabled", "default for", "rate", "description"),
            [
                [
                    row["id"], row["sender"], row["kind"], "yes" if row["enabled"] else "no",
                    " ".join(row["default_for"]), "" if row["rate"] is None else f"{row['rate']:g}", row["description"],
                ]
                for row in rows
            ],
        )  # fmt: skip


@senders.command("show")
@with_api
@click.argument("sender_id", metavar="ID")
def show_(api: Api, as_json: bool, sender_id: str) -> None:
    """Show a sender with its registration."""
    click.echo(json_text(api.get(place("senders", sender_id))))


@senders.command()
@with_api
@click.argument("sender", metavar="SENDER")
@click.option("--country", "countries", multiple=True, metavar="GB", help="It sends there alone; may be given again.")
@click.option(
    "--carrier", "carriers", multiple=True, metavar="ID", help="It is set up there alone; may be given again."
)
@click.option(
    "--can", "capabilities", multiple=True, type=click.Choice(("sms", "mms")), help="What it can send.  [default: sms]"
)
@click.option("--default-for", multiple=True, metavar="GB", help="Messages without a sender come from it; * for all.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="Parts a second from it.")
@click.option("--registration", metavar="JSON", help="10DLC, DLT and the like: JSON, @FILE or @-.")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
def create(
    api: Api,
    as_json: bool,
    sender: str,
    countries: Sequence[str],
    carriers: Sequence[str],
    capabilities: Sequence[str],
    default_for: Sequence[str],
    rate: float | None,
    registration: str | None,
    description: str,
) -> None:
    """Register a number, a short code or a name.

    \b
      columba senders create +12025550100 --default-for US
    """
    body: Json = {
        "sender": sender, "countries": list(countries), "carriers": list(carriers), "default_for": list(default_for),
        "description": description,
    }  # fmt: skip
    if capabilities:
        body["capabilities"] = list(capabilities)
    if rate is not None:
        body["rate"] = rate
    if registration is not None:
        body["registration"] = json_or_file(registration, "--registration")
    _told(api.post("/v1/senders", body), as_json)


@senders.command()
@with_api
@click.argument("sender_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change(api: Api, as_json: bool, sender_id: str, changes: str) -> None:
    """Change a sender: its fields as JSON, @FILE or @-. What is left out stays.

    \b
      columba senders change snd_01j9... '{"enabled": false}'
    """
    _told(api.change("PATCH", place("senders", sender_id), json_or_file(changes, "JSON")), as_json)


@senders.command()
@with_api
@click.argument("sender_id", metavar="ID")
def delete(api: Api, as_json: bool, sender_id: str) -> None:
    """Delete a sender."""
    api.delete(place("senders", sender_id))
    if as_json:
        click.echo(json_text({"id": sender_id, "deleted": True}))
    else:
        click.echo(f"{sender_id} is deleted.", err=True)


@senders.command()
@with_api
def rules(api: Api, as_json: bool) -> None:
    """List the countries that don't simply allow names."""
    rows = api.get("/v1/senders/rules")["data"]
    if as_json:
        click.echo(json_text(rows))
    else:
        show.table(
            ("country", "names", "date", "source"),
            [[row["country"], row["names"], row["date"], row["source"]] for row in rows],
        )


@senders.command()
@with_api
@click.argument("country", metavar="GB")
@click.argument("names", type=click.Choice((*NAMES, USUAL)))
@click.option("--source", metavar="TEXT", help="Who says so.")
@click.option("--date", type=click.DateTime(("%Y-%m-%d",)), metavar="DATE", help="As of when.  [default: today]")
def rule(api: Api, as_json: bool, country: str, names: str, source: str | None, date: datetime | None) -> None:
    """Set your own rule for names in a country, or go back to the usual one.

    
      columba senders rule DE registered --source "the carrier's account manager"
      columba senders rule DE usual
    """
    if not (country.isascii() and country.isalpha()):
        raise click.BadParameter(f"{country!r} is no country: they look like GB.", param_hint="GB")
    path = f"/v1/senders/rules/{country.upper()}"
    if names == USUAL:
        api.delete(path)
        click.echo(json_text({"country": country.upper(), "own": False}) if as_json else f"{country.upper()}  as usual")
        return
    if not source:
        raise click.UsageError("Say who says so: --source.")
    asked = {"names": names, "source": source, "date": f"{date or datetime.now(UTC):%Y-%m-%d}"}
    made = api.change("PUT", path, asked)
    click.echo(json_text(made) if as_json else f"{clean(made['country'])}  {clean(made['names'])}")


@senders.command()
@with_api
@click.argument("name", metavar="NAME", required=False)
@click.option("--sender", "members", multiple=True, metavar="ID", help="One of its senders; may be given again.")
@click.option("--turning", is_flag=True, help="Take them in turn, not the same for a recipient.")
@click.option("--anywhere", is_flag=True, help="Don't prefer those of the recipient's country or area.")
def pools(api: Api, as_json: bool, name: str | None, members: Sequence[str], turning: bool, anywhere: bool) -> None:
    """List the pools, or make one.

    \b
      columba senders pools
      columba senders pools Support --sender snd_01j9... --sender snd_01ja...
    """
    if name is not None:
        made = api.post(
            "/v1/pools", {"name": name, "senders": list(members), "sticky": not turning, "local": not anywhere}
        )
        click.echo(json_text(made) if as_json else f"{clean(made['id'])}  {clean(made['name'])}")
        return
    rows = list(api.pages("/v1/pools", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    else:
        show.table(("id", "name", "senders"), [[row["id"], row["name"], " ".join(row["senders"])] for row in rows])


@senders.command("change-pool")
@with_api
@click.argument("pool_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change_pool(api: Api, as_json: bool, pool_id: str, changes: str) -> None:
    """Change a pool: its fields as JSON, @FILE or @-. What is left out stays.

    
      columba senders change-pool pool_01j9... '{"senders": ["snd_01j9..."]}'
    """
    made = api.change("PATCH", place("pools", pool_id, "pool"), json_or_file(changes, "JSON"))
    click.echo(json_text(made) if as_json else f"{clean(made['id'])}  {clean(made['name'])}")


@senders.command("delete-pool")
@with_api
@click.argument("pool_id", metavar="ID")
def delete_pool(api: Api, as_json: bool, pool_id: str) -> None:
    """Delete a pool. Its senders stay."""
    api.delete(place("pools", pool_id, "pool"))
    if as_json:
        click.echo(json_text({"id": pool_id, "deleted": True}))
    else:
        click.echo(f"{pool_id} is deleted.", err=True)


def _told(sender: Any, as_json: bool) -> None:
    click.echo(
        json_text(sender) if as_json else f"{clean(sender['id'])}  {clean(sender['sender'])}  {clean(sender['kind'])}"
    )
