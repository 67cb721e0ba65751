"""What a carrier's filter may think of a text, why, and how to say it better.

Pure: a text, its class and what the account is called in; a score of 100 less what each reason takes, the reasons with
what to do about each, and a rewrite that mends what can be mended without knowing what is meant. Words and weights are
data with sources (data/rules.json), with the account's own added. No filter tells its rules: this is advice.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from columba.text import encoding_of, forced_by, segments_of, smart

DATA: Final = Path(__file__).with_name("data") / "rules.json"
MARKETING: Final = "marketing"
LINKS: Final = 10  # that are looked at


class Reason(NamedTuple):
    """Something that speaks against a text. `at` is where it begins; `found` what it is."""

    code: str
    weight: int
    detail: str
    found: str = ""
    at: int | None = None


class Category(msgspec.Struct, frozen=True):
    """Words of one kind."""

    code: str
    title: str
    weight: int
    words: tuple[str, ...]
    source: str = ""
    date: str = ""


class Shorteners(msgspec.Struct, frozen=True):
    weight: int
    hosts: frozenset[str]
    source: str
    date: str


class Wording(msgspec.Struct, frozen=True):
    words: tuple[str, ...]
    source: str
    date: str


class Rules(msgspec.Struct, frozen=True):
    """What comes with the program."""

    categories: tuple[Category, ...]
    shorteners: Shorteners
    opt_out_wording: Wording


@cache
def rules() -> Rules:
    return msgspec.convert(json.loads(DATA.read_text(encoding="utf-8")), Rules)


_LINK: Final = re.compile(
    r"(?:https?://)?((?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}|\d{1,3}(?:\.\d{1,3}){3})(?::\d+)?(?=[/?#]|[.,;:!?)\"']*$)", re.I
)
_PLAIN: Final = re.compile(r"\w+").findall
_SPACES: Final = bytes(n if n > 127 or chr(n).isalnum() else 32 for n in range(256))
_ODD_SPACES: Final = dict.fromkeys(map(ord, "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00a0"), " ")
_SCHEME: Final = re.compile(r"https?://", re.I)
_SPELT: Final = re.compile(r"(?<![^\W_])(?:[^\W\d_][ .*_-]){3,}[^\W\d_](?![^\W_])")
_MIXED: Final = re.compile(r"[A-Za-z]+[\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff\u0400-\u04ff]+[A-Za-z]")
_MARKS: Final = re.compile(r"!{2,}|\?!|!\?|\?{3,}")
_MONEY: Final = re.compile(r"[$€£]{2,}")
_DOTTED: Final = re.compile(r"\.\w").search
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CAPITALS: Final = re.compile(r"[^\W\d_]{4,}")
_LEFT: Final = frozenset({"stop", "help", "start", "info", "yes", "stopall", "unsubscribe", "cancel", "quit"})
_INVISIBLE: Final = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")


class Adviser:
    """An account's rules, ready to be asked."""

    def __init__(
        self,
        brand: str = "",
        domains: Collection[str] = (),
        words: Sequence[Category] = (),
        ignored: Collection[str] = (),
        opt_out: str = "Reply STOP to opt out.",
    ) -> None:
        self._brand = brand
        self._folded_brand = brand.casefold()
        self._domains = frozenset(domain.casefold() for domain in domains)
        self._opt_out = opt_out
        known = rules()
        skip = {word.casefold() for word in ignored}
        # By its first word, a phrase and what it is of.
        self._phrases: dict[str, list[tuple[str, Category]]] = {}
        for category in (*known.categories, *words):
            for phrase in category.words:
                told = phrase.casefold()
                first = _PLAIN(told)
                if told not in skip and first:
                    self._phrases.setdefault(first[0], []).append((told, category))
        self._starts = frozenset(self._phrases)
        self._hosts = known.shorteners.hosts
        self._short_weight = known.shorteners.weight
        self._stops = tuple(known.opt_out_wording.words)

    def __call__(self, text: str, klass: str) -> list[Reason]:
        """What speaks against it, the heaviest first."""
        reasons = [*self._reasons(text, klass)]
        reasons.sort(key=lambda reason: -reason.weight)
        return reasons

    def _reasons(self, text: str, klass: str) -> Iterator[Reason]:
        folded = text.casefold()
        octets, is_ascii = text.encode(errors="replace"), text.isascii()
        plain = folded if is_ascii else folded.translate(_ODD_SPACES)
        words = plain.encode(errors="replace").translate(_SPACES).decode().split()
        starts = self._starts.intersection(words)
        if starts:
            yield from self._filtered(folded, words, starts)
        if "." in text and _DOTTED(text) is not None:
            yield from self._links(text)
        loud: list[str] = []
        if not is_ascii or len(octets) - len(octets.translate(None, _LETTERS)) > 3:
            loud = [
                word
                for piece in text.split()
                if len(piece) > 3 and piece.isupper()
                for word in _CAPITALS.findall(piece)
                if word.casefold() not in _LEFT
            ]
        if loud and (len(loud) >= 3 or sum(map(len, loud)) * 2 > sum(map(str.isalpha, text))):
            detail = f"{len(loud)} words in capitals: write them as in a sentence."
            yield Reason("capitals", 15, detail, loud[0], text.find(loud[0]))
        marks = _MARKS.search(text) if "!" in text or "???" in text else None
        if marks is not None or text.count("!") > 2:
            first = text.find("!") if marks is None else marks.start()
            yield Reason("exclamation_marks", 10, "Many exclamation marks: one says as much.", "!", first)
        if ("$$" in text or "€€" in text or "££" in text) and (money := _MONEY.search(text)) is not None:
            yield Reason("money_signs", 10, "Several money signs in a row: write the amount.", money[0], money.start())
        alone = words and min(map(len, words)) == 1 and sum(len(word) == 1 for word in words) > 3
        if alone and (spelt := _SPELT.search(text)) is not None:
            yield Reason(
                "spelt_out", 25, "Letters set apart look like an attempt to pass a filter.", spelt[0], spelt.start()
            )
        if not is_ascii:
            if (mixed := _MIXED.search(text)) is not None:
                detail = "Letters of two alphabets in one word look like an attempt to pass a filter."
                yield Reason("mixed_alphabets", 40, detail, mixed[0], mixed.start())
            if (hidden := _INVISIBLE.search(text)) is not None:
                yield Reason(
                    "invisible_characters", 25, "Characters that nobody sees: remove them.", "", hidden.start()
                )
            yield from _costly(text)
        if klass == MARKETING:
            if "stop" not in folded and not any(stop in folded for stop in self._stops):
                detail = f'Marketing has to say how to stop it: add "{self._opt_out}".'
                yield Reason("missing_opt_out", 20, detail)
            if self._brand and self._folded_brand not in folded:
                yield Reason("missing_brand", 15, f"It doesn't say who writes: begin with {self._brand}.")

    def _filtered(self, folded: str, words: Sequence[str], starts: Collection[str]) -> Iterator[Reason]:
        seen: dict[str, tuple[Category, list[str]]] = {}
        for start in starts:
            for phrase, category in self._phrases[start]:
                if phrase == start or _whole(phrase, folded):
                    seen.setdefault(category.code, (category, []))[1].append(phrase)
        for code, (category, found) in seen.items():
            weight = min(category.weight + category.weight // 2 * (len(found) - 1), 80)
            named = ", ".join(f'"{each}"' for each in found[:5])
            yield Reason(code, weight, f"{category.title}: carriers filter {named}.", found[0], folded.find(found[0]))

    def _links(self, text: str) -> Iterator[Reason]:
        unknown: list[tuple[str, int]] = []
        left = LINKS
        for piece in text.split():
            if "." not in piece[1:-1] or (link := _LINK.search(piece)) is None:
                continue
            if not left:
                break
            left -= 1
            at = text.find(piece) + link.start()
            domain = link[1].casefold().removeprefix("www.")
            if domain in self._hosts:
                detail = f"{domain} shortens links for everybody, so carriers block it: use a domain of your own."
                yield Reason("shortened_link", self._short_weight, detail, link[0], at)
            elif domain[0].isdigit() and domain.replace(".", "").isdigit():
                if _SCHEME.match(link[0]):
                    yield Reason("unknown_link", 35, "A link to an address without a name.", link[0], at)
            elif (
                (self._domains and not any(domain == own or domain.endswith(f".{own}") for own in self._domains))
                or domain.startswith("xn--")
                or ".xn--" in domain
            ):
                unknown.append((link[0], at))
        if unknown:
            detail = "A link to a domain that is not among your own: people and filters trust what they know."
            yield Reason("unknown_link", 15, detail, *unknown[0])


def _whole(phrase: str, folded: str) -> bool:
    at = folded.find(phrase)
    while at >= 0:
        end = at + len(phrase)
        if not folded[at - 1 : at].isalnum() and not folded[end : end + 1].isalnum():
            return True
        at = folded.find(phrase, at + 1)
    return False


def _costly(text: str) -> Iterator[Reason]:
    """Characters for which the whole text takes more parts."""
    if encoding_of(text) == "gsm7":
        return
    cheap = smart(text)
    forced = forced_by(cheap, 5)
    now = segments_of(text)
    plain = "".join(character for character in cheap if encoding_of(character) == "gsm7")
    then = segments_of(plain) if plain else 1
    if now > then and len(cheap) - len(plain) <= 5:
        found = "".join(dict.fromkeys(each.character for each in forced)) or next(
            character for character in text if encoding_of(character) != "gsm7"
        )
        detail = f"{found} makes it {now} parts instead of {then}: leave it out, or write something else."
        yield Reason("costly_character", 10 if then == 1 else 5, detail, found, text.find(found[0]))


def score(reasons: Sequence[Reason]) -> int:
    """100 is well, 0 is hopeless."""
    return max(0, 100 - sum(reason.weight for reason in reasons))


def rewritten(text: str, reasons: Sequence[Reason], brand: str = "", opt_out: str = "Reply STOP to opt out.") -> str:
    """The text with all mended that can be, without knowing what it is to say."""
    codes: Mapping[str, Reason] = {reason.code: reason for reason in reasons}
    text = _INVISIBLE.sub("", text)
    if "costly_character" in codes:
        text = "".join(character for character in smart(text) if encoding_of(character) == "gsm7")
    if "capitals" in codes:
        text = _sentences(text, brand)
    if "exclamation_marks" in codes:
        text = re.sub(r"!(?:\s*!)*", "!", re.sub(r"[!?]*\?[!?]*", "?", text))
        head, mark, rest = text.partition("!")
        text = head + mark + rest.replace("!", ".")
    if "money_signs" in codes:
        text = _MONEY.sub(lambda found: found[0][0], text)
    if "spelt_out" in codes:
        text = _SPELT.sub(lambda found: re.sub(r"[ .*_-]", "", found[0]).capitalize(), text)
    text = re.sub(r"[ \t]{2,}", " ", text).strip()
    if "missing_brand" in codes:
        text = f"{brand}: {text}"
    if "missing_opt_out" in codes:
        text = f"{text}{'' if text[-1:] in '.!?…' else '.'} {opt_out}" if text else opt_out
    return text


def _sentences(text: str, brand: str) -> str:
    """Loud words in small letters; one that begins a sentence with a capital."""
    kept = {brand.casefold(), *_LEFT}

    def quiet(found: re.Match[str]) -> str:
        word = found[0]
        if not word.isupper() or word.casefold() in kept:
            return word
        before = text[: found.start()].rstrip()
        small = word.lower()
        return small.capitalize() if not before or before[-1] in ".!?:" else small

    return re.sub(r"[^\W\d_]{2,}", quiet, text)
