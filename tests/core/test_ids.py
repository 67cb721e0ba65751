"""Ids come in order, whatever the clock does."""

from columba.core.ids import EPOCH, Ids, first_at, time_of

NOW = EPOCH + 40_000_000_000
HOUR, DAY = 3_600_000, 86_400_000


def test_a_clock_that_goes_back_takes_no_ids_with_it() -> None:
    now = NOW
    draw = Ids(7, lambda: now)
    drawn = [draw()]
    now -= HOUR
    drawn += [draw() for _ in range(10_000)]
    assert drawn == sorted(set(drawn))
    now += 2 * HOUR
    assert time_of(draw()) == now


def test_a_process_goes_on_after_what_there_is() -> None:
    newest = first_at(NOW + HOUR) + 77
    one, other = Ids(7, lambda: NOW, newest), Ids(8, lambda: NOW, newest)
    drawn = [draw() for _ in range(10_000) for draw in (one, other)]
    assert min(drawn) > newest
    assert len(set(drawn)) == len(drawn)  # of several processes too
    assert {an_id >> 12 & 1023 for an_id in drawn} == {7, 8}


def test_a_time_that_can_not_be_is_not_gone_on_from() -> None:
    assert time_of(Ids(7, lambda: NOW, first_at(NOW + 2 * DAY))()) == NOW
