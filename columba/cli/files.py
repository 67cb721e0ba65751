"""Files of rows, sent and written: what `columba consents` and `columba contacts` share."""

import http.client
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

import click

from columba.cli import show
from columba.cli.api import Api, Failure, Json, with_api
from columba.cli.show import clean, json_text
from columba.cli.values import place

CHUNK = 256 * 1024
MOST_LISTED = 10_000
ANSWER_S = 3_600.0  # a large file is dealt with before it is answered
LOOK_S = 1.0
REFUSALS = ("row", "number", "code", "detail")
COLUMNS = ("id", "name", "state", "rows", "recorded", "unchanged", "refused", "created_at")


def send_file(
    ctx: click.Context, api: Api, as_json: bool, room: str, file: BinaryIO, resume: str | None, said: Mapping[str, Any]
) -> None:
    """Announce a file, send it, show what came of it. Ends with 1 if rows were refused."""
    base = f"/v1/{room}/imports"
    if resume is None:
        name = os.path.basename(getattr(file, "name", "") or "standard input")[:200]
        made = api.post(base, {"name": name} | {word: value for word, value in said.items() if value})
    else:
        made = api.get(f"{base}/{resume}")
    its = f"{base}/{clean(made['id'])}"
    done = _upload(api, made, file, its, room)
    if as_json:
        click.echo(json_text(done))
    else:
        click.echo(_progress(done))
        for row in api.pages(f"{its}/refusals", (), 20):
            click.echo(f"  row {row['row']}  {clean(row['number'])}  {clean(row['detail'])}", err=True)
        if done["refused"] > 20:
            click.echo(f"  ... {done['refused'] - 20:,} more: columba {room} refusals {clean(made['id'])}", err=True)
    ctx.exit(1 if done["refused"] else 0)


def add_files(group: click.Group, room: str, what: str) -> None:
    """The commands beside a group's `import`: its files, what was refused of one, and `what` as a file."""

    @group.command()
    @with_api
    @click.option(
        "--limit",
        type=click.IntRange(1, MOST_LISTED),
        default=20,
        show_default=True,
        metavar="N",
        help="How many at most.",
    )
    def imports(api: Api, as_json: bool, limit: int) -> None:
        """List the files that were imported, and how far each has come."""
        rows = [*api.pages(f"/v1/{room}/imports", (), limit)]
        if as_json:
            click.echo(json_text(rows))
        else:
            show.table(COLUMNS, [[clean(row.get(name)) for name in COLUMNS] for row in rows])

    @group.command()
    @with_api
    @click.argument("import_id", metavar="IMPORT")
    @click.option(
        "--limit",
        type=click.IntRange(1, 100_000),
        default=1_000,
        show_default=True,
        metavar="N",
        help="How many at most.",
    )
    def refusals(api: Api, as_json: bool, import_id: str, limit: int) -> None:
        """List the rows of a file that were refused, and why."""
        rows = [*api.pages(f"{place(f'{room}/imports', import_id, 'imp')}/refusals", (), limit)]
        if as_json:
            click.echo(json_text(rows))
        else:
            show.table(REFUSALS, [[show.cell(row.get(name)) for name in REFUSALS] for row in rows])

    @group.command("export", help=f"Write {what} as CSV.")
    @with_api
    @click.option("-o", "--output", default="-", metavar="FILE", help="Where to; - is standard output.")
    def export(api: Api, as_json: bool, output: str) -> None:
        write_file(api, as_json, f"/v1/{room}/export", output)


def _upload(api: Api, made: Json, file: BinaryIO, its: str, room: str) -> Json:
    """Send the file in one request, and show meanwhile how far it has come."""
    live, over = show.Live(), threading.Event()

    def look() -> None:
        other = api.beside()
        while not over.wait(LOOK_S):
            try:
                live.show(_progress(other.get(its)))
            except Failure:
                break
        other.close()

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        done: Json = api.pour(made["upload_url"], iter(lambda: file.read(CHUNK), b""), "text/csv", ANSWER_S)
    except (OSError, http.client.HTTPException) as error:
        raise Failure(
            f"the file was not sent whole ({error})",
            "interrupted",
            f"Go on with: columba {room} import FILE --resume {clean(made['id'])}",
        ) from error
    finally:
        over.set()
        watching.join()
        live.end()
    return done


def _progress(told: Json) -> str:
    return (
        f"{clean(told['id'])}  {clean(told['state'])}  {told['rows']:,} rows: {told['recorded']:,} recorded, "
        f"{told['unchanged']:,} known already, {told['refused']:,} refused"
    )


def write_file(api: Api, as_json: bool, path: str, output: str) -> None:
    size = 0
    if output == "-":
        out = sys.stdout.buffer
        for chunk in api.drain(path):
            out.write(chunk)
        return
    try:
        with open(output, "wb") as file:
            for chunk in api.drain(path):
                size += file.write(chunk)
    except OSError as error:
        raise Failure(f"{clean(output)} can't be written: {error.strerror}", "failed") from error
    click.echo(json_text({"file": output, "size": size}) if as_json else f"{output}  {size:,} bytes")
