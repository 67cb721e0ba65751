"""`/v1/settings/...`: one grammar for all of them, and no change is lost, however many processes make them at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from columba.core import status
from columba.core.snapshots import Snapshots
from columba.policies import Policies, Policy, merged
from columba.policies.api import change_of
from columba.store import open_store
from tests.api import Columba

Json = dict[str, Any]
WINDOW = {"country": "FR", "open": "10:00", "close": "20:00"}
# By path: two changes to different things, and a wrong one with the field that is named.
ROOMS: dict[str, tuple[Json, Json, Json, str]] = {
    "consent": (
        {"brand": "Acme", "replies": {"en": {"stop": "Bye"}}},
        {"replies": {"en": {"help": "Call us"}, "fr": {"stop": "Adieu"}}},
        {"replies": {"fr": {"sotp": "Adieu"}}},
        "replies.fr.sotp",
    ),
    "content": (
        {"action": "hold", "domains": ["example.org"]},
        {"words": [{"words": ["cheap"]}]},
        {"minimum": 101},
        "minimum",
    ),
    "quiet-hours": (
        {"enabled": True},
        {"windows": [WINDOW]},
        {"windows": [{**WINDOW, "open": "21:00"}]},
        "windows[0].close",
    ),
    "verifications": (
        {"brand": "Acme", "guard": {"spare": 10}},
        {"guard": {"number_sends": 2}, "from": "Acme"},
        {"from": "a name that is far too long"},
        "from",
    ),
    "retention": (
        {"bodies": {"otp": 1, "marketing": 30}},
        {"bodies": {"otp": 2}, "media": {"marketing": 3}},
        {"bodies": {"opt": 1}},
        "bodies.opt",
    ),
}


def holds(shown: Any, wanted: Any) -> bool:
    """Whether all that is wanted is shown, among other things."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(holds(shown.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(shown) == len(wanted) and all(map(holds, shown, wanted))
    return bool(shown == wanted)


async def test_what_is_named_changes_and_null_goes_back(columba: Columba) -> None:
    for room in ROOMS:
        await changed_and_back(columba, room)


async def changed_and_back(columba: Columba, room: str) -> None:
    first, second, wrong, field = ROOMS[room]
    api, path = columba.whole, f"/v1/settings/{room}"
    usual = (await api("GET", path)).json
    assert holds((await api("PATCH", path, first)).json, first)
    both = merged(first, second)
    changed = (await api("PATCH", path, second)).json
    assert holds(changed, both)
    reply = await api("PATCH", path, wrong)
    assert (reply.status, [name for name, _ in reply.fields]) == (422, [field])
    assert (await api("PATCH", path, {})).json == changed
    assert (await api("GET", path)).json == changed
    assert not holds((await api("GET", path, key=columba.live_key)).json, both)
    assert (await api("PATCH", path, dict.fromkeys(both))).json == usual
    reply = await api("PATCH", path, {"no_such_field": None})
    assert (reply.status, reply.fields) == (422, [("no_such_field", "unknown_field")])


async def test_what_is_merged_is_bounded_as_a_whole(columba: Columba) -> None:
    for n in range(2):
        words = {f"{chr(97 + n)}{chr(97 + k)}a": {"stop": ["halt"]} for k in range(20)}
        assert (await columba.whole("PATCH", "/v1/settings/consent", {"keywords": words})).status == 200
    reply = await columba.whole("PATCH", "/v1/settings/consent", {"keywords": {"zzz": {"stop": ["halt"]}}})
    assert (reply.status, reply.fields[0][0]) == (422, "keywords")
    gone = {"keywords": {"aaa": None, "zzz": {"stop": ["halt"]}}}
    assert (await columba.whole("PATCH", "/v1/settings/consent", gone)).status == 200


class Counts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Things. counts: how many there are, by name"""

    counts: dict[str, int] = {}


@contextlib.asynccontextmanager
async def process(place: Path | str) -> AsyncIterator[tuple[Policies, Policy[Counts, Counts]]]:
    store = await open_store(place)
    try:
        snapshots = Snapshots(store)
        policies = Policies(store, snapshots, lambda: 1)
        policy = policies.room(Policy("counts", Counts, lambda document, _mode: document, Counts()))
        await snapshots.refresh()
        yield policies, policy
    finally:
        await store.close()


async def test_of_changes_at_once_none_is_lost(tmp_path: Path, database: str) -> None:
    """By two processes, of several documents: what became of one says nothing of another."""
    owners = [(7, status.TEST), (7, status.LIVE), (8, status.TEST)]
    async with process(database or tmp_path) as one, process(database or tmp_path) as two:
        changes = [
            policies.change(policy, *owner, {"counts": {f"{k}/{n}": n}}, policy.read)
            for n in range(10)
            for k, (policies, policy) in enumerate((one, two))
            for owner in owners
        ]
        await asyncio.gather(*changes)
        for policies, policy in (one, two):
            for owner in owners:
                await policies.change(policy, *owner, {}, policy.read)
                assert policy.document(*owner).counts == {f"{k}/{n}": n for n in range(10) for k in range(2)}


async def test_a_change_that_can_not_be_changes_nothing(tmp_path: Path) -> None:
    async with process(tmp_path) as (policies, policy):
        await policies.change(policy, 7, status.TEST, {"counts": {"a": 1}}, policy.read)
        with pytest.raises(msgspec.ValidationError):
            await policies.change(policy, 7, status.TEST, {"counts": {"b": "many"}}, policy.read)
        assert policy.document(7, status.TEST).counts == {"a": 1}


MERGED: tuple[tuple[Any, Any, Any], ...] = (
    ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 9}}, {"a": 1, "b": {"c": 9, "d": 3}}),
    ({"a": 1}, {"a": None}, {}),
    ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}),
    ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ({}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
)  # those of RFC 7396 appendix A that are objects, and one more


@pytest.mark.parametrize(("document", "patch", "result"), MERGED)
def test_a_merge_patch(document: Any, patch: Any, result: Any) -> None:
    assert merged(document, patch) == result


def test_a_change_has_the_fields_of_its_document() -> None:
    change = change_of(Counts)
    assert change is change_of(Counts)
    read = msgspec.json.Decoder(change).decode
    assert msgspec.to_builtins(read(b'{"counts": {"a": null, "b": 2}}')) == {"counts": {"a": None, "b": 2}}
    assert msgspec.to_builtins(read(b'{"counts": null}')) == {"counts": None}
    assert msgspec.to_builtins(read(b"{}")) == {}
    with pytest.raises(msgspec.ValidationError):
        read(b'{"cuonts": {}}')
