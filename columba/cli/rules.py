"""`columba rules`, `columba forward`, `columba forwards`: what is done with texts from people, over the API.

Exit codes: 0 done, 1 refused or failed (`test`: something can't be done), 2 asked wrongly, 3 nobody knows.
"""

import json
import sys
from pathlib import Path
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.client import Listing
from columba.cli.show import clean, json_text, style
from columba.cli.values import Moment

MOST_LISTED = 10_000
LARGEST_FILE = 4_000_000  # bytes
STATUSES = ("pending", "waiting", "delivered", "failed", "dead", "skipped", "canceled")
REPLAYED = ("failed", "canceled", "skipped", "delivered")
KINDS = ("forward", "reply", "tag", "text", "email", "drop", "all")


@click.group(cls=Listing)
def rules() -> None:
    """Say what is done with texts from people: forward, reply, tag.

    Without a command the rules are listed, in their order.
    """


@rules.command("list")
@with_api
@click.option("--enabled/--disabled", default=None, help="Only those that are on, or off.")
def list_rules(api: Api, as_json: bool, enabled: bool | None) -> None:
    """List the rules, in their order.

    A table on a terminal, lines of tab-separated fields elsewhere; with --json an array.
    """
    query = [] if enabled is None else [("enabled", str(enabled).lower())]
    rows = list(api.pages("/v1/rules", query, MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba rules create --help`.", err=True)
    else:
        heads = ("position", "id", "state", "name", "when", "then")
        show.table(
            heads, [[*map(str, (row["position"], row["id"], _on(row), row["name"])), *_told(row)] for row in rows]
        )


@rules.command("show")
@with_api
@click.argument("rule_id", metavar="ID")
def show_rule(api: Api, as_json: bool, rule_id: str) -> None:
    """Show a rule."""
    _print_rule(api.get(_place("rules", rule_id)), as_json)


@rules.command()
@with_api
@click.argument("file", metavar="FILE|JSON")
@click.option("--disabled", is_flag=True, help="Write it down only.")
@click.option("--position", type=click.IntRange(1), metavar="N", help="Its place; the last, if left out.")
def create(api: Api, as_json: bool, file: str, disabled: bool, position: int | None) -> None:
    """Add the rule that a JSON file holds, or the rules of an array. `-` is standard input; JSON may stand here itself.

    \b
      columba rules create order.json
      echo '{"name": "Tag all", "then": [{"tag": "inbound"}]}' | columba rules create -
    """
    made: list[Json] = []
    for rule in _read(file):
        if disabled:
            rule["enabled"] = False
        if position is not None:
            rule["position"] = position + len(made)
        made.append(api.post("/v1/rules", rule))
        if not as_json:
            click.echo(f"{clean(made[-1]['id'])}  {clean(made[-1]['position'])}  {clean(made[-1]['name'])}")
    if as_json:
        click.echo(json_text(made if len(made) > 1 else made[0]))


@rules.command()
@with_api
@click.argument("rule_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change(api: Api, as_json: bool, rule_id: str, changes: str) -> None:
    """Change a rule: its fields as JSON, @FILE or @-. What is left out stays.

    \b
      columba rules change rul_01j9... '{"stop": true}'
    """
    _print_rule(api.change("PATCH", _place("rules", rule_id), json_or_file(changes, "JSON")), as_json)


@rules.command()
@with_api
@click.argument("rule_id", metavar="ID")
def enable(api: Api, as_json: bool, rule_id: str) -> None:
    """Turn a rule on."""
    _print_rule(api.change("PATCH", _place("rules", rule_id), {"enabled": True}), as_json, short=True)


@rules.command()
@with_api
@click.argument("rule_id", metavar="ID")
def disable(api: Api, as_json: bool, rule_id: str) -> None:
    """Turn a rule off. What it has set in motion goes on."""
    _print_rule(api.change("PATCH", _place("rules", rule_id), {"enabled": False}), as_json, short=True)


@rules.command()
@with_api
@click.argument("rule_id", metavar="ID")
@click.argument("position", metavar="POSITION", type=click.IntRange(1))
def move(api: Api, as_json: bool, rule_id: str, position: int) -> None:
    """Give a rule another place among the others, from 1."""
    _print_rule(api.change("PATCH", _place("rules", rule_id), {"position": position}), as_json, short=True)


@rules.command()
@with_api
@click.argument("rule_id", metavar="ID")
def delete(api: Api, as_json: bool, rule_id: str) -> None:
    """Delete a rule. `columba rules restore` has it back."""
    api.delete(_place("rules", rule_id))
    if as_json:
        click.echo(json_text({"id": rule_id, "deleted": True}))
    else:
        click.echo(f"{rule_id} is deleted.", err=True)


@rules.command()
@with_api
@click.argument("rule_id", metavar="ID")
def history(api: Api, as_json: bool, rule_id: str) -> None:
    """List a rule's versions, the newest first: what was changed, when, and by which key."""
    rows = list(api.pages(f"{_place('rules', rule_id)}/versions", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    else:
        heads = ("version", "change", "at", "by", "name", "when", "then")
        show.table(
            heads,
            [
                [
                    *map(str, (row["version"], row["change"], row["at"], row["changed_by"] or "", row["name"])),
                    *_told(row),
                ]
                for row in rows
            ],
        )


@rules.command()
@with_api
@click.argument("rule_id", metavar="ID")
@click.argument("version", metavar="VERSION", type=click.IntRange(1))
def restore(api: Api, as_json: bool, rule_id: str, version: int) -> None:
    """Make a rule what it was in a version; one that was deleted is there again."""
    _print_rule(api.post(f"{_place('rules', rule_id)}/restore", {"version": version}), as_json, short=True)


@rules.command("replay")
@with_api
@click.argument("rule_id", metavar="ID")
@click.option(
    "--since", type=Moment(-1), required=True, metavar="TIME", help="Texts that came after it: a time, or 2h ago."
)
@click.option("--until", type=Moment(-1), metavar="TIME", help="Texts that came before it.")
@click.option("--dry-run", is_flag=True, help="Only count those that it matches.")
def replay_rule(api: Api, as_json: bool, rule_id: str, since: str, until: str | None, dry_run: bool) -> None:
    """Show a rule texts of the past. What it has done with a text already it does not do again."""
    total = {"seen": 0, "matched": 0, "started": 0}
    begin: str | None = since
    while begin is not None:
        body = {"since": begin, "send": not dry_run, **({"until": until} if until else {})}
        done = api.post(f"{_place('rules', rule_id)}/replay", body)
        total = {name: total[name] + done[name] for name in total}
        begin = done["next_since"] if done["next_since"] != begin else None
    if as_json:
        click.echo(json_text(total))
    else:
        click.echo(f"{total['seen']} texts seen, {total['matched']} matched, {total['started']} actions started.")


def _test(
    api: Api,
    as_json: bool,
    ctx: click.Context,
    sender: str,
    to: str,
    text: str,
    media: tuple[str, ...],
    carrier: str | None,
    first: str | None,
    message: str | None,
    send: bool,
) -> None:
    said: Json = {"from": sender, "to": to, "text": text, "media": list(media), "carrier": carrier, "first": first}
    asked: Json = {"message_id": message} if message else {"message": said}
    tried = api.post("/v1/rules/test", {**asked, "send": send})
    wrong = [action for action in tried["actions"] if action["error"]]
    if as_json:
        click.echo(json_text(tried))
    else:
        _print_tried(tried)
    ctx.exit(1 if wrong else 0)


def _test_options(function: Any) -> Any:
    for option in (
        click.option("--send", is_flag=True, help="Really send the requests of forwards, and show the answers."),
        click.option("--message", metavar="ID", help="A text of the past instead."),
        click.option(
            "--first", type=click.Choice(["text", "reply"]), help="As the first text from there, or the first reply."
        ),
        click.option("--carrier", metavar="ID", help="What it comes through."),
        click.option("--media", multiple=True, metavar="URL", help="A picture or the like; may be given again."),
        click.option("--text", default="Hello", show_default=True, metavar="TEXT", help="What the text says."),
        click.option("--to", default="+12025550100", show_default=True, metavar="NUMBER", help="Your number."),
        click.option(
            "--from",
            "sender",
            default="+447700900123",
            show_default=True,
            metavar="NUMBER",
            help="The person's number.",
        ),
    ):
        function = option(function)
    return function


@rules.command("test")
@with_api
@_test_options
@click.pass_context
def test_rules(ctx: click.Context, /, api: Api, as_json: bool, **asked: Any) -> None:
    """Hold a text against all rules: which match, why others don't, and what would be sent, secrets masked."""
    _test(api, as_json, ctx, **asked)


@click.group()
def forward() -> None:
    """Try out what is done with a text from a person."""


@forward.command("test")
@with_api
@_test_options
@click.pass_context
def test_forward(ctx: click.Context, /, api: Api, as_json: bool, **asked: Any) -> None:
    """Hold a text against all rules: which match, why others don't, and what would be sent, secrets masked.

    \b
      columba forward test --text "Order 12"
      columba forward test --text "Order 12" --send
      columba forward test --message msg_01j9...
    """
    _test(api, as_json, ctx, **asked)


@click.group(cls=Listing)
def forwards() -> None:
    """See what rules did with texts; try again what failed.

    Without a command the newest forwards are listed.
    """


@forwards.command("list")
@with_api
@click.option("--rule", metavar="ID", help="Only those of this rule.")
@click.option("--destination", metavar="ID", help="Only those to this destination.")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    metavar="STATUS",
    help=f"Only those with this status: {', '.join(STATUSES)}.",
)
@click.option("--message", "message_id", metavar="ID", help="Only those of this text.")
@click.option("--error", metavar="CODE", help="Only those whose last error was this, such as http_503.")
@click.option("--since", type=Moment(-1), metavar="TIME", help="Only those made after it: a time, or 2h ago.")
@click.option("--until", type=Moment(-1), metavar="TIME", help="Only those made before it.")
@click.option("--kind", type=click.Choice(KINDS), default="forward", show_default=True, help="What was done.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_forwards(api: Api, as_json: bool, limit: int, **filters: str | None) -> None:
    """List what rules did, the newest first.

    A table on a terminal, lines of tab-separated fields elsewhere; with --json an array.
    """
    rows = list(api.pages("/v1/forwards", [(name, value) for name, value in filters.items() if value], limit))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none.", err=True)
    else:
        heads = ("id", "status", "kind", "message", "destination", "attempts", "error")
        show.table(
            heads,
            [
                [
                    row["id"], row["status"], row["kind"], row["message_id"], row["destination"] or "",
                    str(row["attempt_count"]), (row["error"] or {}).get("code", ""),
                ]
                for row in rows
            ],
        )  # fmt: skip


@forwards.command("show")
@with_api
@click.argument("forward_id", metavar="ID")
def show_forward(api: Api, as_json: bool, forward_id: str) -> None:
    """Show a forward with its attempts: what was sent, secrets masked, and what came back."""
    found = api.get(_place("forwards", forward_id))
    if as_json:
        click.echo(json_text(found))
        return
    click.echo(f"{style(clean(found['id']), 'strong')}  {clean(found['status'])}")
    for name, value in found.items():
        if name not in ("id", "status", "attempts", "error") and value not in (None, "", [], {}, False):
            click.echo(f"  {name:<15} {clean(value if isinstance(value, str) else json_text(value, None))}")
    for attempt in found["attempts"]:
        click.echo(f"  {clean(attempt['at'])}")
        _print_request(attempt["request"])
        _print_answer(attempt["status"], attempt["answer"], attempt["error"])


@forwards.command("change")
@with_api
@click.argument("forward_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change_forward(api: Api, as_json: bool, forward_id: str, changes: str) -> None:
    """Correct one that is dead, failed or canceled, before it is tried again: JSON, @FILE or @-. Its id stays.

    `values` are what templates see instead of what the text says, `destination` is where it goes.

    \b
      columba forwards change fwd_01j9... '{"values": {"text": "Order 12"}}'
      columba forwards change fwd_01j9... '{"destination": "dst_01j9..."}'
    """
    changed = api.change("PATCH", _place("forwards", forward_id), json_or_file(changes, "JSON"))
    if as_json:
        click.echo(json_text(changed))
    else:
        click.echo(f"{clean(changed['id'])}  {clean(changed['status'])}")
        click.echo(f"Try it again: columba forwards replay {clean(changed['id'])}", err=True)


@forwards.command("replay")
@with_api
@click.argument("forward_ids", metavar="[ID ...]", nargs=-1)
@click.option("--rule", metavar="ID", help="All dead ones of this rule.")
@click.option("--destination", metavar="ID", help="All dead ones to this destination.")
@click.option("--message", "message_id", metavar="ID", help="All dead ones of this text.")
@click.option("--error", metavar="CODE", help="All dead ones whose last error was this, such as http_503.")
@click.option("--since", type=Moment(-1), metavar="TIME", help="All dead ones made after it: a time, or 2h ago.")
@click.option("--until", type=Moment(-1), metavar="TIME", help="All dead ones made before it.")
@click.option(
    "--status", type=click.Choice(REPLAYED), metavar="STATUS", help=f"Not the dead ones: {', '.join(REPLAYED)}."
)
@click.option("--kind", type=click.Choice(KINDS), default="forward", show_default=True, help="What was to be done.")
def replay(api: Api, as_json: bool, forward_ids: tuple[str, ...], kind: str, **filters: str | None) -> None:
    """Try forwards again, one by one or all dead ones that fit, with the id that they had.

    \b
      columba forwards replay fwd_01j9...
      columba forwards replay --destination dst_01j9... --since 2h
    """
    wanted = {name: value for name, value in filters.items() if value}
    if bool(forward_ids) is bool(wanted):
        raise click.UsageError("Name the forwards, or say which: --rule, --destination, --message, --error, --since.")
    if wanted.keys() == {"status"}:
        raise click.UsageError("Say more than --status: --rule, --destination, --message, --error, --since.")
    count = 0
    if wanted:
        count = api.post("/v1/forwards/replay", {**wanted, "kind": kind})["count"]
    for forward_id in forward_ids:
        api.post(f"{_place('forwards', forward_id)}/replay", {})
        count += 1
    click.echo(json_text({"count": count}) if as_json else f"{count} are tried again.")


@forwards.command("cancel")
@with_api
@click.argument("forward_id", metavar="ID")
def cancel(api: Api, as_json: bool, forward_id: str) -> None:
    """Don't try a forward any more."""
    found = api.post(f"{_place('forwards', forward_id)}/cancel", {})
    click.echo(json_text(found) if as_json else f"{clean(found['id'])}  {clean(found['status'])}")


def _place(kind: str, an_id: str) -> str:
    if not an_id.isascii() or not an_id.replace("_", "").isalnum():
        example = "rul_01j9..." if kind == "rules" else "fwd_01j9..."
        raise click.BadParameter(f"{an_id!r} is no id: they look like {example}", param_hint="ID")
    return f"/v1/{kind}/{an_id}"


def _read(file: str) -> list[Json]:
    """The object of a file, or the objects of its array; or of a JSON text itself."""
    try:
        if file.lstrip()[:1] in ("{", "["):
            text, file = file.encode(), "That"
        else:
            file = file.removeprefix("@")
            stream = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115
            with stream:
                text = stream.read(LARGEST_FILE + 1)
        found = json.loads(text.decode()) if len(text) <= LARGEST_FILE else None
    except OSError as error:
        raise click.BadParameter(f"{file!r} can't be read: {error}.", param_hint="FILE") from error
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{file!r} is not JSON: {error}.", param_hint="FILE") from error
    rows: list[Any] = found if isinstance(found, list) else [found]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise click.BadParameter("Expected a rule as a JSON object, or an array of them.", param_hint="FILE")
    return rows


def _on(rule: Json) -> str:
    return "on" if rule["enabled"] else "off"


def _told(rule: Json) -> tuple[str, str]:
    """What it is for, in few words."""
    then = ", ".join(" ".join(action) for action in rule["then"])
    return json_text(rule["when"], None) if rule["when"] else "every text", then + (" (stop)" if rule["stop"] else "")


def _print_rule(rule: Json, as_json: bool, short: bool = False) -> None:
    if as_json:
        click.echo(json_text(rule))
        return
    click.echo(f"{style(clean(rule['id']), 'strong')}  {_on(rule)}  {clean(rule['position'])}  {clean(rule['name'])}")
    if not short:
        for name, value in rule.items():
            if name not in ("id", "name", "enabled", "position") and value not in (None, "", [], {}, False):
                click.echo(f"  {name:<12} {clean(value if isinstance(value, str) else json_text(value, None))}")


def _print_tried(tried: Json) -> None:
    if not tried["rules"]:
        click.echo("There are no rules: `columba rules create --help`.", err=True)
    for rule in tried["rules"]:
        word = style("matches", "good") if rule["matched"] else "doesn't"
        click.echo(f"{word}  {clean(rule['name'])}{'' if rule['matched'] else '  ' + clean(rule['why'])}")
    for action in tried["actions"]:
        target = f" to {clean(action['destination'])}" if action["destination"] else ""
        click.echo(
            f"\n{style(clean(action['kind']) + target, 'strong')}  (action {action['action']} of {action['rule']})"
        )
        if action["message"]:
            for name, value in action["message"].items():
                click.echo(f"  {name}: {clean(value if isinstance(value, str) else json_text(value, None))}")
        for request in action["requests"]:
            _print_request(request)
        response = action["response"] or {}
        _print_answer(response.get("status"), response.get("body"), action["error"])
        if action["skipped"]:
            click.echo(f"  {clean(action['skipped'])}")


def _print_request(request: Json | None) -> None:
    if not request:
        return
    if "url" not in request:
        click.echo(f"    {clean(json_text(request, None))}")
        return
    click.echo(f"    {clean(request['method'])} {clean(request['url'])}")
    for name, value in (request.get("headers") or {}).items():
        click.echo(f"    {clean(name)}: {clean(value)}")
    if request.get("body"):
        click.echo(f"\n    {show.body(request)}\n")


def _print_answer(code: int | None, body: str | None, error: Json | None) -> None:
    if code is not None:
        click.echo(f"    -> {code}{'  ' + clean(body) if body else ''}")
    if error:
        click.echo(f"    {style(clean(error['code']), 'bad')}: {clean(error['detail'])}")
