"""`columba routes`: which carrier takes which message, and why, over the API.

Exit codes: 0 done (`explain`: the message would be accepted), 1 refused or failed, 2 asked wrongly, 3 nobody knows.
"""

import sys
from collections.abc import Sequence
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.client import CLASSES, Listing
from columba.cli.show import clean, json_text, style
from columba.cli.values import Span, place

MOST_LISTED = 2_000
STRATEGIES = ("order", "weight", "price", "sticky")


@click.group(cls=Listing)
def routes() -> None:
    """Say which carrier takes which message; ask which way one would take.

    Without a command they are listed. The first route that is for a message takes it.
    """


@routes.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the routes, in the order in which they are tried."""
    rows = list(api.pages("/v1/routes", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba routes create --help`.", err=True)
    else:
        show.table(
            ("n", "id", "name", "when", "strategy", "carriers"),
            [
                [
                    str(row["position"]), row["id"], row["name"] + ("" if row["enabled"] else " (off)"),
                    json_text(row["when"], None), row["strategy"],
                    " ".join(each["carrier"] for each in row["carriers"]),
                ]
                for row in rows
            ],
        )  # fmt: skip


@routes.command("show")
@with_api
@click.argument("route_id", metavar="ID")
def show_(api: Api, as_json: bool, route_id: str) -> None:
    """Show a route."""
    click.echo(json_text(api.get(place("routes", route_id))))


@routes.command()
@with_api
@click.option("--name", required=True, metavar="NAME", help="What you call it.")
@click.option(
    "--carrier",
    "carriers",
    multiple=True,
    required=True,
    metavar="ID[=WEIGHT]",
    help="By id or name; may be given again.",
)
@click.option("--country", multiple=True, metavar="GB", help="Recipients there; may be given again, as those below.")
@click.option("--prefix", multiple=True, metavar="+4477", help="Recipients whose number begins so.")
@click.option("--sender", multiple=True, metavar="SENDER", help="Messages that come from it.")
@click.option("--class", "klass", multiple=True, type=click.Choice(CLASSES), help="Messages of this class.")
@click.option("--tag", multiple=True, metavar="TAG", help="Messages with this tag.")
@click.option("--account", multiple=True, metavar="ID", help="Messages of this account.")
@click.option("--length", type=Span(), metavar="MIN-MAX", help="Texts of so many characters: 1-70, or 71- for more.")
@click.option("--segments", type=Span(), metavar="MIN-MAX", help="Texts of so many parts: 2- for long ones.")
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), default="order", show_default=True, help="Which carrier is taken."
)
@click.option("--position", type=click.IntRange(1), metavar="N", help="Its place, from 1; the last without it.")
@click.option("--failover", metavar="JSON", help="When another carrier is tried: JSON, @FILE or @-.")
def create(
    api: Api,
    as_json: bool,
    name: str,
    carriers: Sequence[str],
    country: Sequence[str],
    prefix: Sequence[str],
    sender: Sequence[str],
    klass: Sequence[str],
    tag: Sequence[str],
    account: Sequence[str],
    length: Json | None,
    segments: Json | None,
    strategy: str,
    position: int | None,
    failover: str | None,
) -> None:
    """Add a route.

    \b
      columba routes create --name Britain --country GB --carrier north --carrier south
      columba routes create --name codes --class otp --strategy weight --carrier north=3 --carrier south
      columba routes create --name long --segments 2- --carrier south
    """
    lists = {"country": country, "prefix": prefix, "sender": sender, "class": klass, "tag": tag, "account": account}
    when: Json = {field: list(values) for field, values in lists.items() if values}
    when |= {field: span for field, span in (("length", length), ("segments", segments)) if span is not None}
    body: Json = {
        "name": name,
        "carriers": [_way(each) for each in carriers],
        "when": when,
        "strategy": strategy,
    }
    if position is not None:
        body["position"] = position
    if failover is not None:
        body["failover"] = json_or_file(failover, "--failover")
    _told(api.post("/v1/routes", body), as_json)


@routes.command()
@with_api
@click.argument("route_id", metavar="ID")
@click.argument("position", type=click.IntRange(1), metavar="N")
def move(api: Api, as_json: bool, route_id: str, position: int) -> None:
    """Move a route to a place from 1."""
    _told(api.change("PATCH", place("routes", route_id), {"position": position}), as_json)


@routes.command()
@with_api
@click.argument("route_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change(api: Api, as_json: bool, route_id: str, changes: str) -> None:
    """Change a route: its fields as JSON, @FILE or @-. What is left out stays.

    \b
      columba routes change rte_01j9... '{"enabled": false}'
    """
    _told(api.change("PATCH", place("routes", route_id), json_or_file(changes, "JSON")), as_json)


@routes.command()
@with_api
@click.argument("route_id", metavar="ID")
def delete(api: Api, as_json: bool, route_id: str) -> None:
    """Delete a route. What it has sent its way goes on."""
    api.delete(place("routes", route_id))
    if as_json:
        click.echo(json_text({"id": route_id, "deleted": True}))
    else:
        click.echo(f"{route_id} is deleted.", err=True)


@routes.command()
@with_api
@click.option("--to", required=True, metavar="NUMBER", help="Who would get it.")
@click.option("--from", "sender", metavar="SENDER", help="A number, short code, name or pool of yours.")
@click.option("--text", default="Hello", show_default=True, metavar="TEXT", help="What it would say.")
@click.option("--class", "klass", type=click.Choice(CLASSES), help="How urgent it is.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given again.")
@click.pass_context
def explain(
    ctx: click.Context,
    api: Api,
    as_json: bool,
    to: str,
    sender: str | None,
    text: str,
    klass: str | None,
    tags: Sequence[str],
) -> None:
    """Say which way a message would take, and why no other. Nothing is sent."""
    body = {"to": to, "from": sender, "text": text, "class": klass, "tags": list(tags)}
    found = api.post("/v1/routes/explain", {name: value for name, value in body.items() if value})
    if as_json:
        click.echo(json_text(found))
    else:
        _explain(found)
    ctx.exit(1 if found["refused"] else 0)


def _explain(found: Any) -> None:
    if found["refused"]:
        click.echo(
            f"{style('refused', 'bad')}  {clean(found['refused']['detail'])} ({clean(found['refused']['code'])})"
        )
    else:
        price = f", {clean(found['price'])} {clean(found['currency'])}" if found["price"] is not None else ""
        by = f" by route {style(clean(found['route']['name']), 'strong')}" if found["route"] else ""
        click.echo(f"{style(clean(found['carrier']['name']), 'strong')}{by}, {found['segments']} part(s){price}")
    for title, rows in (("routes", found["routes"]), ("carriers", found["carriers"])):
        if rows:
            click.echo(f"  {title}")
        for row in rows:
            mark = style("taken", "good") if row["taken"] else "     "
            click.echo(f"    {mark}  {clean(row['name']):<20} {clean(row['why'])}".rstrip())


def _way(text: str) -> Json:
    an_id, equals, weight = text.partition("=")
    try:
        return {"carrier": an_id, **({"weight": float(weight)} if equals else {})}
    except ValueError:
        raise click.BadParameter(f"{text!r}: expected ID or ID=WEIGHT.", param_hint="--carrier") from None


def _told(route: Any, as_json: bool) -> None:
    click.echo(
        json_text(route) if as_json else f"{clean(route['id'])}  {clean(route['name'])}  position {route['position']}"
    )
