"""`columba prices` and `columba spend`: what parts cost, what was spent and may be, over the API.

Exit codes: 0 done, 1 refused or failed, 2 asked wrongly, 3 nobody knows.
"""

import sys
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.client import Listing
from columba.cli.show import clean, json_text
from columba.cli.values import Moment

MOST_LISTED = 200_000
LONGEST = 16_000_000  # bytes of a price table
NONE = "none"


@click.group(cls=Listing)
def prices() -> None:
    """Import and list what parts cost.

    Without a command they are listed.
    """


@prices.command("list")
@with_api
@click.option("--carrier", metavar="NAME", help="Its own lines; by its id or name.")
@click.option("--country", metavar="GB", help="The lines of a country.")
def list_(api: Api, as_json: bool, carrier: str | None, country: str | None) -> None:
    """List the price table."""
    query = [(name, value) for name, value in (("carrier", carrier), ("country", country)) if value]
    rows = list(api.pages("/v1/prices", query, MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba prices import --help`.", err=True)
    else:
        heads = ("carrier", "country", "prefix", "class", "price", "currency")
        show.table(heads, [[row[name] or "" for name in heads] for row in rows])


@prices.command("import")
@with_api
@click.argument("file", type=click.File("rb"), metavar="FILE")
@click.option("--replace", type=click.Choice(("same", "carrier", "all")), default="same", show_default=True,
              help="Which lines go before: those for the same, those of --carrier, all.")  # fmt: skip
@click.option("--carrier", metavar="NAME", help="Whose lines go, with --replace carrier.")
def import_(api: Api, as_json: bool, file: Any, replace: str, carrier: str | None) -> None:
    """Import a price table from a CSV file (- for standard input). All of it, or nothing.

    Its first line names the columns: price and currency, and any of carrier, country, prefix, class.
    """
    content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise click.UsageError(f"That is more than {LONGEST:,} bytes.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError("The file is not UTF-8.") from error
    body = {"csv": text, "replace": replace, **({"carrier": carrier} if carrier else {})}
    made = api.post("/v1/prices", body)
    click.echo(json_text(made) if as_json else f"{made['imported']} imported; {made['prices']} prices now.")


@prices.command()
@with_api
@click.option("--carrier", metavar="NAME", help="Its own lines alone; by its id or name.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def delete(api: Api, as_json: bool, carrier: str | None, yes: bool) -> None:
    """Delete prices."""
    if not yes:
        click.confirm(f"Delete {'the prices of ' + carrier if carrier else 'all prices'}?", abort=True, err=True)
    api.delete("/v1/prices", [("carrier", carrier)] if carrier else ())
    if as_json:
        click.echo(json_text({"deleted": True}))


@click.group(cls=Listing)
def spend() -> None:
    """See what was spent, and bound it.

    Without a command the balance and the cap are shown.
    """


@spend.command("list")
@with_api
def show_(api: Api, as_json: bool) -> None:
    """Show the balance, the cap and what was spent today."""
    _print(api.get("/v1/spend"), as_json)


@spend.command("set")
@with_api
@click.option("--balance", metavar="AMOUNT", help="What may be spent; `none` takes the bound away.")
@click.option("--daily-cap", metavar="AMOUNT", help="What may be spent on one day, UTC; `none` takes it away.")
@click.option("--currency", metavar="EUR", help="That of the price table, if it is left out.")
@click.option("--unpriced", type=click.Choice(("refuse", "pass")), help="Messages whose price isn't known.")
def set_(
    api: Api, as_json: bool, balance: str | None, daily_cap: str | None, currency: str | None, unpriced: str | None
) -> None:
    """Bound what is spent."""
    body: Json = {
        name: None if value == NONE else value
        for name, value in (("balance", balance), ("daily_cap", daily_cap))
        if value is not None
    }
    body |= {name: value for name, value in (("currency", currency), ("unpriced", unpriced)) if value is not None}
    _print(api.change("PATCH", "/v1/spend", body), as_json)


@spend.command("top-up")
@with_api
@click.argument("amount", metavar="AMOUNT")
@click.option("--idempotency-key", default="", metavar="KEY", help="The same key never adds it a second time.")
def top_up(api: Api, as_json: bool, amount: str, idempotency_key: str) -> None:
    """Add to the balance."""
    _print(api.post("/v1/spend/top-up", {"amount": amount}, idempotency_key), as_json)


@spend.command()
@with_api
@click.option("--since", type=Moment(), metavar="TIME", help="30 days ago, if it is left out.")
@click.option("--until", type=Moment(), metavar="TIME", help="Now, if it is left out.")
def report(api: Api, as_json: bool, since: str | None, until: str | None) -> None:
    """Show what was spent, by carrier."""
    query = [(name, value) for name, value in (("since", since), ("until", until)) if value]
    found = api.get("/v1/spend/report", query)
    if as_json:
        click.echo(json_text(found))
        return
    heads = ("carrier", "messages", "parts", "amount", "currency")
    show.table(heads, [[str(row[name]) for name in heads] for row in found["data"]])


def _print(found: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(found))
    elif not found["bounded"]:
        click.echo("What is spent isn't bounded.")
    else:
        for name in ("balance", "daily_cap", "spent_today"):
            if found[name] is not None:
                click.echo(f"{name.replace('_', ' '):<12} {clean(found[name])} {clean(found['currency'])}")
