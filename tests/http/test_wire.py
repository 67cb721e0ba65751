"""A body is read whole or not at all, and never held beyond its limit."""

import tracemalloc

import pytest
from starlette.types import Message

from columba.errors import Refusal
from columba.http.wire import Disconnected, Unread, idempotency_key, read_body, request_id


class Sender:
    """Gives messages of a body, one a call, and may go on for ever."""

    def __init__(self, *chunks: bytes, endless: bool = False) -> None:
        self.left = list(chunks)
        self.endless = endless
        self.given = 0

    async def __call__(self) -> Message:
        self.given += 1
        if not self.left:
            return {"type": "http.disconnect"}
        chunk = self.left[0] if self.endless else self.left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self.left)}


@pytest.mark.parametrize("chunks", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"", b"", b"abc"]])
async def test_a_body_is_put_together(chunks: list[bytes]) -> None:
    assert await read_body(Sender(*chunks), 3) == b"".join(chunks)


@pytest.mark.parametrize(
    ("sender", "headers"),
    [
        (Sender(b"abcd"), {}),
        (Sender(b"abc", b"d"), {}),
        (Sender(b"abc"), {b"content-length": b"4"}),
        (Sender(b"a", b"b"), {b"content-length": b"9" * 30}),
    ],
)
async def test_a_body_beyond_its_limit_is_refused(sender: Sender, headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unread) as caught:
        await read_body(sender, 3, headers)
    assert caught.value.code == "payload_too_large"


async def test_an_endless_body_is_neither_held_nor_followed_for_ever() -> None:
    sender = Sender(b"x" * 65_536, endless=True)
    tracemalloc.start()
    with pytest.raises(Unread):
        await read_body(sender, 100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sender.given < 1000
    assert peak < 2_000_000


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_a_client_that_leaves_midway_is_told_apart(before: int) -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}] * before

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        await read_body(receive, 100)


@pytest.mark.parametrize(
    ("given", "kept"), [(b"a-B_1.x", "a-B_1.x"), (b"x" * 128, "x" * 128), (b"", "new"), (b"a\nb", "new")]
)
def test_a_sane_request_id_is_kept(given: bytes, kept: str) -> None:
    assert request_id({b"x-request-id": given}, lambda: "new") == kept


def test_an_idempotency_key_is_read_or_refused() -> None:
    assert idempotency_key({}) is None
    assert idempotency_key({b"idempotency-key": b"x" * 255}) == "x" * 255
    with pytest.raises(Refusal, match="Idempotency-Key"):
        idempotency_key({b"idempotency-key": b"\x7f"})
