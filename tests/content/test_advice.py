"""What a filter may think of a text, why, and how to say it better."""

import pytest

from columba.content import Document, in_force
from columba.content.advice import Adviser, Category, rewritten, rules, score
from columba.core import status
from columba.text import encoding_of

ACME = Adviser("Acme", ["acme.example"])
GOOD = "Acme: 20% off this weekend, see acme.example/sale. Reply STOP to opt out."


def codes(text: str, klass: str = "marketing", adviser: Adviser = ACME) -> set[str]:
    return {reason.code for reason in adviser(text, klass)}


def test_a_good_text_has_nothing_against_it() -> None:
    assert ACME(GOOD, "marketing") == []
    assert score([]) == 100


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("BIG SALE THIS WEEKEND", "capitals"), ("Sale!!", "exclamation_marks"), ("A! B! C!", "exclamation_marks"),
        ("see bit.ly/abc", "shortened_link"), ("see https://www.tinyurl.com/x?y=1", "shortened_link"),
        ("see other.example/a", "unknown_link"), ("http://192.0.2.7/login", "unknown_link"),
        ("see xn--80ak6aa92e.com", "unknown_link"), ("try our casino", "gambling"),
        ("payday  loan? payday loan!", "high_risk_finance"),
        ("Verify your account now", "phishing"), ("hurry, act now", "pushy"), ("CBD for all", "cannabis"),
        ("win $$$", "money_signs"), ("V I A G R A", "spelt_out"), ("f.r.e.e gifts", "spelt_out"),
        ("Frее stuff", "mixed_alphabets"), ("fr\u200bee", "invisible_characters"), ("Hello there", "missing_opt_out"),
        ("Hello there", "missing_brand"), ("🎉 " + "a word and then " * 9, "costly_character"),
    ],
)  # fmt: skip
def test_what_speaks_against_a_text(text: str, code: str) -> None:
    assert code in codes(text)


@pytest.mark.parametrize(
    "text",
    [
        "Meet at 10 a.m. at St. Mary's, e.g. by the door. Acme. STOP to end", "Acme costs 3.50, or 1.000.000. Reply STOP",
        "ACME: your parcel is here. Reply STOP", "Acme: we love you! Reply STOP or HELP",
        "Acme: the CBDO office. Unsubscribe: STOP",
        "Acme: vapemaker.acme.example is open. STOP", "Acme: naïve café – déjà vu… STOP",
        "Акме: скидки. Acme STOP",
    ],
)  # fmt: skip
def test_what_speaks_against_nothing(text: str) -> None:
    assert codes(text) == set()


def test_marketing_alone_needs_a_brand_and_a_way_out() -> None:
    assert codes("Your parcel is here", "transactional") == set()


def test_every_reason_says_what_to_do_and_where() -> None:
    text = "Now BUY THIS TODAY at bit.ly/x!!"
    for reason in ACME(text, "marketing"):
        assert reason.detail.endswith((".", "!", '"'))
        assert reason.weight > 0
        if reason.at is not None and reason.found:
            assert text.casefold()[reason.at :].startswith(reason.found.casefold())


def test_a_rewrite_scores_better_and_costs_less() -> None:
    text = "HUGE WEEKEND SALE!!! 🎉 everything must go, come by early and stay late " + "because we say so " * 5
    better = rewritten(text, ACME(text, "marketing"), "Acme")
    assert better.startswith("Acme: Huge weekend sale!")
    assert better.endswith("Reply STOP to opt out.")
    assert encoding_of(better) == "gsm7"
    assert score(ACME(better, "marketing")) == 100


@pytest.mark.parametrize("text", [GOOD, "Reply STOP or HELP. Acme", "Acme: ok… STOP", "", "!", "\u200b", "A", "🎉"])
def test_a_rewrite_is_never_worse(text: str) -> None:
    better = rewritten(text, ACME(text, "marketing"), "Acme")
    assert score(ACME(better, "marketing")) >= score(ACME(text, "marketing"))
    if not ACME(text, "marketing"):
        assert better == text


def test_words_of_one_s_own() -> None:
    own = Adviser(words=[Category("own_words", "Ours", 33, ("blue moon",))], ignored=["hurry"])
    assert {reason.code: reason.weight for reason in own("hurry, a blue moon", "otp")} == {"own_words": 33}


def test_no_text_takes_long() -> None:
    for text in ("a.b" * 1_600, "a " * 2_500, "!?" * 2_500, "A" * 5_000, "x.y " * 1_250, "f r e e " * 600):
        ACME(text, "marketing")


def test_data_has_sources() -> None:
    for category in rules().categories:
        assert category.source
        assert category.date
        assert all(word == word.casefold() for word in category.words)


def test_what_is_covered() -> None:
    assert in_force(Document(), status.LIVE).covers == (False, False, True)
    assert in_force(Document(action="off"), status.LIVE).covers == (False, False, False)
    assert in_force(Document(classes=("otp", "marketing")), status.LIVE).covers == (True, False, True)
