"""Reading Server-Sent Events: the cases of WHATWG HTML §9.2.6, whole, byte by byte and cut anywhere."""

import pytest

from columba.cli.sse import MOST, Heard, Reader, TooLong

CASES: list[tuple[str, bytes, list[Heard]]] = [
    ("one", b"id: 1\nevent: a\ndata: x\n\n", [Heard("1", "a", b"x")]),
    ("no space after the colon", b"id:1\nevent:a\ndata:x\n\n", [Heard("1", "a", b"x")]),
    ("only one space is dropped", b"data:  x\n\n", [Heard("", "message", b" x")]),
    ("lines of data", b"data: x\ndata: y\n\n", [Heard("", "message", b"x\ny")]),
    ("a heartbeat", b":\n\ndata: x\n\n:\n\n", [Heard("", "message", b"x")]),
    ("carriage returns", b"id: 1\rdata: x\r\r", [Heard("1", "message", b"x")]),
    ("both ends of lines", b"id: 1\r\ndata: x\r\n\r\n", [Heard("1", "message", b"x")]),
    ("a byte order mark", b"\xef\xbb\xbfdata: x\n\n", [Heard("", "message", b"x")]),
    ("the id stays", b"id: 1\ndata: x\n\ndata: y\n\n", [Heard("1", "message", b"x"), Heard("1", "message", b"y")]),
    ("the type does not", b"event: a\ndata: x\n\ndata: y\n\n", [Heard("", "a", b"x"), Heard("", "message", b"y")]),
    ("an id alone", b"id: 7\n\n", [Heard("7", "message", b"")]),
    ("an id with NUL is none", b"id: 7\0\ndata: x\n\n", [Heard("", "message", b"x")]),
    ("other fields", b"retry: 10\nfoo: 1\nbar\ndata: x\n\n", [Heard("", "message", b"x")]),
    ("a type alone is nothing", b"event: a\n\n", []),
    ("what is cut off is nothing", b"data: x\n\nid: 2\ndata: y\n", [Heard("", "message", b"x")]),
]


@pytest.mark.parametrize(("stream", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_events_however_the_bytes_are_cut(stream: bytes, expected: list[Heard]) -> None:
    # A CR at the very end may be half of a line's end: it is known only once more has come.
    stream += b":" if stream.endswith(b"\r") else b""
    for size in (len(stream), 1, 2, 3, 5):
        reader = Reader()
        found = [each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])]
        assert found == expected, size


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 65_536 + b"\n", b"x" * 65_536], ids=["lines", "one line"])
def test_an_event_beyond_all_measure_is_refused(chunk: bytes) -> None:
    reader = Reader()
    for _ in range(MOST // 65_536 - 1):
        reader.feed(chunk)
    with pytest.raises(TooLong):
        reader.feed(chunk * 2)
