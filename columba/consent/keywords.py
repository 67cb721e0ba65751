"""What a person means by a whole text: stop, start, help, or nothing that concerns consent.

Pure. A text is brought to plain words first (case, accents, punctuation, emoji and letters of other widths go), so that
"Stop!!" and "ＳＴＯＰ 🙏" are the word. Then it must be one of the account's words, whole, or a plain phrase that asks for
the same ("please stop texting me"): a grammar of whole texts, in which every word has its place. A text that says more
("stop by the shop", "cancel my order") is none. Bounded by LONGEST; never fails.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from columba.consent.phrases import meaning_of

LONGEST: Final = 160  # characters; who writes more is telling something
Meaning = Literal["stop", "start", "weak", "help"]
MEANINGS: Final[tuple[Meaning, ...]] = ("stop", "start", "weak", "help")
DATA: Final = Path(__file__).with_name("data") / "keywords.json"

Words = Mapping[str, Mapping[str, Sequence[str]]]  # by language, then by meaning


class Heeded(NamedTuple):
    """What was meant, and in which language."""

    meaning: str
    language: str
    word: str


_FOLD: Final = str.maketrans({"’": "", "'": "", "‘": "", "ʼ": "", "`": "", "ß": "ss", "ł": "l", "ø": "o", "æ": "ae"})
_BETWEEN: Final = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """The words of a text, in small letters without accents, one space apart."""
    text = unicodedata.normalize("NFKD", text.casefold().translate(_FOLD))
    text = "".join(character for character in text if not unicodedata.combining(character))
    return _BETWEEN.sub(" ", text).strip()


_TWICE: Final = re.compile(r"(\w+)(?: \1)+")
_POLITE: Final = re.compile(r"^(?:please |pls |plz |ok |okay )+|(?: (?:please|pls|plz|now|thanks|thank you|thx))+$")


class Matcher:
    """An account's words, ready to be looked up."""

    def __init__(self, words: Words, phrases: bool = True) -> None:
        self._words: dict[str, Heeded] = {}
        self._phrases = phrases
        for language, by_meaning in words.items():
            for meaning in MEANINGS:
                for word in by_meaning.get(meaning, ()):
                    told = plain(word)
                    if told:  # a word of two languages is of the first
                        self._words.setdefault(told, Heeded(meaning, language, told))

    def __call__(self, text: str) -> Heeded | None:
        if len(text) > LONGEST:
            return None
        said = plain(text)
        if not said:
            return None
        found = self._words.get(said)
        if found is None and " " in said:
            once = _TWICE.fullmatch(said)  # "stop stop stop"
            polite = _POLITE.sub("", said).strip()
            found = self._words.get(once[1] if once else polite) or self._spelt(said)
            if found is not None and found.meaning == "weak" and not once:
                found = None
        if found is None and self._phrases:
            asked = meaning_of(said)
            found = None if asked is None else Heeded(asked[0], asked[1], said)
        return found

    def _spelt(self, said: str) -> Heeded | None:
        """ "S T O P" """
        letters = said.split(" ")
        return self._words.get("".join(letters)) if all(len(letter) == 1 for letter in letters) else None


class Usual(NamedTuple):
    """What comes with the program."""

    words: Words
    replies: Mapping[str, Mapping[str, str]]
    sources: Mapping[str, Sequence[Mapping[str, str]]]


@cache
def usual() -> Usual:
    data = json.loads(DATA.read_text(encoding="utf-8"))
    languages = data["languages"]
    return Usual(
        {name: {meaning: each[meaning] for meaning in MEANINGS} for name, each in languages.items()},
        data["replies"],
        {name: each["sources"] for name, each in languages.items()},
    )


@cache
def usual_matcher() -> Matcher:
    return Matcher(usual().words)
