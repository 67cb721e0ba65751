"""kill -9 at any moment: nothing accepted is lost, nothing goes out twice but what was on the wire. See `make crash`."""

import pytest

from bench import crash_smpp
from bench.crash import crash


@pytest.mark.parametrize(("store", "seed"), [("sqlite", 5), ("postgres", 3)])
def test_a_killed_program_keeps_its_promises(store: str, seed: int, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("postgres_url") if store == "postgres" else None
    report = crash(store, kills=3, rate=300, seed=seed, database=database)
    print(report)
    assert report.sound
    assert sum(report.kills.values()) == 3
    assert report.accepted > 100
    assert report.final == report.accepted
    assert any(report.on_the_wire)  # else it was no test
    assert report.sent_twice <= sum(report.on_the_wire)


def test_a_killed_program_loses_nothing_that_goes_out_over_smpp() -> None:
    report = crash_smpp.crash("sqlite", n=2_000, kills=1, seed=1)
    print(report)
    assert report.sound
    assert report.accepted + report.unanswered == 2_000
    assert report.accepted > 1_900
    assert report.on_the_wire[0] > 0  # else it was no test
    assert report.twice <= report.on_the_wire[0]
