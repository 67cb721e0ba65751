"""`columba advice` and `columba held`: what filters may think of texts, and those that wait for a person's word.

Exit codes: 0 done, 1 refused or failed (`advice`: the text scores less than is needed), 2 asked wrongly, 3 nobody knows.
"""

from collections.abc import Sequence

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.client import CLASSES, Listing
from columba.cli.policies import settings_of
from columba.cli.show import clean, json_text, style

MOST_LISTED = 10_000


@click.group(cls=Listing)
def advice() -> None:
    """Ask what carriers' filters may think of a text; see what is filtered.

    Without a command: what was filtered.
    """


@advice.command("list")
@with_api
@click.option(
    "--days", type=click.IntRange(1, 366), default=30, show_default=True, metavar="N", help="Of so many days."
)
def list_(api: Api, as_json: bool, days: int) -> None:
    """List what was filtered, by carrier and reason."""
    told = api.get("/v1/content/outcomes", [("days", str(days))])
    if as_json:
        click.echo(json_text(told))
        return
    rows = [["here", clean(row["action"]), clean(row["reason"]), "", str(row["count"])] for row in told["here"]]
    for row in told["carriers"]:
        why = ", ".join(f"{clean(name)} {n}" for name, n in row["reasons"].items())
        error = " ".join(filter(None, (clean(row["error"] or ""), clean(row["carrier_code"] or ""))))
        rows.append([clean(row["carrier"] or ""), clean(row["status"]), error, why, str(row["count"])])
    show.table(("where", "what", "reason", "texts", "count"), rows)


@advice.command()
@with_api
@click.argument("text")
@click.option(
    "--class", "klass", type=click.Choice(CLASSES), default="marketing", show_default=True, help="A message of it."
)
@click.pass_context
def text(ctx: click.Context, api: Api, as_json: bool, text: str, klass: str) -> None:
    """Judge a text: a score, every reason, and how to say it better. Ends with 1 if it would be held or refused."""
    told = api.post("/v1/messages/advice", {"text": text, "class": klass})
    if as_json:
        click.echo(json_text(told))
    else:
        good = told["verdict"] == "send"
        click.echo(f"{style(str(told['score']), 'good' if good else 'bad')} of 100  {clean(told['verdict'])}")
        for reason in told["reasons"]:
            click.echo(f"  -{reason['weight']:<3} {clean(reason['detail'])}")
        if told["suggestion"] is not None:
            click.echo(f"Better ({told['suggestion']['score']}): {clean(told['suggestion']['text'])}")
    ctx.exit(0 if told["verdict"] == "send" else 1)


@advice.command()
@with_api
@click.option("--set", "changes", metavar="JSON", help="What is to be different: JSON, @FILE or @- for standard input.")
def settings(api: Api, as_json: bool, changes: str | None) -> None:
    """Show how texts are looked at; change it.

    \b
      columba advice settings --set '{"action": "hold", "minimum": 60}'
    """
    settings_of(api, "content", changes)


@click.group(cls=Listing)
def held() -> None:
    """List, approve and reject messages whose text is held.

    Without a command they are listed.
    """


@held.command("list")
@with_api
@click.option("--batch", metavar="ID", help="Those of one batch.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_held(api: Api, as_json: bool, batch: str | None, limit: int) -> None:
    """List what waits for approval, the newest first."""
    rows = list(api.pages("/v1/content/held", [("batch_id", batch)] if batch else (), limit))
    if as_json:
        click.echo(json_text(rows))
        return
    cells = []
    for row in rows:
        told = row.get("advice") or {}
        why = ", ".join(map(clean, told.get("reasons", ())))
        cells.append([clean(row["id"]), clean(row["to"]), clean(told.get("score", "")), why, clean(row["text"] or "")])
    show.table(("id", "to", "score", "reasons", "text"), cells)


@held.command()
@with_api
@click.argument("message_ids", nargs=-1, metavar="ID...")
@click.option("--batch", metavar="ID", help="All of a batch.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.pass_context
def approve(
    ctx: click.Context, api: Api, as_json: bool, message_ids: Sequence[str], batch: str | None, everything: bool
) -> None:
    """Let held messages go. Ends with 1 if some of those named are not held."""
    _decide(ctx, api, as_json, "approve", message_ids, batch, everything)


@held.command()
@with_api
@click.argument("message_ids", nargs=-1, metavar="ID...")
@click.option("--batch", metavar="ID", help="All of a batch.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.pass_context
def reject(
    ctx: click.Context, api: Api, as_json: bool, message_ids: Sequence[str], batch: str | None, everything: bool
) -> None:
    """End held messages: they are never sent. Ends with 1 if some of those named are not held."""
    _decide(ctx, api, as_json, "reject", message_ids, batch, everything)


def _decide(
    ctx: click.Context,
    api: Api,
    as_json: bool,
    what: str,
    message_ids: Sequence[str],
    batch: str | None,
    everything: bool,
) -> None:
    if sum((bool(message_ids), batch is not None, everything)) != 1:
        raise click.UsageError("Name some messages, or a batch with --batch, or --all.")
    body: Json = {"ids": list(message_ids)} if message_ids else {"batch_id": batch} if batch else {}
    done, more = 0, True
    while more:
        told = api.post(f"/v1/content/held/{what}", body)
        done, more = done + told["count"], told["more"] and told["count"] > 0
    past = "approved" if what == "approve" else "rejected"
    click.echo(json_text({"count": done}) if as_json else f"{done:,} {past}.")
    if (missing := len(set(message_ids)) - done) > 0:
        click.echo(f"{missing:,} of those named are not held (any more): `columba held` lists what is.", err=True)
        ctx.exit(1)
