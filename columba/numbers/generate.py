"""Writes `plan.py` from the metadata of the phonenumbers library: `python -m columba.numbers.generate`.

Run it after phonenumbers is updated; a test fails while the two differ. It stops with an AssertionError at a pattern
whose syntax it doesn't know, so that the tables are never silently wrong. Nothing imports it at run time.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phonenumbers

DIGITS = "0123456789"
TYPES = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)
DEEPEST = 8  # places of a national number looked at; the longest prefix to tell countries apart has 6 (+61 851001)
INDEX = 4  # digits of a number that `e164` looks at first

Way = tuple[str, ...]  # one way through a pattern: for each place, the digits that may stand there
TOKEN = re.compile(r"\\d|\[[\d-]+\]|\d|\(\?:|[()|$?]|\{\d+(?:,\d+)?\}")


def paths(pattern: str, deepest: int = 20) -> set[Way]:
    """All ways through a pattern of digits, cut off after `deepest` places."""
    tokens = TOKEN.findall(pattern)
    assert "".join(tokens) == pattern, pattern
    tokens.reverse()

    def choice() -> set[Way]:
        found = sequence()
        while tokens and tokens[-1] == "|":
            tokens.pop()
            found |= sequence()
        return found

    def sequence() -> set[Way]:
        found: set[Way] = {()}
        while tokens and tokens[-1] not in "|)":
            one = piece()
            low, high = times()
            many: set[Way] = {()}
            either: set[Way] = set() if low else {()}
            for count in range(1, high + 1):
                many = {(a + b)[:deepest] for a in many for b in one}
                if count >= low:
                    either |= many
            found = {(a + b)[:deepest] for a in found for b in either}
        return found

    def piece() -> set[Way]:
        first = tokens.pop()
        if first[0] == "(":
            found = choice()
            assert tokens.pop() == ")", pattern
            return found
        if first == "$":
            return {()}
        return {("".join(re.findall(first, DIGITS)),)}

    def times() -> tuple[int, int]:
        if tokens and tokens[-1] == "?":
            tokens.pop()
            return 0, 1
        if tokens and tokens[-1][0] == "{":
            bounds = tokens.pop()[1:-1].split(",")
            return int(bounds[0]), int(bounds[-1])
        return 1, 1

    found = choice()
    assert not tokens, pattern
    return found


def calling_codes() -> Iterator[tuple[str, list[str], Any]]:
    """Each calling code, its countries (the main one first, none where it belongs to no country) and its metadata."""
    for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE, key=str):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])
        yield str(code), [region for region in regions if region != "001"], metadata


def country_paths(country: str) -> set[Way]:
    """The beginnings of a country's numbers, by its leading digits where it has some, else by all its types."""
    metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(country)
    if metadata.leading_digits:
        return paths(metadata.leading_digits, DEEPEST)
    kinds = [getattr(metadata, name) for name in TYPES]
    return set().union(*(paths(k.national_number_pattern, DEEPEST) for k in kinds if k and k.national_number_pattern))


def shared_prefixes(countries: list[str]) -> dict[str, str]:
    """The national prefixes at which one calling code's numbers belong to another than its main country.

    A prefix that several could claim goes to the first of them, one that nobody does to the main country.
    """

    def place(prefix: str, claims: list[tuple[str, set[Way]]]) -> dict[str, str]:
        """The countries of all numbers under a prefix: of the prefix itself, then of those longer ones that differ."""
        depth = len(prefix)
        if not claims:
            return {prefix: countries[0]}
        first, ways = claims[0]
        if len(claims) == 1 or any(set(way[depth:]) <= {DIGITS} for way in ways):  # the first takes all there is
            return {prefix: first}
        under: dict[str, str] = {}
        for digit in DIGITS:
            kept = [(c, {w for w in ways if len(w) <= depth or digit in w[depth]}) for c, ways in claims]
            under |= place(prefix + digit, [(c, ways) for c, ways in kept if ways])
        only, *others = set(under.values())
        return under if others else {prefix: only}

    found = place("", [(country, country_paths(country)) for country in countries])
    return {prefix: country for prefix, country in found.items() if country != countries[0]}


def trunk_prefixes(code: str, metadata: Any) -> dict[str, set[int]]:
    """National prefixes (as many digits as the index has left) and the lengths at which phonenumbers could take
    a trunk prefix away and still have a possible number."""
    found: dict[str, set[int]] = {}
    pattern, lengths = metadata.national_prefix_for_parsing, metadata.general_desc.possible_length
    for way in paths(pattern) if pattern else ():
        for length, filler in itertools.product(lengths, "09"):
            sample = "".join(digits[0] for digits in way).ljust(length, filler)
            match = re.match(pattern, sample)
            if len(sample) > length or not match or match.end() != len(way) or not way:
                continue
            rule = metadata.national_prefix_transform_rule
            instead = match.expand(rule) if rule and match.groups()[-1] is not None else ""
            if (stripped := length - match.end() + len(instead)) in lengths or stripped > lengths[-1]:
                places = (way + (DIGITS,) * INDEX)[: INDEX - len(code)]
                for prefix in map("".join, itertools.product(*places)):
                    found.setdefault(prefix, set()).add(length)
    return found


def shorten(prefixes: dict[str, set[int]]) -> dict[str, set[int]]:
    """Says the same with fewer prefixes: what all ten continuations of a prefix share is said of the prefix."""
    found = {prefix: set(lengths) for prefix, lengths in prefixes.items()}
    for parent in sorted({prefix[:size] for prefix in prefixes for size in range(len(prefix))}, key=len, reverse=True):
        children = [found.get(parent + digit, set()) for digit in DIGITS]
        if common := set.intersection(*children):
            found[parent] = common
            for child in children:
                child -= common
    return {prefix: lengths for prefix, lengths in sorted(found.items()) if lengths}


def source() -> str:
    """The text of `plan.py`."""
    codes, shared, trunk = [], [], []
    for code, countries, metadata in calling_codes():
        lengths = tuple(metadata.general_desc.possible_length)
        codes.append(f'    "{code}": ("{" ".join(countries)}", {lengths}),\n')
        if len(countries) > 1:
            for prefix, country in sorted(shared_prefixes(countries).items()):
                shared.append(f'    "{code}{prefix}": "{country}",\n')
        for prefix, trunk_lengths in shorten(trunk_prefixes(code, metadata)).items():
            trunk.append(f'    "{code}{prefix}": {tuple(sorted(trunk_lengths))},\n')
    return f'''"""The world's numbering plans, as far as `e164` needs them. Written by `generate.py`; don't edit.

Facts only: which calling codes there are, how long their numbers are, and whose they are. Nothing here can fail.
"""

# Calling code: its countries, the main one first (none: not of any country); the lengths its national numbers can have.
CODES: dict[str, tuple[str, tuple[int, ...]]] = {{
{"".join(codes)}}}

# Where countries share a calling code: the prefixes of all but the main one. The longest that fits decides.
SHARED: dict[str, str] = {{
{"".join(shared)}}}

# Prefixes and national lengths at which a number could still have its trunk prefix ("+49 0170..."): look closer.
TRUNK: dict[str, tuple[int, ...]] = {{
{"".join(trunk)}}}
'''


if __name__ == "__main__":
    Path(__file__).with_name("plan.py").write_text(source(), encoding="utf-8")
