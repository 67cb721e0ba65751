"""What an account has set about consent: what each class needs, its words and answers, and what follows from a stop.

Without a document a fresh installation holds what regulators ask for where it counts: live marketing needs an opt-in, all
else goes to whoever has not opted out. In the sandbox marketing needs none, so that a first try is not refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from columba.consent.keywords import MEANINGS, Matcher, plain, usual, usual_matcher
from columba.core import status
from columba.errors import FieldError
from columba.text import check

ROOM = "consent"
Need = Literal["opt_in", "unless_opted_out", "always"]
NEVER, OPT_OUT, OPT_IN = 0, 1, 2  # what the gate asks: nothing, no opt-out, an opt-in
NEEDS = {"always": NEVER, "unless_opted_out": OPT_OUT, "opt_in": OPT_IN}

Word = Annotated[str, Meta(min_length=1, max_length=40)]
Language = Annotated[str, Meta(pattern="^[a-z]{2,3}$", examples=["en"])]
ReplyText = Annotated[
    str, Meta(max_length=1_000, description="`{brand}` and `{support}` are filled in; '' sends none.")
]
Kind = Literal["stop", "start", "help", "confirm"]
KINDS: tuple[Kind, ...] = ("stop", "start", "help", "confirm")


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The words of a language; what is left out stays as it comes with the program.

    weak: words that mean start from a person who has opted out or was asked to confirm, and nothing from others
    """

    stop: Annotated[list[Word], Meta(max_length=100)] | None = None
    start: Annotated[list[Word], Meta(max_length=100)] | None = None
    weak: Annotated[list[Word], Meta(max_length=100)] | None = None
    help: Annotated[list[Word], Meta(max_length=100)] | None = None


class Replies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person is answered in a language; what is left out stays as it comes with the program."""

    stop: ReplyText | None = None
    start: ReplyText | None = None
    help: ReplyText | None = None
    confirm: ReplyText | None = None


KeywordWords = Annotated[dict[Language, Words], Meta(max_length=40)]
ReplyTexts = Annotated[dict[Language, Replies], Meta(max_length=40)]


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As it was set; None is what usually holds.

    marketing, transactional, otp: what a class needs
    stop_scope: whether a stop is to all that the account sends, to the sender that it was sent to, or to its pool
    double_opt_in: whether opt-ins by the API and in files have to be confirmed by the person
    brand: how the account is called in answers
    support: what the answer to HELP says of getting help
    language: of answers to words that everybody knows, such as STOP
    phrases: whether plain phrases count, besides the words
    reply: whether people are answered
    keywords: words by language; a list that is given replaces the usual one
    replies: answers by language; a text that is given replaces the usual one
    """

    marketing: Literal["opt_in", "unless_opted_out"] | None = None
    transactional: Need | None = None
    otp: Need | None = None
    stop_scope: Literal["account", "sender", "pool"] = "account"
    double_opt_in: bool = False
    brand: Annotated[str, Meta(max_length=60)] = ""
    support: Annotated[str, Meta(max_length=200)] = ""
    language: Language = "en"
    phrases: bool = True
    reply: bool = True
    keywords: KeywordWords = {}
    replies: ReplyTexts = {}

    def check_words(self) -> Iterable[FieldError]:
        return problems(self.keywords or {}, self.replies or {})


class InForce(NamedTuple):
    """What the main path asks. `needs` by class."""

    document: Document
    needs: tuple[int, int, int]
    matcher: Matcher

    def answer(self, kind: str, language: str) -> str:
        """What a person is told; '' for nothing."""
        if not self.document.reply:
            return ""
        # What everybody knows in English says nothing of the person's language.
        wanted = self.document.language if language == "en" else language
        text = replies_of(self.document, wanted).get(kind)
        if text is None:
            text = replies_of(self.document, "en").get(kind, "")
        return filled(text, self.document.brand, self.document.support)


def filled(text: str, brand: str, support: str) -> str:
    """A reply with the account's names in it; without a brand it begins with what it says."""
    if not brand:
        text = re.sub(r"^\{brand\}\s*[:,-]?\s*", "", text)
        text = text[:1].upper() + text[1:]
    text = text.replace("{brand}", brand).replace("{support}", support)
    return re.sub(r"  +", " ", text).strip()


def words_of(document: Document) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The words in force, by language and meaning."""
    found: dict[str, dict[str, Sequence[str]]] = {name: dict(each) for name, each in usual().words.items()}
    for language, words in document.keywords.items():
        of_language = found.setdefault(language, {})
        for meaning in MEANINGS:
            given = getattr(words, meaning)
            if given is not None:
                of_language[meaning] = given
    return found


def replies_of(document: Document, language: str) -> Mapping[str, str]:
    found = dict(usual().replies.get(language, {}))
    own = document.replies.get(language)
    if own is not None:
        found |= {kind: text for kind in KINDS if (text := getattr(own, kind)) is not None}
    return found


def in_force(document: Document, mode: int) -> InForce:
    marketing = document.marketing or ("opt_in" if mode == status.LIVE else "unless_opted_out")
    needs = (
        NEEDS[document.otp or "unless_opted_out"],
        NEEDS[document.transactional or "unless_opted_out"],
        NEEDS[marketing],
    )
    own = document.keywords or not document.phrases
    return InForce(document, needs, Matcher(words_of(document), document.phrases) if own else usual_matcher())


def problems(keywords: Mapping[str, Words | None], replies: Mapping[str, Replies | None]) -> Iterable[FieldError]:
    """What is wrong with words and answers."""
    for language, words in keywords.items():
        for meaning in MEANINGS:
            for n, word in enumerate(getattr(words, meaning, None) or ()):
                if not plain(word):
                    field = f"keywords.{language}.{meaning}[{n}]"
                    yield FieldError(field, "invalid_value", "Expected a word with letters or digits.")
    for language, texts in replies.items():
        for kind in KINDS:
            text = getattr(texts, kind, None) or ""
            for index, reason in check(text, 1):
                yield FieldError(f"replies.{language}.{kind}", "invalid_text", f"character {index + 1}: {reason}")
