"""Fills in what the pages beside this file say of the program in tables: `python docs/generate.py`.

A page holds such a part between `<!-- begin NAME: made by docs/generate.py -->` and `<!-- end NAME -->`; all else in it
is written by hand. A test compares them. docs/cli.md and docs/settings.md are made whole, by columba.cli.reference.
"""

import asyncio
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from columba.carriers import CarrierKind, kinds
from columba.core import model, status
from columba.errors import CATALOGUE
from columba.forwarding.destinations_views import Preset
from columba.forwarding.presets import presets
from columba.keys import SCOPES

DOCS = Path(__file__).parent
_PART = re.compile(r"(<!-- begin ([a-z-]+): made by docs/generate\.py -->\n).*?(<!-- end \2 -->)", re.S)


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return re.sub(r"([|<])", r"\\\1", str(value))


def refusals() -> str:
    return table(
        ("code", "HTTP", "meaning", "what to do"),
        ((f"`{code}`", each.http, f"{each.title}.", each.advice) for code, each in CATALOGUE.items()),
    )


def failures() -> str:
    return table(("`error.code`", "meaning"), ((f"`{code}`", text) for code, text in model.FAILURES.items()))


def transitions() -> str:
    names = status.NAMES
    rows = []
    for number, name in names.items():
        after = [f"`{other}`" for then, other in names.items() if status.may_become(number, then)]
        final = "yes" if status.is_final(number) else "no"
        rows.append((f"`{name}`", number, status.rank(number), final, ", ".join(after) or "nothing"))
    return table(("status", "number", "rank", "final", "may become"), rows)


def event_types() -> str:
    return "".join(f"- `{name}`\n" for number, name in model.TYPES.items() if number >= model.OTHER_EVENTS)


def scopes() -> str:
    return table(("scope", "allows"), ((f"`{scope}`", text) for scope, text in SCOPES.items()))


def providers() -> str:
    """Each kind that is called over HTTP, but the one that is configured whole."""
    return "\n".join(
        _provider(kind) for name, kind in sorted(kinds().items()) if kind.about is not None and name != "http"
    )


def _provider(kind: CarrierKind) -> str:
    about = kind.about
    callbacks = " and ".join(f"`{name}`" for name in kind.callbacks)
    out = [
        f"## Kind `{kind.name}`: {about.title}",
        about.notes,
        table(("option", "default", "meaning"), _options(kind.config)),
        f"**Callbacks** ({callbacks}): {about.signed}",
        table(("its word", "status"), ((f"`{word}`", _became(number)) for word, number in about.statuses.items())),
    ]
    for where, errors in about.errors.items():
        meant: dict[Any, list[str]] = {}
        for code, meaning in errors.items():
            meant.setdefault(meaning, []).append(code)
        rows = (
            (f"`{each.error}`", _DONE[each.kind], ", ".join(f"`{code}`" for code in codes))
            for each, codes in meant.items()
        )
        out += [f"Errors, by {where}:", table(("`error`", "when it is sent", "codes"), rows)]
    return "\n\n".join(each.strip() for each in out if each) + "\n"


_DONE = {
    "failed": "it fails",
    "reroute": "another carrier, if there is one",
    "retry": "again later",
    "throttled": "again, slower",
    "unknown": "`on_unknown` decides",
}


def _became(number: int | None) -> str:
    return "nothing yet" if number is None else f"`{status.NAMES[number]}`"


def _options(config: Any) -> Iterable[tuple[str, str, str]]:
    shape = msgspec.json.schema(config)
    fields = shape["$defs"][config.__name__]
    for name, field in fields["properties"].items():
        each = {**field, **next((one for one in field.get("anyOf", ()) if one.get("type") != "null"), {})}
        default = "needed" if name in fields.get("required", ()) else str(each.get("default") or "")
        words = [each.get("description", ""), "Secret." if each.get("writeOnly") else ""]
        if each.get("enum"):
            words.insert(0, ", ".join(f"`{value}`" for value in each["enum"]) + ".")
        yield (
            f"`{name}`",
            default if default == "needed" else f"`{default}`" if default else "",
            " ".join(filter(None, words)),
        )


def endpoints() -> str:
    rows = []
    for path, methods in document()["paths"].items():
        for method, each in methods.items():
            needed = [scope for way in each.get("security", ()) for scope in way.get("oauth2", ())]
            scope = f"`{needed[0]}`" if needed else "no key" if each.get("security") == [] else "any key"
            rows.append((f"`{method.upper()} {path}`", each["summary"], scope))
    return table(("endpoint", "what it does", "scope"), rows)


@cache
def document() -> dict[str, Any]:
    """The program's own OpenAPI document, from the program itself."""
    return asyncio.run(_document())


async def _document() -> dict[str, Any]:
    from columba.app import App
    from columba.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        app = App(Settings(data=folder))
        await app.start()
        try:
            return await _get(app, "/v1/openapi.json")
        finally:
            await app.stop()


async def _get(app: Any, path: str) -> dict[str, Any]:
    body = bytearray()

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await app.asgi(scope, receive, send)
    found: dict[str, Any] = msgspec.json.decode(body)
    return found


def all_presets() -> str:
    return "\n".join(map(_preset, presets().values()))


def _preset(preset: Preset) -> str:
    rows = []
    for name, each in preset.params.items():
        usual = (
            "needed" if each.required and each.default is None else "" if each.default is None else f"`{each.default}`"
        )
        more = [each.about, "Secret." if each.secret else "", f"Such as `{each.example}`." if each.example else ""]
        if each.choices:
            more.append(f"One of {', '.join(f'`{choice}`' for choice in each.choices)}.")
        rows.append((f"`{name}`", usual, " ".join(filter(None, (f"{each.title[0].upper()}{each.title[1:]}.", *more)))))
    saved = ", ".join(f"`{name}`" for name in preset.destination.get("save", ()))
    out = [
        f"## `{preset.name}`: {preset.title}",
        f"{preset.about} {preset.setup}".strip(),
        table(("param", "usual", ""), rows),
        f"```console\n{_made_of(preset)}\n```",
        f"Saves {saved}." if saved else "",
    ]
    return "\n\n".join(each.strip() for each in out if each) + "\n"


def _made_of(preset: Preset) -> str:
    """The command that makes a destination of it; capitals stand for what nobody else knows."""
    needed = {name: each for name, each in preset.params.items() if each.required and each.default is None}
    params = [f"--param {name}={shlex.quote(each.example or name.upper())}" for name, each in needed.items()]
    lines = [f"columba destinations create --preset {preset.name}"]
    for param in params:
        if len(lines[-1]) + len(param) > 100:
            lines[-1] += " \\"
            lines.append(" ")
        lines[-1] += f" {param}"
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "refusals": refusals,
    "failures": failures,
    "transitions": transitions,
    "event-types": event_types,
    "scopes": scopes,
    "endpoints": endpoints,
    "providers": providers,
    "presets": all_presets,
}


def filled(text: str) -> str:
    """A page with its parts made anew. KeyError for a part that is none."""
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}{found[3]}", text)


def pages() -> list[Path]:
    """Those that have such parts."""
    return [page for page in sorted(DOCS.glob("*.md")) if _PART.search(page.read_text())]


def main() -> None:
    for page in pages():
        page.write_text(filled(page.read_text()))
        print(page)


if __name__ == "__main__":
    main()
