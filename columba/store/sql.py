"""Named SQL: one text a statement, rendered for SQLite and for PostgreSQL.

A room keeps its statements in a `.sql` file beside its code:

    -- name: insert_tags
    -- rows: message_id int, tag text
    insert into message_tags (message_id, tag) select message_id, tag from {rows} r

`{rows}` is the batch: one JSON array of arrays, unpacked by the engine, so that a batch is one statement whatever its
size. `:name` is a single value (reads only). `{now}` is the database's clock in ms, `{share}` a row lock where the
engine has them. Lines between `-- only sqlite` / `-- only postgres` and `-- end` are for one engine. Nothing else
differs. Fails at import with SqlError when a file is malformed.
"""

import re
from collections.abc import Mapping
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
_ONLY = re.compile(r"^-- only (sqlite|postgres)\n(.*?)^-- end\n", re.M | re.S)
_PARAM = re.compile(r"(?<![:\w]):([a-z_]+)")


class SqlError(Exception):
    """A `.sql` file that can't be read."""


class Statement:
    """One named statement. `columns` describe `{rows}`; `params` are the single values, in order."""

    __slots__ = ("columns", "name", "params", "postgres", "sqlite")

    def __init__(self, name: str, columns: tuple[tuple[str, str], ...], text: str) -> None:
        self.name = name
        self.columns = columns
        self.params = tuple(dict.fromkeys(_PARAM.findall(text)))
        self.sqlite = self._render("sqlite", text)
        self.postgres = self._render("postgres", text)

    def _render(self, engine: Engine, text: str) -> str:
        text = for_engine(engine, text)
        for macro, meaning in _MACROS[engine].items():
            text = text.replace("{" + macro + "}", meaning)
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
            return f"(select {names} from json_each(?1))"
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
            while (head := re.match(r"-- rows: (.*)\n", rest)) is not None:
                columns += tuple(_column(name, part) for part in head[1].split(",") if part.strip())
                rest = rest[head.end() :]
            if name.strip() in found:
                raise SqlError(f"{file}: {name.strip()} is there twice")
            found[name.strip()] = Statement(name.strip(), columns, rest)
    return found


def _column(statement: str, part: str) -> tuple[str, str]:
    try:
        name, kind = part.split()
        return name, {"int": "int", "text": "text", "float": "float"}[kind]
    except (ValueError, KeyError) as error:
        raise SqlError(f"{statement}: `{part.strip()}` is not a column and its type") from error
