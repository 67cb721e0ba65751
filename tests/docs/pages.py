"""The project's pages, taken apart: blocks of code, words in code, links, headings."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.M)
_CODE = re.compile(r"`([^`\n]+)`")
_MADE = re.compile(r"<!-- begin ([a-z-]+): .*?<!-- end \1 -->", re.S)


class Block(NamedTuple):
    """A block of code; `line` is where it begins, `answers` whether it follows at once upon the one before."""

    language: str
    text: str
    line: int
    answers: bool


class Page(NamedTuple):
    """A page by its name, as in `docs/sending.md`."""

    name: str
    text: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def blocks(self) -> list[Block]:
        found, end = [], 0
        for fence in _FENCE.finditer(self.text):
            line = self.text.count("\n", 0, fence.start()) + 1
            found.append(Block(fence[1], fence[2], line, not self.text[end : fence.start()].strip()))
            end = fence.end()
        return found

    @property
    def prose(self) -> str:
        """Without its blocks of code."""
        return _FENCE.sub("", self.text)

    @property
    def by_hand(self) -> str:
        """Without what is made from the program."""
        return _MADE.sub("", self.text)

    @property
    def codes(self) -> list[str]:
        """The words in code within its prose."""
        return _CODE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """What a link may name after `#`: headings, as they are commonly made into anchors."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in _HEADING.findall(self.prose)}

    def block(self, first_line: str) -> str:
        """The block that begins with this line."""
        (found,) = [each.text for each in self.blocks if each.text.startswith(first_line + "\n")]
        return found


@cache
def pages() -> tuple[Page, ...]:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return tuple(Page(str(file.relative_to(ROOT)), file.read_text()) for file in sorted(files))


def page(name: str) -> Page:
    (found,) = [each for each in pages() if each.name == name]
    return found
