"""Server-Sent Events as they are read (WHATWG HTML §9.2.6): bytes in, however they are cut, events out.

A block that the end of the stream cuts off is no event. Fails with TooLong for an event beyond all measure.
"""

from typing import NamedTuple

MOST = 8 << 20  # bytes of one event


class TooLong(Exception):
    """An event that would fill the memory."""


class Heard(NamedTuple):
    """One event. Without data it only says up to where the stream has come."""

    id: str
    type: str
    data: bytes


class Reader:
    """Reads one stream, from its beginning."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = b""
        self._named = False
        self._type = b""
        self._data: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, chunk: bytes) -> list[Heard]:
        """What has come whole with this chunk."""
        text = self._rest + chunk
        if not self._begun:
            if len(text) < 3 and b"\xef\xbb\xbf".startswith(text):
                self._rest = text
                return []
            text = text.removeprefix(b"\xef\xbb\xbf")
            self._begun = True
        if text.endswith(b"\r"):  # the other half of a line's end may come next
            text, held = text[:-1], b"\r"
        else:
            held = b""
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        found = []
        for line in lines:
            if line:
                self._line(line)
            else:
                if self._data or self._named:
                    found.append(Heard(self._id.decode(errors="replace"), self._kind(), b"\n".join(self._data)))
                self._type, self._data, self._size, self._named = b"", [], 0, False
        if len(self._rest) + self._size > MOST:
            raise TooLong
        return found

    def _kind(self) -> str:
        return self._type.decode(errors="replace") or "message"

    def _line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._type = value
        elif name == b"id" and b"\0" not in value:
            self._id = value
            self._named = True
