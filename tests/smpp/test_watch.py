"""What a session counts, over its connections, and who follows it."""

from columba.smpp.pdu import BindTransceiver, BindTransceiverResp, Pdu, SubmitSm, SubmitSmResp
from columba.smpp.session import Role, Session
from columba.smpp.watch import MOST_STATUSES, Watch, note


def pair(watch: Watch) -> tuple[Session, Session]:
    ours, theirs = watch.attach(Session(Role.ESME, now=0.0)), Session(Role.SMSC, now=0.0)
    ours.send(BindTransceiver(), now=0.0)
    theirs.receive_data(ours.data_to_send(), 0.0)
    theirs.respond(1, BindTransceiverResp())
    ours.receive_data(theirs.data_to_send(), 0.0)
    return ours, theirs


def test_it_counts_over_connections() -> None:
    watch = Watch()
    for n in range(1, 3):
        ours, theirs = pair(watch)
        ours.send(SubmitSm(), now=1.0)
        theirs.receive_data(ours.data_to_send(), 1.0)
        theirs.respond(2, SubmitSmResp(status=0x58))
        ours.receive_data(theirs.data_to_send(), 1.2)
        counts = watch.counts
        assert (counts.sent, counts.received, counts.refused) == (2 * n, 2 * n, {0x58: n})
        assert counts.took[6] == sum(counts.took) == n  # up to 0.25 s, and binds don't count
        assert abs(counts.seconds - 0.2 * n) < 1e-9
        assert theirs.counts.refusals == {0x58: 1}


def test_who_follows_sees_the_next_connection_too_until_it_leaves_or_fails() -> None:
    watch = Watch()
    seen: list[tuple[str, Pdu, int]] = []

    def follower(way: str, pdu: Pdu, sequence: int) -> None:
        seen.append((way, pdu, sequence))

    def broken(way: str, pdu: Pdu, sequence: int) -> None:
        raise ValueError

    watch.follow(follower)
    watch.follow(broken)
    pair(watch)
    pair(watch)
    assert [(way, sequence) for way, _, sequence in seen] == [("out", 1), ("in", 1)] * 2
    watch.leave(follower)
    ours, _ = pair(watch)
    assert ours.tap is None
    assert len(seen) == 4


def test_made_up_statuses_are_not_counted_one_by_one() -> None:
    counts: dict[int, int] = {}
    for status in range(10_000):
        note(counts, status)
    assert len(counts) == MOST_STATUSES + 1
    assert sum(counts.values()) == 10_000
