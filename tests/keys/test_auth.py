"""Authorization headers: what is taken, what each failure says, and that nothing remembered outlives its key."""

from base64 import b64encode

import pytest

from columba.core.status import LIVE, TEST
from columba.errors import Refusal
from columba.keys import auth, limits, new_secret
from tests.keys.house import HOUR, START, Clock, House, Made

ADDRESS = "203.0.113.7"


def headers(authorization: bytes) -> dict[bytes, bytes]:
    return {b"authorization": authorization}


def basic(name: str, password: str) -> bytes:
    return b"Basic " + b64encode(f"{name}:{password}".encode())


def outcome(small: House, authorization: bytes | None, client: str = ADDRESS) -> str:
    """The id of the key, or the refusal's code and what it says."""
    given = {} if authorization is None else headers(authorization)
    try:
        key = small.auth.key(given, client)
    except Refusal as refusal:
        with pytest.raises(Refusal):  # the hot path says the same
            small.auth.caller(given, authorization)
        return f"{refusal.code}: {refusal.detail}"
    caller, _ = small.auth.caller(given, authorization)
    assert (caller.account_id, caller.mode, caller.key_id) == (key.account_id, key.mode, key.id)
    return key.key_id


@pytest.mark.parametrize(
    "form",
    [
        "Bearer {secret}",
        "bearer {secret}",
        "BEARER   {secret} ",
        "Basic {pair}",
        "basic {pair}",
    ],
)
async def test_a_key_is_taken(small: House, form: str) -> None:
    made = await small.make()
    pair = basic(made.key.key_id, made.secret).removeprefix(b"Basic ").decode()
    given = form.format(secret=made.secret, pair=pair).encode()
    assert outcome(small, given) == made.key.key_id
    assert outcome(small, given) == made.key.key_id


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        (None, "no Authorization header"),
        (b"", "Expected"),
        (b"Bearer", "no such key"),
        (b"Bearer ", "no such key"),
        (b"Bearer ck_test_0", "no such key"),
        (b"Bearer \xff\x00", "no such key"),
        (b"Bearer ct_", "no such token"),
        (b"Bearer ct_v1.00000000.AAAA", "no such token"),
        (b"Bearer ct_v1.\xff.\xff", "no such token"),
        (b"Digest username=x", "Expected"),
        (b"Basic", "Base64"),
        (b"Basic !!!", "Base64"),
        (b"Basic " + b64encode(b"no colon"), "Base64"),
        (b"Basic " + b64encode(b"\xff:\xff"), "Base64"),
        (basic("", ""), "no such key"),
        (basic("key_0000000000000", "ck_test_0"), "no such key"),
    ],
)
async def test_what_is_no_key_is_refused(small: House, authorization: bytes | None, said: str) -> None:
    await small.make()
    told = outcome(small, authorization)
    assert told.startswith("unauthorized: ")
    assert said in told


async def test_an_id_must_be_that_of_the_secret(small: House) -> None:
    one, other = await small.make(), await small.make()
    assert "no such key" in outcome(small, basic(other.key.key_id, one.secret))
    assert "no such key" in outcome(small, basic("", one.secret))


async def test_what_is_remembered_ends_with_its_key(small: House, clock: Clock) -> None:
    """Each header is used once before, so that it is remembered."""
    expiring = await small.make(expires_at=START + HOUR)
    rotated = await small.make()
    revoked = await small.make()
    await small.keys.rotate(rotated.key.id, new_secret(TEST, lambda size: b"\x01" * size), 3600)
    for made in (expiring, rotated, revoked):
        assert outcome(small, made.bearer) == made.key.key_id
    clock.now += HOUR - 1
    assert outcome(small, expiring.bearer) == expiring.key.key_id
    assert outcome(small, rotated.bearer) == rotated.key.key_id
    clock.now += 1
    assert "has expired" in outcome(small, expiring.bearer)
    assert "rotated" in outcome(small, rotated.bearer)
    await small.keys.revoke(revoked.key.id)
    assert "revoked" in outcome(small, revoked.bearer)


async def test_what_is_remembered_follows_a_change_of_its_key(small: House) -> None:
    made = await small.make()
    assert outcome(small, made.bearer) == made.key.key_id
    await small.keys.update(made.key.id, scopes=["messages:read"])
    with pytest.raises(Refusal, match="messages:write"):
        small.auth.caller({}, made.bearer)


async def test_what_is_remembered_is_bounded(small: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MOST_HEADERS", 10)
    made = await small.make()
    for spaces in range(1, 100):
        small.auth.key(headers(b"Bearer" + b" " * spaces + made.secret.encode()), ADDRESS)
    small.auth.key(headers(b"Bearer" + b" " * 100_000 + made.secret.encode()), ADDRESS)
    kept = small.auth._known
    assert 0 < len(kept) <= 10
    assert max(map(len, kept)) < 1_000


@pytest.mark.parametrize(
    ("scopes", "mode", "may_send"),
    [
        ([], TEST, True),
        (["messages:write"], LIVE, True),
        (["messages:*"], TEST, True),
        (["messages:read", "keys:*"], TEST, False),
    ],
)
async def test_the_hot_path_needs_the_scope_to_send(small: House, scopes: list[str], mode: int, may_send: bool) -> None:
    made = await small.make(*scopes, mode=mode)
    if may_send:
        caller, allowance = small.auth.caller({}, made.bearer)
        assert (caller.mode, caller.account_id, allowance) == (mode, made.key.account_id, None)
        assert caller.scopes == made.key.scopes
    else:
        with pytest.raises(Refusal) as refused:
            small.auth.caller({}, made.bearer)
        assert refused.value.code == "forbidden"


async def test_the_hot_path_keeps_the_keys_rate(small: House, clock: Clock) -> None:
    made = await small.make(rate_limit=2)
    seen = [small.auth.caller({}, made.bearer)[1] for _ in range(3)]
    assert [allowance and allowance.remaining for allowance in seen] == [1, 0, -1]


def attempts(small: House, client: str, count: int, secret: bytes = b"Bearer ck_test_guess") -> list[str]:
    codes = []
    for _ in range(count):
        try:
            small.auth.key(headers(secret), client)
            codes.append("ok")
        except Refusal as refusal:
            codes.append(refusal.code)
    return codes


async def test_who_keeps_failing_is_told_to_wait_and_nobody_else_is(small: House, clock: Clock) -> None:
    made: Made = await small.make()
    assert attempts(small, ADDRESS, 51) == ["unauthorized"] * 50 + ["rate_limited"]
    with pytest.raises(Refusal) as refused:
        small.auth.caller({}, b"Bearer ck_test_guess", ADDRESS)
    assert refused.value.code == "rate_limited"
    assert refused.value.retry_after == 60
    assert attempts(small, ADDRESS, 1, made.bearer) == ["ok"]  # a good key from the same address
    assert attempts(small, "203.0.113.8", 1) == ["unauthorized"]
    clock.now += limits.WINDOW_MS
    assert attempts(small, ADDRESS, 1) == ["unauthorized"]


async def test_good_keys_and_missing_ones_do_not_count_as_failures(small: House) -> None:
    made = await small.make()
    for _ in range(60):
        outcome(small, made.bearer)
        outcome(small, None)
    assert attempts(small, ADDRESS, 1) == ["unauthorized"]
