"""CSV, made: answers of any size, in pages, never held whole."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence

from starlette.responses import Response, StreamingResponse

from columba.imports.reading import FORMULA


def file_answer(name: str, lines: AsyncIterator[str]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def csv_of(rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def plain(text: str | None) -> str:
    """What people wrote, so that no spreadsheet takes it for a formula; reading takes the mark away again."""
    return f"'{text}" if text and text[0] in FORMULA else text or ""
