"""Keys in the store and in memory: one account, changes that are all kept, and revoked means everywhere."""

import asyncio
from pathlib import Path

import pytest

from columba.core.status import LIVE, TEST
from columba.errors import Refusal
from columba.keys import ALL_SCOPES, SCOPES, Settings, expand, new_secret, unknown_scopes
from tests.keys.house import DAY, HOUR, START, Clock, House, house


@pytest.mark.parametrize(
    ("named", "scopes"),
    [
        ([], ALL_SCOPES),
        (["*"], ALL_SCOPES),
        (["messages:read"], {"messages:read"}),
        (["messages:*"], {"messages:read", "messages:write"}),
        (["messages:read", "keys:*"], {"messages:read", "keys:read", "keys:write"}),
        (["gone:read"], {"gone:read"}),  # never nothing at all: that would open everything
        (["gone:*"], {"gone:*"}),
    ],
)
def test_scopes(named: list[str], scopes: set[str]) -> None:
    assert expand(named) == scopes


def test_scopes_that_are_not_known_are_named() -> None:
    assert unknown_scopes(["messages:read", "messages:*", "*", "message:read", "gone:*"]) == ["message:read", "gone:*"]


@pytest.mark.parametrize(("mode", "start"), [(LIVE, "ck_live_"), (TEST, "ck_test_")])
def test_a_secret(mode: int, start: str) -> None:
    made = new_secret(mode, lambda size: bytes(range(size)))
    assert made.startswith(start)
    assert len(made) == len(start) + 32
    assert made.removeprefix(start).isalnum()


async def test_a_key_is_as_it_was_made_and_its_secret_is_not_kept(home: House) -> None:
    made = await home.make("messages:read", expires_at=START + DAY, rate_limit=5)
    key = home.keys.all[made.key.id]
    assert (list(key.named), set(key.scopes), key.settings.rate_limit) == (["messages:read"], {"messages:read"}, 5)
    assert (key.mode, key.expires_at, key.created_at, key.revoked_at) == (TEST, START + DAY, START, None)
    assert made.secret not in repr(key)
    assert home.keys.check(made.secret) == key
    assert home.keys.check(made.secret[:-1]) is None


async def test_a_key_ends_when_it_expires(small: House, clock: Clock) -> None:
    made = await small.make(expires_at=START + HOUR)
    clock.now = START + HOUR - 1
    assert small.keys.check(made.secret)
    clock.now += 1
    assert small.keys.check(made.secret) is None


@pytest.mark.parametrize(
    ("overlap_s", "after", "old_is_good"),
    [(3600, 0, True), (3600, HOUR - 1, True), (3600, HOUR, False), (0, 0, False)],
)
async def test_both_secrets_are_good_during_the_overlap(
    small: House, clock: Clock, overlap_s: int, after: int, old_is_good: bool
) -> None:
    made = await small.make()
    new = new_secret(TEST, lambda size: b"\x01" * size)
    assert await small.keys.rotate(made.key.id, new, overlap_s)
    clock.now += after
    assert small.keys.check(new)
    assert (small.keys.check(made.secret) is not None) is old_is_good


async def test_revoking_ends_both_secrets_and_can_not_be_undone(home: House) -> None:
    made = await home.make()
    new = new_secret(TEST, lambda size: b"\x01" * size)
    await home.keys.rotate(made.key.id, new, 3600)
    assert await home.keys.revoke(made.key.id)
    assert home.keys.check(made.secret) is None
    assert home.keys.check(new) is None
    assert not await home.keys.revoke(made.key.id)
    assert not await home.keys.rotate(made.key.id, made.secret, 0)
    assert not await home.keys.update(made.key.id, name="again")


async def test_changes_at_the_same_moment_are_all_kept(home: House) -> None:
    made = await home.make()
    other = await home.make()
    done = await asyncio.gather(
        home.keys.update(made.key.id, name="renamed"),
        home.keys.update(made.key.id, scopes=["messages:read"]),
        home.keys.update(made.key.id, expires_at=START + DAY),
        home.keys.update(made.key.id, settings=Settings(7)),
        home.keys.update(other.key.id, name="other"),
        home.keys.revoke(other.key.id),
    )
    assert all(done)
    key = home.keys.all[made.key.id]
    assert (key.name, set(key.scopes), key.expires_at, key.settings.rate_limit) == (
        "renamed", {"messages:read"}, START + DAY, 7
    )  # fmt: skip
    await home.keys.update(made.key.id, expires_at=None)
    assert home.keys.all[made.key.id].expires_at is None
    assert home.keys.all[made.key.id].name == "renamed"


async def test_processes_that_start_together_make_one_account(place: Path | str, clock: Clock) -> None:
    async with house(place, clock, 1) as one, house(place, clock, 2) as two:
        made = await asyncio.gather(
            one.keys.first_account(one.ids(), "default"), two.keys.first_account(two.ids(), "default")
        )
        await one.snapshots.refresh()
        assert sorted(made) == [False, True]
        assert len(one.keys.accounts) == 1


async def test_revoked_here_is_refused_there_within_a_second(place: Path | str, clock: Clock) -> None:
    """No bell is connected: the slower way."""
    async with house(place, clock, 1) as here, house(place, clock, 2) as there:
        made = await here.make()
        await there.snapshots.refresh()
        headers = {b"authorization": made.bearer}
        assert there.auth.key(headers, "").id == made.key.id  # and it is remembered there
        changed = asyncio.Event()

        async def loaded() -> None:
            changed.set()

        there.snapshots.on("keys", loaded)
        await here.keys.revoke(made.key.id)
        await asyncio.wait_for(changed.wait(), 1.0)
        with pytest.raises(Refusal, match="revoked"):
            there.auth.key(headers, "")
        with pytest.raises(Refusal, match="revoked"):
            there.auth.caller(headers, made.bearer)


def test_every_scope_says_what_it_allows() -> None:
    assert all(words.endswith(".") for words in SCOPES.values())
