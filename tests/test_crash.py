"""kill -9 at any moment: nothing accepted is lost, nothing goes out twice but what was on the wire. See `make crash`."""

import pytest

from bench.crash import crash


@pytest.mark.parametrize(("store", "seed"), [("sqlite", 5), ("postgres", 3)])
def test_a_killed_program_keeps_its_promises(store: str, seed: int, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("postgres_url") if store == "postgres" else None
    report = crash(store, kills=3, rate=300, seed=seed, database=database)
    print(report)
    assert report.sound
    assert sum(report.kills.values()) == 3
    assert report.accepted > 500
    assert report.final == report.accepted
    assert any(report.on_the_wire)  # else it was no test
    assert report.sent_twice <= sum(report.on_the_wire)
