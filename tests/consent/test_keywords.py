"""What people mean by a whole text, and what they don't."""

import pytest

from columba.consent.keywords import LONGEST, Matcher, plain, usual, usual_matcher
from columba.consent.settings import Document, Replies, Words, filled, in_force
from columba.core import status

STOPS = (
    "STOP", "Stop!!", " stop. ", "ＳＴＯＰ 🙏", "s t o p", "Stop stop stop", "stop please", "Please stop", "STOP ALL",
    "StopAll", "unsubscribe", "END", "Quit", "cancel", "Revoke", "OPT-OUT", "opt out", "Remove me", "ARRÊT", "arret", "TD",
    "Baja", "STOPP", "kündigen", "please stop texting me", "Stop texting me!!!", "Don't text me anymore",
    "unsubscribe me from this list", "take me off your list please", "no more texts", "I want to opt out", "opt me out",
    "hey can you please stop sending me messages thanks", "I do not want to receive any more messages from you",
    "I revoke my consent", "remove my number from your marketing list", "leave me alone", "Stop contacting this number",
    "keine weiteren SMS bitte", "Bitte schreiben Sie mir keine SMS mehr", "plus de SMS", "no quiero mas mensajes",
)  # fmt: skip
NOTHINGS = (
    "stop by the shop", "don't stop", "please stop by when texting", "cancel my order", "end of the month",
    "stop order 1234", "I never asked you to stop texting me", "can you stop the delivery", "quit smoking", "Yes please",
    "stop texting me about work, text me about lunch", "stop sending me boxes", "help me with my order", "the end",
    "info about opening hours", "remove the pickles", "stop it there and come in", "ok", "no", "bus stop", "non-stop",
    "start the engine", "yes I'd like 2", "cancel appointment tomorrow", "please don't stop texting me", "", "🙏", "...",
    "do not contact Dave", "what time do you end", "unsubscribe is not what I want", "I want to quit smoking",
    "I want to cancel my appointment", "no more bread", "basta pizza", "STOP " * 40, "when does the bus stop texting ends",
)  # fmt: skip


@pytest.mark.parametrize("text", STOPS)
def test_means_stop(text: str) -> None:
    found = usual_matcher()(text)
    assert found is not None
    assert found.meaning == "stop"


@pytest.mark.parametrize("text", NOTHINGS)
def test_means_nothing(text: str) -> None:
    assert usual_matcher()(text) is None


@pytest.mark.parametrize(
    ("text", "meaning", "language"),
    [
        ("Start", "start", "en"), ("UNSTOP", "start", "en"), ("yes", "weak", "en"), ("Oui !", "weak", "fr"),
        ("HELP?", "help", "en"), ("Info", "help", "en"), ("aide", "help", "fr"), ("Arrêt", "stop", "fr"),
        ("How do I unsubscribe?", "help", "en"), ("who is this?", "help", "en"), ("Start texting me again", "start", "en"),
    ],
)  # fmt: skip
def test_meanings_and_their_languages(text: str, meaning: str, language: str) -> None:
    found = usual_matcher()(text)
    assert found is not None
    assert (found.meaning, found.language) == (meaning, language)


def test_a_long_text_is_never_a_keyword() -> None:
    assert usual_matcher()("stop" + " " * LONGEST) is None


@pytest.mark.parametrize(
    "text", ["please can you " * 11, "stop all the these those this your " * 5, "stop texting me " + "now " * 36]
)
def test_no_text_takes_long(text: str) -> None:
    """The grammar has no exponential corner: a text of the full length is dealt with at once."""
    assert usual_matcher()(text[:LONGEST] + "x") is None


def test_words_are_the_account_s_own() -> None:
    words = in_force(Document(keywords={"en": Words(stop=["Halt!", "no more"])}, phrases=False), status.LIVE).matcher
    assert words("HALT") is not None
    assert words("stop") is None
    assert words("please stop texting me") is None
    assert words("help") is not None
    assert words("arret") is not None


def test_every_usual_word_is_found_and_has_a_source() -> None:
    for language, by_meaning in usual().words.items():
        assert usual().sources[language]
        for meaning, words in by_meaning.items():
            for word in words:
                found = Matcher({language: by_meaning})(word)
                assert found is not None, (language, word)
                assert found.meaning == meaning or plain(word) in {plain(each) for each in by_meaning["stop"]}


def test_answers() -> None:
    live = in_force(Document(brand="Acme", support="Call +1 202 555 0100."), status.LIVE)
    assert live.answer("stop", "en").startswith("Acme: You are unsubscribed")
    assert "Call +1 202 555 0100." in live.answer("help", "en")
    assert live.answer("stop", "fr").startswith("Acme : vous êtes désabonné")
    # STOP is said everywhere: the answer is in the account's language.
    assert in_force(Document(language="de"), status.LIVE).answer("stop", "en").startswith("Sie sind abgemeldet")
    own = Document(brand="Acme", replies={"en": Replies(stop="Bye from {brand}", help="")})
    assert in_force(own, status.LIVE).answer("stop", "en") == "Bye from Acme"
    assert in_force(own, status.LIVE).answer("help", "en") == ""
    assert in_force(Document(reply=False), status.LIVE).answer("stop", "en") == ""
    assert filled("{brand}: {support} Reply STOP.", "", "") == "Reply STOP."


def test_usual_answers_fit_and_have_no_marketing() -> None:
    for language, texts in usual().replies.items():
        assert set(texts) == {"stop", "start", "help", "confirm"}, language
        for text in texts.values():
            assert len(text) <= 160
