"""`columba privacy`: people exported and erased, and how long what is kept.

Exit codes: 0 done, 1 refused or failed, 2 asked wrongly, 3 an erasure goes on.
"""

import sys
import time
from pathlib import Path

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.policies import settings_of
from columba.cli.show import clean, json_text

MOST_LISTED = 1_000
WAIT_S = 0.3
JOBS = ("id", "kind", "status", "number", "created_at", "done_at", "counts")


@click.group()
def privacy() -> None:
    """Export and erase people by number; set how long what is kept."""


@privacy.command()
@with_api
@click.argument("number", metavar="NUMBER")
@click.option("-o", "--output", "out", default="-", metavar="FILE", help="Where to; - is standard output.")
def export(api: Api, as_json: bool, number: str, out: str) -> None:
    """Write all that is kept of a person, as lines of JSON."""
    made = api.post("/v1/privacy/export", {"number": number})
    if out == "-":
        for piece in api.drain(made["url"]):
            click.echo(piece, nl=False)
        return
    with Path(out).open("wb") as file:
        for piece in api.drain(made["url"]):
            file.write(piece)
    click.echo(json_text(made) if as_json else f"written to {out}", err=not as_json)


@privacy.command()
@with_api
@click.argument("number", metavar="NUMBER")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--no-wait", is_flag=True, help="Don't wait until it is done.")
@click.pass_context
def erase(ctx: click.Context, api: Api, as_json: bool, number: str, yes: bool, no_wait: bool) -> None:
    """Erase all that is kept of a person. It cannot be undone."""
    if not yes:
        click.confirm(f"Erase all that is kept of {number}?", abort=True, err=True)
    job = api.post("/v1/privacy/erase", {"number": number})
    live = show.Live()
    try:
        while job["status"] != "done" and not no_wait:
            live.show(f"{sum(job['counts'].values()):,} erased")
            time.sleep(WAIT_S)
            job = api.get(f"/v1/privacy/jobs/{job['id']}")
    finally:
        live.end()
    if as_json:
        click.echo(json_text(job))
    else:
        counts = ", ".join(f"{count:,} {name}" for name, count in job["counts"].items()) or "nothing"
        click.echo(f"{clean(job['id'])}  {job['status']}  {counts}")
    ctx.exit(0 if job["status"] == "done" else 3)


@privacy.command()
@with_api
@click.option("--number", metavar="NUMBER", help="Only those about this number.")
def jobs(api: Api, as_json: bool, number: str | None) -> None:
    """List exports and erasures, the newest first."""
    rows = list(api.pages("/v1/privacy/jobs", [("number", number)] if number else [], MOST_LISTED))
    listed(rows, JOBS, as_json)


@privacy.command()
@with_api
@click.option("--set", "change", metavar="JSON", help="What is to be different: JSON, @FILE or @- for standard input.")
def retention(api: Api, as_json: bool, change: str | None) -> None:
    """Show or change how long texts, media, numbers and messages are kept.

    \b
      columba privacy retention --set '{"bodies": {"otp": 1, "marketing": 30}}'
    """
    settings_of(api, "retention", change)


def listed(rows: list[Json], columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none.", err=True)
    else:
        show.table(columns, [[_cell(row.get(name)) for name in columns] for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={each}" for name, each in value.items())
    return "" if value is None else str(value)
