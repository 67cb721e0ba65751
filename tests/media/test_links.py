"""A link is good for one file, until its end, and for nobody who changed a letter of it."""

import pytest

from columba.media.links import HOUR_MS, Links, id_in, word_of

ID = 0x0123_4567_89AB_CDE
KEY, OTHER = b"k" * 32, b"o" * 32


class Clock:
    now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def links(clock: Clock) -> Links:
    return Links((KEY,), "https://sms.example.org", clock, 86_400)


def parts(url: str) -> tuple[str, str, str]:
    path, _, query = url.partition("?")
    values = dict(pair.split("=") for pair in query.split("&"))
    return path.split("/")[4], values["expires"], values["sig"]


def test_a_link_is_good_until_it_ends(links: Links, clock: Clock) -> None:
    url = links.of(word_of(ID, "menu.jpg"))
    assert url.startswith("https://sms.example.org/media/med_")
    assert "/menu.jpg?expires=" in url
    long, short = parts(url), links.short(word_of(ID, "menu.jpg")).rpartition("/")[2]
    assert links.check(*long) == links.check_short(short) == ID
    clock.now = int(long[1]) * 1000 - 1
    assert links.check(*long) == links.check_short(short) == ID
    clock.now += 1
    assert links.check(*long) == links.check_short(short) == 0


def test_it_lasts_at_least_as_long_as_set_and_is_the_same_for_an_hour(links: Links, clock: Clock) -> None:
    assert 0 <= links.until() - clock.now - 86_400_000 < HOUR_MS
    first = links.of("med_" + "0" * 12 + "1/a.jpg")
    clock.now -= clock.now % HOUR_MS - 1
    again = links.of("med_" + "0" * 12 + "1/a.jpg")
    clock.now += HOUR_MS - 2
    assert links.of("med_" + "0" * 12 + "1/a.jpg") == again
    assert first.partition("?")[0] == again.partition("?")[0]


def test_a_link_for_a_later_moment_lasts_from_then(links: Links, clock: Clock) -> None:
    at = clock.now + 300 * 86_400_000
    code = links.short(word_of(ID, "a.jpg"), at).rpartition("/")[2]
    clock.now = at + 86_000_000
    assert links.check_short(code) == ID


def test_nothing_of_it_can_be_changed(links: Links) -> None:
    shown, expires, sig = parts(links.of(word_of(ID, "a.jpg")))
    code = links.short(word_of(ID, "a.jpg")).rpartition("/")[2]
    other = parts(links.of(word_of(ID + 1, "a.jpg")))
    for forged in (
        (other[0], expires, sig),
        (shown, str(int(expires) + 3600), sig),
        (shown, expires, sig[:-1]),
        (shown, expires, sig[:-1] + ("A" if sig[-1] != "A" else "B")),
        (shown, expires, ""),
        (shown, "", sig),
        (shown, "-1", sig),
        (shown, "9" * 30, sig),
        (shown, "١٢٣", sig),
        ("med_x", expires, sig),
        (shown, expires, "é" * 22),
    ):
        assert links.check(*forged) is None, forged
    for place in range(len(code)):
        changed = code[:place] + ("0" if code[place] != "0" else "1") + code[place + 1 :]
        assert not links.check_short(changed), changed
    assert links.check_short("") is None
    assert links.check_short(code + "0") is None


def test_a_replaced_key_still_opens_what_it_signed(clock: Clock, links: Links) -> None:
    old = parts(links.of(word_of(ID, "a.jpg")))
    assert Links((OTHER, KEY), "", clock, 3600).check(*old) == ID
    assert Links((OTHER,), "", clock, 3600).check(*old) is None


def test_a_url_stays_what_it_is(links: Links) -> None:
    for url in ("https://a.example/med_1", "med_", "med_0000000000000x/a"):
        assert id_in(url) is None
        assert links.of(url) == links.short(url) == url


def test_a_short_link_is_short(links: Links) -> None:
    assert len(links.short(word_of(ID, "a-long-name.jpg"))) == len("https://sms.example.org/m/") + 34
