"""How the commands show things: texts that can't move a terminal's cursor, colours where they are wanted, tables.

Nothing here fails.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

_KINDS: Final[dict[str, dict[str, Any]]] = {
    "good": {"fg": "green"},
    "bad": {"fg": "red"},
    "doubt": {"fg": "yellow"},
    "strong": {"bold": True},
    "faint": {"dim": True},
    "plain": {},
}
_STATUS: Final = {
    "delivered": "good",
    "received": "good",
    "undelivered": "bad",
    "failed": "bad",
    "expired": "bad",
    "canceled": "doubt",
    "unknown": "doubt",
}


def clean(value: object) -> str:
    """A text as it may be put on a terminal: what others wrote must not steer it."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def coloured(err: bool = False) -> bool:
    """Whether colours are wanted: on a terminal that has them, and not with NO_COLOR."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, kind: str, err: bool = False) -> str:
    return click.style(text, **_KINDS[kind]) if _KINDS[kind] and coloured(err) else text


def status(name: str) -> str:
    return style(clean(name), _STATUS.get(name, "plain"))


def json_text(value: object, indent: int | None = 2) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode(errors="replace").decode()


def seconds(value: float) -> str:
    """`0.4 ms`, `12 ms`, `1.3 s`, `2 min 5 s`."""
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(int(value), 60)
    return f"{minutes} min {rest} s"


def size(count: float) -> str:
    """`12 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def cell(value: object) -> str:
    """A value in a table: nothing for what is not there, 0 for 0."""
    return "" if value is None or value is False else clean(value)


def body(request: Mapping[str, Any]) -> str:
    """What a request sends, for a terminal: text, or how much else."""
    text = str(request["body"])
    return f"({len(text) * 3 // 4:,} bytes, not text: --json shows them)" if request.get("base64") else clean(text)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], coloured_column: int = -1) -> None:
    """A table on a terminal, its last column cut to fit; else a line a row, with tabs for programs."""
    rows = [[clean(cell) for cell in row] for row in rows]
    heads = [head.upper() for head in heads]
    if not sys.stdout.isatty():
        for row in (heads, *rows):
            click.echo("\t".join(row))
        return
    widths = [max(map(width, column)) for column in zip(heads, *rows, strict=True)]
    room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
    widths[-1] = max(min(widths[-1], room), len(heads[-1]))
    click.echo(style(_line(heads, widths), "strong").rstrip())
    for row in rows:
        cells = [pad(cell, wide) for cell, wide in zip(row, widths, strict=True)]
        if coloured_column >= 0:
            name = row[coloured_column]
            cells[coloured_column] = status(name) + " " * (widths[coloured_column] - width(name))
        click.echo("  ".join(cells).rstrip())


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(pad(cell, wide) for cell, wide in zip(cells, widths, strict=True))


def pad(text: str, wide: int) -> str:
    """A text, cut or filled up to this many columns."""
    if width(text) > wide:
        while text and width(text) > wide - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (wide - width(text))


def width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


class Live:
    """A line on standard error that is written over while something goes on; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""

    def show(self, text: str) -> None:
        if self._on and text != self._shown:
            self._shown = text
            cut = pad(text, min(width(text), shutil.get_terminal_size().columns - 1))
            click.echo(f"\r{cut}\x1b[K", nl=False, err=True)

    def end(self) -> None:
        if self._shown:
            self._shown = ""
            click.echo("\r\x1b[K", nl=False, err=True)
