"""CSV, read as it comes: records cut anywhere, comma, semicolon or tab, with a heading or without. Pure."""

import codecs
import csv
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

from starlette.types import Receive

from columba.errors import Refusal
from columba.http.wire import Disconnected

LONGEST_ROW: Final = 65_536  # characters
FORMULA: Final = ("=", "+", "-", "@", "\t")  # how spreadsheets know one
NUMBERS: Final = ("number", "phone", "phone_number", "to", "msisdn", "mobile")  # what a person's number is called


async def texts(receive: Receive) -> AsyncIterator[str]:
    """The body as text, as it comes. Refusal, Disconnected."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    more, line = True, 1
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        more = message.get("more_body", False)
        try:
            text = decoder.decode(message.get("body", b""), not more)
        except UnicodeDecodeError as error:
            wrong = error.object[error.start]
            line += error.object.count(b"\n", 0, error.start)
            detail = f"Line {line} is not UTF-8 (there is a byte {wrong:#04x}): save the file as CSV in UTF-8."
            raise Refusal("invalid_request", detail) from None
        line += text.count("\n")
        if text:
            yield text


async def records(pieces: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    """The lines of a CSV file, some at a time; one that goes on in the next, within quotes, is whole. Refusal."""
    ended = 0  # lines
    tail: list[str] = []  # of a line whose end has not come
    within: list[str] = []  # lines since a quote that has not ended
    size = 0  # of both
    async for text in pieces:
        size += len(text)
        found: list[str] = []
        if "\n" in text:
            lines = ("".join(tail) + text).split("\n")
            tail = [lines.pop()]
            for line in lines:
                ended += 1
                odd = line.count('"') % 2 == 1
                if within or odd:
                    within.append(line)
                    if odd != (len(within) > 1):  # the quote goes on
                        continue
                    line = "\n".join(within)
                    within = []
                found.append(line.rstrip("\r"))
            if found:
                size = sum(map(len, tail)) + sum(map(len, within))
        else:
            tail.append(text)
        if size > LONGEST_ROW:
            first = ended - len(within) + 1
            detail = (
                f"The row that begins in line {first:,} has more than {LONGEST_ROW:,} characters: is a quote missing?"
            )
            raise Refusal("invalid_request", detail)
        if found:
            yield found
    rest = "\n".join((*within, "".join(tail)))
    if rest.count('"') % 2:
        first = ended - len(within) + 1
        raise Refusal("invalid_request", f"A quote that begins in line {first:,} does not end.")
    if rest.strip():
        yield [rest.rstrip("\r")]


class Sheet:
    """The cells of a file. The first line says what is between them."""

    def __init__(self) -> None:
        self._dialect: str | None = None

    def cells(self, lines: Sequence[str]) -> Iterator[list[str]]:
        if self._dialect is None and lines:
            self._dialect = max(",;\t", key=lines[0].count)
        for cells in csv.reader(lines, delimiter=self._dialect or ","):
            if any(cell.strip() for cell in cells):
                yield cells


def heading(cells: Sequence[str]) -> list[str] | None:
    """What columns are called; None for a first row that is no heading."""
    first = cells[0].strip()
    return None if first and first[0] in "+0123456789(" else [cell.strip() for cell in cells]


def simple(name: str) -> str:
    """A heading without regard to case and blanks."""
    return name.lower().replace(" ", "_")


def cell(text: str) -> str:
    """Without the mark that keeps a spreadsheet from taking it for a formula."""
    text = text.strip()
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA else text


def row_of(places: Mapping[str, int], cells: Sequence[str]) -> dict[str, str]:
    """A row by its columns."""
    return {name: cell(cells[place]) for name, place in places.items() if place < len(cells)}
