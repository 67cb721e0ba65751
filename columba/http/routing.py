"""Which endpoint a method and a path lead to: a tree of path segments, words before parameters. Pure.

Raises NotAllowed for a path that exists without the method, ValueError for two endpoints in one place.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from columba.http.endpoint import PARAMETER, Endpoint

LONGEST: Final = 2048  # characters of a path
LONGEST_VALUE: Final = 256  # characters that a parameter stands for


class NotAllowed(Exception):
    """The path is there, the method is not."""

    def __init__(self, methods: Iterable[str]) -> None:
        super().__init__()
        known = set(methods)
        self.allow = ", ".join(sorted(known | {"HEAD"} if "GET" in known else known))


class Found(NamedTuple):
    """An endpoint, and what the parameters in its path stand for."""

    endpoint: Endpoint
    path: dict[str, str]


class _Node:
    """A place in the tree."""

    __slots__ = ("endpoints", "methods", "other", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.other: _Node | None = None
        self.endpoints: dict[str, Endpoint] = {}
        self.methods: set[str] = set()


class Routes:
    """All endpoints by path and method. `elsewhere`: what is served before them, so that it is not denied."""

    def __init__(self, endpoints: Iterable[Endpoint], elsewhere: Iterable[tuple[str, str]] = ()) -> None:
        self._root = _Node()
        for method, path in elsewhere:
            self._plant(path).methods.add(method)
        for endpoint in endpoints:
            node = self._plant(endpoint.path)
            if endpoint.method in node.endpoints:
                raise ValueError(f"{endpoint.method} {endpoint.path} is declared twice")
            node.endpoints[endpoint.method] = endpoint
            node.methods.add(endpoint.method)

    def _plant(self, path: str) -> _Node:
        node = self._root
        for part in path.split("/")[1:]:
            if PARAMETER.fullmatch(part):
                node.other = node.other or _Node()
                node = node.other
            else:
                node = node.words.setdefault(part, _Node())
        return node

    def find(self, method: str, path: str) -> Found | None:
        """The endpoint for a request; HEAD is served by GET."""
        if len(path) > LONGEST:
            return None
        values: list[str] = []
        node = _climb(self._root, path.split("/"), 1, values)
        if node is None:
            return None
        endpoint = node.endpoints.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            raise NotAllowed(node.methods)
        return Found(endpoint, dict(zip(endpoint.parameters, values, strict=True)) if values else {})


def _climb(node: _Node, parts: Sequence[str], index: int, values: list[str]) -> _Node | None:
    if index == len(parts):
        return node if node.methods else None
    part = parts[index]
    word = node.words.get(part)
    if word is not None and (found := _climb(word, parts, index + 1, values)):
        return found
    if node.other is not None and 0 < len(part) <= LONGEST_VALUE and part.isprintable():
        values.append(part)
        if found := _climb(node.other, parts, index + 1, values):
            return found
        values.pop()
    return None
