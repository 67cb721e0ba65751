"""Named SQL: one text a statement, rendered for SQLite and for PostgreSQL.

A room keeps its statements in a `.sql` file beside its code:

    -- name: insert_tags
    -- rows: message_id int, tag text
    insert into message_tags (message_id, tag) select message_id, tag from {rows} r

`{rows}` is the batch: one JSON array of arrays, unpacked by the engine, so that a batch is one statement whatever its
size. `:name` is a single value (reads only). `{now}` is the database's clock in ms, `{share}` and `{lock m}` are row
locks where the engine has them. Lines between `-- only sqlite` / `-- only postgres` and `-- end` are for one engine.
Nothing else differs. A statement that is empty on PostgreSQL is skipped there. `-- once: id` says that one batch has one
row of an id, whoever waits to commit another: a change of a row as it was read, a claim, an end that is told. Fails at
import with SqlError when a file is malformed.

SQLite's writer is a thread beside the event loop, and each row that it fetches is a turn of the interpreter's lock. So a
select in a plan names its columns (`-- gives: id, status`) and comes back as one JSON text; and a write that returns
columns of its own rows is run without `returning` first: when it changed as many rows as it was given, those it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

Engine = Literal["sqlite", "postgres"]
Value = int | float | str | None
Row = tuple[Any, ...]

_TYPES = {"int": "bigint", "text": "text", "float": "double precision"}
_MACROS = {
    "sqlite": {"now": "cast(unixepoch('subsec') * 1000 as integer)", "share": "", "skip_locked": ""},
    "postgres": {
        "now": "(extract(epoch from clock_timestamp()) * 1000)::bigint",
        "share": "for share",
        "skip_locked": "for update skip locked",
    },
}
_COMMENT = re.compile(r"^--.*\n?", re.M)
_ONLY = re.compile(r"^-- only (sqlite|postgres)\n(.*?)^-- end\n", re.M | re.S)
_LOCK = re.compile(r"\{lock (\w+)\}")
RETURNING = re.compile(r"\breturning ([\w., ]+)\s*$")
_PARAM = re.compile(r"(?<![:\w]):([a-z_]+)")


class SqlError(Exception):
    """A `.sql` file that can't be read."""


class Statement:
    """One named statement. `columns` describe `{rows}`; `params` are the single values, in order.

    `whole` is a select that gives one JSON text; `blind` a write without its `returning`, of which `returned` tells
    the places of what it would return in a row that it was given. Both are for SQLite. `once` gives what of a row is in
    a batch once; None where that may be anything.
    """

    __slots__ = ("blind", "columns", "gives", "name", "once", "params", "postgres", "returned", "sqlite", "whole")

    def __init__(
        self,
        name: str,
        columns: tuple[tuple[str, str], ...],
        gives: Sequence[str],
        text: str,
        once: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.columns = columns
        self.gives = tuple(gives)
        self.once = self._once(once)
        self.params = tuple(dict.fromkeys(_PARAM.findall(text)))
        self.sqlite = self._render("sqlite", text)
        self.postgres = self._render("postgres", text)
        listed = ", ".join(gives)
        self.whole = f"select json_group_array(json_array({listed})) from ({self.sqlite})" if gives else ""
        self.blind, self.returned = self._without_returning()

    def _once(self, names: Sequence[str]) -> Callable[[Row], Any] | None:
        places = {name: place for place, (name, _) in enumerate(self.columns)}
        if unknown := [name for name in names if name not in places]:
            raise SqlError(f"{self.name}: {unknown[0]} is no column of its rows")
        return itemgetter(*(places[name] for name in names)) if names else None

    def _without_returning(self) -> tuple[str, tuple[int, ...]]:
        found = RETURNING.search(self.sqlite)
        places = {name: place for place, (name, _) in enumerate(self.columns)}
        returned = [name.strip().rpartition(".")[2] for name in found[1].split(",")] if found else []
        if found is None or not all(name in places for name in returned):
            return "", ()
        return self.sqlite[: found.start()], tuple(places[name] for name in returned)

    def _render(self, engine: Engine, text: str) -> str:
        text = _COMMENT.sub("", for_engine(engine, text))  # what stands before the next one is no part of this
        for macro, meaning in _MACROS[engine].items():
            text = text.replace("{" + macro + "}", meaning)
        text = _LOCK.sub(r"for update of \1" if engine == "postgres" else "", text)
        if self.columns:
            text = text.replace("{rows}", self._rows(engine))
        if engine == "postgres":
            first = 2 if self.columns else 1
            for number, name in enumerate(self.params, first):
                text = re.sub(rf"(?<![:\w]):{name}\b", f"${number}", text)
        left = re.search(r"\{\w+\}", text)
        if left:
            raise SqlError(f"{self.name}: {left.group()} is not known")
        return text.strip()

    def _rows(self, engine: Engine) -> str:
        if engine == "sqlite":
            names = ", ".join(f"value->>{i} as {name}" for i, (name, _) in enumerate(self.columns))
            return f"(select {names} from jsonb_each(:batch))"
        names = ", ".join(f"(v->>{i})::{_TYPES[kind]} as {name}" for i, (name, kind) in enumerate(self.columns))
        return f"(select {names} from jsonb_array_elements($1::jsonb) v)"

    def text(self, engine: Engine) -> str:
        return self.sqlite if engine == "sqlite" else self.postgres

    def __repr__(self) -> str:
        return f"<Statement {self.name}>"


def for_engine(engine: Engine, text: str) -> str:
    """Keep what is for this engine and for both."""
    return _ONLY.sub(lambda found: found[2] if found[1] == engine else "", text)


def statements(*files: Path | str) -> Mapping[str, Statement]:
    """All statements of some `.sql` files, by name."""
    found: dict[str, Statement] = {}
    for file in files:
        for block in re.split(r"^-- name: ", Path(file).read_text(), flags=re.M)[1:]:
            name, _, rest = block.partition("\n")
            columns: tuple[tuple[str, str], ...] = ()
            gives: list[str] = []
            once: list[str] = []
            while (head := re.match(r"-- (rows|gives|once): (.*)\n", rest)) is not None:
                parts = [part.strip() for part in head[2].split(",") if part.strip()]
                if head[1] == "rows":
                    columns += tuple(_column(name, part) for part in parts)
                else:
                    (gives if head[1] == "gives" else once).extend(parts)
                rest = rest[head.end() :]
            if name.strip() in found:
                raise SqlError(f"{file}: {name.strip()} is there twice")
            found[name.strip()] = Statement(name.strip(), columns, gives, rest, once)
    return found


def _column(statement: str, part: str) -> tuple[str, str]:
    try:
        name, kind = part.split()
        return name, {"int": "int", "text": "text", "float": "float"}[kind]
    except (ValueError, KeyError) as error:
        raise SqlError(f"{statement}: `{part.strip()}` is not a column and its type") from error
