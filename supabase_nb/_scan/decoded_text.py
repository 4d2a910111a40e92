"""Decoded texts that know the original position of each character."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain

# Maximum number of encodings: JSON in a URL in HTML in JSON is four.
_DEEPEST = 6
# Characters of two or four bytes. numpy's arrays of strings have four.
_WIDE = re.compile(
    r"(?P<four>(?:[\x01-\xff]\0{3}){4,}|(?:\0{3}[\x01-\xff]){4,})|(?:[\x01-\xff]\0){4,}|(?:\0[\x01-\xff]){4,}"
)
# Each alternative starts in one place only and has a short lookahead, so that this takes linear time.
_ENCODED = re.compile(
    r"""
      (?<!\\)\\+ (?: u(?P<unicode>[0-9a-fA-F]{4}) | x(?P<byte>[0-9a-fA-F]{2}) | (?P<escaped>[^\\]) )
    | % (?P<percent>[0-9a-fA-F]{2})
    | & (?: \#(?P<number>\d{1,6}|[xX][0-9a-fA-F]{1,6}) | (?P<entity>[a-zA-Z]{2,8}) ) ;
    | </? (?P<tag>[a-zA-Z][a-zA-Z0-9]{0,10}) (?![^<>]{0,500}eyJ) [^<>]{0,500} >
    | (?P<style>\x1b\[[0-9;]{0,20}m)
    """,
    re.VERBOSE | re.ASCII,
)
# Tags within a word, as in a highlighted token.
_INLINE = {"a", "b", "code", "em", "font", "i", "mark", "s", "small", "span", "strong", "tt", "u", "wbr"}
_WHITE = {"n": "\n", "r": "\r", "t": "\t"}
# A JSON escape, if this is certainly JSON.
_ESCAPE = re.compile(r'\\(?:u(?P<unicode>[0-9a-fA-F]{4})|(?P<escaped>.))|(?P<join>"\s*,\s*")', re.DOTALL)


class View:
    """A decoded text, and the original position of each of its characters.

    Attributes:
        text: The text.
    """

    def __init__(self, parent: View | None = None) -> None:
        self.text = ""
        self._parent = parent
        # A run of characters: where it starts in this and the original text, and the length of each in the
        # original.
        self._runs: list[tuple[int, int, int]] = []
        self._parts: list[str] = []
        self._length = 0

    def add(self, text: str, origin: int, step: int = 1) -> None:
        """Append a run of characters, each from `step` original characters."""
        if text:
            self._runs.append((self._length, origin, step))
            self._parts.append(text)
            self._length += len(text)

    def done(self) -> View:
        """Finish this view."""
        self.text = "".join(self._parts)
        self._parts = []
        return self

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original span of the characters from `start` to `end`."""
        first, last = self._place(start)[0], self._place(end - 1)[1]
        return self._parent.span(first, last) if self._parent else (first, last)

    def _place(self, at: int) -> tuple[int, int]:
        begin, origin, step = self._runs[bisect_right(self._runs, at, key=lambda run: run[0]) - 1]
        place = origin + (at - begin) * step
        return place, place + step


def plain(text: str) -> View:
    """A view of a text without decoding."""
    view = View()
    view.add(text, 0)
    return view.done()


def views(view: View) -> Iterator[View]:
    """The view, and views with more and more encodings decoded."""
    if "\0" in view.text:
        # First, because it hides everything else.
        yield view
        view = _undone_wide(view)
    for _ in range(_DEEPEST):
        yield view
        undone = _undone(view)
        if undone is None:
            return
        view = undone
    yield view


def json_lines(text: str, start: int, end: int, into: View) -> None:
    """Append the JSON string, or list of strings, from `start` to `end` of `text`."""
    at, end = text.find('"', start, end) + 1, text.rfind('"', start, end)
    for match in _ESCAPE.finditer(text, at, max(at, end)):
        into.add(text[at : match.start()], at)
        if match["join"] is None:
            into.add(_character(match), match.start(), len(match[0]))
        at = match.end()
    into.add(text[at : max(at, end)], at)


def _undone_wide(view: View) -> View:
    text, at, result = view.text, 0, View(view)
    for match in _WIDE.finditer(text):
        result.add(text[at : match.start()], at)
        result.add(match[0].replace("\0", ""), match.start(), 4 if match["four"] else 2)
        at = match.end()
    result.add(text[at:], at)
    return result.done()


def _undone(view: View) -> View | None:
    text, at, result = view.text, 0, View(view)
    matches = _ENCODED.finditer(text)
    first = next(matches, None)
    if first is None:
        return None
    for match in chain((first,), matches):
        result.add(text[at : match.start()], at)
        result.add(_character(match), match.start(), len(match[0]))
        at = match.end()
    result.add(text[at:], at)
    return result.done()


def _character(match: re.Match[str]) -> str:
    """The character that an escape encodes; empty for separators and formatting."""
    kind, found = match.lastgroup, match[match.lastgroup or 0]
    if kind == "escaped":
        return _WHITE.get(found, found)
    if kind in ("unicode", "byte", "percent"):
        return chr(int(found, 16))
    if kind == "number":
        code = int(found[1:], 16) if found[0] in "xX" else int(found)
        return chr(code) if code < 0x110000 else " "
    if kind == "entity":
        return " " if found == "nbsp" else html.unescape(f"&{found};")[0]
    return " " if kind == "tag" and found.lower() not in _INLINE else ""
