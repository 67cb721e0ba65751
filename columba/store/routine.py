"""A plan as one function of PostgreSQL, so that a commit is one journey instead of one for each of its steps.

Pure: makes the text that defines it. The function is temporary, its connection's own, takes the rows of each step (JSON
text, or null) and runs the steps as the store would: each statement sees what those before it did. It returns a JSON
array with a place for each step: null (nothing came back), true (all the rows that were given did), or the rows.
"""

import re
from collections.abc import Sequence

from .plan import Step
from .sql import RETURNING, SqlError, Statement

_FINAL = re.compile(r"(insert|update|delete|select)\b", re.I)
_RETURNS = re.compile(r"\breturning\b", re.I)


def routine(name: str, steps: Sequence[Step]) -> str:
    """The text that creates the function for steps of this shape; which rows they have is of no matter."""
    # For each step: its rows and how many there were, what came back and how much, and whether that is everything.
    kinds = {"rows": "jsonb", "most": "integer", "came": "json", "n": "integer", "whole": "boolean"}
    variables = [f"{variable}_{k} {kind};" for k in range(len(steps)) for variable, kind in kinds.items()]
    body = "\n".join(_step(k, step) for k, step in enumerate(steps) if step.statement.postgres)
    return (
        f"create function {name}(given text[]) returns text language plpgsql as $columba$\n"
        f"#variable_conflict use_column\ndeclare\n{' '.join(variables)}\nbegin\n{body}\n"
        f"return json_build_array({', '.join(_told(k, step) for k, step in enumerate(steps))})::text;\nend $columba$"
    )


def _told(k: int, step: Step) -> str:
    if step.statement.returned and step.feed is None:  # the store can tell what came back from what it gave
        return f"case when whole_{k} then 'true'::json else came_{k} end"
    return f"came_{k}"


def _step(k: int, step: Step) -> str:
    lines = []
    if step.feed is not None:
        lines.append(f"rows_{k} := came_{step.feed}::jsonb; most_{k} := 0;")
    else:
        lines.append(f"rows_{k} := given[{k + 1}]::jsonb; most_{k} := jsonb_array_length(rows_{k});")
    if step.given is not None:
        lines.append(f"if rows_{k} is not null and not coalesce(whole_{step.given}, false) then")
        lines.append(_kept(k, step.given, "in") + " end if;")
    for other in () if step.missing is None else (step.missing,) if isinstance(step.missing, int) else step.missing:
        lines.append(f"if whole_{other} then rows_{k} := null;")
        lines.append(f"elsif rows_{k} is not null and came_{other} is not null then")
        lines.append(_kept(k, other, "not in") + " end if;")
    lines.append(f"if rows_{k} is not null then {_run(k, step.statement)};")
    if step.statement.returned:
        lines.append(f"whole_{k} := n_{k} > 0 and n_{k} = most_{k};")
    elif _returns(step.statement):
        keys = f"(select count(distinct v->>0) from json_array_elements(came_{k}) v)"  # noqa: S608
        lines.append(f"if n_{k} >= most_{k} and most_{k} > 0 then whole_{k} := {keys} = most_{k}; end if;")
    return "\n".join([*lines, "end if;"])


def _kept(k: int, other: int, how: str) -> str:
    """Only the rows whose first column came back from another step, or did not."""
    keys = f"select (w->0)::jsonb from json_array_elements(came_{other}) w"  # noqa: S608
    every = f"jsonb_array_elements(rows_{k})"
    return f"rows_{k} := (select jsonb_agg(v) from {every} v where v->0 {how} ({keys}));"  # noqa: S608


def _run(k: int, statement: Statement) -> str:
    text = statement.postgres.replace("$1::jsonb", f"rows_{k}")
    if not _returns(statement):
        return text
    named, final = _parted(text)
    told = f"json_agg({_row(statement)}), count(*) into came_{k}, n_{k}"
    if final[:6].lower() == "select":
        return f"{named} select {told} from ({final}) x"  # noqa: S608
    named = f"{named}," if named else "with"
    return f"{named} x as ({final}) select {told} from x"  # noqa: S608


def _returns(statement: Statement) -> bool:
    return bool(_RETURNS.search(statement.postgres)) or _parted(statement.postgres)[1][:6].lower() == "select"


def _row(statement: Statement) -> str:
    """One row of what comes back, as a JSON array."""
    found = RETURNING.search(statement.postgres)
    names = [name.strip().rpartition(".")[2] for name in found[1].split(",")] if found else statement.gives
    if not names:
        return "(select json_agg(e.value) from json_each(row_to_json(x)) e)"
    return f"json_build_array({', '.join(f'x.{name}' for name in names)})"


def _parted(text: str) -> tuple[str, str]:
    """A statement's `with`, and the statement itself."""
    if text[:5].lower() != "with ":
        return "", text
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth and _FINAL.match(text, place) and not text[place - 1].isalnum():
            return text[:place].rstrip(), text[place:]
    raise SqlError(f"{text[:40]!r}: a `with` without a statement")
