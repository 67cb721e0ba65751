"""`columba quiet`: when people may be texted, over the API.

Exit codes: 0 done, 1 refused or failed (`check`: not at that moment), 2 asked wrongly, 3 nobody knows.
"""

import click

from columba.cli import show
from columba.cli.api import Api, with_api
from columba.cli.client import CLASSES, Listing
from columba.cli.policies import settings_of
from columba.cli.show import clean, json_text, style
from columba.cli.values import Moment

COLUMNS = ("country", "state", "classes", "days", "open", "close", "source")


@click.group(cls=Listing)
def quiet() -> None:
    """Show, change and try quiet hours and sending windows.

    Without a command the windows in force are listed.
    """


@quiet.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the windows at which people may be texted: your own, and those that come with the program."""
    told = api.get("/v1/settings/quiet-hours")
    if as_json:
        click.echo(json_text(told))
        return
    click.echo("Windows are kept." if told["enabled"] else "Windows are not kept for these messages.", err=True)
    rows = [*told["windows"], *told["defaults_in_force"]]
    cells = []
    for row in rows:
        days = "every day" if len(row["days"]) == 7 else ", ".join(row["days"])
        shown = {**row, "classes": ", ".join(row["classes"]), "days": days}
        cells.append([show.cell(shown.get(name)) for name in COLUMNS])
    show.table(COLUMNS, cells)


@quiet.command()
@with_api
@click.option("--set", "change", metavar="JSON", help="What is to be different: JSON, @FILE or @- for standard input.")
def settings(api: Api, as_json: bool, change: str | None) -> None:
    """Show or change what is set: whether windows are kept, and your own. null is what usually holds.

    \b
      columba quiet settings --set '{"windows": [{"country": "FR", "days": ["mon", "tue", "wed", "thu", "fri"],
                                     "open": "10:00", "close": "20:00"}]}'
      columba quiet settings --set '{"windows": null}'
    """
    settings_of(api, "quiet-hours", change)


@quiet.command()
@with_api
@click.argument("number")
@click.option(
    "--class", "klass", type=click.Choice(CLASSES), default="marketing", show_default=True, help="A message of it."
)
@click.option("--at", type=Moment(), metavar="TIME", help="At another moment than now.")
@click.pass_context
def check(ctx: click.Context, api: Api, as_json: bool, number: str, klass: str, at: str | None) -> None:
    """Say whether a number may be texted now, else when. Ends with 1 if not now."""
    told = api.get("/v1/quiet-hours/check", [("number", number), ("class", klass), *([("at", at)] if at else [])])
    if as_json:
        click.echo(json_text(told))
    else:
        zones = ", ".join(map(clean, told["time_zones"]))
        where = " ".join(filter(None, (clean(told["country"]), clean(told["state"] or ""))))
        when = style("open", "good") if told["open"] else style(f"from {clean(told['next_open'] or 'never')}", "doubt")
        click.echo(f"{when}  {where}  {zones}")
    ctx.exit(0 if told["open"] else 1)
