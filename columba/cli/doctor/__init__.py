"""`columba doctor`: looks at everything that an installation stands on, and says what is wrong and how to mend it.

Each check is a generator of findings. It changes nothing (a probe file of its own is written and removed, and an empty
record goes through PostgreSQL's log), so it may run beside a server. What a check itself trips over is a finding too.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from columba.cli import stores
from columba.cli.doctor.clock import clock_of_system, time_zones
from columba.cli.doctor.finding import KINDS, Finding
from columba.cli.doctor.machine import certificates, files, port, python
from columba.cli.doctor.outside import mail_server, media_store
from columba.cli.doctor.secrets import secret_key
from columba.cli.doctor.smpp import smpp
from columba.cli.doctor.store import store, tripped
from columba.cli.options import Settings, with_flags
from columba.cli.show import json_text, style
from columba.settings import SETTINGS, SettingsError, load

CLIENTS = {"COLUMBA_URL", "COLUMBA_KEY", "COLUMBA_WEBHOOK_SECRET"}  # variables of the commands that are clients
Check = Callable[[Settings], Iterator[Finding]]


def settings_in_force(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        if setting.secret and value:
            shown = "***"
        elif setting.name == "database":
            shown = stores.masked(value) if value else ""
        else:
            shown = ", ".join(value) if setting.many else str(value)
        source = settings.source[setting.name]
        yield Finding("settings", setting.name, "ok", f"{shown or 'none'}  ({source})")
    known = CLIENTS | {setting.variable for setting in SETTINGS}
    for name in sorted(environ):
        if name.startswith("COLUMBA_") and name not in known:
            yield Finding("settings", name, "warn", "There is no such setting.", "Check its spelling, or remove it.")
    if any(network in ("0.0.0.0/0", "::/0") for network in settings.allow_network):
        yield Finding(
            "settings", "allow_network", "warn", "Webhooks may reach every private network.",
            "Name only the networks that they need.",
        )  # fmt: skip


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """All findings, in the order in which a person would look."""
    checks: dict[str, list[Check]] = {
        "settings": [lambda settings: settings_in_force(settings, environ)],
        "store": [store],
        "clock": [clock_of_system, time_zones],
        "secrets": [secret_key],
        "ports": [port, smpp],
        "outside": [media_store, mail_server],
        "machine": [certificates, python, files],
    }
    for area, those in checks.items():
        for check in those:
            try:
                yield from check(settings)
            except Exception as error:
                yield tripped(area, error)


@click.command()
@with_flags(*(setting.name for setting in SETTINGS))
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_context
def doctor(ctx: click.Context, flags: dict[str, Any], as_json: bool) -> None:
    """Look for what is wrong, and say how to mend it.

    Looks at the settings, the store, the clock, secrets, ports, media, mail and the machine. Give it the flags and
    variables that `columba serve` gets. It changes nothing and may run beside a server. Ends with 1 if anything fails.
    """
    found: list[Finding] = []
    try:
        settings = load(flags, os.environ)
    except SettingsError as error:
        findings = iter(
            [Finding("settings", "settings", "fail", text, "Correct it.") for text in str(error).split("\n")]
        )
    else:
        findings = examine(settings, os.environ)
    area = ""
    for finding in findings:
        found.append(finding)
        if not as_json:
            if finding.area != area:
                area = finding.area
                click.echo(style(area.capitalize(), "strong"))
            tell(finding)
    failed, warned = (sum(each.state == state for each in found) for state in ("fail", "warn"))
    if as_json:
        click.echo(json_text({"ok": not failed, "findings": [each._asdict() for each in found]}))
    else:
        click.echo(
            style(f"{failed} to mend, {warned} to look at.", "bad" if failed else "doubt")
            if failed or warned
            else style("All is well.", "good")
        )
    ctx.exit(1 if failed else 0)


def tell(finding: Finding) -> None:
    state = style(f"{finding.state:<4}", KINDS[finding.state])
    click.echo(f"  {state}  {finding.name:<18} {finding.text}")
    if finding.mend:
        click.echo(f"        {'':<18} {style('→ ' + finding.mend, 'strong')}")
