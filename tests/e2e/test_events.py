"""Events: listed, read, and followed live without a gap or anything twice."""

import re
import threading
import time
from itertools import pairwise

import pytest

from tests.e2e.talk import TIME, Follower, Json, ended, everything, get, number, refused, send
from tests.program import Program, eventually

LIFE = ["message.queued", "message.sent", "message.delivered"]


def test_an_event_is_told_in_one_shape_everywhere(columba: Program) -> None:
    with Follower(columba) as stream:
        sent = ended(columba, send(columba)["id"], "delivered")
        heard = stream.until("message.delivered", sent["id"])
    (listed,) = get(columba, f"/v1/events?message_id={sent['id']}&type=message.delivered")["data"]
    assert tuple(listed) == ("id", "type", "timestamp", "account_id", "data")
    assert heard.data == listed == get(columba, f"/v1/events/{heard.id}")
    assert (heard.id, heard.event) == (listed["id"], listed["type"])
    assert TIME(listed["timestamp"])
    assert re.fullmatch(r"acc_[0-9a-z]+", listed["account_id"])
    plain = {name: value for name, value in sent.items() if name not in ("parts", "timeline", "price", "currency")}
    assert listed["data"] == plain


def test_events_are_listed_newest_first_by_type_and_by_message(columba: Program) -> None:
    one, other = (ended(columba, send(columba)["id"], "delivered")["id"] for _ in range(2))
    assert [each["type"] for each in get(columba, f"/v1/events?message_id={one}")["data"]] == LIFE[::-1]
    for pattern, types in (
        ("message.sent", {"message.sent"}),
        ("message.*", set(LIFE)),
        ("*", set(LIFE)),
        ("message.sent,message.queued", {"message.sent", "message.queued"}),
    ):
        listed = get(columba, f"/v1/events?type={pattern}&message_id={other}")["data"]
        assert {each["type"] for each in listed} == types
        assert [each["data"]["status"] for each in listed] == [each["type"].partition(".")[2] for each in listed]
    refused(columba.request("GET", "/v1/events?type=message.nonsense"), 422, "invalid_request", "type")
    refused(columba.request("GET", "/v1/events?message_id=x"), 422, "invalid_request", "message_id")


def test_a_stream_tells_what_happens_from_now_on_of_the_types_asked_for(columba: Program) -> None:
    before = ended(columba, send(columba)["id"], "delivered")["id"]
    with Follower(columba) as stream, Follower(columba, query="?type=message.delivered") as narrow:
        after = ended(columba, send(columba)["id"], "delivered")["id"]
        stream.until("message.delivered", after)
        narrow.until("message.delivered", after)
        about = [each for each in stream.heard if each.data["data"]["id"] == after]
        assert [each.event for each in about] == LIFE
        assert before not in {each.data["data"]["id"] for each in stream.heard}
        assert {each.event for each in narrow.heard} == {"message.delivered"}


def test_a_stream_goes_on_after_the_event_named(columba: Program) -> None:
    ids = [ended(columba, send(columba)["id"], "delivered")["id"] for _ in range(3)]
    told = [each["id"] for each in everything(columba, "/v1/events")][::-1]
    first = next(each["id"] for each in get(columba, f"/v1/events?message_id={ids[0]}")["data"])
    missed = told[told.index(first) + 1 :]
    with Follower(columba, after=first) as stream, Follower(columba, query=f"?last_event_id={first}") as other:
        for each in (stream, other):
            assert [heard.id for heard in each.wait(len(missed))[: len(missed)]] == missed
    answer = columba.request("GET", "/v1/events/stream", headers={"Last-Event-ID": "nonsense"})
    refused(answer, 422, "invalid_request", "Last-Event-ID")


def test_a_stream_ends_with_its_key(columba: Program) -> None:
    key: Json = columba.request("POST", "/v1/keys", {"name": "short"}).json
    with Follower(columba, key["secret"]) as stream:
        columba.request("DELETE", f"/v1/keys/{key['id']}")
        eventually(lambda: stream.ended)


@pytest.mark.parametrize("how", ["stop", "kill9"])
def test_a_stream_that_comes_back_misses_nothing_over_restarts(how: str) -> None:
    """A client that follows, and says where it was whenever the server goes away; another that sends all the while."""
    with Program() as columba:
        told: list[str] = []
        following: list[Follower] = []
        sent: list[str] = []
        over = threading.Event()

        def follow() -> None:
            while True:
                try:
                    with Follower(columba, after=told[-1] if told else None) as stream:
                        following.append(stream)
                        while not stream.ended and not over.is_set():
                            time.sleep(0.01)
                    told.extend(each.id for each in stream.heard)
                except OSError:
                    time.sleep(0.01)
                if over.is_set():
                    return

        first = ended(columba, send(columba)["id"], "delivered")
        told.append(first["timeline"][0]["event"])
        thread = threading.Thread(target=follow)
        thread.start()
        try:
            for _ in range(2):
                for _ in range(20):
                    sent.append(send(columba, number())["id"])
                getattr(columba, how)()
                columba.start()
            for an_id in sent:
                ended(columba, an_id)
            there = [each["id"] for each in everything(columba, "/v1/events")][::-1]
            eventually(lambda: {each.id for stream in following for each in stream.heard} >= set(there[1:]))
            time.sleep(0.3)  # for what should not come
        finally:
            over.set()
            thread.join()
        assert len(set(told)) == len(told)
        assert set(told) == set(there)
        assert all(earlier < later for earlier, later in pairwise(told))
