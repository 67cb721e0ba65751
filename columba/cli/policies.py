"""What the commands for settings share: a room's are shown, or changed and shown.

A change is a JSON Merge Patch: what is left out stays, null is what usually holds.
"""

import click

from columba.cli.api import Api
from columba.cli.carriers import json_or_file
from columba.cli.show import json_text


def settings_of(api: Api, room: str, change: str | None) -> None:
    path = f"/v1/settings/{room}"
    click.echo(json_text(api.get(path) if change is None else api.change("PATCH", path, json_or_file(change, "--set"))))
